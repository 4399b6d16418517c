//! Versions and places are given densely.

use super::*;

pub(super) fn inv_s3_versions_are_dense_from_one(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 20);
    let versions: Vec<u64> = read(&*log, stream(1)).iter().map(|record| record.version.0).collect();
    assert!(versions.into_iter().eq(1..=20));
}

pub(super) fn inv_s3_places_are_dense_over_all_streams(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for version in 0..5 {
        put(&*log, &[record(stream(1), version, "a"), record(stream(2), version, "b")]);
        put(&*log, &[record(stream(3), version, "c")]);
    }
    assert!(places(&everything(&*log)).into_iter().eq(1..=15));
}

pub(super) fn versions_of_streams_are_independent(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 7);
    fill(&*log, stream(2), 2);
    put(&*log, &[record(stream(1), 7, "x"), record(stream(2), 2, "y"), record(stream(3), 0, "z")]);
    let version = |n| read(&*log, stream(n)).last().unwrap().version;
    assert_eq!((version(1), version(2), version(3)), (Version(8), Version(3), Version(1)));
}

pub(super) fn append_returns_the_place_of_the_last_record(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    assert_eq!(append(&*log, &[record(stream(1), 0, "a")]), Lsn(1));
    assert_eq!(append(&*log, &[record(stream(1), 1, "b"), record(stream(2), 0, "c")]), Lsn(3));
    log.commit().unwrap();
    assert_eq!(append(&*log, &[record(stream(1), 2, "d")]), Lsn(4));
    log.commit().unwrap();
    assert_eq!(read(&*log, stream(1))[2].lsn, Lsn(4));
}

pub(super) fn versions_count_what_is_not_committed(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for version in 0..10 {
        append(&*log, &[record(stream(1), version, "x")]);
    }
    log.commit().unwrap();
    assert_eq!(read(&*log, stream(1)).len(), 10);
    everything(&*log);
}

pub(super) fn time_and_format_are_kept_as_given(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    let new = |expected, time, format| NewRecord { time, format, ..record(stream(1), expected, "x") };
    put(&*log, &[new(0, 17, 3), new(1, -17, 0), new(2, 0, u16::MAX - 1)]);
    let kept: Vec<_> = read(&*log, stream(1)).iter().map(|record| (record.time, record.format)).collect();
    assert_eq!(kept, [(17, 3), (-17, 0), (0, u16::MAX - 1)]);
}
