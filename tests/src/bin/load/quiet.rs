//! Whether the machine was quiet: where others use it, nobody can say whose the figures are.

use crate::bare;
use crate::error::{Error, Result};
use crate::figures::millis;
use crate::meter::cpu;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How quiet it was around a measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Quiet {
    /// One synced write of 4 KiB just before, as slow as the engine's syncs were made.
    pub sync_before_ms: f64,
    /// The same, just after.
    pub sync_after_ms: f64,
    /// How many cores other processes used meanwhile.
    pub others_cores: f64,
}

impl Quiet {
    /// Whether figures can be compared. The kernel's own work for the disk counts as that of others.
    pub fn is_quiet(&self) -> bool {
        const OTHERS: f64 = 0.4;
        self.is_steady() && self.others_cores < OTHERS
    }

    fn is_steady(&self) -> bool {
        const DRIFT: f64 = 2.0;
        let (before, after) = (self.sync_before_ms, self.sync_after_ms);
        before < after * DRIFT && after < before * DRIFT
    }

    /// A synced write: the shorter one where they differ much, so that nothing looks better because the machine was busy.
    pub fn sync_ms(&self) -> f64 {
        let (before, after) = (self.sync_before_ms, self.sync_after_ms);
        if self.is_steady() { f64::midpoint(before, after) } else { before.min(after) }
    }
}

/// A measurement under way.
pub struct Watch {
    folder: PathBuf,
    added: Duration,
    sync_before: Duration,
    began: Instant,
    machine: Duration,
    own: Duration,
}

impl Watch {
    /// Begins. Each sync of the engine is made slower by `added`.
    pub fn begin(folder: &Path, added: Duration) -> Result<Watch> {
        let (began, machine, own) = (Instant::now(), machine_cpu()?, cpu());
        Ok(Watch { folder: folder.to_owned(), added, sync_before: bare::sync(folder, added)?, began, machine, own })
    }

    /// Ends.
    pub fn end(self) -> Result<Quiet> {
        let sync_after = bare::sync(&self.folder, self.added)?;
        let others = (machine_cpu()? - self.machine).saturating_sub(cpu() - self.own);
        Ok(Quiet {
            sync_before_ms: millis(self.sync_before),
            sync_after_ms: millis(sync_after),
            others_cores: others.as_secs_f64() / self.began.elapsed().as_secs_f64(),
        })
    }
}

/// What all processes and the kernel have used since the machine was started.
fn machine_cpu() -> Result<Duration> {
    // On every Linux, whatever the kernel's own tick is.
    const TICKS_PER_SECOND: u64 = 100;
    let text = fs::read_to_string("/proc/stat")?;
    let ticks: Vec<u64> =
        text.lines().next().into_iter().flat_map(str::split_whitespace).filter_map(|word| word.parse().ok()).collect();
    // User, nice, system, idle, waiting for the disk, interrupts of two kinds, and what the host took.
    let [user, nice, system, _, _, hard, soft, stolen, ..] = ticks[..] else {
        return Err(Error::Process("/proc/stat is not as expected".to_owned()));
    };
    let busy = user + nice + system + hard + soft + stolen;
    Ok(Duration::from_millis(busy * (1_000 / TICKS_PER_SECOND)))
}
