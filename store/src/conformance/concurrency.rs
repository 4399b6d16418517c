//! The promises hold when many threads call at once.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const THREADS: u8 = 6;

/// Runs a function in several threads at once; each is given its number, from 1.
fn together(work: impl Fn(u8) + Sync) {
    thread::scope(|scope| {
        for n in 1..=THREADS {
            let work = &work;
            scope.spawn(move || work(n));
        }
    });
}

pub(super) fn inv_s4_of_many_threads_one_wins(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for version in 0..30 {
        let wins = std::sync::Mutex::new(Vec::new());
        together(|n| {
            if log.append(&[record(stream(0), version, [n])]).unwrap().is_ok() {
                wins.lock().unwrap().push(n);
            }
            log.commit().unwrap();
        });
        let wins = wins.into_inner().unwrap();
        assert_eq!(wins.len(), 1, "version {version}");
        assert_eq!(read(&*log, stream(0)).last().unwrap().payload, wins);
    }
}

pub(super) fn inv_s4_a_stream_shared_by_threads_stays_dense(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    together(|n| {
        let mut version = 0;
        let mut won = 0;
        while won < 25 {
            match log.append(&[record(stream(0), version, [n; 90])]).unwrap() {
                Ok(_) => won += 1,
                Err(conflict) => version = conflict.actual.0,
            }
            log.commit().unwrap();
        }
    });
    let records = read(&*log, stream(0));
    assert_eq!(records.len(), 25 * usize::from(THREADS));
    for n in 1..=THREADS {
        assert_eq!(records.iter().filter(|record| record.payload[0] == n).count(), 25, "thread {n}");
    }
    everything(&*log);
}

pub(super) fn inv_s2_batches_of_threads_do_not_mix(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    together(|n| {
        for version in 0..30 {
            let batch: Vec<_> = (0..5).map(|part| record(stream(n), version * 5 + part, [n; 40])).collect();
            put(&*log, &batch);
        }
    });
    let records = everything(&*log);
    assert_eq!(records.len(), 150 * usize::from(THREADS));
    assert!(records.chunks(5).all(|batch| batch.iter().all(|record| record.stream == batch[0].stream)));
}

pub(super) fn inv_s3_a_follower_beside_writers_sees_all_in_order(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    let total = 40 * usize::from(THREADS);
    let seen = thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let (mut seen, mut after) = (Vec::new(), Lsn(0));
            while seen.len() < total {
                let feed = log.follow(Shard(0), after, 16).unwrap();
                after = feed.cursor;
                seen.extend(feed.records);
                thread::yield_now();
            }
            seen
        });
        together(|n| fill(&*log, stream(n), 40));
        follower.join().unwrap()
    });
    assert_eq!(seen, everything(&*log));
}

pub(super) fn inv_s9_a_reader_beside_writers_sees_prefixes(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !done.load(Ordering::SeqCst) {
                let durable = log.durable();
                let records = read(&*log, stream(1));
                check_chains(&records);
                assert!(records.len() >= seen, "a stream never shrinks");
                seen = records.len();
                let feed = log.follow(Shard(0), Lsn(0), usize::MAX).unwrap();
                assert!(feed.cursor >= durable, "what was durable shows");
                thread::yield_now();
            }
        });
        together(|n| fill(&*log, stream(n), 30));
        done.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
}

pub(super) fn inv_s1_each_thread_finds_what_it_committed(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    together(|n| {
        for version in 0..40 {
            let place = put(&*log, &[record(stream(n), version, [n, version as u8])]);
            assert!(log.durable() >= place);
            let own = log.read(stream(n), Version(version + 1), 1).unwrap();
            assert_eq!((own[0].lsn, &own[0].payload[..]), (place, &[n, version as u8][..]));
            assert_eq!(log.head(stream(n)).unwrap().lsn, place);
            let row = log.row(stream(n)).unwrap().unwrap();
            assert_eq!(row[..4], (version as u32 + 1).to_be_bytes());
        }
    });
    everything(&*log);
}

pub(super) fn small_and_large_batches_of_threads_are_all_there(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    together(|n| {
        for version in 0..60 {
            // Large ones make the journal begin a new segment while small ones still fit into the old one.
            let length = if n % 2 == 0 { 3_000 } else { 10 };
            append(&*log, &[record(stream(n), version, vec![n; length])]);
            if version % 4 == u64::from(n) % 4 {
                log.commit().unwrap();
            }
        }
        log.commit().unwrap();
    });
    assert_eq!(everything(&*log).len(), 60 * usize::from(THREADS));
}

pub(super) fn seals_beside_writers_are_harmless(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    together(|n| {
        for version in 0..40 {
            if n == 1 {
                log.seal().unwrap();
            } else {
                put(&*log, &[record(stream(n), version, vec![n; 60])]);
            }
        }
    });
    assert_eq!(everything(&*log).len(), 40 * (usize::from(THREADS) - 1));
}
