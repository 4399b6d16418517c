//! Agents, and typed names of their jobs.

use crate::context::TASK;
use crate::conversation::{TURN, Turn};
use crate::report::Task;
use crate::workflow::Traits;
use std::marker::PhantomData;
use std::time::Duration;

/// A job of an agent, with the types of its input and output.
///
/// ```
/// use rejoin::Job;
/// const DRAFT: Job<String, String> = Job::named("writer", "draft");
/// // Whatever the agent is asked without a name, or under one that it has no handler for.
/// const ANY: Job<String, String> = Job::of("writer");
/// ```
pub struct Job<I, O> {
    agent: &'static str,
    name: Option<&'static str>,
    pub(crate) traits: Traits,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> Clone for Job<I, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I, O> Copy for Job<I, O> {}

impl<O> Job<Turn, O> {
    /// The job by which an agent answers messages of conversations; its output is the reply, and nothing is said where that is
    /// `None` or `()`.
    ///
    /// ```
    /// use rejoin::{Job, Turn};
    /// const SUPPORT: Job<Turn, String> = Job::turns("support");
    /// ```
    pub const fn turns(agent: &'static str) -> Self {
        Job::named(agent, TURN)
    }
}

impl<O> Job<Task, O> {
    /// The job by which an agent takes tasks, see [`Context::task`](crate::Context::task); its output is the answer.
    ///
    /// ```
    /// use rejoin::{Job, Task};
    /// const FINANCE: Job<Task, String> = Job::tasks("finance");
    /// ```
    pub const fn tasks(agent: &'static str) -> Self {
        Job::named(agent, TASK)
    }
}

impl<I, O> Job<I, O> {
    /// The job that an agent is given without a name; its handler also takes names that have none.
    pub const fn of(agent: &'static str) -> Self {
        Job { agent, name: None, traits: Traits::NEW, types: PhantomData }
    }

    /// The agent's job of this name.
    pub const fn named(agent: &'static str, name: &'static str) -> Self {
        Job { agent, name: Some(name), traits: Traits::NEW, types: PhantomData }
    }

    /// Another version of it. A request takes the highest version that is registered, and the run keeps it.
    #[must_use]
    pub const fn version(self, version: u32) -> Self {
        Job { traits: Traits { version, ..self.traits }, ..self }
    }

    /// The agent may ask itself for it.
    #[must_use]
    pub const fn reentrant(self) -> Self {
        Job { traits: Traits { reentrant: true, ..self.traits }, ..self }
    }

    /// The metadata that it reads, see [`Context::metadata`](crate::Context::metadata). It is requested with all of that or
    /// not at all.
    #[must_use]
    pub const fn metadata(self, names: &'static [&'static str]) -> Self {
        Job { traits: Traits { declares: names, ..self.traits }, ..self }
    }

    /// What it is, in words for agents that may request it, see [`Context::callable`](crate::Context::callable).
    #[must_use]
    pub const fn describe(self, text: &'static str) -> Self {
        Job { traits: Traits { describes: Some(text), ..self.traits }, ..self }
    }

    /// It needs the user of a conversation; work without one may not request it.
    #[must_use]
    pub const fn requires_user(self) -> Self {
        Job { traits: Traits { requires_user: true, ..self.traits }, ..self }
    }

    /// The agent's name.
    pub const fn agent(&self) -> &'static str {
        self.agent
    }

    /// The job's name.
    pub const fn name(&self) -> Option<&'static str> {
        self.name
    }
}

/// An agent as a project declares it: how much it does at a time, what it may trigger, and how workers serve it.
///
/// It is served by handlers of this process, or by [workers](crate::Worker), which come and go; its jobs wait for them.
///
/// ```
/// use rejoin::Agent;
/// let sales = Agent::named("sales")
///     .grant("draft-proposal")
///     .grant_department("research")
///     .at_most(4);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    pub(crate) name: String,
    pub(crate) grants: Vec<Grant>,
    pub(crate) departments: Vec<String>,
    pub(crate) limit: Option<u32>,
    pub(crate) subagents: u32,
    pub(crate) lease: Duration,
    pub(crate) attempts: u32,
    pub(crate) describe: Option<String>,
    /// The metadata that its workers are shown.
    pub(crate) declares: Vec<String>,
    pub(crate) by_workers: bool,
}

