//! Conversations: given changes, when something is asked, then changes or a rejection; and what holds for any of them.

mod common;
#[allow(dead_code, reason = "only the dice are thrown here")]
mod random;

use common::*;
use proptest::collection::vec;
use proptest::prelude::*;
use random::Dice;
use rejoin_machine::brief::{Brief, Callee, Given, Kind, Terms};
use rejoin_machine::conversation::{Busy, Change, Command as Talk, MESSAGE, Message, Opening, Say, Sort, Speaker};
use rejoin_machine::{Command, Effect, Event, Limits, Rejection, Run, RunId, SignalId, Target};
use std::collections::{BTreeMap, VecDeque};

fn opened(busy: Busy) -> Run {
    let opening = Opening { agent: "support".into(), user: Some("ann".into()), task: false, busy };
    let brief = Brief { kind: Kind::Conversation, ..Brief::default() };
    let mut run = Run::begin(RUN, &triggered(), at(0)).expect("a beginning");
    for event in [briefed(brief), Event::Conversation(Box::new(Change::Opened(opening)))] {
        run.apply(&event, at(0)).expect("a conversation");
    }
    run
}

fn say(id: u8, busy: Option<Busy>) -> Talk {
    let target = Ok(Target { name: "support".into(), version: 1 });
    let callee = Callee { kind: Kind::Agent, granted: true, ..Callee::default() };
    let terms = Terms { callee, given: Given::default() };
    Talk::Say(Box::new(Say { id: SignalId([id; 16]), by: None, content: text("\"hi\""), busy, target, terms }))
}

fn turn(id: u8) -> RunId {
    RUN.turn(SignalId([id; 16]))
}

/// Decides and applies; what changed.
fn ask(run: &mut Run, command: Talk) -> Result<Vec<Change>, Rejection> {
    let events = run.decide(Command::Conversation(Box::new(command)), at(1), &Limits::default())?;
    let mut changes = Vec::new();
    for event in events {
        run.apply(&event, at(1)).expect("what is decided can happen");
        match event {
            Event::Conversation(change) => changes.push(*change),
            other => assert!(other.is_terminal(), "{other:?}"),
        }
    }
    Ok(changes)
}

fn names(changes: &[Change]) -> Vec<&'static str> {
    changes.iter().map(Change::name).collect()
}

#[test]
fn spec_c7_a_message_begins_a_turn_and_another_one_waits() {
    let mut run = opened(Busy::Queue);
    let first = ask(&mut run, say(1, None)).expect("it is taken");
    assert_eq!(names(&first), ["MessageAdded", "TurnJoined", "TurnAdmitted"]);
    let second = ask(&mut run, say(2, None)).expect("it is taken");
    assert_eq!(names(&second), ["MessageAdded", "TurnJoined"]);
    assert_eq!(ask(&mut run, say(2, None)), Err(Rejection::DuplicateSignal));
    // It rests, and the next one begins; its reply comes when it comes.
    let rests = ask(&mut run, Talk::Release { run: turn(1) }).expect("it worked");
    assert_eq!(names(&rests), ["TurnReleased", "TurnAdmitted"]);
    assert_eq!(ask(&mut run, Talk::Release { run: turn(1) }), Err(Rejection::Stale));
    let end = |id| Talk::End { run: turn(id), agent: "support".into(), result: Some(Ok(text("\"yes\""))) };
    assert_eq!(names(&ask(&mut run, end(1)).expect("it has ended")), ["MessageAdded", "TurnEnded"]);
    assert_eq!(ask(&mut run, Talk::Close), Err(Rejection::ConversationBusy));
    ask(&mut run, end(2)).expect("it has ended");
    assert_eq!(run.talk().map(|talk| talk.messages), Some(4));
    ask(&mut run, Talk::Close).expect("nothing happens any more");
    assert_eq!(run.state_name(), "completed");
}

