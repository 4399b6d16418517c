//! Calls: of workflows, of agents' jobs, waited for or not.

use super::operation::{Handle, Operation};
use super::options::options;
use super::{Context, Reply, take};
use crate::agent::Job;
use crate::failure::{Failure, encode};
use crate::registry::{Registry, Resolved};
use crate::workflow::Workflow;
use rejoin_machine::brief::{Given, Kind, Terms};
use rejoin_machine::call::{Mode, OnTimeout};
use rejoin_machine::{Issue, Payload, RunId, Span};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

/// What is to be called, and how.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) job: Option<&'a str>,
    /// The version of the definition that it is a part of, if it is a part of one.
    pub(super) part: Option<u32>,
    pub(super) mode: Mode,
    pub(super) given: Given,
}

impl<'a> Wanted<'a> {
    pub(super) fn workflow(name: &'a str) -> Self {
        Wanted { name, job: None, part: None, mode: Mode::Wait, given: Given::default() }
    }

    fn resolve<'r>(&self, registry: &'r Registry) -> Result<Resolved<'r>, Failure> {
        match self.part {
            Some(version) => registry.resolve_part(self.name, version),
            None => registry.resolve(self.name, self.job),
        }
    }

    fn job<I, O>(job: &Job<I, O>) -> Self {
        Wanted { job: job.name(), ..Wanted::workflow(job.agent()) }
    }
}

impl Context {
    /// Triggers a workflow as a child and waits for its result. The caller suspends, for days if need be, and resumes
    /// exactly once. If the caller ends or is cancelled first, so is the child.
    ///
    /// ```
    /// # use rejoin::{Context, Failure, Workflow, time::minutes};
    /// const ANALYZE: Workflow<u32, String> = Workflow::named("analyze");
    /// async fn handler(ctx: Context, week: u32) -> Result<String, Failure> {
    ///     ctx.call(&ANALYZE, week).key("analysis").timeout(minutes(5)).await
    /// }
    /// ```
    pub fn call<I: Serialize, O: DeserializeOwned>(&self, workflow: &Workflow<I, O>, input: I) -> Call<O> {
        Call::new(self.issue_call(Wanted::workflow(workflow.name()), encode("the input", &input)))
    }

    /// Triggers a workflow as a child that lives on its own: nobody waits, and only a cancel of the whole tree ends it.
    /// The result of the future is the child's id, or why it was refused; it is started whether that is awaited or not,
    /// unless the future is dropped at once.
    pub fn spawn<I: Serialize, O>(&self, workflow: &Workflow<I, O>, input: I) -> Spawned {
        let wanted = Wanted { mode: Mode::Detach, ..Wanted::workflow(workflow.name()) };
        Spawned::new(self.issue_call(wanted, encode("the input", &input)))
    }

    /// Asks an agent to do a job and waits for its answer. The job waits, for as long as it must, until the agent is there
    /// and has its hands free; [`Call::queue_timeout`] limits that.
    ///
    /// ```
    /// # use rejoin::{Context, Failure, Job, time::minutes};
    /// const DRAFT: Job<String, String> = Job::named("writer", "draft");
    /// async fn handler(ctx: Context, topic: String) -> Result<String, Failure> {
    ///     ctx.job(&DRAFT, topic).timeout(minutes(5)).await
    /// }
    /// ```
    pub fn job<I: Serialize, O: DeserializeOwned>(&self, job: &Job<I, O>, input: I) -> Call<O> {
        Call::new(self.issue_call(Wanted::job(job), encode("the input", &input)))
    }

    /// Asks an agent to do a job, and does not wait: as [`Context::spawn`].
    pub fn request_job<I: Serialize, O>(&self, job: &Job<I, O>, input: I) -> Spawned {
        let wanted = Wanted { mode: Mode::Detach, ..Wanted::job(job) };
        Spawned::new(self.issue_call(wanted, encode("the input", &input)))
    }

