//! F2, I4: results that are tagged, and scripted conversations. The examples of chats are played here.

use super::said;
use rejoin::testkit::Dialogue;
use rejoin::time::{minutes, seconds};
use rejoin::{Agent, Answer, Builder, Context, Failure, Grant, Job, Results, Tagged, Task, Turn, Workflow};
use rejoin_tests::lives::{MAIN, builder};
use serde_json::{Value, json};

const SALES: Job<Turn, String> = Job::turns("sales");
const PROPOSAL: Workflow<String, Tagged> = Workflow::named("draft-sales-proposal");

/// A sales agent, and the workflow in which three agents draft a proposal.
fn sales() -> Builder {
    let speaks = |name: &'static str| {
        move |_: Context, task: Task| async move { Ok(json!(format!("{name}: {}", task.description))) }
    };
    builder()
        .person("ann")
        .agent(Agent::named("sales").grant(Grant::of("draft-sales-proposal").when("a full proposal is asked for")))
        .job(&SALES, |ctx: Context, turn: Turn| async move {
            let Some(account) = turn.text().strip_prefix("draft a full proposal for ").map(str::to_owned) else {
                return Ok("Tell me about the account.".to_owned());
            };
            match ctx.call(&PROPOSAL, account).timeout(minutes(5)).await {
                Ok(proposal) => Ok(proposal.text()),
                Err(failure) => Ok(format!("There was an issue ({}).", failure.code())),
            }
        })
        .job(&Job::tasks("researcher"), speaks("researched"))
        .job(&Job::tasks("writer"), speaks("written"))
        .job(&Job::tasks("reviewer"), speaks("reviewed"))
        .workflow(&PROPOSAL, |ctx: Context, account: String| async move {
            if account == "nobody" {
                return Err(Failure::business("no-such-account", account));
            }
            let mut results = Results::default();
            let mut text = account;
            for agent in ["researcher", "writer", "reviewer"] {
                let done = ctx.task(agent, text).await?;
                results.add_task(agent, &done);
                text = done.text();
            }
            Ok(results.finish())
        })
}

#[test]
fn spec_i4_a_scripted_conversation_checks_what_is_called_and_what_comes_back() {
    let played = Dialogue::with("sales", sales())
        .user("ann")
        .says("hello")
        .calls_nothing()
        .replies("Tell me about the account.")
        .says("draft a full proposal for acme")
        .calls("draft-sales-proposal", "acme")
        .returning(&json!({ "result": "text", "text": "reviewed: written: researched: acme" }))
        .replies("reviewed: written: researched: acme")
        .says("draft a full proposal for nobody")
        .calls("draft-sales-proposal", "nobody")
        .failing("no-such-account")
        .replies_with("There was an issue")
        .play();
    assert_eq!((played.messages.len(), played.calls.iter().map(Vec::len).sum::<usize>()), (6, 2));
}

