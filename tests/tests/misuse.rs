//! What handlers may not do, handlers that no longer fit their histories, and how code changes without that.

use rejoin::testkit::{self, World};
use rejoin::time::{millis, seconds};
use rejoin::{Context, Either, RunStatus, select};
use rejoin_store::simulated::Outcome;
use rejoin_tests::checks;
use rejoin_tests::lives::{MAIN, OTHER, builder, double, failure, start, trigger, wedged};

#[test]
fn waiting_for_something_outside_the_context_is_a_named_error() {
    let reason = wedged(builder().workflow(&MAIN, |_, _: u32| async move {
        std::future::pending::<()>().await;
        Ok(String::new())
    }));
    assert!(reason.contains("did not come from its context"), "{reason}");
}

#[test]
fn a_wake_from_outside_the_context_is_a_named_error() {
    let app = builder().workflow(&MAIN, |ctx: Context, _: u32| async move {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            std::thread::sleep(millis(50));
            let _ = sender.send(());
        });
        let _ = select(ctx.signal::<String>("never"), receiver).await;
        Ok(String::new())
    });
    let mut simulation = start(&World::new(1), app);
    let run = trigger(&mut simulation);
    while run.describe().unwrap().row.status != RunStatus::Wedged {
        std::thread::sleep(millis(5));
        simulation.settle();
    }
    let reason = run.describe().unwrap().row.trouble.unwrap();
    assert!(reason.contains("woken by something that did not come from its context"), "{reason}");
}

#[test]
fn polling_in_a_rotating_order_is_a_named_error() {
    let reason = wedged(builder().workflow(&MAIN, |ctx: Context, n: u32| async move {
        // tokio's join begins with another branch each time it is polled.
        let steps = async {
            ctx.step("one", move || double(n)).await?;
            ctx.step("two", move || double(n)).await
        };
        let (a, b, c) = tokio::join!(steps, ctx.signal::<String>("never"), ctx.signal::<String>("nor this"));
        a?;
        b?;
        c
    }));
    assert!(reason.contains("another order than before"), "{reason}");
}

#[test]
fn an_option_that_comes_too_late_is_a_named_error() {
    let reason = wedged(builder().workflow(&MAIN, |ctx: Context, n: u32| async move {
        let step = ctx.step("early", move || double(n));
        ctx.step("other", move || double(n)).await?;
        step.retry(3).await?;
        ctx.signal("never").await
    }));
    assert!(reason.contains("after it had been sequenced"), "{reason}");
}

#[test]
fn spec_a9_a_mismatch_wedges_the_run_and_mended_code_goes_on() {
    let old = || {
        builder().workflow(&MAIN, |ctx: Context, n: u32| async move {
            let n = ctx.step("compute", move || double(n)).await?;
            let word: String = ctx.signal("word").await?;
            Ok(format!("{n} {word}"))
        })
    };
    let broken = builder().workflow(&MAIN, |ctx: Context, n: u32| async move {
        let n = ctx.step("calculate", move || double(n)).await?;
        Ok(n.to_string())
    });
    let world = World::new(1);
    let mut simulation = start(&world, old());
    let id = trigger(&mut simulation).id();
    simulation.settle();
    drop(simulation);

    let mut simulation = start(&world, broken);
    let engine = simulation.engine();
    simulation.block_on(async move { engine.run::<String>(id).signal("word", "hello").await }).unwrap().unwrap();
    let info = simulation.engine().describe(id).unwrap();
    assert_eq!(info.row.status, RunStatus::Wedged);
    let reason = info.row.trouble.unwrap();
    assert!(reason.contains("event 1.2"), "{reason}");
    assert!(reason.contains("compute") && reason.contains("calculate"), "{reason}");
    drop(simulation);

    let mut simulation = start(&world, old());
    let engine = simulation.engine();
    let result = simulation.block_on(async move { engine.run::<String>(id).result().await }).unwrap();
    assert_eq!(result.unwrap(), "2 hello");
    drop(simulation);
    let all = checks::histories(world.crash(Outcome::Kept, 0).disk()).unwrap();
    assert_eq!(checks::violations(&all), Vec::<String>::new());
}

