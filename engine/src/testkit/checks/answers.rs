//! S1, S9, E11: what callers are told, against what was durable when they were told it.

use super::calls::outcome;
use super::{Model, Report};
use crate::testkit::trace::{Refused, Seen, Told};
use rejoin_machine::{Event, RunId};

pub(super) fn check(model: &Model, seen: &Seen, report: &mut Report<'_>) {
    let Seen::Told(told) = seen else { return };
    match told {
        Told::Triggered { run, input, answer } => triggered(model, *run, *input, answer, report),
        Told::Assigned { run, op, attempt, worker } => {
            let is_it = |event: &Event| {
                matches!(event, Event::AttemptTaken { op: of, attempt: which, worker: by }
                    if (of, which, by) == (op, attempt, worker))
            };
            durable(model, *run, is_it, "an attempt was given to a worker", report);
        }
        Told::Asked { run, event: made, answer: Ok(()) } => {
            durable(model, *run, |event: &Event| event.name() == *made, "a request was acknowledged", report);
        }
        Told::Participated { run, child, answer: Ok(()) } => {
            let is_it = |event: &Event| matches!(event, Event::ParticipantCalled { child: called, .. } | Event::ChildTriggered { child: called, .. } if called == child);
            durable(model, *run, is_it, "a call was acknowledged", report);
        }
        Told::Signalled { run, id, answer: Ok(()) } => {
            let took = |event: &Event| match event {
                Event::SignalReceived { id: taken, .. } => taken == id,
                _ => false,
            };
            durable(model, *run, took, "a signal was acknowledged", report);
        }
        Told::Cancelled { run, tree, answer: Ok(()) } => {
            durable(model, *run, is_told_to_end, "a cancellation was acknowledged", report);
            if *tree {
                below(model, *run, report);
            }
        }
        Told::Ended { run, answer: Ok(said) } => {
            let ended = |event: &Event| outcome(event).is_some_and(|outcome| format!("{outcome:?}") == *said);
            durable(model, *run, ended, "an outcome was told", report);
        }
        Told::Deleted { run, answer: Ok(()) } => {
            // It may have begun again since.
            if model.history(*run).is_some() && !model.was_deleted(*run) {
                report.say("S9", format_args!("run {run} was said to be deleted, and is there"));
            }
        }
        Told::Signalled { run, answer: Err(Refused::NotFound), .. }
        | Told::Cancelled { run, answer: Err(Refused::NotFound), .. }
        | Told::Ended { run, answer: Err(Refused::NotFound) } => {
            // Whoever was told of a deletion may read that after the run has begun again.
            if model.is_settled(*run) && !model.was_deleted(*run) {
                report.say("A1", format_args!("run {run} was said not to exist, and is there"));
            }
        }
        Told::Nothing
        | Told::Asked { .. }
        | Told::Participated { .. }
        | Told::Signalled { .. }
        | Told::Cancelled { .. }
        | Told::Ended { .. }
        | Told::Deleted { .. } => {}
    }
}

fn triggered(model: &Model, run: RunId, input: u64, answer: &Result<(), Refused>, report: &mut Report<'_>) {
    let first = model.history(run).and_then(|mut history| match history.next()?.transition.events.first()? {
        Event::Triggered(trigger) => Some(trigger.input.digest()),
        _ => None,
    });
    match (answer, first) {
        (Ok(()), Some(first)) if first != input => {
            report.say("E11", format_args!("run {run} was given for another input than it has"));
        }
        (Ok(()), None) if !model.was_deleted(run) => {
            report.say("S9", format_args!("run {run} was acknowledged before it was durable"));
        }
        (Err(Refused::KeyConflict), Some(first)) if first == input => {
            report.say("E11", format_args!("run {run} was refused to the very input that it has"));
        }
        _ => {}
    }
}

fn is_told_to_end(event: &Event) -> bool {
    event.is_terminal() || matches!(event, Event::CancelRequested { .. })
}

/// Of a tree that is cancelled, every run that was there is told to end. A run that waits for its children to end may still
/// have to tell them.
fn below(model: &Model, root: RunId, report: &mut Report<'_>) {
    let is_through = |event: &Event| event.is_terminal() || matches!(event, Event::CancelDelivered { .. });
    let through = model
        .history(root)
        .is_some_and(|mut history| history.any(|entry| entry.transition.events.iter().any(is_through)));
    if !through {
        return;
    }
    for run in model.children(root) {
        let told = model
            .history(run)
            .is_none_or(|mut history| history.any(|entry| entry.transition.events.iter().any(is_told_to_end)));
        if !told {
            report.say("E6", format_args!("the tree of run {root} was cancelled, and child {run} was not told to end"));
        }
    }
}

fn durable(model: &Model, run: RunId, is_it: impl Fn(&Event) -> bool, what: &str, report: &mut Report<'_>) {
    // It may speak of a life that was deleted before whoever asked read the answer.
    if model.was_deleted(run) {
        return;
    }
    let Some(mut history) = model.history(run) else {
        return report.say("S9", format_args!("{what} of run {run}, which is not durable"));
    };
    if !history.any(|entry| entry.transition.events.iter().any(&is_it)) {
        report.say("S9", format_args!("{what} of run {run}, and the log does not have it"));
    }
}
