//! Only what is durable shows, and all of it.

use super::*;
use std::ops::Bound;

const ALL: crate::index::KeyRange<'static> = (Bound::Unbounded, Bound::Unbounded);

pub(super) fn inv_s9_nothing_is_read_before_the_commit(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    append(&*log, &[record(stream(1), 0, "a"), record(stream(2), 0, "b")]);
    assert!(read(&*log, stream(1)).is_empty());
    assert!(everything(&*log).is_empty());
    assert_eq!(log.durable(), Lsn(0));
}

pub(super) fn inv_s9_a_feed_ends_at_what_is_durable(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 2);
    append(&*log, &[record(stream(1), 2, "not yet")]);
    let feed = log.follow(Shard(0), Lsn(0), 100).unwrap();
    assert_eq!((feed.records.len(), feed.cursor), (2, Lsn(2)));
    log.commit().unwrap();
    let feed = log.follow(Shard(0), feed.cursor, 100).unwrap();
    assert_eq!(payloads(&feed.records), [b"not yet"]);
}

pub(super) fn inv_s9_rows_wait_for_the_commit(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 1);
    let before = log.row(stream(1)).unwrap();
    append(&*log, &[record(stream(1), 1, "later"), record(stream(2), 0, "new")]);
    assert_eq!(log.row(stream(1)).unwrap(), before);
    assert_eq!(log.row(stream(2)).unwrap(), None);
    assert_eq!(log.scan(BY_PAYLOAD, ALL, 10).unwrap().len(), 1);
    log.commit().unwrap();
    assert_ne!(log.row(stream(1)).unwrap(), before);
    assert_eq!(log.scan(BY_PAYLOAD, ALL, 10).unwrap().len(), 2);
}

pub(super) fn inv_s9_a_read_stops_at_what_is_durable(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 3);
    append(&*log, &[record(stream(1), 3, "not yet")]);
    assert_eq!(read(&*log, stream(1)).len(), 3);
    assert!(log.read(stream(1), Version(4), 10).unwrap().is_empty());
}

pub(super) fn a_commit_makes_all_of_it_visible(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for n in 1..=20 {
        append(&*log, &[record(stream(n), 0, [n])]);
    }
    log.commit().unwrap();
    assert_eq!(everything(&*log).len(), 20);
    assert!((1..=20).all(|n| read(&*log, stream(n))[0].payload == [n]));
}

pub(super) fn a_commit_returns_what_is_durable(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    append(&*log, &[record(stream(1), 0, "a")]);
    append(&*log, &[record(stream(1), 1, "b")]);
    assert_eq!(log.commit().unwrap(), Lsn(2));
    assert_eq!(log.durable(), Lsn(2));
}

pub(super) fn a_commit_of_nothing_is_harmless(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    assert_eq!(log.commit().unwrap(), Lsn(0));
    fill(&*log, stream(1), 2);
    assert_eq!(log.commit().unwrap(), Lsn(2));
    assert_eq!(log.commit().unwrap(), Lsn(2));
    assert_eq!(everything(&*log).len(), 2);
}

pub(super) fn an_empty_store_is_durable_up_to_nothing(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    assert_eq!(log.durable(), Lsn(0));
    assert!(log.scan(BY_COUNT, ALL, 10).unwrap().is_empty());
}
