//! The suite that every backend passes: what [`Log`] promises, a promise a case.
//!
//! A backend's tests say how a store is made, by [`Backend`], and [`crate::conformance!`] makes a test of each case:
//!
//! ```text
//! mod memory {
//!     rejoin_store::conformance!(volatile, MemoryBackend::default());
//! }
//! ```
//!
//! The cases of the section `reopen` ask what outlives the process. A backend that says `volatile` promises the
//! opposite, and is held to that: one case in their place asks that nothing does.

use crate::index::{Fold, Key, Row, Table};
use crate::record::{Chain, GENESIS, Lsn, NewRecord, Record, Shard, StreamId, TOMBSTONE, Version, link};
use crate::{Conflict, Failure, Log};
use std::collections::HashMap;
use std::sync::Arc;

/// What a case wants of a new store.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How many shards it has.
    pub shards: u16,
    /// The largest batch in bytes.
    pub batch_limit: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Setup { shards: 1, batch_limit: 1 << 20 }
    }
}

/// How stores of a backend are made. A value makes one store.
pub trait Backend {
    /// A new, empty store whose rows are made by [`fold`].
    fn open(&mut self, setup: Setup) -> Box<dyn Log>;

    /// The store that `open` made, again: its log was dropped. `None` if nothing outlives the log.
    fn reopen(&mut self) -> Option<Box<dyn Log>>;
}

/// The fold of the suite's stores. A row is the number of the stream's records and its last payload; streams are
/// listed by payload in [`BY_PAYLOAD`] and by number in [`BY_COUNT`].
pub fn fold() -> Arc<dyn Fold> {
    Arc::new(LastPayload)
}

/// Keys: the last payload's first 16 bytes, then the stream.
pub const BY_PAYLOAD: Table = Table(1);
/// Keys: the number of records, big endian, then the stream.
pub const BY_COUNT: Table = Table(2);

struct LastPayload;

impl Fold for LastPayload {
    fn version(&self) -> u32 {
        1
    }
    fn fold(&self, previous: Option<&[u8]>, records: &[Record]) -> Option<Row> {
        let before = previous.map_or(0, |row| u32::from_be_bytes([row[0], row[1], row[2], row[3]]));
        let count = before + records.len() as u32;
        let payload = &records.last()?.payload;
        Some([&count.to_be_bytes()[..], &payload[..payload.len().min(16)]].concat().into())
    }
    fn keys(&self, stream: StreamId, row: &[u8]) -> Vec<(Table, Key)> {
        let (count, payload) = row.split_at(4);
        vec![(BY_PAYLOAD, [payload, &stream.0].concat()), (BY_COUNT, [count, &stream.0].concat())]
    }
}

/// A stream of shard 0, whatever the number of shards.
fn stream(n: u8) -> StreamId {
    in_slot(n, 0)
}

/// A stream of a slot.
fn in_slot(n: u8, slot: u16) -> StreamId {
    let mut id = [n; 16];
    id[14..].copy_from_slice(&slot.to_le_bytes());
    StreamId(id)
}

fn record(stream: StreamId, expected: u64, payload: impl AsRef<[u8]>) -> NewRecord {
    let payload = payload.as_ref().to_vec();
    NewRecord { stream, expected: Version(expected), time: 1_000 + expected as i64, format: 7, payload }
}

/// The end of a stream.
fn tombstone(stream: StreamId, expected: u64) -> NewRecord {
    NewRecord { format: TOMBSTONE, ..record(stream, expected, []) }
}

/// Appends a batch that must be taken.
fn append(log: &dyn Log, batch: &[NewRecord]) -> Lsn {
    log.append(batch).expect("the batch is in order").expect("the streams are at their expected versions")
}

/// Appends a batch and commits.
fn put(log: &dyn Log, batch: &[NewRecord]) -> Lsn {
    let last = append(log, batch);
    let durable = log.commit().expect("a commit");
    assert!(durable >= last, "a commit covers what was appended before it");
    last
}

