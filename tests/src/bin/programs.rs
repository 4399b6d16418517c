//! A process that executes random programs, to be killed.
//!
//! ```text
//! programs DATA LEDGER SEED ROOTS SIZE
//! ```
//!
//! It says `done <root>` when a root's result has come and is what the model says, `wrong ...` otherwise, and ends when all
//! roots are done and nothing is left to be done.

use rejoin::testkit::chaos::{Caller, Subject};
use rejoin::{Engine, Filter};
use rejoin_tests::programs::{Deploy, Ledger, Programs, app};
use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::task::LocalSet;

/// Programs sleep for up to an hour and more; here that takes a moment.
const PACE: u32 = 20_000;

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let mut path = || PathBuf::from(args.next().expect("a path"));
    let (data, ledger) = (path(), path());
    let mut number = || args.next().and_then(|number| number.parse::<u64>().ok()).expect("a number");
    let (seed, roots, size) = (number(), number(), number());
    let ledger = Ledger::open(&ledger);
    let programs = Programs::real(seed, size, roots as usize, ledger.clone());
    let deploy = Deploy { life: 0, upgrade: u32::MAX, other: false, pace: PACE };
    let engine = app(Engine::open(&data), &ledger, deploy).start().await.expect("the engine starts");
    LocalSet::new().run_until(serve(&programs, &engine)).await;
    for (id, what) in ledger.wrong() {
        println!("wrong {id}: {what}");
    }
    engine.shutdown().await;
    if ledger.wrong().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How often a caller begins again that was refused for the time being.
const TIMES: usize = 1000;

/// Everybody who uses the engine, until all are done and every run has ended.
async fn serve(programs: &Programs, engine: &Engine) {
    let mut callers = Vec::new();
    for number in 0..programs.callers() {
        let again = |engine: &Engine| programs.caller(number, engine.clone());
        let mut attempts: Vec<Caller> = (0..TIMES).map(|_| again(engine)).collect();
        let servant = programs.is_servant(number);
        let task = tokio::task::spawn_local(async move {
            let mut end = Ok(());
            while let Some(caller) = attempts.pop() {
                end = caller.await;
                // A busy conversation may refuse what is said.
                if !end.as_ref().is_err_and(|error| error.contains("busy")) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(end.is_ok(), "caller {number}: {end:?}");
            if !servant {
                println!("done {number}");
            }
        });
        if !servant {
            callers.push(task);
        }
    }
    for caller in callers {
        caller.await.expect("a caller comes to its end");
    }
    while alive(engine) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn alive(engine: &Engine) -> bool {
    let page = engine.list(&Filter::default(), None, usize::MAX).expect("a list");
    page.runs.iter().any(|run| !run.row.status.is_closed())
}
