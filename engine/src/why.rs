//! Why a run does not move: what it waits for, since when, and who or what can still bring it.
//!
//! All of it follows from the run's history, the time and how other runs stand, so a stopped folder can be asked as well as a
//! running engine:
//!
//! ```no_run
//! # fn example(run: rejoin::RunHandle<()>) -> rejoin::Result<()> {
//! let why = run.why()?;
//! for wait in &why.waits {
//!     println!("{:?} since {:?}: {:?}", wait.on, wait.since, wait.by);
//! }
//! assert!(!why.is_stuck(), "nothing will ever move it");
//! # Ok(())
//! # }
//! ```

use crate::history::Entry;
use rejoin_machine::brief::Kind;
use rejoin_machine::cancel::Cancel;
use rejoin_machine::conversation::MESSAGE;
use rejoin_machine::{Effect, Event, IllegalEvent, Op, OpNo, Run, RunId, Status, Timestamp};
use std::collections::BTreeMap;

/// A run as its history has made it so far, and since when each of its operations is open.
#[derive(Clone, Debug)]
pub struct Stand {
    run: Box<Run>,
    since: BTreeMap<OpNo, Timestamp>,
    /// When its status began to be what it is.
    changed: Timestamp,
}

impl Stand {
    /// A run after a record of it; `before` is how it stood. A history begins with the run's first record, or with the one
    /// that begins an incarnation; what stands before that in its first record belongs to the one before.
    ///
    /// # Errors
    ///
    /// The number of the event that cannot have happened, and why.
    pub fn after(before: Option<Stand>, id: RunId, entry: &Entry) -> Result<Option<Stand>, (usize, IllegalEvent)> {
        let mut stand = before;
        for (index, event) in entry.transition.events.iter().enumerate() {
            let illegal = |error| (index, error);
            match &mut stand {
                Some(stand) => stand.take(event, entry.time).map_err(illegal)?,
                None if matches!(event, Event::Triggered(_) | Event::ContinuedAsNew(_)) => {
                    let run = Box::new(Run::begin(id, event, entry.time).map_err(illegal)?);
                    stand = Some(Stand { run, since: BTreeMap::new(), changed: entry.time });
                }
                None => {}
            }
        }
        Ok(stand)
    }

    fn take(&mut self, event: &Event, time: Timestamp) -> Result<(), IllegalEvent> {
        let before = self.run.state_name();
        self.run.apply(event, time)?;
        match event {
            Event::StepScheduled { op, .. }
            | Event::ChildTriggered { op, .. }
            | Event::TimerSet { op, .. }
            | Event::ApprovalRequested { op, .. }
            | Event::HandoffStarted { op, .. }
            | Event::SignalAwaited { op, .. } => drop(self.since.insert(*op, time)),
            Event::StepCompleted { op, .. }
            | Event::StepFailed { op, .. }
            | Event::ChildCompleted { op, .. }
            | Event::ChildFailed { op, .. }
            | Event::ChildTimedOut { op, .. }
            | Event::ChildCancelled { op, .. }
            | Event::TimerFired { op }
            | Event::SignalDelivered { op, .. }
            | Event::SignalTimedOut { op }
            | Event::ApprovalDecided { op, .. }
            | Event::ApprovalExpired { op }
            | Event::HandoffEnded { op, .. }
            | Event::OperationDropped { op } => drop(self.since.remove(op)),
            // A new incarnation counts its operations from the beginning, and a cancellation closes all of them.
            Event::ContinuedAsNew(_) | Event::CancelDelivered { .. } => self.since.clear(),
            _ => {}
        }
        if self.run.state_name() != before {
            self.changed = time;
        }
        Ok(())
    }

    /// The run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        matches!(self.run.status(), Status::Closed(_))
    }
}