#[test]
fn spec_a9_a_wedged_run_can_be_cancelled_and_others_go_on() {
    let world = World::new(1);
    let waits = |ctx: Context, _: u32| async move { ctx.signal::<String>("never").await };
    let mut simulation = start(&world, builder().workflow(&MAIN, waits).workflow(&OTHER, waits));
    let id = trigger(&mut simulation).id();
    simulation.settle();
    drop(simulation);
    // Its handler is not there any more.
    let app = builder().workflow(&OTHER, |_, n: u32| async move { Ok(n.to_string()) });
    let mut simulation = start(&world, app);
    let engine = simulation.engine();
    let other = simulation.block_on({
        let engine = engine.clone();
        async move { engine.trigger(&OTHER, 5).await.unwrap().result().await }
    });
    assert_eq!(other.unwrap().unwrap(), "5");
    let ended = simulation.block_on(async move {
        engine.run::<String>(id).cancel("obsolete").await.unwrap();
        assert_eq!(engine.describe(id).unwrap().row.status, RunStatus::Wedged);
        engine.run::<String>(id).result().await
    });
    assert!(failure(ended.unwrap()).is_cancelled());
}

#[test]
fn patched_takes_the_old_way_for_old_runs_and_the_new_one_for_new_runs() {
    let old = || {
        builder().workflow(&MAIN, |ctx: Context, n: u32| async move {
            ctx.step("one", move || double(n)).await?;
            ctx.signal::<String>("go").await?;
            ctx.step("old", move || double(n)).await?;
            Ok("old".to_owned())
        })
    };
    let new = || {
        builder().workflow(&MAIN, |ctx: Context, n: u32| async move {
            if ctx.patched("first") {
                ctx.step("one, but better", move || double(n)).await?;
            } else {
                ctx.step("one", move || double(n)).await?;
            }
            ctx.signal::<String>("go").await?;
            if ctx.patched("second") {
                ctx.step("new", move || double(n)).await?;
                return Ok(format!("new, first {}", ctx.patched("first")));
            }
            ctx.step("old", move || double(n)).await?;
            Ok("old".to_owned())
        })
    };
    let world = World::new(1);
    let mut simulation = start(&world, old());
    let before = trigger(&mut simulation).id();
    simulation.settle();
    drop(simulation);
    let mut simulation = start(&world, new());
    let engine = simulation.engine();
    let said = simulation.block_on(async move {
        let after = engine.trigger(&MAIN, 2).key("another").await.unwrap();
        let before = engine.run::<String>(before);
        let mut said = Vec::new();
        for run in [before, after] {
            run.signal("go", "go").await.unwrap();
            said.push(run.result().await.unwrap());
            testkit::replay(new(), run.id(), &run.history().unwrap()).unwrap();
        }
        said
    });
    // The old run passed the first place before the change and reached the second one after it.
    assert_eq!(said.unwrap(), ["new, first true", "new, first true"]);
}

#[test]
fn spec_a15_a_run_keeps_the_version_that_it_was_triggered_with() {
    let first = |ctx: Context, _: u32| async move { Ok(format!("one {}", ctx.signal::<String>("go").await?)) };
    let second = |ctx: Context, _: u32| async move { Ok(format!("two {}", ctx.signal::<String>("go").await?)) };
    let world = World::new(1);
    let mut simulation = start(&world, builder().workflow(&MAIN, first));
    let old = trigger(&mut simulation).id();
    drop(simulation);
    let mut simulation = start(&world, builder().workflow(&MAIN, first).workflow(&MAIN.version(2), second));
    let engine = simulation.engine();
    let said = simulation.block_on(async move {
        let new = engine.trigger(&MAIN, 1).await.unwrap().id();
        let mut said = Vec::new();
        for id in [old, new] {
            let run = engine.run::<String>(id);
            run.signal("go", "on").await.unwrap();
            said.push(run.result().await.unwrap());
        }
        said
    });
    assert_eq!(said.unwrap(), ["one on", "two on"]);
}

#[test]
fn a_loop_may_poll_the_same_operations_again() {
    let mut simulation = start(
        &World::new(1),
        builder().workflow(&MAIN, |ctx: Context, _: u32| async move {
            let (mut first, mut second) =
                (Box::pin(ctx.signal::<String>("first")), Box::pin(ctx.signal::<String>("second")));
            let mut ticks = 0;
            loop {
                match select(select(&mut first, &mut second), ctx.sleep(seconds(1))).await {
                    Either::First(Either::First(said) | Either::Second(said)) => {
                        return Ok(format!("{ticks} {}", said?));
                    }
                    Either::Second(slept) => slept?,
                }
                ticks += 1;
                if ticks == 5 {
                    return Ok("five ticks".to_owned());
                }
            }
        }),
    );
    let run = trigger(&mut simulation);
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), "five ticks");
}
