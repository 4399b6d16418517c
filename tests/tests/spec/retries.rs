//! H2: a failed run is done again from what failed.

use super::{run, runs_of};
use rejoin::testkit::{Simulation, World};
use rejoin::time::{days, minutes};
use rejoin::{Agent, Builder, Context, Event, Failure, Job, OnTimeout, RunError, RunHandle, RunId, Workflow};
use rejoin_store::simulated::Outcome;
use rejoin_tests::lives::{MAIN, OTHER, builder, failure, start, trigger};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What was done, how often; and whether the broken thing has been mended.
#[derive(Clone, Default)]
struct Outside {
    done: Arc<Mutex<BTreeMap<String, u32>>>,
    mended: Arc<Mutex<bool>>,
}

impl Outside {
    fn step(&self, ctx: &Context, name: &str) -> rejoin::Step<String> {
        let (done, mended) = (self.done.clone(), self.mended.clone());
        let what = name.to_owned();
        ctx.step(name, move || {
            *done.lock().unwrap().entry(what.clone()).or_default() += 1;
            if what.starts_with("broken") && !*mended.lock().unwrap() {
                return Err(Failure::business("broken", ()));
            }
            Ok(what.clone())
        })
    }

    fn count(&self, name: &str) -> u32 {
        self.done.lock().unwrap().get(name).copied().unwrap_or(0)
    }

    fn mend(&self) {
        *self.mended.lock().unwrap() = true;
    }
}

fn retry(simulation: &mut Simulation, run: RunId) -> Result<RunHandle<String>, RunError> {
    let engine = simulation.engine();
    simulation.block_on(async move { engine.run::<String>(run).retry().await }).expect("an answer")
}

const LEAF: Workflow<String, String> = Workflow::named("leaf");
const CLERK: Job<String, String> = Job::named("clerk", "file");

/// Something of everything, then a child that breaks in its second step.
fn app(world: &Outside) -> Builder {
    let (of_main, of_other) = (world.clone(), world.clone());
    builder()
        .person("ann")
        .agent(Agent::named("clerk").sequential())
        .job(&CLERK, |ctx: Context, what: String| async move { ctx.sleep(minutes(1)).await.map(|()| what) })
        .workflow(&LEAF, |_: Context, what: String| async move { Ok(what) })
        .workflow(&OTHER, move |ctx: Context, n: u32| {
            let world = of_other.clone();
            async move {
                let first = world.step(&ctx, "child").await?;
                let second = world.step(&ctx, "broken child").await?;
                Ok(format!("{first} {second} {n}"))
            }
        })
        .workflow(&MAIN, move |ctx: Context, _: u32| {
            let world = of_main.clone();
            async move {
                let id = ctx.uuid();
                let first = world.step(&ctx, "first").await?;
                let leaf = ctx.call(&LEAF, id.clone()).await?;
                ctx.sleep(days(30)).await?;
                let said: String = ctx.signal("word").await?;
                let none = ctx.signal::<String>("never").within(minutes(1)).await?.is_none();
                let asked = ctx.approval("ok?").answers(["yes"]).persons(["ann"]).await?;
                let filed = ctx.job(&CLERK, "filed".to_owned()).await?;
                ctx.spawn(&LEAF, "alone".to_owned()).await?;
                let (side, child) = rejoin::join((world.step(&ctx, "beside"), ctx.call(&OTHER, 7))).await;
                let same = leaf == id && none;
                Ok([first, said, asked.answer, filed, side?, child?, same.to_string()].join(" "))
            }
        })
}

/// The main workflow, as far as it fails.
fn failed(world: &World, app: Builder) -> (Simulation, RunId) {
    let mut simulation = start(world, app);
    let run = trigger(&mut simulation);
    simulation.settle();
    for _ in 0..3 {
        world.pass(days(31));
        simulation.settle();
        let (engine, id) = (simulation.engine(), run.id());
        let talk = async move {
            let _ = engine.run::<String>(id).signal("word", "word").id("word").await;
            for open in engine.approvals().unwrap() {
                engine.decide(open.token, "ann", "yes", None).await.unwrap();
            }
        };
        simulation.block_on(talk).unwrap();
        simulation.settle();
    }
    assert_eq!(failure(simulation.block_on(run.result()).unwrap()).code(), "broken");
    (simulation, run.id())
}