/// Appends `count` records to a stream, from its beginning, in commits of their own.
fn fill(log: &dyn Log, stream: StreamId, count: u64) {
    for version in 0..count {
        put(log, &[record(stream, version, format!("{version}"))]);
    }
}

/// Appends a batch that must meet a conflict.
fn conflict(log: &dyn Log, batch: &[NewRecord]) -> Conflict {
    log.append(batch).expect("a conflict is no failure").expect_err("the streams are not at their expected versions")
}

/// Appends a batch that must be refused, whatever the streams' versions.
fn refusal(log: &dyn Log, batch: &[NewRecord]) -> Failure {
    log.append(batch).expect_err("the batch is not in order")
}

fn read(log: &dyn Log, stream: StreamId) -> Vec<Record> {
    log.read(stream, Version(1), usize::MAX).expect("a readable stream")
}

fn payloads(records: &[Record]) -> Vec<&[u8]> {
    records.iter().map(|record| &record.payload[..]).collect()
}

fn places(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.lsn.0).collect()
}

/// All records of a shard, read in pages of `page`.
fn pages(log: &dyn Log, shard: Shard, page: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let mut after = Lsn(0);
    loop {
        let feed = log.follow(shard, after, page).expect("a readable feed");
        assert!(feed.records.len() <= page, "a page has at most its limit");
        assert!(feed.cursor >= after, "a cursor never goes back");
        if feed.cursor == after {
            assert!(feed.records.is_empty(), "a cursor moves past the records that were shown");
            return records;
        }
        after = feed.cursor;
        records.extend(feed.records);
    }
}

/// Everything durable, in log order, over all shards; checked for density and chains.
fn everything(log: &dyn Log) -> Vec<Record> {
    let mut records: Vec<Record> = (0..log.shards()).flat_map(|shard| pages(log, Shard(shard), 64)).collect();
    records.sort_unstable_by_key(|record| record.lsn);
    assert!(places(&records).into_iter().eq(1..=log.durable().0), "places are dense from 1 to what is durable");
    check_chains(&records);
    records
}

/// Checks that versions are dense and chains hold, given all records in log order.
fn check_chains(records: &[Record]) {
    let mut tips: HashMap<StreamId, (Version, Chain)> = HashMap::new();
    for record in records {
        let Record { stream, version, time, format, chain, ref payload, .. } = *record;
        let (before, previous) = tips.get(&stream).copied().unwrap_or((Version::NONE, GENESIS));
        assert_eq!(version, before.next(), "versions of {stream} are dense");
        assert_eq!(chain, link(&previous, stream, version, time, format, payload), "the chain of {stream} holds");
        tips.insert(stream, (version, chain));
    }
}

/// Drops the log and opens its store again.
fn reopen(backend: &mut dyn Backend, log: Box<dyn Log>) -> Box<dyn Log> {
    drop(log);
    backend.reopen().expect("a durable backend has a store to open again")
}

/// What is asked of a volatile backend in place of the section `reopen`.
pub fn nothing_outlives_the_log(backend: &mut dyn Backend) {
    let log = backend.open(Setup::default());
    put(&*log, &[record(stream(1), 0, "gone")]);
    drop(log);
    assert!(backend.reopen().is_none(), "a backend whose stores can be opened again is durable, and has to say so");
}

