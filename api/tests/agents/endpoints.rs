//! Agents that are endpoints, with real ones on this machine.

use crate::agents::http::{self, Header, HttpAgent};
use crate::agents::secret::SecretRef;
use crate::endpoint::Door;
use crate::stage::{AGENT, Stage};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use rejoin::{Engine, Failure, RunStatus};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// An endpoint that counts how often it is asked.
async fn endpoint(
    answer: impl Fn(u32, HeaderMap, Bytes) -> Response + Clone + Send + Sync + 'static,
) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let handler = move |headers: HeaderMap, body: Bytes| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        async move { answer(number, headers, body) }
    };
    let router = Router::new().route("/", post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, asked)
}

fn agent(url: String) -> HttpAgent {
    HttpAgent {
        name: AGENT.to_owned(),
        version: 1,
        url,
        secret: None,
        headers: BTreeMap::new(),
        timeout: Duration::from_secs(10),
        attempts: 2,
        allow_inner: true,
    }
}

async fn of(agent: HttpAgent) -> Result<Value, Failure> {
    let stage = Stage::with(|builder, door| http::register(builder, agent, door)).await;
    let done = stage.job(json!({ "n": 1 })).await;
    stage.end().await;
    done
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_asked_with_a_signature_and_heard() {
    let (url, _) = endpoint(|_, headers, body| {
        let told: Value = serde_json::from_slice(&body).unwrap();
        let said = json!({
            "id": text(&headers, "webhook-id"),
            "signature": text(&headers, "webhook-signature"),
            "key": told["key"],
            "input": told["input"],
            "secret": text(&headers, "x-secret"),
            "plain": text(&headers, "x-plain"),
            "is_timed": !text(&headers, "webhook-timestamp").is_empty(),
        });
        said.to_string().into_response()
    })
    .await;
    let kept = tempfile::NamedTempFile::new().unwrap();
    fs::write(kept.path(), "correct horse").unwrap();
    let secret = SecretRef::File(kept.path().to_owned());
    let mut agent = HttpAgent { secret: Some(secret.clone()), ..agent(url) };
    agent.headers.insert("x-secret".to_owned(), Header::Secret(secret));
    agent.headers.insert("x-plain".to_owned(), Header::Plain("plain".to_owned()));
    let said = of(agent).await.unwrap();
    assert_eq!(said["id"], said["key"]);
    assert!(said["signature"].as_str().unwrap().starts_with("v1,"), "{said}");
    let rest = (&said["input"], &said["secret"], &said["plain"], &said["is_timed"]);
    assert_eq!(rest, (&json!({ "n": 1 }), &json!("[redacted]"), &json!("plain"), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_endpoint_answers_decides_whether_it_is_asked_again() {
    let cases = [
        (404, "http-404", 1),
        (302, "http-302", 1),
        (408, "http-408", 2),
        (425, "http-425", 2),
        (429, "http-429", 2),
        (500, "http-500", 2),
        (503, "http-503", 2),
    ];
    for (status, code, asked) in cases {
        let status = StatusCode::from_u16(status).unwrap();
        let elsewhere = [("location", "http://127.0.0.1:1/")];
        let (url, count) = endpoint(move |_, _, _| (status, elsewhere, "why").into_response()).await;
        let failure = of(agent(url)).await.unwrap_err();
        assert_eq!((failure.code(), count.load(Ordering::SeqCst)), (code, asked));
        assert!(failure.message().ends_with(": why"), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_when_to_ask_again() {
    let (url, _) = endpoint(|number, _, _| match number {
        1 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], "").into_response(),
        _ => StatusCode::NO_CONTENT.into_response(),
    })
    .await;
    let began = Instant::now();
    assert_eq!(of(agent(url)).await, Ok(Value::Null));
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_is_named() {
    let (url, _) = endpoint(|_, _, _| "<html>".into_response()).await;
    assert_eq!(of(agent(url)).await.unwrap_err().code(), "bad-answer");
    let (url, _) = endpoint(|_, _, _| "x".repeat(3 << 20).into_response()).await;
    assert_eq!(of(agent(url)).await.unwrap_err().code(), "output-limit");
    let (url, _) = endpoint(|_, _, _| {
        std::thread::sleep(Duration::from_secs(1));
        "1".into_response()
    })
    .await;
    let hurried = HttpAgent { timeout: Duration::from_millis(200), attempts: 1, ..agent(url) };
    assert_eq!(of(hurried).await.unwrap_err().code(), "timeout");
    let nobody = HttpAgent { attempts: 1, ..agent("http://127.0.0.1:1/".to_owned()) };
    assert_eq!(of(nobody).await.unwrap_err().code(), "unreachable");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_inside_is_asked_unless_that_is_allowed() {
    let (url, count) = endpoint(|_, _, _| "1".into_response()).await;
    let port = url.trim_end_matches('/').rsplit_once(':').unwrap().1.to_owned();
    for host in
        ["127.0.0.1", "localhost", "LOCALHOST", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
    {
        let refused = HttpAgent { allow_inner: false, ..agent(format!("http://{host}:{port}/")) };
        let failure = of(refused).await.unwrap_err();
        assert_eq!(failure.code(), "address-refused", "{host}: {failure}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
    for url in ["ftp://example.org/", "nothing", "http://user:password@example.org/"] {
        assert_eq!(of(agent(url.to_owned())).await.unwrap_err().code(), "bad-url", "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_says_it_as_a_program_does() {
    let (url, asked) = endpoint(|number, _, _| {
        let error = json!({ "error": { "code": "no-stock", "message": "none left" } });
        let said = [error, json!({ "result": 7 }), json!({ "error": 1, "result": 2 }), json!({ "usage": 3 })];
        said[number as usize - 1].to_string().into_response()
    })
    .await;
    let failure = of(agent(url.clone())).await.unwrap_err();
    assert_eq!((failure.code(), failure.message()), ("no-stock", "no-stock: none left"));
    assert_eq!(of(agent(url.clone())).await, Ok(json!(7)));
    assert_eq!(of(agent(url.clone())).await, Ok(json!({ "error": 1, "result": 2 })));
    assert_eq!(of(agent(url)).await.unwrap_err().code(), "bad-answer");
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_comes_back_in_a_late_answer() {
    let (told, mut tellings) = tokio::sync::mpsc::unbounded_channel();
    let (url, _) = endpoint(move |_, headers, _| {
        let said = ["rejoin-url", "rejoin-run-token", "x-secret"].map(|name| text(&headers, name));
        told.send(said).unwrap();
        StatusCode::ACCEPTED.into_response()
    })
    .await;
    let kept = tempfile::NamedTempFile::new().unwrap();
    fs::write(kept.path(), "correct horse").unwrap();
    let mut agent = agent(url);
    agent.headers.insert("x-secret".to_owned(), Header::Secret(SecretRef::File(kept.path().to_owned())));
    let stage = Stage::with(|builder, door| http::register(builder, agent, door)).await;
    let run = stage.engine.job_json(AGENT, None, &json!({})).await.unwrap();
    let [back, token, secret] = tellings.recv().await.unwrap();
    assert_eq!(secret, "correct horse");
    let said = json!({ "result": { "headers": [token, secret], "n": 1 } });
    let request = reqwest::Client::new().post(format!("{back}/v1/run/answer")).bearer_auth(&token).json(&said);
    assert!(request.send().await.unwrap().status().is_success());
    let result: Value = run.result().await.unwrap();
    assert_eq!(result, json!({ "headers": ["[redacted]", "[redacted]"], "n": 1 }));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_may_answer_later() {
    let (told, mut tellings) = tokio::sync::mpsc::unbounded_channel();
    let (url, asked) = endpoint(move |_, headers, _| {
        told.send((text(&headers, "rejoin-url"), text(&headers, "rejoin-run-token"))).unwrap();
        (StatusCode::ACCEPTED, "I shall look into it").into_response()
    })
    .await;
    for (answer, outcome) in [
        (json!({ "result": { "sum": 3 } }), Ok(json!({ "sum": 3 }))),
        (json!({ "error": { "code": "too-hard", "message": "nobody knows" } }), Err("too-hard".to_owned())),
    ] {
        let agent = agent(url.clone());
        let stage = Stage::with(|builder, door| http::register(builder, agent, door)).await;
        let run = stage.engine.job_json(AGENT, None, &json!({})).await.unwrap();
        let (back, token) = tellings.recv().await.unwrap();
        let say = async |path: &str, token: &str, body: &Value| {
            let request = reqwest::Client::new().post(format!("{back}{path}")).bearer_auth(token).json(body);
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!(say("/v1/run/answer", &format!("{token}0"), &answer).await, 401);
        assert_eq!(say("/v1/run/answer", &token, &json!({ "answer": 3 })).await, 400);
        assert_eq!(say("/v1/run/answer", &token, &answer).await, 200);
        // The first answer counts.
        assert_eq!(say("/v1/run/answer", &token, &json!({ "result": "another" })).await, 409);
        let ended = match run.result().await {
            Ok(result) => Ok(result),
            Err(rejoin::RunError::Failed(failure)) => Err(failure.code().to_owned()),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(ended, outcome);
        stage.end().await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_finds_a_run_that_a_restart_has_found_waiting() {
    let (told, mut tellings) = tokio::sync::mpsc::unbounded_channel();
    let (url, asked) = endpoint(move |_, headers, _| {
        told.send(text(&headers, "rejoin-run-token")).unwrap();
        StatusCode::ACCEPTED.into_response()
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let open = async || {
        let (door, agent) = (Door::open(0).await.unwrap(), agent(url.clone()));
        let engine = http::register(Engine::open(folder.path()), agent, door.clone()).start().await.unwrap();
        door.serve(engine.clone());
        (engine, door)
    };
    let (engine, door) = open().await;
    let run = engine.job_json(AGENT, None, &json!({})).await.unwrap().id();
    let token = tellings.recv().await.unwrap();
    while engine.describe(run).unwrap().row.status != RunStatus::Suspended {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    engine.shutdown().await;
    door.close();
    drop(engine);
    let (engine, door) = open().await;
    let request = reqwest::Client::new().post(format!("{}/v1/run/answer", door.url())).bearer_auth(token);
    assert!(request.json(&json!({ "result": "late" })).send().await.unwrap().status().is_success());
    assert_eq!(engine.run::<Value>(run).result().await.unwrap(), "late");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    engine.shutdown().await;
    door.close();
}
