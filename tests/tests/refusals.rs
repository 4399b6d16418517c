//! What the engine refuses, with real folders: each refusal is a typed error that says what to do, and nothing is lost.

use rejoin::time::seconds;
use rejoin::{Builder, Context, Engine, Failure, Filter, RunError, RunStatus, StartError, TriggerError, Workflow};
use rejoin_store::OpenError;
use rejoin_tests::hooked::{Happening, Hooked};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const WAITS: Workflow<Vec<u8>, String> = Workflow::named("waits");

fn app(folder: &Path) -> Builder {
    Engine::open(folder).segments(1 << 20, 1 << 20).workflow(&WAITS, |ctx: Context, input: Vec<u8>| async move {
        ctx.step("measure", move || {
            let length = input.len();
            async move { Ok::<usize, Failure>(length) }
        })
        .await?;
        ctx.signal::<String>("go").await
    })
}

fn open_error(started: Result<Engine, StartError>) -> OpenError {
    match started {
        Err(StartError::Open(error)) => error,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it started"),
    }
}

/// Every file of a folder and of those in it, and what is in it.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let mut files: Vec<_> =
        files.into_iter().map(|path| (path.clone(), std::fs::read(&path).expect("readable"))).collect();
    files.extend(folders.iter().flat_map(|folder| self::files(folder)));
    files.sort();
    files
}

#[tokio::test]
async fn a_second_engine_on_a_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = app(folder.path()).start().await.expect("it starts");
    let error = open_error(app(folder.path()).start().await);
    assert!(matches!(error, OpenError::Locked { .. }));
    assert!(error.to_string().contains("in use by another process"), "{error}");
    first.shutdown().await;
    drop(first);
    app(folder.path()).start().await.expect("it is free again");
}

#[tokio::test]
async fn a_folder_of_a_newer_version_is_refused_and_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    app(folder.path()).start().await.expect("it starts").shutdown().await;
    let manifest = folder.path().join("MANIFEST");
    let mut bytes = std::fs::read(&manifest).expect("a manifest");
    bytes[8] = 200;
    // The checksum stands at the same place in every version and covers everything else.
    let crc = crc32c(&[&bytes[..12], &bytes[16..]].concat());
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&manifest, bytes).expect("written");
    std::fs::remove_file(folder.path().join("LOCK")).expect("the lock file");
    let before = files(folder.path());
    let error = open_error(app(folder.path()).start().await);
    assert!(matches!(error, OpenError::NewerFormat { found: 200, .. }), "{error}");
    assert_eq!(files(folder.path()), before);
}

/// CRC32C, bit by bit: the test must not trust the store's own.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

#[tokio::test]
async fn two_handlers_of_one_name_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let twice = app(folder.path()).workflow(&WAITS, |_, _| async move { Ok(String::new()) });
    let error = twice.start().await.err().expect("refused");
    assert!(matches!(error, StartError::RegisteredTwice { .. }), "{error}");
}

#[test]
fn starting_outside_a_runtime_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut starting = std::pin::pin!(app(folder.path()).start());
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    match starting.as_mut().poll(&mut task) {
        std::task::Poll::Ready(Err(error)) => assert!(error.to_string().contains("tokio"), "{error}"),
        _ => panic!("it must be refused at once"),
    }
}

#[tokio::test]
async fn a_run_that_does_not_exist_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = app(folder.path()).start().await.expect("it starts");
    let id = "00000000-0000-0000-0000-000000000001".parse().expect("an id");
    let run = engine.run::<String>(id);
    assert!(matches!(run.result().await, Err(RunError::NotFound(_))));
    assert!(matches!(run.signal("go", "now").await, Err(RunError::NotFound(_))));
    assert!(matches!(run.cancel("no").await, Err(RunError::NotFound(_))));
    assert!(matches!(run.describe(), Err(RunError::NotFound(_))));
    assert!(matches!(run.history(), Err(RunError::NotFound(_))));
}

