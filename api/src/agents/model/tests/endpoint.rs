//! What an endpoint may do, over TCP.

use super::server::{Reply, Server, plain, text_lines};
use super::{agent, key, simple_job};
use crate::agents::model::{AgentError, ModelAgent};
use rejoin::Usage;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_answer_is_the_result() {
    let server = Server::saying([plain("Good day.")]).await;
    let (_folder, key) = key("sk-very-secret\n");
    let lived = simple_job(ModelAgent { key, ..agent(&server.url) }).await;
    assert_eq!(lived.result, Ok("Good day.".into()));
    assert_eq!(lived.usage, Usage { input_tokens: 10, output_tokens: 5, cost_micros: 0 });
    let seen = server.seen().remove(0);
    assert_eq!(seen.header("authorization"), Some("Bearer sk-very-secret"));
    assert!(seen.header("idempotency-key").is_some());
    assert_eq!(seen.body["model"], "small");
    assert_eq!(seen.body["temperature"], 0.0);
    assert_eq!(seen.body.get("tools"), None);
    assert!(seen.messages()[0]["content"].as_str().unwrap().starts_with("You are a clerk.\n\n"));
    assert_eq!(seen.last(), ("user", "Say something."));
    assert!(lived.keeps("Good day."));
    assert!(!lived.keeps("sk-very-secret"), "the key stands in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_c5_a_streamed_answer_is_put_together() {
    let server = Server::saying([Reply::Stream(text_lines("Good day to you."))]).await;
    let lived = simple_job(agent(&server.url)).await;
    assert_eq!(lived.result, Ok("Good day to you.".into()));
    assert_eq!(lived.usage.input_tokens, 10);
    assert_eq!(server.seen()[0].body["stream"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_c5_who_is_busy_is_asked_again_when_they_say() {
    let busy = Reply::Status(429, "Retry-After: 2", json!({ "error": { "message": "slow down" } }));
    let broken = Reply::Status(503, "X-Why: broken", json!({}));
    let server = Server::saying([busy, broken, plain("Now.")]).await;
    let began = Instant::now();
    let lived = simple_job(agent(&server.url)).await;
    assert_eq!(lived.result, Ok("Now.".into()));
    assert!(began.elapsed() >= Duration::from_secs(2));
    let keys: BTreeSet<String> =
        server.seen().iter().map(|seen| seen.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!((server.seen().len(), keys.len()), (3, 1), "one turn is one request, however often it is sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_c5_half_an_answer_is_none() {
    let half = || text_lines("Good day to you.")[..2].to_vec();
    // One connection breaks, the other ends as if all were said.
    let server = Server::saying([Reply::Cut(half()), Reply::Stream(half()), plain("Whole.")]).await;
    let lived = simple_job(agent(&server.url)).await;
    assert_eq!(lived.result, Ok("Whole.".into()));
    assert_eq!(server.seen().len(), 3);

    let server = Server::saying([Reply::Cut(half())]).await;
    let failure = simple_job(ModelAgent { attempts: 1, ..agent(&server.url) }).await.result.unwrap_err();
    assert!(failure.message().contains("breaks off"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_c5_a_whole_answer_is_paid_for_once_however_the_connection_ends() {
    let mut all = text_lines("Good day to you.");
    let finished = all.iter().position(|line| line.contains("\"stop\"")).unwrap();
    all.truncate(finished + 1);
    let server = Server::saying([Reply::Cut(all)]).await;
    assert_eq!(simple_job(agent(&server.url)).await.result, Ok("Good day to you.".into()));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_nothing_is_none() {
    let server = Server::saying([plain(" "), plain("Something.")]).await;
    assert_eq!(simple_job(agent(&server.url)).await.result, Ok("Something.".into()));
    let server = Server::saying([plain("")]).await;
    let failure = simple_job(ModelAgent { attempts: 1, ..agent(&server.url) }).await.result.unwrap_err();
    assert_eq!((failure.code(), failure.message()), ("model-broken", "model-broken: the model has said nothing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_said_again_stands_nowhere() {
    let server = Server::saying([plain("It is sk-very-secret.")]).await;
    let (_folder, key) = key("sk-very-secret");
    let lived = simple_job(ModelAgent { key, ..agent(&server.url) }).await;
    assert_eq!(lived.result, Ok("It is [redacted].".into()));
    assert!(!lived.keeps("sk-very-secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_in_time() {
    let server = Server::saying([Reply::Silence, plain("Late.")]).await;
    let lived = simple_job(ModelAgent { timeout: Duration::from_millis(300), ..agent(&server.url) }).await;
    assert_eq!(lived.result, Ok("Late.".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_final_and_does_not_tell_the_key() {
    for (status, code) in [(400, "model-400"), (401, "model-401"), (403, "model-403"), (404, "model-404")] {
        let said = json!({ "error": { "message": "no entry with sk-very-secret here" } });
        let server = Server::saying([Reply::Status(status, "X-Why: no", said), plain("unreachable")]).await;
        let (_folder, key) = key("sk-very-secret");
        let lived = simple_job(ModelAgent { key, ..agent(&server.url) }).await;
        let failure = lived.result.as_ref().unwrap_err();
        assert_eq!(failure.code(), code);
        assert!(failure.message().contains("no entry with [key] here"), "{failure}");
        assert_eq!(server.seen().len(), 1);
        assert!(!lived.keeps("sk-very-secret"), "the key stands in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let server = Server::saying([Reply::Status(307, "Location: /elsewhere", json!({})), plain("elsewhere")]).await;
    let failure = simple_job(agent(&server.url)).await.result.unwrap_err();
    assert_eq!((failure.code(), server.seen().len()), ("model-307", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_off_by_a_limit_is_no_answer() {
    let cut = json!({ "choices": [{ "message": { "content": "Half" }, "finish_reason": "length" }] });
    let server = Server::saying([Reply::Plain(cut)]).await;
    let lived = simple_job(agent(&server.url)).await;
    assert_eq!(lived.result.unwrap_err().code(), "model-length");
    assert!(lived.usage.input_tokens > 0, "what the endpoint does not count is guessed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_there_is_named() {
    let server = Server::saying([]).await;
    let (folder, key) = key("x");
    drop(folder);
    let failure = simple_job(ModelAgent { key, ..agent(&server.url) }).await.result.unwrap_err();
    assert_eq!((failure.code(), server.seen().len()), ("no-secret", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn inner_addresses_are_reached_only_where_that_is_allowed() {
    let closed = ModelAgent { allow_inner: false, ..agent("https://127.0.0.1/v1") };
    assert!(matches!(closed.check(), Err(AgentError::Inner { .. })));
    assert_eq!(simple_job(closed).await.result.unwrap_err().code(), "model-endpoint");
    // By name, that shows when it is looked up; and no second attempt would change it.
    let named = ModelAgent { allow_inner: false, ..agent("https://localhost:1/v1") };
    assert!(named.check().is_ok());
    let failure = simple_job(named).await.result.unwrap_err();
    assert_eq!(failure.code(), "model-endpoint");
    assert!(failure.message().contains("localhost"), "{failure}");
}

#[test]
fn what_is_wrong_with_an_agent_is_named() {
    let outer = |url: &str| ModelAgent { allow_inner: false, ..agent(url) };
    assert!(outer("https://example.com/v1/").check().is_ok());
    assert!(matches!(outer("example.com").check(), Err(AgentError::Url { .. })));
    assert!(matches!(outer("ftp://example.com").check(), Err(AgentError::Url { .. })));
    assert!(matches!(outer("http://example.com").check(), Err(AgentError::Plain { .. })));
    assert!(matches!(outer("https://me:pw@example.com").check(), Err(AgentError::Credentials { .. })));
    let nameless = ModelAgent { model: String::new(), ..outer("https://example.com") };
    assert!(matches!(nameless.check(), Err(AgentError::NoModel { .. })));
}
