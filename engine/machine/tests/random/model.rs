//! What a run must be like, folded from its events in the plainest way.

use rejoin_machine::brief::{Brief, Role};
use rejoin_machine::call::Mode;
use rejoin_machine::human::Approval;
use rejoin_machine::{Boundary, CallKey, Effect, Event, OpNo, Run, RunId, SignalId, Span, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Created,
    Running,
    /// Being cancelled, its children first.
    Waiting,
    Compensating,
    Ended,
}

#[derive(Debug)]
enum Pending {
    Step {
        attempt: u32,
        at: Timestamp,
        timeout: Option<Span>,
        worker: Option<String>,
    },
    Call {
        child: RunId,
        deadline: Option<Timestamp>,
        cancelled: bool,
    },
    Timer {
        at: Timestamp,
    },
    Wait {
        name: String,
        deadline: Option<Timestamp>,
    },
    Question {
        approval: Box<Approval>,
        escalated: usize,
    },
    /// A person has the conversation.
    Handoff,
    /// What another run knew.
    Recall,
}

/// A run as its events alone say.
#[derive(Debug)]
pub struct Model {
    life: Life,
    wedged: bool,
    paused: bool,
    incarnation: u32,
    deadline: Option<Timestamp>,
    brief: Brief,
    /// It is a turn, and was admitted.
    admitted: bool,
    started: Option<Timestamp>,
    grace: Option<Timestamp>,
    pending: BTreeMap<OpNo, Pending>,
    /// One more than the highest number of an operation.
    pub next: u32,
    /// Children that are waited for, by an operation or for a later one.
    pub awaited: BTreeSet<RunId>,
    /// Children whose result is kept for a call to come.
    kept: BTreeSet<RunId>,
    /// Children that were ever started.
    known: BTreeSet<RunId>,
    /// Children whose end was taken.
    ended: BTreeSet<RunId>,
    signals: Vec<(SignalId, String)>,
    seen: BTreeSet<SignalId>,
    /// Steps that have ended.
    done: BTreeSet<(u32, OpNo)>,
}

impl Model {
    pub fn new(deadline: Option<Timestamp>) -> Model {
        Model {
            life: Life::Created,
            wedged: false,
            paused: false,
            incarnation: 0,
            deadline,
            brief: Brief::default(),
            admitted: false,
            started: None,
            grace: None,
            pending: BTreeMap::new(),
            next: 0,
            awaited: BTreeSet::new(),
            kept: BTreeSet::new(),
            known: BTreeSet::new(),
            ended: BTreeSet::new(),
            signals: Vec::new(),
            seen: BTreeSet::new(),
            done: BTreeSet::new(),
        }
    }

    pub fn has_ended(&self) -> bool {
        self.life == Life::Ended
    }

