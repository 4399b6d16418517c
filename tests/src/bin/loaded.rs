//! A process under load, to be killed: it triggers runs, sends them signals, and says what was acknowledged.
//!
//! ```text
//! loaded DATA LEDGER FROM [UNTIL]
//! ```
//!
//! It triggers the runs `k<FROM>`, `k<FROM + 1>` and so on, for ever or up to `UNTIL`, some at the same time. Each line
//! `ack trigger k7`, `ack signal k7` or `ack result k7` on stdout is written after the acknowledgement came. Each step
//! leaves a line in the ledger.
//!
//! The environment may ask for more: `REJOIN_INDEX` names the index's library, `REJOIN_KEEP_MS` says for how long runs are
//! kept that have ended, `REJOIN_DONE` names a file of numbers that are left out, and with `REJOIN_LIST` nothing is triggered:
//! every run of the index is listed, in lines like `listed <run>`.

use rejoin::time::{hours, millis, minutes};
use rejoin::{
    Attempt, Builder, Context, Engine, Failure, Filter, IndexKind, Rejection, RunError, Step, Workflow, join,
};
use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::Semaphore;

const PARENT: Workflow<u64, u64> = Workflow::named("parent");
const CHILD: Workflow<u64, u64> = Workflow::named("child");
/// How many runs are under way at the same time.
const AT_ONCE: u32 = 48;

type Ledger = Arc<File>;

async fn parent(ctx: Context, n: u64, ledger: Ledger) -> Result<u64, Failure> {
    let first = step(&ctx, &ledger, format!("k{n} first"), n).await?;
    let child = ctx.call(&CHILD, n).key("child").timeout(minutes(5)).await?;
    ctx.sleep(millis(n % 8)).await?;
    let go = ctx.signal::<u64>("go").within(hours(1)).await?;
    let go = go.ok_or_else(|| Failure::permanent("no signal came"))?;
    let last = step(&ctx, &ledger, format!("k{n} last"), 1).await?;
    Ok(first + child + go + last)
}

async fn child(ctx: Context, n: u64, ledger: Ledger) -> Result<u64, Failure> {
    let left = step(&ctx, &ledger, format!("k{n} left"), n);
    let right = step(&ctx, &ledger, format!("k{n} right"), n);
    let (left, right) = join((left, right)).await;
    Ok(left? + right?)
}

/// What the run `k<n>` results in.
fn expected(n: u64) -> u64 {
    4 * n + 1
}

/// A step that returns `value`, and leaves a line in the ledger first: one write, so that it is whole.
fn step(ctx: &Context, ledger: &Ledger, name: String, value: u64) -> Step<u64> {
    let ledger = ledger.clone();
    let title = name.clone();
    ctx.step(&title, move |attempt: Attempt| {
        let line = format!("{name}, {attempt}\n");
        let ledger = ledger.clone();
        async move {
            (&*ledger).write_all(line.as_bytes())?;
            Ok::<u64, io::Error>(value)
        }
    })
}

/// Triggers a run, sends it its signal and waits for its result, as a client does that does not know how far it came.
async fn order(engine: Engine, n: u64) -> Result<(), rejoin::Error> {
    let run = engine.trigger(&PARENT, n).key(format!("k{n}")).await?;
    acknowledge("trigger", n)?;
    if n.is_multiple_of(3) {
        // Late enough for the run to be suspended for it.
        tokio::time::sleep(millis(15)).await;
    }
    match run.signal("go", &n).id("go").await {
        // It came before, or the run could not have ended.
        Ok(()) | Err(RunError::Rejected(Rejection::Closed(_))) => acknowledge("signal", n)?,
        Err(RunError::NotFound(_)) if forgets() => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let result = match run.result().await {
        Err(RunError::NotFound(_)) if forgets() => return Ok(()),
        result => result?,
    };
    if result != expected(n) {
        return Err(io::Error::other(format!("k{n} resulted in {result} instead of {}", expected(n))).into());
    }
    acknowledge("result", n)?;
    Ok(())
}

fn acknowledge(what: &str, n: u64) -> io::Result<()> {
    io::stdout().write_all(format!("ack {what} k{n}\n").as_bytes())
}

/// Whether a run may be gone before its result was asked for.
fn forgets() -> bool {
    env::var_os("REJOIN_KEEP_MS").is_some()
}

/// What the environment asks for of the engine.
fn asked(mut builder: Builder) -> io::Result<Builder> {
    let number = |text: String| text.parse::<u64>().map_err(io::Error::other);
    if let Ok(keep) = env::var("REJOIN_KEEP_MS") {
        builder = builder.retention(millis(number(keep)?)).clean_after(millis(50));
    }
    match env::var("REJOIN_INDEX").as_deref() {
        Err(_) | Ok("sled") => Ok(builder),
        Ok("fjall") => Ok(builder.index(IndexKind::Fjall)),
        Ok("memory") => Ok(builder.index(IndexKind::Memory)),
        Ok(other) => Err(io::Error::other(format!("REJOIN_INDEX: there is no {other:?}"))),
    }
}

/// The numbers that are left out.
fn done() -> io::Result<BTreeSet<u64>> {
    let Some(file) = env::var_os("REJOIN_DONE") else { return Ok(BTreeSet::new()) };
    fs::read_to_string(file)?.lines().map(|line| line.parse().map_err(io::Error::other)).collect()
}

/// Says which runs the index has.
fn list(engine: &Engine) -> Result<(), rejoin::Error> {
    let mut from = None;
    loop {
        let page = engine.list(&Filter::default(), from.as_deref(), 1000)?;
        for run in page.runs {
            io::stdout().write_all(format!("listed {}\n", run.id).as_bytes())?;
        }
        from = page.next;
        if from.is_none() {
            return Ok(());
        }
    }
}

async fn run(arguments: &[String]) -> Result<(), rejoin::Error> {
    let usage = || io::Error::other("usage: loaded DATA LEDGER FROM [UNTIL]");
    let [data, ledger, from, until @ ..] = arguments else { return Err(usage().into()) };
    let number = |text: &String| text.parse::<u64>().map_err(|_| usage());
    let until = until.first().map_or(Ok(u64::MAX), number)?;
    let ledger: Ledger = Arc::new(OpenOptions::new().create(true).append(true).open(ledger)?);
    let of_child = ledger.clone();
    let builder = Engine::open(data)
        .workflow(&PARENT, move |ctx, n| parent(ctx, n, ledger.clone()))
        .workflow(&CHILD, move |ctx, n| child(ctx, n, of_child.clone()))
        // Small segments, so that kills hit the change from one to the next too.
        .segments(1 << 16, 1 << 20);
    let engine = asked(builder)?.start().await?;
    if env::var_os("REJOIN_LIST").is_some() {
        // While nothing changes: pages are not read in one go.
        engine.shutdown().await;
        return list(&engine);
    }
    let done = done()?;
    let places = Arc::new(Semaphore::new(AT_ONCE as usize));
    for n in (number(from)?..until).filter(|n| !done.contains(n)) {
        let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let engine = engine.clone();
        tokio::spawn(async move {
            if let Err(error) = order(engine, n).await {
                eprintln!("loaded: k{n}: {error}");
                std::process::exit(1);
            }
            drop(place);
        });
    }
    drop(places.acquire_many(AT_ONCE).await.map_err(io::Error::other)?);
    engine.shutdown().await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loaded: {error}");
            ExitCode::FAILURE
        }
    }
}
