//! What threads do beside one another: appends during a commit, commits during a read, spares made twice.
//!
//! The disk can be held at any operation, so that each of these happens for certain and not by chance.

mod script;

use rejoin_store::disk::{Disk, DiskFile, Folder};
use rejoin_store::journal::Journal;
use rejoin_store::simulated::{Fault, Outcome, SimDisk};
use rejoin_store::{Log, Lsn, NewRecord, Shard, Space, Version};
use script::{everything, open, options, payload, stream};
use std::any::Any;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A disk that can be held at an operation.
#[derive(Clone)]
struct Held {
    disk: SimDisk,
    gate: Arc<Gate>,
}

/// Stops the next operation of the kind that is asked for, and says so.
#[derive(Default)]
struct Gate {
    held: Mutex<Option<Hold>>,
}

struct Hold {
    kind: &'static str,
    reached: Sender<()>,
    leave: Receiver<()>,
}

impl Gate {
    /// The next operation of this kind says that it is reached, and waits for leave.
    fn hold(&self, kind: &'static str) -> (Receiver<()>, Sender<()>) {
        let (reached, is_reached) = channel();
        let (leave, has_leave) = channel();
        *self.held.lock().unwrap() = Some(Hold { kind, reached, leave: has_leave });
        (is_reached, leave)
    }

    fn pass(&self, kind: &str) {
        let mut held = self.held.lock().unwrap();
        let Some(hold) = held.take_if(|hold| hold.kind == kind) else { return };
        drop(held);
        hold.reached.send(()).unwrap();
        hold.leave.recv().unwrap();
    }
}

struct HeldFile {
    file: Box<dyn DiskFile>,
    gate: Arc<Gate>,
}

impl Held {
    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(HeldFile { file, gate: self.gate.clone() })
    }
}

impl Disk for Held {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.disk.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.disk.open(name)?))
    }
    fn open_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.disk.open_read(name)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn sync_folder(&self) -> io::Result<()> {
        self.disk.sync_folder()
    }
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.gate.pass("lock");
        self.disk.lock()
    }
    fn lock_read(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.disk.lock_read()
    }
    fn name(&self) -> String {
        self.disk.name()
    }
}

