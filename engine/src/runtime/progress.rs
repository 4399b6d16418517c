//! Progress: how far runs say to be. The latest few of each are kept in memory until it ends; they are no part of a history.

use super::RunMap;
use super::inbox::Reply;
use crate::error::RunError;
use rejoin_machine::{Payload, RunId, Timestamp};
use std::collections::VecDeque;

/// How many are kept of each run.
const KEPT: usize = 32;

/// The largest one, in bytes.
pub(crate) const LARGEST: usize = 64 << 10;

/// How far a run says to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Its number, from 1. Numbers begin again with a process.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    pub(crate) value: Payload,
}

/// The progress of runs that have not ended.
#[derive(Default)]
pub(super) struct Progress {
    of: RunMap<Kept>,
}

#[derive(Default)]
struct Kept {
    last: u64,
    ring: VecDeque<Update>,
    /// Who waits for one behind a number.
    waiting: Vec<Reply<Vec<Update>, RunError>>,
}

impl Progress {
    pub(super) fn push(&mut self, run: RunId, value: Payload, at: Timestamp) {
        let kept = self.of.entry(run).or_default();
        kept.last += 1;
        if kept.ring.len() == KEPT {
            kept.ring.pop_front();
        }
        let update = Update { number: kept.last, at, value };
        for waiter in kept.waiting.drain(..) {
            // Whoever asked may be gone.
            let _ = waiter.send(Ok(vec![update.clone()]));
        }
        kept.ring.push_back(update);
    }

    /// What is kept behind a number, oldest first.
    pub(super) fn since(&self, run: RunId, after: u64) -> Vec<Update> {
        let ring = self.of.get(&run).map(|kept| &kept.ring);
        ring.into_iter().flatten().filter(|update| update.number > after).cloned().collect()
    }

    /// Somebody waits for the next one.
    pub(super) fn wait(&mut self, run: RunId, reply: Reply<Vec<Update>, RunError>) {
        let kept = self.of.entry(run).or_default();
        kept.waiting.retain(|waiter| !waiter.is_canceled());
        kept.waiting.push(reply);
    }

    /// The run has ended: nothing more comes.
    pub(super) fn end(&mut self, run: RunId) {
        for waiter in self.of.remove(&run).into_iter().flat_map(|kept| kept.waiting) {
            // Whoever asked may be gone.
            let _ = waiter.send(Ok(Vec::new()));
        }
    }

    pub(super) fn clear(&mut self) {
        self.of.clear();
    }
}
