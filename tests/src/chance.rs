//! Random numbers from a seed, and settings from the environment.

use std::env;
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// Random numbers (splitmix64).
pub struct Random {
    /// What they began with: the same ones come of it again.
    pub seed: u64,
    state: u64,
}

impl Random {
    /// From the seed in `REJOIN_SEED`, or from the clock; it is printed.
    pub fn new() -> Random {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seed = setting("REJOIN_SEED").unwrap_or(now.as_micros() as u64);
        println!("seed {seed}");
        Random { seed, state: seed }
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// A time of so many milliseconds.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.below(range.end - range.start))
    }
}

impl Default for Random {
    fn default() -> Random {
        Random::new()
    }
}

/// A number from the environment.
///
/// # Panics
///
/// If it is none.
pub fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} takes a number, not {value:?}")))
}
