//! Agents that are language models: over the network, and under crashes.

mod conversations;
mod crashes;
mod endpoint;
mod people;
mod server;
mod tooling;

use super::client::Endpoint;
use super::{ModelAgent, SecretRef, register_with};
use rejoin::{Agent, Builder, Engine, Failure, IndexKind, Job, RunError, Usage, time::seconds};
use serde_json::Value;
use std::sync::Arc;

/// The agent of the tests.
fn agent(url: &str) -> ModelAgent {
    ModelAgent {
        name: "clerk".into(),
        url: url.into(),
        model: "small".into(),
        key: None,
        instructions: "You are a clerk.".into(),
        temperature: Some(0.0),
        output: None,
        asks: Vec::new(),
        within: super::WITHIN,
        max_turns: super::MAX_TURNS,
        token_budget: None,
        timeout: seconds(5),
        attempts: 3,
        allow_inner: true,
    }
}

/// Registers an agent that answers over the network, without anybody who watches.
fn registered(builder: Builder, agent: ModelAgent) -> Builder {
    let endpoint = Arc::new(Endpoint::new(&agent));
    register_with(builder, agent, endpoint, None)
}

/// What came of a job, what it has cost, and the files that it was kept in.
struct Lived {
    result: Result<Value, Failure>,
    usage: Usage,
    kept: Vec<u8>,
}

impl Lived {
    /// Whether this text stands in a file of the store.
    fn keeps(&self, text: &str) -> bool {
        self.kept.windows(text.len()).any(|bytes| bytes == text.as_bytes())
    }
}

/// Has an engine with the agent do one job.
async fn job(agent: ModelAgent, app: impl FnOnce(Builder) -> Builder, input: Value) -> Lived {
    let folder = tempfile::tempdir().unwrap();
    let builder = Engine::open(folder.path()).index(IndexKind::Memory).person("ann");
    let builder = builder.agent(Agent::named("clerk").subagents(0));
    let engine = app(registered(builder, agent)).start().await.unwrap();
    let run = engine.job(&Job::<Value, Value>::of("clerk"), input).await.unwrap();
    let result = match run.result().await {
        Ok(value) => Ok(value),
        Err(RunError::Failed(failure)) => Err(failure),
        Err(other) => panic!("{other}"),
    };
    let usage = engine.usage(run.id()).unwrap();
    engine.shutdown().await;
    let files = std::fs::read_dir(folder.path()).unwrap().filter_map(|file| std::fs::read(file.ok()?.path()).ok());
    Lived { result, usage, kept: files.flatten().collect() }
}

/// That, of an agent without tools.
async fn simple_job(agent: ModelAgent) -> Lived {
    job(agent, |builder| builder, "Say something.".into()).await
}

/// A key in a file, which goes when the folder does.
fn key(text: &str) -> (tempfile::TempDir, Option<SecretRef>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, text).unwrap();
    (folder, Some(SecretRef::File(path)))
}