/// Lists all cases once: makes [`cases`], where each is public, and [`crate::conformance!`], which makes each a test.
macro_rules! suite {
    ($d:tt durable_only $last:ident { $($late:ident)* } $($section:ident { $($case:ident)* })*) => {
        $(mod $section;)*
        mod $last;

        /// Every case, by section.
        pub mod cases {
            $(#[doc = concat!("Cases about ", stringify!($section), ".")]
            pub mod $section {
                use crate::conformance::{Backend, $section as section};
                $(#[doc = concat!("`", stringify!($case), "`")]
                pub fn $case(backend: &mut dyn Backend) { section::$case(backend) })*
            })*
            #[doc = concat!("Cases about ", stringify!($last), ".")]
            pub mod $last {
                use crate::conformance::{Backend, $last as section};
                $(#[doc = concat!("`", stringify!($late), "`")]
                pub fn $late(backend: &mut dyn Backend) { section::$late(backend) })*
            }
        }

        /// Makes a test of each case for a backend, in modules named after the sections. See `conformance`.
        #[macro_export]
        macro_rules! conformance {
            (durable, $d backend:expr) => {
                $(mod $section {
                    #[allow(unused_imports)]
                    use super::*;
                    $(#[test]
                    fn $case() { $crate::conformance::cases::$section::$case(&mut $d backend) })*
                })*
                mod $last {
                    #[allow(unused_imports)]
                    use super::*;
                    $(#[test]
                    fn $late() { $crate::conformance::cases::$last::$late(&mut $d backend) })*
                }
            };
            // The same; but a macro that a macro made cannot call itself.
            (volatile, $d backend:expr) => {
                $(mod $section {
                    #[allow(unused_imports)]
                    use super::*;
                    $(#[test]
                    fn $case() { $crate::conformance::cases::$section::$case(&mut $d backend) })*
                })*
                mod $last {
                    #[allow(unused_imports)]
                    use super::*;
                    #[test]
                    fn nothing_outlives_the_log() {
                        $crate::conformance::nothing_outlives_the_log(&mut $d backend)
                    }
                }
            };
        }
    };
}

