//! What the specification says, line by line; each test bears the id of its line.

mod agents;
mod conversations;
mod dialogues;
mod flows;
mod grants;
mod groups;
mod handoffs;
mod odd;
mod people;
mod proven;
mod questions;
mod retries;
mod streams;
mod tasks;
mod tokens;
mod workers;

use rejoin::testkit::{Simulation, World};
use rejoin::{Builder, Failure, Filter, RunError, RunInfo};
use rejoin_tests::lives::{outcome, start, trigger};

/// The result of the main workflow, in a simulation that has come to rest.
fn run(app: Builder) -> (Result<String, RunError>, Simulation) {
    let mut simulation = start(&World::new(1), app);
    let run = trigger(&mut simulation);
    let result = simulation.block_on(run.result()).expect("the run ends");
    simulation.settle();
    (result, simulation)
}

/// What the main workflow results in.
fn said(app: Builder) -> String {
    outcome(app).0.expect("the run completes")
}

/// Runs of a name, oldest first.
fn runs_of(simulation: &Simulation, name: &str) -> Vec<RunInfo> {
    let filter = Filter { workflow: Some(name.into()), ..Filter::default() };
    let mut runs = simulation.engine().list(&filter, None, 100).expect("a list").runs;
    runs.reverse();
    runs
}

/// The code of a failure that was expected.
fn code(result: Result<String, Failure>) -> String {
    result.expect_err("a failure").code().to_owned()
}
