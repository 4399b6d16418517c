//! What the runtime needs from the world, so that a simulator can be the world.

use crate::context::Attempt;
use rejoin_machine::Timestamp;
use std::pin::Pin;
use std::time::Duration;

/// A task for a pool.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The time.
pub trait Clock: Send + Sync {
    /// The time now. May jump; the runtime never lets a run's time go back.
    fn now(&self) -> Timestamp;

    /// How long to sleep until this moment, where nothing else happens. One that is put forward says less, to be asked again
    /// soon.
    fn until(&self, due: Timestamp) -> Duration {
        due.since(self.now()).duration()
    }
}

/// Where steps are executed.
pub trait Spawn: Send + Sync {
    /// Executes an attempt of a step, which waits now and then.
    fn spawn(&self, attempt: &Attempt, task: Running);
    /// Executes a task that keeps its thread.
    fn spawn_blocking(&self, task: Box<dyn FnOnce() + Send>);
}

/// Chance: for ids, seeds and jitter.
pub trait Entropy: Send + Sync {
    /// A random number.
    fn next(&self) -> u64;
}

/// Everything that the runtime needs from the world, apart from its log.
#[derive(Clone)]
pub struct Ports {
    /// The time.
    pub clock: std::sync::Arc<dyn Clock>,
    /// Where steps are executed.
    pub spawn: std::sync::Arc<dyn Spawn>,
    /// Chance.
    pub entropy: std::sync::Arc<dyn Entropy>,
}
