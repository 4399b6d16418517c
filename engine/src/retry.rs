//! Doing a failed run again: what it had come to know is recalled, so that nothing is done twice, up to what failed.
//!
//! The new run asks for the same things in the same order. As long as it does, each gets the answer of the old run, recorded as
//! `Recalled`; a child that failed is itself done again. From the first thing that is another, or that has failed or not
//! ended, the new run is on its own. So it is from where things that went on side by side were answered in another order than
//! asked for: what comes next depends on that order, and the new run gets all of those answers at once.

use crate::history::Entry;
use crate::replay::asks;
use rejoin_machine::call::Mode;
use rejoin_machine::{Answer as Told, Event, Failure, Issue, OpNo, Payload, Recollection, RunId, SignalId};
use std::collections::BTreeMap;

/// What a run had come to know.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    known: BTreeMap<OpNo, Known>,
}

#[derive(Debug)]
struct Known {
    /// What was asked for, in the words of [`asks`].
    what: String,
    /// A digest of what a child was given.
    input: Option<u64>,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    Pending,
    Known(Recollection),
    /// A child that has not succeeded: it is done again.
    Again(RunId),
}

/// What becomes of something that the new run asks for.
pub(crate) enum Recall {
    /// It is on its own.
    Anew,
    /// It knows the answer.
    Answer { op: OpNo, what: String, answer: Recollection },
    /// It is asked for, and the child does that one again.
    Child(RunId),
}

impl Memo {
    /// What the last incarnation of a run that has ended knew before it met the failure that it ended with.
    pub(crate) fn of(history: &[Entry]) -> Memo {
        let events: Vec<&Event> = history.iter().flat_map(|entry| &entry.transition.events).collect();
        let begins = events.iter().rposition(|event| matches!(event, Event::ContinuedAsNew(_))).map_or(0, |at| at + 1);
        let events = &events[begins..];
        let end = cut(events);
        let mut memo = Memo::default();
        let mut order = Order::default();
        let mut signals: BTreeMap<SignalId, &Payload> = BTreeMap::new();
        for (at, event) in events.iter().enumerate() {
            if at < end && !order.is_lost_at(event) {
                memo.asked(event);
            }
            if let Event::SignalReceived { id, payload, .. } = event {
                signals.insert(*id, payload);
            }
            match of_operation(at, event) {
                // The handler went on from those; from the one that it ended with it did not.
                Some((_, op, failure)) if at < end => memo.know(op, Recollection::Failed(failure.clone())),
                Some(_) => {}
                None => memo.answered(event, &signals),
            }
        }
        memo
    }

    fn asked(&mut self, event: &Event) {
        let (op, input, answer) = match event {
            Event::ChildTriggered { op, child, input_digest, mode, .. } => {
                let answer = match mode {
                    Mode::Wait => Answer::Again(*child),
                    Mode::Detach => Answer::Known(Recollection::Spawned(*child)),
                };
                (op, Some(*input_digest), answer)
            }
            Event::PersonTold { op, notice } => (op, None, Answer::Known(Recollection::Spawned(notice.conversation))),
            Event::Recalled { op, answer, .. } => (op, None, Answer::Known(answer.clone())),
            Event::StepScheduled { op, .. }
            | Event::TimerSet { op, .. }
            | Event::SignalAwaited { op, .. }
            | Event::ApprovalRequested { op, .. }
            | Event::HandoffStarted { op, .. } => (op, None, Answer::Pending),
            _ => return,
        };
        let Some(what) = crate::replay::asked(event) else { return };
        self.known.insert(*op, Known { what, input, answer });
    }

    fn answered(&mut self, event: &Event, signals: &BTreeMap<SignalId, &Payload>) {
        // Who was not answered in time is asked again.
        let Some(told) = event.answer().filter(|_| !matches!(event, Event::ApprovalExpired { .. })) else { return };
        match told {
            Told::Resolved { op, result: Ok(output) } => self.know(op, Recollection::Value(output)),
            Told::Signal { op, id } => {
                if let Some(payload) = signals.get(&id) {
                    self.know(op, Recollection::Value((*payload).clone()));
                }
            }
            Told::NoSignal { op } => self.know(op, Recollection::Nothing),
            Told::Decided { op, verdict } => self.know(op, Recollection::Verdict(*verdict)),
            Told::Resolved { result: Err(_), .. } | Told::Spawned { .. } | Told::Start | Told::Cancel => {}
        }
    }

