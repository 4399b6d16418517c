//! Random commands: mostly such as mean something to the run, at times nonsense.

use super::{Dice, RUN};
use rejoin_machine::brief::{self, Brief, Callee, Given, Role, Share, Terms, Thread};
use rejoin_machine::call::{GroupMode, Mode, OnTimeout};
use rejoin_machine::cancel::Cause;
use rejoin_machine::conversation::{Busy, Opening};
use rejoin_machine::human::{Ask, Handoff, Verdict};
use rejoin_machine::retry::Policy;
use rejoin_machine::{
    CallKey, Command, Failure, Issue, Limits, Notice, Op, OpNo, Origin, Outcome, Participation, Recollection, Run,
    RunId, SignalId, Span, Target, Timestamp, Trigger, Usage,
};

/// Everything that may be asked.
#[derive(Clone, Copy)]
enum Kind {
    Start,
    EndAttempt,
    TakeAttempt,
    ReturnAttempt,
    ResolveCall,
    Signal,
    Cancel,
    Wake,
    Wedge,
    Unwedge,
    Step,
    Call,
    Sleep,
    Await,
    Participate,
    Stream,
    Emit,
    Decide,
    Pause,
    Unpause,
    Ask,
    CancelCall,
    Group,
    Drop,
    Patch,
    Return,
    ContinueAsNew,
    Say,
    Tell,
    HandOff,
    EndHandoff,
    Use,
    Admit,
    Interrupt,
    Recall,
    AwaitRecall,
    DeliverRecall,
}

/// How often each is asked, of 256 times. What ends a life comes seldom, so that lives are long.
const KINDS: &[(u8, Kind)] = &[
    (12, Kind::Start),
    (6, Kind::Admit),
    (28, Kind::Step),
    (28, Kind::Call),
    (14, Kind::Sleep),
    (12, Kind::Await),
    (22, Kind::EndAttempt),
    (4, Kind::TakeAttempt),
    (2, Kind::ReturnAttempt),
    (30, Kind::ResolveCall),
    (4, Kind::Participate),
    (2, Kind::Stream),
    (2, Kind::Emit),
    (6, Kind::Decide),
    (1, Kind::Pause),
    (3, Kind::Unpause),
    (6, Kind::Ask),
    (14, Kind::Signal),
    (18, Kind::Wake),
    (1, Kind::Say),
    (1, Kind::Tell),
    (3, Kind::HandOff),
    (4, Kind::EndHandoff),
    (1, Kind::Use),
    (1, Kind::Interrupt),
    (3, Kind::Recall),
    (3, Kind::AwaitRecall),
    (3, Kind::DeliverRecall),
    (4, Kind::CancelCall),
    (1, Kind::Group),
    (6, Kind::Drop),
    (3, Kind::Patch),
    (2, Kind::Wedge),
    (6, Kind::Unwedge),
    (3, Kind::ContinueAsNew),
    (2, Kind::Cancel),
    (1, Kind::Return),
];

fn kind(dice: &mut Dice<'_>) -> Kind {
    let mut thrown = dice.byte();
    for (weight, kind) in KINDS {
        match thrown.checked_sub(*weight) {
            Some(rest) => thrown = rest,
            None => return *kind,
        }
    }
    Kind::Wake
}

/// What a run is triggered with.
pub fn trigger(dice: &mut Dice<'_>, now: Timestamp) -> Trigger {
    let depth = dice.pick(&[0, 0, 0, 1, 1, 2, u32::MAX]);
    Trigger {
        project: "default".into(),
        target: Target { name: "a".into(), version: 1 },
        input: dice.payload(),
        origin: Origin::Api,
        key: None,
        parent: None,
        depth,
        path: vec!["a".into()],
        deadline: dice.once_in(6).then(|| dice.time(now)),
        labels: Vec::new(),
        seed: 0,
    }
}

/// Limits that random lives seldom meet, or meet all the time.
pub fn limits(dice: &mut Dice<'_>) -> Limits {
    let tight = Limits {
        payload_bytes: 4,
        history: 40,
        open_operations: 5,
        children: 5,
        buffered_signals: 2,
        depth: dice.pick(&[3, 2, 0, u32::MAX]),
        stream_chunks: 2,
        stream_bytes: 5,
        waiting_turns: 2,
        name_bytes: 8,
        cancel_grace: dice.pick(&[Span(5_000_000), Span(0), Span(u64::MAX)]),
    };
    if dice.once_in(3) { tight } else { Limits::default() }
}

