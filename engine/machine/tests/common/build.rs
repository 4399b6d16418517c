//! Short names for the commands and events that the tests are made of.

use super::{RUN, at, seconds};
use rejoin_machine::brief::{Brief, Terms};
use rejoin_machine::call::{Mode, OnTimeout};
use rejoin_machine::cancel::Cause;
use rejoin_machine::retry::Policy;
use rejoin_machine::signal::Buffered;
use rejoin_machine::{
    Boundary, CallKey, Carried, Command, Effect, Event, Failure, FailureKind, Issue, OpNo, Origin, Outcome, Payload,
    RunId, SignalId, Span, Target, Trigger,
};

pub fn op_no(op: u32) -> OpNo {
    OpNo(op)
}

pub fn text(text: &str) -> Payload {
    Payload::from(text.as_bytes())
}

/// A failure that another attempt may mend.
pub fn busy() -> Failure {
    Failure { retryable: true, ..broken() }
}

/// A failure that no other attempt mends.
pub fn broken() -> Failure {
    Failure::new(FailureKind::Application, "busy", "no answer")
}

pub fn trigger() -> Trigger {
    Trigger {
        project: "default".into(),
        target: Target { name: "parent".into(), version: 1 },
        input: text("input"),
        origin: Origin::Api,
        key: Some("monday".into()),
        parent: None,
        depth: 0,
        path: vec!["parent".into()],
        deadline: None,
        labels: Vec::new(),
        seed: 1,
    }
}

pub fn triggered() -> Event {
    Event::Triggered(Box::new(trigger()))
}

pub fn triggered_until(second: i64) -> Event {
    Event::Triggered(Box::new(Trigger { deadline: Some(at(second)), ..trigger() }))
}

/// What the run was given.
pub fn briefed(brief: Brief) -> Event {
    Event::Briefed(Box::new(brief))
}

/// The first event of incarnation 1, with these children and signals.
pub fn continued(children: Vec<Carried>, signals: Vec<Buffered>) -> Event {
    let signals_seen = signals.iter().map(|signal| signal.id).collect();
    Event::ContinuedAsNew(Box::new(Boundary {
        incarnation: 1,
        trigger: trigger(),
        triggered_at: at(0),
        children,
        signals,
        signals_seen,
    }))
}

/// A child under a key of the caller's.
pub fn keyed(key: &str) -> RunId {
    RUN.child(&CallKey::Named(key.into()))
}

/// A child of incarnation 0 without a key.
pub fn child(op: u32) -> RunId {
    RUN.child(&CallKey::Numbered { incarnation: 0, op: OpNo(op) })
}

/// A child that an earlier incarnation waited for.
pub fn carried(key: &str, result: Option<Result<Payload, Failure>>) -> Carried {
    Carried { child: keyed(key), key: CallKey::Named(key.into()), awaited: true, result }
}

/// A step, as it is asked for and as it happens.
#[derive(Clone)]
pub struct Step {
    op: OpNo,
    name: String,
    policy: Policy,
    timeout: Option<Span>,
}

/// A step that is tried again after 1 s, 2 s, 4 s and so on.
pub fn step(op: u32) -> Step {
    let policy = Policy { initial: seconds(1), ..Policy::default() };
    Step { op: OpNo(op), name: "step".into(), policy, timeout: None }
}

impl Step {
    pub fn named(self, name: &str) -> Step {
        Step { name: name.into(), ..self }
    }

    pub fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Step {
        change(&mut self.policy);
        self
    }

    pub fn within(self, limit: u64) -> Step {
        Step { timeout: Some(seconds(limit)), ..self }
    }

    pub fn scheduled(&self) -> Event {
        let Step { op, name, policy, timeout } = self.clone();
        Event::StepScheduled { op, name, policy, timeout }
    }
}

impl From<Step> for Command {
    fn from(Step { op, name, policy, timeout }: Step) -> Command {
        Command::Issue(Issue::Step { op, name, policy, timeout })
    }
}

/// An attempt ends, with no jitter for what follows.
pub fn ends(op: u32, attempt: u32, result: Result<Payload, Failure>) -> Command {
    Command::EndAttempt { op: OpNo(op), attempt, result, jitter: 0 }
}

