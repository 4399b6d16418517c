//! One life of a process: the real runtime and the real journal, driven by hand.

use super::tap::{Moment, Tap};
use super::tasks::{Queue, QueueSpawn};
use super::trace::{Seen, Written};
use super::world::World;
use crate::activation::Surroundings;
use crate::engine::{Builder, Engine, Shared};
use crate::error::StartError;
use crate::runtime::{Busy, Entropy, Inbox, Ports, Shard, Watchers};
use rejoin_machine::Span;
use rejoin_store::journal::{Journal, Options, Upkeep};
use rejoin_store::{Log, Lsn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

/// One life of a process. Dropped without ceremony, it has crashed.
///
/// Tasks are executed in the order in which they became ready; when nothing is ready, time jumps to the next timer.
pub struct Simulation {
    pub(super) world: World,
    pub(super) shard: Shard,
    pub(super) inbox: Arc<Inbox>,
    pub(super) tasks: Arc<Queue>,
    pub(super) tap: Arc<Tap>,
    engine: Engine,
}

/// Why a simulation stands still: nothing is ready, and no timer is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck;

impl Simulation {
    /// Starts a process: its handlers come from `builder`, everything else from the world.
    ///
    /// # Errors
    ///
    /// As [`Builder::start`].
    pub fn start(world: &World, builder: Builder) -> Result<Simulation, StartError> {
        Simulation::start_until(world, builder, None)
    }

    /// As [`Simulation::start`]; the process ends at that moment, if there is one.
    pub(super) fn start_until(world: &World, builder: Builder, end: Option<Moment>) -> Result<Simulation, StartError> {
        Simulation::start_with(world, builder, end, world.entropy.clone())
    }

    /// As [`Simulation::start_until`], with another chance than the world's.
    pub(super) fn start_with(
        world: &World,
        builder: Builder,
        end: Option<Moment>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Simulation, StartError> {
        let mut parts = builder.into_parts()?;
        if let Some(tuning) = world.tuning {
            (parts.settings.parked, parts.settings.concurrent_steps) = (tuning.parked, tuning.concurrent_steps);
            parts.settings.limits.buffered_signals = tuning.buffered_signals;
        }
        let tasks = Arc::new(Queue::default());
        let spawn = QueueSpawn { queue: tasks.clone(), trace: world.trace.clone(), clock: world.clock.clone() };
        let ports = Ports { clock: world.clock.clone(), spawn: Arc::new(spawn), entropy };
        let options = Options {
            first_segment: world.segments.0,
            largest_segment: world.segments.1,
            upkeep: Upkeep::Inline,
            store_id: Some([7; 16]),
            ..parts.journal
        };
        let journal = Arc::new(Journal::open(world.disk.clone(), options)?);
        let found = contents(&*journal)?;
        world.clock.restart();
        let concurrent_steps = parts.settings.concurrent_steps;
        let limits = parts.registry.limits();
        world.trace.see(Seen::Began { found, at: world.now(), concurrent_steps, limits });
        let tap = Arc::new(Tap::new(journal, world.trace.clone()));
        if let Some(moment) = end {
            tap.end_at(moment);
        }
        let log: Arc<dyn Log> = tap.clone();
        let inbox = Inbox::new(parts.settings.waiting_requests);
        let watchers = Arc::new(Watchers::default());
        let registry = Arc::new(parts.registry);
        let around = Surroundings { registry: registry.clone(), foreign: inbox.clone(), log: None };
        let settings = parts.settings.clone();
        let busy = Arc::new(Busy::default());
        let mut shard =
            Shard::new(log.clone(), ports.clone(), parts.settings, around, inbox.clone(), watchers.clone(), busy);
        if let Some(tuning) = world.tuning {
            shard.sizes = tuning.sizes;
        }
        shard.recover()?;
        shard.flush();
        let engine = Engine::new(Shared {
            inbox: inbox.clone(),
            log,
            registry,
            ports,
            watchers,
            project: parts.project,
            settings,
            secret: [7; 32],
            sizes: shard.sizes,
            shard: Mutex::new(None),
        });
        Ok(Simulation { world: world.clone(), shard, inbox, tasks, tap, engine })
    }

    /// The world that it happens in.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The engine, to trigger and to ask. Its futures go on while [`Simulation::block_on`] is called.
    pub fn engine(&self) -> Engine {
        self.engine.clone()
    }

    /// Executes a future together with everything else, until it has ended.
    ///
    /// # Errors
    ///
    /// [`Stuck`] if it can never end.
    pub fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output, Stuck> {
        let mut future = pin!(future);
        let mut task = TaskContext::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut task) {
                return Ok(output);
            }
            if !self.step() && !self.jump() {
                // A last answer may have come with the step that found nothing more to do.
                return match future.as_mut().poll(&mut task) {
                    Poll::Ready(output) => Ok(output),
                    Poll::Pending => Err(Stuck),
                };
            }
        }
    }

    /// Does everything that can be done at the present time.
    pub fn settle(&mut self) {
        while self.step() {}
    }

    /// Does everything, letting time pass, until nothing is left to be done.
    pub fn finish(&mut self) {
        while self.step() || self.jump() {}
    }

    /// One round, or the time to the next timer; `false` if nothing is left to be done, or the process has ended.
    pub(super) fn advance(&mut self) -> bool {
        !self.is_dead() && (self.step() || (!self.is_dead() && self.jump()))
    }

    /// Whether the process has ended at the moment that was chosen for it.
    pub(super) fn is_dead(&self) -> bool {
        self.tap.is_dead()
    }

    /// How many commits it has made.
    pub(super) fn commits(&self) -> u64 {
        self.tap.commits()
    }

    /// One round: the tasks that are ready, then the shard. Returns whether anything happened.
    fn step(&mut self) -> bool {
        let mut any = false;
        for task in self.tasks.take() {
            task.run();
            any = true;
        }
        let inputs = self.inbox.take();
        any |= !inputs.is_empty();
        self.shard.accept(inputs);
        self.shard.fire();
        any |= self.shard.flush();
        any | self.shard.has_work()
    }

    /// Lets time pass until the next timer; `false` if there is none within a century.
    fn jump(&mut self) -> bool {
        const CENTURY: Span = Span(100 * 365 * 86_400 * 1_000_000);
        let now = self.world.now();
        match self.shard.earliest_timer() {
            Some(due) if due.since(now) <= CENTURY => {
                self.world.clock.set(due.max(now));
                // What was far is near now.
                self.shard.flush();
                true
            }
            Some(_) | None => false,
        }
    }
}

/// All records of a log.
fn contents(log: &dyn Log) -> Result<Vec<Written>, StartError> {
    const PAGE: usize = 1024;
    let mut found = Vec::new();
    for shard in 0..log.shards() {
        let mut after = Lsn::default();
        loop {
            let feed = log.follow(rejoin_store::Shard(shard), after, PAGE)?;
            found.extend(feed.records.iter().map(Written::found));
            if feed.cursor == after {
                break;
            }
            after = feed.cursor;
        }
    }
    Ok(found)
}