    /// Takes an event; panics where it breaks a promise.
    pub fn take(&mut self, event: &Event, time: Timestamp) {
        assert!(!self.has_ended(), "nothing happens after the end");
        match event {
            Event::Triggered(_) => panic!("triggered twice"),
            Event::Started => {
                self.become_from(&[Life::Created], Life::Running);
                assert!(!self.awaits_turn(), "it is not its turn");
                self.started = Some(time);
            }
            Event::Briefed(brief) => {
                self.become_from(&[Life::Created], Life::Created);
                self.brief = (**brief).clone();
            }
            Event::Completed { .. } | Event::Failed { .. } => self.become_from(&[Life::Running], Life::Ended),
            Event::TimedOut { .. } | Event::Cancelled { .. } => {
                self.become_from(&[Life::Waiting, Life::Compensating], Life::Ended);
            }
            Event::ContinuedAsNew(boundary) => self.begin_anew(boundary),
            Event::CancelRequested { .. } => self.become_from(&[Life::Created, Life::Running], Life::Waiting),
            Event::CancelDelivered { until } => {
                assert!(self.awaited.is_empty(), "leaves first");
                self.become_from(&[Life::Waiting], Life::Compensating);
                self.pending.clear();
                self.grace = Some(*until);
            }
            Event::Wedged { .. } => assert!(!std::mem::replace(&mut self.wedged, true)),
            Event::Unwedged => assert!(std::mem::replace(&mut self.wedged, false)),
            Event::Paused { .. } => {
                assert!(matches!(self.life, Life::Created | Life::Running), "who is to end does not stand still");
                assert!(!std::mem::replace(&mut self.paused, true));
            }
            Event::Unpaused { .. } => assert!(std::mem::replace(&mut self.paused, false)),
            Event::SignalReceived { id, name, .. } => {
                assert!(self.seen.insert(*id), "each signal id is taken once");
                self.signals.push((*id, name.clone()));
            }
            Event::SignalDelivered { op, id } => self.deliver(*op, *id),
            Event::ResultIgnored { child } => assert!(self.ended.insert(*child), "each child ends once"),
            Event::CarriedChildEnded { child, .. } => {
                assert!(self.ended.insert(*child), "each child ends once");
                assert!(self.awaited.remove(child), "it was carried");
                self.kept.insert(*child);
            }
            Event::ParticipantCalled { child, .. } => {
                self.check_heard();
                assert!(self.known.insert(*child), "a key stands for one child");
                self.awaited.insert(*child);
            }
            Event::Streamed { .. } => {
                assert!(matches!(self.life, Life::Running | Life::Compensating), "it is under way");
            }
            Event::Retries { .. } => self.become_from(&[Life::Created], Life::Created),
            Event::PatchMarked { .. } | Event::ParticipantRefused { .. } | Event::UsageRecorded(_) => {
                self.check_heard()
            }
            Event::Admitted { .. } | Event::Said { .. } => self.take_turn(event),
            operation => self.take_operation(operation, time),
        }
    }

    fn take_operation(&mut self, event: &Event, time: Timestamp) {
        match event {
            Event::StepScheduled { op, timeout, .. } => {
                self.open(*op, Pending::Step { attempt: 1, at: time, timeout: *timeout, worker: None });
            }
            Event::StepAttemptFailed { op, retry_at, .. } => {
                let Some(Pending::Step { attempt, at, worker, .. }) = self.pending.get_mut(op) else {
                    panic!("no step")
                };
                (*attempt, *at, *worker) = (*attempt + 1, *retry_at, None);
            }
            Event::AttemptTaken { op, attempt, worker } => self.hand(*op, *attempt, Some(worker.clone())),
            Event::AttemptReturned { op, attempt } => self.hand(*op, *attempt, None),
            Event::StepCompleted { op, .. } | Event::StepFailed { op, .. } => {
                assert!(matches!(self.close(*op), Pending::Step { .. }));
                assert!(self.done.insert((self.incarnation, *op)), "a step ends once");
            }
            Event::ChildTriggered { op, child, mode, deadline, .. } => self.call(*op, *child, *mode, *deadline),
            Event::ChildRefused { op, .. } => self.number(*op),
            Event::ChildCompleted { op, .. }
            | Event::ChildFailed { op, .. }
            | Event::ChildCancelled { op, .. }
            | Event::ChildTimedOut { op, ended: true, .. } => {
                let Pending::Call { child, .. } = self.close(*op) else { panic!("no call") };
                self.awaited.remove(&child);
                assert!(self.kept.remove(&child) || self.ended.insert(child), "each child ends once");
            }
            Event::ChildTimedOut { op, ended: false, .. } => {
                let Pending::Call { child, deadline, .. } = self.close(*op) else { panic!("no call") };
                assert!(deadline.is_some_and(|at| at <= time), "never early");
                self.awaited.remove(&child);
            }
            Event::CallCancelled { op, .. } => {
                self.check_heard();
                if let Some(Pending::Call { cancelled, .. }) = self.pending.get_mut(op) {
                    *cancelled = true;
                }
            }
            Event::GroupFormed { op, .. } | Event::ApprovalRefused { op, .. } => self.number(*op),
            Event::TimerSet { op, at } => self.open(*op, Pending::Timer { at: *at }),
            Event::TimerFired { op } => {
                assert!(matches!(self.close(*op), Pending::Timer { at } if at <= time), "never early");
            }
            Event::SignalAwaited { op, name, deadline } => {
                self.open(*op, Pending::Wait { name: name.clone(), deadline: *deadline });
            }
            Event::SignalTimedOut { op } => {
                let Pending::Wait { deadline, .. } = self.close(*op) else { panic!("no wait") };
                assert!(deadline.is_some_and(|at| at <= time), "never early");
            }
            Event::OperationDropped { op } => {
                self.check_heard();
                if let Some(Pending::Call { child, .. }) = self.pending.remove(op) {
                    self.awaited.remove(&child);
                }
            }
            question => self.answer(question, time),
        }
    }

