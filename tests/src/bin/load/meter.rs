//! What is read off before and after a measurement: time, CPU, memory, and what went to the disk.

use crate::error::{Error, Result};
use rejoin::{Builder, Engine};
use rejoin_tests::hooked::{Happening, Hooked};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What was written to segment files, and how often a commit of them was synced. Closing a segment and beginning the next
/// is no commit; it comes once in 64 MiB.
#[derive(Default)]
pub struct Counts {
    syncs: AtomicU64,
    bytes: AtomicU64,
}

impl Counts {
    fn count(&self, happening: Happening) {
        match happening {
            Happening::Write(bytes) => self.bytes.fetch_add(bytes as u64, Ordering::Relaxed),
            Happening::SyncData => self.syncs.fetch_add(1, Ordering::Relaxed),
            Happening::SyncAll => 0,
        };
    }
}

/// Whether a file of the log holds records.
pub fn is_segment(file: &str) -> bool {
    file.ends_with(".seg")
}

/// A builder whose disk is counted, and whose commits take so much longer.
pub fn metered(builder: Builder, counts: &Arc<Counts>, added: Duration) -> Builder {
    let counts = counts.clone();
    builder.wrap_disk(move |folder| {
        Hooked::new(folder, move |file, happening| {
            if is_segment(file) {
                counts.count(happening);
                if happening == Happening::SyncData && !added.is_zero() {
                    sleep(added);
                }
            }
            Ok(())
        })
    })
}

/// How everything stands at one moment.
#[derive(Clone, Copy)]
pub struct Reading {
    /// When.
    pub at: Instant,
    /// What the process has used, in user and system.
    pub cpu: Duration,
    /// Commits synced.
    pub syncs: u64,
    /// Bytes written to segments.
    pub bytes: u64,
    /// The place of the last record.
    pub cursor: u64,
}

impl Reading {
    /// Reads everything off.
    pub fn take(engine: &Engine, counts: &Counts) -> Reading {
        Reading {
            at: Instant::now(),
            cpu: cpu(),
            syncs: counts.syncs.load(Ordering::Relaxed),
            bytes: counts.bytes.load(Ordering::Relaxed),
            cursor: engine.cursor(),
        }
    }
}

/// What this process has used, in user and system.
pub fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Megabytes of memory that the process has used at most, or (with `VmRSS`) uses now.
pub fn memory_mb(line: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let value = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
    let kilobytes = value.and_then(|value| value.trim().trim_end_matches(" kB").parse::<f64>().ok());
    let kilobytes = kilobytes.ok_or_else(|| Error::Process(format!("/proc/self/status has no {line}")))?;
    Ok(kilobytes * 1024.0 / 1e6)
}
