//! Stores to read, made by the real engine or record by record; and the binary that reads them.
#![allow(dead_code, reason = "each test file uses its own part")]

use rejoin::{Context, Engine, Failure, RunId, Transition, Workflow};
use rejoin_machine::{Event, Origin, Payload, Target, Trigger};
use rejoin_store::disk::Folder;
use rejoin_store::journal::{Journal, Options};
use rejoin_store::{Log, NewRecord, StreamId, Version};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::SystemTime;
use std::{fs, str};
use tempfile::TempDir;

pub const DOUBLE: Workflow<u32, u32> = Workflow::named("double");
pub const REPORT: Workflow<u32, String> = Workflow::named("report");
pub const ORDER: Workflow<String, ()> = Workflow::named("order").version(2);
pub const WAIT: Workflow<(), String> = Workflow::named("wait");

async fn double(ctx: Context, n: u32) -> Result<u32, Failure> {
    ctx.step("compute", move || async move { Ok::<u32, Failure>(n * 2) }).retry(3).await
}

async fn report(ctx: Context, n: u32) -> Result<String, Failure> {
    let doubled = ctx.call(&DOUBLE, n).key("the-call").await?;
    Ok(format!("{n} doubled is {doubled}"))
}

async fn order(ctx: Context, item: String) -> Result<(), Failure> {
    let tries = AtomicU32::new(0);
    let step = move || match tries.fetch_add(1, Ordering::SeqCst) {
        0 => Err(Failure::transient("the line is busy")),
        _ => Err::<(), _>(Failure::business("no-stock", &item)),
    };
    ctx.step("reserve", step).await
}

async fn wait(ctx: Context, (): ()) -> Result<String, Failure> {
    ctx.signal("go").await
}

pub async fn engine(folder: &Path) -> Engine {
    let engine = Engine::open(folder).workflow(&DOUBLE, double).workflow(&REPORT, report);
    engine.workflow(&ORDER, order).workflow(&WAIT, wait).start().await.unwrap()
}

/// A store with four runs: a parent and its child, one that failed, one that waits.
pub struct Store {
    pub folder: TempDir,
    pub report: RunId,
    pub order: RunId,
    pub wait: RunId,
}

impl Store {
    pub fn new() -> Store {
        let folder = TempDir::new().unwrap();
        let _none = starting_none();
        let [report, order, wait] = block_on(async {
            let engine = engine(folder.path()).await;
            let report = engine.trigger(&REPORT, 21).key("weekly").label("team", "sales").await.unwrap();
            assert_eq!(report.result().await.unwrap(), "21 doubled is 42");
            let order = engine.trigger(&ORDER, "a \"red\" lamp".to_owned()).await.unwrap();
            order.result().await.unwrap_err();
            let wait = engine.trigger(&WAIT, ()).await.unwrap();
            let mut follow = wait.follow();
            while !follow.next().await.unwrap().unwrap().1.transition.suspended {}
            engine.shutdown().await;
            [report.id(), order.id(), wait.id()]
        });
        Store { folder, report, order, wait }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

/// A store with these records: run, format, payload. All of one run are dated alike.
pub fn written(records: &[(RunId, u16, Vec<u8>)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    let _none = starting_none();
    let journal = Journal::open(Folder::create(folder.path()).unwrap(), Options::default()).unwrap();
    let mut versions: BTreeMap<RunId, Version> = BTreeMap::new();
    for (run, format, payload) in records {
        let expected = versions.entry(*run).or_default();
        let (stream, format, payload) = (StreamId(run.0), *format, payload.clone());
        let record = NewRecord { stream, expected: *expected, time: 1_000_000, format, payload };
        journal.append(&[record]).unwrap().unwrap();
        *expected = expected.next();
    }
    journal.commit().unwrap();
    drop(journal);
    folder
}

/// What a record of these events holds.
pub fn events(events: impl IntoIterator<Item = Event>) -> Vec<u8> {
    let events = events.into_iter().collect();
    rejoin::codec::encode(&Transition { events, ..Transition::default() }).unwrap()
}

pub fn triggered(workflow: &str) -> Event {
    Event::Triggered(Box::new(Trigger {
        project: "default".to_owned(),
        target: Target { name: workflow.to_owned(), version: 1 },
        input: Payload::from(&b"null"[..]),
        origin: Origin::Api,
        key: None,
        parent: None,
        depth: 0,
        path: vec![workflow.to_owned()],
        deadline: None,
        labels: Vec::new(),
        seed: 7,
    }))
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Standard output as JSON Lines.
    pub fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Asserts that it failed with this status, printed nothing, and said all of this.
    #[track_caller]
    pub fn refused(&self, status: i32, parts: &[&str]) {
        assert_eq!((self.status, &*self.out), (status, ""), "{self:?}");
        assert!(self.err.starts_with("error: "), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in {self:?}");
        }
    }
}

/// A folder with these files: their paths in it, and what they hold.
pub fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

pub fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin"));
    command.args(arguments);
    command
}

/// Held for writing by who has a store open, for reading by who starts a process: until that one runs its own program
/// it has all files of this one open, and with them the lock of the store.
static STARTING: RwLock<()> = RwLock::new(());

/// Keeps processes from being started while a store is open that is to be read once it is closed.
pub fn starting_none() -> impl Drop {
    STARTING.write().unwrap_or_else(PoisonError::into_inner)
}

pub fn rejoin<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Said {
    said(command(arguments).stdout(Stdio::piped()))
}

pub fn said(command: &mut Command) -> Said {
    said_with(command, Stdio::null())
}

pub fn said_with(command: &mut Command, stdin: Stdio) -> Said {
    let starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let child = command.stdin(stdin).stderr(Stdio::piped()).spawn().unwrap();
    drop(starting);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| str::from_utf8(bytes).unwrap().to_owned();
    Said { status: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Everything in a folder that could have been changed: names, bytes, and when they and the folder were written.
pub fn picture(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let written = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let mut picture = BTreeMap::from([(String::new(), (Vec::new(), written(folder)))]);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            picture.extend(
                self::picture(&path).into_iter().map(|(name, seen)| (path.join(name).display().to_string(), seen)),
            );
            continue;
        }
        picture.insert(path.display().to_string(), (fs::read(&path).unwrap(), written(&path)));
    }
    picture
}

/// Changes bytes of a file.
pub fn overwrite(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}