/// How another run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// It has not ended; the name of its state.
    Alive(&'static str),
    /// It has ended, in the state of this name.
    Ended(&'static str),
    /// There is no such run.
    Missing,
}

/// Why a run does not move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The run.
    pub run: RunId,
    /// Its workflow's name.
    pub workflow: String,
    /// The name of its state.
    pub state: &'static str,
    /// Since when it is in it.
    pub since: Timestamp,
    /// What it waits for; nothing if it has ended.
    pub waits: Vec<Waiting>,
    /// When time ends it, whatever it waits for: its deadline, or the end of the grace of one that is being cancelled.
    pub ends: Option<Timestamp>,
    /// Whether it has ended.
    pub ended: bool,
}

/// Something that a run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What.
    pub on: On,
    /// Since when.
    pub since: Timestamp,
    /// Until when; then the wait ends by itself.
    pub until: Option<Timestamp>,
    /// Who or what can bring it, besides that time.
    pub by: By,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum On {
    /// That its handler is called.
    Start,
    /// A step.
    Step {
        /// Its name.
        name: String,
        /// Which attempt is under way or comes next, from 1.
        attempt: u32,
        /// Why the attempt before failed.
        last_failure: Option<String>,
    },
    /// The end of a child.
    Child {
        /// The child.
        run: RunId,
        /// How it stands.
        stands: Other,
    },
    /// The end of a child that is being cancelled together with the run.
    Cancellation {
        /// The child.
        run: RunId,
        /// How it stands.
        stands: Other,
    },
    /// A point in time.
    Timer,
    /// What is said next in its conversation, see [`Context::ask`](crate::Context::ask).
    Answer,
    /// A signal.
    Signal {
        /// Its name.
        name: String,
    },
    /// An answer of people.
    Approval {
        /// What they are asked.
        question: String,
        /// Who may answer now.
        persons: Vec<String>,
    },
    /// A worker, or its turn, in this queue.
    Queue {
        /// The queue: an agent.
        name: String,
    },
    /// Its turn in this conversation.
    Turn {
        /// The conversation.
        conversation: RunId,
    },
    /// A person who has taken over, or is asked to.
    Handoff,
    /// A message: it is a conversation.
    Message,
    /// Whoever reads it: it is a document.
    Use,
    /// That somebody lets it go on.
    Resume {
        /// Who made it stand still.
        by: String,
        /// Why.
        reason: String,
    },
    /// A handler that fits the history.
    Mending {
        /// Why this one does not.
        reason: String,
    },
    /// Its handler, which rests without anything open.
    Handler,
}

/// Who or what can bring what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A process that has the folder open: it does so by itself, and the next one that starts does what is left undone.
    Process,
    /// The clock, at this time, while a process has the folder open.
    Clock(Timestamp),
    /// Another run, by its end.
    Run(RunId),
    /// Somebody who sends the signal: a program or a person.
    Sender,
    /// One of the persons who are asked, or who may let the run go on.
    Person,
    /// The turns before it, by ending or resting.
    Turns,
    /// A worker of the run's agent.
    Worker,
    /// A program with a handler that fits the history, when it is started.
    Code,
    /// Nobody, and nothing.
    Nobody,
}

impl Why {
    /// Whether it is no run, but a conversation in which nothing happens, or a document.
    pub fn is_idle(&self) -> bool {
        !self.waits.is_empty() && self.waits.iter().all(|wait| matches!(wait.on, On::Message | On::Use))
    }

    /// Whether nothing will ever move it: no clock, no run, no process and no signal. A wedged run counts, since it waits for
    /// another program; so does one of which every wait is for what cannot happen any more.
    pub fn is_stuck(&self) -> bool {
        let wedged = self.waits.iter().any(|wait| matches!(wait.on, On::Mending { .. }));
        let lost = !self.ended && self.ends.is_none() && self.waits.iter().all(Waiting::is_hopeless);
        wedged || lost
    }
}

impl Waiting {
    /// Whether it cannot happen any more, and does not end by itself either.
    pub fn is_hopeless(&self) -> bool {
        self.until.is_none() && matches!(self.by, By::Nobody | By::Code)
    }
}

