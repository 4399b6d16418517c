//! An agent that is a program: started for each piece of work, told what to do on stdin, and heard on stdout.
//!
//! It is started in a process group of its own, in an environment with nothing in it but what was declared, and with a limit on
//! memory, output and time. It may trigger what its agent is granted by `rejoin trigger`, through the endpoint that
//! `REJOIN_URL` names. When the attempt ends, in whatever way, nothing of the group goes on; only a process that has left the
//! group, or a kill of this process that nobody can answer, leaves something behind.
//!
//! What it prints is the result: JSON, if the whole of it is, else text. A line that is an object of one field may also be:
//!
//! | line | meaning |
//! |---|---|
//! | `{"result": ..}` | the result, whatever else is printed |
//! | `{"error": {"code", "message", "retryable"}}` | it failed |
//! | `{"emit": ..}` | a piece for the run's stream, recorded when the attempt has ended |
//! | `{"artefact": {"name", "value"}}` | something made beside the answer |
//! | `{"usage": {"input_tokens", "output_tokens", "cost_micros"}}` | what it has cost; several add up |
//! | `{"progress": ..}` | how far it is, for whoever watches |
//! | `{"handoff": {"message", "ending", "email", "phone", "url"}}` | a person takes over the conversation |
//! | `{"transfer": {"agent", "note"}}` | another agent goes on with it |

mod documents;
mod group;
mod left;
mod output;
mod program;

use super::answer::Answer;
use super::assignment::{Work, reading};
use super::elsewhere::{self, Attempting, Elsewhere};
use super::progress::Telling;
use super::redact::Redactor;
use super::secret::SecretRef;
use super::trouble::{lasting, passing};
use crate::endpoint::Door;
use documents::Folder;
use group::Group;
pub(crate) use left::end_programs;
use output::{Heard, Tail, Unheard};
use program::Program;
use rejoin::{Attempt, Builder, Failure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How much of stderr is kept for the message of a failure, in bytes.
const KEPT: usize = 4 << 10;

/// An agent that is a program.
#[derive(Clone, Debug)]
pub(crate) struct CommandAgent {
    /// The agent's name.
    pub(crate) name: String,
    /// Of what answers for it, where that is a step of a definition.
    pub(crate) version: u32,
    /// The program and its arguments.
    pub(crate) program: Vec<String>,
    /// Where it works.
    pub(crate) folder: PathBuf,
    /// Where each attempt has a folder for its temporary files, which goes with it. What a kill leaves there nobody needs.
    pub(crate) scratch: PathBuf,
    /// What is in its environment beside `PATH`, `HOME`, `LANG`, `TMPDIR` and what begins with `REJOIN_`.
    pub(crate) environment: BTreeMap<String, String>,
    /// The same, read when it is started; nothing that is kept has their values.
    pub(crate) secrets: BTreeMap<String, SecretRef>,
    /// How long one attempt may take.
    pub(crate) timeout: Duration,
    /// How much memory each of its processes may map, in bytes.
    pub(crate) memory_bytes: u64,
    /// How much it may print on stdout, in bytes.
    pub(crate) output_bytes: usize,
    /// How many attempts each piece of work gets.
    pub(crate) attempts: u32,
}

/// Registers what answers for the agent. The agent itself, with its grants, is declared apart from that.
pub(crate) fn register(builder: Builder, agent: CommandAgent, door: Door) -> Builder {
    let (name, version) = (agent.name.clone(), agent.version);
    elsewhere::register(builder, &name, version, Commanded { agent, door })
}

/// The agent, and the way back to the engine.
struct Commanded {
    agent: CommandAgent,
    door: Door,
}

impl Elsewhere for Commanded {
    const STEP: &'static str = "command";

    fn attempts(&self) -> u32 {
        self.agent.attempts
    }

    fn attempt(self: Arc<Self>, work: Arc<Work>, attempt: Attempt) -> Attempting {
        Box::pin(async move { self.execute(work, attempt).await })
    }
}

impl Commanded {
    async fn execute(&self, work: Arc<Work>, attempt: Attempt) -> Result<Answer, Failure> {
        let stopped = || passing("stopped", "the engine is going");
        let program = Program::prepare(&self.agent)?;
        let engine = self.door.engine().await.ok_or_else(stopped)?;
        let (token, progress) = (attempt.token(&engine).to_string(), Telling::of(&engine, &attempt));
        let redactor = Redactor::new(program.secrets().cloned().chain([token.clone()]));
        let environment = self.environment(token, &attempt);
        let (of, scratch) = (work.clone(), self.agent.scratch.clone());
        let (input, folder) = reading(move || input(&of, &attempt, &scratch)).await?;
        let group = Group::start(program.command(&self.agent, environment, folder.path()), folder)?;
        self.attend(group, input, redactor, work.run.to_string(), progress).await
    }

    /// What it is told of its run beside what is on stdin.
    fn environment(&self, token: String, attempt: &Attempt) -> Vec<(&'static str, String)> {
        let program = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
        vec![
            ("REJOIN_BIN", program),
            ("REJOIN_URL", self.door.url().to_owned()),
            ("REJOIN_RUN_TOKEN", token),
            ("REJOIN_RUN", attempt.run_id().to_string()),
            ("REJOIN_KEY", attempt.idempotency_key()),
        ]
    }

    async fn attend(
        &self,
        mut group: Group,
        input: Vec<u8>,
        redactor: Redactor,
        run: String,
        progress: Telling,
    ) -> Result<Answer, Failure> {
        let agent = &self.agent;
        let mut heard = Heard::new(agent.output_bytes, redactor.clone(), progress);
        let mut tail = Tail::new(KEPT, redactor, run);
        let attended = tokio::time::timeout(agent.timeout, group.attend(input, &mut heard, &mut tail)).await;
        let last = |message: String| tail.after(message);
        let failure = match attended {
            Ok(Ok(status)) => return heard.answer(status, last),
            Ok(Err(Unheard::TooMuch)) => {
                let message = format!("{} printed more than {} bytes", agent.name, agent.output_bytes);
                lasting("output-limit", last(message))
            }
            Ok(Err(Unheard::Io(error))) => {
                passing("not-heard", last(format!("what {} says could not be read: {error}", agent.name)))
            }
            Err(_) => {
                let message = format!("{} took longer than {} s", agent.name, agent.timeout.as_secs_f64());
                passing("timeout", last(message))
            }
        };
        group.end().await;
        Err(failure)
    }
}

/// One line of JSON for stdin, and the folder with the documents that it names.
fn input(work: &Work, attempt: &Attempt, scratch: &Path) -> Result<(Vec<u8>, Folder), Failure> {
    let folder = Folder::new(scratch)?;
    let assignment = work.assignment(attempt, |(place, document)| folder.keep(place, document))?;
    let mut line = serde_json::to_vec(&assignment)?;
    line.push(b'\n');
    Ok((line, folder))
}
