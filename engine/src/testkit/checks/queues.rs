//! E5, E12: queues: first in, first out, and no more under way than an agent does at a time.

use super::Report;
use crate::codec;
use crate::testkit::trace::{Seen, Written};
use rejoin_machine::{Event, RunId, Transition};
use rejoin_store::TOMBSTONE;
use std::collections::{BTreeMap, BTreeSet};

/// The queues of the log, with what is not durable yet.
#[derive(Default)]
pub(super) struct Queues {
    /// How many may be under way, of each queue that has a limit.
    limits: BTreeMap<String, u32>,
    queues: BTreeMap<String, Queue>,
    of: BTreeMap<RunId, (String, u64)>,
    /// Turns that come to a queue when they are admitted.
    turns: BTreeMap<RunId, String>,
    /// Runs that were wedged: when they come back they may have lost their place.
    odd: BTreeSet<RunId>,
}

#[derive(Default)]
struct Queue {
    /// By the place of their triggers in the log.
    waiting: BTreeMap<u64, RunId>,
    under_way: BTreeSet<RunId>,
}

impl Queues {
    pub(super) fn take(&mut self, seen: &Seen, report: &mut Report<'_>) {
        match seen {
            Seen::Began { found, limits, .. } => {
                // What was not durable has never happened.
                *self = Queues { limits: limits.clone(), ..Queues::default() };
                found.iter().for_each(|record| self.record(record, None));
            }
            Seen::Appended(batch) => batch.iter().for_each(|record| self.record(record, Some(&mut *report))),
            Seen::Rested { .. } => self.rest(report),
            _ => {}
        }
    }

    fn record(&mut self, record: &Written, mut report: Option<&mut Report<'_>>) {
        if record.format == TOMBSTONE {
            self.forget(record.run);
            return;
        }
        let transition = codec::decode(record.format, &record.payload).unwrap_or_else(|_| Transition::default());
        for event in &transition.events {
            self.event(record, event, report.as_deref_mut());
        }
    }

    fn event(&mut self, record: &Written, event: &Event, report: Option<&mut Report<'_>>) {
        let run = record.run;
        match event {
            Event::Briefed(brief) => {
                let is_turn = brief.thread.as_ref().is_some_and(|thread| thread.role.is_turn());
                let queue = brief.queue.clone().filter(|_| !self.of.contains_key(&run));
                match queue {
                    Some(name) if is_turn => drop(self.turns.insert(run, name)),
                    Some(name) => self.comes(run, name, record.lsn),
                    None => {}
                }
            }
            Event::Admitted { .. } => {
                if let Some(name) = self.turns.remove(&run) {
                    self.comes(run, name, record.lsn);
                }
            }
            Event::Started => self.started(run, report),
            Event::Wedged { .. } | Event::Paused { .. } => drop(self.odd.insert(run)),
            event if event.is_terminal() => self.forget(run),
            _ => {}
        }
    }

    fn comes(&mut self, run: RunId, name: String, place: u64) {
        self.queues.entry(name.clone()).or_default().waiting.insert(place, run);
        self.of.insert(run, (name, place));
    }

    fn started(&mut self, run: RunId, report: Option<&mut Report<'_>>) {
        let Some((name, place)) = self.of.get(&run).cloned() else { return };
        let queue = self.queues.entry(name.clone()).or_default();
        queue.waiting.remove(&place);
        queue.under_way.insert(run);
        let Some(report) = report else { return };
        let earlier = queue.waiting.range(..place).map(|(_, run)| *run).find(|run| !self.odd.contains(run));
        if let Some(earlier) = earlier.filter(|_| !self.odd.contains(&run)) {
            report
                .say("E12", format_args!("run {run} begins before {earlier}, which came to the queue {name:?} first"));
        }
        if let Some(limit) = self.limits.get(&name).filter(|limit| queue.under_way.len() > **limit as usize) {
            let count = queue.under_way.len();
            report.say("E12", format_args!("{count} runs of {name:?} are under way, and the limit is {limit}"));
        }
    }

    fn forget(&mut self, run: RunId) {
        let Some((name, place)) = self.of.remove(&run) else { return };
        let queue = self.queues.entry(name).or_default();
        queue.waiting.remove(&place);
        queue.under_way.remove(&run);
    }

    /// Nobody waits for a turn that is there.
    fn rest(&self, report: &mut Report<'_>) {
        for (name, queue) in &self.queues {
            let limit = self.limits.get(name).map_or(usize::MAX, |limit| *limit as usize);
            let waiting = queue.waiting.values().find(|run| !self.odd.contains(run));
            if let Some(run) = waiting.filter(|_| queue.under_way.len() < limit) {
                report.say("E5", format_args!("run {run} waits in the queue {name:?}, and there are hands"));
            }
        }
    }
}
