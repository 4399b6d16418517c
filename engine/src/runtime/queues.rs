//! Queues: runs that wait for a worker or for their turn, first in, first out.
//!
//! A queue stands in the index, in the order of the log; memory has a window of its front. A run leaves it when it is
//! started, so however long a queue is, it costs what is under way.

use super::shard::{Shard, Work};
use crate::listing;
use crate::projection::{RunRow, RunStatus, queue_key, tables};
use rejoin_machine::{Command, Event, RunId};
use rejoin_store::index::prefix;
use rejoin_store::{Failure, StreamId};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

/// A queue's project and name.
pub(super) type QueueName = (String, String);

/// All queues that runs of this shard stand in, or have left and not ended.
#[derive(Default)]
pub(super) struct Queues {
    queues: BTreeMap<QueueName, Queue>,
}

#[derive(Default)]
struct Queue {
    /// How many of its runs have begun and not ended.
    running: u32,
    /// Its front, as the index has it.
    window: VecDeque<RunId>,
    /// The index may have more than the window.
    more: bool,
}

impl Queues {
    /// A transition of a run that begins in a queue.
    pub(super) fn note(&mut self, name: QueueName, was_begun: bool, events: &[Event]) {
        let queue = self.queues.entry(name).or_default();
        for event in events {
            match event {
                Event::Started if !was_begun => queue.running += 1,
                Event::Briefed(_) | Event::Unwedged => queue.more = true,
                event if event.is_terminal() => {
                    let begun = was_begun || events.contains(&Event::Started);
                    queue.running = queue.running.saturating_sub(u32::from(begun));
                }
                _ => {}
            }
        }
    }

    /// The runs of a queue may stand anywhere: it is read again.
    fn begin(&mut self, name: QueueName, running: u32) {
        self.queues.insert(name, Queue { running, window: VecDeque::new(), more: true });
    }
}

impl Shard {
    /// Looks through the log for queues, and for how many of their runs have begun.
    pub(super) fn recover_queues(&mut self) -> Result<(), Failure> {
        let log = self.log.clone();
        for group in listing::groups(&*log, &[])? {
            let Some((project, name)) = listing::group_names(&group) else { continue };
            if self.around.registry.agent(&name).is_none_or(|agent| agent.queue().is_none()) {
                continue;
            }
            let begun = [RunStatus::Running, RunStatus::Suspended, RunStatus::Cancelling, RunStatus::Wedged];
            let mut running = 0;
            for status in begun {
                let mut end = Vec::new();
                let head = listing::with_status(&group, status);
                for (_, stream) in log.scan(tables::LIST, prefix(&head, &mut end), usize::MAX)? {
                    let row = log.row(stream)?.and_then(|row| RunRow::decode(&row));
                    running += u32::from(row.is_some_and(|row| row.has_begun()));
                }
            }
            self.queues.begin((project, name), running);
        }
        Ok(())
    }

    /// Starts what stands at the front of queues, as far as there are hands for it. Everything must be durable.
    pub(super) fn pump(&mut self) -> Result<(), Failure> {
        // What waits for room on the disk may be a start that is counted nowhere yet.
        if self.is_stalled() {
            return Ok(());
        }
        let mut queues = std::mem::take(&mut self.queues.queues);
        let pumped = queues.iter_mut().try_for_each(|(name, queue)| self.pump_one(name, queue));
        // Nothing has come to others meanwhile: starts wait for the next round.
        self.queues.queues = queues;
        pumped
    }

    fn pump_one(&mut self, name: &QueueName, queue: &mut Queue) -> Result<(), Failure> {
        let mut hands = self.hands_for(name).saturating_sub(queue.running);
        hands = hands.min(self.workers_for(name));
        while hands > 0 {
            if queue.window.is_empty() && queue.more {
                self.read_front(name, queue)?;
            }
            let Some(run) = queue.window.pop_front() else { break };
            self.later.push_back(Work::Command(run, Command::Start));
            hands -= 1;
        }
        Ok(())
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
