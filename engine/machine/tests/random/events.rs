//! Random events, such as no machine has decided.

use super::commands::{brief, handoff, notice, opening, recollection, trigger, usage, verdict};
use super::{Dice, RUN};
use rejoin_machine::brief::{Brief, Kind};
use rejoin_machine::call::{GroupMode, Mode, OnTimeout};
use rejoin_machine::cancel::Cause;
use rejoin_machine::conversation::{Change, Message, Sort, Speaker};
use rejoin_machine::human::{Approval, Escalation};
use rejoin_machine::retry::Policy;
use rejoin_machine::signal::Buffered;
use rejoin_machine::{Boundary, CallKey, Carried, Event, OpNo, RunId, SignalId, Target, Timestamp};

/// How many kinds of events there are.
const KINDS: usize = 60;

/// Any event.
pub fn event(dice: &mut Dice<'_>, now: Timestamp) -> Event {
    match dice.below(KINDS) {
        0 => Event::Triggered(Box::new(trigger(dice, now))),
        1 => Event::Started,
        2 => Event::Completed { output: dice.payload() },
        3 => Event::Failed { failure: dice.failure() },
        4 => Event::TimedOut { failure: dice.failure() },
        5 => Event::Cancelled { failure: dice.failure() },
        6 => Event::ContinuedAsNew(Box::new(boundary(dice, now))),
        7 => Event::PatchMarked { id: dice.name() },
        8 => Event::CancelRequested {
            cause: dice.pick(&[Cause::Request, Cause::Deadline, Cause::Parent, Cause::Tree]),
            by: dice.name(),
            reason: dice.name(),
            grace: dice.span(),
        },
        9 => Event::CancelDelivered { until: dice.time(now) },
        10 => Event::Wedged { reason: dice.name() },
        11 => Event::Unwedged,
        12 => Event::SignalReceived { id: signal(dice), name: dice.name(), payload: dice.payload() },
        13 => Event::ResultIgnored { child: child(dice).0 },
        14 => Event::CarriedChildEnded { child: child(dice).0, result: dice.result() },
        15 => Event::OperationDropped { op: op(dice) },
        34 => Event::AttemptTaken { op: op(dice), attempt: u32::from(dice.byte() % 3), worker: dice.name() },
        35 => Event::AttemptReturned { op: op(dice), attempt: u32::from(dice.byte() % 3) },
        36 => Event::ApprovalRequested { op: op(dice), approval: Box::new(approval(dice, now)) },
        37 => Event::ApprovalEscalated { op: op(dice) },
        38 => Event::ApprovalDecided { op: op(dice), verdict: Box::new(verdict(dice)) },
        39 => Event::ApprovalExpired { op: op(dice) },
        40 => Event::Paused { by: dice.name(), reason: dice.name() },
        41 => Event::Unpaused { by: dice.name() },
        42 => {
            let key = dice.name();
            let child = RUN.child(&CallKey::Named(key.clone()));
            let target = Target { name: dice.name(), version: 1 };
            let deadline = dice.once_in(2).then(|| dice.time(now));
            Event::ParticipantCalled { target, child, key, input_digest: 0, deadline }
        }
        43 => Event::ParticipantRefused { key: dice.name(), name: dice.name(), failure: dice.failure() },
        44 => Event::Streamed { attempt: u32::from(dice.byte() % 3), chunk: dice.payload() },
        45 => Event::ApprovalRefused { op: op(dice), failure: dice.failure() },
        31 => Event::Briefed(Box::new(brief(dice, now))),
        32 => Event::CallCancelled { op: op(dice), reason: dice.name() },
        33 => Event::GroupFormed {
            op: op(dice),
            name: dice.name(),
            mode: dice.pick(&[GroupMode::All, GroupMode::Collect, GroupMode::First, GroupMode::Quorum(2)]),
            members: vec![(dice.name(), op(dice))],
        },
        46.. => of_conversations(dice),
        other => of_operations(other, dice, now),
    }
}

fn of_conversations(dice: &mut Dice<'_>) -> Event {
    match dice.below(16) {
        0 => Event::Conversation(Box::new(change(dice))),
        12 => Event::Retries { run: RunId([4; 16]), incarnation: 0 },
        1 => Event::Admitted { messages: u64::from(dice.byte()) },
        2 => Event::Said { content: dice.payload() },
        3 => Event::PersonTold { op: op(dice), notice: Box::new(notice(dice)) },
        4 => Event::PersonNotTold { op: op(dice), failure: dice.failure() },
        5 => Event::HandoffStarted { op: op(dice), handoff: Box::new(handoff(dice)) },
        6 => Event::HandoffRefused { op: op(dice), failure: dice.failure() },
        7 => Event::HandoffEnded { op: op(dice), by: dice.name(), note: dice.once_in(2).then(|| dice.payload()) },
        8 => Event::CallShielded { op: op(dice) },
        9 => Event::CallInterrupted { op: op(dice) },
        10 => Event::UsageRecorded(usage(dice)),
        11 => Event::Recalled { op: op(dice), what: dice.name(), answer: recollection(dice) },
        13 => Event::RecallAwaited { op: op(dice), what: dice.name(), input: dice.once_in(2).then_some(7) },
        14 => Event::RecallDelivered { op: op(dice), answer: recollection(dice) },
        _ => Event::Briefed(Box::new(Brief { kind: Kind::Conversation, ..Brief::default() })),
    }
}