#[test]
fn spec_h2_a_failed_run_is_done_again_from_the_step_that_failed() {
    let (ledger, world) = (Outside::default(), World::new(1));
    let (mut simulation, old) = failed(&world, app(&ledger));
    let refused = retry(&mut simulation, old);
    let again = refused.expect("it may be done again").id();
    simulation.settle();
    let still = simulation.engine().describe(again).unwrap().row;
    assert_eq!(still.status.name(), "failed", "what is broken fails again");
    ledger.mend();
    let again = retry(&mut simulation, old).expect("it may be done again");
    let id = again.id();
    let result = simulation.block_on(async move { again.result().await }).unwrap().unwrap();
    assert_eq!(result, "first word yes filed beside child broken child 7 true");
    for once in ["first", "beside", "child"] {
        assert_eq!(ledger.count(once), 1, "{once}");
    }
    assert_eq!(ledger.count("broken child"), 3);
    assert_eq!((runs_of(&simulation, "leaf").len(), runs_of(&simulation, "clerk").len()), (2, 1));
    let history = simulation.engine().history(id).unwrap();
    let recalled = |event: &&Event| matches!(event, Event::Recalled { .. } | Event::RecallDelivered { .. });
    assert_eq!(history.iter().flat_map(|entry| &entry.transition.events).filter(recalled).count(), 9);
    // What was recalled holds over a restart.
    drop(simulation);
    let mut simulation = start(&world.crash(Outcome::Lost, 1), app(&ledger));
    simulation.settle();
    let run = simulation.engine().run::<String>(id);
    assert!(simulation.block_on(run.result()).unwrap().is_ok());
}

#[test]
fn spec_h2_a_run_that_goes_on_or_has_succeeded_is_not_done_again() {
    let (result, mut simulation) =
        run(builder().workflow(&MAIN, |_: Context, _: u32| async move { Ok("done".into()) }));
    result.unwrap();
    let id = runs_of(&simulation, MAIN.name())[0].id;
    assert!(matches!(retry(&mut simulation, id), Err(RunError::NotRetried { .. })));
    assert!(matches!(retry(&mut simulation, RunId([1; 16])), Err(RunError::NotFound(_))));
    let waits = |ctx: Context, _: u32| async move { ctx.signal::<String>("never").await };
    let mut simulation = start(&World::new(2), builder().workflow(&MAIN, waits));
    let run = trigger(&mut simulation);
    simulation.settle();
    let error = retry(&mut simulation, run.id()).err().expect("it goes on");
    assert!(error.to_string().contains("has not ended"), "{error}");
}

#[test]
fn spec_h2_where_the_mended_code_asks_for_something_else_nothing_more_is_recalled() {
    let ledger = Outside::default();
    let broken = ledger.clone();
    let world = World::new(1);
    let old = |version: u32| {
        let ledger = broken.clone();
        builder().workflow(&MAIN.version(version), move |ctx: Context, _: u32| {
            let ledger = ledger.clone();
            async move {
                let one = ledger.step(&ctx, "one").await?;
                let two = ledger.step(&ctx, if version == 1 { "two" } else { "new two" }).await?;
                let three = ledger.step(&ctx, "three").await?;
                let four = ledger.step(&ctx, if version == 1 { "broken" } else { "four" }).await?;
                Ok([one, two, three, four].join(" "))
            }
        })
    };
    let mut simulation = start(&world, old(1));
    let run = trigger(&mut simulation);
    failure(simulation.block_on(run.result()).unwrap());
    drop(simulation);
    let mut simulation = start(&world.crash(Outcome::Kept, 1), old(2));
    let again = retry(&mut simulation, run.id()).unwrap();
    assert_eq!(simulation.block_on(again.result()).unwrap().unwrap(), "one new two three four");
    assert_eq!((ledger.count("one"), ledger.count("three")), (1, 2));
}

#[test]
fn spec_h2_failures_that_the_handler_went_on_from_are_recalled_too() {
    let ledger = Outside::default();
    let of_main = ledger.clone();
    let app = builder()
        .workflow(&OTHER, |ctx: Context, _: u32| async move { ctx.sleep(days(1)).await.map(|()| "late".to_owned()) })
        .workflow(&MAIN, move |ctx: Context, _: u32| {
            let ledger = of_main.clone();
            async move {
                let first = ledger.step(&ctx, "broken first").await.map_err(|failure| failure.code().to_owned());
                let fallback = ledger.step(&ctx, "fallback").await?;
                let call = ctx.call(&OTHER, 1).timeout(minutes(1)).on_timeout(OnTimeout::Cancel);
                let late = call.await.map_err(|failure| failure.code().to_owned());
                let last = ctx.step("last", || Err::<String, _>(Failure::business("last", ()))).await;
                Ok(format!("{first:?} {fallback} {late:?} {}", last?))
            }
        });
    let (result, mut simulation) = run(app);
    assert_eq!(failure(result).code(), "last");
    let id = runs_of(&simulation, MAIN.name())[0].id;
    ledger.mend();
    let again = retry(&mut simulation, id).unwrap();
    assert_eq!(failure(simulation.block_on(again.result()).unwrap()).code(), "last");
    assert_eq!((ledger.count("broken first"), ledger.count("fallback")), (1, 1));
}

