//! An engine with agents that work elsewhere, and the door between them.

use crate::agents::command::{self, CommandAgent};
use crate::endpoint::Door;
use rejoin::{Agent, Builder, Engine, Failure, RunError};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The name of the agent that is tested.
pub const AGENT: &str = "agent";

pub struct Stage {
    /// Goes with it.
    _folder: TempDir,
    pub engine: Engine,
    pub door: Door,
}

/// An agent that is a shell script.
pub fn script(text: &str) -> CommandAgent {
    CommandAgent {
        name: AGENT.to_owned(),
        version: 1,
        program: ["sh", "-c", text].map(str::to_owned).into(),
        folder: "/".into(),
        scratch: std::env::temp_dir(),
        environment: BTreeMap::new(),
        secrets: BTreeMap::new(),
        timeout: Duration::from_secs(20),
        memory_bytes: 4 << 30,
        output_bytes: 1 << 20,
        attempts: 1,
    }
}

impl Stage {
    /// With an agent that is a program.
    pub async fn command(agent: CommandAgent) -> Stage {
        Stage::with(|builder, door| command::register(builder, agent, door)).await
    }

    pub async fn with(register: impl FnOnce(Builder, Door) -> Builder) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let door = Door::open(0).await.unwrap();
        let engine = register(Engine::open(folder.path().join("data")), door.clone()).start().await.unwrap();
        door.serve(engine.clone());
        Stage { _folder: folder, engine, door }
    }

    /// What becomes of a job.
    pub async fn job(&self, input: Value) -> Result<Value, Failure> {
        let run = self.engine.job_json(AGENT, None, &input).await.unwrap();
        match run.result().await {
            Ok(result) => Ok(result),
            Err(RunError::Failed(failure)) => Err(failure),
            Err(other) => panic!("{other}"),
        }
    }

    pub async fn end(self) {
        self.engine.shutdown().await;
        self.door.close();
    }
}

/// What becomes of a job of a script.
pub async fn of_script(text: &str) -> Result<Value, Failure> {
    of(script(text)).await
}

pub async fn of(agent: CommandAgent) -> Result<Value, Failure> {
    let stage = Stage::command(agent).await;
    let done = stage.job(Value::Null).await;
    stage.end().await;
    done
}

/// An agent with grants.
pub fn granted(names: &[&str]) -> Agent {
    names.iter().fold(Agent::named(AGENT), |agent, name| agent.grant(*name))
}

/// Waits for what a program writes into a file.
pub async fn written(path: &Path) -> String {
    let began = Instant::now();
    loop {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ if began.elapsed() > Duration::from_secs(20) => panic!("{} was not written", path.display()),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Waits until a process is gone; one that nobody has waited for yet is.
pub async fn gone(pid: &str) {
    let began = Instant::now();
    let works = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while works() {
        assert!(began.elapsed() < Duration::from_secs(20), "process {pid} still works");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
