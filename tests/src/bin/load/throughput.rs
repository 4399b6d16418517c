//! W0 to W3: runs that are triggered and waited for, some at the same time.

use crate::arguments::{One, Part};
use crate::client::{Load, drain, drive};
use crate::error::Result;
use crate::figures::{Figures, Observed};
use crate::index::{Index, with_index};
use crate::meter::{Counts, Reading, metered};
use crate::quiet::Watch;
use crate::workflows::{CALLER, CHILDREN, EMPTY, FANOUT, SEQUENCE, STEPS, register};
use rejoin::Engine;
use std::path::Path;
use std::sync::Arc;

fn load_of(part: Part) -> Load {
    let input = std::convert::identity;
    match part {
        Part::W2 => Load { workflow: &CALLER, input, adds: 1, steps: 1 },
        // Each child adds 1 to its number.
        Part::W3 => Load { workflow: &FANOUT, input, adds: (1..=CHILDREN).sum(), steps: CHILDREN },
        Part::W1 => Load { workflow: &SEQUENCE, input, adds: (0..STEPS).sum(), steps: STEPS },
        Part::W0 | Part::Log | Part::W4Suspend | Part::W4Recover | Part::W5 | Part::W6 => {
            Load { workflow: &EMPTY, input, adds: 0, steps: 0 }
        }
    }
}

/// Warms up, measures, and waits for the index.
pub async fn measure(part: Part, folder: &Path, index: Index, one: &One) -> Result<Figures> {
    let watch = Watch::begin(folder, one.added())?;
    let counts = Arc::new(Counts::default());
    let builder = with_index(register(Engine::open(folder.join("data"))), index);
    let engine = metered(builder, &counts, one.added()).start().await?;
    let load = load_of(part);
    // Warm, and past the first segments.
    drive(&engine, load, one.runs / 10 + one.in_flight, one.in_flight).await?;
    drain(&engine)?;
    let before = Reading::take(&engine, &counts);
    let latencies = drive(&engine, load, one.runs, one.in_flight).await?;
    let drained = drain(&engine)?;
    let after = Reading::take(&engine, &counts);
    let wall = after.at - before.at;
    let observed = Observed { before, after, wall, drained, latencies, steps: load.steps, watch };
    let figures = observed.figures(&engine).await?;
    engine.shutdown().await;
    Ok(figures)
}
