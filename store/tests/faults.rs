//! A disk that fails once, fails for good, or is full.
//!
//! A failed write or sync of the log leaves open what is durable: nothing is acknowledged after it, until the store
//! was opened again. Everything else that fails can be tried again.

mod script;

use rejoin_store::journal::Journal;
use rejoin_store::simulated::{Fault, Outcome, SimDisk};
use rejoin_store::{Failure, Log, NewRecord, Space, Version};
use script::{Progress, Script, Step, everything, goes_on, open, payload, stream};

/// The operations of a run without faults, from the first on.
fn trace(script: &Script) -> Vec<String> {
    let disk = SimDisk::new();
    script.run(&disk);
    (1..=disk.operations()).map(|number| disk.operation(number).expect("it was counted")).collect()
}

/// Whether an operation writes or syncs the log of an open store: not a segment that is being begun, and not a tail
/// that is being recovered.
fn is_of_the_log(trace: &[String], index: usize) -> bool {
    let at = |index: Option<usize>| index.and_then(|index| trace.get(index)).map_or("", String::as_str);
    let what = at(Some(index));
    let begun = [at(index.checked_sub(1)), at(index.checked_sub(2))].contains(&"rename spare");
    let recovered = what.starts_with("sync")
        && [at(Some(index + 1)), at(Some(index + 2))].contains(&"create MANIFEST.new")
        && (at(Some(index + 1)).starts_with("sync") || at(index.checked_sub(1)).starts_with("sync"));
    what.ends_with(".seg") && !begun && !recovered
}

/// What became of a script on a disk that fails.
enum End {
    /// All steps worked, some at a second try.
    Done(Journal),
    /// An append, a commit or a seal failed and the store was poisoned.
    Poisoned(Journal),
    /// The store could not be opened.
    Closed,
}

/// Runs the script through failures: what fails is tried again, until the store says that it is poisoned.
fn run_through(script: &Script, disk: &SimDisk, tries: usize, progress: &mut Progress) -> End {
    let opened = || (0..tries).find_map(|_| open(disk).ok());
    let Some(mut journal) = opened() else { return End::Closed };
    for step in &script.steps {
        let mut result = Ok(());
        for _ in 0..tries {
            result = match step {
                Step::Append(batch) => journal.append(&script.batches[*batch]).map(|place| {
                    place.expect("no conflict");
                    progress.appended += 1;
                }),
                Step::Commit => journal.commit().map(|_| progress.acked = progress.appended),
                Step::Seal => journal.seal().map(|()| progress.acked = progress.appended),
                Step::Reopen => {
                    drop(journal);
                    let Some(again) = opened() else { return End::Closed };
                    journal = again;
                    Ok(())
                }
            };
            if result.is_ok() {
                break;
            }
        }
        if result.is_err() {
            return End::Poisoned(journal);
        }
    }
    End::Done(journal)
}

/// Checks that a poisoned store accepts nothing and shows everything.
fn stays_poisoned(script: &Script, journal: &Journal, progress: Progress, context: &str) {
    for step in &script.steps {
        let refused = match step {
            Step::Append(batch) => journal.append(&script.batches[*batch]).err(),
            Step::Commit => journal.commit().err(),
            Step::Seal => journal.seal().err(),
            Step::Reopen => continue,
        };
        assert!(matches!(refused, Some(Failure::Poisoned { .. })), "{context}: {refused:?}");
    }
    script.check(journal, progress, context);
}

#[test]
fn inv_s10_after_one_failed_write_or_sync_of_the_log_nothing_is_acknowledged_until_it_was_opened_again() {
    let script = Script::new();
    let trace = trace(&script);
    let mut poisoned = 0;
    for (index, what) in trace.iter().enumerate() {
        let context = format!("operation {} ({what}) fails once", index + 1);
        let disk = SimDisk::new();
        disk.plan(Fault::FailOnce(index as u64 + 1));
        let mut progress = Progress::default();
        match run_through(&script, &disk, 2, &mut progress) {
            End::Poisoned(journal) => {
                assert!(is_of_the_log(&trace, index), "{context}: this is no reason to stop");
                stays_poisoned(&script, &journal, progress, &context);
                for (seed, outcome) in (0..).zip(Outcome::ALL) {
                    let context = format!("{context}, then {outcome:?}");
                    let disk = disk.crash(outcome, seed);
                    let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
                    script.check(&log, progress, &context);
                    goes_on(&disk, log, &context);
                }
                poisoned += 1;
            }
            End::Done(journal) => {
                let closing = trace.get(index + 2).is_some_and(|next| next == "create MANIFEST.new");
                assert!(
                    !is_of_the_log(&trace, index) || closing || is_last_seal(&trace, index),
                    "{context}: unnoticed"
                );
                assert_eq!(script.check(&journal, progress, &context), script.batches.len(), "{context}");
            }
            End::Closed => panic!("{context}: it should open at the second try"),
        }
    }
    println!("{} operations failed once, {poisoned} of them poisoned the store", trace.len());
    assert!(poisoned > 30);
}

