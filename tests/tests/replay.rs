//! Replay equals live, for generated programs cut at every record, and for histories of every version ever written.

use proptest::prelude::*;
use rejoin::history::Entry;
use rejoin::testkit::{self, Simulation, World};
use rejoin::time::{millis, seconds};
use rejoin::{Builder, Context, Either, Engine, Failure, RunId, Workflow, codec, join_all, select};
use rejoin_machine::Run;
use rejoin_store::simulated::{Fault, Outcome};
use rejoin_tests::checks::{self, Histories};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;

/// What a generated handler does.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Do {
    /// A step that fails so many times first.
    Step { name: u8, failures: u32 },
    /// A child with a program of its own, below the deepest level none.
    Call { program: Vec<Do> },
    /// The same, and nobody waits.
    Spawn { program: Vec<Do> },
    /// A sleep.
    Sleep { seconds: u64 },
    /// A wait for a signal that may or may not come.
    Signal { name: u8, seconds: u64 },
    /// Several things at once.
    Together { branches: Vec<Vec<Do>> },
    /// Something, unless it takes too long.
    Within { millis: u64, program: Vec<Do> },
    /// A number from the context.
    Draw,
    /// The rest under a new incarnation.
    Anew,
    /// The end, as a failure.
    Fail,
}

const LEVELS: [Workflow<Vec<Do>, String>; 3] =
    [Workflow::named("level 0"), Workflow::named("level 1"), Workflow::named("level 2")];

fn app() -> Builder {
    LEVELS.iter().enumerate().fold(Engine::open("simulated"), |builder, (level, workflow)| {
        builder
            .workflow(workflow, move |ctx: Context, program: Vec<Do>| async move { execute(ctx, level, program).await })
    })
}

fn execute(ctx: Context, level: usize, program: Vec<Do>) -> Pin<Box<dyn Future<Output = Result<String, Failure>>>> {
    Box::pin(async move {
        let mut trace = String::new();
        let mut rest = program.into_iter();
        while let Some(next) = rest.next() {
            let said = match next {
                Do::Anew => return Err(ctx.continue_as_new(rest.collect::<Vec<_>>())),
                next => one(&ctx, level, next).await?,
            };
            trace.push_str(&said);
            trace.push(';');
        }
        Ok(trace)
    })
}

async fn one(ctx: &Context, level: usize, next: Do) -> Result<String, Failure> {
    Ok(match next {
        Do::Step { name, failures } => {
            let step = move |attempt: rejoin::Attempt| async move {
                if attempt.number() <= failures { Err(Failure::transient("not yet")) } else { Ok(attempt.number()) }
            };
            format!("{}", ctx.step(&format!("step {name}"), step).retry(3).await.unwrap_or(0))
        }
        Do::Call { program } => match LEVELS.get(level + 1) {
            Some(child) => match ctx.call(child, program).timeout(seconds(40)).await {
                Ok(said) => format!("({said})"),
                Err(failure) => failure.code().to_owned(),
            },
            None => "leaf".to_owned(),
        },
        Do::Spawn { program } => match LEVELS.get(level + 1) {
            Some(child) => format!("{}", ctx.spawn(child, program).await.is_ok()),
            None => "leaf".to_owned(),
        },
        Do::Sleep { seconds: length } => format!("{:?}", ctx.sleep(seconds(length)).await.is_ok()),
        Do::Signal { name, seconds: length } => {
            let came = ctx.signal::<u32>(&format!("signal {name}")).within(seconds(length)).await?;
            format!("{came:?}")
        }
        Do::Together { branches } => {
            let branches = branches.into_iter().map(|branch| execute(ctx.clone(), level, without_anew(branch)));
            let said = join_all(branches).await.into_iter().collect::<Result<Vec<_>, _>>()?;
            said.join("|")
        }
        Do::Within { millis: limit, program } => {
            match select(execute(ctx.clone(), level, without_anew(program)), ctx.sleep(millis(limit))).await {
                Either::First(said) => said?,
                Either::Second(slept) => slept.map(|()| "late".to_owned())?,
            }
        }
        Do::Draw => format!("{} {}", ctx.now().0, ctx.uuid()),
        Do::Fail => return Err(Failure::business("generated", ())),
        Do::Anew => String::new(),
    })
}

