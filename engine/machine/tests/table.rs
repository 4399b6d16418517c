//! The table of the machine: which event can happen in which state. `table.golden` holds it for people to read and
//! for changes to be seen; after a change that is meant, run this test once with `UPDATE_GOLDEN=1`.

mod common;

use common::*;
use rejoin_machine::brief::{Brief, Kind, Role, Thread};
use rejoin_machine::call::GroupMode;
use rejoin_machine::cancel::Cause;
use rejoin_machine::conversation::{Busy, Change, Message, Opening, Sort, Speaker};
use rejoin_machine::human::{Approval, Escalation, Handoff, Verdict};
use rejoin_machine::{Event, Notice, Op, OpNo, Recollection, Run, Usage};
use std::fmt::Write;

/// A column: a state, and the runs in it that differ in what they take. A run whose name is empty is the only one.
type State = (&'static str, Vec<(&'static str, Run)>);

const HEAD: &str = "\
Which event can happen to a run in which state, as `apply` has it. Each run has, where its state allows it, pending: a
step, one that a worker has, two calls (one of them past its deadline), a timer, a wait and a question past their times, a handoff, a buffered signal, a
detached child and a child of an earlier incarnation; the event speaks of these. The number is the one in the log.

yes: it can. -: it cannot. Words: it can to those of the state's runs that are named so.

";

#[test]
fn inv_e2_the_table_of_states_and_events_is_the_golden_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/table.golden");
    let table = table();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &table).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    let only = |these: &str, others: &str, mark: char| {
        let lines = these.lines().filter(|line| !others.lines().any(|other| other == *line));
        lines.map(|line| format!("{mark} {line}\n")).collect::<String>()
    };
    let changed = only(&golden, &table, '-') + &only(&table, &golden, '+');
    let advice = "if the change is meant: UPDATE_GOLDEN=1 cargo test -p rejoin-machine --test table";
    assert!(table == golden, "{path} differs:\n{changed}{advice}");
}