#[test]
fn spec_i4_a_conversation_that_goes_another_way_says_where() {
    let differs = |dialogue: Dialogue| dialogue.check().expect_err("it goes another way");
    let what = differs(Dialogue::with("sales", sales()).says("hello").replies("Goodbye."));
    assert!(
        what.contains("somebody: hello") && what.contains(r#"should answer "Goodbye.", and says "Tell me"#),
        "{what}"
    );
    let call = || Dialogue::with("sales", sales()).says("draft a full proposal for acme");
    let what = differs(call().calls("draft-sales-proposal", "other"));
    assert!(
        what.contains(r#"should call draft-sales-proposal with "other", and calls draft-sales-proposal with "acme""#),
        "{what}"
    );
    assert!(differs(call().calls_nothing()).contains("should call nothing more"));
    assert!(differs(call().calls("draft-sales-proposal", "acme").failing("late")).contains("should end with"));
    assert!(differs(call().replies_with("reviewed").replies("and more")).contains("says nothing more"));
    assert!(differs(Dialogue::with("nobody", sales()).says("hello")).contains("nobody"));
}

#[test]
fn spec_e1_the_shopping_assistant_goes_on_without_a_matcher_that_is_late() {
    const SHOP: Job<Turn, String> = Job::turns("shop");
    const MATCH: Job<Value, String> = Job::named("product-matcher", "match");
    let app = builder()
        .agent(Agent::named("shop").grant("product-matcher"))
        .job(&SHOP, |ctx: Context, turn: Turn| async move {
            let wish = json!({ "preferences": turn.text() });
            let found = ctx.job(&MATCH, wish).timeout(seconds(15)).await;
            Ok(match Answer::from(found) {
                Answer::Completed(found) => format!("I found {found}."),
                Answer::TimedOut(_) => "Let me show you our favourites instead.".to_owned(),
                other => format!("{other:?}"),
            })
        })
        .job(&MATCH, |ctx: Context, wish: Value| async move {
            let slow = wish["preferences"] == "everything";
            ctx.sleep(seconds(if slow { 60 } else { 10 })).await?;
            Ok("a lamp".to_owned())
        });
    Dialogue::with("shop", app)
        .says("something bright")
        .calls("product-matcher", &json!({ "preferences": "something bright" }))
        .returning("a lamp")
        .replies("I found a lamp.")
        .says("everything")
        .calls("product-matcher", &json!({ "preferences": "everything" }))
        .failing("call-timeout")
        .replies("Let me show you our favourites instead.")
        .play();
}

#[test]
fn spec_f1_write_newsletter_calls_analyze_engagement() {
    const ANALYZE: Workflow<String, Tagged> = Workflow::named("analyze-engagement");
    const WRITER: Job<Task, Value> = Job::tasks("writer");
    let app = builder()
        .agent(Agent::named("writer").grant("analyze-engagement"))
        .job(&WRITER, |ctx: Context, task: Task| async move {
            let report = ctx.call(&ANALYZE, "2026-W47".to_owned()).message("Focus on this week's blog posts").await?;
            let Tagged::Structured { value, .. } = report else { return Err(Failure::permanent("no report")) };
            Ok(json!(format!("{}: {}", task.description, value["top"])))
        })
        .workflow(&ANALYZE, |ctx: Context, week: String| async move {
            let mut results = Results::default();
            results.add("counter", &json!({ "week": week, "views": 900 }));
            results.add("ranker", &json!({ "top": ctx.occasion() }));
            Ok(results.finish())
        })
        .workflow(&MAIN, |ctx: Context, _: u32| async move { Ok(ctx.task("writer", "This week").await?.text()) });
    assert_eq!(said(app), r#"This week: "Focus on this week's blog posts""#);
}

#[test]
fn spec_f2_results_are_merged_in_order_and_tagged() {
    let finish = |all: &[(&str, Value)]| {
        let mut results = Results::default();
        all.iter().for_each(|(agent, result)| results.add(*agent, result));
        results.finish()
    };
    let merged = finish(&[
        ("one", json!({ "a": 1, "b": 1 })),
        ("two", json!("a text")),
        ("three", json!({ "b": 2, "c": 3 })),
        ("four", json!({ "c": 3 })),
    ]);
    let Tagged::Structured { value, conflicts } = &merged else { panic!("{merged:?}") };
    assert_eq!(*value, json!({ "a": 1, "b": 2, "c": 3 }));
    assert_eq!(conflicts.keys().collect::<Vec<_>>(), ["b"], "what is the same is no conflict");
    assert_eq!(conflicts["b"], [("one".to_owned(), json!(1)), ("three".to_owned(), json!(2))]);
    assert_eq!(finish(&[("one", json!("first")), ("two", json!("last"))]), Tagged::Text { text: "last".to_owned() });
    assert!(matches!(finish(&[("one", Value::Null)]), Tagged::None { .. }));
    let mut declared = Results::default();
    declared.add("one", &json!({ "a": 1 }));
    declared.declare(json!({ "own": true }));
    let declared = declared.finish();
    assert_eq!(declared, Tagged::of(json!({ "own": true })));
    let text = serde_json::to_string(&declared).unwrap();
    assert_eq!(text, r#"{"result":"structured","value":{"own":true}}"#);
    assert_eq!(serde_json::from_str::<Tagged>(&text).unwrap(), declared);
}
