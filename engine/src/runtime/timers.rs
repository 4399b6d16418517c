//! When to wake which run: the near future in memory, the rest in the index.

use super::RunMap;
use crate::projection::{tables, time_key, time_of_key};
use rejoin_machine::{RunId, Span, Timestamp};
use rejoin_store::{Failure, Log};
use std::collections::BTreeSet;
use std::ops::Bound;

/// How far ahead timers are kept in memory.
const WINDOW: Span = Span(60_000_000);

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

    /// The run is to be woken then, or not at all. The index knows of it too. If it is due already it stays so: the next attempt
    /// of a step may be what it is due for, and that is no event.
    pub(crate) fn set(&mut self, run: RunId, due: Option<Timestamp>, now: Timestamp) {
        let overdue = self.of.get(&run).copied().filter(|known| *known <= now);
        self.keep(run, overdue.or(due.filter(|due| *due <= self.horizon)));
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

    /// Whether a run is due at `now`.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.near.first().is_some_and(|(due, _)| *due <= now)
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

    /// Moves the window on, when half of it has passed, reading `page` timers at a time. Everything must be durable.
    pub(crate) fn refill(&mut self, log: &dyn Log, now: Timestamp, page: usize) -> Result<(), Failure> {
        let horizon = now.after(WINDOW);
        if horizon.since(self.horizon) < Span(WINDOW.0 / 2) || now < self.not_before {
            return Ok(());
        }
        let before = self.horizon;
        let result = self.read(log, before, horizon, page);
        if result.is_err() {
            self.horizon = before;
        }
        result
    }

    fn read(&mut self, log: &dyn Log, before: Timestamp, horizon: Timestamp, page: usize) -> Result<(), Failure> {
        let mut from = time_key(before).to_vec();
        let to = time_key(horizon.after(Span(1)));
        self.horizon = horizon;
        loop {
            let range = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
            let found = log.scan(tables::DUE, range, page)?;
            for (key, stream) in &found {
                let run = RunId(stream.0);
                // What memory knows of is newer than the index.
                if let Some(due) = time_of_key(key).filter(|_| !self.of.contains_key(&run)) {
                    self.keep(run, Some(due));
                }
            }
            match found.last() {
                Some((key, _)) if found.len() == page => from = [&key[..], &[0]].concat(),
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
        timers.set(a, Some(Timestamp(30)), Timestamp(0));
        timers.set(b, Some(Timestamp(10)), Timestamp(0));
        timers.set(c, Some(Timestamp(5)), Timestamp(0));
        timers.set(c, None, Timestamp(0));
        timers.set(a, Some(Timestamp(20)), Timestamp(0));
        assert_eq!(timers.take_due(Timestamp(9)), None);
        assert_eq!(timers.take_due(Timestamp(50)), Some(b));
        assert_eq!(timers.take_due(Timestamp(50)), Some(a));
        assert_eq!(timers.take_due(Timestamp(50)), None);
    }

    #[test]
    fn inv_e5_what_is_due_already_is_not_forgotten_when_something_else_happens() {
        let mut timers = Timers { horizon: Timestamp(100), ..Timers::new() };
        let run = RunId([1; 16]);
        timers.set(run, Some(Timestamp(30)), Timestamp(0));
        timers.set(run, None, Timestamp(29));
        assert_eq!(timers.take_due(Timestamp(50)), None);
        timers.set(run, Some(Timestamp(30)), Timestamp(0));
        timers.set(run, None, Timestamp(30));
        assert_eq!(timers.take_due(Timestamp(50)), Some(run));
    }

    #[test]
    fn what_lies_beyond_the_horizon_stays_in_the_index() {
        let mut timers = Timers { horizon: Timestamp(100), ..Timers::new() };
        timers.set(RunId([1; 16]), Some(Timestamp(101)), Timestamp(0));
        assert_eq!(timers.take_due(Timestamp(1000)), None);
    }
}
