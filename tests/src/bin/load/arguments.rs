//! What the tool is asked for.

use crate::index::Index;
use clap::{Args, Parser, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Measures the bare log, the journal and the engine under the workloads W0 to W6.
#[derive(Parser)]
#[command(name = "load")]
pub struct Arguments {
    /// Where the data folders are made, and removed again.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
    /// How much of each workload: 1 takes minutes, 0.05 some seconds.
    #[arg(long, value_name = "S", default_value = "1", value_parser = scale)]
    pub scale: f64,
    /// Writes all figures to a file too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Only these, instead of all.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WORKLOADS")]
    pub only: Vec<Workload>,
    /// The indexes that each workload is measured with.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "INDEXES", default_values = ["sled", "fjall"])]
    pub index: Vec<Index>,
    /// One measurement, in a process that the tool started for it.
    #[command(flatten)]
    pub one: One,
}

/// What a process measures that the tool started.
#[derive(Args)]
pub struct One {
    /// What.
    #[arg(long = "one", value_enum, hide = true)]
    pub part: Option<Part>,
    /// How many runs are under way at the same time.
    #[arg(long, default_value_t = 64, hide = true)]
    pub in_flight: usize,
    /// How many runs.
    #[arg(long, default_value_t = 1_000, hide = true)]
    pub runs: usize,
    /// By how much each sync is made slower.
    #[arg(long, default_value_t = 0, hide = true)]
    pub added_us: u64,
}

impl One {
    /// By how much each sync is made slower.
    pub fn added(&self) -> Duration {
        Duration::from_micros(self.added_us)
    }
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// The bare log and the journal.
    Log,
    /// Runs that do nothing.
    W0,
    /// Five steps in sequence.
    W1,
    /// A parent that calls one child.
    W2,
    /// A parent that calls a thousand.
    W3,
    /// Runs that wait for a signal while their process is killed.
    W4,
    /// Runs that sleep until the same instant.
    W5,
    /// A workflow in a file, beside the same in Rust.
    W6,
}

impl Workload {
    /// Its name, as `--only` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Log => "log",
            Workload::W0 => "w0",
            Workload::W1 => "w1",
            Workload::W2 => "w2",
            Workload::W3 => "w3",
            Workload::W4 => "w4",
            Workload::W5 => "w5",
            Workload::W6 => "w6",
        }
    }
}

/// What one process does: a workload, or one life of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// [`Workload::Log`].
    Log,
    /// [`Workload::W0`].
    W0,
    /// [`Workload::W1`].
    W1,
    /// [`Workload::W2`].
    W2,
    /// [`Workload::W3`].
    W3,
    /// The life of [`Workload::W4`] that ends by a kill.
    W4Suspend,
    /// The life after it.
    W4Recover,
    /// [`Workload::W5`].
    W5,
    /// [`Workload::W6`].
    W6,
}

impl Part {
    /// Its name, as `--one` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Part::Log => "log",
            Part::W0 => "w0",
            Part::W1 => "w1",
            Part::W2 => "w2",
            Part::W3 => "w3",
            Part::W4Suspend => "w4-suspend",
            Part::W4Recover => "w4-recover",
            Part::W5 => "w5",
            Part::W6 => "w6",
        }
    }
}

fn scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale <= 100.0 => Ok(scale),
        _ => Err("a number above 0, and at most 100".to_owned()),
    }
}