/// Only the handler itself can begin anew, not a part of it.
fn without_anew(program: Vec<Do>) -> Vec<Do> {
    program.into_iter().filter(|next| !matches!(next, Do::Anew)).collect()
}

fn programs() -> impl Strategy<Value = Vec<Do>> {
    let leaf = prop_oneof![
        4 => (0..4_u8, 0..4_u32).prop_map(|(name, failures)| Do::Step { name, failures }),
        2 => (0..90_u64).prop_map(|seconds| Do::Sleep { seconds }),
        2 => (0..3_u8, 0..20_u64).prop_map(|(name, seconds)| Do::Signal { name, seconds }),
        1 => Just(Do::Draw),
        1 => Just(Do::Anew),
        1 => Just(Do::Fail),
    ];
    let one = leaf.prop_recursive(3, 24, 4, |inner| {
        let program = prop::collection::vec(inner, 0..4);
        prop_oneof![
            2 => program.clone().prop_map(|program| Do::Call { program }),
            1 => program.clone().prop_map(|program| Do::Spawn { program }),
            1 => prop::collection::vec(program.clone(), 0..4).prop_map(|branches| Do::Together { branches }),
            1 => (0..60_000_u64, program).prop_map(|(millis, program)| Do::Within { millis, program }),
        ]
    });
    prop::collection::vec(one, 0..6)
}

/// One life: the run is triggered, three signals are sent, and it is waited for.
fn live(world: &World, program: &[Do]) -> Option<String> {
    let mut simulation = Simulation::start(world, app()).ok()?;
    let engine = simulation.engine();
    let program = program.to_vec();
    let script = async move {
        let run = engine.trigger(&LEVELS[0], program).key("the run").await.ok()?;
        for name in 0..3 {
            // It may have ended before.
            let _ = run.signal(&format!("signal {name}"), &name).id(&name.to_string()).await;
        }
        Some(match run.result().await {
            Ok(said) => said,
            Err(rejoin::RunError::Failed(failure)) => failure.code().to_owned(),
            Err(_) => return None,
        })
    };
    let said = simulation.block_on(script).ok()??;
    simulation.settle();
    Some(said)
}

fn check(all: &Histories) {
    let violations = checks::violations(all);
    assert!(violations.is_empty(), "{violations:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn inv_e1_replay_equals_live_at_every_record(program in programs()) {
        let world = World::new(3);
        live(&world, &program).expect("it ends");
        let all = checks::histories(world.disk()).expect("the log is whole");
        check(&all);
        for (run, history) in &all {
            let mut state: Option<Run> = None;
            for (index, entry) in history.iter().enumerate() {
                for event in &entry.transition.events {
                    match &mut state {
                        Some(state) => state.apply(event, entry.time).expect("legal"),
                        None => state = Some(Run::begin(*run, event, entry.time).expect("legal")),
                    }
                }
                let replayed = testkit::replay(app(), *run, &history[..=index]).expect("the handler fits its history");
                prop_assert_eq!(Some(&replayed), state.as_ref());
            }
        }
    }

    #[test]
    fn inv_e5_a_generated_program_survives_a_crash_anywhere(
        program in programs(),
        part in 0..1000_u64,
        outcome in prop::sample::select(&Outcome::ALL[..]),
        seed in any::<u64>(),
    ) {
        let world = World::new(3);
        live(&world, &program).expect("it ends");
        let world_again = World::new(3);
        world_again.disk().plan(Fault::CrashAt(1 + world.disk().operations() * part / 1000));
        live(&world_again, &program);
        let world_again = world_again.crash(outcome, seed);
        live(&world_again, &program).expect("it ends after the crash too");
        check(&checks::histories(world_again.disk()).expect("the log is whole"));
    }
}

