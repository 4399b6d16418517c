//! How the runs ended that ended last: who triggers a run asks for its result a moment later, and should not make the shard
//! read the log for that.

use super::RunMap;
use rejoin_machine::{Outcome, RunId};
use std::collections::VecDeque;

/// How many are remembered.
const MOST: usize = 4096;
/// How large an output or a failure may be that is remembered, in bytes.
const LARGEST: usize = 4096;

#[derive(Default)]
pub(super) struct Recent {
    outcomes: RunMap<Outcome>,
    order: VecDeque<RunId>,
}

impl Recent {
    /// A run ended, and that is durable.
    pub(super) fn ended(&mut self, run: RunId, outcome: &Outcome) {
        let size = match outcome {
            Outcome::Completed(output) => output.bytes().len(),
            Outcome::Failed(failure)
            | Outcome::TimedOut(failure)
            | Outcome::Cancelled(failure)
            | Outcome::HandedOff(failure) => {
                failure.message.len() + failure.details.as_ref().map_or(0, |details| details.bytes().len())
            }
        };
        if size > LARGEST {
            return;
        }
        if self.outcomes.insert(run, outcome.clone()).is_none() {
            self.order.push_back(run);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.outcomes.remove(&oldest);
        }
    }

    pub(super) fn outcome(&self, run: RunId) -> Option<&Outcome> {
        self.outcomes.get(&run)
    }

    /// The run does not exist any more, or begins again.
    pub(super) fn forget(&mut self, run: RunId) {
        if self.outcomes.remove(&run).is_some() {
            self.order.retain(|known| *known != run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u16) -> RunId {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&n.to_le_bytes());
        RunId(id)
    }

    #[test]
    fn only_the_last_ones_are_remembered() {
        let mut recent = Recent::default();
        let outcome = Outcome::Completed(rejoin_machine::Payload::from(b"1".to_vec()));
        for n in 0..MOST as u16 + 10 {
            recent.ended(run(n), &outcome);
        }
        assert_eq!(recent.outcome(run(9)), None);
        assert_eq!(recent.outcome(run(10)), Some(&outcome));
        recent.forget(run(10));
        assert_eq!(recent.outcome(run(10)), None);
        assert_eq!(recent.order.len(), recent.outcomes.len());
    }
}