suite! { $ durable_only
    reopen {
        inv_s1_everything_committed_is_there
        inv_s1_payloads_of_all_lengths_are_there
        inv_s2_an_uncommitted_batch_is_whole_or_absent
        inv_s3_versions_and_places_go_on
        inv_s4_versions_that_were_given_stay_given
        inv_s6_chains_go_on
        a_new_store_reopens_empty
        heads_are_as_before
        a_cursor_of_before_goes_on
        rows_and_keys_are_as_before
        a_key_that_a_stream_left_is_not_back
        the_number_of_shards_stays
        inv_s1_a_deleted_stream_stays_deleted
        inv_s6_a_stream_that_was_born_again_goes_on
        a_sealed_store_reopens
        many_reopenings_change_nothing
        each_reopening_can_append
    }
    atomicity {
        inv_s2_a_batch_over_streams_is_there_whole
        inv_s2_a_refused_batch_leaves_nothing
        inv_s2_a_conflict_in_the_last_record_refuses_the_first
        a_refused_batch_takes_no_place
        a_batch_may_append_to_a_stream_twice
        a_batch_that_forgets_its_own_record_conflicts_with_itself
        a_batch_of_a_thousand_records_is_one
        a_batch_that_is_larger_than_the_others_is_whole
    }
    versions {
        inv_s3_versions_are_dense_from_one
        inv_s3_places_are_dense_over_all_streams
        versions_of_streams_are_independent
        append_returns_the_place_of_the_last_record
        versions_count_what_is_not_committed
        time_and_format_are_kept_as_given
    }
    conflicts {
        inv_s4_a_stream_begins_once
        inv_s4_an_old_version_is_refused
        inv_s4_a_version_to_come_is_refused
        a_conflict_says_who_expected_what
        a_conflict_counts_what_is_not_committed
        a_conflict_names_the_first_stream_that_differs
        after_a_conflict_the_right_version_is_taken
        a_stream_that_does_not_exist_is_at_none
    }
    order {
        inv_s3_a_stream_reads_in_the_order_of_its_versions
        inv_s3_interleaved_streams_keep_their_orders
        reading_begins_at_a_version
        reading_ends_at_the_limit
        reading_pages_through_a_stream
        reading_behind_the_end_finds_nothing
        reading_from_none_is_reading_from_the_first
        a_stream_that_does_not_exist_reads_empty
        a_long_stream_reads_whole
    }
    visibility {
        inv_s9_nothing_is_read_before_the_commit
        inv_s9_a_feed_ends_at_what_is_durable
        inv_s9_rows_wait_for_the_commit
        inv_s9_a_read_stops_at_what_is_durable
        a_commit_makes_all_of_it_visible
        a_commit_returns_what_is_durable
        a_commit_of_nothing_is_harmless
        an_empty_store_is_durable_up_to_nothing
    }
    payloads {
        inv_s6_a_payload_reads_back_as_it_was_given
        an_empty_payload_is_a_payload
        payloads_of_all_lengths_around_a_boundary
        payloads_of_zeros_and_of_ones
        a_payload_larger_than_a_small_segment
        large_and_small_payloads_alternate
        a_payload_that_looks_like_a_log
        times_at_the_ends_of_their_range
    }
    limits {
        an_empty_batch_is_refused
        a_batch_over_the_limit_is_refused
        the_limit_is_for_the_batch_and_not_for_a_record
        a_batch_at_the_limit_is_taken
        what_is_refused_leaves_the_store_as_it_was
        the_refusal_names_size_and_limit
    }
    shards {
        a_batch_over_two_shards_is_refused
        the_refusal_names_both_streams
        streams_of_one_shard_commit_together
        one_shard_takes_every_stream
        the_slot_decides_the_shard
        places_are_dense_over_shards
    }
    feeds {
        inv_s3_a_feed_is_in_commit_order
        inv_s3_pages_of_any_size_show_the_same
        a_feed_goes_on_behind_its_cursor
        a_feed_may_begin_within_a_batch
        a_feed_shows_its_shard_only
        a_cursor_passes_over_other_shards
        a_feed_at_the_end_stays_there
        a_page_of_none_moves_nothing
        a_feed_of_an_empty_store_is_empty
        a_follower_sees_each_record_once
    }
    index {
        a_row_is_the_fold_of_its_stream
        a_stream_without_records_has_no_row
        records_of_one_commit_fold_in_order
        a_scan_is_in_key_order
        a_scan_ends_at_its_limit
        a_scan_keeps_to_its_range
        a_scan_by_prefix
        a_range_that_ends_before_it_begins_is_empty
        a_changed_row_moves_its_keys
        tables_are_apart
    }
    deletion {
        inv_s3_a_tombstone_ends_its_stream_and_no_other
        inv_s9_until_its_commit_a_tombstone_hides_nothing
        a_head_is_gone_at_once
        inv_s4_a_deleted_stream_begins_again_at_none_and_nowhere_else
        inv_s3_a_new_life_has_versions_from_one
        inv_s6_a_new_life_has_a_chain_of_its_own
        inv_s2_a_tombstone_and_a_new_life_are_one_batch
        inv_s2_a_refused_batch_deletes_nothing
        the_row_and_the_keys_of_a_deleted_stream_go
        the_row_of_a_new_life_is_its_own
        a_feed_shows_the_tombstone
        a_tombstone_that_names_no_version_is_refused
        many_lives_follow_each_other
    }
    heads {
        a_head_names_version_and_place
        a_head_counts_what_is_not_committed
        a_stream_that_does_not_exist_has_no_head
        a_refused_batch_moves_no_head
        heads_of_many_streams
    }
    chain {
        inv_s6_the_chain_holds_from_the_first_record
        inv_s6_a_record_never_changes
        a_chain_depends_on_its_stream_only
        streams_with_equal_content_have_chains_of_their_own
    }
    seal {
        a_seal_is_no_record
        a_seal_of_an_empty_store_is_harmless
        sealing_twice_is_harmless
        appends_go_on_behind_a_seal
        seals_between_all_commits_change_nothing
    }
    concurrency {
        inv_s4_of_many_threads_one_wins
        inv_s4_a_stream_shared_by_threads_stays_dense
        inv_s2_batches_of_threads_do_not_mix
        inv_s3_a_follower_beside_writers_sees_all_in_order
        inv_s9_a_reader_beside_writers_sees_prefixes
        inv_s1_each_thread_finds_what_it_committed
        small_and_large_batches_of_threads_are_all_there
        seals_beside_writers_are_harmless
    }
}

#[cfg(test)]
mod tests;
