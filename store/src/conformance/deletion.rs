//! A tombstone ends its stream, as if it had never been; another of that name begins anew.

use super::*;
use std::ops::Bound::Unbounded;

/// A store with three streams of three records, of which stream 2 is deleted.
fn deleted(backend: &mut dyn Backend) -> Box<dyn Log> {
    let log = backend.open(Setup::default());
    (1..=3).for_each(|n| fill(&*log, stream(n), 3));
    put(&*log, &[tombstone(stream(2), 3)]);
    log
}

/// The streams that a table lists.
fn listed(log: &dyn Log, table: Table) -> Vec<StreamId> {
    let found = log.scan(table, (Unbounded, Unbounded), 100).unwrap();
    found.into_iter().map(|(_, stream)| stream).collect()
}

pub(super) fn inv_s3_a_tombstone_ends_its_stream_and_no_other(backend: &mut dyn Backend) {
    let log = deleted(backend);
    assert_eq!(log.head(stream(2)), None);
    assert!(read(&*log, stream(2)).is_empty());
    assert!(log.read(stream(2), Version(4), 1).unwrap().is_empty(), "the tombstone is no record of a stream either");
    for n in [1, 3] {
        assert_eq!(log.head(stream(n)).unwrap().version, Version(3));
        assert_eq!(payloads(&read(&*log, stream(n))), [b"0", b"1", b"2"]);
    }
}

pub(super) fn inv_s9_until_its_commit_a_tombstone_hides_nothing(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 2);
    append(&*log, &[tombstone(stream(1), 2), record(stream(1), 0, "new")]);
    assert_eq!(payloads(&read(&*log, stream(1))), [b"0", b"1"]);
    assert_eq!(&*log.row(stream(1)).unwrap().unwrap(), b"\0\0\0\x021");
    assert_eq!(listed(&*log, BY_COUNT), [stream(1)]);
    log.commit().unwrap();
    assert_eq!(payloads(&read(&*log, stream(1))), [b"new"]);
}

pub(super) fn a_head_is_gone_at_once(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 2);
    append(&*log, &[tombstone(stream(1), 2)]);
    assert_eq!(log.head(stream(1)), None);
    append(&*log, &[record(stream(1), 0, "new")]);
    assert_eq!(log.head(stream(1)).unwrap().version, Version(1));
}

pub(super) fn inv_s4_a_deleted_stream_begins_again_at_none_and_nowhere_else(backend: &mut dyn Backend) {
    let log = deleted(backend);
    for stale in [1, 2, 3, 4] {
        let expected = Conflict { stream: stream(2), expected: Version(stale), actual: Version::NONE };
        assert_eq!(conflict(&*log, &[record(stream(2), stale, "x")]), expected);
        assert_eq!(conflict(&*log, &[tombstone(stream(2), stale)]), expected, "it is deleted once");
    }
    put(&*log, &[record(stream(2), 0, "new")]);
    assert_eq!(conflict(&*log, &[record(stream(2), 0, "x")]).actual, Version(1));
}

pub(super) fn inv_s3_a_new_life_has_versions_from_one(backend: &mut dyn Backend) {
    let log = deleted(backend);
    fill(&*log, stream(2), 20);
    let versions: Vec<u64> = read(&*log, stream(2)).iter().map(|record| record.version.0).collect();
    assert!(versions.into_iter().eq(1..=20));
    assert_eq!(payloads(&log.read(stream(2), Version(3), 2).unwrap()), [b"2", b"3"]);
}

pub(super) fn inv_s6_a_new_life_has_a_chain_of_its_own(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 3);
    let before = read(&*log, stream(1));
    put(&*log, &[tombstone(stream(1), 3)]);
    fill(&*log, stream(1), 3);
    let after = read(&*log, stream(1));
    check_chains(&after);
    // The same again is the same chain: nothing of the earlier life is in it.
    assert!(before.iter().zip(&after).all(|(before, after)| before.chain == after.chain && before.lsn < after.lsn));
}

