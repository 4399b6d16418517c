//! The specification, line by line, through definitions in files; each test bears the id of its line.

mod agents;
mod diagnostics;
mod flows;
mod guide;
mod nodes;
mod pages;
mod people;
mod proven;
mod random;
mod stages;

use rejoin::definition::{Project, Source};
use rejoin::testkit::{Simulation, World};
use rejoin::{Builder, Context, Failure, Filter, Job, RunError, RunHandle, RunInfo, Task, Workflow};
use rejoin_tests::lives::{builder, start};
use serde_json::{Value, json};

/// The workflow that tests are about.
const MAIN: Workflow<Value, Value> = Workflow::named("main");

/// A project of a declaration and workflows, which must be sound.
fn project(files: &[&str]) -> Project {
    let (project, found) = read(files);
    assert!(!found.has_errors(), "{}", found.text(&project.sources));
    project
}

/// What is in files, and what is wrong with it. The first may declare the project.
fn read(files: &[&str]) -> (Project, rejoin::definition::Diagnostics) {
    let name =
        |number: usize, text: &str| match text.contains("workflow:") && text.trim_start().starts_with("workflow:") {
            true => format!("{number}.yaml"),
            false => "rejoin.yaml".to_owned(),
        };
    let source = |(number, text): (usize, &&str)| Source { name: name(number, text), text: (*text).to_owned() };
    Project::read(files.iter().enumerate().map(source).collect())
}

/// An engine with a project, and agents that are functions of this process: `echo` says what it is told, `judge` answers with
/// the fields of a JSON text, `broken` fails.
fn app(files: &[&str]) -> Builder {
    let project = project(files);
    let builder = project.install(builder(), |_| 1);
    agents(builder)
}

const ECHO: Job<Task, Value> = Job::tasks("echo");
const JUDGE: Job<Task, Value> = Job::tasks("judge");
const BROKEN: Job<Task, Value> = Job::tasks("broken");
const CALLER: Job<Task, Value> = Job::tasks("caller");
const DOUBLE: Job<Value, Value> = Job::of("double");

/// What the agents of [`AGENTS`] do.
fn agents(builder: Builder) -> Builder {
    builder
        .job(&ECHO, |_: Context, task: Task| async move { Ok(Value::String(task.description)) })
        .job(&JUDGE, |_: Context, task: Task| async move {
            Ok(serde_json::from_str(&task.description).unwrap_or(Value::Null))
        })
        .job(&BROKEN, |_: Context, _: Task| async move { Err::<Value, _>(Failure::business("broken", ())) })
        .job(&CALLER, |ctx: Context, task: Task| async move {
            ctx.call_json(&task.description, &json!({ "n": 1 })).message("by an agent").await
        })
        .job(&DOUBLE, |_: Context, input: Value| async move { Ok(json!(input["n"].as_i64().unwrap_or(0) * 2)) })
}

/// A declaration of those agents and two persons.
const AGENTS: &str = "
agents:
  echo: { rust: true }
  judge: { rust: true }
  broken: { rust: true }
  caller: { rust: true }
  double: { rust: true }
persons: [ann, bob]
channels: { desk: console }
";

/// A life with a run of the main workflow.
fn begin(builder: Builder, input: Value) -> (Simulation, RunHandle<Value>) {
    let mut simulation = start(&World::new(1), builder);
    let engine = simulation.engine();
    let run = simulation.block_on(async move { engine.trigger(&MAIN, input).key("the run").await });
    let run = run.expect("an answer").expect("a run");
    (simulation, run)
}

/// How the main workflow ends, with this input.
fn ends(files: &[&str], input: Value) -> Result<Value, Failure> {
    let (mut simulation, run) = begin(app(files), input);
    match simulation.block_on(run.result()).expect("the run ends") {
        Ok(value) => Ok(value),
        Err(RunError::Failed(failure)) => Err(failure),
        Err(other) => panic!("{other}"),
    }
}

/// What it gives, where it declares that.
fn gives(files: &[&str], input: Value) -> Value {
    ends(files, input).expect("the run completes")
}

/// Runs of a name, oldest first.
fn runs_of(simulation: &Simulation, name: &str) -> Vec<RunInfo> {
    let filter = Filter { workflow: Some(name.into()), ..Filter::default() };
    let mut runs = simulation.engine().list(&filter, None, 100).expect("a list").runs;
    runs.reverse();
    runs
}