/// Why a run does not move at `now`, as other runs stand.
pub fn why(stand: &Stand, now: Timestamp, others: impl Fn(RunId) -> Other) -> Why {
    let run = &*stand.run;
    let (mut waits, mut ends) = (Vec::new(), run.trigger().deadline);
    match run.status() {
        Status::Closed(_) => {}
        _ if run.wedged().is_some() => {
            let reason = run.wedged().unwrap_or_default().to_owned();
            waits.push(Waiting { on: On::Mending { reason }, since: stand.changed, until: None, by: By::Code });
        }
        _ if run.paused().is_some() => {
            let (by, reason) = run.paused().unwrap_or_default();
            let on = On::Resume { by: by.to_owned(), reason: reason.to_owned() };
            waits.push(Waiting { on, since: stand.changed, until: None, by: By::Person });
        }
        Status::Created if run.awaits_turn() => {
            let conversation = run.brief().thread.as_ref().map_or(run.id(), |thread| thread.conversation);
            let (on, until) = (On::Turn { conversation }, run.brief().begin_by);
            waits.push(Waiting { on, since: stand.changed, until, by: By::Turns });
        }
        Status::Created if run.brief().kind == Kind::Document => {
            waits.push(Waiting { on: On::Use, since: stand.changed, until: None, by: By::Person });
        }
        Status::Running if run.talk().is_some() => {
            let taken_over = run.talk().is_some_and(|talk| talk.review.is_some());
            let on = if taken_over { On::Handoff } else { On::Message };
            waits.push(Waiting { on, since: stand.changed, until: None, by: By::Person });
        }
        Status::Created if run.is_queued() => {
            let name = run.brief().queue.clone().unwrap_or_default();
            let until = run.brief().begin_by;
            waits.push(Waiting { on: On::Queue { name }, since: stand.changed, until, by: By::Worker });
        }
        Status::Created => waits.push(Waiting { on: On::Start, since: stand.changed, until: None, by: By::Process }),
        Status::Running => waits = open(stand, now, &others),
        Status::Cancelling(Cancel { until: Some(until), .. }) => {
            ends = Some(*until);
            waits = open(stand, now, &others);
        }
        // It hears of it when the children that it waits for have ended, and no clock changes that.
        Status::Cancelling(_) => {
            ends = None;
            waits = cancelled(stand, &others);
        }
    }
    let ended = stand.has_ended();
    if waits.is_empty() && !ended {
        waits.push(Waiting { on: On::Handler, since: stand.changed, until: None, by: By::Process });
    }
    let workflow = run.trigger().target.name.clone();
    let ends = ends.filter(|_| !ended);
    Why { run: run.id(), workflow, state: run.state_name(), since: stand.changed, waits, ends, ended }
}

/// What a handler waits for.
fn open(stand: &Stand, now: Timestamp, others: &impl Fn(RunId) -> Other) -> Vec<Waiting> {
    let waiting = |(number, op): (OpNo, &Op)| -> Option<Waiting> {
        let since = stand.since.get(&number).copied().unwrap_or(stand.changed);
        let (on, until, by) = match op {
            Op::Step(step) => {
                let last_failure = step.last_failure.as_ref().map(|failure| failure.message.clone());
                let on = On::Step { name: step.name.clone(), attempt: step.attempt, last_failure };
                let by = match &step.worker {
                    _ if step.at > now => By::Clock(step.at),
                    Some(_) => By::Worker,
                    None => By::Process,
                };
                (on, None, by)
            }
            Op::Call { child, deadline, .. } => {
                let stands = others(*child);
                (On::Child { run: *child, stands }, *deadline, by_run(*child, stands))
            }
            Op::Timer { at } => (On::Timer, None, By::Clock(*at)),
            Op::Approval(pending) => {
                let persons = pending.persons().cloned().collect();
                let on = On::Approval { question: pending.approval.question.clone(), persons };
                (on, pending.approval.expires_at, By::Person)
            }
            Op::Handoff { .. } => (On::Handoff, None, By::Person),
            // It is answered in the transition that asks for it.
            Op::Recalled => return None,
            Op::Signal { name, deadline } if name == MESSAGE => (On::Answer, *deadline, By::Sender),
            Op::Signal { name, deadline } => (On::Signal { name: name.clone() }, *deadline, By::Sender),
        };
        Some(Waiting { on, since, until, by })
    };
    stand.run.operations().filter_map(waiting).collect()
}

