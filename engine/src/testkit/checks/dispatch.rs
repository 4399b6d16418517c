//! E7, E8, E12, E15, S9: what was handed to the pool, against what was durable at that moment.

use super::{Model, Report};
use crate::context::Attempt;
use crate::testkit::trace::Seen;
use rejoin_machine::{Event, OpNo, RunId, Timestamp};
use std::collections::BTreeSet;

/// What this life of the process has handed to the pool.
#[derive(Default)]
pub(super) struct Dispatches {
    begun: BTreeSet<(RunId, usize, u32, OpNo, u32)>,
    executing: usize,
    bound: usize,
}

/// How a step stands in the durable history of its run.
struct Standing {
    attempt: u32,
    not_before: Timestamp,
    resolved: bool,
}

impl Dispatches {
    pub(super) fn take(&mut self, model: &Model, seen: &Seen, report: &mut Report<'_>) {
        match seen {
            Seen::Began { concurrent_steps, .. } => {
                *self = Dispatches { bound: *concurrent_steps, ..Dispatches::default() }
            }
            Seen::Returned { .. } => self.executing = self.executing.saturating_sub(1),
            Seen::Dispatched { attempt, at } => {
                self.executing += 1;
                if self.executing > self.bound {
                    report.say(
                        "E12",
                        format_args!(
                            "{} steps are executed at the same time, and the limit is {}",
                            self.executing, self.bound
                        ),
                    );
                }
                let Attempt { run, incarnation, op, number } = *attempt;
                if !self.begun.insert((run, model.deletions(run), incarnation, op, number)) {
                    report.say("E7", format_args!("{attempt}, attempt {number}, is executed twice in one life"));
                }
                check(model, attempt, *at, report);
            }
            _ => {}
        }
    }
}

fn check(model: &Model, attempt: &Attempt, at: Timestamp, report: &mut Report<'_>) {
    let number = attempt.number;
    let Some(history) = model.history(attempt.run) else {
        return report.say("S9", format_args!("{attempt} is executed, and its run is not durable"));
    };
    let mut step: Option<Standing> = None;
    let (mut incarnation, mut silent, mut ended) = (0, false, false);
    for (entry, event) in history.flat_map(|entry| entry.transition.events.iter().map(move |event| (entry, event))) {
        match event {
            Event::ContinuedAsNew(boundary) => (incarnation, step) = (boundary.incarnation, None),
            Event::StepScheduled { op, .. } if *op == attempt.op => {
                step = Some(Standing { attempt: 1, not_before: entry.time, resolved: false });
            }
            Event::StepAttemptFailed { op, retry_at, .. } if *op == attempt.op => {
                if let Some(step) = &mut step {
                    (step.attempt, step.not_before) = (step.attempt + 1, *retry_at);
                }
            }
            Event::StepCompleted { op, .. } | Event::StepFailed { op, .. } | Event::OperationDropped { op }
                if *op == attempt.op =>
            {
                if let Some(step) = &mut step {
                    step.resolved = true;
                }
            }
            Event::CancelRequested { .. } => silent = true,
            Event::CancelDelivered { .. } => (silent, step) = (false, None),
            event if event.is_terminal() => ended = true,
            _ => {}
        }
    }
    if ended {
        return report.say("E15", format_args!("{attempt} is executed, and its run has ended"));
    }
    if silent {
        return report.say("E15", format_args!("{attempt} is executed, and its run is being cancelled"));
    }
    match step.filter(|_| incarnation == attempt.incarnation) {
        None => {
            report.say("S9", format_args!("{attempt} is executed, and its schedule is not durable, or was cancelled"))
        }
        Some(step) if step.resolved => {
            report.say("E7", format_args!("{attempt} is executed, and its result is recorded"))
        }
        Some(step) if step.attempt != number => {
            report.say(
                "E8",
                format_args!("attempt {number} of {attempt} is executed, and the next one is {}", step.attempt),
            );
        }
        Some(step) if number > 1 && at < step.not_before => {
            report.say("E9", format_args!("attempt {number} of {attempt} is executed before its pause is over"));
        }
        Some(_) => {}
    }
}