pub fn step_completed(op: u32, output: &str) -> Event {
    Event::StepCompleted { op: OpNo(op), output: text(output) }
}

pub fn step_failed(op: u32, failure: Failure) -> Event {
    Event::StepFailed { op: OpNo(op), failure }
}

pub fn attempt_failed(op: u32, failure: Failure, retry: i64) -> Event {
    Event::StepAttemptFailed { op: OpNo(op), failure, retry_at: at(retry) }
}

/// A call, as it is asked for and as it happens.
#[derive(Clone)]
pub struct Call {
    pub op: u32,
    pub name: String,
    pub target: Result<Target, Failure>,
    pub terms: Terms,
    pub key: Option<String>,
    pub input: Payload,
    pub mode: Mode,
    pub timeout: Option<u64>,
    pub on_timeout: OnTimeout,
}

/// A call of "child" that waits without a limit.
pub fn call(op: u32) -> Call {
    Call {
        op,
        name: "child".into(),
        target: Ok(Target { name: "child".into(), version: 1 }),
        terms: Terms::default(),
        key: None,
        input: text("input"),
        mode: Mode::Wait,
        timeout: None,
        on_timeout: OnTimeout::Cancel,
    }
}

impl Call {
    pub fn to(self, name: &str) -> Call {
        Call { name: name.into(), target: Ok(Target { name: name.into(), version: 1 }), ..self }
    }

    pub fn on(mut self, change: impl FnOnce(&mut Terms)) -> Call {
        change(&mut self.terms);
        self
    }

    pub fn key(self, key: &str) -> Call {
        Call { key: Some(key.into()), ..self }
    }

    pub fn within(self, limit: u64) -> Call {
        Call { timeout: Some(limit), ..self }
    }

    pub fn or_detach(self) -> Call {
        Call { on_timeout: OnTimeout::Detach, ..self }
    }

    pub fn detached(self) -> Call {
        Call { mode: Mode::Detach, ..self }
    }

    /// What happens when it is accepted at that second.
    pub fn triggered(&self, second: i64) -> Event {
        self.triggered_in(0, second)
    }

    pub fn triggered_in(&self, incarnation: u32, second: i64) -> Event {
        let Call { op, target, key, input, mode, timeout, on_timeout, .. } = self.clone();
        let op = OpNo(op);
        let key = key.map_or(CallKey::Numbered { incarnation, op }, CallKey::Named);
        Event::ChildTriggered {
            op,
            target: target.expect("a target"),
            child: RUN.child(&key),
            key,
            input_digest: input.digest(),
            mode,
            deadline: timeout.filter(|_| mode == Mode::Wait).map(|limit| at(second).after(seconds(limit))),
            on_timeout,
        }
    }

    /// What happens when it is refused.
    pub fn refused(&self, failure: Failure) -> Event {
        Event::ChildRefused { op: OpNo(self.op), name: self.name.clone(), failure }
    }
}

impl From<Call> for Command {
    fn from(call: Call) -> Command {
        let Call { op, name, target, terms, key, input, mode, timeout, on_timeout } = call;
        let timeout = timeout.map(seconds);
        let (op, terms) = (OpNo(op), Box::new(terms));
        Command::Issue(Issue::Call { op, target, name, terms, key, input, mode, timeout, on_timeout })
    }
}

pub fn ended(child: RunId, outcome: Outcome) -> Command {
    Command::ResolveCall { child, outcome }
}

pub fn child_completed(op: u32, output: &str) -> Event {
    Event::ChildCompleted { op: OpNo(op), output: text(output) }
}

pub fn stopped_waiting(op: u32) -> Event {
    let message = "the child took longer than its caller waits";
    let failure = Failure::new(FailureKind::TimedOut, "call-timeout", message);
    Event::ChildTimedOut { op: OpNo(op), failure, ended: false }
}

/// What a child is told.
pub fn cancels(child: RunId, cause: Cause, reason: &str, grace: Option<u64>) -> Effect {
    Effect::CancelChild { child, cause, reason: reason.into(), grace: grace.map(seconds) }
}