/// The seal of a store that is being closed: nobody is left to be told.
fn is_last_seal(trace: &[String], index: usize) -> bool {
    trace[index..].iter().take(5).any(|what| what == "create MANIFEST.new") || index + 2 >= trace.len()
}

#[test]
fn inv_s9_after_a_failed_sync_the_next_opening_shows_only_what_survives() {
    // The machine goes on, and its memory shows what the failed sync did not bring to the disk.
    let script = Script::new();
    for (index, what) in trace(&script).iter().enumerate() {
        let context = format!("operation {} ({what}) fails once", index + 1);
        let disk = SimDisk::new();
        disk.plan(Fault::FailOnce(index as u64 + 1));
        let mut progress = Progress::default();
        drop(run_through(&script, &disk, 2, &mut progress));
        let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
        script.check(&log, progress, &context);
        let shown = everything(&log, &context);
        for (seed, outcome) in (0..).zip(Outcome::ALL) {
            let context = format!("{context}, reopened, then {outcome:?}");
            let disk = disk.crash(outcome, seed);
            let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(everything(&log, &context), shown, "{context}");
        }
        goes_on(&disk, log, &context);
    }
}

#[test]
fn inv_s10_a_disk_that_fails_for_good_stops_the_store_and_loses_nothing_acknowledged() {
    let script = Script::new();
    let operations = trace(&script).len() as u64;
    let mut poisoned = 0;
    for operation in 1..=operations {
        let disk = SimDisk::new();
        disk.plan(Fault::FailFrom(operation));
        let context = format!("from operation {operation} on all fail");
        let mut progress = Progress::default();
        match run_through(&script, &disk, 1, &mut progress) {
            End::Poisoned(journal) => {
                let before = journal.durable();
                for batch in &script.batches {
                    let taken = matches!(journal.append(batch), Ok(Ok(_)));
                    assert!(!(taken && journal.commit().is_ok()), "{context}: nothing can be made durable");
                }
                assert_eq!(journal.durable(), before, "{context}");
                script.check(&journal, progress, &context);
                poisoned += 1;
            }
            End::Done(journal) => drop(journal),
            End::Closed => {}
        }
        for (seed, outcome) in (0..).zip(Outcome::ALL) {
            let context = format!("{context}, then {outcome:?}");
            let disk = disk.crash(outcome, seed);
            let log = open(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            script.check(&log, progress, &context);
            goes_on(&disk, log, &context);
        }
    }
    println!("{operations} operations failed for good, {poisoned} times with the store open");
    assert!(poisoned > 80);
}

fn record(expected: u64, length: usize) -> NewRecord {
    NewRecord { stream: stream(0), expected: Version(expected), time: 0, format: 0, payload: payload(length, 1) }
}

#[test]
fn inv_s10_on_a_full_disk_appends_go_on_while_there_is_room() {
    let disk = SimDisk::new();
    let log = open(&disk).unwrap();
    assert_eq!(log.space(), Space::Ample);
    // Room for the small files of rolling once, and not for another spare.
    disk.plan(Fault::RoomFor(1_000));
    let (mut version, mut in_reserve) = (0, 0);
    let refused = loop {
        let space = log.space();
        match log.append(&[record(version, 300)]) {
            Ok(place) => place.expect("no conflict"),
            Err(refused) => break refused,
        };
        log.commit().expect("what was appended is committed, full disk or not");
        version += 1;
        in_reserve += u64::from(space == Space::Reserve);
    };
    assert!(matches!(refused, Failure::Full { .. }) && refused.is_disk_full(), "{refused}");
    assert!(in_reserve > 10, "only {in_reserve} appends after the disk was full");
    assert_eq!(log.space(), Space::Reserve);
    // Nothing is poisoned: smaller records go into what room is left, and everything can be read.
    log.append(&[record(version, 1)]).unwrap().unwrap();
    log.commit().unwrap();
    log.seal().unwrap();
    assert_eq!(everything(&log, "full").len() as u64, version + 1);
    disk.plan(Fault::None);
    assert_eq!(log.space(), Space::Ample, "there is room again");
    for more in 1..40 {
        log.append(&[record(version + more, 300)]).unwrap().unwrap();
        log.commit().unwrap();
    }
    goes_on(&disk, log, "with room again");
}

#[test]
fn inv_s10_a_disk_that_fills_at_any_byte_poisons_nothing() {
    let script = Script::new();
    let mut refusals = 0;
    for room in (0..60_000).step_by(97) {
        let context = format!("room for {room} bytes");
        let disk = SimDisk::new();
        drop(open(&disk).expect("a new store"));
        let log = open(&disk).expect("a store");
        disk.plan(Fault::RoomFor(room));
        let mut progress = Progress::default();
        for step in &script.steps {
            match step {
                Step::Append(number) => {
                    let batch = &script.batches[*number];
                    if let Err(refused) = log.append(batch) {
                        assert!(matches!(refused, Failure::Full { .. }), "{context}: {refused}");
                        refusals += 1;
                        // What a power cut now leaves is all there, too.
                        let cut = disk.crash(Outcome::Torn, room);
                        let after = open(&cut).unwrap_or_else(|error| panic!("{context}: {error}"));
                        script.check(&after, progress, &context);
                        assert_eq!(script.check(&log, progress, &context), progress.appended, "{context}");
                        // What is too large for the spare that is there is refused alone.
                        let large = batch.iter().any(|record| record.payload.len() > 4_000);
                        assert!(large || log.space() == Space::Reserve, "{context}: room for more");
                        disk.plan(Fault::None);
                        assert_eq!(log.space(), Space::Ample, "{context}: lifted");
                        log.append(batch).unwrap_or_else(|error| panic!("{context}: {error}")).expect("no conflict");
                    }
                    progress.appended += 1;
                }
                Step::Commit => {
                    log.commit().unwrap_or_else(|error| panic!("{context}: {error}"));
                    progress.acked = progress.appended;
                }
                Step::Seal => log.seal().unwrap_or_else(|error| panic!("{context}: {error}")),
                // An opening writes a manifest and needs room for it: another story.
                Step::Reopen => {}
            }
        }
        assert_eq!(script.check(&log, progress, &context), script.batches.len(), "{context}");
        disk.plan(Fault::None);
        goes_on(&disk, log, &context);
    }
    println!("{refusals} refusals of a full disk");
    assert!(refusals > 200);
}

#[test]
fn inv_s10_a_footer_that_the_full_disk_has_no_room_for_poisons_nothing() {
    // Last records that leave less room in the segment than its footer takes.
    for length in (2_100..2_200).step_by(8) {
        let context = format!("a last record of {length} bytes");
        let disk = SimDisk::new();
        let log = open(&disk).unwrap();
        for (version, length) in [700, 700, length].into_iter().enumerate() {
            log.append(&[record(version as u64, length)]).unwrap().unwrap();
            log.commit().unwrap();
        }
        disk.plan(Fault::RoomFor(0));
        for _ in 0..2 {
            let refused = log.append(&[record(3, 300)]).unwrap_err();
            assert!(matches!(refused, Failure::Full { .. }), "{context}: {refused}");
            assert_eq!((log.space(), log.commit().unwrap().0), (Space::Reserve, 3), "{context}");
        }
        disk.plan(Fault::None);
        assert_eq!(log.space(), Space::Ample, "{context}");
        log.append(&[record(3, 300)]).unwrap().unwrap();
        log.commit().unwrap();
        goes_on(&disk, log, &context);
    }
}

#[test]
fn a_batch_that_the_full_disk_has_no_room_for_is_refused_and_others_are_not() {
    let disk = SimDisk::new();
    let log = open(&disk).unwrap();
    disk.plan(Fault::RoomFor(1_000));
    // A segment of its own would have to be made for it; the spare that is there is too small.
    for _ in 0..2 {
        let refused = log.append(&[record(0, 50_000)]).unwrap_err();
        assert!(matches!(refused, Failure::Full { needed } if needed > 50_000), "{refused}");
    }
    assert_eq!(log.space(), Space::Ample, "the spare is still there");
    for version in 0..15 {
        log.append(&[record(version, 400)]).unwrap().unwrap();
        log.commit().unwrap();
    }
    disk.plan(Fault::None);
    log.append(&[record(15, 50_000)]).unwrap().unwrap();
    log.commit().unwrap();
    goes_on(&disk, log, "with room for it");
}

#[test]
fn inv_s9_what_a_failed_sync_left_readable_does_not_count_in_the_next_process() {
    let disk = SimDisk::new();
    let journal = open(&disk).expect("a store");
    journal.append(&[record(0, 100)]).expect("a place").expect("no conflict");
    journal.commit().expect("durable");
    journal.append(&[record(1, 100)]).expect("a place").expect("no conflict");
    // The write works, its sync does not: from then on memory shows bytes that it calls clean and never writes.
    let operations = disk.operations();
    disk.plan(Fault::FailFrom(operations + 2));
    journal.commit().expect_err("the sync fails");
    assert!(disk.operation(operations + 2).is_some_and(|what| what.starts_with("sync")));
    drop(journal);

    let disk = disk.kill();
    let journal = open(&disk).expect("the next process opens it");
    let found = journal.head(stream(0)).expect("it is there").version;
    drop(journal);
    let journal = open(&disk.crash(Outcome::Lost, 1)).expect("what was shown is durable");
    assert_eq!(journal.head(stream(0)).expect("it is there").version, found);
}
