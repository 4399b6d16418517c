//! The invariants, as functions over what was seen and over histories. Each finding cites the invariant by its id.
//!
//! None of them asks the machine what is right: what they know of a run they work out for themselves from its events.
//! `apply` alone holds the log against the machine.
//!
//! | id | what must hold |
//! |---|---|
//! | S1, S2, S3, S4, S6, S10 | the log: durable, whole batches, dense order, one winner, immutable, silent after a failed sync |
//! | S9 | nothing is dispatched, answered or shown before it is durable |
//! | E1 | the machine gives the same state from the events |
//! | E2, E4, E15 | a legal life, suspensions that resume once, nothing but compensation after a cancel |
//! | E3, E6, E16 | calls: one child each, one result, known parents, trusted metadata |
//! | E5 | nobody is stuck without a named reason |
//! | E7, E8, E12 | steps: dispatched as often as they should be, stale answers ignored; queues and turns in order; limits kept |
//! | E9 | nothing early, nothing forgotten |
//! | E10 | signals and messages: once, in order, none lost |
//! | E11 | one run a key |
//! | E13 | lists and counts are folds of the log |

mod answers;
mod apply;
mod calls;
mod conversations;
mod dispatch;
mod groups;
mod life;
mod lists;
mod log;
mod queues;
mod rest;
mod signals;
mod steps;
mod time;

pub use log::Model;

use super::trace::Seen;
use crate::history::Entry;
use rejoin_machine::{Event, RunId};
use std::collections::BTreeMap;
use std::fmt;

/// Histories by run.
pub type Histories = BTreeMap<RunId, Vec<Entry>>;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its id.
    pub id: &'static str,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.what)
    }
}

/// Takes findings.
pub(super) struct Report<'a> {
    found: &'a mut Vec<Violation>,
    run: Option<RunId>,
}

impl Report<'_> {
    fn say(&mut self, id: &'static str, what: impl fmt::Display) {
        let what = match self.run {
            Some(run) => format!("run {run}: {what}"),
            None => what.to_string(),
        };
        self.found.push(Violation { id, what });
    }
}

/// Everything wrong with what was seen, and with the histories that it makes.
pub fn all(seen: &[Seen]) -> Vec<Violation> {
    let (model, mut found) = trace(seen);
    model.histories().iter().for_each(|all| found.extend(histories(all)));
    found
}

/// What the log must hold after what was seen; and what is wrong with how it came about.
pub fn trace(seen: &[Seen]) -> (Model, Vec<Violation>) {
    let mut found = Vec::new();
    let mut model = Model::default();
    let mut dispatches = dispatch::Dispatches::default();
    let mut queues = queues::Queues::default();
    for seen in seen {
        let report = &mut Report { found: &mut found, run: None };
        model.take(seen, report);
        dispatches.take(&model, seen, report);
        queues.take(seen, report);
        answers::check(&model, seen, report);
        lists::check(&model, seen, report);
        rest::check(&model, seen, report);
    }
    (model, found)
}

/// Everything wrong with these histories, as far as they can be judged without having seen how they came about.
pub fn histories(all: &Histories) -> Vec<Violation> {
    let mut found = Vec::new();
    for (run, history) in all {
        let mut report = Report { found: &mut found, run: Some(*run) };
        alone(*run, history, &mut report);
        calls::check(*run, history, all, &mut report);
        conversations::check(*run, history, all, &mut report);
    }
    found
}

/// What can be said of one history by itself.
fn alone(run: RunId, history: &[Entry], report: &mut Report<'_>) {
    apply::check(run, history, report);
    life::check(history, report);
    steps::check(history, report);
    groups::check(history, report);
    signals::check(history, report);
    time::check(history, report);
}

/// All events of a history, each with its record.
pub(super) fn events(history: &[Entry]) -> impl Iterator<Item = (&Entry, &Event)> {
    history.iter().flat_map(|entry| entry.transition.events.iter().map(move |event| (entry, event)))
}

/// The terminal event of a history, if the run has ended.
pub fn end(history: &[Entry]) -> Option<&Event> {
    events(history).map(|(_, event)| event).find(|event| event.is_terminal())
}
