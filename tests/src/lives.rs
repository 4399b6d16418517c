//! Short lives of a simulated process, as most tests of handlers need them.

use rejoin::history::Entry;
use rejoin::testkit::{Simulation, World};
use rejoin::{Builder, Engine, Failure, RunError, RunHandle, RunStatus, Workflow};

/// The workflow that most tests are about.
pub const MAIN: Workflow<u32, String> = Workflow::named("main");
/// Another one, often its child.
pub const OTHER: Workflow<u32, String> = Workflow::named("other");

/// An engine without handlers; its folder is simulated.
pub fn builder() -> Builder {
    Engine::open("simulated")
}

/// Starts a life in a world.
///
/// # Panics
///
/// If it does not start.
pub fn start(world: &World, builder: Builder) -> Simulation {
    Simulation::start(world, builder).expect("the simulation starts")
}

/// Triggers the main workflow under a fixed key.
///
/// # Panics
///
/// If it is refused.
pub fn trigger(simulation: &mut Simulation) -> RunHandle<String> {
    let engine = simulation.engine();
    let request = async move { engine.trigger(&MAIN, 1).key("the run").await };
    simulation.block_on(request).expect("an answer").expect("a run")
}

/// Starts, triggers, waits for the end; the result, and the run's history.
pub fn outcome(builder: Builder) -> (Result<String, RunError>, Vec<Entry>) {
    let mut simulation = start(&World::new(1), builder);
    let run = trigger(&mut simulation);
    let result = simulation.block_on(run.result()).expect("the run ends");
    (result, run.history().expect("a history"))
}

/// The failure that a run ended with.
///
/// # Panics
///
/// If it did not.
pub fn failure(result: Result<String, RunError>) -> Failure {
    match result {
        Err(RunError::Failed(failure)) => failure,
        other => panic!("a failure was expected, not {other:?}"),
    }
}

/// Why a run is wedged, after everything has settled.
pub fn wedged(builder: Builder) -> String {
    let mut simulation = start(&World::new(1), builder);
    let run = trigger(&mut simulation);
    simulation.settle();
    let info = run.describe().expect("a description");
    assert_eq!(info.row.status, RunStatus::Wedged);
    info.row.trouble.expect("a reason")
}

/// A step that cannot fail.
///
/// # Errors
///
/// None.
pub async fn double(n: u32) -> Result<u32, Failure> {
    Ok(n * 2)
}
