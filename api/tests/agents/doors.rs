//! The endpoint for runs, as those who ask it see it.

use crate::agents::command::{self, CommandAgent};
use crate::endpoint::Door;
use crate::stage::{AGENT, Stage, gone, granted, script, written};
use rejoin::{Context, Failure, Workflow};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CHILD: Workflow<Value, Value> = Workflow::named("child").describe("Answers.");

async fn child(ctx: Context, wait: Value) -> Result<Value, Failure> {
    ctx.sleep(Duration::from_millis(wait.as_u64().unwrap_or(0))).await?;
    Ok(json!(ctx.run_id().to_string()))
}

/// A program that works until it is cancelled, and what it is told of its run.
struct Scene {
    stage: Stage,
    url: String,
    token: String,
    _place: tempfile::TempDir,
}

async fn scene() -> Scene {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("told");
    let mut agent = script(r#"echo "$REJOIN_URL $REJOIN_RUN_TOKEN" > "$FILE"; sleep 1000"#);
    agent.environment.insert("FILE".to_owned(), file.to_str().unwrap().to_owned());
    let grants = granted(&["child"]);
    let stage =
        Stage::with(|builder, door| command::register(builder.agent(grants).workflow(&CHILD, child), agent, door))
            .await;
    stage.engine.job_json(AGENT, None, &Value::Null).await.unwrap();
    let told = written(&file).await;
    let (url, token) = told.split_once(' ').unwrap();
    assert_eq!(url, stage.door.url());
    Scene { url: url.to_owned(), token: token.to_owned(), stage, _place: place }
}

impl Scene {
    async fn ask(&self, method: Method, path: &str, body: String) -> (StatusCode, Value) {
        let request = Client::new().request(method, format!("{}{path}", self.url)).bearer_auth(&self.token).body(body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn trigger(&self, body: Value) -> (StatusCode, Value) {
        self.ask(Method::POST, "/v1/run/trigger", body.to_string()).await
    }

    async fn end(self) {
        for run in self.stage.engine.list(&rejoin::Filter::default(), None, 100).unwrap().runs {
            if !run.row.status.is_closed() {
                self.stage.engine.run::<Value>(run.id).cancel("the test is over").await.unwrap();
            }
        }
        self.stage.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_told_what_it_may_trigger() {
    let scene = scene().await;
    let (status, told) = scene.ask(Method::GET, "/v1/run", String::new()).await;
    assert_eq!((status, &told["name"], &told["depth"]), (StatusCode::OK, &json!(AGENT), &json!(0)));
    let child = json!({ "name": "child", "is_agent": false, "description": "Answers.", "when": null, "timeout_seconds": 300.0, "input": null, "jobs": [] });
    assert_eq!(told["callable"], json!([child]));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_again_is_the_same_child_and_another_key_is_another() {
    let scene = scene().await;
    let (status, first) = scene.trigger(json!({ "name": "child" })).await;
    assert_eq!((status, &first["status"]), (StatusCode::OK, &json!("completed")));
    let (_, again) = scene.trigger(json!({ "name": "child", "input": null })).await;
    let (_, other) = scene.trigger(json!({ "name": "child", "key": "second" })).await;
    assert!(first == again && first != other, "{first} {again} {other}");
    let (status, conflict) = scene.trigger(json!({ "name": "child", "key": "second", "input": 1 })).await;
    assert_eq!((status, &conflict["error"]["code"]), (StatusCode::CONFLICT, &json!("rejected")));
    let (status, refused) = scene.trigger(json!({ "name": AGENT })).await;
    assert_eq!((status, &refused["status"]), (StatusCode::OK, &json!("refused")));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_goes_on_when_whoever_asked_for_it_has_gone() {
    let scene = scene().await;
    let body = json!({ "name": "child", "input": 1_000 });
    let gone = tokio::time::timeout(Duration::from_millis(300), scene.trigger(body.clone())).await;
    assert!(gone.is_err());
    let (_, done) = scene.trigger(body).await;
    assert_eq!(done["status"], "completed");
    let children = rejoin::Filter { workflow: Some("child".to_owned()), ..rejoin::Filter::default() };
    assert_eq!(scene.stage.engine.list(&children, None, 10).unwrap().runs.len(), 1);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_in_a_wrong_way_is_refused_with_a_name() {
    let scene = scene().await;
    let deep = format!(r#"{{"name": "child", "input": {}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
    let long = format!(r#"{{"name": "child", "input": "{}"}}"#, "x".repeat(3 << 20));
    let cases = [
        (Method::GET, "/v1/nothing", String::new(), 404, "no-route"),
        (Method::GET, "/v1/run/trigger", String::new(), 404, "no-route"),
        (Method::POST, "/v1/run/trigger", "{".to_owned(), 400, "bad-request"),
        (Method::POST, "/v1/run/trigger", r#"{"name": "child", "other": 1}"#.to_owned(), 400, "bad-request"),
        (Method::POST, "/v1/run/trigger", r#"{"name": "child", "timeout_seconds": 0}"#.to_owned(), 400, "bad-request"),
        (Method::POST, "/v1/run/trigger", deep, 400, "bad-request"),
        (Method::POST, "/v1/run/trigger", long, 413, "too-long"),
    ];
    for (method, path, body, status, code) in cases {
        let (got, said) = scene.ask(method, path, body).await;
        assert_eq!((got.as_u16(), &said["error"]["code"]), (status, &json!(code)), "{path}: {said}");
        assert!(said["error"]["message"].as_str().is_some_and(|message| message.len() > 10), "{said}");
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_without_a_token_or_from_elsewhere() {
    let scene = scene().await;
    let url = format!("{}/v1/run", scene.url);
    let forged =
        format!("{}{}", &scene.token[..scene.token.len() - 1], if scene.token.ends_with('0') { '1' } else { '0' });
    for header in [
        None,
        Some("Bearer".to_owned()),
        Some("Basic x".to_owned()),
        Some("Bearer x".to_owned()),
        Some(format!("Bearer {forged}")),
    ] {
        let request = Client::new().get(&url);
        let request = if let Some(header) = &header { request.header("authorization", header) } else { request };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{header:?}");
        assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], "bad-token");
    }
    let elsewhere =
        Client::new().get(&url).bearer_auth(&scene.token).header("host", "evil.example").send().await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::FORBIDDEN);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let scene = scene().await;
    let host = scene.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST /v1/run/trigger HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\ncontent-length: 100\r\n\r\n{{",
        scene.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = vec![0; 12];
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_exact(&mut said)).await;
    read.unwrap().unwrap();
    assert_eq!(said, b"HTTP/1.1 408");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_before_the_engine_waits_and_who_comes_after_it_is_told() {
    let door = Door::open(0).await.unwrap();
    let token = format!("run_{0}_{0}", "0".repeat(32));
    let ask = |url: String| {
        let token = token.clone();
        async move { Client::new().get(url).bearer_auth(token).send().await }
    };
    let url = format!("{}/v1/run", door.url());
    assert!(tokio::time::timeout(Duration::from_millis(200), ask(url.clone())).await.is_err());
    let waiting = tokio::spawn(ask(url.clone()));
    tokio::time::sleep(Duration::from_millis(200)).await;
    door.close();
    assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(door.engine().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_goes_takes_its_programs_along_and_the_next_one_starts_them_again() {
    let place = tempfile::tempdir().unwrap();
    let mut agent = script(r#"echo $$ >> "$PLACE/pids"; test $(wc -l < "$PLACE/pids") = 2 || sleep 1000; echo done"#);
    agent.environment.insert("PLACE".to_owned(), place.path().to_str().unwrap().to_owned());
    let data = place.path().join("data");
    let start = |agent: CommandAgent| async {
        let door = Door::open(0).await.unwrap();
        let settings =
            rejoin::Settings { shutdown_patience: Duration::from_millis(100), ..rejoin::Settings::default() };
        let builder = command::register(rejoin::Engine::open(&data), agent, door.clone()).settings(settings);
        let engine = builder.start().await.unwrap();
        door.serve(engine.clone());
        (engine, door)
    };
    let (engine, door) = start(agent.clone()).await;
    let run = engine.job_json(AGENT, None, &Value::Null).await.unwrap().id();
    let first = written(&place.path().join("pids")).await;
    engine.shutdown().await;
    door.close();
    drop(engine);
    gone(&first).await;
    let (engine, door) = start(agent).await;
    assert_eq!(engine.run::<Value>(run).result().await.unwrap(), json!("done"));
    engine.shutdown().await;
    door.close();
}