    /// A part of an agent's own work, done by an agent beside others: it is on the caller's level, and has no subagents.
    /// Refused to anything that is not an agent, and beyond the number that [`Agent::subagents`](crate::Agent::subagents) says.
    pub fn subagent<I: Serialize, O: DeserializeOwned>(&self, job: &Job<I, O>, input: I) -> Call<O> {
        let mut wanted = Wanted::job(job);
        wanted.given.subagent = true;
        Call::new(self.issue_call(wanted, encode("the input", &input)))
    }

    /// Triggers a workflow or asks an agent whose types are not at hand. The input is checked before anything starts.
    pub fn call_json(&self, name: &str, input: &Value) -> Call<Value> {
        Call::new(self.issue_checked(Wanted::workflow(name), input))
    }

    /// Asks an agent for a job whose types are not at hand. The input is checked before anything starts.
    pub fn job_json(&self, agent: &str, job: Option<&str>, input: &Value) -> Call<Value> {
        Call::new(self.issue_checked(Wanted { job, ..Wanted::workflow(agent) }, input))
    }

    /// Does a step that is written down in this version of a definition. The input is checked before anything starts.
    #[cfg(feature = "definitions")]
    pub(crate) fn part_json(&self, name: &str, version: u32, input: &Value) -> Call<Value> {
        Call::new(self.issue_checked(Wanted { part: Some(version), ..Wanted::workflow(name) }, input))
    }

    /// Triggers a workflow or asks an agent, of types that are not at hand, and does not wait: as [`Context::spawn`]. The input is
    /// checked before anything starts.
    pub fn spawn_json(&self, name: &str, job: Option<&str>, input: &Value) -> Spawned {
        let wanted = Wanted { job, mode: Mode::Detach, ..Wanted::workflow(name) };
        Spawned::new(self.issue_checked(wanted, input))
    }

    /// As [`Context::job_json`], with arguments that a model chose. Those that bear the name of metadata which the callee
    /// declares are dropped, and that is recorded.
    pub fn tool_call(&self, name: &str, job: Option<&str>, mut arguments: Value) -> Call<Value> {
        let mut wanted = Wanted { job, ..Wanted::workflow(name) };
        if let (Ok(resolved), Some(arguments)) = (self.inner.registry.resolve(name, job), arguments.as_object_mut()) {
            let declared = resolved.callee.declares;
            wanted.given.dropped = declared.into_iter().filter(|name| arguments.remove(name).is_some()).collect();
        }
        Call::new(self.issue_checked(wanted, &arguments))
    }

    fn issue_checked(&self, wanted: Wanted<'_>, input: &Value) -> Operation {
        let input = encode("the input", input);
        let checked = match (&input, wanted.resolve(&self.inner.registry)) {
            (Ok(input), Ok(Resolved { handler, .. })) => (handler.check)(input),
            (_, _) => Ok(()),
        };
        let call = self.issue_call(wanted, input);
        // What was asked is held against the history also where the callee takes another input by now.
        call.give(|_| checked);
        call
    }

    pub(super) fn issue_call(&self, wanted: Wanted<'_>, input: Result<Payload, Failure>) -> Operation {
        let resolved = wanted.resolve(&self.inner.registry);
        let Wanted { name, job, mode, mut given, .. } = wanted;
        let op = self.inner.number();
        let mut callee = rejoin_machine::brief::Callee::default();
        given.job = job.map(str::to_owned);
        let target = match resolved {
            Ok(resolved) => {
                callee = resolved.callee;
                callee.granted = callee.part || self.inner.may_call(name);
                if given.subagent && name == self.inner.of.name {
                    self.inner.registry.beside_itself(&mut callee);
                }
                given.by_default = resolved.by_default;
                Ok(resolved.target)
            }
            Err(failure) => Err(failure),
        };
        let target =
            if given.subagent { target.and_then(|target| self.one_more_subagent().map(|()| target)) } else { target };
        let (target, input) = match input {
            Ok(input) => (target.map_err(|failure| failure.to_stored()), input),
            Err(failure) => (Err(failure.to_stored()), Payload::from(Vec::new())),
        };
        self.inner.push_issue(Issue::Call {
            op,
            target,
            name: name.to_owned(),
            terms: Box::new(Terms { callee, given }),
            key: None,
            input,
            mode,
            timeout: None,
            on_timeout: OnTimeout::default(),
        });
        self.operation(op)
    }

