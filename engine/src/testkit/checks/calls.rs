//! E3, E6, E16: each call has its one child and its one result; each child has its parent, and what it knows of itself comes
//! from there.

use super::conversations::{handed_off, opening};
use super::{Histories, Report, end, events};
use crate::history::Entry;
use rejoin_machine::brief::{Brief, Kind};
use rejoin_machine::call::{Mode, OnTimeout};
use rejoin_machine::cancel::Cause;
use rejoin_machine::{CallKey, Event, FailureKind, OpNo, Origin, Outcome, Payload, RunId, Timestamp, Trigger};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(run: RunId, history: &[Entry], all: &Histories, report: &mut Report<'_>) {
    let mut calls = Calls::new(run, all);
    for (entry, event) in events(history) {
        calls.take(event, entry, report);
    }
    calls.ends(history, report);
    parent(run, history, all, report);
}

struct Calls<'a> {
    run: RunId,
    all: &'a Histories,
    incarnation: u32,
    trigger: Option<&'a Trigger>,
    brief: Brief,
    open: BTreeMap<OpNo, (RunId, OnTimeout)>,
    keys: BTreeSet<&'a CallKey>,
    /// Results of children that an earlier incarnation called, as it was told of them.
    carried: BTreeMap<RunId, Option<Result<Payload, rejoin_machine::Failure>>>,
    /// Every child that nobody has been told the end of.
    living: BTreeSet<RunId>,
    awaited: BTreeSet<RunId>,
}

