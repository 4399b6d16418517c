//! When to wake which run: the near future in memory, the rest in the index.

use super::RunMap;
use crate::projection::{tables, time_key, time_of_key};
use rejoin_machine::{RunId, Span, Timestamp};
use rejoin_store::{Failure, Log};
use std::collections::BTreeSet;
use std::ops::Bound;

/// How far ahead timers are kept in memory.
const WINDOW: Span = Span(60_000_000);
/// How many are read from the index at a time.
const PAGE: usize = 10_000;

/// The timers that fire within the window.
pub(crate) struct Timers {
    near: BTreeSet<(Timestamp, RunId)>,
    of: RunMap<Timestamp>,
    /// Everything due up to here is in memory.
    horizon: Timestamp,
    /// The window is not moved on before that.
    not_before: Timestamp,
}

impl Timers {
    pub(crate) fn new() -> Timers {
        Timers {
            near: BTreeSet::new(),
            of: RunMap::default(),
            horizon: Timestamp(i64::MIN),
            not_before: Timestamp(i64::MIN),
        }
    }

    /// The run is to be woken then, or not at all. The index knows of it too.
    pub(crate) fn set(&mut self, run: RunId, due: Option<Timestamp>) {
        self.keep(run, due.filter(|due| *due <= self.horizon));
    }

    /// The run is to be woken then, and the index does not know: that the next attempt of a step has begun is no event, so
    /// what is due after it stands in no row.
    pub(crate) fn keep(&mut self, run: RunId, due: Option<Timestamp>) {
        let before = match due {
            Some(due) => self.of.insert(run, due),
            None => self.of.remove(&run),
        };
        if before == due {
            return;
        }
        if let Some(before) = before {
            self.near.remove(&(before, run));
        }
        if let Some(due) = due {
            self.near.insert((due, run));
        }
    }

    /// Takes the run that is due first, if one is due at `now`.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<RunId> {
        let (due, run) = *self.near.first()?;
        if due > now {
            return None;
        }
        self.near.pop_first();
        self.of.remove(&run);
        Some(run)
    }

    /// When the next run is due, or the window must be moved on.
    pub(crate) fn next(&self) -> Timestamp {
        let refill = self.horizon.before(Span(WINDOW.0 / 2)).max(self.not_before);
        self.near.first().map_or(refill, |(due, _)| (*due).min(refill))
    }

    /// The first timer of all, near or far.
    #[cfg(feature = "testkit")]
    pub(crate) fn earliest(&self, log: &dyn Log) -> Option<Timestamp> {
        if let Some((due, _)) = self.near.first() {
            return Some(*due);
        }
        let from = time_key(self.horizon);
        let far = log.scan(tables::DUE, (Bound::Included(&from), Bound::Unbounded), 1).ok()?;
        far.first().and_then(|(key, _)| time_of_key(key))
    }

    /// The index cannot be read: leave it alone for a while.
    pub(crate) fn wait_until(&mut self, time: Timestamp) {
        self.not_before = time;
    }

    /// Moves the window on, when half of it has passed. Everything must be durable.
    pub(crate) fn refill(&mut self, log: &dyn Log, now: Timestamp) -> Result<(), Failure> {
        let horizon = now.after(WINDOW);
        if horizon.since(self.horizon) < Span(WINDOW.0 / 2) || now < self.not_before {
            return Ok(());
        }
        let before = self.horizon;
        let result = self.read(log, before, horizon);
        if result.is_err() {
            self.horizon = before;
        }
        result
    }

    fn read(&mut self, log: &dyn Log, before: Timestamp, horizon: Timestamp) -> Result<(), Failure> {
        let mut from = time_key(before).to_vec();
        let to = time_key(horizon.after(Span(1)));
        self.horizon = horizon;
        loop {
            let range = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
            let found = log.scan(tables::DUE, range, PAGE)?;
            for (key, stream) in &found {
                if let Some(due) = time_of_key(key) {
                    self.set(RunId(stream.0), Some(due));
                }
            }
            match found.last() {
                Some((key, _)) if found.len() == PAGE => from = [&key[..], &[0]].concat(),
                Some(_) | None => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_come_in_order_and_once() {
        let mut timers = Timers { horizon: Timestamp(100), ..Timers::new() };
        let (a, b, c) = (RunId([1; 16]), RunId([2; 16]), RunId([3; 16]));
        timers.set(a, Some(Timestamp(30)));
        timers.set(b, Some(Timestamp(10)));
        timers.set(c, Some(Timestamp(5)));
        timers.set(c, None);
        timers.set(a, Some(Timestamp(20)));
        assert_eq!(timers.take_due(Timestamp(9)), None);
        assert_eq!(timers.take_due(Timestamp(50)), Some(b));
        assert_eq!(timers.take_due(Timestamp(50)), Some(a));
        assert_eq!(timers.take_due(Timestamp(50)), None);
    }

    #[test]
    fn what_lies_beyond_the_horizon_stays_in_the_index() {
        let mut timers = Timers { horizon: Timestamp(100), ..Timers::new() };
        timers.set(RunId([1; 16]), Some(Timestamp(101)));
        assert_eq!(timers.take_due(Timestamp(1000)), None);
    }
}
