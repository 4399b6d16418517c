//! Eleven scenarios on a simulated disk: a crash after each of its operations, with each fate of what was not synced, and a
//! failure of each operation. Whatever happens, everything acknowledged is there, every history is one that could
//! have been written, and the scenario ends as it does undisturbed.

use rejoin::testkit::{Simulation, World};
use rejoin::time::{hours, seconds};
use rejoin::{
    Attempt, Builder, Context, Engine, Error, Event, Failure, Job, Message, Rejection, RunError, RunHandle, RunId,
    Sort, Turn, Workflow, join_all,
};
use rejoin_store::simulated::{Fault, Outcome};
use rejoin_tests::checks::{self, Histories};
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

/// What steps did, and what the client was told: they outlive every crash.
#[derive(Clone, Default)]
struct Ledger {
    steps: Arc<Mutex<Vec<String>>>,
    told: Arc<Mutex<Vec<Told>>>,
}

#[derive(Clone, Copy, Debug)]
enum Told {
    Triggered(RunId),
    Signalled(RunId),
    Ended(RunId),
}

impl Ledger {
    fn step(&self, attempt: &Attempt) {
        self.steps.lock().unwrap().push(attempt.idempotency_key());
    }

    fn told(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }
}

type Script = fn(Engine, Ledger) -> Pin<Box<dyn Future<Output = Result<String, Error>>>>;

struct Scenario {
    build: fn(Builder, Ledger) -> Builder,
    script: Script,
}

const PARENT: Workflow<u32, String> = Workflow::named("parent");
const CHILD: Workflow<u32, String> = Workflow::named("child");

async fn counted(ctx: &Context, ledger: &Ledger, name: &str, value: u32) -> Result<u32, Failure> {
    let ledger = ledger.clone();
    let step = move |attempt: Attempt| {
        let ledger = ledger.clone();
        async move {
            ledger.step(&attempt);
            Ok::<u32, Failure>(value + 1)
        }
    };
    ctx.step(name, step).await
}

async fn trigger(engine: &Engine, ledger: &Ledger) -> Result<RunHandle<String>, Error> {
    let run = engine.trigger(&PARENT, 1).key("the run").await?;
    ledger.told(Told::Triggered(run.id()));
    Ok(run)
}

async fn ended(run: &RunHandle<String>, ledger: &Ledger) -> Result<String, Error> {
    let said = match run.result().await {
        Ok(output) => output,
        Err(RunError::Failed(failure)) => format!("{:?}: {}", failure.kind(), failure.code()),
        Err(other) => return Err(other.into()),
    };
    ledger.told(Told::Ended(run.id()));
    Ok(said)
}

fn run_to_end(engine: Engine, ledger: Ledger) -> Pin<Box<dyn Future<Output = Result<String, Error>>>> {
    Box::pin(async move { ended(&trigger(&engine, &ledger).await?, &ledger).await })
}

fn step() -> Scenario {
    let build = |builder: Builder, ledger: Ledger| {
        builder.workflow(&PARENT, move |ctx: Context, n: u32| {
            let ledger = ledger.clone();
            async move {
                let (drawn, uuid) = (ctx.random(), ctx.uuid());
                let n = counted(&ctx, &ledger, "first", n).await?;
                // Drawn before the step and again in replay: a different one would give the step another name.
                let n = counted(&ctx, &ledger, &format!("second {drawn} {uuid}"), n).await?;
                Ok(n.to_string())
            }
        })
    };
    Scenario { build, script: run_to_end }
}

fn with_child(builder: Builder, ledger: Ledger) -> Builder {
    builder.workflow(&CHILD, move |ctx: Context, n: u32| {
        let ledger = ledger.clone();
        async move { Ok(counted(&ctx, &ledger, "work", n).await?.to_string()) }
    })
}

fn child() -> Scenario {
    let build = |builder: Builder, ledger: Ledger| {
        with_child(builder, ledger.clone()).workflow(&PARENT, move |ctx: Context, n: u32| {
            let ledger = ledger.clone();
            async move {
                let answer = ctx.call(&CHILD, n).await?;
                counted(&ctx, &ledger, "after", n).await?;
                Ok(format!("the child said {answer}"))
            }
        })
    };
    Scenario { build, script: run_to_end }
}

