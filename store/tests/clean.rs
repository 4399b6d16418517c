//! Deleting streams and cleaning the log of them: what lives stays as it is, what is dead goes, and no crash and no failing
//! disk changes that.

mod lives;
mod script;

use lives::{LARGEST, Model, Script, Step, goes_on, new, no_orphans, open, segment_files, tombstone};
use rejoin_store::index::{Fold, Home, Key, Row, Sled, Table};
use rejoin_store::journal::{Journal, Options};
use rejoin_store::simulated::{Fault, Outcome, SimDisk};
use rejoin_store::{Failure, Log, Lsn, Record, StreamId, Version};
use script::{Progress, payload, stream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

fn size(disk: &SimDisk) -> usize {
    segment_files(disk).iter().map(|(_, size)| size).sum()
}

#[test]
fn inv_s3_inv_s6_what_lives_reads_as_before_through_deletion_and_cleaning() {
    let script = Script::new();
    let disk = SimDisk::new();
    let (mut progress, mut dead, mut cleanings, mut checks) = (Progress::default(), 0, 0, 0);
    let log = open(&disk).unwrap();
    let mut counted = Progress::default();
    let log = script.go_on(&disk, log, &mut progress, |step, log| {
        match step {
            Step::Append(_) => counted.appended += 1,
            Step::Commit | Step::Seal => counted.acked = counted.appended,
            Step::Clean | Step::Reopen => {}
        }
        let context = format!("{step:?} after {} batches", counted.appended);
        let before = std::mem::replace(&mut dead, script.model.check(log, counted, &context).1);
        if matches!(step, Step::Clean) {
            cleanings += 1;
            assert!(dead <= before, "{context}: nothing comes back");
            for after in 0..=log.durable().0 {
                for page in [1, 3, 100] {
                    script.model.follows(log, Lsn(after), page, &format!("{context}, behind {after}"));
                }
            }
        }
        checks += 1;
    });
    let log = log.unwrap_or_else(|_| panic!("without faults all works"));
    script.model.check_heads(&log, "at the end");
    println!("{} records, {checks} checks, {cleanings} cleanings, {dead} dead left", script.model.last());
    assert!(cleanings > 8 && dead < 30, "{dead} dead records are left");
    let names = segment_files(&disk);
    assert!(names.iter().filter(|(name, _)| name.contains('-')).count() > 1, "some are rewritten: {names:?}");
    drop(log);
    script.model.inspects(&disk, dead, "closed");
    no_orphans(&disk, "closed");
}

/// Runs the script with a crash at each operation, and hands the dead disk and the progress to `then`.
fn at_each_operation(script: &Script, then: impl Fn(u64, &SimDisk, Progress, &str) + Sync) -> u64 {
    let disk = SimDisk::new();
    let whole = script.run(&disk);
    let batches = script.model.batches.len();
    assert_eq!((whole.acked, whole.appended), (batches, batches), "without faults all works");
    let operations = disk.operations();
    let work = |first: u64, step: usize| {
        for operation in (first..=operations).step_by(step) {
            let disk = SimDisk::new();
            disk.plan(Fault::CrashAt(operation));
            let progress = script.run(&disk);
            let what = disk.operation(operation).expect("the operation was reached");
            then(operation, &disk, progress, &format!("crash at operation {operation} ({what})"));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (1..=threads as u64).for_each(|first| drop(scope.spawn(move || work(first, threads)))));
    operations
}

#[test]
fn inv_s1_inv_s2_a_crash_at_any_operation_loses_nothing_that_lives_and_brings_back_nothing_that_is_dead() {
    let script = Script::new();
    let (states, cuts) = (AtomicU64::new(0), AtomicU64::new(0));
    let operations = at_each_operation(&script, |operation, dead, progress, context| {
        for outcome in Outcome::ALL {
            for seed in 0..if matches!(outcome, Outcome::Lost | Outcome::Kept) { 1 } else { 5 } {
                let context = format!("{context}, {outcome:?}, seed {seed}");
                let disk = dead.crash(outcome, seed * 1_000 + operation);
                let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
                let (found, _) = script.model.check(&log, progress, &context);
                script.model.check_heads(&log, &context);
                no_orphans(&disk, &context);
                let torn = !matches!(outcome, Outcome::Lost | Outcome::Kept);
                assert!(torn || log.cut().is_none(), "{context}: {:?}", log.cut());
                cuts.fetch_add(u64::from(log.cut().is_some()), Relaxed);
                goes_on(&script.model, found, &disk, log, &context);
                states.fetch_add(1, Relaxed);
            }
        }
    });
    let (states, cuts) = (states.into_inner(), cuts.into_inner());
    println!("{operations} operations, {states} crash states, {cuts} with a torn end");
    assert!(operations > 400 && cuts > 150, "the script is too tame: {operations} operations, {cuts} cuts");
}

#[test]
fn inv_s8_a_crash_of_recovery_or_of_a_cleaning_after_it_changes_nothing() {
    let script = Script::new();
    let states = AtomicU64::new(0);
    at_each_operation(&script, |operation, dead, progress, context| {
        if !operation.is_multiple_of(5) {
            return;
        }
        let outcome = Outcome::ALL[(operation / 5) as usize % 6];
        let crashed = dead.crash(outcome, operation);
        let opened = |fault| {
            let disk = SimDisk::with_files(crashed.files());
            disk.plan(fault);
            let found = open(&disk).ok().map(|log| {
                let _ = log.clean();
                (script.model.check(&log, progress, context).0, disk.operations())
            });
            (disk, found)
        };
        let (found, steps) = opened(Fault::None).1.expect("recovery works");
        for step in 1..=steps {
            let disk = SimDisk::with_files(crashed.files());
            disk.plan(Fault::CrashAt(step));
            if let Ok(log) = open(&disk) {
                let _ = log.clean();
            }
            let second = Outcome::ALL[(step + operation) as usize % 6];
            let what = disk.operation(step).expect("the operation was reached");
            let context = format!("{context}, {outcome:?}, crash of recovery at {step} ({what}), {second:?}");
            let disk = disk.crash(second, step);
            let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(script.model.check(&log, progress, &context).0, found, "{context}");
            script.model.check_heads(&log, &context);
            if step % 3 == 0 {
                goes_on(&script.model, found, &disk, log, &context);
            }
            states.fetch_add(1, Relaxed);
        }
    });
    let states = states.into_inner();
    println!("{states} crashes of recovery and cleaning");
    assert!(states > 1_000, "only {states}");
}

#[test]
fn inv_s9_a_cleaning_after_a_kill_rests_on_what_is_durable() {
    let script = Script::new();
    at_each_operation(&script, |operation, dead, progress, context| {
        let disk = dead.kill();
        let context = format!("kill instead of {context}");
        let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
        log.clean().unwrap_or_else(|error| panic!("{context}: {error}"));
        let (found, _) = script.model.check(&log, progress, &context);
        for outcome in Outcome::ALL {
            let context = format!("{context}, cleaned, then {outcome:?}");
            let disk = disk.crash(outcome, operation);
            let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(script.model.check(&log, progress, &context).0, found, "{context}");
        }
    });
}

/// Runs the script where each operation fails at most once. What fails is tried again; a cleaning must work then. Returns the
/// journal, whether a cleaning failed, and whether the store is poisoned.
fn run_through(script: &Script, disk: &SimDisk, progress: &mut Progress, context: &str) -> (Journal, bool, bool) {
    let opened = || open(disk).or_else(|_| open(disk)).unwrap_or_else(|error| panic!("{context}: {error}"));
    let (mut journal, mut failed) = (opened(), false);
    for step in &script.steps {
        let mut result = Ok(());
        for _ in 0..2 {
            result = match step {
                Step::Append(batch) => journal.append(&script.model.batches[*batch]).map(|_| progress.appended += 1),
                Step::Commit => journal.commit().map(|_| progress.acked = progress.appended),
                Step::Seal => journal.seal().map(|()| progress.acked = progress.appended),
                Step::Clean => journal.clean().map(drop).inspect_err(|_| {
                    script.model.check(&journal, *progress, context);
                    failed = true;
                }),
                Step::Reopen => {
                    drop(journal);
                    journal = opened();
                    Ok(())
                }
            };
            if result.is_ok() {
                break;
            }
        }
        assert!(result.is_ok() || !matches!(step, Step::Clean), "{context}: cleaning fails for good: {result:?}");
        if let Err(failure) = result {
            assert!(matches!(failure, Failure::Poisoned { .. }), "{context}: {failure}");
            return (journal, failed, true);
        }
    }
    (journal, failed, false)
}

#[test]
fn inv_s10_a_cleaning_that_fails_poisons_nothing_and_the_next_one_completes_it() {
    let script = Script::new();
    let disk = SimDisk::new();
    script.run(&disk);
    let operations = disk.operations();
    let finished = |disk: &SimDisk, context: &str| {
        let log = open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
        for _ in 0..2 {
            log.clean().unwrap_or_else(|error| panic!("{context}: {error}"));
        }
        drop(log);
        no_orphans(disk, context);
        size(disk)
    };
    let whole = finished(&disk, "without faults");
    let (mut failures, mut poisoned) = (0, 0);
    for operation in 1..=operations {
        let disk = SimDisk::new();
        disk.plan(Fault::FailOnce(operation));
        let context = format!("operation {operation} fails once");
        let mut progress = Progress::default();
        let (journal, failed, is_poisoned) = run_through(&script, &disk, &mut progress, &context);
        let (found, _) = script.model.check(&journal, progress, &context);
        failures += u64::from(failed);
        poisoned += u64::from(is_poisoned);
        assert!(!(failed && is_poisoned), "{context}: a cleaning poisoned the store");
        for outcome in [Outcome::Lost, Outcome::Subset, Outcome::Kept] {
            let context = format!("{context}, then {outcome:?}");
            let disk = disk.crash(outcome, operation);
            let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            let (found, _) = script.model.check(&log, progress, &context);
            goes_on(&script.model, found, &disk, log, &context);
        }
        drop(journal);
        if !is_poisoned {
            assert_eq!(found, script.model.batches.len(), "{context}");
            let left = finished(&disk, &context);
            assert!(left <= whole + LARGEST as usize, "{context}: {left} bytes are left, and {whole} without faults");
        }
    }
    println!("{operations} operations failed once: {failures} failed a cleaning, {poisoned} poisoned the store");
    assert!(failures > 100 && poisoned > 50, "{failures} failures, {poisoned} poisoned");
}

#[test]
fn inv_s10_a_disk_that_fails_for_good_loses_nothing_acknowledged_through_cleaning() {
    let script = Script::new();
    let disk = SimDisk::new();
    script.run(&disk);
    let operations = disk.operations();
    for operation in 1..=operations {
        let disk = SimDisk::new();
        disk.plan(Fault::FailFrom(operation));
        let context = format!("from operation {operation} on all fail");
        let mut progress = Progress::default();
        if let Ok(log) = open(&disk)
            && let Err(failed) = script.go_on(&disk, log, &mut progress, |_, _| {})
            && let Some((log, _)) = *failed
        {
            script.model.check(&log, progress, &context);
            let _ = log.clean();
            script.model.check(&log, progress, &context);
        }
        for outcome in [Outcome::Lost, Outcome::Subset, Outcome::Kept] {
            let context = format!("{context}, then {outcome:?}");
            let disk = disk.crash(outcome, operation);
            let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            let (found, _) = script.model.check(&log, progress, &context);
            goes_on(&script.model, found, &disk, log, &context);
        }
    }
    println!("{operations} operations failed for good");
}

/// A stream that is there in one round only.
fn passing(round: usize, n: usize) -> StreamId {
    let mut id = [200 + n as u8; 16];
    id[..8].copy_from_slice(&(round as u64).to_be_bytes());
    StreamId(id)
}

/// Appends a batch and commits it.
fn put(model: &mut Model, log: &Journal, batch: Vec<rejoin_store::NewRecord>) {
    log.append(&batch).unwrap().unwrap();
    log.commit().unwrap();
    model.push(batch);
}

fn checked(model: &Model, log: &Journal, context: &str) -> u64 {
    let all = model.batches.len();
    model.check_heads(log, context);
    model.check(log, Progress { appended: all, acked: all }, context).1
}

/// Three streams of half a segment each, in batches of their own; then a record of stream 9, so that they are not the last.
fn three_streams(disk: &SimDisk) -> (Model, Journal) {
    let (mut model, log) = (Model::default(), open(disk).unwrap());
    for version in 0..6 {
        for n in 0..3 {
            put(&mut model, &log, vec![new(stream(n), version, payload(900, n))]);
        }
    }
    put(&mut model, &log, vec![new(stream(9), 0, payload(10, 9))]);
    (model, log)
}

#[test]
fn inv_s7_what_a_tombstone_ended_stays_while_the_tombstone_could_be_cut_off() {
    let disk = SimDisk::new();
    let (mut model, log) = three_streams(&disk);
    let ended = (0..3).map(|n| tombstone(stream(n), 6)).collect();
    put(&mut model, &log, ended);
    // Nothing stands behind the tombstones yet: damaged, they would pass for a torn write.
    let cleaned = log.clean().unwrap();
    assert!(cleaned.waiting && cleaned.gone + cleaned.rewritten == 0, "{cleaned:?}");
    let mut files = disk.crash(Outcome::Lost, 0).files();
    let (_, tail) = files.iter_mut().rfind(|(name, _)| name.ends_with(".seg")).unwrap();
    let end = tail.iter().rposition(|byte| *byte != 0).unwrap();
    tail[end] ^= 1;
    let damaged = SimDisk::with_files(files);
    let again = open(&damaged).unwrap();
    assert!(again.cut().is_some());
    let before = Model::of(&model.batches[..model.batches.len() - 1]);
    checked(&before, &again, "without the tombstones");
    // A seal says that they stand.
    log.seal().unwrap();
    let cleaned = log.clean().unwrap();
    assert!(!cleaned.waiting && cleaned.gone > 0, "{cleaned:?}");
    assert!(checked(&model, &log, "sealed") < 10);
}

#[test]
fn inv_s7_an_earlier_tombstone_counts_while_a_later_one_could_be_cut_off() {
    let disk = SimDisk::new();
    let (mut model, log) = three_streams(&disk);
    put(&mut model, &log, (0..3).map(|n| tombstone(stream(n), 6)).collect());
    put(&mut model, &log, vec![new(stream(0), 0, payload(100, 1))]);
    put(&mut model, &log, vec![tombstone(stream(0), 1)]);
    let cleaned = log.clean().unwrap();
    assert!(cleaned.waiting && cleaned.gone == 3, "{cleaned:?}");
    let log = open(&disk.crash(Outcome::Lost, 0)).unwrap();
    assert!(log.clean().unwrap().waiting, "nor does an opening vouch for it");
    assert!(checked(&model, &log, "reopened") < 10);
    log.seal().unwrap();
    assert!(!log.clean().unwrap().waiting);
    checked(&model, &log, "sealed");
}

#[test]
fn inv_s7_a_segment_whose_records_are_not_those_that_were_written_is_not_cleaned() {
    let disk = SimDisk::new();
    let (mut model, log) = three_streams(&disk);
    put(&mut model, &log, vec![tombstone(stream(0), 6), tombstone(stream(1), 6)]);
    drop(log);
    // A frame in another's place, of the same segment and length: all its checksums match.
    let mut files = disk.files();
    let (_, content) = files.iter_mut().find(|(name, _)| name == "000000000002.seg").unwrap();
    let frame = 40 + 88 + 904;
    content.copy_within(64..64 + frame, 64 + 3 * frame);
    let disk = SimDisk::with_files(files);
    let log = open(&disk).unwrap();
    let before = segment_files(&disk);
    let refused = log.clean();
    assert!(matches!(refused, Err(Failure::Damaged(ref damage)) if damage.file == "000000000002.seg"), "{refused:?}");
    assert!(
        before.contains(&("000000000002.seg".to_owned(), before[1].1)) && segment_files(&disk).contains(&before[1])
    );
}

#[test]
fn spec_a14_disk_and_tombstones_do_not_grow_while_streams_come_and_go() {
    let disk = SimDisk::new();
    let (mut model, mut log) = (Model::default(), open(&disk).unwrap());
    // One that was deleted and born again within the first segment, where all the rest lives on.
    put(&mut model, &log, vec![new(stream(0), 0, payload(500, 0)), tombstone(stream(0), 1)]);
    put(&mut model, &log, vec![new(stream(0), 0, payload(500, 1)), new(stream(1), 0, payload(700, 1))]);
    put(&mut model, &log, vec![new(stream(1), 1, payload(2_100, 1))]);
    let (mut sizes, mut left) = (Vec::new(), Vec::new());
    for round in 0..500 {
        let born = (2..6).map(|n| new(passing(round, n), 0, payload(300 + n * 90, round))).collect();
        put(&mut model, &log, born);
        if round % 10 == 0 {
            let more = new(stream(1), model.version(stream(1)), payload(40, round));
            put(&mut model, &log, vec![more]);
        }
        put(&mut model, &log, (2..6).map(|n| tombstone(passing(round, n), 1)).collect());
        if round % 7 == 6 {
            log.seal().unwrap();
            let cleaned = log.clean().unwrap();
            assert!(!cleaned.waiting);
            sizes.push(size(&disk));
        }
        if round % 50 == 49 {
            left.push(checked(&model, &log, &format!("round {round}")));
            drop(log);
            log = open(&disk).unwrap();
        }
    }
    let (most, dead) = (*sizes.iter().max().unwrap(), *left.iter().max().unwrap());
    println!("at most {most} bytes and {dead} dead records, at the end {}", sizes[sizes.len() - 1]);
    assert!(most < 7 * LARGEST as usize && dead < 200, "{sizes:?} {left:?}");
    // Then all go.
    let rest: Vec<_> = [0, 1].map(|n| tombstone(stream(n), model.version(stream(n)))).into();
    put(&mut model, &log, rest);
    log.seal().unwrap();
    for _ in 0..2 {
        log.clean().unwrap();
    }
    let left = checked(&model, &log, "all deleted");
    assert!(size(&disk) <= 2 * LARGEST as usize && left < 60, "{left} dead, {:?}", segment_files(&disk));
}

#[test]
fn inv_s10_a_full_disk_stops_a_cleaning_and_nothing_else() {
    let mut refused = 0;
    for room in (0..16_000).step_by(111) {
        let context = format!("room for {room} bytes");
        let disk = SimDisk::new();
        let (mut model, log) = three_streams(&disk);
        put(&mut model, &log, vec![tombstone(stream(0), 6), tombstone(stream(1), 6)]);
        log.seal().unwrap();
        let before = size(&disk);
        disk.plan(Fault::RoomFor(room));
        if let Err(failure) = log.clean() {
            assert!(failure.is_disk_full(), "{context}: {failure}");
            refused += 1;
            // A whole file may stay that a manifest might name, half a file never.
            if disk.operation(disk.operations()).unwrap() != "write MANIFEST.new" {
                no_orphans(&disk, &context);
            }
        }
        checked(&model, &log, &context);
        disk.plan(Fault::None);
        log.clean().unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(size(&disk) < before, "{context}");
        checked(&model, &log, &context);
        no_orphans(&disk, &context);
    }
    println!("{refused} cleanings of a full disk");
    assert!(refused > 20);
}

#[test]
fn inv_s1_a_crash_in_the_second_try_of_a_cleaning_loses_nothing() {
    let deleted = || {
        let disk = SimDisk::new();
        let (mut model, log) = three_streams(&disk);
        put(&mut model, &log, vec![tombstone(stream(0), 6), tombstone(stream(1), 6)]);
        log.seal().unwrap();
        (disk, model, log)
    };
    let (disk, ..) = deleted();
    let begun = disk.operations();
    let mut states = 0;
    for first in begun + 1.. {
        let (disk, model, log) = deleted();
        disk.plan(Fault::FailOnce(first));
        if log.clean().is_ok() && disk.operations() < first {
            break;
        }
        for second in disk.operations() + 1.. {
            let (disk, _, log) = deleted();
            disk.plan(Fault::FailOnce(first));
            let _ = log.clean();
            disk.plan(Fault::CrashAt(second));
            let is_whole = log.clean().is_ok();
            for outcome in Outcome::ALL {
                let context = format!("operation {first} fails, then a crash at {second}, {outcome:?}");
                let disk = disk.crash(outcome, second);
                let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
                checked(&model, &log, &context);
                states += 1;
            }
            if is_whole {
                break;
            }
        }
    }
    println!("{states} crash states");
    assert!(states > 500, "only {states}");
}

/// Counts records, and stands no gap.
struct Strict;

impl Fold for Strict {
    fn version(&self) -> u32 {
        1
    }
    fn fold(&self, previous: Option<&[u8]>, records: &[Record]) -> Option<Row> {
        let mut count = previous.map_or(0, |row| u64::from_be_bytes(row.try_into().expect("a row")));
        for record in records {
            count += 1;
            assert_eq!(record.version, Version(count), "records are folded one behind the other");
        }
        Some(Row::from(count.to_be_bytes()))
    }
    fn keys(&self, stream: StreamId, row: &[u8]) -> Vec<(Table, Key)> {
        vec![(Table(0), [row, &stream.0].concat())]
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn an_index_that_is_older_than_a_cleaning_is_made_again_and_folds_no_gap() {
    let folder = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let open = |name: &str| {
        let index = Home::Folder { backend: Arc::new(Sled), path: folder.path().join(name) };
        let options = Options { largest_segment: LARGEST, fold: Arc::new(Strict), index, ..script::options() };
        Journal::open(disk.clone(), options).unwrap()
    };
    let mut model = Model::default();
    let log = open("index");
    put(&mut model, &log, vec![new(stream(0), 0, payload(10, 0))]);
    drop(log);
    copy_folder(&folder.path().join("index"), &folder.path().join("older"));
    let log = open("index");
    // Versions 2 to 5 in a segment that goes; version 6 in one that is kept as it is, since little of it is dead.
    for version in 1..5 {
        put(&mut model, &log, vec![new(stream(0), version, payload(700, 0))]);
    }
    for version in 0..10 {
        put(&mut model, &log, vec![new(stream(1), version, payload(600, 1))]);
        if version == 1 {
            put(&mut model, &log, vec![new(stream(0), 5, payload(10, 0))]);
        }
    }
    for version in 0..20 {
        put(&mut model, &log, vec![new(stream(2), version, payload(600, 2))]);
    }
    put(&mut model, &log, vec![tombstone(stream(0), 6)]);
    log.seal().unwrap();
    let cleaned = log.clean().unwrap();
    assert_eq!((cleaned.gone + cleaned.rewritten, checked(&model, &log, "cleaned")), (1, 2), "{cleaned:?}");
    drop(log);
    let log = open("older");
    assert!(log.index_rebuilt().is_some_and(|reason| reason.contains("deleted")), "{:?}", log.index_rebuilt());
    checked(&model, &log, "with the older index");
}