    fn one_more_subagent(&self) -> Result<(), Failure> {
        let mut state = self.inner.state.borrow_mut();
        state.subagents += 1;
        self.inner.registry.check_subagents(&self.inner.of.name, state.subagents)
    }

    /// How many subagents the run may have altogether: what its agent [may have](crate::Agent::subagents), and none for a
    /// workflow or a subagent.
    pub fn subagents_allowed(&self) -> u32 {
        self.inner.registry.subagents_of(&self.inner.of.name, &self.inner.of.brief)
    }

    /// Whether the run is a part of an agent's work that it has given to a subagent.
    pub fn is_subagent(&self) -> bool {
        self.inner.of.brief.subagent
    }
}

impl super::Inner {
    /// Whether the grants of the run's agent name `callee`. What a workflow calls was written by whoever defined it.
    fn may_call(&self, callee: &str) -> bool {
        self.of.brief.kind == Kind::Workflow || self.registry.is_granted(&self.of.name, callee)
    }
}

/// A call of a child that is being waited for; its output is the child's.
#[must_use = "a call that is dropped at once is never made"]
pub struct Call<T> {
    pub(super) operation: Operation,
    output: PhantomData<fn() -> T>,
}

impl<T> Call<T> {
    pub(super) fn new(operation: Operation) -> Self {
        Call { operation, output: PhantomData }
    }

    /// A key of your own for the child: a later incarnation of the run that calls with the same key finds the same child.
    pub fn key(self, new: impl Into<String>) -> Self {
        self.amend(|_, key, _| *key = Some(new.into()))
    }

    /// How long to wait. The child is then cancelled, or lives on as [`Call::on_timeout`] says.
    pub fn timeout(self, wait: Duration) -> Self {
        self.amend(|timeout, _, _| *timeout = Some(wait.into()))
    }

    /// What becomes of the child when the wait times out.
    pub fn on_timeout(self, then: OnTimeout) -> Self {
        self.amend(|_, _, on_timeout| *on_timeout = then)
    }

    fn amend(self, amend: impl FnOnce(&mut Option<Span>, &mut Option<String>, &mut OnTimeout)) -> Self {
        self.operation.amend(|issue| {
            if let Issue::Call { timeout, key, on_timeout, .. } = issue {
                amend(timeout, key, on_timeout);
            }
        });
        self
    }

    fn give(self, change: impl FnOnce(&mut Given) -> Result<(), Failure>) -> Self {
        self.operation.give(change);
        self
    }

    pub(super) fn handle(&self) -> Handle {
        self.operation.handle()
    }
}

options!(<T> Call<T>);

impl<T: DeserializeOwned> Future for Call<T> {
    type Output = Result<T, Failure>;
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.operation.poll(task).map(|reply| take("the child's output", reply))
    }
}

/// A child that lives on its own; the output is its id.
#[must_use = "a child whose future is dropped at once is never started"]
pub struct Spawned {
    operation: Operation,
}

impl Spawned {
    pub(super) fn new(operation: Operation) -> Self {
        Spawned { operation }
    }

    /// A key of your own for the child.
    pub fn key(self, new: impl Into<String>) -> Self {
        self.operation.amend(|issue| {
            if let Issue::Call { key, .. } = issue {
                *key = Some(new.into());
            }
        });
        self
    }

    fn give(self, change: impl FnOnce(&mut Given) -> Result<(), Failure>) -> Self {
        self.operation.give(change);
        self
    }
}

options!(Spawned);

impl Future for Spawned {
    type Output = Result<RunId, Failure>;
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.operation.poll(task).map(|reply| match reply {
            Reply::Spawned(child) => Ok(child),
            Reply::Resolved(Err(failure)) => Err(failure),
            Reply::Resolved(Ok(_)) | Reply::NoSignal | Reply::Decided(_) => {
                Err(Failure::permanent("an answer of another kind"))
            }
        })
    }
}