impl DiskFile for HeldFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.gate.pass("read");
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.gate.pass("write");
        self.file.write_at(buffer, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass("sync");
        self.file.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.gate.pass("sync all");
        self.file.sync_all()
    }
    fn evict(&self) -> io::Result<()> {
        self.file.evict()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

fn held() -> (Held, Journal) {
    let held = Held { disk: SimDisk::new(), gate: Arc::default() };
    let log = Journal::open(held.clone(), options()).expect("a new store");
    (held, log)
}

fn record(n: usize, expected: u64) -> NewRecord {
    NewRecord { stream: stream(n), expected: Version(expected), time: 0, format: 0, payload: payload(100, n) }
}

#[test]
fn appends_go_on_while_a_commit_is_under_way() {
    let (held, log) = held();
    log.append(&[record(0, 0)]).unwrap().unwrap();
    let (reached, leave) = held.gate.hold("sync");
    thread::scope(|scope| {
        let commit = scope.spawn(|| log.commit().unwrap());
        reached.recv().unwrap();
        assert_eq!(log.append(&[record(0, 1), record(1, 0)]).unwrap().unwrap(), Lsn(3));
        assert!(log.append(&[record(0, 1)]).unwrap().is_err(), "conflicts count what is under way");
        assert_eq!(log.head(stream(0)).unwrap().version, Version(2));
        assert_eq!(log.durable(), Lsn(0), "not durable, not visible");
        assert!(log.follow(Shard(0), Lsn(0), 10).unwrap().records.is_empty());
        leave.send(()).unwrap();
        assert_eq!(commit.join().unwrap(), Lsn(1));
    });
    assert_eq!(log.commit().unwrap(), Lsn(3));
    assert_eq!(everything(&log, "both commits").len(), 3);
}

#[test]
fn inv_s7_a_commit_vouches_for_the_one_that_was_under_way_when_it_was_appended() {
    let (held, log) = held();
    log.append(&[record(0, 0)]).unwrap().unwrap();
    let (reached, leave) = held.gate.hold("sync");
    thread::scope(|scope| {
        let commit = scope.spawn(|| log.commit().unwrap());
        reached.recv().unwrap();
        log.append(&[record(1, 0)]).unwrap().unwrap();
        leave.send(()).unwrap();
        commit.join().unwrap();
    });
    log.commit().unwrap();
    let files = held.disk.crash(Outcome::Lost, 0).files();
    let damaged = |byte: usize| {
        let mut files = files.clone();
        let segment = files.iter_mut().find(|(name, _)| name == "000000000001.seg").expect("the segment");
        segment.1[byte] ^= 1;
        open(&SimDisk::with_files(files))
    };
    // The first commit's frame: header, record header, payload and four bytes of padding, which say nothing.
    let first = 64..64 + 40 + 88 + 104;
    for byte in first.clone() {
        match damaged(byte) {
            Err(_) => assert!(byte < first.end - 4, "byte {byte}"),
            Ok(log) => {
                assert!(byte >= first.end - 4, "byte {byte}: what was acknowledged is cut");
                assert_eq!((log.durable(), log.cut()), (Lsn(2), None), "byte {byte}");
            }
        }
    }
}

#[test]
fn a_commit_waits_for_no_reader() {
    let (held, log) = held();
    log.append(&[record(0, 0)]).unwrap().unwrap();
    log.commit().unwrap();
    type Reading<'a> = (&'a str, &'a (dyn Fn() + Sync));
    let follow: Reading<'_> = ("follow", &|| drop(log.follow(Shard(0), Lsn(0), 1).unwrap()));
    let read: Reading<'_> = ("read", &|| drop(log.read(stream(0), Version(1), 1).unwrap()));
    for (version, (what, reading)) in (1..).zip([follow, read]) {
        let (reached, leave) = held.gate.hold("read");
        thread::scope(|scope| {
            scope.spawn(reading);
            reached.recv().unwrap();
            let (done, is_done) = channel();
            let log = &log;
            scope.spawn(move || {
                log.append(&[record(0, version)]).unwrap().unwrap();
                log.commit().unwrap();
                done.send(()).unwrap();
            });
            let result = is_done.recv_timeout(Duration::from_secs(20));
            // Before the verdict, so that a failure ends instead of hanging.
            leave.send(()).unwrap();
            assert!(result.is_ok(), "a commit waits for {what}");
        });
    }
    assert_eq!(log.durable(), Lsn(3));
}

#[test]
fn a_spare_that_is_being_made_is_not_made_by_another_thread() {
    let disk = SimDisk::new();
    drop(open(&disk).unwrap());
    disk.remove("spare").unwrap();
    // So that the store opens without a spare and wants one.
    disk.plan(Fault::RoomFor(500));
    let held = Held { disk: disk.clone(), gate: Arc::default() };
    let log = Journal::open(held.clone(), options()).unwrap();
    disk.plan(Fault::None);
    let (reached, leave) = held.gate.hold("write");
    thread::scope(|scope| {
        let first = scope.spawn(|| log.space());
        reached.recv().unwrap();
        let before = disk.operations();
        let second = scope.spawn(|| log.space());
        // Long enough to begin, if it could.
        thread::sleep(Duration::from_millis(50));
        let meanwhile = disk.operations() - before;
        leave.send(()).unwrap();
        assert_eq!([first.join().unwrap(), second.join().unwrap()], [Space::Ample; 2]);
        assert_eq!(meanwhile, 0, "two threads fill one file");
    });
}

#[test]
fn a_store_that_was_made_while_one_waited_for_the_folder_is_that_store() {
    let held = Held { disk: SimDisk::new(), gate: Arc::default() };
    let (reached, leave) = held.gate.hold("lock");
    thread::scope(|scope| {
        let opening = scope.spawn(|| Journal::open(held.clone(), options()));
        // It has seen an empty folder. Now another process makes the store and ends.
        reached.recv().unwrap();
        let log = open(&held.disk).unwrap();
        log.append(&[record(0, 0)]).unwrap().unwrap();
        log.commit().unwrap();
        drop(log);
        leave.send(()).unwrap();
        let log = opening.join().unwrap().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(everything(&log, "made by another").len(), 1);
    });
}

#[test]
fn of_many_that_make_the_same_store_one_does() {
    let folder = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for n in 0..4 {
            let folder = Folder::create(folder.path()).unwrap();
            scope.spawn(move || {
                // Until it is this one's turn.
                let log = loop {
                    match Journal::open(folder.clone(), script::options()) {
                        Ok(log) => break log,
                        Err(rejoin_store::OpenError::Locked { .. }) => thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                };
                log.append(&[record(n, 0)]).unwrap().unwrap();
                log.commit().unwrap();
            });
        }
    });
    let log = Journal::open(Folder::existing(folder.path()).unwrap(), options()).unwrap();
    assert_eq!(everything(&log, "all of them").len(), 4);
}