#[test]
fn spec_h2_branches_that_answered_out_of_order_are_not_done_again() {
    let ledger = Outside::default();
    let of_main = ledger.clone();
    let app = builder().workflow(&MAIN, move |ctx: Context, _: u32| {
        let ledger = of_main.clone();
        async move {
            let one = |name: &'static str, pause: u64| {
                let (ctx, ledger) = (ctx.clone(), ledger.clone());
                async move {
                    ctx.sleep(minutes(pause)).await?;
                    let stored = ledger.step(&ctx, name).await?;
                    ctx.sleep(minutes(pause)).await?;
                    ledger.step(&ctx, &format!("{stored} checked")).await
                }
            };
            let (late, early, middle) = rejoin::join((one("late", 3), one("early", 1), one("middle", 2))).await;
            let after = ledger.step(&ctx, "after").await?;
            let last = ledger.step(&ctx, "broken last").await?;
            Ok([late?, early?, middle?, after, last].join(", "))
        }
    });
    let (result, mut simulation) = run(app);
    assert_eq!(failure(result).code(), "broken");
    ledger.mend();
    let id = runs_of(&simulation, MAIN.name())[0].id;
    let again = retry(&mut simulation, id).unwrap();
    let result = simulation.block_on(again.result()).unwrap().unwrap();
    assert_eq!(result, "late checked, early checked, middle checked, after, broken last");
    for once in ["late", "early", "middle", "late checked", "early checked", "middle checked", "after"] {
        assert_eq!(ledger.count(once), 1, "{once}");
    }
}

#[test]
fn spec_h2_of_a_group_that_failed_only_the_members_that_did_are_done_again() {
    let ledger = Outside::default();
    let (of_main, of_member) = (ledger.clone(), ledger.clone());
    let app = builder()
        .workflow(&OTHER, move |ctx: Context, n: u32| {
            let ledger = of_member.clone();
            async move {
                ctx.sleep(minutes(n.into())).await?;
                ledger.step(&ctx, if n == 2 { "broken member" } else { "member" }).await
            }
        })
        .workflow(&MAIN, move |ctx: Context, _: u32| {
            let ledger = of_main.clone();
            async move {
                ledger.step(&ctx, "before").await?;
                let mut group = ctx.group("all");
                for n in [9, 1, 2] {
                    group.add(n.to_string(), ctx.call(&OTHER, n));
                }
                let answers = group.all().await?;
                Ok(answers.values().map(|(_, answer)| answer.as_str()).collect::<Vec<_>>().join(" "))
            }
        });
    let (result, mut simulation) = run(app);
    assert_eq!(failure(result).code(), "group");
    assert_eq!((ledger.count("before"), ledger.count("member"), ledger.count("broken member")), (1, 1, 1));
    ledger.mend();
    let id = runs_of(&simulation, MAIN.name())[0].id;
    let again = retry(&mut simulation, id).unwrap();
    assert_eq!(simulation.block_on(again.result()).unwrap().unwrap(), "member member broken member");
    // The first member was cancelled, as the group failed: it had done nothing.
    assert_eq!((ledger.count("before"), ledger.count("member"), ledger.count("broken member")), (1, 2, 2));
}

#[test]
fn spec_h2_what_nobody_answered_in_time_is_asked_again() {
    let ledger = Outside::default();
    let of_main = ledger.clone();
    let app = builder().person("ann").workflow(&MAIN, move |ctx: Context, _: u32| {
        let ledger = of_main.clone();
        async move {
            // The handler goes on from the first that expires, and does not from the second.
            let gone = ctx.approval("first?").answers(["yes"]).persons(["ann"]).within(minutes(1)).await.is_err();
            let between = ledger.step(&ctx, "between").await?;
            let asked = ctx.approval("second?").answers(["yes"]).persons(["ann"]).within(minutes(1)).await?;
            Ok(format!("{gone} {between} {}", asked.answer))
        }
    });
    let (result, mut simulation) = run(app);
    assert_eq!(failure(result).code(), "approval-expired");
    let id = runs_of(&simulation, MAIN.name())[0].id;
    let again = retry(&mut simulation, id).unwrap();
    simulation.settle();
    let engine = simulation.engine();
    let answered = async move {
        let open = engine.approvals().unwrap();
        assert_eq!(open.iter().map(|open| open.question.as_str()).collect::<Vec<_>>(), ["second?"]);
        engine.decide(open[0].token, "ann", "yes", None).await.unwrap();
        again.result().await
    };
    assert_eq!(simulation.block_on(answered).unwrap().unwrap(), "true between yes");
    assert_eq!(ledger.count("between"), 1);
}