fn detached_child() -> Scenario {
    let build = |builder: Builder, ledger: Ledger| {
        with_child(builder, ledger).workflow(&PARENT, |ctx: Context, n: u32| async move {
            let child = ctx.spawn(&CHILD, n).key("loose").await?;
            Ok(child.to_string())
        })
    };
    let script: Script = |engine, ledger| {
        Box::pin(async move {
            let parent = ended(&trigger(&engine, &ledger).await?, &ledger).await?;
            let child: RunId = parent.parse().expect("the parent returns its child's id");
            ended(&engine.run(child), &ledger).await
        })
    };
    Scenario { build, script }
}

fn timer() -> Scenario {
    let build = |builder: Builder, ledger: Ledger| {
        builder.workflow(&PARENT, move |ctx: Context, n: u32| {
            let ledger = ledger.clone();
            async move {
                let before = ctx.now();
                ctx.sleep(hours(30)).await?;
                assert!(ctx.now().since(before).duration() >= hours(30), "never early");
                Ok(counted(&ctx, &ledger, "after", n).await?.to_string())
            }
        })
    };
    Scenario { build, script: run_to_end }
}

fn signals() -> Scenario {
    let build = |builder: Builder, ledger: Ledger| {
        builder.workflow(&PARENT, move |ctx: Context, n: u32| {
            let ledger = ledger.clone();
            async move {
                counted(&ctx, &ledger, "before", n).await?;
                let early: String = ctx.signal("early").await?;
                let none = ctx.signal::<String>("never").within(seconds(5)).await?;
                counted(&ctx, &ledger, "between", n).await?;
                Ok(format!("{early} {none:?}"))
            }
        })
    };
    let script: Script = |engine, ledger| {
        Box::pin(async move {
            let run = trigger(&engine, &ledger).await?;
            match run.signal("early", "bird").id("one").await {
                Ok(()) => ledger.told(Told::Signalled(run.id())),
                // After a crash the run may have ended before the client comes again.
                Err(RunError::Rejected(Rejection::Closed(_))) => {}
                Err(other) => return Err(other.into()),
            }
            let said = ended(&run, &ledger).await?;
            let late = run.signal("early", "worm").await;
            assert!(late.is_err(), "a run that has ended takes no signal");
            Ok(said)
        })
    };
    Scenario { build, script }
}

fn deadline() -> Scenario {
    let build = |builder: Builder, ledger: Ledger| {
        builder.workflow(&PARENT, move |ctx: Context, n: u32| {
            let ledger = ledger.clone();
            async move {
                if let Err(failure) = ctx.sleep(hours(1)).await {
                    counted(&ctx, &ledger, "undo", n).await?;
                    return Err(failure);
                }
                Ok("slept".to_owned())
            }
        })
    };
    let script: Script = |engine, ledger| {
        Box::pin(async move {
            let run = engine.trigger(&PARENT, 1).key("the run").deadline(seconds(10)).await?;
            ledger.told(Told::Triggered(run.id()));
            ended(&run, &ledger).await
        })
    };
    Scenario { build, script }
}

fn cancel() -> Scenario {
    let build = |builder: Builder, ledger: Ledger| {
        let of_child = ledger.clone();
        let builder = builder.workflow(&CHILD, move |ctx: Context, n: u32| {
            let ledger = of_child.clone();
            async move {
                let waited = ctx.signal::<String>("never").await;
                counted(&ctx, &ledger, "undo in child", n).await?;
                waited
            }
        });
        builder.workflow(&PARENT, move |ctx: Context, n: u32| {
            let ledger = ledger.clone();
            async move {
                counted(&ctx, &ledger, "reserve", n).await?;
                match ctx.call(&CHILD, n).await {
                    Err(failure) if failure.is_cancelled() => {
                        counted(&ctx, &ledger, "release", n).await?;
                        Err(failure)
                    }
                    other => other,
                }
            }
        })
    };
    let script: Script = |engine, ledger| {
        Box::pin(async move {
            let run = trigger(&engine, &ledger).await?;
            let mut feed = engine.follow_all(0);
            while let Some((_, entry)) = feed.next().await? {
                if entry.transition.events.iter().any(|event| matches!(event, Event::SignalAwaited { .. })) {
                    break;
                }
            }
            match run.cancel("no longer wanted").by("a test").await {
                Ok(()) | Err(RunError::Rejected(Rejection::AlreadyCancelling | Rejection::Closed(_))) => {}
                Err(other) => return Err(other.into()),
            }
            ended(&run, &ledger).await
        })
    };
    Scenario { build, script }
}

