//! What is measured, and how much of it.

use crate::arguments::{Arguments, Workload};
use crate::index::Index;
use serde::Serialize;

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// What.
    pub workload: Workload,
    /// With which index.
    pub index: Index,
    /// How many runs are under way at the same time.
    pub in_flight: usize,
    /// How many runs.
    pub runs: usize,
    /// By how much each sync is made slower.
    pub added_us: u64,
}

impl Measurement {
    /// What a table calls it.
    pub fn name(&self) -> String {
        let name = self.workload.name();
        match self.added_us {
            0 => name.to_owned(),
            added => format!("{name} +{} ms/sync", added as f64 / 1e3),
        }
    }
}

/// A line of the plan: workload, in flight, runs at scale 1, the fewest runs, microseconds added to each sync.
type Line = (Workload, usize, usize, usize, u64);

/// Large enough to show an index that falls behind, and some minutes for all.
const PLAN: [Line; 10] = [
    (Workload::Log, 64, 20_000, 1_000, 0),
    (Workload::W0, 64, 300_000, 2_000, 0),
    (Workload::W1, 64, 80_000, 1_000, 0),
    (Workload::W1, 1, 4_000, 100, 0),
    (Workload::W1, 64, 30_000, 640, 1_000),
    (Workload::W2, 64, 100_000, 1_000, 0),
    (Workload::W3, 1, 80, 3, 0),
    (Workload::W4, 64, 10_000, 200, 0),
    (Workload::W5, 64, 10_000, 200, 0),
    (Workload::W6, 64, 40_000, 1_000, 0),
];

/// All measurements, in their order: what is to be compared stands together, so that a machine that drifts does so for
/// all alike.
pub fn plan(arguments: &Arguments) -> Vec<Measurement> {
    let wanted = |workload| arguments.only.is_empty() || arguments.only.contains(&workload);
    let mut plan = Vec::new();
    for (workload, in_flight, runs, least, added_us) in PLAN.into_iter().filter(|line| wanted(line.0)) {
        let runs = ((runs as f64 * arguments.scale) as usize).max(least);
        // The log is measured without an index.
        let indexes = if workload == Workload::Log { 1 } else { arguments.index.len() };
        for index in arguments.index.iter().copied().take(indexes) {
            plan.push(Measurement { workload, index, in_flight, runs, added_us });
        }
    }
    plan
}
