//! C3, D6, E1, F3: what comes back to whoever triggered something, and the boundary of a project.

use super::{run, runs_of, said};
use rejoin::testkit::World;
use rejoin::time::{hours, seconds};
use rejoin::{Agent, Answer, Context, Failure, Filter, Job, Workflow};
use rejoin_tests::lives::{MAIN, OTHER, builder, start};

const REPORT: Job<String, String> = Job::of("reporter");

async fn report(ctx: Context, what: String) -> Result<String, Failure> {
    match &*what {
        "fails" => Err(Failure::business("no-data", "there is none")),
        "breaks" => panic!("a bug"),
        "hangs" => ctx.signal("never").await,
        _ => Ok(format!("a report on {what}")),
    }
}

#[test]
fn spec_e1_a_flow_goes_on_after_completion_failure_refusal_or_timeout_and_can_tell_which() {
    let app = builder().job(&REPORT, report).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let mut told = Vec::new();
        for what in ["sales", "fails", "breaks", "hangs"] {
            let answer = Answer::from(ctx.job(&REPORT, what.to_owned()).timeout(hours(1)).await);
            told.push(format!("{} {:?}", answer.status(), answer.value()));
        }
        let refused: Answer<String> = ctx.job(&Job::<u32, String>::of("ghost"), 1).await.into();
        told.push(format!("{} {}", refused.status(), refused.failure().map_or("", Failure::code)));
        Ok(told.join(", "))
    });
    let expected =
        r#"completed Some("a report on sales"), failed None, error None, timed-out None, failed unknown-workflow"#;
    assert_eq!(said(app), expected);
}

#[test]
fn spec_e1_without_waiting_the_flow_goes_on_at_once() {
    let app = builder().job(&REPORT, report).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let began = ctx.now();
        ctx.request_job(&REPORT, "hangs".to_owned()).await?;
        Ok((ctx.now() == began).to_string())
    });
    let (result, simulation) = run(app);
    assert_eq!(result.unwrap(), "true");
    assert!(!runs_of(&simulation, "reporter")[0].row.status.is_closed());
}

#[test]
fn spec_c3_failure_comes_back_to_the_agent_with_status_and_reason() {
    const HELPER: Job<u32, String> = Job::of("helper");
    let app = builder()
        .agent(Agent::named("helper").grant("other"))
        .workflow(&OTHER, |_, _: u32| async move { Err::<String, _>(Failure::business("sold-out", "none left")) })
        .job(&HELPER, |ctx: Context, n: u32| async move {
            let failure = ctx.call(&OTHER, n).await.expect_err("it fails");
            Ok(format!("I could not do that ({}): {}", failure.code(), failure.details()))
        })
        .workflow(&MAIN, |ctx: Context, n: u32| async move { ctx.job(&HELPER, n).await });
    assert_eq!(said(app), r#"I could not do that (sold-out): "none left""#);
}

#[test]
fn spec_f3_failure_and_timeout_come_back_as_errors_and_the_engine_recovers_nothing() {
    let app = builder()
        .workflow(&OTHER, |ctx: Context, n: u32| async move {
            if n == 0 { Err(Failure::permanent("no")) } else { ctx.signal::<String>("never").await }
        })
        .workflow(&MAIN, |ctx: Context, _: u32| async move {
            let failed = ctx.call(&OTHER, 0).await.expect_err("it fails");
            let late = ctx.call(&OTHER, 1).timeout(seconds(5)).await.expect_err("it is late");
            Ok(format!("{failed}; {}", late.is_timeout()))
        });
    let (result, simulation) = run(app);
    assert_eq!(result.unwrap(), "no; true");
    assert_eq!(runs_of(&simulation, "other").len(), 2, "nothing was tried again");
}

#[test]
fn spec_d6_a_call_stays_in_its_project() {
    // Two projects in one folder: neither names, keys nor lists of one reach the other.
    const THEIRS: Workflow<u32, String> = Workflow::named("theirs");
    let world = World::new(1);
    let echo = |_: Context, n: u32| async move { Ok(n.to_string()) };
    let mut simulation = start(&world, builder().project("a").workflow(&THEIRS, echo));
    let engine = simulation.engine();
    let theirs = simulation.block_on(async move { engine.trigger(&THEIRS, 1).key("k").await.unwrap().id() }).unwrap();
    simulation.settle();
    drop(simulation);
    let app = builder().project("b").workflow(&MAIN, |ctx: Context, n: u32| async move {
        Ok(ctx.call(&THEIRS, n).await.expect_err("it is not of this project").code().to_owned())
    });
    let mut simulation = start(&world, app);
    let engine = simulation.engine();
    let mine = simulation.block_on(async move { engine.trigger(&MAIN, 2).key("k").await.unwrap() }).unwrap();
    assert_ne!(mine.id(), theirs);
    assert_eq!(simulation.block_on(mine.result()).unwrap().unwrap(), "unknown-workflow");
    let listed = simulation.engine().list(&Filter::default(), None, 10).unwrap().runs;
    assert_eq!(listed.iter().map(|run| run.id).collect::<Vec<_>>(), [mine.id()]);
}
