//! What one load showed.

use crate::meter::{Reading, memory_mb};
use crate::quiet::{Quiet, Watch};
use crate::{bare::median, error::Result};
use rejoin::Engine;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The figures of a workload. "A run" is one that the client triggered, with all its children.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// How many were measured.
    pub runs: usize,
    /// How many ended in a second, until the index had them.
    pub runs_per_s: f64,
    /// How many steps they executed in a second, children's included.
    pub steps_per_s: f64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// None took longer.
    pub max_ms: f64,
    /// How long the index was behind at the end.
    pub drain_ms: f64,
    /// CPU of engine, steps and client, user and system.
    pub cpu_us_per_run: f64,
    /// Commits synced.
    pub syncs_per_run: f64,
    /// Bytes written to segment files, their ends included.
    pub bytes_per_run: f64,
    /// Records appended.
    pub records_per_run: f64,
    /// Events appended: those of a record, as a sample of records has them, times records.
    pub events_per_run: f64,
    /// The most memory that the process ever used.
    pub peak_mb: f64,
    /// Whether others used the machine too.
    pub quiet: Quiet,
    /// The life before the kill; only W4 has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Suspended>,
    /// The life after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
    /// The same in Rust; only W6 has that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_rust: Option<OfRust>,
}

/// What the workflow of W6 takes where it is written in Rust.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OfRust {
    /// CPU of engine and client, user and system.
    pub cpu_us_per_run: f64,
}

/// What the life after a kill showed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recovery {
    /// From opening the folder until the engine had started.
    pub start_ms: f64,
    /// From opening the folder until a new run had ended.
    pub first_run_ms: f64,
    /// From the first signal to the last result.
    pub all_done_s: f64,
    /// Lines that the last steps left: one each.
    pub effects: usize,
}

/// The life that ends by a kill.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Suspended {
    /// Until all triggers were acknowledged.
    pub submitted_s: f64,
    /// Until all runs waited for their signal.
    pub suspended_s: f64,
    /// Memory of the process before the first trigger.
    pub empty_mb: f64,
    /// Memory of the process with all of them suspended.
    pub suspended_mb: f64,
    /// Bytes in the log.
    pub bytes_per_run: f64,
}

/// What was seen of a load, to be made figures of.
pub struct Observed {
    /// Before the first trigger that counts.
    pub before: Reading,
    /// When everything had ended.
    pub after: Reading,
    /// What the rates are to be counted by.
    pub wall: Duration,
    /// How much of it the index took at the end.
    pub drained: Duration,
    /// How long each run took.
    pub latencies: Vec<Duration>,
    /// Steps of a run, its children's included.
    pub steps: u32,
    /// Who else used the machine, from the beginning on.
    pub watch: Watch,
}

impl Observed {
    /// The figures. Memory is read off first, so that what is done here does not count.
    pub async fn figures(mut self, engine: &Engine) -> Result<Figures> {
        let peak_mb = memory_mb("VmHWM")?;
        let events = events_per_record(engine, self.before.cursor, self.after.cursor).await?;
        self.latencies.sort_unstable();
        let (runs, wall) = (self.latencies.len(), self.wall.as_secs_f64());
        let each = |sum: f64| sum / runs as f64;
        let records_per_run = each((self.after.cursor - self.before.cursor) as f64);
        Ok(Figures {
            runs,
            runs_per_s: runs as f64 / wall,
            steps_per_s: runs as f64 * f64::from(self.steps) / wall,
            p50_ms: millis(median(&self.latencies)),
            p99_ms: millis(percentile(&self.latencies, 99)),
            max_ms: millis(percentile(&self.latencies, 100)),
            drain_ms: millis(self.drained),
            cpu_us_per_run: each((self.after.cpu - self.before.cpu).as_secs_f64() * 1e6),
            syncs_per_run: each((self.after.syncs - self.before.syncs) as f64),
            bytes_per_run: each((self.after.bytes - self.before.bytes) as f64),
            records_per_run,
            events_per_run: records_per_run * events,
            peak_mb,
            quiet: self.watch.end()?,
            suspended: None,
            recovery: None,
            of_rust: None,
        })
    }
}

/// How many events a record has, in the records behind `after`.
async fn events_per_record(engine: &Engine, after: u64, last: u64) -> Result<f64> {
    const SAMPLE: u64 = 20_000;
    let records = (last - after).min(SAMPLE);
    let mut follow = engine.follow_all(after);
    let mut events = 0;
    for _ in 0..records {
        events += follow.next().await?.map_or(0, |(_, entry)| entry.transition.events.len());
    }
    Ok(events as f64 / records.max(1) as f64)
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() * percent / 100).min(last)).copied().unwrap_or_default()
}

/// As a number.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
