//! What the interpreter costs: a workflow in a file, beside the same in Rust, on the same engine, in turns.
//!
//! ```text
//! cargo run --release -p rejoin-tests --bin interpreted
//! ```

use rejoin::definition::{Project, Source};
use rejoin::{Context, Engine, Failure, Job, Workflow, join};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Doubles `n`, in process.
const DOUBLE: Job<Value, Value> = Job::of("double");
/// The workflow in Rust.
const WRITTEN: Workflow<Value, Value> = Workflow::named("written");
/// The same in a file.
const DESCRIBED: Workflow<Value, Value> = Workflow::named("described");
const DESCRIBED_TEXT: &str = "
workflow: described
input: { n: integer }
start: first
nodes:
  first: { trigger: double, input: { n: '= input.n' }, route: { completed: size } }
  size: { choose: { small: 'first < 10' }, route: { small: both, else: both } }
  both:
    parallel:
      a: { trigger: double, input: { n: '= first + 1' } }
      b: { trigger: double, input: { n: '= first + 2' } }
    route: { completed: end }
output: { sum: '= both.a + both.b', text: 'from {{ input.n }}' }
";
/// How many runs go on at a time.
const AT_ONCE: usize = 64;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

async fn written(ctx: Context, input: Value) -> Result<Value, Failure> {
    let n = input["n"].as_i64().unwrap_or(0);
    let double = |n: i64| ctx.job_json("double", None, &json!({ "n": n }));
    let first = double(n).await?.as_i64().unwrap_or(0);
    let (a, b) = join((double(first + 1), double(first + 2))).await;
    let sum = a?.as_i64().unwrap_or(0) + b?.as_i64().unwrap_or(0);
    Ok(json!({ "sum": sum, "text": format!("from {n}") }))
}

#[tokio::main]
async fn main() -> rejoin::Result<()> {
    let runs: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let folder = tempfile::tempdir()?;
    let source = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
    let files = vec![source("rejoin.yaml", "agents: { double: { rust: true } }\n"), source("w.yaml", DESCRIBED_TEXT)];
    let (project, found) = Project::read(files);
    assert!(found.all().is_empty(), "{}", found.text(&project.sources));
    let engine = project
        .install(Engine::open(folder.path()), |_| 1)
        .job(&DOUBLE, |_: Context, input: Value| async move { Ok(json!(input["n"].as_i64().unwrap_or(0) * 2)) })
        .workflow(&WRITTEN, written)
        .start()
        .await?;
    let mut cpu = [Duration::ZERO; 2];
    let mut wall = [Duration::ZERO; 2];
    // In turns, so that what the machine does beside falls on both.
    for round in 0..8 {
        let which = round % 2;
        let workflow = [WRITTEN, DESCRIBED][which];
        let (began, before) = (Instant::now(), processor());
        many(&engine, workflow, runs / 4).await?;
        wall[which] += began.elapsed();
        cpu[which] += processor() - before;
    }
    for (name, (cpu, wall)) in ["in Rust", "in a file"].into_iter().zip(cpu.into_iter().zip(wall)) {
        let each = cpu.as_secs_f64() * 1e6 / runs as f64;
        println!("{name:>10}: {each:6.1} us of CPU a run, {:.0} runs/s", runs as f64 / wall.as_secs_f64());
    }
    println!("     ratio: {:.2} x CPU", cpu[1].as_secs_f64() / cpu[0].as_secs_f64());
    engine.shutdown().await;
    Ok(())
}

async fn many(engine: &Engine, workflow: Workflow<Value, Value>, runs: u64) -> rejoin::Result<()> {
    let mut going = tokio::task::JoinSet::new();
    for number in 0..runs {
        if going.len() >= AT_ONCE {
            going.join_next().await.expect("a run").expect("no panic")?;
        }
        let engine = engine.clone();
        going.spawn(async move {
            let n = number % 100;
            let run = engine.trigger(&workflow, json!({ "n": n })).await?;
            let result = run.result().await?;
            assert_eq!(result["sum"], json!(n * 8 + 6));
            Ok::<(), rejoin::Error>(())
        });
    }
    while let Some(done) = going.join_next().await {
        done.expect("no panic")?;
    }
    Ok(())
}

/// How much of the processor this process has had.
fn processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
