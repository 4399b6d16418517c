//! W6: a workflow in a file, beside the same in Rust: what the interpreter costs.

use crate::arguments::One;
use crate::client::{Load, drain, drive};
use crate::error::{Error, Result};
use crate::figures::{Figures, Observed, OfRust};
use crate::index::{Index, with_index};
use crate::meter::{Counts, Reading, metered};
use crate::quiet::Watch;
use rejoin::definition::{Project, Source};
use rejoin::{Context, Engine, Failure, Workflow, join};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// In Rust.
const WRITTEN: Workflow<Value, u32> = Workflow::named("written");
/// In a file.
const DESCRIBED: Workflow<Value, u32> = Workflow::named("described");
/// The child of both.
const PART: Workflow<Value, u32> = Workflow::named("part");
/// What both add to their input.
const ADDS: u32 = 3;

/// It has a child, a choice, two children side by side, a text, and a result that is computed.
const TEXT: &str = "
workflow: described
start: first
nodes:
  first: { trigger: part, input: { n: '= input.n' }, route: { completed: size } }
  size: { choose: { small: 'first < 10' }, route: { small: both, else: both } }
  both:
    parallel:
      a: { trigger: part, input: { n: '= first + 1' } }
      b: { trigger: part, input: { n: '= first + 2' } }
    route: { completed: text }
  text: { set: { said: 'from {{ first }} to {{ both.b }}' }, then: end }
output: '= both.a + both.b - input.n'
";

fn number(input: &Value) -> u32 {
    input["n"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

async fn part(_: Context, input: Value) -> std::result::Result<u32, Failure> {
    Ok(number(&input))
}

async fn written(ctx: Context, input: Value) -> std::result::Result<u32, Failure> {
    let part = |n: u32| ctx.call(&PART, json!({ "n": n }));
    let n = number(&input);
    let first = part(n).await?;
    let (a, b) = join((part(first.wrapping_add(1)), part(first.wrapping_add(2)))).await;
    let (a, b) = (a?, b?);
    std::hint::black_box(format!("from {first} to {b}"));
    Ok(a.wrapping_add(b).wrapping_sub(n))
}

/// Half of those in Rust, all of those in a file, the other half: so that a machine which drifts does so for both.
pub async fn measure(folder: &Path, index: Index, one: &One) -> Result<Figures> {
    let watch = Watch::begin(folder, one.added())?;
    let counts = Arc::new(Counts::default());
    let source = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
    // The check knows nothing of the children, which are in Rust.
    let (project, _) = Project::read(vec![source("described.yaml", TEXT)]);
    let builder =
        with_index(Engine::open(folder.join("data")), index).workflow(&PART, part).workflow(&WRITTEN, written);
    let engine = metered(project.install(builder, |_| 1), &counts, one.added()).start().await?;
    let load = |workflow| Load { workflow, input: |n| json!({ "n": n }), adds: ADDS, steps: 0 };
    for workflow in [&WRITTEN, &DESCRIBED] {
        drive(&engine, load(workflow), one.runs / 10 + one.in_flight, one.in_flight).await?;
    }
    drain(&engine)?;
    let mut of_rust = half(&engine, load(&WRITTEN), &counts, one).await?;
    let before = Reading::take(&engine, &counts);
    let latencies = drive(&engine, load(&DESCRIBED), one.runs, one.in_flight).await?;
    let drained = drain(&engine)?;
    let after = Reading::take(&engine, &counts);
    of_rust += half(&engine, load(&WRITTEN), &counts, one).await?;
    let observed = Observed { before, after, wall: after.at - before.at, drained, latencies, steps: 0, watch };
    let figures = observed.figures(&engine).await?;
    engine.shutdown().await;
    let of_rust = OfRust { cpu_us_per_run: of_rust / (one.runs / 2 * 2).max(1) as f64 };
    if of_rust.cpu_us_per_run == 0.0 {
        return Err(Error::Process("no CPU was used in Rust; measure more runs".to_owned()));
    }
    Ok(Figures { of_rust: Some(of_rust), ..figures })
}

/// The CPU of half as many runs, in microseconds.
async fn half(engine: &Engine, load: Load<Value>, counts: &Counts, one: &One) -> Result<f64> {
    let before = Reading::take(engine, counts);
    drive(engine, load, one.runs / 2, one.in_flight).await?;
    drain(engine)?;
    Ok((Reading::take(engine, counts).cpu - before.cpu).as_secs_f64() * 1e6)
}
