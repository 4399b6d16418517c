//! What handlers may do, what they may not, and what becomes of those that do it anyway.

use rejoin::history::Entry;
use rejoin::testkit::{self, Simulation, World};
use rejoin::time::{hours, millis, seconds};
use rejoin::{
    Builder, Context, Either, Engine, Event, Failure, FailureKind, Filter, Limits, OnTimeout, RunError, RunHandle,
    RunId, RunStatus, Settings, TriggerError, Unordered, Workflow, join, select,
};
use rejoin_store::simulated::{Fault, Outcome};
use rejoin_tests::checks;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const MAIN: Workflow<u32, String> = Workflow::named("main");
const OTHER: Workflow<u32, String> = Workflow::named("other");

fn builder() -> Builder {
    Engine::open("simulated")
}

fn start(world: &World, builder: Builder) -> Simulation {
    Simulation::start(world, builder).expect("the simulation starts")
}

fn trigger(simulation: &mut Simulation) -> RunHandle<String> {
    let engine = simulation.engine();
    let request = async move { engine.trigger(&MAIN, 1).key("the run").await };
    simulation.block_on(request).expect("an answer").expect("a run")
}

/// Starts, triggers, waits for the end; the result, and the run's history.
fn outcome(builder: Builder) -> (Result<String, RunError>, Vec<Entry>) {
    let mut simulation = start(&World::new(1), builder);
    let run = trigger(&mut simulation);
    let result = simulation.block_on(run.result()).expect("the run ends");
    (result, run.history().expect("a history"))
}

fn failure(result: Result<String, RunError>) -> Failure {
    match result {
        Err(RunError::Failed(failure)) => failure,
        other => panic!("a failure was expected, not {other:?}"),
    }
}

/// Why a run is wedged, after everything has settled.
fn wedged(builder: Builder) -> String {
    let mut simulation = start(&World::new(1), builder);
    let run = trigger(&mut simulation);
    simulation.settle();
    let info = run.describe().expect("a description");
    assert_eq!(info.row.status, RunStatus::Wedged);
    info.row.trouble.expect("a reason")
}

async fn double(n: u32) -> Result<u32, Failure> {
    Ok(n * 2)
}

#[test]
fn spec_a6_a_panic_is_a_typed_failure_of_the_run() {
    let (result, history) = outcome(builder().workflow(&MAIN, |_, n: u32| async move {
        assert!(n == 0, "cannot do {n}");
        Ok(String::new())
    }));
    let failure = failure(result);
    assert_eq!(failure.kind(), FailureKind::Panic);
    assert!(failure.message().contains("cannot do 1"), "{failure}");
    assert!(matches!(history.last().unwrap().transition.events.last(), Some(Event::Failed { .. })));
}

#[test]
fn spec_a6_a_panic_in_a_step_is_a_failed_attempt() {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = tries.clone();
    let (result, _) = outcome(builder().workflow(&MAIN, move |ctx: Context, _: u32| {
        let tries = counted.clone();
        async move {
            let step = move || {
                assert!(tries.fetch_add(1, Ordering::SeqCst) == 1, "the first time");
                Ok::<_, Failure>("the second time".to_owned())
            };
            ctx.step("fragile", step).retry(2).await
        }
    }));
    assert_eq!(result.unwrap(), "the second time");
    assert_eq!(tries.load(Ordering::SeqCst), 2);
}

#[test]
fn a_step_that_fails_for_good_says_why() {
    let (result, _) = outcome(builder().workflow(&MAIN, |ctx: Context, _: u32| async move {
        ctx.step("read", || std::fs::read_to_string("/nowhere/at/all")).retry(2).await
    }));
    assert!(failure(result).message().contains("No such file"));
}

#[test]
fn a_step_that_takes_too_long_has_failed() {
    let (result, _) = outcome(builder().workflow(&MAIN, |ctx: Context, _: u32| async move {
        let never = || std::future::pending::<Result<String, Failure>>();
        ctx.step("hang", never).timeout(seconds(3)).retry(2).await
    }));
    let failure = failure(result);
    assert!(failure.is_timeout(), "{failure:?}");
    assert!(failure.message().contains("attempt 2"), "{failure}");
}

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
fn an_unknown_workflow_is_refused_by_name_to_clients_and_handlers() {
    let app = builder().workflow(&MAIN, |ctx: Context, n: u32| async move { ctx.call(&OTHER, n).await });
    let mut simulation = start(&World::new(1), app);
    let engine = simulation.engine();
    let refused = simulation.block_on(async move { engine.trigger(&OTHER, 1).await }).unwrap().err().unwrap();
    assert!(matches!(&refused, TriggerError::UnknownWorkflow(text) if text.contains("other") && text.contains("main")));
    let run = trigger(&mut simulation);
    let refusal = failure(simulation.block_on(run.result()).unwrap());
    assert_eq!(refusal.code(), "unknown-workflow");
}

