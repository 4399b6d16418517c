//! Participants: whoever acts for a run from outside its handler, by the run's token.
//!
//! A worker, a command or a model client has no journal to be replayed from. What it calls is called by its run: under the
//! run's project, depth, grants and metadata, and under a key, so that another attempt finds what this one has begun.

use super::Engine;
use super::worker;
use crate::context::options::options;
use crate::context::{Attempt, TASK};
use crate::error::RunError;
use crate::failure::{Failure, encode};
use crate::projection::{RunRow, RunStatus};
use crate::registry::{Callable, Resolved};
use crate::report::{Task, TaskResult};
use crate::runtime::tokio::fresh_secret;
use crate::runtime::{Input, LARGEST_PROGRESS};
use rejoin_machine::brief::{Brief, Callee, Given, Share, Terms};
use rejoin_machine::{CallKey, Event, Participation, Payload, RunId, Span};
use rejoin_store::{StreamId, Version};
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::future::IntoFuture;
use std::io::{self, Write};
use std::path::Path;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

/// A credential for one run: it fixes project, caller, depth, grants and metadata. Hand it out of band, and never to a model.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RunToken {
    run: RunId,
    seal: [u8; 16],
}

impl RunToken {
    /// The token of a run, for whoever may read the data folder: another process, while an engine has that open.
    ///
    /// # Errors
    ///
    /// If the folder has no engine's secret, or it cannot be read.
    pub fn of_folder(folder: impl AsRef<Path>, run: RunId) -> io::Result<RunToken> {
        let path = folder.as_ref().join(SECRET);
        Ok(RunToken::of(run, &whole(&path, fs::read(&path)?)?))
    }

    fn of(run: RunId, secret: &[u8; 32]) -> RunToken {
        let hash = blake3::keyed_hash(secret, &[b"run token", &run.0[..]].concat());
        let mut seal = [0; 16];
        seal.copy_from_slice(&hash.as_bytes()[..16]);
        RunToken { run, seal }
    }
}

impl fmt::Display for RunToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |bytes: [u8; 16]| RunId(bytes).to_string().replace('-', "");
        write!(f, "run_{}_{}", plain(self.run.0), plain(self.seal))
    }
}

// What it opens does not belong into logs.
impl fmt::Debug for RunToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunToken({})", self.run)
    }
}

impl FromStr for RunToken {
    type Err = RunError;

    fn from_str(text: &str) -> Result<RunToken, RunError> {
        let (run, seal) = text.strip_prefix("run_").and_then(|rest| rest.split_once('_')).ok_or(RunError::BadToken)?;
        let read = |text: &str| text.parse::<RunId>().map_err(|_| RunError::BadToken);
        Ok(RunToken { run: read(run)?, seal: read(seal)?.0 })
    }
}

/// The file in the data folder that has what run tokens are signed with.
const SECRET: &str = "secret";

fn whole(path: &Path, bytes: Vec<u8>) -> io::Result<[u8; 32]> {
    <[u8; 32]>::try_from(bytes).map_err(|_| io::Error::other(format!("{} does not hold 32 bytes", path.display())))
}

/// What run tokens of a data folder are signed with: made once, and readable by the owner alone.
pub(super) fn secret(folder: &Path) -> io::Result<[u8; 32]> {
    let path = folder.join(SECRET);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        known => return whole(&path, known?),
    }
    let secret = fresh_secret()?;
    let fresh = folder.join("secret.new");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    // Whole or not there.
    fs::rename(&fresh, &path)?;
    fs::File::open(folder)?.sync_all()?;
    Ok(secret)
}

impl Engine {
    /// The token of a run, to be handed to whoever acts for it.
    pub fn token(&self, run: RunId) -> RunToken {
        RunToken::of(run, &self.shared.secret)
    }

    /// Whoever holds this token.
    ///
    /// # Errors
    ///
    /// [`RunError::BadToken`] if it is not one of this store.
    pub fn participant(&self, token: RunToken) -> Result<Participant, RunError> {
        if RunToken::of(token.run, &self.shared.secret) != token {
            return Err(RunError::BadToken);
        }
        Ok(Participant { engine: self.clone(), run: token.run })
    }
}