impl<'a> Calls<'a> {
    fn new(run: RunId, all: &'a Histories) -> Calls<'a> {
        let trigger = all.get(&run).and_then(|history| trigger(history));
        Calls {
            run,
            all,
            incarnation: 0,
            trigger,
            brief: all.get(&run).map(|history| brief(history)).unwrap_or_default(),
            open: BTreeMap::new(),
            keys: BTreeSet::new(),
            carried: BTreeMap::new(),
            living: BTreeSet::new(),
            awaited: BTreeSet::new(),
        }
    }

    /// Whether somebody has asked the child to end, or it had ended by then.
    fn is_told_to_end(&self, child: RunId, by: Timestamp) -> bool {
        // One that is gone had ended, or it could not have been deleted.
        let Some(history) = self.all.get(&child) else { return true };
        events(history).any(|(entry, event)| match event {
            Event::CancelRequested { .. } => true,
            event => event.is_terminal() && entry.time <= by,
        })
    }

    fn must_end(&self, child: RunId, why: &str, entry: &Entry, report: &mut Report<'_>) {
        if !self.is_told_to_end(child, entry.time) {
            let record = entry.version;
            report.say("E6", format_args!("record {record}: {why}, and child {child} was not told to end"));
        }
    }

    fn participated(&mut self, child: RunId) {
        self.carried.insert(child, None);
        self.living.insert(child);
        self.awaited.insert(child);
    }

    fn call_cancelled(&mut self, op: OpNo, entry: &Entry, report: &mut Report<'_>) {
        if let Some((child, _)) = self.open.get(&op).copied() {
            self.must_end(child, "the call was cancelled", entry, report);
        }
    }

    fn take(&mut self, event: &'a Event, entry: &Entry, report: &mut Report<'_>) {
        let record = entry.version;
        match event {
            Event::ContinuedAsNew(boundary) => self.begin_anew(boundary, record, report),
            Event::ChildTriggered { .. } => self.begin(event, record, report),
            Event::ParticipantCalled { child, .. } => self.participated(*child),
            Event::CallCancelled { op, .. } | Event::CallInterrupted { op } => self.call_cancelled(*op, entry, report),
            Event::ChildCompleted { op, .. }
            | Event::ChildFailed { op, .. }
            | Event::ChildCancelled { op, .. }
            | Event::ChildTimedOut { op, ended: true, .. } => self.result(*op, event, record, report),
            Event::ChildTimedOut { op, ended: false, .. } => {
                let Some((child, then)) = self.open.remove(op) else {
                    return report.say("E3", format_args!("record {record}: operation {op} has no open call"));
                };
                self.awaited.remove(&child);
                if then == OnTimeout::Cancel {
                    self.must_end(child, "its caller stopped waiting", entry, report);
                }
            }
            Event::OperationDropped { op } => {
                if let Some((child, _)) = self.open.remove(op) {
                    self.awaited.remove(&child);
                    self.must_end(child, "its caller dropped the call", entry, report);
                }
            }
            Event::ResultIgnored { child } | Event::CarriedChildEnded { child, .. } => {
                if !self.living.remove(child) {
                    report.say(
                        "E3",
                        format_args!("record {record}: the end of child {child} is noted twice, or it never began"),
                    );
                }
                self.awaited.remove(child);
                if let Event::CarriedChildEnded { result, .. } = event {
                    self.carried.insert(*child, Some(result.clone()));
                    self.is_the_childs(*child, result, record, report);
                }
            }
            Event::CancelRequested { cause, .. } => {
                let all = if *cause == Cause::Tree { &self.living } else { &self.awaited };
                for child in all.clone() {
                    // The request may reach it a little later: it may have come to its own end by then.
                    if !self.is_told_to_end(child, Timestamp(i64::MAX)) {
                        report.say(
                            "E6",
                            format_args!(
                                "record {record}: the caller is cancelled, and child {child} was not told to end"
                            ),
                        );
                    }
                }
            }
            event if event.is_terminal() => {
                for child in self.awaited.clone() {
                    self.must_end(child, "the caller has ended", entry, report);
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, event: &'a Event, record: u64, report: &mut Report<'_>) {
        let Event::ChildTriggered { op, child, key, mode, on_timeout, .. } = event else { return };
        self.call(event, record, report);
        if *mode == Mode::Wait {
            self.open.insert(*op, (*child, *on_timeout));
            self.awaited.insert(*child);
        } else {
            // One that an earlier incarnation waited for may be let go.
            self.awaited.remove(child);
        }
        if !self.keys.insert(key) {
            report.say("E3", format_args!("record {record}: a second call with the key {key:?}"));
        }
        self.living.insert(*child);
    }

    fn begin_anew(&mut self, boundary: &'a rejoin_machine::Boundary, record: u64, report: &mut Report<'_>) {
        self.incarnation = boundary.incarnation;
        let carried: BTreeSet<RunId> = boundary.children.iter().map(|carried| carried.child).collect();
        if let Some(lost) = self.living.iter().find(|child| !carried.contains(child)) {
            report.say("E3", format_args!("record {record}: child {lost} is not carried over"));
        }
        let still = boundary.children.iter().filter(|carried| carried.awaited && carried.result.is_none());
        let awaited: BTreeSet<RunId> = still.map(|carried| carried.child).collect();
        if awaited != self.awaited {
            report.say("E3", format_args!("record {record}: other children are waited for than before"));
        }
        if let Some(first) = self.trigger {
            let now = &boundary.trigger;
            let same = now.parent == first.parent && now.project == first.project && now.labels == first.labels;
            if !same || now.depth != first.depth || now.key != first.key || now.path != first.path {
                report.say("E16", format_args!("record {record}: the next incarnation has other metadata"));
            }
        }
        self.carried = boundary.children.iter().map(|carried| (carried.child, carried.result.clone())).collect();
        self.open.clear();
        self.keys.clear();
    }

    /// A call: its child is the one that the key gives, exists, and knows what it should.
    fn call(&self, event: &Event, record: u64, report: &mut Report<'_>) {
        let Event::ChildTriggered { op, target, child, key, input_digest, mode, .. } = event else { return };
        if self.run.child(key) != *child {
            report.say("E3", format_args!("record {record}: child {child} is not the one that its key gives"));
        }
        let Some(of_child) = self.all.get(child).and_then(|history| trigger(history)) else {
            return report.say("E3", format_args!("record {record}: child {child} does not exist"));
        };
        if self.carried.contains_key(child) {
            return;
        }
        let Some(own) = self.trigger else { return };
        let mut path = own.path.clone();
        path.push(target.name.clone());
        let linked = of_child.parent.is_some_and(|parent| {
            (parent.run, parent.op, parent.incarnation, parent.awaited)
                == (self.run, *op, self.incarnation, *mode == Mode::Wait)
        });
        let deadline = own.deadline.filter(|_| *mode == Mode::Wait);
        let (mine, its) = (&self.brief, self.all.get(child).map(|history| brief(history)).unwrap_or_default());
        let counts = !its.subagent && (mine.kind, its.kind) != (Kind::Workflow, Kind::Agent);
        let origin = if mine.kind == Kind::Agent { Origin::Agent } else { Origin::Workflow };
        let trusted = of_child.project == own.project
            && of_child.labels == own.labels
            && of_child.depth == own.depth + u32::from(counts)
            && of_child.path == path
            && of_child.origin == origin
            && mine.metadata.iter().all(|pair| its.metadata.contains(pair))
            && mine.user == its.user
            && of_child.deadline == deadline;
        if !linked {
            report.say("E6", format_args!("record {record}: child {child} names another call as its parent"));
        }
        // One that does again what had continued as new begins with what the last incarnation was given.
        let given = of_child.input.digest() == *input_digest || self.all.get(child).is_some_and(|it| goes_on(it));
        if !trusted || of_child.target != *target || !given {
            report.say("E16", format_args!("record {record}: child {child} was not given what its caller has"));
        }
    }

    fn result(&mut self, op: OpNo, event: &Event, record: u64, report: &mut Report<'_>) {
        let Some((child, _)) = self.open.remove(&op) else {
            return report.say(
                "E3",
                format_args!("record {record}: {} of operation {op}, which has no open call", event.name()),
            );
        };
        self.awaited.remove(&child);
        if !self.living.remove(&child) && !self.carried.contains_key(&child) {
            report.say("E3", format_args!("record {record}: the end of child {child} is told twice"));
        }
        let Some(said) = self.all.get(&child).and_then(|history| end(history)) else {
            return report.say("E3", format_args!("record {record}: a result of child {child}, which has not ended"));
        };
        let same = match (event, said) {
            (Event::ChildCompleted { output, .. }, Event::Completed { output: said }) => output == said,
            (Event::ChildFailed { failure, .. }, Event::Failed { failure: said })
            | (Event::ChildTimedOut { failure, .. }, Event::TimedOut { failure: said })
            | (Event::ChildCancelled { failure, .. }, Event::Cancelled { failure: said }) => failure == said,
            // What was carried over is told as a failure, whatever it was.
            (
                Event::ChildFailed { failure, .. },
                Event::TimedOut { failure: said } | Event::Cancelled { failure: said },
            ) => self.carried.contains_key(&child) && failure == said,
            // A person goes on with what it was to do.
            (Event::ChildFailed { failure, .. }, Event::Completed { .. }) => {
                failure.kind == FailureKind::HandedOff
                    && self.all.get(&child).is_some_and(|history| handed_off(history))
            }
            _ => false,
        };
        if !same {
            report.say(
                "E3",
                format_args!("record {record}: operation {op} has a result that child {child} did not give"),
            );
        }
    }

    fn is_the_childs(
        &self,
        child: RunId,
        result: &Result<Payload, rejoin_machine::Failure>,
        record: u64,
        report: &mut Report<'_>,
    ) {
        let said = self.all.get(&child).and_then(|history| end(history)).map(outcome);
        if said.flatten().map(Outcome::into_result).as_ref() != Some(result) {
            report.say("E3", format_args!("record {record}: a result is kept that child {child} did not give"));
        }
    }

    /// Where it waits for a child that has ended, nobody told it.
    fn ends(&self, history: &[Entry], report: &mut Report<'_>) {
        if end(history).is_some() {
            return;
        }
        for (op, (child, _)) in &self.open {
            if self.all.get(child).is_some_and(|history| end(history).is_some()) {
                report.say("E5", format_args!("child {child} of operation {op} has ended, and it was never told"));
            }
        }
    }
}

/// What a run was given beside its input.
fn brief(history: &[Entry]) -> Brief {
    let first = history.first().map(|entry| entry.transition.events.as_slice()).unwrap_or_default();
    match first.get(1) {
        Some(Event::Briefed(brief)) => (**brief).clone(),
        _ => Brief::default(),
    }
}

fn trigger(history: &[Entry]) -> Option<&Trigger> {
    match history.first()?.transition.events.first()? {
        Event::Triggered(trigger) => Some(trigger),
        _ => None,
    }
}

/// The outcome that a terminal event is.
pub(super) fn outcome(event: &Event) -> Option<Outcome> {
    match event {
        Event::Completed { output } => Some(Outcome::Completed(output.clone())),
        Event::Failed { failure } => Some(Outcome::Failed(failure.clone())),
        Event::TimedOut { failure } => Some(Outcome::TimedOut(failure.clone())),
        Event::Cancelled { failure } => Some(Outcome::Cancelled(failure.clone())),
        _ => None,
    }
}

/// A run that was called has a caller that knows it.
fn parent(run: RunId, history: &[Entry], all: &Histories, report: &mut Report<'_>) {
    let Some(parent) = trigger(history).and_then(|trigger| trigger.parent) else { return };
    // The conversation of a task follows from its run.
    if opening(history).is_some() && parent.run.thread() == run {
        return;
    }
    let Some(of_parent) = all.get(&parent.run) else {
        return report.say("E6", format_args!("its parent {} does not exist", parent.run));
    };
    let knows = |event: &Event| matches!(event, Event::ChildTriggered { child, .. } | Event::ParticipantCalled { child, .. } if *child == run);
    if !events(of_parent).any(|(_, event)| knows(event)) {
        report.say("E6", format_args!("its parent {} does not know it", parent.run));
    }
}

/// Whether a run does again what had continued as new.
fn goes_on(history: &[Entry]) -> bool {
    let first = history.first().map_or(&[][..], |entry| &entry.transition.events);
    first.iter().any(|event| matches!(event, Event::Retries { incarnation: 1.., .. }))
}