#[test]
fn spec_e3_while_a_person_has_it_messages_are_kept_and_nobody_is_admitted() {
    let mut run = opened(Busy::Queue);
    ask(&mut run, say(1, None)).expect("it is taken");
    ask(&mut run, say(2, None)).expect("it is taken");
    let content = Ok(text("\"a moment\""));
    let message =
        Message { speaker: Speaker::Agent("support".into()), sort: Sort::Handoff, content, run: None, id: None };
    let asked = Talk::AskReview { run: turn(1), op: Some(rejoin_machine::OpNo(3)), message };
    assert_eq!(names(&ask(&mut run, asked).expect("asked")), ["MessageAdded", "ReviewAsked"]);
    assert_eq!(names(&ask(&mut run, Talk::Release { run: turn(1) }).expect("it rests")), ["TurnReleased"]);
    assert_eq!(names(&ask(&mut run, say(3, None)).expect("it is kept")), ["MessageAdded"]);
    let back = |by: &str| Talk::EndReview { by: by.into(), note: None };
    assert_eq!(ask(&mut run, back("bob")), Err(Rejection::NotTheOwner { owner: None }));
    ask(&mut run, Talk::Claim { by: "bob".into() }).expect("he takes it");
    assert!(matches!(ask(&mut run, back("cleo")), Err(Rejection::NotTheOwner { owner: Some(_) })));
    // The turn that waits for that is told, and the next one admitted.
    let ended = Event::Conversation(Box::new(Change::ReviewEnded { by: "bob".into(), note: None }));
    let told = run.consequences(&ended);
    assert!(matches!(&told[..], [Effect::Tell { to, .. }] if *to == turn(1)), "{told:?}");
    assert_eq!(names(&ask(&mut run, back("bob")).expect("it is his")), ["ReviewEnded", "TurnAdmitted"]);
}

#[test]
fn spec_c7_policies_for_a_message_that_comes_while_a_turn_works() {
    for (busy, expected) in [
        (Busy::Queue, Some(vec!["MessageAdded", "TurnJoined"])),
        (Busy::Reject, None),
        (Busy::Interrupt, Some(vec!["MessageAdded", "TurnInterrupted", "TurnJoined"])),
        (Busy::Coalesce, Some(vec!["MessageAdded", "TurnJoined"])),
    ] {
        let mut run = opened(Busy::Queue);
        ask(&mut run, say(1, None)).expect("it is taken");
        let said = ask(&mut run, say(2, Some(busy)));
        assert_eq!(said.as_ref().ok().map(|changes| names(changes)), expected, "{busy:?}");
        if busy == Busy::Coalesce {
            let third = ask(&mut run, say(3, Some(busy))).expect("the turn that waits answers it as well");
            assert_eq!(names(&third), ["MessageAdded"]);
        }
    }
}

#[test]
fn spec_c7_the_message_that_a_turn_waits_for_is_its_answer_and_begins_none() {
    let mut run = opened(Busy::Reject);
    ask(&mut run, say(1, None)).expect("it is taken");
    ask(&mut run, Talk::Listen { run: turn(1) }).expect("it asks");
    // Also while it works still.
    let command = say(2, None);
    let answer = ask(&mut run, command).expect("it is the answer");
    assert!(matches!(&answer[..], [Change::Added(message)] if message.run == Some(turn(1))), "{answer:?}");
    assert_eq!(ask(&mut run, say(2, None)), Err(Rejection::DuplicateSignal), "it is taken once");
    assert_eq!(ask(&mut run, Talk::Ignore { run: turn(1) }), Err(Rejection::Stale), "it has been answered");
    assert_eq!(ask(&mut run, say(3, None)), Err(Rejection::ConversationBusy), "the next one is a message again");
    // Whoever waits no more, or has ended, is not asked.
    ask(&mut run, Talk::Listen { run: turn(1) }).expect("it asks");
    let end = Talk::End { run: turn(1), agent: "support".into(), result: None };
    ask(&mut run, end).expect("it has ended");
    assert_eq!(
        names(&ask(&mut run, say(4, None)).expect("it is taken")),
        ["MessageAdded", "TurnJoined", "TurnAdmitted"]
    );
}

#[test]
fn a_message_that_is_waited_for_is_told_to_whoever_waits() {
    let mut run = opened(Busy::Queue);
    ask(&mut run, say(1, None)).expect("it is taken");
    ask(&mut run, Talk::Listen { run: turn(1) }).expect("it asks");
    let message = Message {
        speaker: Speaker::Anonymous,
        sort: Sort::Said,
        content: Ok(text("\"4711\"")),
        run: Some(turn(1)),
        id: Some(rejoin_machine::SignalId([7; 16])),
    };
    let told = run.consequences(&Event::Conversation(Box::new(Change::Added(message))));
    let [Effect::Tell { to, command }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*to, turn(1));
    assert!(matches!(&**command, rejoin_machine::Command::Signal { name, .. } if name == MESSAGE), "{command:?}");
}

