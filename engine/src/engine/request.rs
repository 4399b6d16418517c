//! Requests: to trigger, to signal, to cancel; and the handle of a run.

use super::{Engine, Follow, RunInfo};
use crate::activation::Commission;
use crate::context::options::options;
use crate::context::{ANSWER, Deferred};
use crate::error::{RunError, TriggerError};
use crate::failure::{Failure, decode, encode};
use crate::history::Entry;
use crate::projection::lost_document;
use crate::runtime::Input;
use crate::why::Why;
use rejoin_machine::brief::{Brief, Callee, Given, Terms};
use rejoin_machine::cancel::Cause;
use rejoin_machine::{Command, Origin, Outcome, Payload, RunId, SignalId, Span, Status, Timestamp, Trigger};
use rejoin_store::StreamId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A trigger that has not been sent; await it.
#[must_use = "a trigger is sent when it is awaited"]
pub struct TriggerRequest<O> {
    engine: Engine,
    workflow: String,
    job: Option<String>,
    input: Result<Payload, Failure>,
    key: Option<String>,
    deadline: Option<Duration>,
    labels: Vec<(String, String)>,
    origin: Origin,
    given: Given,
    output: PhantomData<fn() -> O>,
}

impl<O> TriggerRequest<O> {
    pub(super) fn new<I: Serialize + ?Sized>(engine: Engine, workflow: &str, job: Option<&str>, input: &I) -> Self {
        TriggerRequest {
            engine,
            workflow: workflow.to_owned(),
            job: job.map(str::to_owned),
            input: encode("the input", input),
            key: None,
            deadline: None,
            labels: Vec::new(),
            origin: Origin::Api,
            given: Given::default(),
            output: PhantomData,
        }
    }

    /// An idempotency key: the same workflow, key and input again is the same run.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The run must have ended within this time, or is cancelled and ends as timed out.
    pub fn deadline(mut self, within: Duration) -> Self {
        self.deadline = Some(within);
        self
    }

    /// A name and value to find the run by; its children inherit it.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    fn give(mut self, change: impl FnOnce(&mut Given) -> Result<(), Failure>) -> Self {
        if let Err(failure) = change(&mut self.given) {
            self.input = Err(failure);
        }
        self
    }

    async fn send(self) -> Result<RunHandle<O>, TriggerError> {
        let shared = &self.engine.shared;
        let unknown = |failure: Failure| TriggerError::UnknownWorkflow(failure.message().to_owned());
        let resolved = shared.registry.resolve(&self.workflow, self.job.as_deref()).map_err(unknown)?;
        let (target, handler) = (resolved.target, resolved.handler);
        let bad = |failure: Failure| TriggerError::BadInput {
            workflow: self.workflow.clone(),
            reason: failure.message().to_owned(),
        };
        let input = self.input.map_err(bad)?;
        (handler.check)(&input).map_err(bad)?;
        let now = shared.ports.clock.now();
        let id = match &self.key {
            Some(key) => keyed_id(&shared.project, &target.name, self.job.as_deref(), key),
            None => new_id(now, || shared.ports.entropy.next()),
        };
        let given = Given { job: self.job, by_default: resolved.by_default, ..self.given };
        let missing = lost_document(&shared.project, &given, |id| shared.log.head(StreamId(id.0)).is_some());
        let callee = Callee { missing, ..resolved.callee };
        let brief = Brief::of_root(Terms { callee: callee.clone(), given }, None, now);
        brief.check(&target.name, &callee, &shared.settings.limits).map_err(TriggerError::Limit)?;
        let trigger = Trigger {
            project: shared.project.clone(),
            path: vec![target.name.clone()],
            target,
            input,
            origin: self.origin,
            key: self.key,
            parent: None,
            depth: 0,
            deadline: self.deadline.map(|within| now.after(within.into())),
            labels: self.labels,
            seed: shared.ports.entropy.next(),
        };
        let commission = Box::new(Commission::of_run(trigger, brief));
        self.engine.ask(|reply| Input::Trigger { id, commission, reply }).await?;
        Ok(RunHandle::new(self.engine, id))
    }
}

options!(<O> TriggerRequest<O>);

impl<O: 'static> IntoFuture for TriggerRequest<O> {
    type Output = Result<RunHandle<O>, TriggerError>;
    type IntoFuture = Boxed<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// The id of a run that is triggered under a key: a function of project, workflow and key, so that "it must not exist" is
