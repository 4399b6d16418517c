//! W5: runs that sleep until the same instant, and how late they are.

use crate::arguments::One;
use crate::client::{all_at_rest, drain, side_by_side};
use crate::error::{Error, Result};
use crate::figures::{Figures, Observed};
use crate::index::{Index, with_index};
use crate::meter::{Counts, Reading, metered};
use crate::quiet::Watch;
use crate::workflows::{SLEEPER, register};
use rejoin::{Engine, RunHandle};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long before the instant everybody must be asleep, so that the client can ask for all results before it.
const MARGIN: Duration = Duration::from_millis(300);

/// Sends all to sleep and wakes them. Where they did not fall asleep in time, they are given longer.
pub async fn measure(folder: &Path, index: Index, one: &One) -> Result<Figures> {
    let counts = Arc::new(Counts::default());
    let builder = with_index(register(Engine::open(folder.join("data"))), index);
    let engine = metered(builder, &counts, one.added()).start().await?;
    let least = Duration::from_secs(1) + Duration::from_micros(150) * u32::try_from(one.runs).unwrap_or(u32::MAX);
    for patience in [1, 2, 4, 8] {
        let watch = Watch::begin(folder, one.added())?;
        let Some(observed) = sleep(&engine, &counts, one, least * patience, watch).await? else { continue };
        let figures = observed.figures(&engine).await?;
        engine.shutdown().await;
        return Ok(figures);
    }
    Err(Error::Process("the runs did not fall asleep in time".to_owned()))
}

async fn sleep(engine: &Engine, counts: &Counts, one: &One, ahead: Duration, watch: Watch) -> Result<Option<Observed>> {
    let due = since_epoch()? + ahead;
    let due_us = i64::try_from(due.as_micros()).unwrap_or(i64::MAX);
    let runs = side_by_side(one.runs, one.in_flight, |numbers| {
        let engine = engine.clone();
        async move {
            let mut runs = Vec::with_capacity(numbers.len());
            for _ in numbers {
                runs.push(engine.trigger(&SLEEPER, due_us).await?);
            }
            Ok(runs)
        }
    })
    .await?;
    all_at_rest(engine).await?;
    let before = Reading::take(engine, counts);
    let waiting: Vec<_> = runs.into_iter().map(|run| tokio::spawn(lateness(run, due))).collect();
    let asleep = since_epoch()? + MARGIN <= due;
    let mut latencies = Vec::with_capacity(one.runs);
    for run in waiting {
        latencies.push(run.await??);
    }
    let drained = drain(engine)?;
    let after = Reading::take(engine, counts);
    let wall = latencies.iter().max().copied().unwrap_or_default();
    let observed = Observed { before, after, wall, drained, latencies, steps: 0, watch };
    Ok(asleep.then_some(observed))
}

/// How long after the instant a run had ended. Neither its own clock nor the world's may say that it was early.
async fn lateness(run: RunHandle<i64>, due: Duration) -> Result<Duration> {
    let woke_us = run.result().await?;
    let ended = since_epoch()?;
    let early = i128::from(woke_us) < i128::try_from(due.as_micros()).unwrap_or(i128::MAX);
    match ended.checked_sub(due) {
        Some(late) if !early => Ok(late),
        _ => Err(Error::Wrong(format!(
            "run {} woke at {woke_us} us and ended at {} us, before its instant, {} us",
            run.id(),
            ended.as_micros(),
            due.as_micros()
        ))),
    }
}

/// The time, as the engine's clock has it.
fn since_epoch() -> Result<Duration> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?)
}
