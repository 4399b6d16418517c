//! What lives longer than a process: the disk, the time, the chance, and what was seen.

use super::trace::Trace;
use crate::runtime::{Clock, Entropy, Sizes};
use rejoin_machine::{Span, Timestamp};
use rejoin_store::simulated::{Outcome, SimDisk};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// When simulated time begins: 2026-01-01.
const BEGINNING: i64 = 1_767_225_600_000_000;

/// What lives longer than a process: the disk, the time, the chance, and what was seen.
#[derive(Clone)]
pub struct World {
    pub(super) disk: SimDisk,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) entropy: Arc<SeededEntropy>,
    pub(super) trace: Arc<Trace>,
    /// How large segment files are: small ones, so that short tests see several.
    pub(super) segments: (u64, u64),
    /// Settings that chance has drawn.
    pub(super) tuning: Option<Tuning>,
}

/// How much an engine keeps in memory and does at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuning {
    pub(super) parked: usize,
    pub(super) concurrent_steps: usize,
    pub(super) buffered_signals: usize,
    pub(super) sizes: Sizes,
}

pub(super) struct VirtualClock {
    time: AtomicI64,
    /// The latest time that the present process has been shown.
    latest: AtomicI64,
}

impl VirtualClock {
    pub(super) fn set(&self, time: Timestamp) {
        self.time.store(time.0, Ordering::SeqCst);
        self.latest.fetch_max(time.0, Ordering::SeqCst);
    }

    /// A process starts: it knows nothing of the time before.
    pub(super) fn restart(&self) {
        self.latest.store(self.time.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// The latest time that this process can have seen, also if the clock was put back since.
    pub(super) fn latest(&self) -> Timestamp {
        Timestamp(self.latest.load(Ordering::SeqCst))
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.time.load(Ordering::SeqCst))
    }
}

pub(super) struct SeededEntropy(AtomicU64);

impl Entropy for SeededEntropy {
    fn next(&self) -> u64 {
        mix(self.0.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP))
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finalizer: neighbours become strangers.
pub(super) fn mix(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// Random numbers from a seed, the same on every machine (SplitMix64).
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The numbers that this seed gives.
    pub fn new(seed: u64) -> Chance {
        Chance(mix(seed ^ STEP))
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw().checked_rem(bound).unwrap_or(0)
    }

    /// `true` so many times in a thousand.
    pub fn often(&mut self, in_a_thousand: u64) -> bool {
        self.below(1000) < in_a_thousand
    }

    /// One of these.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

impl World {
    /// A new world; `seed` decides everything that is left to chance.
    pub fn new(seed: u64) -> World {
        World {
            disk: SimDisk::new(),
            clock: Arc::new(VirtualClock { time: AtomicI64::new(BEGINNING), latest: AtomicI64::new(BEGINNING) }),
            entropy: Arc::new(SeededEntropy(AtomicU64::new(seed))),
            trace: Arc::new(Trace::default()),
            segments: (8 << 10, 64 << 10),
            tuning: None,
        }
    }

    /// Its disk: plan faults on it, count its operations, look at its files.
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// What was seen in it.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The world after a power cut: what was not synced may be gone, as `outcome` says.
    #[must_use]
    pub fn crash(&self, outcome: Outcome, seed: u64) -> World {
        World { disk: self.disk.crash(outcome, seed), ..self.clone() }
    }

    /// The world after the process was killed: what was not synced can still be read, and is still not durable.
    #[must_use]
    pub fn kill(&self) -> World {
        World { disk: self.disk.kill(), ..self.clone() }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the clock on.
    pub fn pass(&self, time: Duration) {
        self.clock.set(self.now().after(Span::from(time)));
    }

    /// Puts the clock back.
    pub fn turn_back(&self, time: Duration) {
        self.clock.set(self.now().before(Span::from(time)));
    }
}