    /// What happens to it in a conversation.
    fn take_turn(&mut self, event: &Event) {
        match event {
            Event::Admitted { .. } => {
                assert!(self.awaits_turn() && self.life == Life::Created, "a turn is admitted once");
                self.admitted = true;
            }
            Event::Said { .. } => {
                self.check_heard();
                assert!(self.brief.thread.as_ref().is_some_and(|thread| thread.role != Role::Reads), "nobody hears it");
            }
            Event::CallShielded { op } => {
                assert!(matches!(self.pending.get(op), Some(Pending::Call { .. })), "no call");
            }
            Event::CallInterrupted { op } => {
                let Some(Pending::Call { cancelled, .. }) = self.pending.get_mut(op) else { panic!("no call") };
                *cancelled = true;
            }
            Event::HandoffStarted { op, handoff } if !handoff.for_good => self.open(*op, Pending::Handoff),
            Event::RecallAwaited { op, .. } => self.open(*op, Pending::Recall),
            Event::RecallDelivered { op, .. } => assert!(matches!(self.close(*op), Pending::Recall), "no recall"),
            Event::HandoffEnded { op, .. } => assert!(matches!(self.close(*op), Pending::Handoff), "no handoff"),
            Event::PersonTold { op, .. }
            | Event::PersonNotTold { op, .. }
            | Event::HandoffStarted { op, .. }
            | Event::HandoffRefused { op, .. }
            | Event::Recalled { op, .. } => self.number(*op),
            other => panic!("the model does not know {other:?}"),
        }
    }

    /// A question is asked, escalated, answered by somebody who is asked, or too old.
    fn answer(&mut self, event: &Event, time: Timestamp) {
        match event {
            Event::ApprovalRequested { op, approval } => {
                self.open(*op, Pending::Question { approval: approval.clone(), escalated: 0 });
            }
            Event::ApprovalEscalated { op } => {
                let Some(Pending::Question { approval, escalated }) = self.pending.get_mut(op) else {
                    panic!("no question")
                };
                assert!(approval.escalations[*escalated].at <= time, "never early");
                *escalated += 1;
            }
            Event::ApprovalDecided { op, verdict } => {
                let Pending::Question { approval, escalated } = self.close(*op) else { panic!("no question") };
                let later = approval.escalations.iter().take(escalated).flat_map(|escalation| &escalation.persons);
                assert!(approval.persons.iter().chain(later).any(|person| *person == verdict.by), "nobody asked them");
                assert!(approval.answers.contains(&verdict.answer), "it is no answer");
            }
            Event::ApprovalExpired { op } => {
                let Pending::Question { approval, .. } = self.close(*op) else { panic!("no question") };
                assert!(approval.expires_at.is_some_and(|at| at <= time), "never early");
            }
            other => self.take_turn(other),
        }
    }

    /// A worker takes an attempt that nobody has, or gives back one that it has.
    fn hand(&mut self, op: OpNo, which: u32, to: Option<String>) {
        let Some(Pending::Step { attempt, worker, .. }) = self.pending.get_mut(&op) else { panic!("no step") };
        assert_eq!((*attempt, worker.is_some()), (which, to.is_none()), "one worker has it");
        *worker = to;
    }

