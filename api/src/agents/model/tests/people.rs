//! A model that waits for people, and one that is told to stop.

use super::server::{Reply, Server, calls, plain, text_lines};
use super::{agent, registered};
use crate::agents::model::{ModelAgent, register};
use crate::endpoint::Door;
use rejoin::{Agent, Context, Engine, Filter, IndexKind, Job, RunStatus, Workflow};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

type Anything = Job<Value, Value>;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked() {
    let question = calls(&[("ask_person", r#"{"question":"Publish it?","answers":["publish","wait"]}"#)]);
    let server = Server::saying([question, plain("It waits.")]).await;
    let folder = tempfile::tempdir().unwrap();
    let clerk = ModelAgent { asks: vec!["ann".into()], ..agent(&server.url) };
    let builder = registered(Engine::open(folder.path()).index(IndexKind::Memory), clerk).person("ann");
    let engine = builder.start().await.unwrap();
    let run = engine.job(&Anything::of("clerk"), "Publish.".into()).await.unwrap();
    let open = loop {
        match engine.approvals().unwrap().pop() {
            Some(open) => break open,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    assert_eq!((open.question.as_str(), open.persons), ("Publish it?", vec!["ann".to_owned()]));
    engine.decide(open.token, "ann", "wait", Some("not today")).await.unwrap();
    assert_eq!(run.result().await.unwrap(), "It waits.");
    let told: Value = serde_json::from_str(server.seen()[1].last().1).unwrap();
    assert_eq!(told["data"], json!({ "answer": "wait", "by": "ann", "comment": "not today" }));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_cancelled_asks_no_model_any_more() {
    const WAIT: Workflow<Value, Value> = Workflow::named("wait");
    let wait = || calls(&[("wait", "{}")]);
    let server = Server::saying([wait(), wait(), plain("Over.")]).await;
    let folder = tempfile::tempdir().unwrap();
    let engine = registered(Engine::open(folder.path()).index(IndexKind::Memory), agent(&server.url))
        .agent(Agent::named("clerk").grant("wait"))
        .workflow(&WAIT, |ctx: Context, _: Value| async move { ctx.signal::<Value>("never").await })
        .start()
        .await
        .unwrap();
    let children = async || loop {
        let (workflow, status) = (Some("wait".to_owned()), Some(RunStatus::Suspended));
        let open = engine.list(&Filter { workflow, status, ..Filter::default() }, None, 10).unwrap().runs;
        match open.first() {
            Some(child) => break child.id,
            None => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let run = engine.job(&Anything::of("clerk"), "Wait.".into()).await.unwrap();
    // A call that is cancelled by itself is an answer.
    engine.run::<Value>(children().await).cancel("enough").await.unwrap();
    while server.seen().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let told: Value = serde_json::from_str(server.seen()[1].last().1).unwrap();
    assert_eq!(told["status"], "cancelled");
    children().await;
    run.cancel("really").await.unwrap();
    let failure = run.result().await.unwrap_err().to_string();
    assert!(failure.contains("really"), "{failure}");
    assert_eq!(server.seen().len(), 2);
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_says_is_seen_while_it_comes() {
    let seen = Arc::new(Notify::new());
    let server = Server::saying([Reply::Halting(text_lines("Once upon a time."), seen.clone())]).await;
    let folder = tempfile::tempdir().unwrap();
    let door = Door::open(0).await.unwrap();
    let builder = Engine::open(folder.path()).index(IndexKind::Memory);
    let engine = register(builder, agent(&server.url), door.clone()).start().await.unwrap();
    door.serve(engine.clone());
    let run = engine.job(&Anything::of("clerk"), "Tell me a story.".into()).await.unwrap();
    let update = run.next_progress(0).await.unwrap().pop().unwrap();
    // The rest has not been said yet.
    assert_eq!(update.value::<String>().unwrap(), "Once upo");
    seen.notify_one();
    assert_eq!(run.result().await.unwrap(), "Once upon a time.");
    engine.shutdown().await;
    door.close();
}
