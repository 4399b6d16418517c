//! When a step is tried again.

use crate::failure::Failure;
use crate::time::Span;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How often and how soon a failed step is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The most attempts in all; `None`: as many as it takes.
    pub max_attempts: Option<u32>,
    /// The pause before the second attempt.
    pub initial: Span,
    /// Each pause is this many percent of the one before it.
    pub growth_percent: u32,
    /// The longest pause.
    pub longest: Span,
    /// Failures with these codes are final.
    pub final_codes: Vec<String>,
}

impl Default for Policy {
    /// As many attempts as it takes: after 100 ms, then twice as long each time, up to a minute.
    fn default() -> Policy {
        Policy {
            max_attempts: None,
            initial: Span(100_000),
            growth_percent: 200,
            longest: Span(60_000_000),
            final_codes: Vec::new(),
        }
    }
}

impl Policy {
    /// The pause after attempt number `attempt` failed with `failure`; `None`: it was the last.
    ///
    /// `jitter` is a random number; it takes up to a fifth off the pause, so that many that failed together
    /// do not come back together. It is never nothing: time passes between attempts, so that whoever acts on all that
    /// is due at one instant comes to an end.
    pub fn pause(&self, attempt: u32, failure: &Failure, jitter: u32) -> Option<Span> {
        let last = attempt >= self.max_attempts.unwrap_or(u32::MAX);
        if last || !failure.retryable || self.final_codes.contains(&failure.code) {
            return None;
        }
        let mut pause = u128::from(self.initial.0);
        for _ in 1..attempt {
            let grown = pause * u128::from(self.growth_percent) / 100;
            // One that does not grow never will; attempts may be many.
            if pause >= u128::from(self.longest.0) || grown == pause {
                break;
            }
            pause = grown;
        }
        let pause = u64::try_from(pause).unwrap_or(u64::MAX).min(self.longest.0);
        let off = u128::from(pause / 5) * u128::from(jitter) / u128::from(u32::MAX);
        Some(Span((pause - u64::try_from(off).unwrap_or(0)).max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureKind;

    fn failure(retryable: bool) -> Failure {
        Failure { retryable, ..Failure::new(FailureKind::Application, "busy", "busy") }
    }

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let policy = Policy { longest: Span(350_000), ..Policy::default() };
        let pauses: Vec<u64> = (1..5).filter_map(|n| policy.pause(n, &failure(true), 0)).map(|span| span.0).collect();
        assert_eq!(pauses, [100_000, 200_000, 350_000, 350_000]);
        assert_eq!(policy.pause(1_000_000, &failure(true), 0), Some(Span(350_000)));
    }

    #[test]
    fn a_pause_is_found_quickly_however_many_attempts_there_were() {
        for growth_percent in [0, 1, 99, 100, 101, u32::MAX] {
            for initial in [0, 1, 50, u64::MAX] {
                let policy = Policy { growth_percent, initial: Span(initial), ..Policy::default() };
                let pause = policy.pause(u32::MAX - 1, &failure(true), u32::MAX);
                assert!(pause.is_some_and(|pause| pause <= policy.longest));
                assert_eq!(policy.pause(u32::MAX, &failure(true), 0), None);
            }
        }
    }

    #[test]
    fn a_pause_is_never_nothing() {
        let policy = Policy { initial: Span(0), longest: Span(0), ..Policy::default() };
        assert_eq!(policy.pause(1, &failure(true), u32::MAX), Some(Span(1)));
    }

    #[test]
    fn jitter_takes_up_to_a_fifth() {
        assert_eq!(Policy::default().pause(1, &failure(true), u32::MAX), Some(Span(80_000)));
    }

    #[test]
    fn the_last_attempt_and_final_failures_have_no_pause() {
        let policy = Policy { max_attempts: Some(3), ..Policy::default() };
        assert!(policy.pause(2, &failure(true), 0).is_some());
        assert!(policy.pause(3, &failure(true), 0).is_none());
        assert!(policy.pause(1, &failure(false), 0).is_none());
        let policy = Policy { final_codes: ["busy".into()].into(), ..Policy::default() };
        assert!(policy.pause(1, &failure(true), 0).is_none());
    }
}
