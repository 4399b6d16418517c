//! Many jobs for an agent that is not there, and large groups: what they cost.
//!
//! `crowds --jobs 100000` queues jobs, starts the engine again, and lets workers appear that serve them all: their
//! order is checked, and the memory shown. `crowds --groups 1000,10000` settles a group of each size.

use clap::Parser;
use rejoin::{Agent, Context, Engine, Event, Failure, Job, WorkerError, Workflow};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const ABSENT: Job<u32, u32> = Job::of("absent");
const MEMBER: Job<u32, u32> = Job::of("member");
const CROWD: Workflow<u32, u32> = Workflow::named("crowd");

/// What is to be measured.
#[derive(Parser)]
struct Args {
    /// How many jobs are queued for an agent that is absent.
    #[arg(long, default_value_t = 100_000)]
    jobs: u32,
    /// The sizes of groups.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000])]
    groups: Vec<u32>,
    /// How many workers appear.
    #[arg(long, default_value_t = 64)]
    hands: usize,
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> rejoin::Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    queue(&folder.path().join("queue"), &args).await?;
    for size in &args.groups {
        group(&folder.path().join(format!("group-{size}")), *size).await?;
    }
    Ok(())
}

async fn open(folder: &Path) -> rejoin::Result<Engine> {
    let crowd = |ctx: Context, size: u32| async move {
        let mut group = ctx.group("crowd");
        for number in 0..size {
            group.add(number.to_string(), ctx.job(&MEMBER, number));
        }
        let answers = group.all().await?;
        Ok::<_, Failure>(answers.values().map(|(_, one)| one).sum())
    };
    let builder = Engine::open(folder)
        .agent(Agent::named("absent").by_workers())
        .job(&MEMBER, |_, _: u32| async move { Ok(1) })
        .workflow(&CROWD, crowd);
    Ok(builder.start().await?)
}

async fn queue(folder: &Path, args: &Args) -> rejoin::Result<()> {
    let engine = open(folder).await?;
    println!("memory before: {}", memory());
    let began = Instant::now();
    let mut sent = tokio::task::JoinSet::new();
    for number in 0..args.jobs {
        if sent.len() >= 512 {
            sent.join_next().await.expect("a request").expect("no panic")?;
        }
        let engine = engine.clone();
        sent.spawn(async move { engine.job(&ABSENT, number).await.map(drop) });
    }
    while let Some(done) = sent.join_next().await {
        done.expect("no panic")?;
    }
    rate("queued", args.jobs, began.elapsed());
    println!("memory with all of them queued: {}", memory());
    engine.shutdown().await;
    drop(engine);
    let began = Instant::now();
    let engine = open(folder).await?;
    println!("opened again in {:.2} s; memory: {}", began.elapsed().as_secs_f64(), memory());
    let began = Instant::now();
    let most = serve(&engine, args).await?;
    rate("served", args.jobs, began.elapsed());
    println!("memory while they were served, at most: {} MB", most / 1024);
    println!("begun in another order than they came: {}", out_of_order(&engine).await?);
    engine.shutdown().await;
    Ok(())
}

/// Serves all jobs with so many hands; the most memory that was seen.
async fn serve(engine: &Engine, args: &Args) -> rejoin::Result<u64> {
    let left = Arc::new(AtomicU32::new(args.jobs));
    let mut hands = tokio::task::JoinSet::new();
    for _ in 0..args.hands {
        let (engine, left) = (engine.clone(), left.clone());
        hands.spawn(async move {
            let worker = engine.worker("absent");
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                worker.next().await?.complete(&1).await?;
            }
            Ok::<_, WorkerError>(())
        });
    }
    let mut most = 0;
    while left.load(Ordering::Relaxed) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        most = most.max(resident());
    }
    while let Some(done) = hands.join_next().await {
        done.expect("no panic")?;
    }
    Ok(most)
}

/// How many jobs began before one that came earlier, as the log has it.
async fn out_of_order(engine: &Engine) -> rejoin::Result<usize> {
    let (mut feed, end) = (engine.follow_all(0), engine.cursor());
    let (mut came, mut last, mut wrong) = (HashMap::new(), 0, 0);
    while feed.cursor() < end
        && let Some((run, entry)) = feed.next().await?
    {
        let place = feed.cursor();
        let began = entry.transition.events.contains(&Event::Started);
        let came = *came.entry(run).or_insert(place);
        if began {
            wrong += usize::from(came < last);
            last = came;
        }
    }
    Ok(wrong)
}

async fn group(folder: &Path, size: u32) -> rejoin::Result<()> {
    let engine = open(folder).await?;
    let began = Instant::now();
    let sum = engine.trigger(&CROWD, size).await?.result().await?;
    let took = began.elapsed();
    assert_eq!(sum, size);
    println!(
        "a group of {size}: {:.0} ms, {:.1} us an item",
        took.as_secs_f64() * 1e3,
        took.as_secs_f64() * 1e6 / f64::from(size)
    );
    engine.shutdown().await;
    Ok(())
}

fn rate(what: &str, count: u32, took: Duration) {
    println!("{what} {count} jobs in {:.2} s: {:.0}/s", took.as_secs_f64(), f64::from(count) / took.as_secs_f64());
}

fn memory() -> String {
    format!("{} MB", resident() / 1024)
}

/// How much of it is in memory, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0)
}
