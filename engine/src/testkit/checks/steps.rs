//! E7, as far as a history alone tells: attempts by their policy, and never more of them than it allows.

use super::{Report, events};
use crate::history::Entry;
use rejoin_machine::retry::Policy;
use rejoin_machine::{Event, Failure, OpNo, Span, Timestamp};
use std::collections::BTreeMap;

struct Step<'a> {
    policy: &'a Policy,
    timeout: Option<Span>,
    attempt: u32,
    /// When the attempt may begin.
    at: Timestamp,
}

impl Step<'_> {
    fn may_retry(&self, failure: &Failure) -> bool {
        failure.retryable
            && self.attempt < self.policy.max_attempts.unwrap_or(u32::MAX)
            && !self.policy.final_codes.contains(&failure.code)
    }

    /// The longest pause after this attempt, in microseconds.
    fn pause(&self) -> u64 {
        let growth = f64::from(self.policy.growth_percent) / 100.0;
        let pause = self.policy.initial.0 as f64 * growth.powi(self.attempt.min(1000) as i32 - 1);
        pause.min(self.policy.longest.0 as f64) as u64
    }
}

pub(super) fn check(history: &[Entry], report: &mut Report<'_>) {
    let mut steps: BTreeMap<OpNo, Step<'_>> = BTreeMap::new();
    for (entry, event) in events(history) {
        let record = entry.version;
        match event {
            Event::ContinuedAsNew(_) => steps.clear(),
            Event::StepScheduled { op, policy, timeout, .. } => {
                steps.insert(*op, Step { policy, timeout: *timeout, attempt: 1, at: entry.time });
            }
            Event::StepAttemptFailed { op, failure, retry_at } => {
                let Some(step) = steps.get_mut(op) else { continue };
                early(step, failure, entry, report);
                if !step.may_retry(failure) {
                    report.say(
                        "E7",
                        format_args!("record {record}: operation {op} is tried again after attempt {}", step.attempt),
                    );
                }
                let (pause, longest) = (retry_at.since(entry.time).0, step.pause());
                // Chance takes up to a fifth off; the rest is rounding.
                if pause + 2 < longest / 5 * 4 || pause > longest.max(1) + 2 {
                    report.say(
                        "E9",
                        format_args!(
                            "record {record}: a pause of {pause} us before the next attempt, not about {longest}"
                        ),
                    );
                }
                (step.attempt, step.at) = (step.attempt + 1, *retry_at);
            }
            Event::StepFailed { op, failure } => {
                let Some(step) = steps.remove(op) else { continue };
                early(&step, failure, entry, report);
                if step.may_retry(failure) {
                    report.say(
                        "E7",
                        format_args!("record {record}: operation {op} is given up after attempt {}", step.attempt),
                    );
                }
            }
            Event::StepCompleted { op, .. } => drop(steps.remove(op)),
            _ => {}
        }
    }
}

/// An attempt may not time out before its time is up.
fn early(step: &Step<'_>, failure: &Failure, entry: &Entry, report: &mut Report<'_>) {
    if failure.code != "step-timeout" {
        return;
    }
    let deadline = step.timeout.map(|timeout| step.at.after(timeout));
    if deadline.is_none_or(|deadline| entry.time < deadline) {
        report.say("E9", format_args!("record {}: an attempt timed out before its time was up", entry.version));
    }
}