/// A wait for a signal, as it is asked for and as it happens.
#[derive(Clone)]
pub struct Wait {
    op: u32,
    name: String,
    limit: Option<u64>,
}

pub fn wait(op: u32, name: &str) -> Wait {
    Wait { op, name: name.into(), limit: None }
}

impl Wait {
    pub fn within(self, limit: u64) -> Wait {
        Wait { limit: Some(limit), ..self }
    }

    pub fn awaited(&self, second: i64) -> Event {
        let deadline = self.limit.map(|limit| at(second).after(seconds(limit)));
        Event::SignalAwaited { op: OpNo(self.op), name: self.name.clone(), deadline }
    }
}

impl From<Wait> for Command {
    fn from(Wait { op, name, limit }: Wait) -> Command {
        Command::Issue(Issue::Await { op: OpNo(op), name, timeout: limit.map(seconds) })
    }
}

/// A signal; its content tells its number.
pub fn buffered(id: u8, name: &str) -> Buffered {
    Buffered { id: SignalId([id; 16]), name: name.into(), payload: text(&format!("signal {id}")) }
}

pub fn signal(id: u8, name: &str) -> Command {
    let Buffered { id, name, payload } = buffered(id, name);
    Command::Signal { id, name, payload }
}

pub fn received(id: u8, name: &str) -> Event {
    let Buffered { id, name, payload } = buffered(id, name);
    Event::SignalReceived { id, name, payload }
}

pub fn delivered(op: u32, id: u8) -> Event {
    Event::SignalDelivered { op: OpNo(op), id: SignalId([id; 16]) }
}

pub fn sleep(op: u32, until: i64) -> Command {
    Command::Issue(Issue::Sleep { op: OpNo(op), until: at(until) })
}

pub fn timer_set(op: u32, until: i64) -> Event {
    Event::TimerSet { op: OpNo(op), at: at(until) }
}

pub fn timer_fired(op: u32) -> Event {
    Event::TimerFired { op: OpNo(op) }
}

pub fn wake() -> Command {
    Command::Wake { jitter: 0 }
}

pub fn dropped(op: u32) -> Event {
    Event::OperationDropped { op: OpNo(op) }
}

/// The handler drops an operation.
pub fn drops(op: u32) -> Command {
    Command::Issue(Issue::Drop { op: OpNo(op) })
}

/// The handler ends.
pub fn returns(result: Result<Payload, Failure>) -> Command {
    Command::Issue(Issue::Return(result))
}

pub fn continues() -> Command {
    Command::Issue(Issue::ContinueAsNew { input: text("next"), seed: 2 })
}

/// Ada asks for the end, because it is late.
pub fn cancel(cause: Cause, grace: Option<u64>) -> Command {
    Command::Cancel { cause, by: "Ada".into(), reason: "late".into(), grace: grace.map(seconds) }
}

pub fn cancel_requested(cause: Cause, grace: u64) -> Event {
    Event::CancelRequested { cause, by: "Ada".into(), reason: "late".into(), grace: seconds(grace) }
}

pub fn deadline_passed(grace: u64) -> Event {
    Event::CancelRequested {
        cause: Cause::Deadline,
        by: "the engine".into(),
        reason: "its deadline passed".into(),
        grace: seconds(grace),
    }
}

pub fn cancel_delivered(until: i64) -> Event {
    Event::CancelDelivered { until: at(until) }
}

/// The end of a run that Ada cancelled and whose handler added nothing.
pub fn cancelled() -> Event {
    Event::Cancelled { failure: cancelled_by_ada() }
}

pub fn cancelled_by_ada() -> Failure {
    Failure::new(FailureKind::Cancelled, "cancelled", "cancelled by Ada: late")
}

/// The end of a run that its deadline ended and whose handler added nothing.
pub fn timed_out() -> Event {
    Event::TimedOut { failure: Failure::new(FailureKind::TimedOut, "deadline", "the run's deadline passed") }
}

pub fn wedge() -> Command {
    Command::Wedge { reason: "operation 0: expected a step, got a timer".into() }
}

pub fn wedged() -> Event {
    Event::Wedged { reason: "operation 0: expected a step, got a timer".into() }
}