fn retry() -> Scenario {
    let build = |builder: Builder, ledger: Ledger| {
        builder.workflow(&PARENT, move |ctx: Context, _: u32| {
            let ledger = ledger.clone();
            async move {
                let step = move |attempt: Attempt| {
                    ledger.step(&attempt);
                    match attempt.number() {
                        1 | 2 => Err(Failure::transient("not yet")),
                        number => Ok(number),
                    }
                };
                let number: u32 = ctx.step("stubborn", step).retry(5).await?;
                Ok(format!("attempt {number}"))
            }
        })
    };
    Scenario { build, script: run_to_end }
}

fn continue_as_new() -> Scenario {
    let build = |builder: Builder, ledger: Ledger| {
        builder.workflow(&PARENT, move |ctx: Context, n: u32| {
            let ledger = ledger.clone();
            async move {
                let n = counted(&ctx, &ledger, "count", n).await?;
                ctx.sleep(seconds(1)).await?;
                if n < 4 { Err(ctx.continue_as_new(n)) } else { Ok(n.to_string()) }
            }
        })
    };
    Scenario { build, script: run_to_end }
}

fn fan_out() -> Scenario {
    let build = |builder: Builder, ledger: Ledger| {
        with_child(builder, ledger).workflow(&PARENT, |ctx: Context, n: u32| async move {
            let calls = (0..20).map(|index| ctx.call(&CHILD, n + index).key(format!("child {index}")));
            let answers = join_all(calls).await;
            Ok(answers.into_iter().collect::<Result<Vec<_>, _>>()?.join(","))
        })
    };
    Scenario { build, script: run_to_end }
}

fn start(world: &World, scenario: &Scenario, ledger: &Ledger) -> Option<Simulation> {
    let builder = (scenario.build)(Engine::open("simulated"), ledger.clone());
    Simulation::start(world, builder).ok()
}

/// One life of the process: to the scenario's end, or to the disk's.
fn live(world: &World, scenario: &Scenario, ledger: &Ledger) -> Option<String> {
    let mut simulation = start(world, scenario, ledger)?;
    let script = (scenario.script)(simulation.engine(), ledger.clone());
    simulation.block_on(script).ok()?.ok()
}

/// Keys of the steps that are recorded as completed.
fn recorded(all: &Histories) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for (run, history) in all {
        let mut incarnation = 0;
        for event in history.iter().flat_map(|entry| &entry.transition.events) {
            match event {
                Event::ContinuedAsNew(boundary) => incarnation = boundary.incarnation,
                Event::StepCompleted { op, .. } => drop(keys.insert(format!("{run}/{incarnation}/{op}"))),
                _ => {}
            }
        }
    }
    keys
}

fn check_told(told: &[Told], all: &Histories, context: &str) {
    for told in told {
        let (Told::Triggered(run) | Told::Signalled(run) | Told::Ended(run)) = told;
        let history = all.get(run).unwrap_or_else(|| panic!("{context}: S1: {told:?} is not in the log"));
        let events: Vec<&Event> = history.iter().flat_map(|entry| &entry.transition.events).collect();
        let there = match told {
            Told::Triggered(_) => true,
            Told::Signalled(_) => events.iter().any(|event| matches!(event, Event::SignalReceived { .. })),
            Told::Ended(_) => checks::end(history).is_some(),
        };
        assert!(there, "{context}: S1: {told:?} is not in the log");
    }
}

/// The power goes with this fault and this fate; then the process starts again and must come to the same end.
fn disturb(scenario: &Scenario, expected: &str, fault: Fault, outcome: Outcome, seed: u64) {
    let context = format!("{fault:?} {outcome:?} seed {seed}");
    let (world, ledger) = (World::new(7), Ledger::default());
    world.disk().plan(fault);
    live(&world, scenario, &ledger);
    let world = world.crash(outcome, seed);
    let told = std::mem::take(&mut *ledger.told.lock().unwrap());
    let known = checks::histories(world.disk());
    let known = match known {
        Ok(known) => known,
        // The crash came before the store was there; then nobody can have been told anything.
        Err(rejoin_store::OpenError::Missing { .. }) => Histories::new(),
        Err(error) => panic!("{context}: S7: {error}"),
    };
    check_told(&told, &known, &context);
    let legal: Vec<String> = checks::violations(&known);
    assert!(legal.is_empty(), "{context}: {legal:#?}");
    let before = ledger.steps.lock().unwrap().len();
    let recorded = recorded(&known);

    let said = live(&world, scenario, &ledger);
    assert_eq!(said.as_deref(), Some(expected), "{context}: E5");
    for key in &ledger.steps.lock().unwrap()[before..] {
        assert!(!recorded.contains(key), "{context}: E7: step {key} was recorded and is executed again");
    }
    let after = checks::histories(world.disk()).expect("a store that was closed is whole");
    let violations = checks::violations(&after);
    assert!(violations.is_empty(), "{context}: {violations:#?}");
    for (run, history) in &after {
        assert!(checks::end(history).is_some(), "{context}: A6: run {run} has not ended");
    }
}