#[test]
fn a_wrong_input_starts_nothing() {
    let mut simulation = start(&World::new(1), builder().workflow(&MAIN, |_, n: u32| async move { Ok(n.to_string()) }));
    let engine = simulation.engine();
    let input = serde_json::json!({"week": 3});
    let refused = simulation.block_on(async move { engine.trigger_json("main", &input).await }).unwrap().err().unwrap();
    assert!(matches!(refused, TriggerError::BadInput { .. }), "{refused}");
    assert!(simulation.engine().list(&Filter::default(), None, 10).unwrap().runs.is_empty());
}

#[test]
fn spec_a13_limits_are_clear_errors() {
    let limits = Limits { payload_bytes: 100, history: 20, ..Limits::default() };
    const TEXT: Workflow<String, String> = Workflow::named("text");
    let app = builder().limits(limits).workflow(&TEXT, |_, text: String| async move { Ok(text) }).workflow(
        &MAIN,
        |ctx: Context, n: u32| async move {
            for _ in 0..100 {
                ctx.step("again", move || double(n)).await?;
            }
            Ok(String::new())
        },
    );
    let mut simulation = start(&World::new(1), app);
    let engine = simulation.engine();
    let large = "x".repeat(200);
    let refused = simulation.block_on(async move { engine.trigger(&TEXT, large).await }).unwrap().err().unwrap();
    assert!(refused.to_string().contains("over the limit of 100"), "{refused}");
    let run = trigger(&mut simulation);
    let ended = failure(simulation.block_on(run.result()).unwrap());
    assert_eq!(ended.kind(), FailureKind::Limit);
    assert!(ended.message().contains("continue as new"), "{ended}");
}