/// the whole check of uniqueness.
pub(super) fn keyed_id(project: &str, workflow: &str, job: Option<&str>, key: &str) -> RunId {
    let mut hasher = blake3::Hasher::new();
    for part in ["key", project, workflow, key].into_iter().chain(job) {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    RunId::hashed(hasher.finalize().as_bytes())
}

/// A new id: a UUID of version 7, whose first bytes are the time.
pub(super) fn new_id(now: Timestamp, mut chance: impl FnMut() -> u64) -> RunId {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&(now.0 / 1000).to_be_bytes()[2..]);
    id[6..14].copy_from_slice(&chance().to_le_bytes());
    id[14..].copy_from_slice(&chance().to_le_bytes()[..2]);
    id[6] = id[6] & 0x0f | 0x70;
    id[8] = id[8] & 0x3f | 0x80;
    RunId(id)
}

/// A run.
pub struct RunHandle<O> {
    pub(super) engine: Engine,
    id: RunId,
    output: PhantomData<fn() -> O>,
}

impl<O> Clone for RunHandle<O> {
    fn clone(&self) -> Self {
        RunHandle::new(self.engine.clone(), self.id)
    }
}

impl<O> RunHandle<O> {
    pub(super) fn new(engine: Engine, id: RunId) -> Self {
        RunHandle { engine, id, output: PhantomData }
    }

    /// The engine that it is a run of.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Its id.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Waits until the run has ended, over any number of suspensions, and returns its output.
    ///
    /// # Errors
    ///
    /// [`RunError::Failed`] with the run's failure, or why it is not known.
    pub async fn result(&self) -> Result<O, RunError>
    where
        O: DeserializeOwned,
    {
        let run = self.id;
        let outcome: Outcome = self.engine.ask(|reply| Input::Await { run, reply }).await?;
        let output = outcome.into_result().map_err(|failure| RunError::Failed(Failure::from_stored(failure)))?;
        decode("the output", &output).map_err(RunError::Failed)
    }

    /// Sends it a signal; await the result.
    pub fn signal<T: Serialize + ?Sized>(&self, name: &str, payload: &T) -> SignalRequest {
        let id = {
            let entropy = &self.engine.shared.ports.entropy;
            let mut id = [0; 16];
            id[..8].copy_from_slice(&entropy.next().to_le_bytes());
            id[8..].copy_from_slice(&entropy.next().to_le_bytes());
            SignalId(id)
        };
        let payload = encode("the signal", payload);
        SignalRequest { engine: self.engine.clone(), run: self.id, id, name: name.to_owned(), payload }
    }

