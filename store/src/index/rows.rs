//! How rows, keys and the watermark lie in a map.
//!
//! A key's first byte says what stands under it: the stamp, a live row, an entry of a table. A row that will not change any
//! more stands in its stream's entries instead: so what has ended costs nothing but those, and live rows can be counted at opening
//! without reading the others.
//!
//! Changes are written in pieces, since libraries hold on to what a write touches until it ends. Each live row says up to which
//! record it was folded, and the watermark comes last: where only some pieces survived, folding what lies behind the watermark
//! once more leads to the same rows.

use super::{Entry, Fold, IndexError, Key, KeyRange, Map, Row, Table};
use crate::bytes::{Put, Take};
use crate::record::{Lsn, StreamId};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

const STAMP: u8 = 0;
const LIVE: u8 = 1;
const TABLE: u8 = 2;

/// How many streams are changed by one write.
const PIECE: usize = 128;

/// How many rows are read at a time where all are read.
const PAGE: usize = 4096;

/// What becomes of a stream's row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// The row that the map has.
    pub(crate) before: Option<Row>,
    /// The row that it is to have.
    pub(crate) after: Option<Row>,
    /// The last record that was folded into it.
    pub(crate) lsn: Lsn,
}

/// An entry of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: Key,
    /// The stream that it lists.
    pub stream: StreamId,
    /// The stream's row, if it stands here: that of a stream which has ended.
    pub row: Option<Row>,
}

/// Count and sum of the live rows: what is compared at opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    count: u64,
    sum: u64,
}

impl Live {
    fn add(&mut self, stream: StreamId, row: &[u8]) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(digest(stream, row));
    }

    fn remove(&mut self, stream: StreamId, row: &[u8]) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(digest(stream, row));
    }
}