/// How long a worker may be silent, where its agent does not say.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// How long what an agent triggers may take, where neither the call nor the grant says.
const PATIENCE: Duration = Duration::from_secs(300);

/// That an agent may trigger a workflow, or ask an agent.
///
/// ```
/// use rejoin::{Agent, Grant, time::days};
/// let refund = Grant::of("refund").when("somebody wants their money back").timeout(days(2));
/// let support = Agent::named("support").grant("look-up").grant(refund);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub(crate) name: String,
    pub(crate) when: Option<String>,
    pub(crate) timeout: Duration,
}

impl Grant {
    /// A grant of this workflow or agent.
    pub fn of(name: impl Into<String>) -> Grant {
        Grant { name: name.into(), when: None, timeout: PATIENCE }
    }

    /// When to use it, in words for the agent.
    #[must_use]
    pub fn when(self, text: impl Into<String>) -> Grant {
        Grant { when: Some(text.into()), ..self }
    }

    /// How long it may take when the agent triggers it and says nothing else; five minutes where nothing is said here either. What
    /// waits for people needs longer. It is for who chooses its calls while it works: [participants](crate::Participant), and models.
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Grant {
        Grant { timeout: limit, ..self }
    }
}

impl From<&str> for Grant {
    fn from(name: &str) -> Grant {
        Grant::of(name)
    }
}

impl From<String> for Grant {
    fn from(name: String) -> Grant {
        Grant::of(name)
    }
}

impl Agent {
    /// The agent of this name: no grants, any number of jobs at a time.
    pub fn named(name: impl Into<String>) -> Agent {
        Agent {
            name: name.into(),
            grants: Vec::new(),
            departments: Vec::new(),
            limit: None,
            subagents: 10,
            lease: LEASE,
            attempts: 5,
            describe: None,
            declares: Vec::new(),
            by_workers: false,
        }
    }

    /// Workers serve it, wherever they are. Its jobs wait, durably, until one is there.
    #[must_use]
    pub fn by_workers(self) -> Agent {
        Agent { by_workers: true, ..self }
    }

    /// It does one job after the other, in the order in which they came.
    #[must_use]
    pub fn sequential(self) -> Agent {
        self.at_most(1)
    }

    /// It does at most so many jobs at the same time (one at least); further ones wait in the order in which they came. Subagents
    /// that it has of itself are not counted: who waits for them has a place already. Those that workers do are.
    #[must_use]
    pub fn at_most(self, jobs: u32) -> Agent {
        Agent { limit: Some(jobs.max(1)), ..self }
    }

    /// It may trigger this workflow, or ask this agent.
    #[must_use]
    pub fn grant(mut self, grant: impl Into<Grant>) -> Agent {
        self.grants.push(grant.into());
        self
    }

    /// It may trigger whatever belongs to this department, now or later.
    #[must_use]
    pub fn grant_department(mut self, name: impl Into<String>) -> Agent {
        self.departments.push(name.into());
        self
    }

    /// How many subagents one of its jobs may have; ten where nothing is said.
    #[must_use]
    pub fn subagents(self, most: u32) -> Agent {
        Agent { subagents: most, ..self }
    }

    /// How long a worker may be silent before its job is given to another; 30 seconds where nothing is said.
    #[must_use]
    pub fn lease(self, silence: Duration) -> Agent {
        Agent { lease: silence, ..self }
    }

    /// How many attempts a job gets whose workers vanish or fail; five where nothing is said.
    #[must_use]
    pub fn attempts(self, most: u32) -> Agent {
        Agent { attempts: most.max(1), ..self }
    }

    /// The metadata that its workers are shown; its jobs are requested with all of that or not at all. For an agent with
    /// handlers, each [`Job`] says so itself.
    #[must_use]
    pub fn metadata<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Agent {
        self.declares.extend(names.into_iter().map(Into::into));
        self
    }

    /// The queue that its jobs wait in, where they have to.
    pub(crate) fn queue(&self) -> Option<&str> {
        (self.by_workers || self.limit.is_some()).then_some(self.name.as_str())
    }

    pub(crate) fn is_served_by_workers(&self) -> bool {
        self.by_workers
    }

    /// What it does, in words for other agents.
    #[must_use]
    pub fn describe(self, text: impl Into<String>) -> Agent {
        Agent { describe: Some(text.into()), ..self }
    }
}
