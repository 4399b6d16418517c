//! Bringing the index up to the log at opening: what it lacks is folded; an index that is empty is made from footers.

use super::Options;
use super::files::Files;
use super::footer::With;
use super::frame::Stored;
use super::indexer::Indexer;
use super::manifest::Segment;
use crate::error::{Failure, OpenError};
use crate::index::{Fold, Opened, Row, guarded};
use crate::record::{Head, Lsn, Record, StreamId, StreamMap, TOMBSTONE, Version};
use std::sync::Arc;

/// How far an index is that is made again from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes of the log are in it.
    pub done: u64,
    /// How many the log has.
    pub total: u64,
}

/// An index on its way to the end of the log.
pub(super) struct Rebuild {
    indexer: Indexer,
    /// Why it is made again, if it is.
    reason: Option<String>,
    /// Rows of the open segment's streams, where it is.
    open_rows: Vec<(StreamId, Row)>,
}

impl Rebuild {
    /// Reads what the index lacks. Nothing of the log is written, so that damage found here leaves it as it is; and nothing
    /// of the open segment is used, which is not synced yet.
    pub(super) fn read(files: &Arc<Files>, opened: Opened, options: &Options) -> Result<Rebuild, OpenError> {
        let Opened { rows, empty: reason } = opened;
        let watermark = rows.watermark();
        let mut indexer = Indexer::new(files.clone(), options.fold.clone(), rows, options.index.clone());
        if reason.is_none() {
            // It was whole up to its watermark, and is at each step from there.
            indexer.vouch();
        }
        let mut rebuild = Rebuild { indexer, reason, open_rows: Vec::new() };
        let segments: Vec<Segment> = files.segments().into_iter().filter(|segment| !segment.is_gone()).collect();
        let total = segments.iter().map(|segment| segment.bytes).sum();
        let mut done = 0;
        for segment in &segments {
            match (segment.closed, &rebuild.reason) {
                (Some(closed), Some(_)) => {
                    let rows = rows_of(files, segment, &*options.fold)?;
                    rebuild.indexer.restore(rows, Lsn(closed.next.0 - 1));
                }
                (Some(_), None) => take(files, &rebuild.indexer, segment, watermark)?,
                (None, Some(_)) => rebuild.open_rows = rows_of(files, segment, &*options.fold)?,
                (None, None) => {}
            }
            done += segment.bytes;
            if let (Some(report), Some(_)) = (&options.progress, &rebuild.reason) {
                report(Progress { done, total });
            }
        }
        Ok(rebuild)
    }

    /// Adds the open segment, when it is synced: all of it, since its footer is still to be written.
    pub(super) fn finish(self, files: &Files, options: &Options) -> Result<(Indexer, Option<String>), OpenError> {
        let Rebuild { mut indexer, reason, open_rows } = self;
        if reason.is_some() {
            indexer.restore(open_rows, files.reader().durable());
        }
        if let Some(open) = files.segments().last() {
            take(files, &indexer, open, Lsn(open.first.0 - 1))?;
        }
        indexer.caught_up().map_err(Failure::from)?;
        indexer.vouch();
        options.index.used(files.store).map_err(Failure::from)?;
        Ok((indexer, reason))
    }
}

/// Folds what a segment holds behind `after`.
fn take(files: &Files, indexer: &Indexer, segment: &Segment, after: Lsn) -> Result<(), Failure> {
    indexer.begin_segment();
    files.reader().stretches(segment.id, after, |stored| {
        indexer.take(stored.into_iter().map(|stored| stored.record).collect());
        Ok(())
    })
}

/// The rows of the streams whose last record stands in a segment.
fn rows_of(files: &Files, segment: &Segment, fold: &dyn Fold) -> Result<Vec<(StreamId, Row)>, Failure> {
    let footer = files.read_footer(segment, With::Rows)?;
    let Some(footer) = footer.filter(|footer| footer.has_rows_of(fold.version())) else {
        return refold(files, segment, fold);
    };
    let reader = files.reader();
    let last = |(stream, stand): &(StreamId, super::footer::Stand)| reader.head(*stream) == Some(stand.head);
    let mut rows = Vec::new();
    for (stream, stand) in footer.stands.into_iter().filter(last) {
        let row = match stand.row {
            Some(row) => Some(row),
            None => folded(fold, None, &reader.read(stream, Version(1), usize::MAX)?)?,
        };
        rows.extend(row.map(|row| (stream, row)));
    }
    Ok(rows)
}

/// The same from the records, where the footer's rows are not to be used.
fn refold(files: &Files, segment: &Segment, fold: &dyn Fold) -> Result<Vec<(StreamId, Row)>, Failure> {
    let reader = files.reader();
    let mut last: StreamMap<Head> = StreamMap::default();
    let mut records: StreamMap<Vec<Record>> = StreamMap::default();
    reader.stretches(segment.id, Lsn(segment.first.0 - 1), |stored| {
        for Stored { record, .. } in stored {
            last.insert(record.stream, Head { version: record.version, lsn: record.lsn });
            let of_stream = records.entry(record.stream).or_default();
            if record.format == TOMBSTONE {
                of_stream.clear();
            } else {
                of_stream.push(record);
            }
        }
        Ok(())
    })?;
    records.retain(|stream, of_stream| !of_stream.is_empty() && reader.head(*stream) == last.get(stream).copied());
    let mut rows = Vec::with_capacity(records.len());
    for (stream, of_stream) in records {
        let before = match of_stream[0].version {
            Version(1) => None,
            version => folded(fold, None, &reader.read(stream, Version(1), version.0 as usize - 1)?)?,
        };
        rows.extend(folded(fold, before.as_deref(), &of_stream)?.map(|row| (stream, row)));
    }
    Ok(rows)
}

/// A fold that panics costs the index, as it does behind the commits.
fn folded(fold: &dyn Fold, before: Option<&[u8]>, records: &[Record]) -> Result<Option<Row>, Failure> {
    Ok(guarded(|| Ok(fold.fold(before, records)))?)
}
