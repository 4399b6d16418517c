//! The driver for production: the shard on a thread of its own, steps on tokio. The only file that knows tokio.

#![expect(clippy::disallowed_methods, reason = "this is where the world's time and chance come in")]

use super::inbox::Inbox;
use super::ports::{Clock, Entropy, Running, Spawn};
use super::shard::Shard;
use super::watch::Busy;
use crate::context::Attempt;
use rejoin_machine::Timestamp;
use rejoin_store::Failure;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
            Err(before) => Timestamp(-i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX)),
        }
    }
}

/// The operating system's chance, stretched: ids and jitter need many numbers and no secrecy.
pub(crate) struct SystemEntropy {
    state: Mutex<u64>,
    keys: RandomState,
}

impl SystemEntropy {
    pub(crate) fn new() -> SystemEntropy {
        let mut seed = [0; 8];
        let state = match getrandom::fill(&mut seed) {
            Ok(()) => u64::from_ne_bytes(seed),
            // The keys below are drawn from the operating system too, by the standard library.
            Err(_) => 0,
        };
        SystemEntropy { state: Mutex::new(state), keys: RandomState::new() }
    }
}

/// Bytes that nobody can guess.
pub(crate) fn fresh_secret() -> std::io::Result<[u8; 32]> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(std::io::Error::other)?;
    Ok(secret)
}

impl Entropy for SystemEntropy {
    fn next(&self) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(1);
        let mut hasher = self.keys.build_hasher();
        hasher.write_u64(*state);
        hasher.finish()
    }
}

/// Steps on a tokio runtime.
pub(crate) struct TokioSpawn(pub(crate) ::tokio::runtime::Handle);

impl TokioSpawn {
    /// The runtime that the caller is in.
    pub(crate) fn current() -> Option<TokioSpawn> {
        ::tokio::runtime::Handle::try_current().ok().map(TokioSpawn)
    }
}

impl Spawn for TokioSpawn {
    fn spawn(&self, _: &Attempt, task: Running) {
        drop(self.0.spawn(task));
    }
    fn spawn_blocking(&self, task: Box<dyn FnOnce() + Send>) {
        drop(self.0.spawn_blocking(task));
    }
}

/// How long a handler's commit may be put off for results that are about to come: half of what a sync takes.
struct Gather {
    mean_sync: Duration,
}

impl Gather {
    fn limit(&self) -> Duration {
        (self.mean_sync / 2).min(Duration::from_millis(20))
    }

    fn measured(&mut self, sync: Duration) {
        self.mean_sync = (self.mean_sync * 7 + sync) / 8;
    }
}

/// How long the watchdog sleeps.
const WATCH: Duration = Duration::from_millis(500);

/// Starts the shard's thread. `make` runs on it, since handlers never leave their thread; it says when the shard is ready.
pub(crate) fn start<R: Send + 'static, E: Send + 'static>(
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    seal_after: Duration,
    make: impl FnOnce() -> Result<(Shard, R), E> + Send + 'static,
    ready: futures_channel::oneshot::Sender<Result<R, E>>,
) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name("rejoin-shard".to_owned()).spawn(move || {
        let (mut shard, result) = match make() {
            Ok(made) => made,
            Err(error) => {
                // Whoever started it may be gone.
                let _ = ready.send(Err(error));
                return;
            }
        };
        shard.flush();
        // Nobody owns an engine whose start was given up.
        if ready.send(Ok(result)).is_ok() {
            let _guard = CloseOnPanic(&inbox);
            drive(&mut shard, &inbox, &*clock, seal_after);
        }
        inbox.close(shard.failure());
        shard.close();
    })
}

/// Whoever waits for a shard whose thread has panicked is told so.
struct CloseOnPanic<'a>(&'a Inbox);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.close(Some(Failure::Poisoned { cause: "the engine's thread panicked".to_owned() }));
        }
    }
}

/// Goes round until the shard is asked to stop and its steps have returned, or patience has ended.
fn drive(shard: &mut Shard, inbox: &Inbox, clock: &dyn Clock, seal_after: Duration) {
    let mut gather = Gather { mean_sync: Duration::from_micros(100) };
    let mut stopping: Option<Instant> = None;
    let mut rests_since: Option<Instant> = Some(Instant::now());
    loop {
        shard.accept(inbox.take());
        shard.fire();
        if shard.gathers() {
            collect(shard, inbox, gather.limit());
        }
        let before = Instant::now();
        if shard.flush() {
            gather.measured(before.elapsed());
            rests_since = Some(Instant::now());
        }
        if shard.is_stopping() {
            let since = *stopping.get_or_insert_with(Instant::now);
            let left = shard.patience().saturating_sub(since.elapsed());
            if shard.executing() == 0 || left.is_zero() {
                return;
            }
            inbox.wait(Some(left));
            continue;
        }
        if shard.has_work() {
            continue;
        }
        let until_due = clock.until(shard.next_due());
        let until_seal = rests_since.map(|since| seal_after.saturating_sub(since.elapsed()));
        let nap = until_seal.map_or(until_due, |seal| seal.min(until_due));
        if !inbox.wait(Some(nap)) && until_seal.is_some_and(|left| left <= until_due) {
            shard.seal();
            rests_since = None;
        }
    }
}

/// Takes in results for a moment, so that those of one commit go into the next one together.
fn collect(shard: &mut Shard, inbox: &Inbox, limit: Duration) {
    let began = Instant::now();
    while shard.gathers() {
        let left = limit.saturating_sub(began.elapsed());
        if left.is_zero() || !inbox.wait(Some(left)) {
            return;
        }
        shard.accept(inbox.take());
    }
}

/// Names a handler that holds the shard's thread for too long: it holds up every other run of the shard.
pub(crate) fn watch(busy: &Arc<Busy>, clock: Arc<dyn Clock>, limit: Duration) -> std::io::Result<()> {
    let busy = Arc::downgrade(busy);
    thread::Builder::new()
        .name("rejoin-watchdog".to_owned())
        .spawn(move || {
            let mut named = None;
            loop {
                thread::sleep(WATCH);
                // The engine is gone, and with it its runs.
                let Some(busy) = busy.upgrade() else { return };
                let Some(holder) = busy.get() else { continue };
                let held = clock.now().since(holder.since).duration();
                if held >= limit && named != Some(holder.since) {
                    named = Some(holder.since);
                    tracing::warn!(
                        run = %holder.run,
                        workflow = %holder.workflow,
                        seconds = held.as_secs(),
                        "the handler holds its thread and holds up all other runs; move long work into a step"
                    );
                }
            }
        })
        .map(drop)
}
