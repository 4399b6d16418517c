//! Steps: what a handler may hand in as one, and the future of its result.

use super::operation::Operation;
use super::take;
use crate::failure::{Failure, encode};
use rejoin_machine::retry::Policy;
use rejoin_machine::{Issue, OpNo, Payload, RunId, Span};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

/// One attempt of a step, as the step sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    pub(crate) run: RunId,
    pub(crate) incarnation: u32,
    pub(crate) op: OpNo,
    pub(crate) number: u32,
}

impl Attempt {
    /// The idempotency key: the same for every attempt of the step, before and after a crash, and of no other step.
    /// Hand it to services that take one, so that an attempt that is repeated after a crash has one effect.
    pub fn idempotency_key(&self) -> String {
        self.to_string()
    }

    /// Which attempt it is, counted from 1. One that a crash interrupted comes again under its number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The run that the step belongs to.
    pub fn run_id(&self) -> RunId {
        self.run
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.run, self.incarnation, self.op)
    }
}

/// What a step executes, as often as it is tried.
pub(crate) type Execute = Arc<dyn Fn(Attempt) -> Work + Send + Sync>;

/// Who executes a step.
#[derive(Clone)]
pub(crate) enum Body {
    /// This process.
    Here(Execute),
    /// A worker of the run's agent.
    Worker,
}

/// One execution.
pub(crate) enum Work {
    /// Waits now and then.
    Async(Pin<Box<dyn Future<Output = Result<Payload, Failure>> + Send>>),
    /// Keeps its thread until it is done.
    Blocking(Box<dyn FnOnce() -> Result<Payload, Failure> + Send>),
}

/// What can be handed in as a step: `Fn() -> Result<T, E>`, `Fn(Attempt) -> Result<T, E>`, and the async forms of both.
/// `E` is any error, or a [`Failure`].
pub trait IntoStep<Marker>: Send + Sync + 'static {
    /// What the step results in.
    type Output: Serialize + DeserializeOwned + 'static;

    /// Without its types.
    #[doc(hidden)]
    fn into_body(self) -> StepBody;
}

/// A step without its types.
#[doc(hidden)]
pub struct StepBody(pub(crate) Execute);

fn finished<T: Serialize, E: Into<Failure>>(result: Result<T, E>) -> Result<Payload, Failure> {
    encode("the step's result", &result.map_err(Into::into)?)
}

impl<F, Fut, T, E> IntoStep<fn() -> Fut> for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Serialize + DeserializeOwned + 'static,
    E: Into<Failure>,
{
    type Output = T;
    fn into_body(self) -> StepBody {
        StepBody(Arc::new(move |_| {
            let work = self();
            Work::Async(Box::pin(async move { finished(work.await) }))
        }))
    }
}

impl<F, Fut, T, E> IntoStep<fn(Attempt) -> Fut> for F
where
    F: Fn(Attempt) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Serialize + DeserializeOwned + 'static,
    E: Into<Failure>,
{
    type Output = T;
    fn into_body(self) -> StepBody {
        StepBody(Arc::new(move |attempt| {
            let work = self(attempt);
            Work::Async(Box::pin(async move { finished(work.await) }))
        }))
    }
}

/// Marks steps that are not async.
#[doc(hidden)]
pub struct Blocking<F>(PhantomData<F>);

impl<F, T, E> IntoStep<Blocking<fn() -> Result<T, E>>> for F
where
    F: Fn() -> Result<T, E> + Send + Sync + 'static,
    T: Serialize + DeserializeOwned + 'static,
    E: Into<Failure>,
{
    type Output = T;
    fn into_body(self) -> StepBody {
        let step = Arc::new(self);
        StepBody(Arc::new(move |_| {
            let step = step.clone();
            Work::Blocking(Box::new(move || finished(step())))
        }))
    }
}

impl<F, T, E> IntoStep<Blocking<fn(Attempt) -> Result<T, E>>> for F
where
    F: Fn(Attempt) -> Result<T, E> + Send + Sync + 'static,
    T: Serialize + DeserializeOwned + 'static,
    E: Into<Failure>,
{
    type Output = T;
    fn into_body(self) -> StepBody {
        let step = Arc::new(self);
        StepBody(Arc::new(move |attempt| {
            let step = step.clone();
            Work::Blocking(Box::new(move || finished(step(attempt))))
        }))
    }
}

/// A step; its output is the recorded result.
#[must_use = "a step that is dropped at once is never executed"]
pub struct Step<T> {
    operation: Operation,
    output: PhantomData<fn() -> T>,
}

impl<T> Step<T> {
    pub(super) fn new(operation: Operation) -> Self {
        Step { operation, output: PhantomData }
    }

    /// How many attempts it gets in all.
    pub fn retry(self, attempts: u32) -> Self {
        self.amend(|policy, _| policy.max_attempts = Some(attempts.max(1)))
    }

    /// When it is tried again, in full.
    pub fn retry_policy(self, new: Policy) -> Self {
        self.amend(|policy, _| *policy = new)
    }

    /// How long one attempt may take, counted from when it is due. An attempt that takes longer has failed, transiently.
    pub fn timeout(self, limit: Duration) -> Self {
        self.amend(|_, timeout| *timeout = Some(limit.into()))
    }

    fn amend(self, amend: impl FnOnce(&mut Policy, &mut Option<Span>)) -> Self {
        self.operation.amend(|issue| {
            if let Issue::Step { policy, timeout, .. } = issue {
                amend(policy, timeout);
            }
        });
        self
    }
}

impl<T: DeserializeOwned> Future for Step<T> {
    type Output = Result<T, Failure>;
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.operation.poll(task).map(|reply| take("the step's result", reply))
    }
}
