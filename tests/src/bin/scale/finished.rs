//! Runs that have ended: what they cost those that work.

use crate::{Arguments, memory};
use rejoin::{Context, Engine, Failure, Workflow};
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

const EMPTY: Workflow<u32, u32> = Workflow::named("empty");
const STEPS: Workflow<u32, u32> = Workflow::named("steps");
/// How many five-step runs are timed in each round, and how many rounds there are.
const TIMED: u32 = 60_000;
const ROUNDS: usize = 3;

async fn steps(ctx: Context, seed: u32) -> Result<u32, Failure> {
    let mut sum = seed;
    for number in 0..5 {
        let text = ctx.step("item", move || async move { Ok::<_, Failure>(format!("{number:>200}")) }).await?;
        sum = sum.wrapping_add(text.len() as u32);
    }
    Ok(sum)
}

/// Both stores, in turns.
pub(crate) async fn measure(arguments: &Arguments) -> rejoin::Result<()> {
    let runs = arguments.runs.unwrap_or(5_000_000);
    let folder = tempfile::tempdir_in(&arguments.folder)?;
    let full = folder.path().join("full");
    let engine = open(arguments, &full).await?;
    let began = Instant::now();
    for part in 0..10 {
        drive(&engine, &EMPTY, runs / 10).await?;
        eprint!("\r{} of {runs} have ended", (part + 1) * (runs / 10));
        io::stderr().flush()?;
    }
    eprintln!();
    println!("{runs} runs ended in {:.0} s; memory {} MB", began.elapsed().as_secs_f64(), memory("VmRSS")?);
    engine.shutdown().await;
    drop(engine);
    let began = Instant::now();
    drop(open(arguments, &full).await?);
    println!("opened again in {:.2} s", began.elapsed().as_secs_f64());
    for round in 0..ROUNDS {
        let empty = steps_a_second(arguments, &folder.path().join(format!("empty{round}"))).await?;
        let beside = steps_a_second(arguments, &full).await?;
        println!("steps/s: {empty:.0} in an empty store, {beside:.0} beside them: {:.3}", beside / empty);
    }
    println!("memory at most {} MB", memory("VmHWM")?);
    Ok(())
}

async fn open(arguments: &Arguments, data: &Path) -> rejoin::Result<Engine> {
    let builder = Engine::open(data).workflow(&EMPTY, |_, n: u32| async move { Ok(n) }).workflow(&STEPS, steps);
    Ok(arguments.index.of(builder).start().await?)
}

async fn steps_a_second(arguments: &Arguments, data: &Path) -> rejoin::Result<f64> {
    let engine = open(arguments, data).await?;
    drive(&engine, &STEPS, TIMED / 10).await?;
    let began = Instant::now();
    drive(&engine, &STEPS, TIMED).await?;
    let took = began.elapsed().as_secs_f64();
    engine.shutdown().await;
    Ok(f64::from(TIMED) * 5.0 / took)
}

async fn drive(engine: &Engine, workflow: &'static Workflow<u32, u32>, runs: u32) -> rejoin::Result<()> {
    const CLIENTS: u32 = 64;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let engine = engine.clone();
        let share = runs / CLIENTS + u32::from(client < runs % CLIENTS);
        clients.spawn(async move {
            for n in 0..share {
                engine.trigger(workflow, n).await?.result().await?;
            }
            Ok::<_, rejoin::Error>(())
        });
    }
    while let Some(done) = clients.join_next().await {
        done.map_err(io::Error::other)??;
    }
    Ok(())
}
