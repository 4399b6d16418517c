//! Batches that are empty or too large are refused, and nothing else changes.

use super::*;

const SMALL: Setup = Setup { shards: 1, batch_limit: 10_000 };

pub(super) fn an_empty_batch_is_refused(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    assert!(matches!(refusal(&*log, &[]), Failure::Empty));
}

pub(super) fn a_batch_over_the_limit_is_refused(backend: &mut dyn Backend) {
    let log = backend.open(SMALL);
    assert!(matches!(refusal(&*log, &[record(stream(1), 0, vec![0; 10_000])]), Failure::TooLarge { .. }));
    assert_eq!(log.head(stream(1)), None);
}

pub(super) fn the_limit_is_for_the_batch_and_not_for_a_record(backend: &mut dyn Backend) {
    let log = backend.open(SMALL);
    let batch: Vec<_> = (0..4).map(|n| record(stream(n), 0, vec![n; 2_500])).collect();
    assert!(matches!(refusal(&*log, &batch), Failure::TooLarge { .. }));
    put(&*log, &batch[..2]);
    put(&*log, &batch[2..]);
    assert_eq!(everything(&*log).len(), 4);
}

pub(super) fn a_batch_at_the_limit_is_taken(backend: &mut dyn Backend) {
    let log = backend.open(SMALL);
    // What a backend adds to a payload is its own affair, so the last size that is taken is looked for.
    let taken = |length: usize| log.append(&[record(stream(1), 1, vec![0; length])]).is_ok();
    let longest = (0..10_000).collect::<Vec<_>>().partition_point(|length| taken(*length)) - 1;
    assert!(longest > 9_000, "the limit leaves room for a payload, but took only {longest} bytes");
    put(&*log, &[record(stream(1), 0, vec![7; longest])]);
    refusal(&*log, &[record(stream(1), 1, vec![7; longest + 1])]);
    assert_eq!(read(&*log, stream(1))[0].payload.len(), longest);
}

pub(super) fn what_is_refused_leaves_the_store_as_it_was(backend: &mut dyn Backend) {
    let log = backend.open(SMALL);
    fill(&*log, stream(1), 2);
    for _ in 0..3 {
        refusal(&*log, &[]);
        refusal(&*log, &[record(stream(1), 2, "x"), record(stream(2), 0, vec![0; 20_000])]);
    }
    log.commit().unwrap();
    assert_eq!((log.durable(), log.head(stream(2))), (Lsn(2), None));
    fill(&*log, stream(2), 2);
    assert_eq!(everything(&*log).len(), 4);
}

pub(super) fn the_refusal_names_size_and_limit(backend: &mut dyn Backend) {
    let log = backend.open(SMALL);
    match refusal(&*log, &[record(stream(1), 0, vec![0; 12_345])]) {
        Failure::TooLarge { size, limit } => assert!(size >= 12_345 && limit == 10_000, "{size} over {limit}"),
        other => panic!("not the refusal of a large batch: {other}"),
    }
}