#[tokio::test]
async fn a_follower_ends_with_the_engine() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = app(folder.path()).start().await.expect("it starts");
    let run = engine.trigger(&WAITS, vec![1]).await.expect("a run");
    let mut follow = run.follow();
    assert!(follow.next().await.expect("readable").is_some());
    engine.shutdown().await;
    let rest = async { while follow.next().await.expect("readable").is_some() {} };
    tokio::time::timeout(seconds(5), rest).await.expect("it ends");
    let late = async { engine.follow_all(engine.cursor()).next().await };
    assert!(tokio::time::timeout(seconds(5), late).await.expect("it ends").expect("readable").is_none());
}

#[tokio::test]
async fn inv_s10_a_failed_sync_stops_the_engine_and_everybody_is_told_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let broken = Arc::new(AtomicBool::new(false));
    let wrapped = broken.clone();
    let failing = app(folder.path()).wrap_disk(move |folder| {
        Hooked::new(folder, move |_, happening| match happening {
            Happening::SyncData if wrapped.load(Ordering::SeqCst) => Err(io::Error::other("a broken disk")),
            _ => Ok(()),
        })
    });
    let engine = failing.start().await.expect("it starts");
    let run = engine.trigger(&WAITS, vec![1]).await.expect("a run");
    let waiting = tokio::spawn({
        let run = run.clone();
        async move { run.result().await }
    });
    // The waiter is there before the disk breaks.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    broken.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let error = engine.trigger(&WAITS, vec![2]).await.err().expect("nothing is acknowledged");
        assert!(matches!(error, TriggerError::Store(_)) && error.to_string().contains("broken disk"), "{error}");
    }
    let told = waiting.await.expect("the task ends").expect_err("the waiter is told");
    assert!(matches!(told, RunError::Store(_)), "{told}");
    let id = run.id();
    assert_eq!(run.history().expect("reading goes on").len(), 2);
    drop((run, engine));
    let engine = app(folder.path()).start().await.expect("it starts on the mended disk");
    let run = engine.run::<String>(id);
    run.signal("go", "on").await.expect("the run is there");
    assert_eq!(run.result().await.expect("it completes"), "on");
    assert_eq!(engine.list(&Filter::default(), None, 10).expect("a list").runs.len(), 1);
}

#[tokio::test]
async fn inv_a5_a_shutdown_waits_for_steps_and_loses_nothing() {
    const SLOW: Workflow<u32, u32> = Workflow::named("slow");
    let folder = tempfile::tempdir().expect("a folder");
    let slow = |ctx: Context, n: u32| async move {
        ctx.step("slow", move || async move {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            Ok::<u32, Failure>(n)
        })
        .await
    };
    let engine = Engine::open(folder.path()).workflow(&SLOW, slow).start().await.expect("it starts");
    let run = engine.trigger(&SLOW, 7).await.expect("a run");
    engine.shutdown().await;
    assert!(matches!(engine.trigger(&SLOW, 8).await, Err(TriggerError::Stopped)));
    assert_eq!(run.describe().expect("reading goes on").row.status, RunStatus::Completed);
}

#[tokio::test]
async fn inv_a5_a_shutdown_begins_no_step() {
    const TWO: Workflow<(), u32> = Workflow::named("two");
    let folder = tempfile::tempdir().expect("a folder");
    let (begun, behind) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let app = || {
        let (begun, behind) = (begun.clone(), behind.clone());
        Engine::open(folder.path()).workflow(&TWO, move |ctx: Context, (): ()| {
            let (begun, behind) = (begun.clone(), behind.clone());
            async move {
                ctx.step("first", move || {
                    begun.store(true, Ordering::SeqCst);
                    async {
                        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                        Ok::<u32, Failure>(1)
                    }
                })
                .await?;
                ctx.step("second", move || {
                    behind.store(true, Ordering::SeqCst);
                    async { Ok::<u32, Failure>(2) }
                })
                .await
            }
        })
    };
    let engine = app().start().await.expect("it starts");
    let run = engine.trigger(&TWO, ()).await.expect("a run");
    while !begun.load(Ordering::SeqCst) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    engine.shutdown().await;
    assert!(!behind.load(Ordering::SeqCst), "the second step was begun");
    let id = run.id();
    drop((run, engine));
    let engine = app().start().await.expect("it starts again");
    assert_eq!(engine.run::<u32>(id).result().await.expect("it completes"), 2);
}

