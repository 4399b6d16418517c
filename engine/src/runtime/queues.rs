//! Queues: runs that wait for a worker or for their turn, first in, first out.
//!
//! A queue stands in the index, in the order of the log; memory has a window of its front. A run leaves it when it is
//! started, so however long a queue is, it costs what is under way.

use super::shard::{Refusal, Shard, Work};
use crate::listing;
use crate::projection::{RunRow, RunStatus, queue_key, tables};
use rejoin_machine::{Command, Event, RunId};
use rejoin_store::index::prefix;
use rejoin_store::{Failure, StreamId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

/// A queue's project and name.
pub(super) type QueueName = (String, String);

/// All queues that runs of this shard stand in, or have left and not ended.
#[derive(Default)]
pub(super) struct Queues {
    queues: BTreeMap<QueueName, Queue>,
    /// What is about to begin.
    starting: VecDeque<RunId>,
    /// The disk is full: nothing begins for a moment.
    rests: bool,
}

#[derive(Default)]
struct Queue {
    /// Those of its runs that have begun and not ended.
    under_way: BTreeSet<RunId>,
    /// Its front, as the index has it.
    window: VecDeque<RunId>,
    /// The index may have more than the window.
    more: bool,
}

impl Queues {
    /// A transition of a run that begins in a queue.
    pub(super) fn note(&mut self, name: QueueName, run: RunId, events: &[Event]) {
        let queue = self.queues.entry(name).or_default();
        for event in events {
            match event {
                Event::Started => drop(queue.under_way.insert(run)),
                Event::Briefed(_) | Event::Admitted { .. } => queue.more = true,
                // It stands where it stood before: perhaps in front of those that memory knows.
                Event::Unwedged | Event::Unpaused { .. } => (queue.window, queue.more) = (VecDeque::new(), true),
                event if event.is_terminal() && !queue.under_way.remove(&run) => {
                    // It never began. Another life of it, under the same id, comes behind those that wait now.
                    queue.window.retain(|waiting| *waiting != run);
                }
                _ => {}
            }
        }
    }

    pub(super) fn has_starting(&self) -> bool {
        !self.starting.is_empty()
    }

    /// The disk may have room again.
    pub(super) fn go_on(&mut self) {
        self.rests = false;
    }

    /// The disk is full. What was about to begin stands in the index still, and is read again in its order.
    fn rest(&mut self) {
        self.rests = true;
        self.starting.clear();
        self.queues.values_mut().for_each(|queue| (queue.window, queue.more) = (VecDeque::new(), true));
    }

    /// The runs of a queue may stand anywhere: it is read again.
    fn begin(&mut self, name: QueueName, under_way: BTreeSet<RunId>) {
        self.queues.insert(name, Queue { under_way, window: VecDeque::new(), more: true });
    }
}

impl Shard {
    /// Looks through the log for queues, and for how many of their runs have begun.
    pub(super) fn recover_queues(&mut self) -> Result<(), Failure> {
        let log = self.log.clone();
        for group in listing::groups(&*log, &[])? {
            let Some((project, name)) = listing::group_names(&group) else { continue };
            // An agent may have lost its limit, and its jobs wait in the queue all the same.
            let (mut end, head) = (Vec::new(), queue_key(&project, &name));
            let waits = !log.scan(tables::QUEUE, prefix(&head, &mut end), 1)?.is_empty();
            let keeps = self.around.registry.agent(&name).is_some_and(|agent| agent.queue().is_some());
            if !waits && !keeps {
                continue;
            }
            let begun = RunStatus::ALL.into_iter().filter(|status| !status.is_closed() && *status != RunStatus::Queued);
            let mut under_way = BTreeSet::new();
            for status in begun {
                let mut end = Vec::new();
                let head = listing::with_status(&group, status);
                for (_, stream) in log.scan(tables::LIST, prefix(&head, &mut end), usize::MAX)? {
                    let row = log.row(stream)?.and_then(|row| RunRow::decode(&row));
                    if row.is_some_and(|row| row.has_begun()) {
                        under_way.insert(RunId(stream.0));
                    }
                }
            }
            self.queues.begin((project, name), under_way);
        }
        Ok(())
    }

    /// Starts what stands at the front of queues, as far as there are hands for it. Everything must be durable.
    pub(super) fn pump(&mut self) -> Result<(), Failure> {
        if self.queues.rests {
            return Ok(());
        }
        let mut queues = std::mem::take(&mut self.queues.queues);
        let pumped = queues.iter_mut().try_for_each(|(name, queue)| self.pump_one(name, queue));
        // Nothing has come to others meanwhile: starts wait for the next round.
        self.queues.queues = queues;
        pumped
    }

    fn pump_one(&mut self, name: &QueueName, queue: &mut Queue) -> Result<(), Failure> {
        let under_way = u32::try_from(queue.under_way.len()).unwrap_or(u32::MAX);
        let mut hands = self.hands_for(name).saturating_sub(under_way);
        hands = hands.min(self.workers_for(name));
        if hands > 0 && queue.window.is_empty() && queue.more {
            self.read_front(name, queue)?;
        }
        // What stands behind the window is read when these have left the queue, durably.
        while hands > 0 {
            let Some(run) = queue.window.pop_front() else { break };
            self.queues.starting.push_back(run);
            hands -= 1;
        }
        Ok(())
    }

    /// Begins what is about to.
    pub(super) fn begin_queued(&mut self) {
        while self.failed.is_none()
            && let Some(run) = self.queues.starting.pop_front()
        {
            match self.transact(Work::Command(run, Command::Start)) {
                // One that has ended meanwhile, or begun, is nobody's to begin.
                Ok(()) | Err(Refusal::Rejected(_) | Refusal::NotFound(_)) => {}
                Err(Refusal::Store(failure)) if failure.is_disk_full() => {
                    self.queues.rest();
                    self.wait_for_room(&failure);
                }
                Err(refusal) => self.give_up(run, &refusal),
            }
        }
    }

    /// How many runs of the queue may be under way at the same time.
    fn hands_for(&self, (_, name): &QueueName) -> u32 {
        self.around.registry.agent(name).and_then(|agent| agent.limit).unwrap_or(u32::MAX)
    }

    fn read_front(&self, (project, name): &QueueName, queue: &mut Queue) -> Result<(), Failure> {
        let mut end = Vec::new();
        let head = queue_key(project, name);
        let (from, to): (Bound<&[u8]>, Bound<&[u8]>) = prefix(&head, &mut end);
        let found = self.log.scan(tables::QUEUE, (from, to), self.sizes.queued)?;
        queue.more = found.len() == self.sizes.queued;
        queue.window.extend(found.into_iter().map(|(_, StreamId(id))| RunId(id)));
        Ok(())
    }
}
