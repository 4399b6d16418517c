//! Participants: whoever acts for a run from outside its handler, by the run's token.
//!
//! A worker, a command or a model client has no journal to be replayed from. What it calls is called by its run: under the
//! run's project, depth, grants and metadata, and under a key, so that another attempt finds what this one has begun.

use super::Engine;
use super::worker::Task;
use crate::context::Attempt;
use crate::context::options::options;
use crate::error::RunError;
use crate::failure::{Failure, encode};
use crate::projection::RunRow;
use crate::registry::Resolved;
use crate::runtime::Input;
use crate::runtime::tokio::fresh_secret;
use rejoin_machine::brief::{Callee, Given, Terms};
use rejoin_machine::{CallKey, Participation, Payload, RunId, Span};
use rejoin_store::StreamId;
use serde_json::Value;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::future::IntoFuture;
use std::io::{self, Write};
use std::path::Path;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

/// How long a participant's call may take, where it does not say.
const PATIENCE: Span = Span(300_000_000);

/// A credential for one run: it fixes project, caller, depth, grants and metadata. Hand it out of band, and never to a model.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RunToken {
    run: RunId,
    seal: [u8; 16],
}

impl RunToken {
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

/// What run tokens of a data folder are signed with: made once, and readable by the owner alone.
pub(super) fn secret(folder: &Path) -> io::Result<[u8; 32]> {
    let path = folder.join("secret");
    let read = |bytes: Vec<u8>| {
        <[u8; 32]>::try_from(bytes).map_err(|_| io::Error::other(format!("{} does not hold 32 bytes", path.display())))
    };
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        known => return read(known?),
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

impl Task {
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

    /// Triggers a workflow, or asks an agent for a job, in the run's name; await the result. The same key again, in this
    /// attempt or a later one, finds the same child. Where nothing is said it may take five minutes.
    pub fn call(&self, key: impl Into<String>, name: &str, job: Option<&str>, input: &Value) -> ParticipantCall {
        ParticipantCall {
            participant: self.clone(),
            key: key.into(),
            name: name.to_owned(),
            job: job.map(str::to_owned),
            input: encode("the input", input),
            given: Given::default(),
            timeout: Some(PATIENCE),
        }
    }
}

/// A participant's call that has not been made; await it.
#[must_use = "a call is made when it is awaited"]
pub struct ParticipantCall {
    participant: Participant,
    key: String,
    name: String,
    job: Option<String>,
    input: Result<Payload, Failure>,
    given: Given,
    timeout: Option<Span>,
}

impl ParticipantCall {
    /// How long the child may take; it is then cancelled, and the call fails as timed out.
    pub fn timeout(self, limit: Duration) -> Self {
        ParticipantCall { timeout: Some(limit.into()), ..self }
    }

    fn give(mut self, change: impl FnOnce(&mut Given) -> Result<(), Failure>) -> Self {
        if let Err(failure) = change(&mut self.given) {
            self.input = Err(failure);
        }
        self
    }

    async fn send(self) -> Result<Value, RunError> {
        let ParticipantCall { participant: Participant { engine, run }, key, name, job, input, given, timeout } = self;
        let row = engine.shared.log.row(StreamId(run.0))?.and_then(|row| RunRow::decode(&row));
        let caller = row.ok_or(RunError::NotFound(run))?.workflow;
        let registry = &engine.shared.registry;
        let mut terms = Terms { callee: Callee::default(), given: Given { job: job.clone(), ..given } };
        let resolved = registry.resolve(&name, job.as_deref());
        let target = resolved.and_then(|Resolved { target, handler, callee, by_default }| {
            // A workflow needs none.
            terms.callee = Callee { granted: registry.is_granted(&caller, &name), ..callee };
            terms.given.by_default = by_default;
            input.clone().and_then(|input| (handler.check)(&input)).map(|()| target)
        });
        let target = target.map_err(|failure| failure.to_stored());
        let input = input.unwrap_or_else(|_| Payload::from(Vec::new()));
        let child = run.child(&CallKey::of_participant(&key));
        let call = Box::new(Participation { target, name, terms, key, input, timeout });
        engine.ask(|reply| Input::Participate { run, call, reply }).await?;
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
