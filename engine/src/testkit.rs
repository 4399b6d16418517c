//! The real runtime and the real journal on a simulated world: virtual time, a disk that forgets, one thread.
//!
//! A [`World`] outlives crashes: it has the disk, the time and the chance. A [`Simulation`] is one life of a process in
//! it. Tasks are executed in the order in which they became ready; when nothing is ready, time jumps to the next
//! timer, so that a workflow that sleeps for a month takes a moment.
//!
//! ```
//! use rejoin::testkit::{Simulation, World};
//! use rejoin::{Context, Engine, Failure, Workflow, time::days};
//!
//! const NAP: Workflow<u64, String> = Workflow::named("nap");
//! async fn nap(ctx: Context, length: u64) -> Result<String, Failure> {
//!     ctx.sleep(days(length)).await?;
//!     Ok(format!("slept {length} days"))
//! }
//!
//! let world = World::new(1);
//! let mut simulation = Simulation::start(&world, Engine::open("simulated").workflow(&NAP, nap))?;
//! let engine = simulation.engine();
//! let slept = simulation.block_on(async move { engine.trigger(&NAP, 30).await?.result().await.map_err(rejoin::Error::from) });
//! assert_eq!(slept.expect("it wakes up")?, "slept 30 days");
//! # Ok::<(), rejoin::Error>(())
//! ```
//!
//! Steps of a simulated process may not wait for anything outside it, such as a network or a real timer.

use crate::activation::{ReplayError, Surroundings};
use crate::context::ForeignWake;
use crate::engine::{Builder, Engine, Shared};
use crate::error::StartError;
use crate::history::Entry;
use crate::runtime::{Busy, Clock, Entropy, Inbox, Ports, Shard, Spawn, Task, Watchers};
use rejoin_machine::{Run, RunId, Span, Timestamp};
use rejoin_store::Log;
use rejoin_store::journal::{Journal, Options, Upkeep};
use rejoin_store::simulated::{Outcome, SimDisk};
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Wake, Waker};

/// When simulated time begins: 2026-01-01.
const BEGINNING: i64 = 1_767_225_600_000_000;

/// What lives longer than a process: the disk, the time, the chance.
#[derive(Clone)]
pub struct World {
    disk: SimDisk,
    clock: Arc<VirtualClock>,
    entropy: Arc<SeededEntropy>,
    /// How large segment files are: small ones, so that short tests see several.
    segments: (u64, u64),
}

struct VirtualClock(AtomicI64);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

struct SeededEntropy(AtomicU64);

impl Entropy for SeededEntropy {
    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl World {
    /// A new world; `seed` decides everything that is left to chance.
    pub fn new(seed: u64) -> World {
        World {
            disk: SimDisk::new(),
            clock: Arc::new(VirtualClock(AtomicI64::new(BEGINNING))),
            entropy: Arc::new(SeededEntropy(AtomicU64::new(seed))),
            segments: (8 << 10, 64 << 10),
        }
    }

    /// Its disk: plan faults on it, count its operations, look at its files.
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// The world after a power cut: what was not synced may be gone, as `outcome` says.
    #[must_use]
    pub fn crash(&self, outcome: Outcome, seed: u64) -> World {
        World { disk: self.disk.crash(outcome, seed), ..self.clone() }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the clock on.
    pub fn pass(&self, time: std::time::Duration) {
        let now = self.now().after(Span::from(time));
        self.clock.0.store(now.0, Ordering::SeqCst);
    }

    /// Puts the clock back.
    pub fn turn_back(&self, time: std::time::Duration) {
        let now = self.now().0.saturating_sub_unsigned(Span::from(time).0);
        self.clock.0.store(now, Ordering::SeqCst);
    }
}

/// One life of a process. Dropped without ceremony, it has crashed.
pub struct Simulation {
    world: World,
    shard: Shard,
    inbox: Arc<Inbox>,
    tasks: Arc<Queue>,
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
        let parts = builder.into_parts()?;
        let tasks = Arc::new(Queue::default());
        let ports = Ports {
            clock: world.clock.clone(),
            spawn: Arc::new(QueueSpawn(tasks.clone())),
            entropy: world.entropy.clone(),
        };
        let options = Options {
            first_segment: world.segments.0,
            largest_segment: world.segments.1,
            upkeep: Upkeep::Inline,
            store_id: Some([7; 16]),
            ..parts.journal
        };
        let log: Arc<dyn Log> = Arc::new(Journal::open(world.disk.clone(), options)?);
        let inbox = Inbox::new(parts.settings.waiting_requests);
        let watchers = Arc::new(Watchers::default());
        let registry = Arc::new(parts.registry);
        let around = Surroundings { registry: registry.clone(), foreign: inbox.clone() };
        let waiting = parts.settings.waiting_requests;
        let mut shard = Shard::new(
            log.clone(),
            ports.clone(),
            parts.settings,
            around,
            inbox.clone(),
            watchers.clone(),
            Arc::new(Busy::default()),
        );
        shard.recover()?;
        shard.flush();
        let engine = Engine::new(Shared {
            inbox: inbox.clone(),
            log,
            registry,
            ports,
            watchers,
            project: parts.project,
            waiting_requests: waiting,
            shard: Mutex::new(None),
        });
        Ok(Simulation { world: world.clone(), shard, inbox, tasks, engine })
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

    /// One round: the tasks that are ready, then the shard. Returns whether anything happened.
    fn step(&mut self) -> bool {
        let mut any = false;
        let ready = self.tasks.ready.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect::<Vec<_>>();
        for task in ready {
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
                self.world.clock.0.store(due.max(now).0, Ordering::SeqCst);
                // What was far is near now.
                self.shard.flush();
                true
            }
            Some(_) | None => false,
        }
    }
}

/// Replays a run's history against the handlers of `builder`, without executing anything: each thing that a handler
/// asks for is held against what the history says it asked for. Returns the state at the end.
///
/// # Errors
///
/// Where they part: the position, what the history has, what the handler asked for.
pub fn replay(builder: Builder, run: RunId, history: &[Entry]) -> Result<Run, String> {
    struct Nobody;
    impl ForeignWake for Nobody {
        fn woken(&self, _: RunId) {}
    }
    let registry = builder.into_parts().map_err(|error| error.to_string())?.registry;
    let around = Surroundings { registry: Arc::new(registry), foreign: Arc::new(Nobody) };
    match crate::replay::activate(run, history, &around) {
        Ok(activation) => Ok(activation.run.clone()),
        Err(ReplayError::Illegal(error)) => Err(error.to_string()),
        Err(ReplayError::Diverged(reason)) => Err(reason),
    }
}

#[derive(Default)]
struct Queue {
    ready: Mutex<VecDeque<Arc<Spawned>>>,
}

struct Spawned {
    task: Mutex<Option<Task>>,
    queue: Arc<Queue>,
}

impl Spawned {
    fn run(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut slot = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut task) = slot.take()
            && task.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_pending()
        {
            *slot = Some(task);
        }
    }
}

impl Wake for Spawned {
    fn wake(self: Arc<Self>) {
        let queue = self.queue.clone();
        queue.ready.lock().unwrap_or_else(PoisonError::into_inner).push_back(self);
    }
}

struct QueueSpawn(Arc<Queue>);

impl Spawn for QueueSpawn {
    fn spawn(&self, task: Task) {
        Arc::new(Spawned { task: Mutex::new(Some(task)), queue: self.0.clone() }).wake();
    }
    fn spawn_blocking(&self, task: Box<dyn FnOnce() + Send>) {
        self.spawn(Box::pin(async move { task() }));
    }
}