    fn become_from(&mut self, from: &[Life], to: Life) {
        assert!(from.contains(&self.life), "{to:?} after {:?}", self.life);
        self.life = to;
        if to == Life::Ended {
            self.pending.clear();
            (self.wedged, self.paused) = (false, false);
        }
    }

    fn check_heard(&self) {
        assert!(matches!(self.life, Life::Running | Life::Compensating) && !self.is_held(), "nobody hears the handler");
    }

    fn awaits_turn(&self) -> bool {
        let is_turn = self.brief.thread.as_ref().is_some_and(|thread| thread.role.is_turn());
        is_turn && !self.admitted && self.incarnation == 0
    }

    fn is_held(&self) -> bool {
        self.wedged || self.paused
    }

    fn number(&mut self, op: OpNo) {
        self.check_heard();
        assert!(op.0 >= self.next, "operation {op} came before");
        self.next = op.0 + 1;
    }

    fn open(&mut self, op: OpNo, pending: Pending) {
        self.number(op);
        assert!(!self.done.contains(&(self.incarnation, op)));
        self.pending.insert(op, pending);
    }

    fn close(&mut self, op: OpNo) -> Pending {
        self.pending.remove(&op).unwrap_or_else(|| panic!("operation {op} is not pending"))
    }

    fn call(&mut self, op: OpNo, child: RunId, mode: Mode, deadline: Option<Timestamp>) {
        let waits = self.pending.values().any(|other| matches!(other, Pending::Call { child: of, .. } if *of == child));
        assert!(!waits, "one open call for a child");
        let carried = self.awaited.contains(&child) || self.kept.contains(&child);
        assert!(self.known.insert(child) || carried, "a key stands for one child");
        match mode {
            Mode::Wait => {
                self.open(op, Pending::Call { child, deadline, cancelled: false });
                if !self.kept.contains(&child) {
                    self.awaited.insert(child);
                }
            }
            Mode::Detach => {
                self.number(op);
                self.awaited.remove(&child);
                self.kept.remove(&child);
            }
        }
    }

    /// The first signal of its name goes to the oldest wait of that name.
    fn deliver(&mut self, op: OpNo, id: SignalId) {
        assert_ne!(self.life, Life::Waiting, "nothing is handed over before the cancel");
        let Pending::Wait { name, .. } = self.close(op) else { panic!("no wait") };
        let older = |(other, pending): (&OpNo, &Pending)| {
            *other < op && matches!(pending, Pending::Wait { name: of, .. } if *of == name)
        };
        assert!(!self.pending.iter().any(older), "the oldest wait is served first");
        let first = self.signals.iter().position(|(_, of)| *of == name).expect("a signal that came");
        assert_eq!(self.signals.remove(first).0, id, "signals are handed over in order");
    }

    fn begin_anew(&mut self, boundary: &Boundary) {
        self.check_heard();
        assert_eq!(boundary.incarnation, self.incarnation + 1);
        assert_eq!(boundary.signals.iter().map(|signal| signal.id).collect::<Vec<_>>(), self.buffered());
        assert_eq!(boundary.signals_seen, self.seen.iter().copied().collect::<Vec<_>>());
        let live = boundary.children.iter().filter(|carried| carried.awaited && carried.result.is_none());
        assert_eq!(live.map(|carried| carried.child).collect::<BTreeSet<_>>(), self.awaited);
        // Only a key of the caller's finds a result again.
        let numbered = |carried: &&rejoin_machine::Carried| matches!(carried.key, CallKey::Numbered { .. });
        assert!(boundary.children.iter().filter(numbered).all(|carried| carried.result.is_none()));
        // Of a child that went along for its key alone, an incarnation does not know whether it has ended.
        for carried in boundary.children.iter().filter(|carried| !carried.awaited) {
            self.ended.remove(&carried.child);
        }
        self.deadline = boundary.trigger.deadline;
        self.brief = Brief::default();
        self.started = None;
        self.life = Life::Created;
        self.incarnation += 1;
        self.pending.clear();
        self.next = 0;
    }

    fn buffered(&self) -> Vec<SignalId> {
        self.signals.iter().map(|(id, _)| *id).collect()
    }

