//! What the engine refuses, with real folders: each refusal is a typed error that says what to do, and nothing is lost.

use rejoin::time::seconds;
use rejoin::{Builder, Context, Engine, Failure, Filter, RunError, RunStatus, StartError, TriggerError, Workflow};
use rejoin_store::OpenError;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Every file of a folder and what is in it.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|file| file.expect("a file").path())
        .map(|path| (path.clone(), std::fs::read(&path).expect("readable")))
        .collect();
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
