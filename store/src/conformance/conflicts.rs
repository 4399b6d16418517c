//! Who expects another version than there is appends nothing, and is told.

use super::*;

pub(super) fn inv_s4_a_stream_begins_once(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    put(&*log, &[record(stream(1), 0, "first")]);
    conflict(&*log, &[record(stream(1), 0, "second")]);
    log.commit().unwrap();
    assert_eq!(payloads(&read(&*log, stream(1))), [b"first"]);
}

pub(super) fn inv_s4_an_old_version_is_refused(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 30);
    for old in 0..30 {
        conflict(&*log, &[record(stream(1), old, "late")]);
    }
    log.commit().unwrap();
    assert_eq!(everything(&*log).len(), 30);
}

pub(super) fn inv_s4_a_version_to_come_is_refused(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 2);
    for ahead in [3, 4, 1_000_000, u64::MAX] {
        let time = 0;
        let conflict = conflict(&*log, &[NewRecord { expected: Version(ahead), time, ..record(stream(1), 0, "x") }]);
        assert_eq!(conflict.actual, Version(2));
    }
    conflict(&*log, &[record(stream(2), 1, "x")]);
}

pub(super) fn a_conflict_says_who_expected_what(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(4), 3);
    let found = conflict(&*log, &[record(stream(4), 1, "x")]);
    assert_eq!(found, Conflict { stream: stream(4), expected: Version(1), actual: Version(3) });
}

pub(super) fn a_conflict_counts_what_is_not_committed(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    append(&*log, &[record(stream(1), 0, "a")]);
    assert_eq!(conflict(&*log, &[record(stream(1), 0, "b")]).actual, Version(1));
    append(&*log, &[record(stream(1), 1, "b")]);
    assert_eq!(conflict(&*log, &[record(stream(1), 1, "c")]).actual, Version(2));
}

pub(super) fn a_conflict_names_the_first_stream_that_differs(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    let found = conflict(&*log, &[record(stream(1), 0, "a"), record(stream(2), 5, "b"), record(stream(3), 6, "c")]);
    assert_eq!(found.stream, stream(2));
}

pub(super) fn after_a_conflict_the_right_version_is_taken(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 2);
    let actual = conflict(&*log, &[record(stream(1), 1, "late")]).actual;
    put(&*log, &[record(stream(1), actual.0, "in time")]);
    assert_eq!(read(&*log, stream(1)).last().unwrap().payload, b"in time");
}

pub(super) fn a_stream_that_does_not_exist_is_at_none(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    assert_eq!(conflict(&*log, &[record(stream(1), 1, "x")]).actual, Version::NONE);
}
