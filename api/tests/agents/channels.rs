//! Questions that go out by webhook, and answers that come in.

use crate::agents::secret::SecretRef;
use crate::agents::webhook::{self, Webhook};
use crate::stage::Stage;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use rejoin::{Context, Workflow};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const REVIEW: Workflow<Value, String> = Workflow::named("review");

#[tokio::test(flavor = "multi_thread")]
async fn spec_f7_a_question_goes_out_signed_and_its_answer_comes_in() {
    let (told, mut hears) = mpsc::channel::<(HeaderMap, Value)>(8);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let take = move |headers: HeaderMap, body: Bytes| async move {
        let first = told.capacity() == told.max_capacity();
        told.try_send((headers, serde_json::from_slice(&body).unwrap())).unwrap();
        // It is busy at first, and told again under the same id.
        if first { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/hook", post(take))).await });

    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let stage = Stage::with(|builder, door| {
        let hook = Webhook { url, secret: Some(SecretRef::File(key)), allow_inner: true };
        let handler = |ctx: Context, _: Value| async move {
            let asked = ctx.approval("Publish?").answers(["yes", "no"]).persons(["ann"]).through("hook");
            asked.await.map(|decision| format!("{} by {}", decision.answer, decision.by))
        };
        builder.person("ann").channel("hook", webhook::channel(hook, door)).workflow(&REVIEW, handler)
    })
    .await;
    let run = stage.engine.trigger(&REVIEW, json!({})).await.unwrap();
    let (first, told) = hears.recv().await.unwrap();
    let (second, again) = hears.recv().await.unwrap();
    assert_eq!((first["webhook-id"].clone(), &told), (second["webhook-id"].clone(), &again));
    assert!(second["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    assert_eq!((told["question"].clone(), told["answers"].clone()), (json!("Publish?"), json!(["yes", "no"])));

    let client = Client::builder().no_proxy().build().unwrap();
    let answers = told["answer_url"].as_str().unwrap();
    // Whoever only looks decides nothing.
    assert_eq!(client.get(answers).send().await.unwrap().status(), StatusCode::NOT_FOUND.as_u16());
    let say = async |url: &str, person: &str, answer: &str| {
        let said = json!({ "person": person, "answer": answer });
        client.post(url).body(said.to_string()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(say(answers, "eve", "yes").await, 409);
    assert_eq!(say(answers, "ann", "maybe").await, 409);
    assert_eq!(say(&answers.replace("apr_", "apr-"), "ann", "yes").await, 400);
    assert_eq!(say(answers, "ann", "yes").await, 200);
    assert_eq!(run.result().await.unwrap(), "yes by ann");
    assert_eq!(say(answers, "ann", "no").await, 409);
    stage.end().await;
}
