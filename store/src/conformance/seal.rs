//! A seal notes what is durable; nobody sees it.

use super::*;

pub(super) fn a_seal_is_no_record(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 2);
    log.seal().unwrap();
    assert_eq!(log.durable(), Lsn(2));
    assert_eq!(put(&*log, &[record(stream(1), 2, "x")]), Lsn(3), "it takes no place");
    assert_eq!(everything(&*log).len(), 3);
}

pub(super) fn a_seal_of_an_empty_store_is_harmless(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    log.seal().unwrap();
    assert!(everything(&*log).is_empty());
    fill(&*log, stream(1), 2);
    assert_eq!(everything(&*log).len(), 2);
}

pub(super) fn sealing_twice_is_harmless(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 1);
    for _ in 0..1_000 {
        log.seal().unwrap();
    }
    fill(&*log, stream(2), 1);
    assert_eq!(everything(&*log).len(), 2);
}

pub(super) fn appends_go_on_behind_a_seal(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for version in 0..50 {
        put(&*log, &[record(stream(1), version, vec![1; 200])]);
        log.seal().unwrap();
    }
    assert_eq!(read(&*log, stream(1)).len(), 50);
    everything(&*log);
}

pub(super) fn seals_between_all_commits_change_nothing(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    log.seal().unwrap();
    let mut after = Lsn(0);
    for version in 0..30 {
        put(&*log, &[record(stream(1), version, [version as u8])]);
        log.seal().unwrap();
        let feed = log.follow(Shard(0), after, 10).unwrap();
        assert_eq!(payloads(&feed.records), [[version as u8]]);
        after = feed.cursor;
    }
}
