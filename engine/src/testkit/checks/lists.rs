//! E13: lists are folds of the log: every run stands in them once, as its history says.

use super::{Model, Report};
use crate::history::Entry;
use crate::projection::RunStatus;
use crate::testkit::trace::{ListedRun, Listing, Seen};
use rejoin_machine::{Event, OpNo, RunId, Trigger};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(model: &Model, seen: &Seen, report: &mut Report<'_>) {
    let Seen::Listed { of, runs } = seen else { return };
    let mut shown = BTreeMap::new();
    for run in runs {
        if shown.insert(run.run, run).is_some() {
            report.say("E13", format_args!("run {} stands twice in the list of {of:?}", run.run));
        }
    }
    order(model, of, runs, report);
    for run in model.runs() {
        let Some(expected) = model.history(run).and_then(|history| fold(run, history)) else { continue };
        let belongs = of.matches(&expected);
        match shown.remove(&run) {
            Some(listed) if !belongs => {
                report.say(
                    "E13",
                    format_args!("run {run} stands in the list of {of:?} as {listed:?}, and does not belong there"),
                );
            }
            Some(listed) if listed.status != expected.status || listed.records != expected.records => {
                report.say("E13", format_args!("run {run} is listed as {listed:?}, and its history says {expected:?}"));
            }
            None if belongs => report.say("E13", format_args!("run {run} is missing in the list of {of:?}")),
            Some(_) | None => {}
        }
    }
    if let Some(run) = shown.keys().next() {
        report.say("E13", format_args!("run {run} is listed, and is not in the log"));
    }
}

/// The newest first: by when they ended, or, while they have not, by when they were triggered.
fn order(model: &Model, of: &Listing, runs: &[ListedRun], report: &mut Report<'_>) {
    let time = |run: &ListedRun| {
        let mut history = model.history(run.run)?;
        let first = history.next()?;
        let last = history.last().unwrap_or(first);
        Some(if run.status.is_closed() { last.time } else { first.time })
    };
    let times: Vec<_> = runs.iter().filter_map(time).collect();
    if times.windows(2).any(|pair| pair[0] < pair[1]) {
        report.say("E13", format_args!("the list of {of:?} is not in order"));
    }
}

/// A run as lists should show it.
fn fold<'a>(run: RunId, history: impl Iterator<Item = &'a Entry>) -> Option<ListedRun> {
    let mut trigger: Option<&Trigger> = None;
    let mut steps: BTreeSet<OpNo> = BTreeSet::new();
    let (mut status, mut before, mut records) = (RunStatus::Created, RunStatus::Created, 0);
    let (mut wedged, mut paused) = (false, false);
    for entry in history {
        records += 1;
        for event in &entry.transition.events {
            match event {
                Event::Triggered(first) => trigger = Some(first),
                Event::Briefed(brief) if records == 1 => {
                    let is_turn = brief.thread.as_ref().is_some_and(|thread| thread.role.is_turn());
                    if brief.queue.is_some() || is_turn {
                        before = RunStatus::Queued;
                    }
                }
                Event::Started => before = RunStatus::Running,
                Event::ContinuedAsNew(_) => {
                    steps.clear();
                    before = RunStatus::Created;
                }
                Event::StepScheduled { op, .. } => drop(steps.insert(*op)),
                Event::StepCompleted { op, .. } | Event::StepFailed { op, .. } | Event::OperationDropped { op } => {
                    steps.remove(op);
                }
                Event::CancelRequested { .. } => before = RunStatus::Cancelling,
                Event::CancelDelivered { .. } => {
                    steps.clear();
                    before = RunStatus::Running;
                }
                Event::Wedged { .. } => wedged = true,
                Event::Unwedged => wedged = false,
                Event::Paused { .. } => paused = true,
                Event::Unpaused { .. } => paused = false,
                Event::Completed { .. } => before = RunStatus::Completed,
                Event::Failed { .. } => before = RunStatus::Failed,
                Event::TimedOut { .. } => before = RunStatus::TimedOut,
                Event::Cancelled { .. } => before = RunStatus::Cancelled,
                _ => {}
            }
        }
        status = match before {
            closed if closed.is_closed() => closed,
            _ if wedged => RunStatus::Wedged,
            _ if paused => RunStatus::Paused,
            RunStatus::Running if steps.is_empty() => RunStatus::Suspended,
            other => other,
        };
    }
    // Conversations and documents are no runs.
    let trigger = trigger.filter(|trigger| !trigger.target.name.starts_with('$'))?;
    Some(ListedRun {
        run,
        status,
        records,
        workflow: trigger.target.name.clone(),
        parent: trigger.parent.map(|parent| parent.run),
        labels: trigger.labels.clone(),
    })
}
