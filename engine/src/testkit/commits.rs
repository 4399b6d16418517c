//! What a life recorded, by name: commits, steps, workflows.

use super::Moment;
use super::trace::{Seen, Trace, Written};
use crate::codec;
use crate::history::Entry;
use crate::testkit::History;
use rejoin_machine::{CallKey, Event, OpNo, RunId, Timestamp};
use std::collections::BTreeMap;

/// The log as one life left it.
pub(super) struct Records {
    /// All records in the order of the log, and the place of each.
    pub(super) all: Vec<(u64, RunId, Entry)>,
    /// The last record of each commit of this life.
    last: Vec<u64>,
    operations: BTreeMap<(RunId, u32, OpNo), String>,
    workflows: BTreeMap<RunId, String>,
}

impl Records {
    pub(super) fn new(trace: &Trace, last: Vec<u64>) -> Records {
        let written = trace.read(|seen| {
            let began = seen.iter().rposition(|seen| matches!(seen, Seen::Began { .. })).unwrap_or(0);
            let in_this_life = |seen: &Seen| match seen {
                Seen::Began { found, .. } => found.clone(),
                Seen::Appended(batch) => batch.clone(),
                _ => Vec::new(),
            };
            seen[began..].iter().flat_map(in_this_life).collect::<Vec<Written>>()
        });
        let mut records = Records { all: Vec::new(), last, operations: BTreeMap::new(), workflows: BTreeMap::new() };
        let mut incarnations = BTreeMap::new();
        for Written { lsn, run, version, time, format, payload, .. } in written {
            // What is no transition is a note of the store's own, such as that a run was deleted.
            let Ok(transition) = codec::decode(format, &payload) else { continue };
            for event in &transition.events {
                records.learn(run, incarnations.entry(run).or_insert(0), event);
            }
            records.all.push((lsn, run, Entry { version, time: Timestamp(time), transition }));
        }
        records
    }

    fn learn(&mut self, run: RunId, incarnation: &mut u32, event: &Event) {
        let (op, name) = match event {
            Event::Triggered(trigger) => return drop(self.workflows.insert(run, trigger.target.name.clone())),
            Event::ContinuedAsNew(boundary) => return *incarnation = boundary.incarnation,
            Event::StepScheduled { op, name, .. } => (op, format!("step {name:?}")),
            Event::ChildTriggered { op, key: CallKey::Named(name), .. } => (op, format!("call {name:?}")),
            Event::ChildTriggered { op, target, .. } => (op, format!("call of {:?}", target.name)),
            Event::ChildRefused { op, name, .. } => (op, format!("call of {name:?}")),
            Event::SignalAwaited { op, name, .. } => (op, format!("signal {name:?}")),
            Event::TimerSet { op, .. } => (op, "sleep".to_owned()),
            _ => return,
        };
        self.operations.insert((run, *incarnation, *op), name);
    }

    /// How many commits this life made.
    pub(super) fn commits(&self) -> u64 {
        self.last.len() as u64
    }

    /// The history of each run, the first run first.
    pub(super) fn histories(&self) -> Vec<History> {
        let mut order = Vec::new();
        let mut histories: BTreeMap<RunId, Vec<Entry>> = BTreeMap::new();
        for (_, run, entry) in &self.all {
            let history = histories.entry(*run).or_insert_with(|| {
                order.push(*run);
                Vec::new()
            });
            // A run that was deleted and triggered again begins anew.
            if entry.version == 1 {
                history.clear();
            }
            history.push(entry.clone());
        }
        let history = |run| History { run, entries: histories.remove(&run).unwrap_or_default() };
        order.into_iter().map(history).collect()
    }

    /// The name of an operation, such as `step "publish"`.
    pub(super) fn operation(&self, operation: (RunId, u32, OpNo)) -> String {
        self.operations.get(&operation).cloned().unwrap_or_else(|| format!("operation {}", operation.2))
    }

    /// The name of a run's workflow.
    pub(super) fn workflow(&self, run: RunId) -> String {
        self.workflows.get(&run).cloned().unwrap_or_else(|| run.to_string())
    }

    /// A moment in words: `after commit 14 (ChildCompleted, call "section: rust")`.
    pub(super) fn moment(&self, moment: Moment) -> String {
        match moment {
            Moment::Before(number) => format!("before {}", self.commit(number)),
            Moment::After(number) => format!("after {}", self.commit(number)),
        }
    }

    /// A commit by what it recorded: the end of a call if there is one, or what came in from outside.
    pub(super) fn commit(&self, number: u64) -> String {
        let last = |number: u64| number.checked_sub(1).and_then(|index| self.last.get(index as usize)).copied();
        let Some(end) = last(number) else { return format!("commit {number}") };
        // What a life finds in the log is no commit of its own.
        let before = last(number.saturating_sub(1)).unwrap_or(0);
        let mut incarnations: BTreeMap<RunId, u32> = BTreeMap::new();
        let mut best: Option<(u8, String)> = None;
        for (lsn, run, entry) in &self.all {
            for event in &entry.transition.events {
                let incarnation = incarnations.entry(*run).or_insert(0);
                if let Event::ContinuedAsNew(boundary) = event {
                    *incarnation = boundary.incarnation;
                }
                let rank = rank(event);
                let better = best.as_ref().is_none_or(|(known, _)| rank > *known);
                if *lsn > before && *lsn <= end && better {
                    best = Some((rank, self.event(*run, *incarnation, event)));
                }
            }
        }
        best.map_or_else(|| format!("commit {number}"), |(_, event)| format!("commit {number} ({event})"))
    }

    /// An event in words: its name, and of what.
    pub(super) fn event(&self, run: RunId, incarnation: u32, event: &Event) -> String {
        let what = match event {
            Event::StepScheduled { op, .. }
            | Event::StepCompleted { op, .. }
            | Event::StepAttemptFailed { op, .. }
            | Event::StepFailed { op, .. }
            | Event::ChildTriggered { op, .. }
            | Event::ChildRefused { op, .. }
            | Event::ChildCompleted { op, .. }
            | Event::ChildFailed { op, .. }
            | Event::ChildTimedOut { op, .. }
            | Event::ChildCancelled { op, .. }
            | Event::TimerSet { op, .. }
            | Event::TimerFired { op }
            | Event::SignalAwaited { op, .. }
            | Event::SignalDelivered { op, .. }
            | Event::SignalTimedOut { op } => self.operation((run, incarnation, *op)),
            Event::SignalReceived { name, .. } => format!("signal {name:?}"),
            Event::PatchMarked { id } => format!("patch {id:?}"),
            _ => format!("workflow {:?}", self.workflow(run)),
        };
        format!("{}, {what}", event.name())
    }
}

/// How much an event tells of a commit.
fn rank(event: &Event) -> u8 {
    match event {
        Event::ChildCompleted { .. }
        | Event::ChildFailed { .. }
        | Event::ChildTimedOut { .. }
        | Event::ChildCancelled { .. } => 4,
        Event::StepCompleted { .. }
        | Event::StepAttemptFailed { .. }
        | Event::StepFailed { .. }
        | Event::TimerFired { .. }
        | Event::SignalReceived { .. }
        | Event::SignalTimedOut { .. }
        | Event::CancelRequested { .. }
        | Event::Wedged { .. } => 3,
        Event::Triggered(_) | Event::ContinuedAsNew(_) => 2,
        Event::Completed { .. } | Event::Failed { .. } | Event::TimedOut { .. } | Event::Cancelled { .. } => 1,
        _ => 0,
    }
}
