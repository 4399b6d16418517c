//! A model that waits for people, and one that is told to stop.

use super::agent;
use super::server::{Server, calls, plain};
use crate::agents::model::{ModelAgent, register};
use rejoin::{Agent, Context, Engine, Filter, IndexKind, Job, RunStatus, Workflow};
use serde_json::{Value, json};
use std::time::Duration;

type Anything = Job<Value, Value>;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked() {
    let question = calls(&[("ask_person", r#"{"question":"Publish it?","answers":["publish","wait"]}"#)]);
    let server = Server::saying([question, plain("It waits.")]).await;
    let folder = tempfile::tempdir().unwrap();
    let clerk = ModelAgent { persons: vec!["ann".into()], ..agent(&server.url) };
    let builder = register(Engine::open(folder.path()).index(IndexKind::Memory), clerk).person("ann");
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
    let engine = register(Engine::open(folder.path()).index(IndexKind::Memory), agent(&server.url))
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
