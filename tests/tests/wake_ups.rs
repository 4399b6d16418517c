//! Wake-ups that were once lost: each found by a seed of the simulator.

use rejoin::testkit::World;
use rejoin::time::{hours, seconds};
use rejoin::{Attempt, Builder, Context, Failure, RunStatus};
use rejoin_store::simulated::Outcome;
use rejoin_tests::lives::{MAIN, builder, start, trigger};
use std::future::IntoFuture;

/// A step that fails so many times first.
fn app(failures: u32) -> Builder {
    builder().workflow(&MAIN, move |ctx: Context, _: u32| async move {
        let step = move |attempt: Attempt| async move {
            if attempt.number() <= failures { Err(Failure::transient("not yet")) } else { Ok(attempt.number()) }
        };
        let number: u32 = ctx.step("stubborn", step).await?;
        Ok(number.to_string())
    })
}

#[test]
fn inv_e5_a_first_attempt_does_not_wait_for_a_clock_that_was_put_back() {
    let world = World::new(1);
    let mut simulation = start(&world, app(0));
    let run = trigger(&mut simulation);
    assert_eq!(run.describe().expect("a description").row.status, RunStatus::Running);
    drop((simulation, run));

    let world = world.crash(Outcome::Kept, 1);
    world.turn_back(hours(1));
    let mut simulation = start(&world, app(0));
    simulation.settle();
    let run = trigger(&mut simulation);
    assert_eq!(run.describe().expect("a description").row.status, RunStatus::Completed, "it waits for nothing");
}

#[test]
fn inv_e5_an_attempt_that_is_due_is_not_forgotten_when_a_signal_comes_first() {
    let world = World::new(1);
    let mut simulation = start(&world, app(1));
    let run = trigger(&mut simulation);
    simulation.settle();
    // The pause is over, and before anybody looks at the clock a signal arrives.
    world.pass(seconds(5));
    simulation.block_on(run.signal("hello", &1).into_future()).expect("an answer").expect("taken");
    assert_eq!(simulation.block_on(run.result()).expect("it ends").expect("completed"), "2");
}
