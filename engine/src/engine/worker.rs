//! Workers: who does the jobs of an agent that has no handlers in the engine's process.

use super::{Engine, Stopped};
use crate::error::WorkerError;
use crate::failure::{Failure, decode, encode};
use crate::runtime::{Assignment, FromWorker, Held, Input, Member, Presence};
use rejoin_machine::{FailureKind, RunId};
use serde::Serialize;
use serde::de::DeserializeOwned;

impl Engine {
    /// A worker for an agent that is declared and has no handlers. It may ask for several jobs at the same time.
    ///
    /// ```
    /// # use rejoin::{Engine, WorkerError};
    /// async fn work(engine: Engine) -> Result<(), WorkerError> {
    ///     let worker = engine.worker("researcher");
    ///     loop {
    ///         let task = worker.next().await?;
    ///         let question: String = task.input()?;
    ///         task.complete(&format!("what is known of {question}")).await?;
    ///     }
    /// }
    /// ```
    pub fn worker(&self, agent: impl Into<String>) -> Worker {
        let instance = self.shared.ports.entropy.next();
        let name = format!("worker-{instance:016x}");
        Worker { engine: self.clone(), agent: agent.into(), name, instance, drains: false }
    }

    /// Who serves an agent at the moment.
    ///
    /// # Errors
    ///
    /// [`WorkerError`] if workers do not serve it.
    pub async fn presence(&self, agent: &str) -> Result<Presence, WorkerError> {
        self.check_served(agent)?;
        let agent = (self.shared.project.clone(), agent.to_owned());
        self.ask(|reply| Input::Worker(FromWorker::Presence { agent, reply })).await
    }

    fn check_served(&self, agent: &str) -> Result<(), WorkerError> {
        let declared = self.shared.registry.agent(agent);
        let served = declared.is_some_and(|agent| agent.is_served_by_workers());
        if served { Ok(()) } else { Err(WorkerError::UnknownAgent(agent.to_owned())) }
    }
}

impl From<Stopped> for WorkerError {
    fn from(stopped: Stopped) -> WorkerError {
        match stopped {
            Stopped::Closed(crate::runtime::Closed(None)) => WorkerError::Stopped,
            Stopped::Closed(crate::runtime::Closed(Some(failure))) => WorkerError::Store(failure),
            Stopped::Overloaded(waiting) => WorkerError::Overloaded(waiting),
        }
    }
}

/// A worker. When it is dropped, it has left; jobs that it has are given to others when they are given back, or their leases
/// have run out.
pub struct Worker {
    engine: Engine,
    agent: String,
    name: String,
    /// What tells it from another one of its name.
    instance: u64,
    drains: bool,
}

impl Worker {
    /// A name of its own, that jobs are recorded under. One that comes back under its name after an engine's restart still
    /// has what it had.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Worker {
        self.name = name.into();
        self
    }

    /// Waits for the next job. The engine has recorded, durably, that this worker has it.
    ///
    /// # Errors
    ///
    /// [`WorkerError`]: no such agent, the worker takes no more, or the engine has stopped.
    pub async fn next(&self) -> Result<Task, WorkerError> {
        self.engine.check_served(&self.agent)?;
        let longest = self.engine.shared.settings.limits.name_bytes;
        if self.name.len() > longest {
            let message = format!("a worker's name of {} bytes is over the limit of {longest}", self.name.len());
            return Err(WorkerError::Payload(message));
        }
        if self.drains {
            return Err(WorkerError::Draining);
        }
        let (agent, worker) = (self.queue(), self.member());
        let assignment: Assignment =
            self.engine.ask(|reply| Input::Worker(FromWorker::Next { agent, worker, reply })).await?;
        Ok(Task { engine: self.engine.clone(), assignment })
    }

    /// A task that this worker, under its name, was given by the engine before that was started again.
    #[must_use]
    pub fn resume(&self, task: &Task) -> Task {
        let mut assignment = task.assignment.clone();
        assignment.held.worker.clone_from(&self.name);
        Task { engine: self.engine.clone(), assignment }
    }

    /// It takes no more jobs; what it has, it may bring to an end or give back.
    pub fn drain(&mut self) {
        self.drains = true;
        let (agent, worker) = (self.queue(), self.member());
        self.engine.shared.inbox.push(Input::Worker(FromWorker::Drain { agent, worker }));
    }

    fn member(&self) -> Member {
        Member { name: self.name.clone(), instance: self.instance }
    }

    fn queue(&self) -> (String, String) {
        (self.engine.shared.project.clone(), self.agent.clone())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let (agent, worker) = (self.queue(), self.member());
        self.engine.shared.inbox.push(Input::Worker(FromWorker::Leave { agent, worker }));
    }
}

