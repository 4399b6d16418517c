//! Children: what their callers are told, who may call whom, and who is cancelled with whom.

use rejoin::testkit::{Simulation, World};
use rejoin::time::{hours, seconds};
use rejoin::{Context, Either, Failure, Filter, OnTimeout, RunId, RunStatus, Workflow, select};
use rejoin_tests::lives::{MAIN, OTHER, builder, failure, outcome, start, trigger};

#[test]
fn spec_b1_a_child_that_fails_tells_its_parent_why() {
    let app = builder()
        .workflow(&OTHER, |_, _: u32| async move { Err::<String, _>(Failure::business("sold-out", 7)) })
        .workflow(&MAIN, |ctx: Context, n: u32| async move {
            let refusal = ctx.call(&OTHER, n).await.expect_err("the child fails");
            Ok(format!("{} {}", refusal.code(), refusal.details()))
        });
    assert_eq!(outcome(app).0.unwrap(), "sold-out 7");
}

#[test]
fn spec_b12_a_wait_that_times_out_cancels_the_child_or_lets_it_go() {
    for (then, status) in [(OnTimeout::Cancel, RunStatus::Cancelled), (OnTimeout::Detach, RunStatus::Suspended)] {
        let app = builder()
            .workflow(&OTHER, |ctx: Context, _: u32| async move { ctx.signal::<String>("never").await })
            .workflow(&MAIN, move |ctx: Context, n: u32| async move {
                let late = ctx.call(&OTHER, n).timeout(hours(1)).on_timeout(then).await.expect_err("it is late");
                assert!(late.is_timeout());
                Ok(ctx.run_id().to_string())
            });
        let mut simulation = start(&World::new(1), app);
        let run = trigger(&mut simulation);
        let parent = simulation.block_on(run.result()).unwrap().unwrap().parse::<RunId>().unwrap();
        simulation.settle();
        let filter = Filter { parent: Some(parent), ..Filter::default() };
        let children = simulation.engine().list(&filter, None, 10).unwrap().runs;
        assert_eq!(children.len(), 1);
        assert_eq!(children[0].row.status, status, "{then:?}");
    }
}

#[test]
fn spec_b13_a_dropped_call_cancels_its_child() {
    let app = builder()
        .workflow(&OTHER, |ctx: Context, _: u32| async move { ctx.signal::<String>("never").await })
        .workflow(&MAIN, |ctx: Context, n: u32| async move {
            match select(ctx.call(&OTHER, n), ctx.sleep(seconds(5))).await {
                Either::First(answer) => answer,
                Either::Second(slept) => slept.map(|()| "gave up".to_owned()),
            }
        });
    let mut simulation = start(&World::new(1), app);
    let run = trigger(&mut simulation);
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), "gave up");
    simulation.settle();
    let filter = Filter { parent: Some(run.id()), ..Filter::default() };
    let children = simulation.engine().list(&filter, None, 10).unwrap().runs;
    assert_eq!(children[0].row.status, RunStatus::Cancelled);
}

#[test]
fn spec_f10_a_chain_deeper_than_the_limit_is_refused_with_its_path() {
    const A: Workflow<u32, String> = Workflow::named("A");
    const B: Workflow<u32, String> = Workflow::named("B");
    const C: Workflow<u32, String> = Workflow::named("C");
    const D: Workflow<u32, String> = Workflow::named("D");
    let app = builder()
        .workflow(&D, |_, _: u32| async move { Ok("too deep".to_owned()) })
        .workflow(&C, |ctx: Context, n: u32| async move { ctx.call(&D, n).await })
        .workflow(&B, |ctx: Context, n: u32| async move { ctx.call(&C, n).await })
        .workflow(&A, |ctx: Context, n: u32| async move { ctx.call(&B, n).await })
        .workflow(&MAIN, |_, _: u32| async move { Ok(String::new()) });
    let mut simulation = start(&World::new(1), app);
    let engine = simulation.engine();
    let result = simulation.block_on(async move { engine.trigger(&A, 1).await.unwrap().result().await }).unwrap();
    let refusal = failure(result);
    assert_eq!(refusal.code(), "depth-limit");
    assert!(refusal.message().contains("A -> B -> C -> D"), "{refusal}");
    let page = simulation.engine().list(&Filter::default(), None, 10).unwrap();
    assert_eq!(page.runs.len(), 3, "D never started");
}

#[test]
fn spec_f10_a_workflow_may_not_trigger_itself_unless_it_says_so() {
    let app = |workflow: Workflow<u32, String>| {
        builder().workflow(&workflow, move |ctx: Context, n: u32| async move {
            if n == 2 { Ok("the second".to_owned()) } else { ctx.call(&workflow, n + 1).await }
        })
    };
    let refusal = failure(outcome(app(MAIN)).0);
    assert_eq!(refusal.code(), "recursion");
    assert_eq!(outcome(app(MAIN.reentrant())).0.unwrap(), "the second");
}

#[test]
fn spec_b13_only_a_cancel_of_the_whole_tree_ends_children_that_nobody_waits_for() {
    let app = || {
        builder().workflow(&OTHER, |ctx: Context, _: u32| async move { ctx.signal::<String>("never").await }).workflow(
            &MAIN,
            |ctx: Context, n: u32| async move {
                ctx.spawn(&OTHER, n).await?;
                Ok("spawned".to_owned())
            },
        )
    };
    let mut simulation = start(&World::new(1), app());
    let run = trigger(&mut simulation);
    simulation.block_on(run.result()).unwrap().unwrap();
    let child = |simulation: &Simulation| {
        let filter = Filter { workflow: Some("other".into()), ..Filter::default() };
        simulation.engine().list(&filter, None, 2).unwrap().runs[0].row.status
    };
    assert_eq!(child(&simulation), RunStatus::Suspended);
    let late = simulation.block_on(async { run.cancel("late").await }).unwrap();
    assert!(late.is_err(), "a run that has ended cannot be cancelled");
    assert_eq!(child(&simulation), RunStatus::Suspended);
    simulation.block_on(async { run.cancel("all of it").tree().await }).unwrap().unwrap();
    simulation.settle();
    assert_eq!(child(&simulation), RunStatus::Cancelled);
}

#[test]
fn inv_e6_a_cancel_of_the_whole_tree_reaches_what_a_finished_child_left_behind() {
    const LOOSE: Workflow<u32, String> = Workflow::named("loose");
    for cancelled_before in [false, true] {
        let app = builder()
            .workflow(&LOOSE, |ctx: Context, _: u32| async move { ctx.signal::<String>("never").await })
            .workflow(&OTHER, |ctx: Context, n: u32| async move {
                ctx.spawn(&LOOSE, n).await?;
                Ok("left one behind".to_owned())
            })
            .workflow(&MAIN, |ctx: Context, n: u32| async move {
                ctx.call(&OTHER, n).await?;
                let waited = ctx.signal::<String>("never").await;
                ctx.sleep(seconds(5)).await?;
                waited
            });
        let mut simulation = start(&World::new(1), app);
        let run = trigger(&mut simulation);
        simulation.settle();
        simulation
            .block_on(async {
                if cancelled_before {
                    run.cancel("once").await.unwrap();
                }
                run.cancel("all of it").tree().await.unwrap();
            })
            .unwrap();
        simulation.settle();
        let filter = Filter { workflow: Some("loose".into()), ..Filter::default() };
        let loose = simulation.engine().list(&filter, None, 2).unwrap().runs;
        assert_eq!(loose[0].row.status, RunStatus::Cancelled);
    }
}