    fn know(&mut self, op: OpNo, answer: Recollection) {
        if let Some(known) = self.known.get_mut(&op) {
            known.answer = Answer::Known(answer);
        }
    }

    /// What becomes of something that the new run asks for. Once it is another thing than before, nothing is recalled any more.
    pub(crate) fn recall(&mut self, issue: &Issue) -> Recall {
        let (op, input) = match issue {
            Issue::Call { op, input, .. } => (*op, Some(input.digest())),
            Issue::Step { op, .. }
            | Issue::Sleep { op, .. }
            | Issue::Await { op, .. }
            | Issue::Ask { op, .. }
            | Issue::Tell { op, .. }
            | Issue::HandOff { op, .. } => (*op, None),
            _ => return Recall::Anew,
        };
        let Some(known) = self.known.remove(&op) else { return Recall::Anew };
        if known.what != asks(issue) || known.input.is_some_and(|digest| Some(digest) != input) {
            self.known.clear();
            return Recall::Anew;
        }
        match known.answer {
            Answer::Pending => Recall::Anew,
            Answer::Known(answer) => Recall::Answer { op, what: known.what, answer },
            Answer::Again(child) => Recall::Child(child),
        }
    }
}

/// Whether a run that gets each answer as soon as it asks would ask for the same things under the same numbers.
#[derive(Default)]
struct Order {
    /// What has not been answered, and how many answers there were when it was asked for.
    open: BTreeMap<OpNo, usize>,
    answers: usize,
    lost: bool,
}

impl Order {
    /// Follows the history by one event.
    fn is_lost_at(&mut self, event: &Event) -> bool {
        if let Event::OperationDropped { op } = event {
            self.open.remove(op);
            return self.lost;
        }
        if let Some(op) = issued(event) {
            // Something else was answered meanwhile, and this is what followed from that.
            self.lost |= self.open.values().any(|then| *then < self.answers);
            self.open.insert(op, self.answers);
        }
        if let Some(op) = event.answer().and_then(|told| told.op())
            && self.open.remove(&op).is_some()
        {
            self.answers += 1;
            self.lost |= self.open.keys().next().is_some_and(|first| *first < op);
        }
        self.lost
    }
}

/// The operation that the handler asked for, if the event says so.
fn issued(event: &Event) -> Option<OpNo> {
    match event {
        Event::StepScheduled { op, .. }
        | Event::ChildTriggered { op, .. }
        | Event::ChildRefused { op, .. }
        | Event::TimerSet { op, .. }
        | Event::SignalAwaited { op, .. }
        | Event::ApprovalRequested { op, .. }
        | Event::ApprovalRefused { op, .. }
        | Event::PersonTold { op, .. }
        | Event::PersonNotTold { op, .. }
        | Event::HandoffStarted { op, .. }
        | Event::HandoffRefused { op, .. }
        | Event::Recalled { op, .. } => Some(*op),
        _ => None,
    }
}

/// Where the old run met the failure that it ended with: the first like it, or else the last of all; its end, where it failed
/// by itself.
fn cut(events: &[&Event]) -> usize {
    let end = events.iter().rev().find_map(|event| match event {
        Event::Failed { failure } | Event::TimedOut { failure } | Event::Cancelled { failure } => Some(failure),
        _ => None,
    });
    let failures: Vec<(usize, OpNo, &Failure)> =
        events.iter().enumerate().filter_map(|(at, event)| of_operation(at, event)).collect();
    let same = failures
        .iter()
        .find(|(_, _, failure)| end.is_some_and(|end| end.code == failure.code && end.message == failure.message));
    let cancelled = events.iter().position(|event| matches!(event, Event::CancelRequested { .. }));
    let met = same.or(failures.last()).map(|(at, ..)| *at);
    cancelled.into_iter().chain(met).min().unwrap_or(events.len())
}

/// The failure of an operation, if the event is one.
fn of_operation<'a>(at: usize, event: &&'a Event) -> Option<(usize, OpNo, &'a Failure)> {
    match event {
        Event::StepFailed { op, failure }
        | Event::ChildFailed { op, failure }
        | Event::ChildTimedOut { op, failure, .. }
        | Event::ChildCancelled { op, failure }
        | Event::ChildRefused { op, failure, .. } => Some((at, *op, failure)),
        _ => None,
    }
}