fn exhaust(scenario: Scenario) {
    let (world, ledger) = (World::new(7), Ledger::default());
    let expected = live(&world, &scenario, &ledger).expect("the scenario ends undisturbed");
    let operations = world.disk().operations();
    let mut lives = 0;
    for at in 1..=operations + 1 {
        for outcome in Outcome::ALL {
            let seeds = match outcome {
                Outcome::Lost | Outcome::Kept => 1,
                Outcome::Prefix | Outcome::Subset | Outcome::Torn | Outcome::Garbage => 3,
            };
            for seed in 0..seeds {
                disturb(&scenario, &expected, Fault::CrashAt(at), outcome, seed);
                lives += 1;
            }
        }
        for fault in [Fault::FailOnce(at), Fault::FailFrom(at)] {
            disturb(&scenario, &expected, fault, Outcome::Lost, 0);
            disturb(&scenario, &expected, fault, Outcome::Kept, 0);
            lives += 2;
        }
    }
    println!("{operations} disk operations, {lives} lives cut short, ended as {expected:?}");
}

const CLERK: Job<Turn, String> = Job::turns("clerk");

/// A turn of a conversation that a person takes over and gives back; whoever comes again does all of it once more.
async fn converse(engine: Engine) -> Result<String, Error> {
    let told = |result: Result<(), RunError>| match result {
        Ok(()) | Err(RunError::Rejected(_)) => Ok(()),
        Err(other) => Err(Error::from(other)),
    };
    let chat = engine.conversation("clerk").user("ann").key("the chat").await?;
    let sent = match chat.say("help").id("the message").await {
        Ok(sent) => Some(sent),
        // It was closed by then.
        Err(RunError::Rejected(_)) => None,
        Err(other) => return Err(other.into()),
    };
    let handed_over = |messages: &[Message]| messages.iter().any(|message| message.sort == Sort::Handoff);
    let mut messages = chat.messages(0)?;
    while !handed_over(&messages) {
        let more = chat.next_messages(messages.len() as u64).await?;
        if more.is_empty() {
            return Err(RunError::Stopped.into());
        }
        messages.extend(more);
    }
    told(chat.claim("bob").await)?;
    told(chat.release("bob", None).await)?;
    if let Some(sent) = sent {
        sent.settled().await?;
    }
    told(chat.close().await)?;
    Ok(chat.messages(0)?.iter().map(Message::text).collect::<Vec<_>>().join(" | "))
}

fn handoff() -> Scenario {
    let build = |builder: Builder, ledger: Ledger| {
        builder.person("ann").person("bob").job(&CLERK, move |ctx: Context, _: Turn| {
            let ledger = ledger.clone();
            async move {
                let n = counted(&ctx, &ledger, "before", 1).await?;
                let back = ctx.hand_off("a moment").ending("back again").await?;
                let n = counted(&ctx, &ledger, "after", n).await?;
                Ok(format!("{n} after {}", back.by))
            }
        })
    };
    Scenario { build, script: |engine, _| Box::pin(converse(engine)) }
}

macro_rules! scenarios {
    ($($test:ident: $scenario:ident),+ $(,)?) => {
        $(
            #[test]
            fn $test() {
                exhaust($scenario());
            }
        )+
    };
}

scenarios! {
    spec_a5_step_survives_every_crash: step,
    spec_a3_child_survives_every_crash: child,
    spec_b13_detached_child_survives_every_crash: detached_child,
    inv_e9_timer_survives_every_crash: timer,
    inv_e10_early_and_late_signal_survive_every_crash: signals,
    spec_b12_deadline_survives_every_crash: deadline,
    inv_e15_cancel_with_compensation_survives_every_crash: cancel,
    inv_e7_retry_survives_every_crash: retry,
    spec_a13_continue_as_new_survives_every_crash: continue_as_new,
    inv_e3_fan_out_of_twenty_survives_every_crash: fan_out,
    spec_e4_handoff_survives_every_crash: handoff,
}