impl Attempt {
    /// The token of the run, for what the step hands its work to.
    pub fn token(&self, engine: &Engine) -> RunToken {
        engine.token(self.run_id())
    }
}

impl worker::Task {
    /// The token of the job's run, for calls in its name.
    pub fn token(&self) -> RunToken {
        self.engine.token(self.run_id())
    }
}

/// Somebody who acts for a run.
#[derive(Clone)]
pub struct Participant {
    engine: Engine,
    run: RunId,
}

impl Participant {
    /// The run.
    pub fn run_id(&self) -> RunId {
        self.run
    }

    /// What the run may trigger, as [`Context::callable`](crate::Context::callable) has it.
    ///
    /// # Errors
    ///
    /// [`RunError`] if the log cannot be read, or does not have the run any more.
    pub fn callable(&self) -> Result<Vec<Callable>, RunError> {
        let (name, brief) = self.brief()?;
        Ok(self.engine.shared.registry.callable_by(&name, &brief))
    }

    /// How many subagents the run may have altogether, as [`Context::subagents_allowed`](crate::Context::subagents_allowed) has it.
    ///
    /// # Errors
    ///
    /// As for [`Participant::callable`].
    pub fn subagents_allowed(&self) -> Result<u32, RunError> {
        let (name, brief) = self.brief()?;
        Ok(self.engine.shared.registry.subagents_of(&name, &brief))
    }

    /// Who the run is of, and what it was given.
    fn brief(&self) -> Result<(String, Brief), RunError> {
        let name = self.row(self.run)?.ok_or(RunError::NotFound(self.run))?.workflow;
        let first = self.engine.read(self.run, Version(1), 1)?.into_iter().next();
        let events = first.map(|entry| entry.transition.events).unwrap_or_default();
        let brief = events.into_iter().find_map(|event| match event {
            Event::Briefed(brief) => Some(*brief),
            _ => None,
        });
        Ok((name, brief.unwrap_or_default()))
    }

    /// Says how far the run is, to whoever watches it. It is kept in memory, and only while the run is at work.
    ///
    /// # Errors
    ///
    /// [`RunError::Payload`] over 64 KiB, or if the engine has stopped.
    pub async fn progress<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), RunError> {
        let progress =
            encode("the progress", value).map_err(|failure| RunError::Payload(failure.message().to_owned()))?;
        if progress.len() > LARGEST_PROGRESS {
            let message = format!("progress of {} bytes is over the limit of {LARGEST_PROGRESS}", progress.len());
            return Err(RunError::Payload(message));
        }
        let run = self.run;
        self.engine.ask(|reply| Input::Say { run, progress, reply }).await
    }

    /// How what was called under this key stands; `None` where nothing was.
    ///
    /// # Errors
    ///
    /// [`RunError`] if the log cannot be read.
    pub fn called(&self, key: &str) -> Result<Option<RunStatus>, RunError> {
        let child = self.run.child(&CallKey::of_participant(key));
        Ok(self.row(child)?.map(|row| row.status))
    }

    fn row(&self, run: RunId) -> Result<Option<RunRow>, RunError> {
        Ok(self.engine.shared.log.row(StreamId(run.0))?.and_then(|row| RunRow::decode(&row)))
    }

    /// The names of the subagents that the run has had, by [`Participant::subagent`].
    ///
    /// # Errors
    ///
    /// As for [`Participant::callable`].
    pub fn subagents(&self) -> Result<Vec<String>, RunError> {
        let history = self.engine.history(self.run)?;
        let events = history.into_iter().flat_map(|entry| entry.transition.events);
        let name = |event: Event| match event {
            Event::ParticipantCalled { key, .. } => CallKey::name_of_subagent(&key).map(str::to_owned),
            _ => None,
        };
        Ok(events.filter_map(name).collect())
    }

    /// A part of the run's own work, in words, for its agent once more, beside it: see [`Context::subagent`](crate::Context::subagent).
    /// The result is what that answers. As for [`Participant::call`], the same key finds the same one.
    pub fn subagent(&self, key: &str, description: impl Into<String>) -> ParticipantCall {
        let task = Task { description: description.into(), output: None, complaint: None };
        ParticipantCall {
            participant: self.clone(),
            key: CallKey::for_subagent(key),
            name: String::new(),
            job: Some(TASK.to_owned()),
            input: encode("the task", &task),
            given: Given { subagent: true, share: Some(Share::NewTask), ..Given::default() },
            timeout: None,
        }
    }

    /// As [`Participant::call`], with arguments that a model chose. Those that bear the name of metadata which the callee declares
    /// are dropped, and that is recorded.
    pub fn tool_call(
        &self,
        key: impl Into<String>,
        name: &str,
        job: Option<&str>,
        mut arguments: Value,
    ) -> ParticipantCall {
        let mut dropped = Vec::new();
        if let (Ok(resolved), Some(arguments)) =
            (self.engine.shared.registry.resolve(name, job), arguments.as_object_mut())
        {
            let declared = resolved.callee.declares;
            dropped = declared.into_iter().filter(|name| arguments.remove(name).is_some()).collect();
        }
        let mut call = self.call(key, name, job, &arguments);
        call.given.dropped = dropped;
        call
    }

    /// Triggers a workflow, or asks an agent for a job, in the run's name; await the result. The same key again, in this
    /// attempt or a later one, finds the same child. Where nothing is said it may take as long as the [grant](crate::Grant::timeout) says.
    pub fn call(&self, key: impl Into<String>, name: &str, job: Option<&str>, input: &Value) -> ParticipantCall {
        ParticipantCall {
            participant: self.clone(),
            key: key.into(),
            name: name.to_owned(),
            job: job.map(str::to_owned),
            input: encode("the input", input),
            given: Given::default(),
            timeout: None,
        }
    }
}

