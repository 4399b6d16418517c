//! Random bits of a store, flipped one at a time: each flip is reported, or does no harm.

mod judge;
mod regions;
mod store;

pub use judge::{Found, Judge};
pub use regions::{Place, Region, Regions};
pub use store::{Original, open};

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Which flips.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What the flips are drawn from.
    pub seed: u64,
    /// The number of the first one.
    pub from: u64,
    /// The number behind the last one.
    pub until: u64,
    /// How long at most.
    pub time: Duration,
}

/// What was found of the flips of one region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Reported, with file and place.
    pub reported: u64,
    /// Everything reads as it was.
    pub harmless: u64,
    /// Neither.
    pub silent: u64,
}

/// What was found of all of them.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// By region.
    pub regions: BTreeMap<Region, Count>,
    /// Where to go on.
    pub next: u64,
    /// How many were judged by opening the store too, and how many by reading all of it byte by byte.
    pub opened: u64,
    /// See above.
    pub inspected: u64,
    /// Flips that nobody reports and that do harm.
    pub silent: Vec<String>,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        for (region, count) in other.regions {
            let sum = self.regions.entry(region).or_default();
            sum.reported += count.reported;
            sum.harmless += count.harmless;
            sum.silent += count.silent;
        }
        self.opened += other.opened;
        self.inspected += other.inspected;
        self.silent.extend(other.silent);
    }
}

/// How many threads flip, each on a disk of its own.
const THREADS: usize = 2;

/// Flips the bits and counts what was found; `progress` is told now and then how many are done.
pub fn run(original: &Original, settings: Settings, progress: impl Fn(u64) + Sync) -> Counts {
    let began = Instant::now();
    let next = AtomicU64::new(settings.from);
    let work = || {
        let (mut judge, mut counts) = (Judge::new(original), Counts::default());
        while began.elapsed() < settings.time {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= settings.until {
                break;
            }
            let place = original.regions.draw(settings.seed, number);
            let count = counts.regions.entry(place.region).or_default();
            match judge.judge(place, number) {
                Found::Reported => count.reported += 1,
                Found::Harmless => count.harmless += 1,
                Found::Silent(what) => {
                    count.silent += 1;
                    let file = original.name(place.file);
                    counts.silent.push(format!(
                        "flip {number}, bit {} of byte {} of {file}: {what}",
                        place.bit % 8,
                        place.bit / 8
                    ));
                }
            }
            if number % 500 == 499 {
                progress(number + 1);
            }
        }
        (counts.opened, counts.inspected) = (judge.opened, judge.inspected);
        counts
    };
    let mut counts = Counts::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().for_each(|worker| counts.add(worker.join().expect("no reader panics")));
    });
    counts.next = next.into_inner().min(settings.until);
    counts
}
