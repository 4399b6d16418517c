//! Payloads are bytes, and come back as they were given.

use super::*;

fn comes_back(log: &dyn Log, given: &[Vec<u8>]) {
    let version = log.head(stream(1)).map_or(0, |head| head.version.0);
    for (expected, payload) in (version..).zip(given) {
        append(log, &[record(stream(1), expected, payload)]);
    }
    log.commit().unwrap();
    let found = log.read(stream(1), Version(version + 1), usize::MAX).unwrap();
    assert!(payloads(&found).into_iter().eq(given.iter().map(|payload| &payload[..])));
    everything(log);
}

pub(super) fn inv_s6_a_payload_reads_back_as_it_was_given(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    comes_back(&*log, &[(0..=255).collect(), b"text".to_vec(), (0..=255).rev().collect()]);
}

pub(super) fn an_empty_payload_is_a_payload(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    comes_back(&*log, &[vec![], vec![], b"x".to_vec(), vec![]]);
    put(&*log, &[record(stream(2), 0, ""), record(stream(3), 0, "")]);
    assert_eq!(read(&*log, stream(3))[0].payload, b"");
}

pub(super) fn payloads_of_all_lengths_around_a_boundary(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    comes_back(&*log, &(0..64).map(|length| vec![0xa5; length]).collect::<Vec<_>>());
    comes_back(&*log, &[511, 512, 513, 4095, 4096, 4097].map(|length| vec![0x5a; length]));
}

pub(super) fn payloads_of_zeros_and_of_ones(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    comes_back(&*log, &[vec![0; 1_000], vec![0xff; 1_000], vec![0; 8], vec![0xff; 8], vec![0; 5_000]]);
}

pub(super) fn a_payload_larger_than_a_small_segment(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    comes_back(&*log, &[vec![1; 200_000]]);
    comes_back(&*log, &[b"after".to_vec(), vec![2; 300_000], b"and after".to_vec()]);
}

pub(super) fn large_and_small_payloads_alternate(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for round in 0..10 {
        comes_back(&*log, &[vec![round; 10_000], vec![round; 3], vec![round; 20_000], vec![round]]);
    }
}

pub(super) fn a_payload_that_looks_like_a_log(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    let magics = [&b"RJB1"[..], b"RJS1", b"RJF1", b"REJOINSG", b"REJOINMF"];
    let all: Vec<Vec<u8>> = magics.iter().flat_map(|magic| [magic.to_vec(), magic.repeat(40)]).collect();
    comes_back(&*log, &all);
}

pub(super) fn times_at_the_ends_of_their_range(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    for (version, time) in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX].into_iter().enumerate() {
        put(&*log, &[NewRecord { time, ..record(stream(1), version as u64, "") }]);
        assert_eq!(read(&*log, stream(1))[version].time, time);
    }
    everything(&*log);
}
