//! Doing a failed run again: what it had come to know is recalled, so that nothing is done twice, up to what failed.
//!
//! The new run asks for the same things in the same order. As long as it does, each gets the answer of the old run, and in the
//! order in which that one heard them: a handler may go different ways by what it hears first. A child that failed is itself
//! done again. From the first thing that is another, or that has failed or not ended, the new run is on its own.

mod cut;

use crate::history::Entry;
use crate::replay::{asked, asks, input_digest};
use rejoin_machine::call::Mode;
use rejoin_machine::{Answer, Event, Failure, FailureKind, Issue, OpNo, Payload, Recollection, Run, RunId, SignalId};
use std::collections::{BTreeMap, VecDeque};

/// What a run had come to know.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    known: BTreeMap<OpNo, Known>,
    /// What it heard, in order.
    heard: VecDeque<Heard>,
}

#[derive(Debug)]
struct Known {
    /// What was asked for, in the words of [`asks`].
    what: String,
    /// A digest of what a child was given.
    input: Option<u64>,
    answer: Fate,
}

#[derive(Debug)]
enum Fate {
    /// No answer that is to be had again.
    Open,
    /// Taken back before there was an answer.
    GivenUp,
    /// It was answered at once.
    AtOnce(Recollection),
    /// It was answered, and what has been heard has the answer.
    Heard,
    /// A child that has not succeeded: it is done again.
    Again(RunId),
}

/// One answer.
#[derive(Debug)]
struct Heard {
    op: OpNo,
    answer: Recollection,
    /// How many things had been asked for before. What was heard without a question between was heard at once.
    asked: usize,
}

/// What becomes of something that the new run asks for.
pub(crate) enum Recall {
    /// It is on its own.
    Anew,
    /// It knows the answer, as it did at once.
    Answer { op: OpNo, what: String, answer: Recollection },
    /// It knows the answer, whose turn comes; or that it will take this back.
    InTurn { op: OpNo, what: String, input: Option<u64> },
    /// It is asked for, and the child does that one again.
    Child(RunId),
}

impl Memo {
    /// What the last incarnation of a run that has ended knew before it met the failure that it ended with.
    pub(crate) fn of(history: &[Entry]) -> Memo {
        let events: Vec<&Event> = history.iter().flat_map(|entry| &entry.transition.events).collect();
        let begins = events.iter().rposition(|event| matches!(event, Event::ContinuedAsNew(_))).map_or(0, |at| at + 1);
        let events = &events[begins..];
        let end = cut::cut(events);
        let mut memo = Memo::default();
        let mut signals: BTreeMap<SignalId, &Payload> = BTreeMap::new();
        let mut questions = 0;
        for (at, event) in events.iter().enumerate() {
            let before = at < end;
            if let Some(what) = asked(event) {
                questions += 1;
                if before {
                    memo.ask(event, what);
                }
                memo.give_up(event);
            } else if let Event::SignalReceived { id, payload, .. } = event {
                signals.insert(*id, payload);
            } else if let Some((op, answer)) = event.answer().and_then(|told| recollection(told, &signals, before)) {
                memo.hear(op, answer, questions);
            }
        }
        memo
    }

    fn ask(&mut self, event: &Event, what: String) {
        let (op, input, answer) = match event {
            Event::ChildTriggered { op, child, input_digest, mode, .. } => {
                let answer = match mode {
                    Mode::Wait => Fate::Again(*child),
                    Mode::Detach => Fate::AtOnce(Recollection::Spawned(*child)),
                };
                (op, Some(*input_digest), answer)
            }
            Event::PersonTold { op, notice } => (op, None, Fate::AtOnce(Recollection::Spawned(notice.conversation))),
            Event::Recalled { op, answer, .. } => (op, None, Fate::AtOnce(answer.clone())),
            // The handler went on from being refused.
            Event::ChildRefused { op, failure, .. }
            | Event::ApprovalRefused { op, failure }
            | Event::PersonNotTold { op, failure }
            | Event::HandoffRefused { op, failure } => (op, None, Fate::AtOnce(Recollection::Failed(failure.clone()))),
            Event::RecallAwaited { op, input, .. } => (op, *input, Fate::Open),
            Event::StepScheduled { op, .. }
            | Event::TimerSet { op, .. }
            | Event::SignalAwaited { op, .. }
            | Event::ApprovalRequested { op, .. }
            | Event::HandoffStarted { op, .. } => (op, None, Fate::Open),
            _ => return,
        };
        self.known.insert(*op, Known { what, input, answer });
    }