/// The children whose end a cancelled run waits for.
fn cancelled(stand: &Stand, others: &impl Fn(RunId) -> Other) -> Vec<Waiting> {
    let child = |effect| match effect {
        Effect::CancelChild { child, .. } => Some(child),
        Effect::Start | Effect::RunStep(_) | Effect::Tell { .. } | Effect::Open { .. } => None,
    };
    let awaited = |child: &RunId| stand.run.call_of(*child).is_some();
    let mut children: Vec<RunId> = stand.run.outstanding().filter_map(child).collect();
    // Of a whole tree those are cancelled too that nobody waits for.
    if children.iter().any(awaited) {
        children.retain(awaited);
    }
    let waiting = |run| {
        let stands = others(run);
        let on = On::Cancellation { run, stands };
        Waiting { on, since: stand.changed, until: None, by: by_run(run, stands) }
    };
    children.into_iter().map(waiting).collect()
}

/// A child tells its parent of its end in the same moment: of one that has ended or is gone nothing more will come.
fn by_run(run: RunId, stands: Other) -> By {
    match stands {
        Other::Alive(_) => By::Run(run),
        Other::Ended(_) | Other::Missing => By::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_machine::call::{Mode, OnTimeout};
    use rejoin_machine::cancel::Cause;
    use rejoin_machine::retry::Policy;
    use rejoin_machine::{CallKey, Failure, FailureKind, Origin, Payload, Span, Target, Transition, Trigger};

    const RUN: RunId = RunId([1; 16]);
    const CHILD: RunId = RunId([2; 16]);

    fn triggered(deadline: Option<Timestamp>) -> Event {
        Event::Triggered(Box::new(Trigger {
            project: "default".to_owned(),
            target: Target { name: "report".to_owned(), version: 1 },
            input: Payload::from(Vec::new()),
            origin: Origin::Api,
            key: None,
            parent: None,
            depth: 0,
            path: Vec::new(),
            deadline,
            labels: Vec::new(),
            seed: 0,
        }))
    }

    fn called(deadline: Option<Timestamp>) -> Event {
        let target = Target { name: "part".to_owned(), version: 1 };
        let key = CallKey::Numbered { incarnation: 0, op: OpNo(0) };
        let (mode, on_timeout) = (Mode::Wait, OnTimeout::Cancel);
        Event::ChildTriggered { op: OpNo(0), target, child: CHILD, key, input_digest: 0, mode, deadline, on_timeout }
    }

    fn awaited(deadline: Option<Timestamp>) -> Event {
        Event::SignalAwaited { op: OpNo(0), name: "go".to_owned(), deadline }
    }

    /// The answer at time 100 after these events, the first at time 1, the second at 2 and so on.
    fn asked(deadline: Option<Timestamp>, events: Vec<Event>, child: Other) -> Why {
        let events = [vec![triggered(deadline)], events].concat();
        let mut stand = None;
        for (time, event) in (1..).zip(events) {
            let transition = Transition { events: vec![event], ..Transition::default() };
            let entry = Entry { version: time as u64, time: Timestamp(time), transition };
            stand = Stand::after(stand, RUN, &entry).expect("a possible history");
        }
        why(&stand.expect("a run"), Timestamp(100), |_| child)
    }

    #[track_caller]
    fn one(why: &Why) -> &Waiting {
        let [wait] = &why.waits[..] else { panic!("{why:?}") };
        wait
    }

    #[test]
    fn spec_a10_a_signal_is_waited_for_until_its_deadline_or_for_ever() {
        let why = asked(None, vec![Event::Started, awaited(None)], Other::Missing);
        let wait = one(&why);
        assert_eq!((&wait.by, wait.since, wait.until), (&By::Sender, Timestamp(3), None));
        assert_eq!((why.state, why.is_stuck()), ("suspended", false));
        let why = asked(None, vec![Event::Started, awaited(Some(Timestamp(500)))], Other::Missing);
        assert_eq!(one(&why).until, Some(Timestamp(500)));
    }

    #[test]
    fn spec_a10_a_child_that_is_gone_never_ends_unless_somebody_stops_waiting() {
        let events = |deadline| vec![Event::Started, called(deadline)];
        let alive = asked(None, events(None), Other::Alive("suspended"));
        assert_eq!((one(&alive).by, alive.is_stuck()), (By::Run(CHILD), false));
        for gone in [Other::Missing, Other::Ended("completed")] {
            assert!(asked(None, events(None), gone).is_stuck());
            assert!(!asked(None, events(Some(Timestamp(200))), gone).is_stuck(), "the wait has an end");
            assert!(!asked(Some(Timestamp(200)), events(None), gone).is_stuck(), "the run has an end");
        }
    }

    #[test]
    fn spec_a10_a_step_waits_for_its_pause_or_for_a_process() {
        let (name, policy) = ("load".to_owned(), Policy::default());
        let scheduled = Event::StepScheduled { op: OpNo(0), name, policy, timeout: None };
        let failure = Failure::new(FailureKind::Application, "error", "the line is busy");
        let failed = |at| Event::StepAttemptFailed { op: OpNo(0), failure: failure.clone(), retry_at: Timestamp(at) };
        let events = |more: Vec<Event>| [vec![Event::Started, scheduled.clone()], more].concat();
        assert_eq!(one(&asked(None, events(vec![]), Other::Missing)).by, By::Process);
        let later = asked(None, events(vec![failed(300)]), Other::Missing);
        assert_eq!(one(&later).by, By::Clock(Timestamp(300)));
        let On::Step { attempt: 2, last_failure: Some(said), .. } = &one(&later).on else { panic!("{later:?}") };
        assert_eq!(said, "the line is busy");
        assert_eq!(one(&asked(None, events(vec![failed(50)]), Other::Missing)).by, By::Process);
    }

    #[test]
    fn spec_a10_a_wedged_run_needs_another_program() {
        let wedged = Event::Wedged { reason: "at event 2.0".to_owned() };
        let why = asked(None, vec![Event::Started, awaited(None), wedged], Other::Missing);
        assert_eq!((one(&why).by, why.is_stuck(), why.since), (By::Code, true, Timestamp(4)));
    }

    #[test]
    fn spec_a10_a_cancelled_run_waits_for_its_children_and_then_for_its_grace() {
        let cancel = |grace| Event::CancelRequested {
            cause: Cause::Request,
            by: "somebody".to_owned(),
            reason: "over".to_owned(),
            grace: Span(grace),
        };
        let events = vec![Event::Started, called(Some(Timestamp(50))), cancel(10)];
        let why = asked(Some(Timestamp(60)), events.clone(), Other::Alive("compensating"));
        let on = On::Cancellation { run: CHILD, stands: Other::Alive("compensating") };
        assert_eq!((&one(&why).on, one(&why).by), (&on, By::Run(CHILD)));
        assert!(asked(Some(Timestamp(60)), events, Other::Missing).is_stuck());
        let delivered = vec![Event::Started, cancel(10), Event::CancelDelivered { until: Timestamp(900) }];
        let why = asked(None, delivered, Other::Missing);
        assert_eq!((why.state, why.ends, why.is_stuck()), ("compensating", Some(Timestamp(900)), false));
    }

    #[test]
    fn spec_a10_one_that_begins_waits_for_a_process_and_one_that_ended_for_nothing() {
        assert_eq!(one(&asked(None, vec![], Other::Missing)).on, On::Start);
        let output = Payload::from(Vec::new());
        let why = asked(None, vec![Event::Started, Event::Completed { output }], Other::Missing);
        assert!(why.ended && why.waits.is_empty() && !why.is_stuck());
    }
}