/// A command for a run whose next operation has the number `next`.
pub fn command(dice: &mut Dice<'_>, run: &Run, next: OpNo, now: Timestamp) -> Command {
    let op = if dice.once_in(16) { OpNo(dice.pick(&[0, 1, 5, 1_000, u32::MAX])) } else { next };
    match kind(dice) {
        Kind::Start => Command::Start,
        Kind::EndAttempt => end_attempt(dice, run),
        Kind::TakeAttempt => {
            let (op, attempt) = attempt(dice, run);
            Command::TakeAttempt { op, attempt, worker: dice.name() }
        }
        Kind::ReturnAttempt => {
            let (op, attempt) = attempt(dice, run);
            Command::ReturnAttempt { op, attempt, worker: dice.name() }
        }
        Kind::ResolveCall => Command::ResolveCall { child: child(dice, run), outcome: outcome(dice) },
        Kind::Signal => {
            Command::Signal { id: SignalId([dice.byte() % 24; 16]), name: dice.name(), payload: dice.payload() }
        }
        Kind::Cancel => Command::Cancel {
            cause: dice.pick(&[Cause::Request, Cause::Deadline, Cause::Parent, Cause::Tree]),
            by: dice.name(),
            reason: dice.name(),
            grace: dice.maybe_span(),
        },
        Kind::Wake => Command::Wake { jitter: dice.pick(&[0, 1, u32::MAX]) },
        Kind::Wedge => Command::Wedge { reason: dice.name() },
        Kind::Unwedge => Command::Unwedge,
        Kind::Step => step(dice, op),
        Kind::Call => call(dice, op),
        Kind::Sleep => Command::Issue(Issue::Sleep { op, until: dice.time(now) }),
        Kind::Await => Command::Issue(Issue::Await { op, name: dice.name(), timeout: dice.maybe_span() }),
        Kind::Decide => {
            Command::Decide { op: known_op(dice, run, next), token: [dice.byte() % 2; 16], verdict: verdict(dice) }
        }
        Kind::Participate => participate(dice),
        Kind::Stream => {
            let (op, attempt) = attempt(dice, run);
            Command::Stream { op, attempt, chunk: dice.payload() }
        }
        Kind::Emit => Command::Issue(Issue::Emit { chunk: dice.payload() }),
        Kind::Pause => Command::Pause { by: dice.name(), reason: dice.name() },
        Kind::Unpause => Command::Unpause { by: dice.name() },
        Kind::Ask => Command::Issue(Issue::Ask { op, ask: Box::new(ask(dice)) }),
        Kind::CancelCall => Command::Issue(Issue::CancelCall { op: known_op(dice, run, next), reason: dice.name() }),
        Kind::Group => {
            let members = vec![(dice.name(), known_op(dice, run, next))];
            Command::Issue(Issue::Group { op, name: dice.name(), mode: GroupMode::Quorum(1), members })
        }
        Kind::Drop => Command::Issue(Issue::Drop { op: known_op(dice, run, next) }),
        Kind::Patch => Command::Issue(Issue::Patch { id: dice.name() }),
        Kind::Return => Command::Issue(Issue::Return(dice.result())),
        Kind::ContinueAsNew => Command::Issue(Issue::ContinueAsNew { input: dice.payload(), seed: 1 }),
        turn => {
            let known = known_op(dice, run, next);
            of_turn(turn, dice, op, known)
        }
    }
}

/// What is asked of a run in a conversation.
fn of_turn(kind: Kind, dice: &mut Dice<'_>, op: OpNo, known: OpNo) -> Command {
    match kind {
        Kind::Say => Command::Issue(Issue::Say { content: dice.payload() }),
        Kind::Tell => {
            let told = notice(dice);
            let unknown = dice.once_in(4).then(|| dice.failure());
            Command::Issue(Issue::Tell { op, notice: unknown.map_or(Ok(told), Err) })
        }
        Kind::HandOff => {
            let handoff = handoff(dice);
            let unknown = dice.once_in(8).then(|| dice.failure());
            Command::Issue(Issue::HandOff { op, handoff: unknown.map_or(Ok(handoff), Err) })
        }
        Kind::EndHandoff => {
            let note = dice.once_in(2).then(|| dice.payload());
            Command::EndHandoff { op: known, by: dice.name(), note }
        }
        Kind::Use => Command::Issue(Issue::Use(usage(dice))),
        Kind::Admit => Command::Admit { messages: u64::from(dice.byte()), start: !dice.once_in(4) },
        Kind::Recall => Command::Recall { op, what: dice.name(), answer: recollection(dice) },
        Kind::AwaitRecall => Command::AwaitRecall { op, what: dice.name(), input: dice.once_in(2).then_some(7) },
        Kind::DeliverRecall => Command::DeliverRecall { op: known, answer: recollection(dice) },
        _ => Command::Interrupt,
    }
}

