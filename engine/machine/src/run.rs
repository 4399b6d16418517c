//! The run: its state, what can be asked of it, and how operations are opened and closed.

use crate::boundary::Boundary;
use crate::brief::Brief;
use crate::call::{Child, Link};
use crate::cancel::Cancel;
use crate::conversation::Talk;
use crate::error::{IllegalEvent, Rejection};
use crate::event::Event;
use crate::failure::Failure;
use crate::human::Verdict;
use crate::id::{OpNo, Payload, RunId, SignalId};
use crate::op::Op;
use crate::signal::Buffered;
use crate::step::Step;
use crate::time::Timestamp;
use crate::trigger::Trigger;
use crate::usage::Usage;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

/// What a command means: events, or why it means nothing.
pub(crate) type Decision = Result<Vec<Event>, Rejection>;

/// A run, as its events made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub(crate) id: RunId,
    pub(crate) trigger: Trigger,
    pub(crate) brief: Brief,
    pub(crate) triggered_at: Timestamp,
    pub(crate) incarnation: u32,
    pub(crate) status: Status,
    /// When the handler of this incarnation was called.
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) wedged: Option<String>,
    /// Who has paused it, and why.
    pub(crate) paused: Option<(String, String)>,
    /// What it is as a conversation, if it is one.
    pub(crate) talk: Option<Box<Talk>>,
    /// As a turn of a conversation: how many messages there were when it was admitted.
    pub(crate) admitted: Option<u64>,
    /// Calls that a message does not interrupt.
    pub(crate) shielded: BTreeSet<OpNo>,
    /// It was handed over to a person, and ends.
    pub(crate) handed_off: bool,
    /// The run that it does again, and that one's last incarnation.
    pub(crate) retries: Option<(RunId, u32)>,
    /// What it has cost.
    pub(crate) usage: Usage,
    /// How many pieces and bytes it has streamed.
    pub(crate) streamed: (usize, usize),
    /// What a participant was told no to last, and why.
    pub(crate) refusal: Option<(String, Failure)>,
    /// Questions that were answered: their tokens, the answers and when.
    pub(crate) verdicts: BTreeMap<OpNo, ([u8; 16], Verdict, Timestamp)>,
    /// When the last event happened.
    pub(crate) time: Timestamp,
    /// Events of this incarnation.
    pub(crate) history: u32,
    pub(crate) next_op: OpNo,
    pub(crate) ops: BTreeMap<OpNo, Op>,
    /// How many of them are steps.
    pub(crate) steps: usize,
    /// Waits for signals by name, oldest first.
    pub(crate) waits: BTreeMap<String, BTreeSet<OpNo>>,
    /// Everything that time alone can bring about.
    pub(crate) due: BTreeSet<(Timestamp, Due)>,
    pub(crate) children: BTreeMap<RunId, Child>,
    pub(crate) children_started: u32,
    pub(crate) signals: VecDeque<Buffered>,
    pub(crate) signals_seen: BTreeSet<SignalId>,
}

/// Where a run stands in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Triggered, and its handler not called yet.
    Created,
    /// Its handler works or waits.
    Running,
    /// It is being cancelled.
    Cancelling(Cancel),
    /// It has ended.
    Closed(Outcome),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a value.
    Completed(Payload),
    /// With a failure.
    Failed(Failure),
    /// Its deadline passed.
    TimedOut(Failure),
    /// It was cancelled.
    Cancelled(Failure),
    /// With nothing: a person goes on with it.
    HandedOff(Failure),
}

impl Outcome {
    /// The value or the failure.
    pub fn into_result(self) -> Result<Payload, Failure> {
        match self {
            Outcome::Completed(output) => Ok(output),
            Outcome::Failed(failure)
            | Outcome::TimedOut(failure)
            | Outcome::Cancelled(failure)
            | Outcome::HandedOff(failure) => Err(failure),
        }
    }
}

/// What is due at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The next attempt of a step may begin. No event.
    Retry(OpNo),
    /// An operation's time is up.
    Op(OpNo),
    /// Further persons are asked.
    Escalate(OpNo),
    /// It is too late to begin.
    Begin,
    /// The run's deadline.
    Run,
    /// The end of a cancelled run's grace.
    Grace,
}

impl Run {
    /// The run that its first event makes: [`Event::Triggered`], or [`Event::ContinuedAsNew`] for a later incarnation.
    ///
    /// # Errors
    ///
    /// [`IllegalEvent`] for every other event.
    pub fn begin(id: RunId, event: &Event, time: Timestamp) -> Result<Run, IllegalEvent> {
        match event {
            Event::Triggered(trigger) => Ok(Run::new(id, (**trigger).clone(), time, time)),
            Event::ContinuedAsNew(boundary) => Ok(Run::continued(id, boundary, time)),
            other => Err(IllegalEvent { event: other.name(), state: "not triggered" }),
        }
    }

    fn new(id: RunId, trigger: Trigger, triggered_at: Timestamp, time: Timestamp) -> Run {
        let due = trigger.deadline.iter().map(|deadline| (*deadline, Due::Run)).collect();
        Run {
            id,
            trigger,
            brief: Brief::default(),
            triggered_at,
            incarnation: 0,
            status: Status::Created,
            started_at: None,
            wedged: None,
            paused: None,
            talk: None,
            admitted: None,
            shielded: BTreeSet::new(),
            handed_off: false,
            retries: None,
            usage: Usage::default(),
            refusal: None,
            streamed: (0, 0),
            verdicts: BTreeMap::new(),
            time,
            history: 1,
            next_op: OpNo(0),
            ops: BTreeMap::new(),
            steps: 0,
            waits: BTreeMap::new(),
            due,
            children: BTreeMap::new(),
            children_started: 0,
            signals: VecDeque::new(),
            signals_seen: BTreeSet::new(),
        }
    }

