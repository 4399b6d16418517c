//! A head says where a stream stands, uncommitted records included.

use super::*;
use crate::Head;

pub(super) fn a_head_names_version_and_place(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 3);
    fill(&*log, stream(2), 1);
    assert_eq!(log.head(stream(1)), Some(Head { version: Version(3), lsn: Lsn(3) }));
    assert_eq!(log.head(stream(2)), Some(Head { version: Version(1), lsn: Lsn(4) }));
    let last = read(&*log, stream(1)).pop().unwrap();
    assert_eq!((last.version, last.lsn), (Version(3), Lsn(3)));
}

pub(super) fn a_head_counts_what_is_not_committed(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    append(&*log, &[record(stream(1), 0, "a")]);
    assert_eq!(log.head(stream(1)), Some(Head { version: Version(1), lsn: Lsn(1) }));
    log.commit().unwrap();
    append(&*log, &[record(stream(2), 0, "b"), record(stream(1), 1, "c"), record(stream(1), 2, "d")]);
    assert_eq!(log.head(stream(1)), Some(Head { version: Version(3), lsn: Lsn(4) }));
    let before = log.head(stream(1));
    log.commit().unwrap();
    assert_eq!(log.head(stream(1)), before, "a commit moves no head");
}

pub(super) fn a_stream_that_does_not_exist_has_no_head(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    assert_eq!(log.head(stream(1)), None);
    fill(&*log, stream(2), 1);
    assert_eq!(log.head(stream(1)), None);
}

pub(super) fn a_refused_batch_moves_no_head(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 2);
    conflict(&*log, &[record(stream(1), 2, "a"), record(stream(2), 7, "b")]);
    assert_eq!(log.head(stream(1)), Some(Head { version: Version(2), lsn: Lsn(2) }));
    assert_eq!(log.head(stream(2)), None);
}

pub(super) fn heads_of_many_streams(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    let mut expected = Vec::new();
    for round in 0..3 {
        for n in 0..200 {
            expected.push((stream(n), Version(round + 1), append(&*log, &[record(stream(n), round, "x")])));
        }
        log.commit().unwrap();
    }
    for (stream, version, lsn) in &expected[400..] {
        assert_eq!(log.head(*stream), Some(Head { version: *version, lsn: *lsn }));
    }
}
