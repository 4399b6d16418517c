//! Streams read in the order of their versions, from any version, in pages of any size.

use super::*;

pub(super) fn inv_s3_a_stream_reads_in_the_order_of_its_versions(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 12);
    let expected: Vec<String> = (0..12).map(|n| n.to_string()).collect();
    assert_eq!(payloads(&read(&*log, stream(1))), expected.iter().map(String::as_bytes).collect::<Vec<_>>());
}

pub(super) fn inv_s3_interleaved_streams_keep_their_orders(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for version in 0..10 {
        for n in [3, 1, 2] {
            append(&*log, &[record(stream(n), version, format!("{n}.{version}"))]);
        }
        if version % 3 == 0 {
            log.commit().unwrap();
        }
    }
    log.commit().unwrap();
    for n in 1..=3 {
        let expected: Vec<String> = (0..10).map(|version| format!("{n}.{version}")).collect();
        assert_eq!(payloads(&read(&*log, stream(n))), expected.iter().map(String::as_bytes).collect::<Vec<_>>());
    }
    everything(&*log);
}

pub(super) fn reading_begins_at_a_version(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 9);
    for from in 1..=9 {
        let records = log.read(stream(1), Version(from), 100).unwrap();
        assert!(records.iter().map(|record| record.version.0).eq(from..=9), "from {from}");
    }
}

pub(super) fn reading_ends_at_the_limit(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 9);
    for limit in 0..12 {
        let records = log.read(stream(1), Version(3), limit).unwrap();
        assert!(records.iter().map(|record| record.version.0).eq((3..=9).take(limit)), "limit {limit}");
    }
}

pub(super) fn reading_pages_through_a_stream(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 25);
    for limit in [1, 2, 7, 24, 25, 26] {
        let mut records = Vec::new();
        loop {
            let page = log.read(stream(1), Version(records.len() as u64 + 1), limit).unwrap();
            if page.is_empty() {
                break;
            }
            records.extend(page);
        }
        assert_eq!(records, read(&*log, stream(1)), "limit {limit}");
    }
}

pub(super) fn reading_behind_the_end_finds_nothing(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 3);
    for from in [4, 5, 1_000_000, u64::MAX] {
        assert!(log.read(stream(1), Version(from), usize::MAX).unwrap().is_empty());
    }
}

pub(super) fn reading_from_none_is_reading_from_the_first(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    fill(&*log, stream(1), 3);
    assert_eq!(log.read(stream(1), Version::NONE, 2).unwrap(), log.read(stream(1), Version(1), 2).unwrap());
}

pub(super) fn a_stream_that_does_not_exist_reads_empty(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    assert!(read(&*log, stream(1)).is_empty());
    fill(&*log, stream(2), 1);
    assert!(read(&*log, stream(1)).is_empty());
}

pub(super) fn a_long_stream_reads_whole(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for version in 0..2_000 {
        append(&*log, &[record(stream((version % 2) as u8), version / 2, version.to_string())]);
        if version % 100 == 0 {
            log.commit().unwrap();
        }
    }
    log.commit().unwrap();
    assert_eq!(read(&*log, stream(0)).len(), 1_000);
    let tail = log.read(stream(1), Version(996), 10).unwrap();
    assert!(tail.iter().map(|record| record.version.0).eq(996..=1_000));
    everything(&*log);
}
