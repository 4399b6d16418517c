//! A feed shows a shard's records in commit order, once each, from any cursor.

use super::*;
use std::thread;

const THREE: Setup = Setup { shards: 3, batch_limit: 1 << 20 };

/// A log of 30 records in three shards, in batches of one and two.
fn mixed(backend: &mut dyn Backend) -> Box<dyn Log> {
    let log = backend.open(THREE);
    for version in 0..5 {
        for slot in [2, 0, 1] {
            append(&*log, &[record(in_slot(1, slot), 2 * version, "one")]);
            append(&*log, &[record(in_slot(1, slot), 2 * version + 1, "two")]);
        }
        log.commit().unwrap();
    }
    log
}

pub(super) fn inv_s3_a_feed_is_in_commit_order(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for (place, n) in [3, 1, 2, 5, 4].into_iter().enumerate() {
        assert_eq!(put(&*log, &[record(stream(n), 0, [n])]), Lsn(place as u64 + 1));
    }
    assert_eq!(payloads(&pages(&*log, Shard(0), 100)), [[3], [1], [2], [5], [4]]);
}

pub(super) fn inv_s3_pages_of_any_size_show_the_same(backend: &mut dyn Backend) {
    let log = mixed(backend);
    for shard in 0..3 {
        let all = pages(&*log, Shard(shard), usize::MAX);
        assert_eq!(all.len(), 10);
        for page in 1..12 {
            assert_eq!(pages(&*log, Shard(shard), page), all, "pages of {page}");
        }
    }
}

pub(super) fn a_feed_goes_on_behind_its_cursor(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 10);
    for after in 0..=10 {
        let feed = log.follow(Shard(0), Lsn(after), 100).unwrap();
        assert!(places(&feed.records).into_iter().eq(after + 1..=10), "behind {after}");
        assert_eq!(feed.cursor, Lsn(10));
    }
}

pub(super) fn a_feed_may_begin_within_a_batch(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    let batch: Vec<_> = (0..10).map(|version| record(stream(1), version, [version as u8])).collect();
    put(&*log, &batch);
    for after in 0..10 {
        let feed = log.follow(Shard(0), Lsn(after), 3).unwrap();
        assert!(places(&feed.records).into_iter().eq((after + 1..=10).take(3)), "behind {after}");
    }
}

pub(super) fn a_feed_shows_its_shard_only(backend: &mut dyn Backend) {
    let log = mixed(backend);
    for shard in 0..3 {
        let feed = pages(&*log, Shard(shard), 4);
        assert!(feed.iter().all(|record| record.stream.shard(3) == Shard(shard)));
        assert_eq!(feed.len(), 10);
    }
    assert!(log.follow(Shard(3), Lsn(0), 10).unwrap().records.is_empty(), "there is no such shard");
}

pub(super) fn a_cursor_passes_over_other_shards(backend: &mut dyn Backend) {
    let log = backend.open(THREE);
    fill(&*log, in_slot(1, 1), 20);
    let feed = log.follow(Shard(2), Lsn(0), 1).unwrap();
    assert_eq!((feed.records.len(), feed.cursor), (0, Lsn(20)), "nothing is looked at twice");
    fill(&*log, in_slot(2, 2), 1);
    let feed = log.follow(Shard(2), feed.cursor, 1).unwrap();
    assert_eq!((feed.records.len(), feed.cursor), (1, Lsn(21)));
}

pub(super) fn a_feed_at_the_end_stays_there(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 3);
    for _ in 0..3 {
        let feed = log.follow(Shard(0), Lsn(3), 10).unwrap();
        assert_eq!((feed.records.len(), feed.cursor), (0, Lsn(3)));
    }
    fill(&*log, stream(2), 1);
    assert_eq!(log.follow(Shard(0), Lsn(3), 10).unwrap().records.len(), 1);
}

pub(super) fn a_page_of_none_moves_nothing(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 3);
    let feed = log.follow(Shard(0), Lsn(1), 0).unwrap();
    assert_eq!((feed.records.len(), feed.cursor), (0, Lsn(1)));
}

pub(super) fn a_feed_of_an_empty_store_is_empty(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    let feed = log.follow(Shard(0), Lsn(0), 10).unwrap();
    assert_eq!((feed.records.len(), feed.cursor), (0, Lsn(0)));
}

pub(super) fn a_follower_sees_each_record_once(backend: &mut dyn Backend) {
    let log = backend.open(THREE);
    let seen = thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let (mut seen, mut after) = (Vec::new(), Lsn(0));
            while seen.len() < 100 {
                let feed = log.follow(Shard(1), after, 7).unwrap();
                after = feed.cursor;
                seen.extend(feed.records);
                thread::yield_now();
            }
            seen
        });
        for version in 0..100 {
            append(&*log, &[record(in_slot(1, 0), version, "other")]);
            put(&*log, &[record(in_slot(1, 1), version, "this")]);
        }
        follower.join().unwrap()
    });
    assert!(seen.iter().map(|record| record.version.0).eq(1..=100));
}