/// A small file system of its own, unmounted at the end; `None`, loudly, where that cannot be had.
struct Small {
    folder: tempfile::TempDir,
}

impl Small {
    fn mount(megabytes: u32) -> Option<Small> {
        let folder = tempfile::tempdir().expect("a folder");
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Small { folder });
        }
        assert!(std::env::var_os("REJOIN_REQUIRE_TOOLS").is_none(), "a tmpfs cannot be mounted here");
        println!("SKIPPED: a tmpfs cannot be mounted here; full and read-only disks were not tried");
        None
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(self.folder.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "remounted");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

#[tokio::test]
async fn inv_s10_a_full_disk_refuses_new_triggers_and_runs_go_on() {
    let Some(disk) = Small::mount(8) else { return };
    let engine = app(&disk.data()).start().await.expect("it starts");
    let mut runs = Vec::new();
    let refused = loop {
        match engine.trigger(&WAITS, vec![7; 20_000]).await {
            Ok(run) => runs.push(run),
            Err(error) => break error,
        }
        assert!(runs.len() < 2000, "the disk never filled");
    };
    assert!(matches!(refused, TriggerError::DiskFull), "{refused}");
    assert!(runs.len() > 20);
    for run in runs.iter().take(20) {
        run.signal("go", "on").await.expect("there is room for what is under way");
        assert_eq!(run.result().await.expect("it completes"), "on");
    }
    engine.shutdown().await;
    drop(engine);
    let waiting = runs.len() - 20;
    drop(runs);
    let engine = app(&disk.data()).start().await.expect("it starts on a full disk");
    let filter = Filter { status: Some(RunStatus::Suspended), ..Filter::default() };
    assert_eq!(engine.list(&filter, None, 5000).expect("a list").runs.len(), waiting, "nothing was lost");
}

#[tokio::test]
async fn inv_s10_what_the_full_disk_had_no_room_for_is_done_when_there_is_room() {
    let Some(disk) = Small::mount(12) else { return };
    let filler = disk.folder.path().join("filler");
    std::fs::write(&filler, vec![1; 6 << 20]).expect("written");
    let engine = app(&disk.data()).start().await.expect("it starts");
    let mut runs = Vec::new();
    while let Ok(run) = engine.trigger(&WAITS, vec![7; 10_000]).await {
        runs.push(run);
        assert!(runs.len() < 5000, "the disk never filled");
    }
    // What is left is filled with signals that nobody waits for, until not even they fit.
    let refused = loop {
        match runs[0].signal("other", &vec![7_u8; 50_000]).await {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(&refused, RunError::Store(failure) if failure.is_disk_full()), "{refused}");
    std::fs::remove_file(&filler).expect("removed");
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    for run in &runs {
        run.signal("go", "on").await.expect("there is room again");
        assert_eq!(run.result().await.expect("it completes"), "on");
    }
    engine.trigger(&WAITS, vec![1]).await.expect("new ones are taken again");
}

#[tokio::test]
async fn a_disk_that_is_too_small_to_begin_on_is_named() {
    let Some(disk) = Small::mount(1) else { return };
    let error = open_error(app(&disk.data()).start().await);
    assert!(error.to_string().contains("no room"), "{error}");
}

#[tokio::test]
async fn a_read_only_file_system_is_named_and_untouched() {
    let Some(disk) = Small::mount(8) else { return };
    let engine = app(&disk.data()).start().await.expect("it starts");
    engine.trigger(&WAITS, vec![1]).deadline(seconds(60)).await.expect("a run");
    engine.shutdown().await;
    drop(engine);
    disk.read_only();
    let before = files(&disk.data());
    let error = open_error(app(&disk.data()).start().await);
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    assert!(error.to_string().contains("writable file system"), "{error}");
    assert_eq!(files(&disk.data()), before);
}
