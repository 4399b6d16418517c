//! The state of a run after an event.

use super::details::Details;
use crate::output::time;
use rejoin::history::Entry;
use rejoin::{Event, OpNo, Timestamp};
use rejoin_machine::{Op, Run};
use serde::{Serialize, Serializer};

/// An event, and the state after it.
#[derive(Serialize)]
pub(crate) struct StateView {
    run: String,
    version: u64,
    index: usize,
    #[serde(rename = "time", serialize_with = "as_time")]
    pub(crate) at: Timestamp,
    pub(crate) name: &'static str,
    pub(crate) state: &'static str,
    open: Vec<Details>,
    pub(crate) due_at: Option<String>,
}

fn as_time<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time(*at))
}

impl StateView {
    pub(crate) fn new(run: &Run, entry: &Entry, index: usize, event: &Event) -> StateView {
        StateView {
            run: run.id().to_string(),
            version: entry.version,
            index,
            at: entry.time,
            name: event.name(),
            state: run.state_name(),
            open: run.operations().map(|(number, op)| open(number, op)).collect(),
            due_at: run.next_due(entry.time).map(time),
        }
    }

    /// Its place in the run: version.index.
    pub(crate) fn place(&self) -> String {
        format!("{}.{}", self.version, self.index)
    }

    /// What is open, as a line.
    pub(crate) fn open(&self) -> String {
        let open: Vec<_> = self.open.iter().map(Details::to_string).collect();
        if open.is_empty() { "-".to_owned() } else { open.join("; ") }
    }
}

fn open(number: OpNo, op: &Op) -> Details {
    let kind = |kind| Details::default().op(number).text("kind", kind);
    match op {
        Op::Step(step) => kind("step").text("name", &step.name).number("attempt", step.attempt).time("at", step.at),
        Op::Call { child, deadline, .. } => {
            kind("child").run("run", *child).given(*deadline, |it, until| it.time("until", until))
        }
        Op::Timer { at } => kind("timer").time("at", *at),
        Op::Approval(pending) => kind("approval")
            .text("question", &pending.approval.question)
            .json("persons", &pending.approval.persons)
            .given(pending.approval.expires_at, |it, until| it.time("until", until)),
        Op::Handoff { since, .. } => kind("handoff").time("since", *since),
        Op::Recalled => kind("recalled"),
        Op::Signal { name, deadline } => {
            kind("signal").text("name", name).given(*deadline, |it, until| it.time("until", until))
        }
    }
}