    fn give_up(&mut self, event: &Event) {
        let Event::OperationDropped { op } = event else { return };
        if let Some(known) =
            self.known.get_mut(op).filter(|known| !matches!(known.answer, Fate::AtOnce(_) | Fate::Heard))
        {
            known.answer = Fate::GivenUp;
        }
    }

    fn hear(&mut self, op: OpNo, answer: Recollection, asked: usize) {
        if let Some(known) = self.known.get_mut(&op) {
            known.answer = Fate::Heard;
            self.heard.push_back(Heard { op, answer, asked });
        }
    }

    /// What becomes of something that the new run asks for. Once it is another thing than before, nothing is recalled any more.
    pub(crate) fn recall(&mut self, issue: &Issue) -> Recall {
        let op = match issue {
            Issue::Call { op, .. }
            | Issue::Step { op, .. }
            | Issue::Sleep { op, .. }
            | Issue::Await { op, .. }
            | Issue::Ask { op, .. }
            | Issue::Tell { op, .. }
            | Issue::HandOff { op, .. } => *op,
            _ => return Recall::Anew,
        };
        let input = input_digest(issue);
        let Some(known) = self.known.remove(&op) else { return Recall::Anew };
        if known.what != asks(issue) || known.input.is_some_and(|digest| Some(digest) != input) {
            self.known.clear();
            return Recall::Anew;
        }
        let what = known.what;
        match known.answer {
            Fate::Open => Recall::Anew,
            Fate::AtOnce(answer) => Recall::Answer { op, what, answer },
            Fate::Heard | Fate::GivenUp => Recall::InTurn { op, what, input },
            Fate::Again(child) => Recall::Child(child),
        }
    }

    /// What is heard next, of that which is open: all that was heard at once. When there is no more of that, what the old run
    /// has taken back by now, and this one has not, fails.
    pub(crate) fn next(&mut self, run: &Run) -> Vec<(OpNo, Recollection)> {
        let mut due: Vec<Heard> = Vec::new();
        while let Some(heard) = self.heard.pop_front() {
            if due.first().is_some_and(|first| first.asked != heard.asked) {
                self.heard.push_front(heard);
                break;
            }
            if run.awaits_recall(heard.op) {
                due.push(heard);
            }
        }
        if due.is_empty() {
            let open = run.operations().map(|(op, _)| op).filter(|op| run.awaits_recall(*op));
            return open.map(|op| (op, Recollection::Failed(given_up()))).collect();
        }
        due.into_iter().map(|heard| (heard.op, heard.answer)).collect()
    }
}

fn given_up() -> Failure {
    let message = "the run that this one does again took this back before it was answered; trigger the run anew";
    Failure::new(FailureKind::Application, "not-recalled", message)
}

/// The answer as it is to be heard again. From what came `before` it failed the handler went on, whatever it was; what has
/// failed since, or came too late, is not to be had again.
fn recollection(told: Answer, signals: &BTreeMap<SignalId, &Payload>, before: bool) -> Option<(OpNo, Recollection)> {
    Some(match told {
        Answer::Resolved { op, result: Ok(output) } => (op, Recollection::Value(output)),
        Answer::Resolved { op, result: Err(failure) } if before => (op, Recollection::Failed(failure)),
        Answer::Signal { op, id } => (op, Recollection::Value((*signals.get(&id)?).clone())),
        Answer::NoSignal { op } if before => (op, Recollection::Nothing),
        Answer::Decided { op, verdict } => (op, Recollection::Verdict(*verdict)),
        Answer::Resolved { .. } | Answer::NoSignal { .. } => return None,
        Answer::Spawned { .. } | Answer::Start | Answer::Cancel => return None,
    })
}