/// A participant's call that has not been made; await it.
#[must_use = "a call is made when it is awaited"]
pub struct ParticipantCall {
    participant: Participant,
    key: String,
    /// Of a subagent it is the run's.
    name: String,
    job: Option<String>,
    input: Result<Payload, Failure>,
    given: Given,
    timeout: Option<Duration>,
}

impl ParticipantCall {
    /// How long the child may take; it is then cancelled, and the call fails as timed out.
    pub fn timeout(self, limit: Duration) -> Self {
        ParticipantCall { timeout: Some(limit), ..self }
    }

    fn give(mut self, change: impl FnOnce(&mut Given) -> Result<(), Failure>) -> Self {
        if let Err(failure) = change(&mut self.given) {
            self.input = Err(failure);
        }
        self
    }

    async fn send(self) -> Result<Value, RunError> {
        let ParticipantCall { participant, key, name, job, input, given, timeout } = self;
        let (run, engine) = (participant.run, &participant.engine);
        let caller = participant.row(run)?.ok_or(RunError::NotFound(run))?.workflow;
        let registry = &engine.shared.registry;
        let is_part = given.subagent;
        if !is_part && CallKey::name_of_subagent(&key).is_some() {
            let message = format!("the key {key:?} is one for subagents; give one that begins with another word");
            return Err(RunError::Payload(message));
        }
        let name = if is_part { caller.clone() } else { name };
        let mut terms = Terms { callee: Callee::default(), given: Given { job: job.clone(), ..given } };
        let resolved = registry.resolve(&name, job.as_deref());
        let target = resolved.and_then(|Resolved { target, handler, callee, by_default }| {
            // A workflow needs none.
            terms.callee = Callee { granted: registry.is_granted(&caller, &name), ..callee };
            if is_part {
                registry.beside_itself(&mut terms.callee);
            }
            terms.given.by_default = by_default;
            input.clone().and_then(|input| (handler.check)(&input)).map(|()| target)
        });
        let target = target.map_err(|failure| failure.to_stored());
        let input = input.unwrap_or_else(|_| Payload::from(Vec::new()));
        let child = run.child(&CallKey::of_participant(&key));
        let timeout = Some(Span::from(timeout.unwrap_or_else(|| registry.patience(&caller, &name))));
        let subagents = registry.agent(&caller).map_or(0, |agent| agent.subagents);
        let call = Box::new(Participation { target, name, terms, key, subagents, input, timeout });
        engine.ask(|reply| Input::Participate { run, call, reply }).await?;
        if is_part {
            return Ok(engine.run::<TaskResult>(child).result().await?.output);
        }
        engine.run::<Value>(child).result().await
    }
}

options!(ParticipantCall);

impl IntoFuture for ParticipantCall {
    type Output = Result<Value, RunError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