/// A record of a golden history: the payload's bytes as they were written, in hexadecimal.
#[derive(Serialize, Deserialize)]
struct Golden {
    run: String,
    version: u64,
    time: i64,
    format: u16,
    payload: String,
}

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("histories")
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal")).collect()
}

/// Programs that between them write every event that a handler can cause.
fn golden_programs() -> BTreeMap<&'static str, Vec<Do>> {
    let step = |name, failures| Do::Step { name, failures };
    BTreeMap::from([
        ("1-steps-and-retries", vec![step(1, 0), step(2, 2), step(3, 9), Do::Draw]),
        (
            "1-child-and-grandchild",
            vec![Do::Call { program: vec![step(1, 0), Do::Call { program: vec![step(2, 0)] }] }],
        ),
        ("1-child-that-fails", vec![Do::Call { program: vec![Do::Fail] }]),
        ("1-child-too-late", vec![Do::Call { program: vec![Do::Sleep { seconds: 90 }] }]),
        ("1-spawned", vec![Do::Spawn { program: vec![step(1, 0)] }, Do::Sleep { seconds: 5 }]),
        ("1-signals", vec![step(1, 0), Do::Signal { name: 0, seconds: 9 }, Do::Signal { name: 9, seconds: 9 }]),
        ("1-anew", vec![step(1, 0), Do::Anew, Do::Signal { name: 1, seconds: 1 }, Do::Anew, Do::Draw]),
        (
            "1-within",
            vec![Do::Within { millis: 50, program: vec![Do::Call { program: vec![Do::Sleep { seconds: 9 }] }] }],
        ),
        (
            "1-together",
            vec![Do::Together { branches: vec![vec![step(1, 1)], vec![Do::Sleep { seconds: 1 }], vec![Do::Draw]] }],
        ),
    ])
}

/// Golden histories are only added to. `WRITE_HISTORIES=1` writes those that are missing; one that is there is never changed.
fn write_missing() {
    for (name, program) in golden_programs() {
        let path = golden_folder().join(name).with_extension("jsonl");
        if path.exists() {
            continue;
        }
        let world = World::new(11);
        live(&world, &program).expect("it ends");
        let mut lines = String::new();
        rejoin_store::journal::inspect(world.disk(), |record| {
            let golden = Golden {
                run: RunId(record.stream.0).to_string(),
                version: record.version.0,
                time: record.time,
                format: record.format,
                payload: hexadecimal(&record.payload),
            };
            lines.push_str(&serde_json::to_string(&golden).expect("JSON"));
            lines.push('\n');
        })
        .expect("the log is whole");
        std::fs::create_dir_all(golden_folder()).expect("a folder");
        std::fs::write(path, lines).expect("written");
    }
}

#[test]
fn spec_a8_golden_histories_are_read_for_ever() {
    if std::env::var_os("WRITE_HISTORIES").is_some() {
        write_missing();
    }
    let mut files = 0;
    for file in std::fs::read_dir(golden_folder()).expect("the golden histories") {
        let path = file.expect("a file").path();
        let mut all = Histories::new();
        for line in std::fs::read_to_string(&path).expect("readable").lines() {
            let golden: Golden = serde_json::from_str(line).expect("a record");
            let payload = bytes(&golden.payload);
            let transition = codec::decode(golden.format, &payload).expect("every format ever written is read");
            if golden.format == codec::TRANSITION {
                let again = codec::encode(&transition).expect("encodes");
                assert_eq!(hexadecimal(&again), golden.payload, "{}: the layout of today has changed", path.display());
            }
            let entry = Entry { version: golden.version, time: rejoin::Timestamp(golden.time), transition };
            all.entry(golden.run.parse().expect("a run id")).or_default().push(entry);
        }
        check(&all);
        for (run, history) in &all {
            testkit::replay(app(), *run, history).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        files += 1;
    }
    assert!(files >= golden_programs().len(), "{files} golden histories");
}
