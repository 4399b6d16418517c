//! The invariants, as functions over what a log holds. Each violation names the invariant that it breaks.

use rejoin::history::Entry;
use rejoin::{Event, RunId, Transition};
use rejoin_machine::{CallKey, Run, SignalId};
use rejoin_store::disk::Disk;
use rejoin_store::{OpenError, journal};
use std::collections::{BTreeMap, BTreeSet};

/// All runs of a log, each with its history.
pub type Histories = BTreeMap<RunId, Vec<Entry>>;

/// Reads all histories of a stopped process.
///
/// # Errors
///
/// As [`journal::inspect`].
///
/// # Panics
///
/// If a record cannot be decoded.
pub fn histories(disk: &dyn Disk) -> Result<Histories, OpenError> {
    let mut all = Histories::new();
    journal::inspect(disk, |record| {
        let entry = Entry::decode(record).expect("a record of the log decodes");
        all.entry(RunId(record.stream.0)).or_default().push(entry);
    })?;
    Ok(all)
}

/// Every violation of an invariant that shows in these histories.
pub fn violations(all: &Histories) -> Vec<String> {
    let mut found = Vec::new();
    for (run, history) in all {
        let mut report = |what: String| found.push(format!("run {run}: {what}"));
        order(history, &mut report);
        legal(*run, history, &mut report);
        suspensions(history, &mut report);
        operations(history, &mut report);
        signals(history, &mut report);
        children(*run, history, all, &mut report);
        parent(*run, history, all, &mut report);
    }
    found
}

fn transitions(history: &[Entry]) -> impl Iterator<Item = &Transition> {
    history.iter().map(|entry| &entry.transition)
}

fn events(history: &[Entry]) -> impl Iterator<Item = &Event> {
    transitions(history).flat_map(|transition| &transition.events)
}

/// The run's terminal event, if it has ended.
pub fn end(history: &[Entry]) -> Option<&Event> {
    events(history).find(|event| event.is_terminal())
}

fn order(history: &[Entry], report: &mut impl FnMut(String)) {
    for (index, entry) in history.iter().enumerate() {
        if entry.version != index as u64 + 1 {
            report(format!("S3: record {} stands at place {}", entry.version, index + 1));
        }
    }
    for pair in history.windows(2) {
        if pair[1].time < pair[0].time {
            report(format!("E9: record {} is earlier than the one before it", pair[1].version));
        }
    }
}

fn legal(run: RunId, history: &[Entry], report: &mut impl FnMut(String)) {
    let Some((first, rest)) = history.split_first() else { return report("E2: no history".into()) };
    let Some((begin, others)) = first.transition.events.split_first() else {
        return report("E2: the first record is empty".into());
    };
    let mut state = match Run::begin(run, begin, first.time) {
        Ok(state) => state,
        Err(error) => return report(format!("E2: {error}")),
    };
    let mut apply = |entry: &Entry, events: &[Event]| {
        for event in events {
            if let Err(error) = state.apply(event, entry.time) {
                report(format!("E2: record {}: {error}", entry.version));
            }
        }
        if state.next_due(entry.time) != entry.transition.due {
            report(format!("E1: record {} notes another due time than the state has", entry.version));
        }
    };
    apply(first, others);
    for entry in rest {
        apply(entry, &entry.transition.events);
    }
    let ends = events(history).filter(|event| event.is_terminal()).count();
    if ends > 1 {
        report(format!("E2: {ends} terminal events"));
    }
}

fn suspensions(history: &[Entry], report: &mut impl FnMut(String)) {
    let mut suspended = false;
    for entry in history {
        if entry.transition.resumed && !std::mem::replace(&mut suspended, false) {
            report(format!("E4: record {} resumes a run that was not suspended", entry.version));
        }
        if entry.transition.suspended && std::mem::replace(&mut suspended, true) {
            report(format!("E4: record {} suspends a run that is suspended", entry.version));
        }
    }
}