    /// Answers a job whose handler waits for [`Context::deferred`](crate::Context::deferred), now or later. The first answer
    /// counts.
    ///
    /// # Errors
    ///
    /// [`RunError::Answered`] if there is one already, or why it could not be taken.
    pub async fn answer<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), RunError> {
        let value = serde_json::to_value(value).map_err(|error| RunError::Payload(error.to_string()))?;
        self.send_answer(&Deferred::Completed(value)).await
    }

    /// As [`RunHandle::answer`], with a failure: the job says no.
    ///
    /// # Errors
    ///
    /// As [`RunHandle::answer`].
    pub async fn refuse(&self, failure: Failure) -> Result<(), RunError> {
        let (code, message) = (failure.code().to_owned(), failure.message().to_owned());
        self.send_answer(&Deferred::Failed { code, message, details: failure.details().clone() }).await
    }

    async fn send_answer(&self, answer: &Deferred) -> Result<(), RunError> {
        let payload =
            encode("the answer", answer).map_err(|failure| RunError::Payload(failure.message().to_owned()))?;
        // One id for all: the machine takes each id once.
        let command = Command::Signal { id: SignalId([0; 16]), name: ANSWER.to_owned(), payload };
        let run = self.id;
        self.engine.ask(|reply| Input::Command { run, command, reply }).await
    }

    /// Asks it to end: children first, then its handler, which may compensate; await the result.
    pub fn cancel(&self, reason: &str) -> CancelRequest {
        CancelRequest {
            engine: self.engine.clone(),
            run: self.id,
            cause: Cause::Request,
            by: "the api".to_owned(),
            reason: reason.to_owned(),
            grace: None,
        }
    }

    /// Does a run that failed, timed out or was cancelled again, as a new run, from what failed: what it had come to know before is
    /// recalled, as long as the handler asks for the same things; children that failed are done again in the same way. A
    /// handler that has undone what it did is better triggered anew.
    ///
    /// # Errors
    ///
    /// [`RunError::NotRetried`] if it has not ended, has succeeded, is a turn of a conversation, or its handler is gone.
    pub async fn retry(&self) -> Result<RunHandle<O>, RunError> {
        let engine = &self.engine;
        let (shared, run) = (&engine.shared, self.id);
        let refuse = |reason: &str| RunError::NotRetried { run, reason: reason.to_owned() };
        let old = engine.state(run)?;
        match old.status() {
            Status::Closed(Outcome::Completed(_) | Outcome::HandedOff(_)) => return Err(refuse("it has succeeded")),
            Status::Closed(_) => {}
            Status::Created | Status::Running | Status::Cancelling(_) => return Err(refuse("it has not ended")),
        }
        let (trigger, brief) = (old.trigger().clone(), old.brief().clone());
        if brief.thread.is_some() || trigger.target.name.starts_with('$') {
            return Err(refuse("it belongs to a conversation; say it again there"));
        }
        let job = brief.job.clone().filter(|_| !brief.by_default);
        let resolved = shared.registry.resolve(&trigger.target.name, job.as_deref());
        let resolved = resolved.map_err(|failure| refuse(failure.message()))?;
        let id = new_id(shared.ports.clock.now(), || shared.ports.entropy.next());
        let trigger = Trigger {
            target: resolved.target,
            origin: Origin::Fork,
            key: None,
            parent: None,
            deadline: None,
            ..trigger
        };
        let brief = Brief { begin_by: None, ..brief };
        let retries = Some((run, old.incarnation()));
        let commission = Box::new(Commission { retries, ..Commission::of_run(trigger, brief) });
        let sent: Result<(), TriggerError> = engine.ask(|reply| Input::Trigger { id, commission, reply }).await;
        sent.map_err(|error| refuse(&error.to_string()))?;
        Ok(RunHandle::new(engine.clone(), id))
    }

    /// Deletes it and everything below it: all of that must have ended, and no run may have called it that is still there.
    /// When it returns, the runs do not exist any more; the disk that they took is given back a little later. A key that was
    /// used for one of them can be used again.
    ///
    /// # Errors
    ///
    /// [`RunError::NotFound`], or [`RunError::Kept`] with the reason.
    pub async fn delete(&self) -> Result<(), RunError> {
        let run = self.id;
        self.engine.ask(|reply| Input::Delete { run, reply }).await
    }

    /// How it stands and what it waits for.
    ///
    /// # Errors
    ///
    /// See [`Engine::describe`].
    pub fn describe(&self) -> Result<RunInfo, RunError> {
        self.engine.describe(self.id)
    }

    /// Why it does not move.
    ///
    /// # Errors
    ///
    /// See [`Engine::why`].
    pub fn why(&self) -> Result<Why, RunError> {
        self.engine.why(self.id)
    }

    /// Everything that has happened to it.
    ///
    /// # Errors
    ///
    /// See [`Engine::history`].
    pub fn history(&self) -> Result<Vec<Entry>, RunError> {
        self.engine.history(self.id)
    }

    /// Everything that has happened to it, and everything that will, as it becomes durable.
    pub fn follow(&self) -> Follow {
        self.engine.follow(self.id)
    }
}

/// A signal that has not been sent; await it. When that succeeds the signal is durable and will be delivered once.
#[must_use = "a signal is sent when it is awaited"]
pub struct SignalRequest {
    engine: Engine,
    run: RunId,
    id: SignalId,
    name: String,
    payload: Result<Payload, Failure>,
}

impl SignalRequest {
    /// A name for this very signal: one of the same name that came before is not delivered again.
    pub fn id(mut self, id: &str) -> Self {
        let hash = blake3::hash(id.as_bytes());
        self.id.0.copy_from_slice(&hash.as_bytes()[..16]);
        self
    }
}

impl IntoFuture for SignalRequest {
    type Output = Result<(), RunError>;
    type IntoFuture = Boxed<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let SignalRequest { engine, run, id, name, payload } = self;
            if name.starts_with('$') {
                return Err(RunError::Payload(format!(
                    "a signal cannot be called {name:?}: $ is for the engine's own"
                )));
            }
            let payload = payload.map_err(|failure| RunError::Payload(failure.message().to_owned()))?;
            let command = Command::Signal { id, name, payload };
            engine.ask(|reply| Input::Command { run, command, reply }).await
        })
    }
}

/// A request to cancel a run that has not been sent; await it. When that succeeds the request is durable.
#[must_use = "a request to cancel is sent when it is awaited"]
pub struct CancelRequest {
    engine: Engine,
    run: RunId,
    cause: Cause,
    by: String,
    reason: String,
    grace: Option<Span>,
}

impl CancelRequest {
    /// Who asks; recorded.
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.by = who.into();
        self
    }

    /// The whole tree: children that nobody waits for, too.
    pub fn tree(mut self) -> Self {
        self.cause = Cause::Tree;
        self
    }

    /// How long its handler may compensate. With none, the run ends now.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace.into());
        self
    }
}

impl IntoFuture for CancelRequest {
    type Output = Result<(), RunError>;
    type IntoFuture = Boxed<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let CancelRequest { engine, run, cause, by, reason, grace } = self;
            let command = Command::Cancel { cause, by, reason, grace };
            engine.ask(|reply| Input::Command { run, command, reply }).await
        })
    }
}