/// A job, as a worker has it: one attempt, until the worker answers, gives it back, or is silent for longer than the lease.
#[derive(Clone)]
pub struct Task {
    pub(super) engine: Engine,
    assignment: Assignment,
}

impl Task {
    /// The job's run.
    pub fn run_id(&self) -> RunId {
        self.assignment.held.run
    }

    /// Which of the agent's jobs it is.
    pub fn job_name(&self) -> Option<&str> {
        self.assignment.brief.job.as_deref()
    }

    /// Which attempt it is, from 1.
    pub fn attempt(&self) -> u32 {
        self.assignment.held.attempt
    }

    /// The same for all attempts of the job, and of no other: hand it to services that take one.
    pub fn idempotency_key(&self) -> String {
        let Held { run, incarnation, op, .. } = &self.assignment.held;
        format!("{run}/{incarnation}/{op}")
    }

    /// What the job is given.
    ///
    /// # Errors
    ///
    /// [`WorkerError::Payload`] if it is of another type.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, WorkerError> {
        decode("the input", &self.assignment.trigger.input).map_err(payload)
    }

    /// What was said about the occasion, beside the input.
    pub fn occasion(&self) -> Option<&str> {
        self.assignment.brief.message.as_deref()
    }

    /// A value of the metadata that the agent declares.
    ///
    /// # Errors
    ///
    /// [`WorkerError::Payload`] if the agent does not declare it, or it is of another type.
    pub fn metadata<T: DeserializeOwned>(&self, name: &str) -> Result<T, WorkerError> {
        let agent = &self.assignment.trigger.target.name;
        let declares =
            self.engine.shared.registry.agent(agent).is_some_and(|agent| agent.declares.iter().any(|it| it == name));
        match self.assignment.brief.metadata(name).filter(|_| declares) {
            Some(value) => decode("the metadata", value).map_err(payload),
            None => Err(WorkerError::Payload(format!("agent {agent:?} does not declare the metadata {name:?}"))),
        }
    }

    /// Says that the worker works on. To be called more often than the agent's lease is long.
    ///
    /// # Errors
    ///
    /// [`WorkerError::NotHeld`] if the attempt is not this worker's any more, or the job is being cancelled: it may stop.
    pub async fn heartbeat(&self) -> Result<(), WorkerError> {
        let held = self.assignment.held.clone();
        self.engine.ask(|reply| Input::Worker(FromWorker::Heartbeat { held, reply })).await
    }

    /// Answers the job. When that succeeds the answer is durable.
    ///
    /// # Errors
    ///
    /// [`WorkerError::NotHeld`] if the attempt is not this worker's any more: the answer changes nothing.
    pub async fn complete<T: Serialize + ?Sized>(&self, output: &T) -> Result<(), WorkerError> {
        let output = encode("the output", output).map_err(payload)?;
        self.done(Ok(output)).await
    }

    /// Says that the attempt failed. After a transient failure another attempt follows, as the agent's policy says; any other
    /// is the job's answer.
    ///
    /// # Errors
    ///
    /// As [`Task::complete`].
    pub async fn fail(&self, failure: impl Into<Failure>) -> Result<(), WorkerError> {
        self.done(Err(failure.into())).await
    }

    /// Answers the job as cancelled, for an agent that is going for good: nobody waits for a timeout.
    ///
    /// # Errors
    ///
    /// As [`Task::complete`].
    pub async fn cancelled(&self, reason: &str) -> Result<(), WorkerError> {
        let failure = Failure::make(
            FailureKind::Cancelled,
            "cancelled".to_owned(),
            format!("its agent cancelled it: {reason}"),
            serde_json::Value::Null,
            false,
        );
        self.done(Err(failure)).await
    }

    /// Gives the job back, for another worker.
    ///
    /// # Errors
    ///
    /// As [`Task::complete`].
    pub async fn give_back(&self) -> Result<(), WorkerError> {
        let held = self.assignment.held.clone();
        self.engine.ask(|reply| Input::Worker(FromWorker::Return { held, reply })).await
    }

    pub(super) fn held(&self) -> Held {
        self.assignment.held.clone()
    }

    async fn done(&self, result: Result<rejoin_machine::Payload, Failure>) -> Result<(), WorkerError> {
        let held = self.assignment.held.clone();
        self.engine.ask(|reply| Input::Worker(FromWorker::Done { held, result, reply })).await
    }
}

fn payload(failure: Failure) -> WorkerError {
    WorkerError::Payload(failure.message().to_owned())
}