/// Told from others by chance, not by design: this finds accidents.
fn digest(stream: StreamId, row: &[u8]) -> u64 {
    let low = crc32c::crc32c_append(crc32c::crc32c(&stream.0), row);
    (u64::from(low) << 32 | u64::from(low)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// What an index says of itself, written with every change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The store that it belongs to.
    pub(crate) store: [u8; 16],
    /// The version of the fold that made its rows.
    pub(crate) fold: u32,
    /// The place up to which the log is in it.
    pub(crate) watermark: Lsn,
    live: Live,
}

impl Stamp {
    fn encode(&self) -> Row {
        let mut out = Vec::new();
        out.put(&self.store);
        out.put_u32(self.fold);
        out.put_u64(self.watermark.0);
        out.put_u64(self.live.count);
        out.put_u64(self.live.sum);
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        Row::from(out)
    }

    fn decode(bytes: &[u8]) -> Option<Stamp> {
        let mut take = Take(bytes);
        let store = take.array()?;
        let fold = take.u32()?;
        let watermark = Lsn(take.u64()?);
        let live = Live { count: take.u64()?, sum: take.u64()? };
        let crc = take.u32()?;
        let sound = take.0.is_empty() && crc == crc32c::crc32c(&bytes[..bytes.len() - 4]);
        sound.then_some(Stamp { store, fold, watermark, live })
    }
}

/// Rows and keys over a map.
pub(crate) struct Rows {
    map: Box<dyn Map>,
    fold: Arc<dyn Fold>,
    stamp: Mutex<Stamp>,
}

impl Rows {
    /// Rows of a store in an empty map.
    pub(crate) fn empty(map: Box<dyn Map>, fold: Arc<dyn Fold>, store: [u8; 16]) -> Rows {
        let stamp = Stamp { store, fold: fold.version(), watermark: Lsn(0), live: Live::default() };
        Rows { map, fold, stamp: Mutex::new(stamp) }
    }

    /// Rows as a map has them; the reason, where they are not those of this store and fold, or not all of them.
    pub(crate) fn found(map: Box<dyn Map>, fold: Arc<dyn Fold>, store: [u8; 16]) -> Result<Rows, IndexError> {
        let wrong = |what: &str| IndexError(what.to_owned());
        let stamp = map.get(&[STAMP])?.ok_or_else(|| wrong("it has no watermark"))?;
        let stamp = Stamp::decode(&stamp).ok_or_else(|| wrong("its watermark's checksum does not match"))?;
        if stamp.store != store {
            return Err(wrong("it belongs to another store"));
        }
        if stamp.fold != fold.version() {
            return Err(wrong("its rows are of another version"));
        }
        if count(&*map)? != stamp.live {
            return Err(wrong("its live rows are not those that were written"));
        }
        Ok(Rows { map, fold, stamp: Mutex::new(stamp) })
    }

    /// The place up to which the log is in it.
    pub(crate) fn watermark(&self) -> Lsn {
        self.stamp.lock().unwrap_or_else(PoisonError::into_inner).watermark
    }

    /// The row of a live stream, and the last record that was folded into it.
    pub(crate) fn live(&self, stream: StreamId) -> Result<Option<(Lsn, Row)>, IndexError> {
        let Some(value) = self.map.get(&live_key(stream))? else { return Ok(None) };
        let (lsn, row) = value.split_at_checked(8).ok_or_else(|| IndexError("a row is cut off".to_owned()))?;
        let lsn = Lsn(u64::from_le_bytes(lsn.try_into().unwrap_or_default()));
        Ok(Some((lsn, Row::from(row))))
    }

    /// Applies changes. With all of them the log is in it up to `watermark`.
    pub(crate) fn apply<S: BuildHasher>(
        &self,
        changes: &HashMap<StreamId, Change, S>,
        watermark: Lsn,
    ) -> Result<(), IndexError> {
        let mut stamp = self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        // Neighbours are written together.
        let mut changes: Vec<_> = changes.iter().filter(|(_, change)| change.before != change.after).collect();
        changes.sort_unstable_by_key(|(stream, _)| **stream);
        let mut pieces = changes.chunks(PIECE).peekable();
        loop {
            let piece = pieces.next().unwrap_or_default();
            let is_last = pieces.peek().is_none();
            let mut next = *stamp;
            if is_last {
                next.watermark = watermark;
            }
            let mut entries = Vec::with_capacity(piece.len() * 3 + 1);
            for (stream, change) in piece {
                self.change_row(**stream, change, &mut next.live, &mut entries);
                self.change_keys(**stream, change, &mut entries);
            }
            entries.push((vec![STAMP], Some(next.encode())));
            entries.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
            self.map.write(entries)?;
            *stamp = next;
            if is_last {
                return Ok(());
            }
        }
    }

    fn change_row(&self, stream: StreamId, change: &Change, live: &mut Live, entries: &mut Vec<Entry>) {
        let is_live = |row: &&Row| self.fold.is_live(row);
        let (before, after) = (change.before.as_ref().filter(is_live), change.after.as_ref().filter(is_live));
        if let Some(before) = before {
            live.remove(stream, before);
        }
        match after {
            Some(after) => {
                live.add(stream, after);
                let value = [&change.lsn.0.to_le_bytes(), &after[..]].concat();
                entries.push((live_key(stream), Some(Row::from(value))));
            }
            None if before.is_some() => entries.push((live_key(stream), None)),
            None => {}
        }
    }

    fn change_keys(&self, stream: StreamId, change: &Change, entries: &mut Vec<Entry>) {
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        if let (Some(before), Some(after)) = (before, after)
            && self.fold.is_live(before)
            && self.fold.is_live(after)
            && self.fold.same_keys(before, after)
        {
            return;
        }
        let old = before.map(|row| self.entries(stream, row)).unwrap_or_default();
        let new = after.map(|row| self.entries(stream, row)).unwrap_or_default();
        let gone = old.iter().filter(|(key, _)| !new.iter().any(|(kept, _)| kept == key));
        entries.extend(gone.map(|(key, _)| (key.clone(), None)));
        let changed = new.into_iter().filter(|entry| !old.contains(entry));
        entries.extend(changed);
    }

    /// The entries of a row: each names the stream, and holds the row if that will not change any more.
    pub(super) fn entries(&self, stream: StreamId, row: &Row) -> Vec<Entry> {
        let kept = if self.fold.is_live(row) { &[] } else { &row[..] };
        let value = Row::from([&stream.0, kept].concat());
        let keys = self.fold.keys(stream, row).into_iter();
        keys.map(|(table, key)| (table_key(table, &key), Some(value.clone()))).collect()
    }

    /// Whether a row is one that may still change.
    pub(super) fn is_live(&self, row: &Row) -> bool {
        self.fold.is_live(row)
    }

    /// Shows every live row.
    pub(super) fn each_live(&self, visit: impl FnMut(StreamId, &[u8])) -> Result<(), IndexError> {
        each_live(&*self.map, visit)
    }

    /// Shows every entry of every table: its key in the map, and what stands there.
    pub(super) fn each_entry(&self, mut visit: impl FnMut(&Key, &[u8])) -> Result<(), IndexError> {
        each(&*self.map, (&[TABLE], &[TABLE + 1]), |key, value| {
            visit(key, value);
            Ok(())
        })
    }

    /// Entries of a table in key order, at most `limit`.
    pub(crate) fn scan(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Listed>, IndexError> {
        let (from, to) = (bound(table, range.0), bound(table, range.1));
        let first = table_key(table, &[]);
        let last = table.0.checked_add(1).map_or([TABLE + 1, 0], |next| [TABLE, next]);
        let from = from.as_ref().map_or(Bound::Included(&first[..]), |bound| bound.as_ref().map(|key| &key[..]));
        let to = to.as_ref().map_or(Bound::Excluded(&last[..]), |bound| bound.as_ref().map(|key| &key[..]));
        let found = self.map.range((from, to), limit)?;
        let entry = |(key, value): (Key, Row)| {
            let (stream, row) =
                value.split_at_checked(16).ok_or_else(|| IndexError("an entry names no stream".into()))?;
            let stream = StreamId(stream.try_into().unwrap_or_default());
            Ok(Listed { key: key[2..].to_vec(), stream, row: (!row.is_empty()).then(|| Row::from(row)) })
        };
        found.into_iter().map(entry).collect()
    }

    pub(crate) fn flush(&self) -> Result<(), IndexError> {
        self.map.flush()
    }
}

fn bound(table: Table, bound: Bound<&[u8]>) -> Option<Bound<Key>> {
    match bound {
        Bound::Included(key) => Some(Bound::Included(table_key(table, key))),
        Bound::Excluded(key) => Some(Bound::Excluded(table_key(table, key))),
        Bound::Unbounded => None,
    }
}

fn live_key(stream: StreamId) -> Key {
    [&[LIVE][..], &stream.0].concat()
}

fn table_key(table: Table, key: &[u8]) -> Key {
    [&[TABLE, table.0][..], key].concat()
}

/// Counts the live rows that are really there.
fn count(map: &dyn Map) -> Result<Live, IndexError> {
    let mut live = Live::default();
    each_live(map, |stream, row| live.add(stream, row))?;
    Ok(live)
}

fn each_live(map: &dyn Map, mut visit: impl FnMut(StreamId, &[u8])) -> Result<(), IndexError> {
    each(map, (&[LIVE], &[LIVE + 1]), |key, value| {
        let wrong = || IndexError("a row names no stream".to_owned());
        let stream = key[1..].try_into().map_err(|_| wrong())?;
        visit(StreamId(stream), value.get(8..).ok_or_else(wrong)?);
        Ok(())
    })
}

/// Shows everything between two keys, some of it at a time.
fn each(
    map: &dyn Map,
    (from, to): (&[u8], &[u8]),
    mut visit: impl FnMut(&Key, &Row) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let mut last = from.to_vec();
    loop {
        let page = map.range((Bound::Excluded(&last), Bound::Excluded(to)), PAGE)?;
        page.iter().try_for_each(|(key, value)| visit(key, value))?;
        match page.into_iter().last() {
            Some((key, _)) => last = key,
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::MemoryMap;
    use crate::record::Record;

    /// Live while the row begins with 1; listed by its first byte and by all of it.
    struct ByFirst;

    impl Fold for ByFirst {
        fn version(&self) -> u32 {
            1
        }
        fn fold(&self, _: Option<&[u8]>, records: &[Record]) -> Option<Row> {
            records.last().map(|record| Row::from(&record.payload[..]))
        }
        fn is_live(&self, row: &[u8]) -> bool {
            row[0] == 1
        }
        fn keys(&self, _: StreamId, row: &[u8]) -> Vec<(Table, Key)> {
            vec![(Table(0), row[..1].to_vec()), (Table(1), row.to_vec())]
        }
    }

    const STORE: [u8; 16] = [9; 16];

    fn change(stream: u8, before: Option<&[u8]>, after: Option<&[u8]>) -> HashMap<StreamId, Change> {
        let change = Change { before: before.map(Row::from), after: after.map(Row::from), lsn: Lsn(7) };
        HashMap::from([(StreamId([stream; 16]), change)])
    }

    fn listed(rows: &Rows, table: u8) -> Vec<Key> {
        let found = rows.scan(Table(table), (Bound::Unbounded, Bound::Unbounded), 100).unwrap();
        found.into_iter().map(|listed| listed.key).collect()
    }

    #[test]
    fn only_the_keys_that_differ_change() {
        let rows = Rows::empty(Box::new(MemoryMap::default()), Arc::new(ByFirst), STORE);
        rows.apply(&change(1, None, Some(&[1, 2])), Lsn(1)).unwrap();
        rows.apply(&change(1, Some(&[1, 2]), Some(&[1, 3])), Lsn(2)).unwrap();
        assert_eq!(rows.live(StreamId([1; 16])).unwrap(), Some((Lsn(7), Row::from([1, 3]))));
        assert_eq!((listed(&rows, 0), listed(&rows, 1)), (vec![vec![1]], vec![vec![1, 3]]));
        rows.apply(&change(1, Some(&[1, 3]), Some(&[2])), Lsn(3)).unwrap();
        assert_eq!(rows.live(StreamId([1; 16])).unwrap(), None, "it stands in its entries");
        let all = (Bound::Unbounded, Bound::Unbounded);
        assert_eq!(rows.scan(Table(0), all, 9).unwrap()[0].row, Some(Row::from([2])));
        assert_eq!(rows.scan(Table(1), all, 9).unwrap()[0].row, Some(Row::from([2])));
        assert_eq!(count(&*rows.map).unwrap(), Live::default());
        rows.apply(&change(1, Some(&[2]), None), Lsn(4)).unwrap();
        assert!(listed(&rows, 0).is_empty() && listed(&rows, 1).is_empty());
        assert_eq!(rows.watermark(), Lsn(4));
    }

    #[test]
    fn all_pieces_are_written_also_where_the_watermark_stays() {
        let rows = Rows::empty(Box::new(MemoryMap::default()), Arc::new(ByFirst), STORE);
        for watermark in [Lsn(0), Lsn(1)] {
            let changes: HashMap<StreamId, Change> = (0..2 * PIECE as u32 + 1)
                .map(|n| {
                    let id = [&watermark.0.to_le_bytes()[..], &u64::from(n).to_le_bytes()].concat();
                    let after = Some(Row::from([&[1][..], &id].concat()));
                    (StreamId(id.try_into().unwrap()), Change { before: None, after, lsn: Lsn(1) })
                })
                .collect();
            rows.apply(&changes, watermark).unwrap();
            assert!(changes.keys().all(|stream| rows.live(*stream).unwrap().is_some()));
        }
        assert_eq!(rows.watermark(), Lsn(1));
    }

    #[test]
    fn a_map_that_lost_or_changed_a_live_row_is_found_out() {
        for broken in [Some(Row::from([0, 0, 0, 0, 0, 0, 0, 0, 1, 7])), None] {
            let rows = Rows::empty(Box::new(MemoryMap::default()), Arc::new(ByFirst), STORE);
            rows.apply(&change(1, None, Some(&[1, 2])), Lsn(1)).unwrap();
            rows.apply(&change(2, None, Some(&[1, 3])), Lsn(2)).unwrap();
            rows.map.write(vec![(live_key(StreamId([1; 16])), broken)]).unwrap();
            assert!(Rows::found(rows.map, Arc::new(ByFirst), STORE).is_err());
        }
    }

    #[test]
    fn a_map_of_another_store_is_found_out() {
        let rows = Rows::empty(Box::new(MemoryMap::default()), Arc::new(ByFirst), STORE);
        rows.apply(&change(1, None, Some(&[1, 2])), Lsn(1)).unwrap();
        let rows = Rows::found(rows.map, Arc::new(ByFirst), STORE).unwrap();
        assert!(Rows::found(rows.map, Arc::new(ByFirst), [8; 16]).is_err());
    }

    /// Lists everything in the last table that there can be.
    struct InLast;

    impl Fold for InLast {
        fn version(&self) -> u32 {
            1
        }
        fn fold(&self, _: Option<&[u8]>, _: &[Record]) -> Option<Row> {
            None
        }
        fn keys(&self, _: StreamId, row: &[u8]) -> Vec<(Table, Key)> {
            vec![(Table(254), vec![0]), (Table(u8::MAX), row.to_vec())]
        }
    }

    #[test]
    fn the_last_table_has_an_end() {
        let rows = Rows::empty(Box::new(MemoryMap::default()), Arc::new(InLast), STORE);
        rows.apply(&change(1, None, Some(&[0xff, 0xff])), Lsn(1)).unwrap();
        assert_eq!(listed(&rows, u8::MAX), [[0xff, 0xff]]);
        assert_eq!(listed(&rows, 254).len(), 1);
    }

    #[test]
    fn tables_do_not_run_into_each_other() {
        let rows = Rows::empty(Box::new(MemoryMap::default()), Arc::new(ByFirst), STORE);
        rows.apply(&change(1, None, Some(&[1])), Lsn(1)).unwrap();
        assert_eq!((listed(&rows, 0).len(), listed(&rows, 1).len(), listed(&rows, 2).len()), (1, 1, 0));
    }
}
