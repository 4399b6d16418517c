//! A batch belongs to one shard.

use super::*;

const THREE: Setup = Setup { shards: 3, batch_limit: 1 << 20 };

pub(super) fn a_batch_over_two_shards_is_refused(backend: &mut dyn Backend) {
    let log = backend.open(THREE);
    let batch = [record(in_slot(1, 0), 0, "a"), record(in_slot(2, 1), 0, "b")];
    assert!(matches!(refusal(&*log, &batch), Failure::TwoShards { .. }));
    log.commit().unwrap();
    assert!(everything(&*log).is_empty());
}

pub(super) fn the_refusal_names_both_streams(backend: &mut dyn Backend) {
    let log = backend.open(THREE);
    let batch = [record(in_slot(1, 3), 0, "a"), record(in_slot(2, 0), 0, "b"), record(in_slot(3, 5), 0, "c")];
    match refusal(&*log, &batch) {
        Failure::TwoShards { first, second } => assert_eq!((first, second), (in_slot(1, 3), in_slot(3, 5))),
        other => panic!("not the refusal of two shards: {other}"),
    }
}

pub(super) fn streams_of_one_shard_commit_together(backend: &mut dyn Backend) {
    let log = backend.open(THREE);
    // Slots 1, 4 and 7 are all in shard 1.
    put(&*log, &[record(in_slot(1, 1), 0, "a"), record(in_slot(2, 4), 0, "b"), record(in_slot(3, 7), 0, "c")]);
    assert_eq!(pages(&*log, Shard(1), 10).len(), 3);
}

pub(super) fn one_shard_takes_every_stream(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    assert_eq!(log.shards(), 1);
    put(&*log, &[record(in_slot(1, 0), 0, "a"), record(in_slot(2, 1), 0, "b"), record(in_slot(3, u16::MAX), 0, "c")]);
    assert_eq!(pages(&*log, Shard(0), 10).len(), 3);
}

pub(super) fn the_slot_decides_the_shard(backend: &mut dyn Backend) {
    let log = backend.open(THREE);
    assert_eq!(log.shards(), 3);
    for slot in [0, 1, 2, 3, 255, 256, 1_000, u16::MAX] {
        put(&*log, &[record(in_slot(1, slot), 0, slot.to_le_bytes())]);
    }
    for shard in 0..3 {
        let slots = pages(&*log, Shard(shard), 10);
        assert!(slots.iter().all(|record| record.stream.slot() % 3 == shard), "shard {shard}");
    }
    assert_eq!(everything(&*log).len(), 8);
}

pub(super) fn places_are_dense_over_shards(backend: &mut dyn Backend) {
    let log = backend.open(THREE);
    for slot in 0..9 {
        assert_eq!(put(&*log, &[record(in_slot(1, slot), 0, "x")]), Lsn(u64::from(slot) + 1));
    }
    assert_eq!(everything(&*log).len(), 9);
}