/// What must hold of a conversation, kept in the plainest way.
#[derive(Default)]
struct Model {
    waiting: VecDeque<RunId>,
    working: Option<RunId>,
    turns: BTreeMap<RunId, &'static str>,
    messages: u64,
    held: bool,
    listening: VecDeque<RunId>,
}

impl Model {
    fn take(&mut self, change: &Change) {
        match change {
            Change::Added(message) => {
                self.messages += 1;
                if message.id.is_some() && !self.held && !self.listening.is_empty() {
                    assert_eq!(message.run, self.listening.pop_back(), "it is for whoever asked last");
                }
            }
            Change::Listens { run } => self.listening.push_back(*run),
            Change::Ignores { run } => {
                let at = self.listening.iter().rposition(|listening| listening == run);
                self.listening.remove(at.expect("it listened"));
            }
            Change::Joined { run, .. } => {
                assert!(self.turns.insert(*run, "waits").is_none(), "a turn joins once");
                self.waiting.push_back(*run);
            }
            Change::Admitted { run, messages } => {
                assert!(!self.held && self.working.is_none(), "one at a time, and none while a person has it");
                assert_eq!((self.waiting.pop_front(), *messages), (Some(*run), self.messages), "in order");
                self.working = Some(*run);
            }
            Change::Released { run } => assert_eq!(self.working.take(), Some(*run)),
            Change::Ended { run } => {
                assert_eq!(self.turns.insert(*run, "ended"), Some("waits"), "a turn ends once");
                self.listening.retain(|listening| listening != run);
                self.working = self.working.filter(|working| working != run);
                self.waiting.retain(|waiting| waiting != run);
            }
            Change::ReviewAsked { .. } => self.held = true,
            Change::ReviewEnded { .. } => self.held = false,
            Change::Opened(_)
            | Change::Interrupted { .. }
            | Change::AgentChanged { .. }
            | Change::ReviewClaimed { .. } => {}
        }
    }

    /// Nobody waits for a turn that is there.
    fn check(&self) {
        assert!(self.held || self.working.is_some() || self.waiting.is_empty(), "somebody waits, and nobody works");
    }
}

fn random_command(dice: &mut Dice<'_>) -> Talk {
    let id = dice.byte() % 6;
    let task = RunId([64 + id; 16]);
    let run = dice.pick(&[turn(id), task]);
    let by = dice.pick(&["bob", "bob", "cleo"]).to_string();
    let busy = dice.pick(&[None, Some(Busy::Queue), Some(Busy::Reject), Some(Busy::Interrupt), Some(Busy::Coalesce)]);
    let message =
        || Message { speaker: Speaker::Anonymous, sort: Sort::Said, content: Ok(text("1")), run: None, id: None };
    match dice.below(14) {
        12 => Talk::Listen { run },
        13 => Talk::Ignore { run },
        0..=3 => say(id, busy),
        4 => Talk::Join {
            run: task,
            message: dice.once_in(2).then(message),
            takes_over: dice.once_in(3).then(|| "b".into()),
        },
        5 => Talk::Release { run },
        6 | 7 => Talk::End { run, agent: "a".into(), result: dice.once_in(4).then(|| dice.result()) },
        8 => Talk::AskReview { run, op: None, message: message() },
        9 => Talk::Claim { by },
        10 => Talk::EndReview { by, note: None },
        _ => Talk::Add(message()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn inv_e12_one_turn_works_at_a_time_in_order_and_replay_is_the_same(moves in vec(any::<[u8; 8]>(), 0..60)) {
        let mut run = opened(Busy::Queue);
        let (mut model, mut history) = (Model::default(), Vec::new());
        for bytes in &moves {
            let command = random_command(&mut Dice::new(bytes));
            // A run joins when it is triggered, and that is once.
            if matches!(&command, Talk::Join { run, .. } if model.turns.contains_key(run)) {
                continue;
            }
            if let Ok(changes) = ask(&mut run, command) {
                changes.iter().for_each(|change| model.take(change));
                history.extend(changes);
                model.check();
            }
        }
        prop_assert_eq!(run.talk().map(|talk| talk.messages), Some(model.messages));
        let mut replayed = opened(Busy::Queue);
        for change in history {
            replayed.apply(&Event::Conversation(Box::new(change)), at(1)).expect("what happened can happen again");
        }
        prop_assert_eq!(replayed, run);
    }
}
