//! A batch is there whole or not at all.

use super::*;

pub(super) fn inv_s2_a_batch_over_streams_is_there_whole(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    put(&*log, &[record(stream(1), 0, "a"), record(stream(2), 0, "b"), record(stream(3), 0, "c")]);
    for n in 1..=3 {
        assert_eq!(read(&*log, stream(n)).len(), 1, "stream {n}");
    }
    assert_eq!(payloads(&everything(&*log)), [b"a", b"b", b"c"]);
}

pub(super) fn inv_s2_a_refused_batch_leaves_nothing(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 1);
    let before = everything(&*log);
    conflict(&*log, &[record(stream(1), 0, "late"), record(stream(2), 0, "b")]);
    log.commit().unwrap();
    assert_eq!(everything(&*log), before);
    assert_eq!(log.head(stream(2)), None);
}

pub(super) fn inv_s2_a_conflict_in_the_last_record_refuses_the_first(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    let batch: Vec<_> = (1..=5).map(|n| record(stream(n), u64::from(n == 5), "x")).collect();
    assert_eq!(conflict(&*log, &batch).stream, stream(5));
    log.commit().unwrap();
    assert!(everything(&*log).is_empty());
    assert!((1..=5).all(|n| log.head(stream(n)).is_none()));
}

pub(super) fn a_refused_batch_takes_no_place(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    assert_eq!(append(&*log, &[record(stream(1), 0, "a")]), Lsn(1));
    conflict(&*log, &[record(stream(2), 0, "b"), record(stream(1), 0, "late")]);
    refusal(&*log, &[]);
    assert_eq!(append(&*log, &[record(stream(2), 0, "b")]), Lsn(2));
}

pub(super) fn a_batch_may_append_to_a_stream_twice(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    put(&*log, &[record(stream(1), 0, "a"), record(stream(2), 0, "b"), record(stream(1), 1, "c")]);
    assert_eq!(payloads(&read(&*log, stream(1))), [b"a", b"c"]);
    assert_eq!(places(&read(&*log, stream(1))), [1, 3]);
    everything(&*log);
}

pub(super) fn a_batch_that_forgets_its_own_record_conflicts_with_itself(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    let conflict = conflict(&*log, &[record(stream(1), 0, "a"), record(stream(1), 0, "b")]);
    assert_eq!((conflict.expected, conflict.actual), (Version(0), Version(1)));
    assert_eq!(log.head(stream(1)), None);
}

pub(super) fn a_batch_of_a_thousand_records_is_one(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    let batch: Vec<_> = (0..1000).map(|n| record(stream((n % 10) as u8), n / 10, format!("{n}"))).collect();
    assert_eq!(put(&*log, &batch), Lsn(1000));
    assert_eq!(everything(&*log).len(), 1000);
    assert_eq!(read(&*log, stream(9)).len(), 100);
}

pub(super) fn a_batch_that_is_larger_than_the_others_is_whole(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 3);
    let large = [vec![1; 30_000], vec![2; 30_000]];
    put(&*log, &[record(stream(2), 0, &large[0]), record(stream(3), 0, &large[1])]);
    put(&*log, &[record(stream(1), 3, "3")]);
    assert_eq!(payloads(&read(&*log, stream(2))), [&large[0]]);
    assert_eq!(payloads(&read(&*log, stream(3))), [&large[1]]);
    assert_eq!(everything(&*log).len(), 6);
}