fn end_attempt(dice: &mut Dice<'_>, run: &Run) -> Command {
    let (op, attempt) = attempt(dice, run);
    Command::EndAttempt { op, attempt, result: dice.result(), jitter: dice.pick(&[0, 1, u32::MAX]) }
}

/// An attempt that is wanted, a late one, or one that nobody asked for.
fn attempt(dice: &mut Dice<'_>, run: &Run) -> (OpNo, u32) {
    let steps: Vec<(OpNo, u32)> = run
        .operations()
        .filter_map(|(op, pending)| match pending {
            Op::Step(step) => Some((op, step.attempt)),
            Op::Call { .. }
            | Op::Timer { .. }
            | Op::Signal { .. }
            | Op::Approval(_)
            | Op::Handoff { .. }
            | Op::Recalled => None,
        })
        .collect();
    let (op, attempt) = if steps.is_empty() { (OpNo(0), 1) } else { dice.pick(&steps) };
    (op, if dice.once_in(8) { dice.pick(&[0, 1, 2, u32::MAX]) } else { attempt })
}

fn child(dice: &mut Dice<'_>, run: &Run) -> RunId {
    let known: Vec<RunId> = run.children().collect();
    if known.is_empty() || dice.once_in(8) {
        let key = dice.name();
        return RUN.child(&CallKey::Named(key));
    }
    dice.pick(&known)
}

fn outcome(dice: &mut Dice<'_>) -> Outcome {
    match dice.below(6) {
        5 => Outcome::HandedOff(dice.failure()),
        0 => Outcome::Failed(dice.failure()),
        1 => Outcome::TimedOut(dice.failure()),
        2 => Outcome::Cancelled(dice.failure()),
        _ => Outcome::Completed(dice.payload()),
    }
}

/// An operation that is pending, has ended, or never was.
fn known_op(dice: &mut Dice<'_>, run: &Run, next: OpNo) -> OpNo {
    let pending: Vec<OpNo> = run.operations().map(|(op, _)| op).collect();
    if pending.is_empty() || dice.once_in(4) {
        OpNo(dice.below(next.0 as usize + 2) as u32)
    } else {
        dice.pick(&pending)
    }
}

fn step(dice: &mut Dice<'_>, op: OpNo) -> Command {
    let policy = Policy {
        max_attempts: dice.pick(&[None, Some(2), Some(0), Some(5)]),
        initial: dice.span(),
        growth_percent: dice.pick(&[200, 0, 100, u32::MAX]),
        longest: dice.span(),
        final_codes: if dice.once_in(4) { vec!["b".into(), "step-timeout".into()] } else { Vec::new() },
    };
    Command::Issue(Issue::Step { op, name: dice.name(), policy, timeout: dice.maybe_span() })
}

fn participate(dice: &mut Dice<'_>) -> Command {
    let name = dice.pick(&["b", "a", "c"]).to_string();
    let target = Target { name: name.clone(), version: 1 };
    let unknown: Option<Failure> = dice.once_in(16).then(|| dice.failure());
    Command::Participate(Box::new(Participation {
        target: unknown.map_or(Ok(target), Err),
        name,
        terms: terms(dice),
        key: dice.name(),
        subagents: dice.below(3) as u32,
        input: dice.payload(),
        timeout: dice.maybe_span(),
    }))
}

pub fn verdict(dice: &mut Dice<'_>) -> Verdict {
    Verdict { answer: dice.name(), by: dice.name(), comment: dice.once_in(2).then(|| dice.name()) }
}

fn ask(dice: &mut Dice<'_>) -> Ask {
    Ask {
        question: dice.name(),
        answers: vec![dice.name(), dice.name()],
        persons: vec![dice.name(), dice.name()],
        token: [dice.byte() % 2; 16],
        within: dice.maybe_span(),
        escalations: (0..dice.below(3)).map(|_| (dice.span(), vec![dice.name()])).collect(),
        trouble: dice.once_in(8).then(|| dice.failure()),
    }
}

