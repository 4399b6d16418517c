//! The goals, and how figures stand to them.

use crate::arguments::Workload;
use crate::figures::Figures;
use crate::index::Index;
use crate::log::LogFigures;
use crate::plan::Measurement;
use serde::Serialize;

/// On which side of its goal a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// The more the better.
    AtLeast,
    /// The less the better.
    AtMost,
    /// More is waste, and less would be a promise broken.
    Exactly,
}

impl Bound {
    /// As it stands before a goal.
    pub fn sign(self) -> &'static str {
        match self {
            Bound::AtLeast => ">= ",
            Bound::AtMost => "<= ",
            Bound::Exactly => "= ",
        }
    }
}

/// How one figure stands to its goal.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The figure's name and unit.
    pub what: &'static str,
    /// Which side is good.
    pub bound: Bound,
    /// The goal.
    pub goal: f64,
    /// The figure.
    pub figure: f64,
    /// The figure in goals.
    pub ratio: f64,
    /// Whether it is reached.
    pub met: bool,
}

fn judge(what: &'static str, figure: f64, bound: Bound, goal: f64) -> Verdict {
    // A segment that ended meanwhile is no other figure.
    const ABOUT: f64 = 0.005;
    let met = match bound {
        Bound::AtLeast => figure >= goal,
        Bound::AtMost => figure <= goal,
        Bound::Exactly => (figure - goal).abs() <= goal * ABOUT,
    };
    Verdict { what, bound, goal, figure, ratio: figure / goal, met }
}

/// The goals of the log.
pub fn of_log(figures: &LogFigures) -> Vec<Verdict> {
    vec![judge("journal/bare", figures.ratio, Bound::AtLeast, 0.8)]
}

/// The goals of a workload; there are none for W4.
pub fn of_load(measurement: &Measurement, figures: &Figures) -> Vec<Verdict> {
    let for_index = |usual: f64, fjall: f64| if measurement.index == Index::Fjall { fjall } else { usual };
    let rate = |goal| judge("runs/s", figures.runs_per_s, Bound::AtLeast, goal);
    let steps = |goal| judge("steps/s", figures.steps_per_s, Bound::AtLeast, goal);
    let syncs = |bound, goal| judge("syncs/run", figures.syncs_per_run, bound, goal);
    match (measurement.workload, measurement.in_flight, measurement.added_us) {
        (Workload::W0, ..) => vec![rate(for_index(60_000.0, 100_000.0))],
        (Workload::W1, 1, _) => {
            vec![
                judge("p50/sync", figures.p50_ms / figures.quiet.sync_ms(), Bound::AtMost, 7.0),
                syncs(Bound::Exactly, 6.0),
            ]
        }
        (Workload::W1, _, 0) => vec![
            steps(120_000.0),
            syncs(Bound::AtMost, 0.25),
            judge("CPU us/run", figures.cpu_us_per_run, Bound::AtMost, 50.0),
        ],
        (Workload::W1, ..) => vec![steps(30_000.0)],
        (Workload::W2, ..) => vec![rate(for_index(30_000.0, 40_000.0))],
        (Workload::W3, ..) => vec![judge("p50 ms", figures.p50_ms, Bound::AtMost, 15.0)],
        (Workload::W5, ..) => vec![judge("max ms late", figures.max_ms, Bound::AtMost, 100.0)],
        (Workload::W6, ..) => {
            let of_rust = figures.of_rust.as_ref().map_or(f64::NAN, |of_rust| of_rust.cpu_us_per_run);
            vec![judge("CPU/Rust", figures.cpu_us_per_run / of_rust, Bound::AtMost, 2.0)]
        }
        (Workload::Log | Workload::W4, ..) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_has_its_good_side() {
        let met = |figure, bound| judge("a figure", figure, bound, 6.0).met;
        assert!(met(6.5, Bound::AtLeast) && !met(5.9, Bound::AtLeast));
        assert!(met(5.9, Bound::AtMost) && !met(6.5, Bound::AtMost));
        assert!(met(6.001, Bound::Exactly) && !met(5.9, Bound::Exactly) && !met(6.1, Bound::Exactly));
    }
}
