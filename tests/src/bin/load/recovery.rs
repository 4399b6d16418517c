//! W4: runs wait for a signal, their process is killed, and the next one brings them to their ends.

use crate::arguments::One;
use crate::client::{all_at_rest, drain, side_by_side};
use crate::error::{Error, Result};
use crate::figures::{Figures, Observed, Recovery, Suspended, millis};
use crate::index::{Index, with_index};
use crate::meter::{Counts, Reading, memory_mb, metered};
use crate::quiet::Watch;
use crate::workflows::{CHILD, GO, WAITER, register, register_waiter};
use rejoin::Engine;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn open(folder: &Path, index: Index, counts: &Arc<Counts>) -> Result<Engine> {
    let effects = Arc::new(OpenOptions::new().create(true).append(true).open(folder.join("effects"))?);
    let builder = register_waiter(register(Engine::open(folder.join("data"))), effects);
    Ok(metered(with_index(builder, index), counts, Duration::ZERO).start().await?)
}

fn key(number: u32) -> String {
    format!("k{number}")
}

/// Triggers all of them, and returns when they wait. The engine is to be kept until the process is killed.
pub async fn suspend(folder: &Path, index: Index, one: &One) -> Result<(Engine, Suspended)> {
    let counts = Arc::new(Counts::default());
    let engine = open(folder, index, &counts).await?;
    let (before, empty_mb) = (Reading::take(&engine, &counts), memory_mb("VmRSS")?);
    let trigger = |numbers: Vec<u32>| {
        let engine = engine.clone();
        async move {
            for number in numbers {
                engine.trigger(&WAITER, number).key(key(number)).await?;
            }
            Ok(Vec::<()>::new())
        }
    };
    side_by_side(one.runs, one.in_flight, trigger).await?;
    let submitted = before.at.elapsed();
    all_at_rest(&engine).await?;
    let suspended = before.at.elapsed();
    let after = Reading::take(&engine, &counts);
    let seen = Suspended {
        submitted_s: submitted.as_secs_f64(),
        suspended_s: suspended.as_secs_f64(),
        empty_mb,
        suspended_mb: memory_mb("VmRSS")?,
        bytes_per_run: (after.bytes - before.bytes) as f64 / one.runs as f64,
    };
    Ok((engine, seen))
}

/// Starts again, signals all of them, and waits for their ends.
pub async fn recover(folder: &Path, index: Index, one: &One) -> Result<Figures> {
    let watch = Watch::begin(folder, Duration::ZERO)?;
    let counts = Arc::new(Counts::default());
    let began = Instant::now();
    let engine = open(folder, index, &counts).await?;
    let started = began.elapsed();
    engine.trigger(&CHILD, 0).await?.result().await?;
    let first_run = began.elapsed();
    let before = Reading::take(&engine, &counts);
    let latencies = side_by_side(one.runs, one.in_flight, |numbers| signal(engine.clone(), numbers)).await?;
    let all_done = before.at.elapsed();
    let drained = drain(&engine)?;
    let after = Reading::take(&engine, &counts);
    let effects = count_effects(folder, one.runs)?;
    let wall = after.at - before.at;
    let observed = Observed { before, after, wall, drained, latencies, steps: 1, watch };
    let mut figures = observed.figures(&engine).await?;
    engine.shutdown().await;
    figures.recovery = Some(Recovery {
        start_ms: millis(started),
        first_run_ms: millis(first_run),
        all_done_s: all_done.as_secs_f64(),
        effects,
    });
    Ok(figures)
}

/// Signals runs of the life before, one after another, and waits for the end of each.
async fn signal(engine: Engine, numbers: Vec<u32>) -> Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(numbers.len());
    for number in numbers {
        let began = Instant::now();
        let lost = || Error::Wrong(format!("the run {} was acknowledged before the kill and is gone", key(number)));
        let run = engine.find(&WAITER, &key(number)).ok_or_else(lost)?;
        run.signal(GO, &number).await?;
        let result = run.result().await?;
        if result != number {
            return Err(Error::Wrong(format!("the run {} resulted in {result}", key(number))));
        }
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}

/// The lines that the last steps left. No step was under way at the kill, so nothing explains one that came twice.
fn count_effects(folder: &Path, runs: usize) -> Result<usize> {
    let text = fs::read_to_string(folder.join("effects"))?;
    let lines = text.lines().count();
    let different: BTreeSet<&str> = text.lines().collect();
    let expected = (0..runs).all(|number| different.contains(number.to_string().as_str()));
    if lines == runs && different.len() == runs && expected {
        Ok(lines)
    } else {
        Err(Error::Wrong(format!("{runs} runs left {lines} effects, {} of them different", different.len())))
    }
}
