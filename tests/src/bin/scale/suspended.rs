//! Runs that wait: killed with their process, started again with an index and without one, resumed once.

use crate::{Arguments, again, memory, used, watch};
use rejoin::time::days;
use rejoin::{Builder, Context, Engine, Failure, Filter, RunStatus, Workflow};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const WAITER: Workflow<u32, u32> = Workflow::named("waiter");
const EMPTY: Workflow<u32, u32> = Workflow::named("empty");
/// How many are resumed at random first, and then in a row.
const PICKED: u32 = 1_000;
const MANY: u32 = 100_000;
/// How long the process is watched while nothing happens.
const IDLE: Duration = Duration::from_secs(10);

/// Waits for a signal, a month at most, and leaves a line when it came.
async fn waiter(ctx: Context, number: u32, effects: Arc<File>) -> Result<u32, Failure> {
    let signal = ctx.signal::<u32>("go").within(days(30)).await?;
    let answer = signal.ok_or_else(|| Failure::permanent("no signal came"))?;
    let effect = move || {
        let effects = effects.clone();
        async move { (&*effects).write_all(format!("{number}\n").as_bytes()) }
    };
    ctx.step("effect", effect).await?;
    Ok(answer)
}

fn builder(arguments: &Arguments) -> io::Result<Builder> {
    let effects = arguments.folder.join("effects");
    let effects = Arc::new(OpenOptions::new().create(true).append(true).open(effects)?);
    let builder = Engine::open(arguments.folder.join("data"))
        .workflow(&EMPTY, |_, n: u32| async move { Ok(n) })
        .workflow(&WAITER, move |ctx, n| waiter(ctx, n, effects.clone()));
    Ok(arguments.index.of(builder))
}

/// All of it.
pub(crate) fn measure(arguments: &Arguments) -> io::Result<()> {
    let runs = arguments.runs.unwrap_or(1_000_000);
    let arguments = Arguments { runs: Some(runs), folder: arguments.folder.clone(), ..*arguments };
    let folder = tempfile::tempdir_in(&arguments.folder)?;
    println!("{runs} runs that wait for a signal, each with a timer; the index in {}", arguments.index.name());
    watch(again(&arguments, "wait", folder.path())?, Some("all of them wait"))?;
    println!("killed; started again with the index as it was left:");
    watch(again(&arguments, "resume", folder.path())?, None)?;
    println!("closed; started again without an index:");
    std::fs::remove_dir_all(folder.path().join("data/index"))?;
    watch(again(&arguments, "resume", folder.path())?, None)?;
    check_effects(&folder.path().join("effects"), runs)
}

/// Lets them wait, and waits to be killed.
pub(crate) async fn wait(arguments: &Arguments) -> rejoin::Result<()> {
    let engine = builder(arguments)?.start().await?;
    let (runs, began) = (arguments.runs.unwrap_or(0), Instant::now());
    each(0..runs, |number| {
        let engine = engine.clone();
        async move { engine.trigger(&WAITER, number).key(format!("k{number}")).await.map(drop).map_err(Into::into) }
    })
    .await?;
    let begun = Filter { status: Some(RunStatus::Running), ..Filter::default() };
    while !engine.list(&begun, None, 1)?.runs.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("  all wait after {:.1} s, with {} MB", began.elapsed().as_secs_f64(), memory("VmRSS")?);
    println!("all of them wait");
    std::future::pending().await
}

/// Starts again, looks on while nothing happens, and resumes some.
pub(crate) async fn resume(arguments: &Arguments) -> rejoin::Result<()> {
    let runs = arguments.runs.unwrap_or(0);
    let began = Instant::now();
    let engine = builder(arguments)?.start().await?;
    engine.trigger(&EMPTY, 1).await?.result().await?;
    println!("  a new run has ended after {:.2} s, with {} MB", began.elapsed().as_secs_f64(), memory("VmRSS")?);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (cpu, written) = used()?;
    tokio::time::sleep(IDLE).await;
    let (cpu_after, written_after) = used()?;
    let share = (cpu_after - cpu).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    println!("  at rest it uses {share:.3} % of a core and writes {} bytes in {IDLE:?}", written_after - written);
    // Which ones comes from the process, so that the second life picks others than the first.
    let seed = u64::from(std::process::id());
    let picked =
        (0..PICKED.min(runs / 4)).map(|n| ((u64::from(n) * 2_654_435_761 + seed * 40_503) % u64::from(runs)) as u32);
    resume_these(&engine, "at random", picked.collect()).await?;
    let first = if engine.find(&WAITER, "k0").is_some_and(|run| ended(&run)) { runs / 2 } else { 0 };
    resume_these(&engine, "in a row", (first..first + MANY.min(runs / 2)).collect()).await?;
    println!("  at most {} MB", memory("VmHWM")?);
    engine.shutdown().await;
    Ok(())
}

fn ended(run: &rejoin::RunHandle<u32>) -> bool {
    run.describe().is_ok_and(|info| info.row.status.is_closed())
}

async fn resume_these(engine: &Engine, which: &str, numbers: Vec<u32>) -> rejoin::Result<()> {
    let (began, count) = (Instant::now(), numbers.len());
    each(numbers, |number| {
        let engine = engine.clone();
        async move {
            let key = format!("k{number}");
            let run = engine.find(&WAITER, &key).ok_or_else(|| io::Error::other(format!("{key} is lost")))?;
            // One that was picked before has ended: that is checked by its result.
            if !ended(&run) {
                run.signal("go", &number).id("go").await?;
            }
            let result = run.result().await?;
            if result == number { Ok(()) } else { Err(io::Error::other(format!("{key} resulted in {result}")).into()) }
        }
    })
    .await?;
    let took = began.elapsed().as_secs_f64();
    println!("  {count} {which} resumed and ended right in {took:.2} s, {:.0}/s", count as f64 / took);
    Ok(())
}

/// Does something for each number, 64 at a time.
async fn each<F>(numbers: impl IntoIterator<Item = u32>, action: impl Fn(u32) -> F) -> rejoin::Result<()>
where
    F: Future<Output = rejoin::Result<()>> + Send + 'static,
{
    let mut running = tokio::task::JoinSet::new();
    for number in numbers {
        if running.len() == 64
            && let Some(done) = running.join_next().await
        {
            done.map_err(io::Error::other)??;
        }
        running.spawn(action(number));
    }
    while let Some(done) = running.join_next().await {
        done.map_err(io::Error::other)??;
    }
    Ok(())
}

/// Each run that ended left one line.
fn check_effects(path: &Path, runs: u32) -> io::Result<()> {
    let effects = std::fs::read_to_string(path)?;
    let mut numbers: Vec<&str> = effects.lines().collect();
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    println!("{count} effects, {} different", numbers.len());
    let expected = (PICKED + MANY).min(runs / 4) as usize;
    if numbers.len() == count && count >= expected { Ok(()) } else { Err(io::Error::other("a run was resumed twice")) }
}