#[test]
fn spec_a8_every_event_has_a_row_and_keeps_its_number() {
    let (_, running) = &states()[1];
    let mut numbers: Vec<u32> = samples(&running[0].1).iter().map(|(_, event)| number(event)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let count = numbers.len() as u32;
    assert_eq!(numbers, (0..count).collect::<Vec<_>>());
    // The number after the last one is no event's: a new event has to be added to `samples`.
    let mut unknown = count.to_le_bytes().to_vec();
    unknown.extend([0; 256]);
    let error = bincode::deserialize::<Event>(&unknown).expect_err("an event without a row").to_string();
    assert!(error.contains("variant index"), "event {count} has no row: {error}");
}

#[test]
fn inv_e2_the_columns_of_the_table_are_the_states() {
    for (name, runs) in states() {
        for (_, run) in runs {
            assert_eq!(run.state_name(), name);
        }
    }
}

/// The number that the log knows an event by.
fn number(event: &Event) -> u32 {
    let bytes = bincode::serialize(event).expect("every event has bytes");
    u32::from_le_bytes(bytes[..4].try_into().expect("a number has four bytes"))
}

fn table() -> String {
    let states = states();
    let labels = samples(&states[0].1[0].1).into_iter().map(|(label, event)| (number(&event), label));
    let rows: Vec<(u32, String, Vec<String>)> = labels
        .enumerate()
        .map(|(row, (number, label))| (number, label.into(), states.iter().map(|state| cell(row, state)).collect()))
        .collect();
    let width = |column: usize| {
        rows.iter().map(|(_, _, cells)| cells[column].len()).chain([states[column].0.len()]).max().unwrap_or(0)
    };
    let mut text = HEAD.to_string();
    let mut line = |number: &str, label: &str, cells: &mut dyn Iterator<Item = &str>| {
        let mut line = format!("{number:>2} {label:<37}");
        for (column, cell) in cells.enumerate() {
            let _ = write!(line, "  {cell:<0$}", width(column));
        }
        let _ = writeln!(text, "{}", line.trim_end());
    };
    line("", "", &mut states.iter().map(|(name, _)| *name));
    for (number, label, cells) in &rows {
        line(&number.to_string(), label, &mut cells.iter().map(String::as_str));
    }
    text
}

fn cell(row: usize, (_, runs): &State) -> String {
    let takes = |run: &Run| {
        let (_, event) = samples(run).swap_remove(row);
        run.clone().apply(&event, at(10)).is_ok()
    };
    let taking: Vec<&str> = runs.iter().filter(|(_, run)| takes(run)).map(|(name, _)| *name).collect();
    match taking.len() {
        0 => "-".into(),
        count if count == runs.len() => "yes".into(),
        _ => taking.join(" or "),
    }
}

fn states() -> Vec<State> {
    let (request, deadline) = (Cause::Request, Cause::Deadline);
    let run = |events: Vec<Event>| given(events).run().clone();
    let after = |mut events: Vec<Event>, event: Event| {
        events.push(event);
        run(events)
    };
    let one = |run: Run| vec![("", run)];
    vec![
        ("created", vec![("run", run(unstarted())), ("turn", run(turn()))]),
        ("open", one(run(conversation()))),
        ("running", one(run(working()))),
        ("suspended", one(after([working(), vec![dropped(0)]].concat(), dropped(6)))),
        (
            "wedged",
            vec![
                ("created", after(unstarted(), wedged())),
                ("running", after(working(), wedged())),
                ("compensating", after(compensating(request), wedged())),
            ],
        ),
        ("paused", vec![("created", after(unstarted(), paused())), ("running", after(working(), paused()))]),
        (
            "cancelling its children",
            vec![
                ("requested", after(working(), cancel_requested(request, 30))),
                ("past deadline", after(working(), cancel_requested(deadline, 30))),
                ("created", after(unstarted(), cancel_requested(request, 30))),
                ("childless", after(vec![triggered(), Event::Started], cancel_requested(request, 30))),
            ],
        ),
        (
            "compensating",
            vec![("requested", run(compensating(request))), ("past deadline", run(compensating(deadline)))],
        ),
        ("completed", one(after(working(), Event::Completed { output: text("out") }))),
        ("failed", one(after(working(), Event::Failed { failure: broken() }))),
        ("timed out", one(after(compensating(deadline), timed_out()))),
        ("cancelled", one(after(compensating(request), cancelled()))),
    ]
}

/// A turn that waits to be admitted.
fn turn() -> Vec<Event> {
    let thread = Thread { conversation: keyed("talk"), messages: 0, role: Role::Turn, task: false };
    vec![triggered(), briefed(Brief { thread: Some(thread), ..Brief::default() })]
}

/// A conversation in which one turn works and another waits.
fn conversation() -> Vec<Event> {
    let opening = Opening { agent: "support".into(), user: None, task: false, busy: Busy::Queue };
    let changes = [
        Change::Opened(opening),
        message(),
        Change::Joined { run: keyed("one"), begins: None },
        Change::Admitted { run: keyed("one"), messages: 1 },
        Change::Joined { run: keyed("two"), begins: None },
    ];
    let brief = Brief { kind: Kind::Conversation, ..Brief::default() };
    let changed = changes.into_iter().map(|change| Event::Conversation(Box::new(change)));
    [triggered(), briefed(brief)].into_iter().chain(changed).collect()
}

fn message() -> Change {
    let content = Ok(text("hello"));
    Change::Added(Message { speaker: Speaker::Anonymous, sort: Sort::Said, content, run: None, id: None })
}

fn paused() -> Event {
    Event::Paused { by: "ann".into(), reason: "wait".into() }
}

fn unstarted() -> Vec<Event> {
    vec![continued(vec![carried("a", None)], Vec::new())]
}

fn working() -> Vec<Event> {
    [unstarted(), vec![Event::Started], pending(0)].concat()
}

fn compensating(cause: Cause) -> Vec<Event> {
    let child_ended = Event::CarriedChildEnded { child: keyed("a"), result: Ok(text("out")) };
    let ends = vec![child_completed(1, "out"), child_completed(2, "out"), child_ended, cancel_delivered(30)];
    [working(), vec![cancel_requested(cause, 30)], ends, pending(9)].concat()
}

/// Operations of every kind, numbered from `first`.
fn pending(first: u32) -> Vec<Event> {
    let id = u8::try_from(first).expect("a small number");
    vec![
        step(first).scheduled(),
        call(first + 1).triggered_in(1, 0),
        call(first + 2).within(5).triggered_in(1, 0),
        timer_set(first + 3, 5),
        wait(first + 4, "review").within(5).awaited(0),
        call(first + 5).detached().triggered_in(1, 0),
        received(id, "review"),
        step(first + 6).scheduled(),
        Event::AttemptTaken { op: OpNo(first + 6), attempt: 1, worker: "w".into() },
        Event::ApprovalRequested { op: OpNo(first + 7), approval: approval() },
        Event::HandoffStarted { op: OpNo(first + 8), handoff: handoff() },
    ]
}

fn handoff() -> Box<Handoff> {
    Box::new(Handoff { shown: text("a moment"), ending: None, for_good: false })
}

/// A question that is past the times of its escalation and of its end.
fn approval() -> Box<Approval> {
    Box::new(Approval {
        question: "publish?".into(),
        answers: vec!["yes".into(), "no".into()],
        persons: vec!["ann".into()],
        token: [1; 16],
        expires_at: Some(at(5)),
        escalations: vec![Escalation { at: at(5), persons: vec!["bob".into()] }],
    })
}

/// An event of every kind that fits `run`, if any does.
fn samples(run: &Run) -> Vec<(&'static str, Event)> {
    let known = |event: Event| (event.name(), event);
    let mut samples = vec![known(triggered()), known(Event::Started)];
    samples.extend(ends().into_iter().map(known));
    samples.extend(of_operations(run));
    samples.extend(of_people(run));
    samples.extend(of_conversations(run));
    samples.extend([
        known(received(99, "review")),
        known(dropped(op(run, |op| matches!(op, Op::Timer { .. })))),
        known(Event::PatchMarked { id: "faster".into() }),
        known(cancel_requested(Cause::Request, 30)),
        known(cancel_delivered(30)),
        known(wedged()),
        known(Event::Unwedged),
    ]);
    samples.sort_by_key(|(_, event)| number(event));
    samples
}

fn ends() -> Vec<Event> {
    let Event::ContinuedAsNew(mut boundary) = continued(Vec::new(), Vec::new()) else { unreachable!() };
    boundary.incarnation = 2;
    vec![
        Event::Completed { output: text("out") },
        Event::Failed { failure: broken() },
        timed_out(),
        cancelled(),
        Event::ContinuedAsNew(boundary),
    ]
}

fn of_operations(run: &Run) -> Vec<(&'static str, Event)> {
    let step_op = op(run, |op| matches!(op, Op::Step(step) if step.worker.is_none()));
    let taken = op(run, |op| matches!(op, Op::Step(step) if step.worker.is_some()));
    let open = op(run, |op| matches!(op, Op::Call { deadline: None, .. }));
    let late = op(run, |op| matches!(op, Op::Call { deadline: Some(_), .. }));
    let timer = op(run, |op| matches!(op, Op::Timer { .. }));
    let wait_op = op(run, |op| matches!(op, Op::Signal { .. }));
    let loose = RUN.child(&rejoin_machine::CallKey::Numbered { incarnation: 1, op: OpNo(5) });
    let signal = if wait_op < 9 { 0 } else { 9 };
    let failure = broken;
    let known = |event: Event| (event.name(), event);
    vec![
        known(step(100).scheduled()),
        known(step_completed(step_op, "out")),
        known(attempt_failed(step_op, busy(), 20)),
        known(step_failed(step_op, broken())),
        ("ChildTriggered (the caller waits)", call(100).triggered_in(1, 10)),
        ("ChildTriggered (detached)", call(100).detached().triggered_in(1, 10)),
        known(call(100).refused(broken())),
        known(child_completed(open, "out")),
        known(Event::ChildFailed { op: OpNo(open), failure: failure() }),
        (
            "ChildTimedOut (the child has ended)",
            Event::ChildTimedOut { op: OpNo(open), failure: failure(), ended: true },
        ),
        ("ChildTimedOut (nobody waits any more)", stopped_waiting(late)),
        known(Event::ChildCancelled { op: OpNo(open), failure: failure() }),
        known(Event::ResultIgnored { child: loose }),
        known(Event::CarriedChildEnded { child: keyed("a"), result: Ok(text("out")) }),
        known(timer_set(100, 20)),
        known(timer_fired(timer)),
        known(wait(100, "review").awaited(10)),
        known(delivered(wait_op, signal)),
        known(Event::SignalTimedOut { op: OpNo(wait_op) }),
        known(Event::AttemptTaken { op: OpNo(step_op), attempt: 1, worker: "w".into() }),
        known(Event::AttemptReturned { op: OpNo(taken), attempt: 1 }),
        known(briefed(Brief::default())),
        known(Event::CallCancelled { op: OpNo(open), reason: "enough".into() }),
        known(Event::GroupFormed {
            op: OpNo(100),
            name: "sections".into(),
            mode: GroupMode::All,
            members: vec![("one".into(), OpNo(open))],
        }),
    ]
}

fn of_people(run: &Run) -> Vec<(&'static str, Event)> {
    let question = op(run, |op| matches!(op, Op::Approval(_)));
    let known = |event: Event| (event.name(), event);
    vec![
        known(Event::ApprovalRequested { op: OpNo(100), approval: approval() }),
        known(Event::ApprovalEscalated { op: OpNo(question) }),
        known(Event::ApprovalDecided {
            op: OpNo(question),
            verdict: Box::new(Verdict { answer: "yes".into(), by: "ann".into(), comment: None }),
        }),
        known(Event::ApprovalExpired { op: OpNo(question) }),
        known(Event::Paused { by: "ann".into(), reason: "wait".into() }),
        known(Event::Unpaused { by: "ann".into() }),
        known(Event::ParticipantCalled {
            target: rejoin_machine::Target { name: "child".into(), version: 1 },
            child: keyed("new"),
            key: "new".into(),
            input_digest: 0,
            deadline: None,
        }),
        known(Event::ParticipantRefused { key: "new".into(), name: "child".into(), failure: broken() }),
        known(Event::ApprovalRefused { op: OpNo(100), failure: broken() }),
        known(Event::Streamed { attempt: 1, chunk: text("piece") }),
    ]
}

fn of_conversations(run: &Run) -> Vec<(&'static str, Event)> {
    let open = op(run, |op| matches!(op, Op::Call { deadline: None, .. }));
    let handed = op(run, |op| matches!(op, Op::Handoff { .. }));
    let recalled = op(run, |op| matches!(op, Op::Recalled));
    let known = |event: Event| (event.name(), event);
    let notice = Notice {
        conversation: keyed("talk"),
        key: "ann".into(),
        opening: Opening { agent: "support".into(), user: Some("ann".into()), task: false, busy: Busy::Queue },
        content: text("hello"),
    };
    vec![
        ("Conversation (a message, say)", Event::Conversation(Box::new(message()))),
        known(Event::Admitted { messages: 1 }),
        known(Event::Said { content: text("hello") }),
        known(Event::PersonTold { op: OpNo(100), notice: Box::new(notice) }),
        known(Event::PersonNotTold { op: OpNo(100), failure: broken() }),
        known(Event::HandoffStarted { op: OpNo(100), handoff: handoff() }),
        known(Event::HandoffRefused { op: OpNo(100), failure: broken() }),
        known(Event::HandoffEnded { op: OpNo(handed), by: "ann".into(), note: None }),
        known(Event::CallShielded { op: OpNo(open) }),
        known(Event::CallInterrupted { op: OpNo(open) }),
        known(Event::UsageRecorded(Usage::default())),
        known(Event::Retries { run: keyed("old"), incarnation: 0 }),
        known(Event::Recalled { op: OpNo(100), what: "step".into(), answer: Recollection::Nothing }),
        known(Event::RecallAwaited { op: OpNo(100), what: "step".into(), input: None }),
        known(Event::RecallDelivered { op: OpNo(recalled), answer: Recollection::Nothing }),
    ]
}

/// The pending operation of a kind, or a number that no operation has.
fn op(run: &Run, kind: impl Fn(&Op) -> bool) -> u32 {
    run.operations().find(|(_, op)| kind(op)).map_or(50, |(op, _)| op.0)
}