#[test]
fn spec_g2_a_key_is_one_run_and_another_input_under_it_an_error() {
    let mut simulation = start(&World::new(1), builder().workflow(&MAIN, |_, n: u32| async move { Ok(n.to_string()) }));
    let engine = simulation.engine();
    let (first, same, other) = simulation
        .block_on(async move {
            let first = engine.trigger(&MAIN, 1).key("k").await.unwrap();
            first.result().await.unwrap();
            let same = engine.trigger(&MAIN, 1).key("k").await.unwrap();
            (first.id(), same.id(), engine.trigger(&MAIN, 2).key("k").await.err().unwrap())
        })
        .unwrap();
    assert_eq!(first, same);
    assert!(matches!(other, TriggerError::KeyConflict { run, .. } if run == first));
}

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
fn concurrency_inside_a_handler_is_deterministic() {
    let app = || {
        builder().workflow(&MAIN, |ctx: Context, n: u32| async move {
            let (slept, doubled) = join((ctx.sleep(seconds(1)), ctx.step("double", move || double(n)))).await;
            slept?;
            let mut set = Unordered::new();
            for index in 0..10 {
                let ctx = ctx.clone();
                set.push(async move {
                    let wait = seconds(u64::from(10 - index));
                    ctx.sleep(wait).await?;
                    ctx.step("work", move || double(index)).await
                });
            }
            let mut order = Vec::new();
            while let Some(done) = set.next().await {
                order.push(done?.to_string());
            }
            Ok(format!("{} {}", doubled?, order.join(",")))
        })
    };
    let (result, history) = outcome(app());
    assert_eq!(result.unwrap(), "2 18,16,14,12,10,8,6,4,2,0");
    let run = match &history[0].transition.events[0] {
        Event::Triggered(_) => RunId([0; 16]),
        other => panic!("{other:?}"),
    };
    for cut in 1..=history.len() {
        testkit::replay(app(), run, &history[..cut]).unwrap();
    }
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
fn spec_a7_evicted_handlers_are_read_again_from_their_histories() {
    let settings = Settings { parked: 1, ..Settings::default() };
    let app = builder().settings(settings).workflow(&MAIN, |ctx: Context, n: u32| async move {
        let doubled = ctx.step("double", move || double(n)).await?;
        let word: String = ctx.signal("word").await?;
        Ok(format!("{doubled} {word}"))
    });
    let mut simulation = start(&World::new(1), app);
    let engine = simulation.engine();
    let said = simulation.block_on(async move {
        let mut runs = Vec::new();
        for n in 0..20 {
            runs.push(engine.trigger(&MAIN, n).await.unwrap());
        }
        let mut said = Vec::new();
        for run in runs {
            run.signal("word", "w").await.unwrap();
            said.push(run.result().await.unwrap());
        }
        said
    });
    let expected: Vec<String> = (0..20).map(|n| format!("{} w", n * 2)).collect();
    assert_eq!(said.unwrap(), expected);
}

#[test]
fn inv_e9_a_timer_is_never_early_when_the_clock_goes_back() {
    let app = builder().workflow(&MAIN, |ctx: Context, _: u32| async move {
        ctx.sleep(hours(1)).await?;
        Ok(ctx.now().0.to_string())
    });
    let world = World::new(1);
    let mut simulation = start(&world, app);
    let run = trigger(&mut simulation);
    let due = world.now().after(hours(1).into());
    world.turn_back(hours(5));
    let woke: i64 = simulation.block_on(run.result()).unwrap().unwrap().parse().unwrap();
    assert!(woke >= due.0, "{woke} is before {}", due.0);
    let history = run.history().unwrap();
    assert!(history.windows(2).all(|pair| pair[0].time <= pair[1].time));
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
fn spec_a13_a_handler_knows_how_long_its_history_is() {
    let app = || {
        builder().workflow(&MAIN, |ctx: Context, n: u32| async move {
            ctx.step("one", move || double(n)).await?;
            if n < 4 { Err(ctx.continue_as_new(n + 1)) } else { Ok(ctx.history_length().to_string()) }
        })
    };
    let app_with_more = builder().workflow(&MAIN, |ctx: Context, n: u32| async move {
        while ctx.history_length() < 40 {
            ctx.step("again", move || double(n)).await?;
        }
        Ok(ctx.history_length().to_string())
    });
    let (result, history) = outcome(app_with_more);
    assert!(result.unwrap().parse::<usize>().unwrap() >= 40);
    assert!(history.len() >= 20);
    let mut simulation = start(&World::new(1), app());
    let run = trigger(&mut simulation);
    simulation.settle();
    assert!(run.describe().unwrap().row.incarnation > 0);
}

#[test]
fn inv_s3_a_follower_neither_skips_nor_repeats_and_ends_with_the_run() {
    let app = builder().workflow(&MAIN, |ctx: Context, n: u32| async move {
        for _ in 0..300 {
            ctx.step("again", move || double(n)).await?;
        }
        Ok(String::new())
    });
    let mut simulation = start(&World::new(1), app);
    let run = trigger(&mut simulation);
    let mut follow = run.follow();
    let seen = simulation.block_on(async move {
        let mut seen = Vec::new();
        while let Some((_, entry)) = follow.next().await.unwrap() {
            seen.push(entry);
        }
        seen
    });
    assert_eq!(seen.unwrap(), run.history().unwrap());
}

#[test]
fn a_run_is_found_by_its_key() {
    let mut simulation = start(&World::new(1), builder().workflow(&MAIN, |_, n: u32| async move { Ok(n.to_string()) }));
    assert!(simulation.engine().find(&MAIN, "the run").is_none());
    let run = trigger(&mut simulation);
    assert_eq!(simulation.engine().find(&MAIN, "the run").unwrap().id(), run.id());
    assert!(simulation.engine().find(&MAIN, "another").is_none());
}

#[test]
fn inv_e10_a_signal_sent_again_after_the_end_is_answered_as_the_first_time() {
    let app = builder().workflow(&MAIN, |ctx: Context, _: u32| async move { ctx.signal::<String>("go").await });
    let mut simulation = start(&World::new(1), app);
    let run = trigger(&mut simulation);
    simulation
        .block_on(async {
            run.signal("go", "on").id("once").await.unwrap();
            run.result().await.unwrap();
            run.signal("go", "on").id("once").await.expect("it came");
            run.signal("go", "on").id("twice").await.expect_err("it comes too late");
        })
        .unwrap();
}

#[test]
fn inv_s10_results_that_the_full_disk_had_no_room_for_are_recorded_later() {
    let app = builder()
        .workflow(&OTHER, |ctx: Context, _: u32| async move { ctx.signal::<String>("never").await })
        .workflow(&MAIN, |ctx: Context, _: u32| async move {
            let step = |attempt: rejoin::Attempt| match attempt.number() {
                1 => Err(Failure::transient("not yet")),
                number => Ok(format!("attempt {number}")),
            };
            let said = ctx.step("stubborn", step).await?;
            ctx.sleep(seconds(1)).await?;
            Ok(said)
        });
    let world = World::new(1);
    let mut simulation = start(&world, app);
    let run = trigger(&mut simulation);
    let engine = simulation.engine();
    let sink = simulation.block_on(async move { engine.trigger(&OTHER, 1).await.unwrap() }).unwrap();
    simulation.settle();
    world.disk().plan(Fault::RoomFor(0));
    let refused = simulation.block_on(async move {
        loop {
            if let Err(error) = sink.signal("filler", &"x".repeat(50)).await {
                break error;
            }
        }
    });
    assert!(matches!(refused.unwrap(), RunError::Store(failure) if failure.is_disk_full()));
    // The pause before the second attempt ends; its result finds no room, again and again.
    for _ in 0..5 {
        world.pass(seconds(1));
        simulation.settle();
    }
    assert_eq!(run.describe().unwrap().row.status, RunStatus::Running);
    world.disk().plan(Fault::None);
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), "attempt 2");
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

#[test]
fn inv_e9_a_timer_beside_a_step_that_was_tried_again_is_not_forgotten() {
    let (result, _) = outcome(builder().workflow(&MAIN, |ctx: Context, _: u32| async move {
        let step = |attempt: rejoin::Attempt| async move {
            if attempt.number() == 1 {
                return Err(Failure::transient("not yet"));
            }
            std::future::pending::<Result<String, Failure>>().await
        };
        match select(ctx.step("stubborn", step), ctx.sleep(hours(5))).await {
            Either::First(said) => said,
            Either::Second(slept) => slept.map(|()| "late".to_owned()),
        }
    }));
    assert_eq!(result.unwrap(), "late");
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

#[test]
fn inv_e10_of_two_early_signals_in_a_select_none_is_lost() {
    let app = || {
        builder().workflow(&MAIN, |ctx: Context, n: u32| async move {
            ctx.step("first", move || double(n)).await?;
            let mut said = Vec::new();
            while said.len() < 2 {
                match select(ctx.signal::<String>("x"), ctx.signal::<String>("y")).await {
                    Either::First(word) | Either::Second(word) => said.push(word?),
                }
            }
            Ok(said.join(" "))
        })
    };
    let mut simulation = start(&World::new(1), app());
    let engine = simulation.engine();
    let said = simulation.block_on(async move {
        let run = engine.trigger(&MAIN, 1).await.unwrap();
        // Both come in the same moment as the step's result, or before it.
        let (first, second) = join((
            Box::pin(async { run.signal("y", "second").await }),
            Box::pin(async { run.signal("x", "first").await }),
        ))
        .await;
        first.unwrap();
        second.unwrap();
        let said = run.result().await.unwrap();
        testkit::replay(app(), run.id(), &run.history().unwrap()).unwrap();
        said
    });
    assert_eq!(said.unwrap().split(' ').count(), 2);
}

#[test]
fn a_handler_that_continues_as_new_without_waiting_does_not_hold_up_others() {
    let app = builder()
        .workflow(&MAIN, |ctx: Context, n: u32| async move { Err::<String, _>(ctx.continue_as_new(n.wrapping_add(1))) })
        .workflow(&OTHER, |_, n: u32| async move { Ok(n.to_string()) });
    let mut simulation = start(&World::new(1), app);
    let run = trigger(&mut simulation);
    let engine = simulation.engine();
    let said = simulation.block_on(async move { engine.trigger(&OTHER, 5).await.unwrap().result().await });
    assert_eq!(said.unwrap().unwrap(), "5");
    simulation.block_on(async { run.cancel("enough").grace(seconds(0)).await }).unwrap().unwrap();
    assert!(failure(simulation.block_on(run.result()).unwrap()).is_cancelled());
}

#[test]
fn lists_are_paged_and_filtered() {
    let app = builder()
        .workflow(&MAIN, |_, n: u32| async move { Ok(n.to_string()) })
        .workflow(&OTHER, |ctx: Context, _: u32| async move { ctx.signal::<String>("never").await });
    let mut simulation = start(&World::new(1), app);
    let engine = simulation.engine();
    simulation
        .block_on(async move {
            for n in 0..7 {
                engine.trigger(&MAIN, n).await.unwrap();
                engine.trigger(&OTHER, n).await.unwrap();
            }
        })
        .unwrap();
    simulation.settle();
    let engine = simulation.engine();
    let count = |filter: Filter| {
        let (mut seen, mut from) = (Vec::new(), None);
        loop {
            let page = engine.list(&filter, from.as_deref(), 3).unwrap();
            seen.extend(page.runs.iter().map(|run| run.id));
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        let total = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), total, "no run is listed twice");
        total
    };
    assert_eq!(count(Filter::default()), 14);
    assert_eq!(count(Filter { status: Some(RunStatus::Suspended), ..Filter::default() }), 7);
    assert_eq!(count(Filter { status: Some(RunStatus::Completed), ..Filter::default() }), 7);
    assert_eq!(count(Filter { workflow: Some("main".into()), ..Filter::default() }), 7);
    let both = Filter { workflow: Some("main".into()), status: Some(RunStatus::Suspended), ..Filter::default() };
    assert_eq!(count(both), 0);
}