fn of_operations(kind: usize, dice: &mut Dice<'_>, now: Timestamp) -> Event {
    let op = op(dice);
    match kind {
        16 => Event::StepScheduled { op, name: dice.name(), policy: Policy::default(), timeout: dice.maybe_span() },
        17 => Event::StepCompleted { op, output: dice.payload() },
        18 => Event::StepAttemptFailed { op, failure: dice.failure(), retry_at: dice.time(now) },
        19 => Event::StepFailed { op, failure: dice.failure() },
        20 => {
            let (child, key) = child(dice);
            let target = Target { name: dice.name(), version: 1 };
            let mode = dice.pick(&[Mode::Wait, Mode::Detach]);
            let deadline = dice.once_in(2).then(|| dice.time(now));
            let on_timeout = dice.pick(&[OnTimeout::Cancel, OnTimeout::Detach]);
            Event::ChildTriggered { op, target, child, key, input_digest: 0, mode, deadline, on_timeout }
        }
        21 => Event::ChildRefused { op, name: dice.name(), failure: dice.failure() },
        22 => Event::ChildCompleted { op, output: dice.payload() },
        23 => Event::ChildFailed { op, failure: dice.failure() },
        24 => Event::ChildTimedOut { op, failure: dice.failure(), ended: dice.once_in(2) },
        25 => Event::ChildCancelled { op, failure: dice.failure() },
        26 => Event::TimerSet { op, at: dice.time(now) },
        27 => Event::TimerFired { op },
        28 => Event::SignalAwaited { op, name: dice.name(), deadline: dice.once_in(2).then(|| dice.time(now)) },
        29 => Event::SignalDelivered { op, id: signal(dice) },
        _ => Event::SignalTimedOut { op },
    }
}

/// Something that happens to a conversation, with few turns, so that they meet.
fn change(dice: &mut Dice<'_>) -> Change {
    let run = RunId([dice.byte() % 3; 16]);
    match dice.below(13) {
        0 => Change::Opened(opening(dice)),
        1 => Change::Added(Message {
            speaker: dice.pick(&[Speaker::Anonymous, Speaker::User("a".into()), Speaker::Agent("b".into())]),
            sort: dice.pick(&[Sort::Said, Sort::Reply, Sort::Task]),
            content: dice.result(),
            run: dice.once_in(2).then_some(run),
            id: dice.once_in(2).then(|| signal(dice)),
        }),
        2 => Change::Joined { run, begins: dice.once_in(2).then(|| Target { name: dice.name(), version: 1 }) },
        3 => Change::Admitted { run, messages: u64::from(dice.byte() % 4) },
        4 => Change::Released { run },
        5 => Change::Ended { run },
        6 => Change::Interrupted { run },
        7 => Change::AgentChanged { agent: dice.name(), run },
        8 => Change::ReviewAsked { run, op: dice.once_in(2).then(|| op(dice)) },
        9 => Change::ReviewClaimed { by: dice.name() },
        10 => Change::Listens { run },
        11 => Change::Ignores { run },
        _ => Change::ReviewEnded { by: dice.name(), note: dice.once_in(2).then(|| dice.payload()) },
    }
}

fn approval(dice: &mut Dice<'_>, now: Timestamp) -> Approval {
    Approval {
        question: dice.name(),
        answers: vec![dice.name()],
        persons: vec![dice.name()],
        token: [dice.byte() % 2; 16],
        expires_at: dice.once_in(2).then(|| dice.time(now)),
        escalations: (0..dice.below(3))
            .map(|_| Escalation { at: dice.time(now), persons: vec![dice.name()] })
            .collect(),
    }
}

fn op(dice: &mut Dice<'_>) -> OpNo {
    OpNo(dice.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, u32::MAX - 1, u32::MAX]))
}

fn signal(dice: &mut Dice<'_>) -> SignalId {
    SignalId([dice.byte() % 4; 16])
}

fn child(dice: &mut Dice<'_>) -> (RunId, CallKey) {
    let key = match dice.below(4) {
        0 => CallKey::Named("a".into()),
        1 => CallKey::Named("b".into()),
        other => CallKey::Numbered { incarnation: 0, op: OpNo(other as u32) },
    };
    (RUN.child(&key), key)
}

fn boundary(dice: &mut Dice<'_>, now: Timestamp) -> Boundary {
    let carried = |dice: &mut Dice<'_>| {
        let (child, key) = child(dice);
        let result = dice.once_in(2).then(|| dice.result());
        Carried { child, key, awaited: dice.once_in(2), result }
    };
    Boundary {
        incarnation: dice.pick(&[1, 0, 2, 3, u32::MAX]),
        trigger: trigger(dice, now),
        triggered_at: dice.time(now),
        children: (0..dice.below(4)).map(|_| carried(dice)).collect(),
        signals: (0..dice.below(3))
            .map(|_| Buffered { id: signal(dice), name: dice.name(), payload: dice.payload() })
            .collect(),
        signals_seen: (0..dice.below(3)).map(|_| signal(dice)).collect(),
    }
}