/// Steps, calls and timers: each resolved at most once, and only if it was opened.
fn operations(history: &[Entry], report: &mut impl FnMut(String)) {
    let mut open = BTreeMap::new();
    let mut resolved = BTreeSet::new();
    let mut incarnation = 0;
    for event in events(history) {
        match event {
            Event::ContinuedAsNew(boundary) => incarnation = boundary.incarnation,
            Event::StepScheduled { op, .. } => drop(open.insert((incarnation, *op), "E7")),
            Event::ChildTriggered { op, .. } => drop(open.insert((incarnation, *op), "E3")),
            Event::TimerSet { op, .. } => drop(open.insert((incarnation, *op), "E9")),
            Event::SignalAwaited { op, .. } => drop(open.insert((incarnation, *op), "E10")),
            Event::StepCompleted { op, .. }
            | Event::StepFailed { op, .. }
            | Event::ChildCompleted { op, .. }
            | Event::ChildFailed { op, .. }
            | Event::ChildTimedOut { op, .. }
            | Event::ChildCancelled { op, .. }
            | Event::TimerFired { op }
            | Event::SignalDelivered { op, .. }
            | Event::SignalTimedOut { op } => {
                let key = (incarnation, *op);
                let Some(id) = open.get(&key) else {
                    report(format!("E2: {} of operation {op}, which was never opened", event.name()));
                    continue;
                };
                if !resolved.insert(key) {
                    report(format!("{id}: operation {op} is resolved twice, the second time by {}", event.name()));
                }
            }
            _ => {}
        }
    }
}

fn signals(history: &[Entry], report: &mut impl FnMut(String)) {
    let mut received: BTreeSet<SignalId> = BTreeSet::new();
    let mut delivered: BTreeSet<SignalId> = BTreeSet::new();
    for event in events(history) {
        match event {
            Event::SignalReceived { id, .. } if !received.insert(*id) => report("E10: a signal came twice".into()),
            Event::SignalDelivered { id, .. } if !received.contains(id) => {
                report("E10: a signal was delivered that never came".into());
            }
            Event::SignalDelivered { id, .. } if !delivered.insert(*id) => {
                report("E10: a signal was delivered twice".into());
            }
            _ => {}
        }
    }
}

/// Each call has its one child, and tells of it what the child's own log says.
fn children(run: RunId, history: &[Entry], all: &Histories, report: &mut impl FnMut(String)) {
    let mut calls = BTreeMap::new();
    let mut keys: BTreeSet<&CallKey> = BTreeSet::new();
    let mut incarnation = 0;
    for event in events(history) {
        match event {
            Event::ContinuedAsNew(boundary) => {
                incarnation = boundary.incarnation;
                keys.clear();
            }
            Event::ChildTriggered { op, child, key, .. } => {
                calls.insert((incarnation, *op), *child);
                if !keys.insert(key) {
                    report(format!("E3: two calls with the key {key:?}"));
                }
                if !all.contains_key(child) {
                    report(format!("E3: child {child} of operation {op} does not exist"));
                }
                if run.child(key) != *child {
                    report(format!("E3: child {child} is not the one that its key gives"));
                }
            }
            Event::ChildCompleted { op, output } => {
                let child = calls.get(&(incarnation, *op)).and_then(|child| all.get(child));
                let said = child.and_then(|history| end(history));
                if said != Some(&Event::Completed { output: output.clone() }) {
                    report(format!("E3: operation {op} has a result that its child did not give"));
                }
            }
            _ => {}
        }
    }
}

/// A child's parent exists, knows it, and has been told of its end in so far as it waited.
fn parent(run: RunId, history: &[Entry], all: &Histories, report: &mut impl FnMut(String)) {
    let Some(Event::Triggered(trigger)) = events(history).next() else { return };
    let Some(parent) = trigger.parent else { return };
    let Some(of_parent) = all.get(&parent.run) else {
        return report(format!("E6: its parent {} does not exist", parent.run));
    };
    let knows = |event: &Event| matches!(event, Event::ChildTriggered { child, .. } if *child == run);
    if !events(of_parent).any(knows) {
        report(format!("E6: its parent {} does not know it", parent.run));
    }
    let told = events(of_parent).any(|event| match event {
        Event::ChildCompleted { op, .. }
        | Event::ChildFailed { op, .. }
        | Event::ChildTimedOut { op, .. }
        | Event::ChildCancelled { op, .. }
        | Event::OperationDropped { op } => *op == parent.op,
        Event::ResultIgnored { child } | Event::CarriedChildEnded { child, .. } => *child == run,
        Event::CancelDelivered { .. } => true,
        _ => false,
    });
    if end(history).is_some() && parent.awaited && end(of_parent).is_none() && !told {
        report(format!("E5: it has ended, and its parent {} was never told", parent.run));
    }
}