    fn continued(id: RunId, boundary: &Boundary, time: Timestamp) -> Run {
        let mut run = Run::new(id, boundary.trigger.clone(), boundary.triggered_at, time);
        run.incarnation = boundary.incarnation;
        run.signals = boundary.signals.iter().cloned().collect();
        run.signals_seen = boundary.signals_seen.iter().copied().collect();
        for carried in &boundary.children {
            let link = if carried.awaited { Link::Carried(carried.result.clone()) } else { Link::Loose };
            run.children.insert(carried.child, Child { key: carried.key.clone(), link });
        }
        run
    }

    /// Whether the handler of this incarnation was called.
    pub(crate) fn started(&self) -> bool {
        self.started_at.is_some()
    }

    pub(crate) fn cancel(&self) -> Option<&Cancel> {
        match &self.status {
            Status::Cancelling(cancel) => Some(cancel),
            Status::Created | Status::Running | Status::Closed(_) => None,
        }
    }

    /// Whether the run is being cancelled and its handler has not been told yet.
    pub fn holds_answers(&self) -> bool {
        self.cancel().is_some_and(|cancel| cancel.until.is_none())
    }

    /// Whether the handler rests with no step pending; also while it has not been told that it is being cancelled, and
    /// while it does not fit its history.
    pub fn is_suspended(&self) -> bool {
        let lives = matches!(self.status, Status::Running | Status::Cancelling(_));
        lives && self.steps == 0 && self.talk.is_none()
    }

    /// When it must have ended: by its trigger, or by how long it may take since it began.
    pub fn deadline(&self) -> Option<Timestamp> {
        let worked = self.brief.work_limit.zip(self.started_at).map(|(limit, started)| started.after(limit));
        self.trigger.deadline.into_iter().chain(worked).min()
    }

    /// Why the last call of a participant was refused, if it bore this key.
    pub fn refusal(&self, key: &str) -> Option<&Failure> {
        self.refusal.as_ref().filter(|(refused, _)| refused == key).map(|(_, failure)| failure)
    }

    /// Whether it waits in a queue, to be begun by whoever keeps that.
    pub fn is_queued(&self) -> bool {
        matches!(self.status, Status::Created) && self.incarnation == 0 && self.brief.queue.is_some()
    }

    /// The run that it does again, and that one's last incarnation.
    pub fn retries(&self) -> Option<(RunId, u32)> {
        self.retries
    }

    /// What it has cost so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Its id.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Where it stands in its life.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// As it was triggered; with the input of the present incarnation.
    pub fn trigger(&self) -> &Trigger {
        &self.trigger
    }

    /// How often it has continued as new.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// When the last event happened; the next one must not be earlier.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// How many events this incarnation has.
    pub fn history(&self) -> u32 {
        self.history
    }

    /// Why handler and history do not agree, if they do not.
    pub fn wedged(&self) -> Option<&str> {
        self.wedged.as_deref()
    }

    /// The operations that its handler waits for.
    pub fn operations(&self) -> impl Iterator<Item = (OpNo, &Op)> {
        self.ops.iter().map(|(op, pending)| (*op, pending))
    }

    /// Whether the answer to an operation is known from before, and its turn has not come.
    pub fn awaits_recall(&self, op: OpNo) -> bool {
        matches!(self.ops.get(&op), Some(Op::Recalled))
    }

    /// A step that is pending.
    pub fn step(&self, op: OpNo) -> Option<&Step> {
        match self.ops.get(&op)? {
            Op::Step(step) => Some(step),
            Op::Call { .. }
            | Op::Timer { .. }
            | Op::Signal { .. }
            | Op::Approval(_)
            | Op::Handoff { .. }
            | Op::Recalled => None,
        }
    }

    /// The attempt of a step that is owed: as [`Run::outstanding`] has it, and none while the run executes no steps.
    pub fn outstanding_step(&self, op: OpNo) -> Option<crate::effect::StepTask> {
        self.step(op).filter(|_| self.executes_steps()).map(|step| step.task(op))
    }

    /// Whether steps are pending.
    pub fn has_steps(&self) -> bool {
        self.steps > 0
    }

    /// The operation that waits for a child.
    pub fn call_of(&self, child: RunId) -> Option<OpNo> {
        match self.children.get(&child)?.link {
            Link::Awaited(op) => Some(op),
            Link::Loose | Link::Ended | Link::Carried(_) => None,
        }
    }

    /// The name of its state.
    pub fn state_name(&self) -> &'static str {
        match &self.status {
            _ if self.wedged.is_some() => "wedged",
            _ if self.paused.is_some() => "paused",
            Status::Created => "created",
            Status::Running if self.talk.is_some() => "open",
            Status::Running if self.is_suspended() => "suspended",
            Status::Running => "running",
            Status::Cancelling(Cancel { until: None, .. }) => "cancelling its children",
            Status::Cancelling(_) => "compensating",
            Status::Closed(Outcome::Completed(_)) => "completed",
            Status::Closed(Outcome::Failed(_)) => "failed",
            Status::Closed(Outcome::TimedOut(_)) => "timed out",
            Status::Closed(Outcome::Cancelled(_)) => "cancelled",
            Status::Closed(Outcome::HandedOff(_)) => "handed off",
        }
    }
}
