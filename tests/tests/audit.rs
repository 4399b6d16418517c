//! Questions to a running engine and to a new program: why a run does not move, and whether histories fit.

use rejoin::upgrade::Verdict;
use rejoin::why::{By, On, Other};
use rejoin::{Builder, Context, Engine, Failure, RunId, Workflow};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const WAIT: Workflow<(), String> = Workflow::named("wait");
const CALL: Workflow<(), String> = Workflow::named("call");

async fn wait(ctx: Context, (): ()) -> Result<String, Failure> {
    ctx.signal("go").await
}

async fn call(ctx: Context, (): ()) -> Result<String, Failure> {
    ctx.call(&WAIT, ()).await
}

/// Asks for something before the signal that the first program did not.
async fn hasty(ctx: Context, (): ()) -> Result<String, Failure> {
    ctx.step("prepare", || async { Ok::<(), Failure>(()) }).await?;
    ctx.signal("go").await
}

fn program(folder: &Path) -> Builder {
    Engine::open(folder).workflow(&WAIT, wait).workflow(&CALL, call)
}

async fn suspended(folder: &Path) -> (Engine, RunId, RunId) {
    let engine = program(folder).start().await.expect("a new folder");
    let run = engine.trigger(&CALL, ()).await.expect("a run");
    loop {
        let why = run.why().expect("an answer");
        if let [wait] = &why.waits[..]
            && let On::Child { run: child, stands: Other::Alive("suspended") } = wait.on
        {
            assert_eq!((wait.by, why.state, why.is_stuck()), (By::Run(child), "suspended", false));
            return (engine, run.id(), child);
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = entries
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), fs::read(&path).expect("a file")))
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_a10_a_running_engine_says_why_a_run_does_not_move() {
    let folder = TempDir::new().expect("a folder");
    let (engine, run, child) = suspended(folder.path()).await;
    let why = engine.why(child).expect("an answer");
    assert_eq!((&why.waits[0].on, why.waits[0].by), (&On::Signal { name: "go".to_owned() }, By::Sender));
    engine.run::<String>(child).signal("go", "now").await.expect("a signal");
    engine.run::<String>(run).result().await.expect("it ends");
    assert!(engine.why(run).expect("an answer").ended);
    engine.why(RunId([9; 16])).expect_err("no such run");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_i3_histories_are_held_against_a_program_without_changing_them() {
    let folder = TempDir::new().expect("a folder");
    let (engine, run, child) = suspended(folder.path()).await;
    assert!(program(folder.path()).check_upgrade().is_err(), "the folder is in use");
    engine.shutdown().await;
    drop(engine);
    let before = files(folder.path());

    let upgrade = program(folder.path()).check_upgrade().expect("a readable folder");
    assert!(upgrade.is_compatible() && upgrade.runs().len() == 2, "{upgrade}");

    let hasty = Engine::open(folder.path()).workflow(&WAIT, hasty).workflow(&CALL, call);
    let upgrade = hasty.check_upgrade().expect("a readable folder");
    let [misfit] = &upgrade.misfits().collect::<Vec<_>>()[..] else { panic!("{upgrade}") };
    let Verdict::Diverges { version, index, reason } = &misfit.verdict else { panic!("{upgrade}") };
    assert_eq!((misfit.run, &*misfit.workflow), (child, "wait"));
    let place = format!("{version}.{index}");
    for part in [&*place, "a wait for signal \"go\"", "step \"prepare\""] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert!(
        upgrade.to_string().contains(&format!("{child}  wait version 1  diverges at event {place}: ")),
        "{upgrade}"
    );

    let upgrade = Engine::open(folder.path()).workflow(&WAIT, wait).check_upgrade().expect("a readable folder");
    let [misfit] = &upgrade.misfits().collect::<Vec<_>>()[..] else { panic!("{upgrade}") };
    assert_eq!((misfit.run, &misfit.verdict), (run, &Verdict::NotRegistered));

    assert!(files(folder.path()) == before, "the folder was changed");
    let nowhere = folder.path().join("nowhere");
    assert!(program(&nowhere).check_upgrade().is_err() && !nowhere.exists());
}