pub(super) fn inv_s2_a_tombstone_and_a_new_life_are_one_batch(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 2);
    let again = [
        tombstone(stream(1), 2),
        record(stream(1), 0, "a"),
        tombstone(stream(1), 1),
        record(stream(1), 0, "b"),
        record(stream(1), 1, "c"),
    ];
    let last = put(&*log, &again);
    assert_eq!((last, log.head(stream(1)).unwrap().lsn), (Lsn(7), Lsn(7)));
    assert_eq!(payloads(&read(&*log, stream(1))), [b"b", b"c"]);
    assert_eq!(&*log.row(stream(1)).unwrap().unwrap(), b"\0\0\0\x02c");
}

pub(super) fn inv_s2_a_refused_batch_deletes_nothing(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 2);
    conflict(&*log, &[tombstone(stream(1), 2), record(stream(2), 7, "x")]);
    conflict(&*log, &[tombstone(stream(1), 2), record(stream(1), 2, "x")]);
    conflict(&*log, &[tombstone(stream(1), 1)]);
    log.commit().unwrap();
    assert_eq!(log.head(stream(1)).unwrap().version, Version(2));
    assert_eq!(read(&*log, stream(1)).len(), 2);
}

pub(super) fn the_row_and_the_keys_of_a_deleted_stream_go(backend: &mut dyn Backend) {
    let log = deleted(backend);
    assert_eq!(log.row(stream(2)).unwrap(), None);
    for table in [BY_PAYLOAD, BY_COUNT] {
        assert_eq!(listed(&*log, table), [stream(1), stream(3)]);
    }
}

pub(super) fn the_row_of_a_new_life_is_its_own(backend: &mut dyn Backend) {
    let log = deleted(backend);
    put(&*log, &[record(stream(2), 0, "new")]);
    assert_eq!(&*log.row(stream(2)).unwrap().unwrap(), b"\0\0\0\x01new");
    assert_eq!(listed(&*log, BY_COUNT), [stream(2), stream(1), stream(3)], "it has the fewest records");
}

pub(super) fn a_feed_shows_the_tombstone(backend: &mut dyn Backend) {
    let log = deleted(backend);
    put(&*log, &[record(stream(2), 0, "new")]);
    let feed = log.follow(Shard(0), Lsn(9), 10).unwrap();
    assert_eq!((places(&feed.records), feed.cursor), (vec![10, 11], Lsn(11)));
    let Record { stream: id, version, format, .. } = feed.records[0];
    assert_eq!((id, version, format), (stream(2), Version(4), TOMBSTONE));
    assert_eq!((feed.records[1].version, &feed.records[1].payload[..]), (Version(1), &b"new"[..]));
}

pub(super) fn a_tombstone_that_names_no_version_is_refused(backend: &mut dyn Backend) {
    let log = deleted(backend);
    for n in [1, 2, 9] {
        let refused = refusal(&*log, &[record(stream(3), 3, "x"), tombstone(stream(n), 0)]);
        assert!(matches!(refused, Failure::Tombstone(id) if id == stream(n)), "{refused}");
    }
    assert_eq!(conflict(&*log, &[tombstone(stream(9), 1)]).actual, Version::NONE);
    log.commit().unwrap();
    assert_eq!((log.durable(), log.head(stream(1)).unwrap().version), (Lsn(10), Version(3)));
}

pub(super) fn many_lives_follow_each_other(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for life in 0..40u64 {
        fill(&*log, stream(1), 1 + life % 3);
        put(&*log, &[record(stream(2), life, [7; 100])]);
        assert_eq!(read(&*log, stream(1)).len() as u64, 1 + life % 3);
        put(&*log, &[tombstone(stream(1), 1 + life % 3)]);
        assert_eq!((log.head(stream(1)), log.row(stream(1)).unwrap()), (None, None));
    }
    assert_eq!(read(&*log, stream(2)).len(), 40);
    assert_eq!(listed(&*log, BY_COUNT), [stream(2)]);
}
