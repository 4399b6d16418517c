//! The runtime: it goes round. Decide, sequence, apply, commit, perform.
//!
//! A [`Shard`] owns its runs and is driven by calls: it takes inputs, fires timers and flushes. Who calls, in which thread
//! and by which clock, is the driver's affair: `tokio` in this folder is the one for production.

mod batch;
mod inbox;
mod load;
mod ports;
mod progress;
mod queues;
mod recent;
mod retention;
mod shard;
mod sizes;
mod steps;
mod timers;
pub(crate) mod tokio;
mod turns;
mod watch;
mod workers;

#[cfg(feature = "testkit")]
pub(crate) use inbox::StepDone;
pub(crate) use inbox::{Closed, Inbox, Input, Refused};
pub use ports::{Clock, Entropy, Ports, Running, Spawn};
pub(crate) use progress::LARGEST as LARGEST_PROGRESS;
pub use progress::Update;
pub(crate) use shard::Shard;
pub(crate) use sizes::Sizes;
pub use tokio::SystemClock;
pub(crate) use watch::{Busy, Watchers};
pub use workers::Presence;
pub(crate) use workers::{Assignment, FromWorker, Held, Member};

use rejoin_machine::{Limits, RunId};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// A map by run.
type RunMap<V> = HashMap<RunId, V, foldhash::fast::RandomState>;

/// Which library keeps the index, in the folder `index` of the data folder. What it holds can be made again from the log, so a
/// folder may be opened with another one than before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndexKind {
    /// [sled](https://docs.rs/sled/0.34.7).
    #[default]
    Sled,
    /// [fjall](https://docs.rs/fjall/3): less CPU and less disk, for the highest rates.
    Fjall,
    /// None: the index is made again in memory at every start.
    Memory,
}

/// Settings of an engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which library keeps the index.
    pub index: IndexKind,
    /// How large things may become.
    pub limits: Limits,
    /// How many resting handlers are kept in memory; the others are read again from their histories when they are woken.
    pub parked: usize,
    /// How long trees that have ended are kept, by project; those of other projects are kept for ever.
    pub retention: BTreeMap<String, Duration>,
    /// How many steps are executed at the same time.
    pub concurrent_steps: usize,
    /// How many requests may wait before more are refused.
    pub waiting_requests: usize,
    /// How long a handler may hold its thread before it is named in a warning.
    pub watchdog: Duration,
    /// How long the log must rest before it is sealed.
    pub seal_after: Duration,
    /// How long a shutdown waits for steps that are being executed.
    pub shutdown_patience: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            index: IndexKind::default(),
            limits: Limits::default(),
            parked: 10_000,
            retention: BTreeMap::new(),
            concurrent_steps: 1024,
            waiting_requests: 65_536,
            watchdog: Duration::from_secs(5),
            seal_after: Duration::from_millis(200),
            shutdown_patience: Duration::from_secs(10),
        }
    }
}
