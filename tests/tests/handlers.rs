//! What handlers may do, and what clients see of it.

use rejoin::testkit::{self, World};
use rejoin::time::{hours, seconds};
use rejoin::{
    Context, Either, Event, Failure, FailureKind, Filter, Limits, RunError, RunId, RunStatus, Settings, TriggerError,
    Unordered, Workflow, join, select,
};
use rejoin_store::simulated::Fault;
use rejoin_tests::lives::{MAIN, OTHER, builder, double, failure, outcome, start, trigger};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

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