    /// Compares with the machine.
    pub fn check(&self, run: &Run, now: Timestamp) {
        let owed: Vec<Effect> = run.outstanding().collect();
        assert_eq!(
            owed.contains(&Effect::Start),
            self.life == Life::Created
                && !self.is_held()
                && !self.awaits_turn()
                && (self.brief.queue.is_none() || self.incarnation > 0)
        );
        let steps: Vec<(OpNo, u32, Timestamp)> = owed
            .iter()
            .filter_map(|effect| match effect {
                Effect::RunStep(task) => Some((task.op, task.attempt, task.at)),
                Effect::Start | Effect::CancelChild { .. } | Effect::Tell { .. } | Effect::Open { .. } => None,
            })
            .collect();
        let executes = matches!(self.life, Life::Running | Life::Compensating) && !self.is_held();
        assert_eq!(steps, if executes { self.steps() } else { Vec::new() }, "steps owed: scheduled less ended");
        let told: BTreeSet<RunId> = owed
            .iter()
            .filter_map(|effect| match effect {
                Effect::CancelChild { child, .. } => Some(*child),
                Effect::Start | Effect::RunStep(_) | Effect::Tell { .. } | Effect::Open { .. } => None,
            })
            .collect();
        assert!(told.is_superset(&self.awaited) || self.life != Life::Waiting, "who is waited for is cancelled");
        let hastened = |child: &RunId| {
            let is =
                |pending: &Pending| matches!(pending, Pending::Call { child: of, cancelled: true, .. } if of == child);
            self.pending.values().any(is)
        };
        assert!(told.iter().all(hastened) || self.life == Life::Waiting);
        assert!(told.is_disjoint(&self.ended), "who has ended is not cancelled");
        let lives = matches!(self.life, Life::Running | Life::Compensating | Life::Waiting);
        assert_eq!(run.is_suspended(), lives && self.steps().is_empty());
        assert_eq!(run.holds_answers(), self.life == Life::Waiting);
        assert_eq!(
            run.operations().map(|(op, _)| op).collect::<Vec<_>>(),
            self.pending.keys().copied().collect::<Vec<_>>()
        );
        for now in [now, Timestamp(i64::MIN), Timestamp(i64::MAX)] {
            assert_eq!(run.next_due(now), self.due(now), "what is due after {now:?}");
        }
    }

    fn steps(&self) -> Vec<(OpNo, u32, Timestamp)> {
        let step = |(op, pending): (&OpNo, &Pending)| match pending {
            Pending::Step { attempt, at, .. } => Some((*op, *attempt, *at)),
            Pending::Call { .. }
            | Pending::Timer { .. }
            | Pending::Wait { .. }
            | Pending::Question { .. }
            | Pending::Handoff
            | Pending::Recall => None,
        };
        self.pending.iter().filter_map(step).collect()
    }

    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        if matches!(self.life, Life::Waiting | Life::Ended) {
            return None;
        }
        let of = |pending: &Pending| match pending {
            Pending::Step { .. } if self.is_held() => [None, None],
            Pending::Question { approval, escalated } => {
                [approval.expires_at, approval.escalations.get(*escalated).map(|next| next.at)]
            }
            Pending::Step { at, timeout, attempt, .. } => {
                [timeout.map(|timeout| at.after(timeout)), Some(*at).filter(|at| *attempt > 1 && *at > now)]
            }
            Pending::Call { deadline, .. } | Pending::Wait { deadline, .. } => [*deadline, None],
            Pending::Timer { at } => [Some(*at), None],
            Pending::Handoff | Pending::Recall => [None, None],
        };
        let worked = self.started.zip(self.brief.work_limit).map(|(started, limit)| started.after(limit));
        let run = match self.life {
            Life::Compensating => [self.grace, None],
            Life::Created => [self.deadline, self.brief.begin_by],
            Life::Running | Life::Waiting | Life::Ended => [self.deadline, worked],
        };
        self.pending.values().flat_map(of).chain(run).flatten().min()
    }
}
