//! What programs read while a run goes on: a line of JSON for each event.

use crate::output::time;
use crate::wire::{EventView, Operations};
use rejoin::history::Entry;
use rejoin::{OpenApproval, RunId, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;

/// An event. Its details are those that `rejoin events` shows; `Asked` and `Progress` are no events of a history.
#[derive(Serialize)]
struct EventLine<'a, D> {
    time: String,
    run: String,
    /// The workflow or agent.
    name: &'a str,
    event: &'a str,
    details: D,
}

/// Lines of events, and what the operations of runs that go on are called.
#[derive(Default)]
pub(super) struct Events {
    operations: HashMap<RunId, Operations>,
}

impl Events {
    /// A line for each thing that a record says.
    pub(super) fn lines(&mut self, run: RunId, name: &str, entry: &Entry) -> Vec<String> {
        let views = EventView::of(run, entry, self.operations.entry(run).or_default());
        if entry.transition.events.iter().any(rejoin::Event::is_terminal) {
            self.operations.remove(&run);
        }
        views.iter().map(|view| line(view.at, run, name, view.name, &view.details)).collect()
    }
}

/// The line of a question that waits for people, with the token that answers it.
pub(super) fn asked(open: &OpenApproval, now: Timestamp) -> String {
    let details = json!({
        "token": open.token.to_string(),
        "question": open.question,
        "answers": open.answers,
        "persons": open.persons,
        "expires_at": open.expires_at.map(time),
    });
    line(now, open.run, open.path.last().map_or("", String::as_str), "Asked", &details)
}

/// The line of how far a run says to be.
pub(super) fn progress(at: Timestamp, run: RunId, name: &str, value: &Value) -> String {
    line(at, run, name, "Progress", &json!({ "progress": value }))
}

fn line(at: Timestamp, run: RunId, name: &str, event: &str, details: &impl Serialize) -> String {
    let line = EventLine { time: time(at), run: run.to_string(), name, event, details };
    // All of it has JSON.
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}