/// What a run was given, where it was given anything.
pub fn brief(dice: &mut Dice<'_>, now: Timestamp) -> Brief {
    let mut brief = Brief::of_root(terms(dice), dice.once_in(2).then(|| dice.name()), now);
    brief.within = dice.once_in(4).then(|| dice.name());
    brief.thread = dice.once_in(2).then(|| Thread {
        conversation: RunId([9; 16]),
        messages: u64::from(dice.byte()),
        role: dice.pick(&[Role::Turn, Role::Speaks, Role::Reads, Role::TakesOver]),
        task: dice.once_in(4),
    });
    brief
}

fn share(dice: &mut Dice<'_>) -> Share {
    let task = Share::Task(RunId([9; 16]));
    dice.pick(&[Share::History, Share::Inline, Share::TakeOver, Share::NewTask, task])
}

pub fn opening(dice: &mut Dice<'_>) -> Opening {
    Opening {
        agent: dice.name(),
        user: dice.once_in(2).then(|| dice.name()),
        task: dice.once_in(2),
        busy: dice.pick(&[Busy::Queue, Busy::Reject, Busy::Interrupt, Busy::Coalesce]),
    }
}

pub fn notice(dice: &mut Dice<'_>) -> Notice {
    let (conversation, key) = (RunId([8; 16]), dice.name());
    Notice { conversation, key, opening: opening(dice), content: dice.payload() }
}

pub fn handoff(dice: &mut Dice<'_>) -> Handoff {
    let ending = dice.once_in(2).then(|| dice.payload());
    Handoff { shown: dice.payload(), ending, for_good: dice.once_in(8) }
}

pub fn usage(dice: &mut Dice<'_>) -> Usage {
    let mut much = || dice.pick(&[0, 1, 7, u64::MAX]);
    Usage { input_tokens: much(), output_tokens: much(), cost_micros: much() }
}

pub fn recollection(dice: &mut Dice<'_>) -> Recollection {
    match dice.below(5) {
        4 => Recollection::Failed(dice.failure()),
        0 => Recollection::Spawned(RunId([3; 16])),
        1 => Recollection::Verdict(verdict(dice)),
        2 => Recollection::Nothing,
        _ => Recollection::Value(dice.payload()),
    }
}

fn terms(dice: &mut Dice<'_>) -> Terms {
    let kind = |dice: &mut Dice<'_>| dice.pick(&[brief::Kind::Workflow, brief::Kind::Workflow, brief::Kind::Agent]);
    let metadata = |dice: &mut Dice<'_>| (dice.name(), dice.payload());
    Terms {
        callee: Callee {
            kind: kind(dice),
            reentrant: dice.once_in(2),
            declares: if dice.once_in(4) { vec![dice.name()] } else { Vec::new() },
            requires_user: dice.once_in(8),
            granted: !dice.once_in(4),
            part: dice.once_in(8),
            queue: dice.once_in(4).then(|| dice.name()),
            missing: dice.once_in(16).then(|| dice.name()),
        },
        given: Given {
            metadata: if dice.once_in(4) { vec![metadata(dice)] } else { Vec::new() },
            only: if dice.once_in(8) { Some(vec![dice.name()]) } else { None },
            triggers_nothing: dice.once_in(16),
            subagent: dice.once_in(8),
            protected: dice.once_in(4),
            share: dice.once_in(4).then(|| share(dice)),
            outlasts: dice.once_in(4),
            queue_limit: dice.maybe_span(),
            work_limit: dice.maybe_span(),
            ..Given::default()
        },
    }
}

fn call(dice: &mut Dice<'_>, op: OpNo) -> Command {
    let name = dice.pick(&["b", "a", "c"]).to_string();
    let target = Target { name: name.clone(), version: 1 };
    let unknown: Option<Failure> = dice.once_in(16).then(|| dice.failure());
    Command::Issue(Issue::Call {
        op,
        target: unknown.map_or(Ok(target), Err),
        name,
        terms: Box::new(terms(dice)),
        key: dice.once_in(2).then(|| dice.name()),
        input: dice.payload(),
        mode: dice.pick(&[Mode::Wait, Mode::Wait, Mode::Wait, Mode::Detach]),
        timeout: dice.maybe_span(),
        on_timeout: dice.pick(&[OnTimeout::Cancel, OnTimeout::Detach]),
    })
}
