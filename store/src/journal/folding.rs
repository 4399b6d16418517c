//! What durable records do to rows: the part of the indexer that folds.

use super::footer::{Footer, ROWS_UNKNOWN, Standing};
use super::indexer::Shared;
use crate::index::{Change, IndexError, Row, guarded};
use crate::record::{Head, Lsn, Record, StreamId, StreamMap, TOMBSTONE, Version};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is known of the records that were folded, and not in the index yet.
#[derive(Default)]
pub(super) struct Folding {
    pub(super) overlay: StreamMap<Change>,
    pub(super) applying: Arc<StreamMap<Change>>,
    pub(super) folded: Lsn,
    /// The index may know more than its watermark says.
    pub(super) catching_up: bool,
    pub(super) open: OpenFooter,
    /// Footers that can be written.
    pub(super) ready: Vec<(u64, Footer)>,
}

/// What the open segment's footer will say.
#[derive(Default)]
pub(super) struct OpenFooter {
    standing: Standing,
    /// Streams whose row was not folded here: it stands in the index.
    elsewhere: StreamMap<()>,
    rows_unknown: bool,
    /// Not all records could be noted: such a footer would hide them.
    pub(super) incomplete: bool,
}

impl Shared {
    /// A row of the index itself, and the last record in it.
    pub(super) fn stored(&self, stream: StreamId) -> Result<Option<(Lsn, Row)>, IndexError> {
        guarded(|| self.rows.live(stream))
    }

    /// Folds records, some of which may have been folded before: of those only the places are noted.
    pub(super) fn fold(&self, folding: &mut Folding, records: Vec<Record>) {
        let mut of_stream: StreamMap<Vec<Record>> = StreamMap::default();
        let mut order = Vec::new();
        let folded = folding.folded;
        for record in records {
            folding.open.note(&record);
            if record.lsn <= folded {
                continue;
            }
            folding.folded = record.lsn;
            let of_stream = of_stream.entry(record.stream).or_default();
            if of_stream.is_empty() {
                order.push(record.stream);
            }
            of_stream.push(record);
        }
        for stream in order {
            let records = of_stream.remove(&stream).unwrap_or_default();
            if self.failed.get().is_none()
                && let Err(error) = guarded(|| self.fold_stream(folding, stream, &records))
            {
                self.fail(error);
            }
        }
        folding.open.rows_unknown |= self.failed.get().is_some();
    }

    fn fold_stream(&self, folding: &mut Folding, stream: StreamId, records: &[Record]) -> Result<(), IndexError> {
        let mut records = records;
        if folding.catching_up
            && let Some(last) = records.iter().rposition(|record| record.format == TOMBSTONE)
        {
            let (ended, begun) = records.split_at(last + 1);
            self.forget(folding, stream, ended)?;
            records = begun;
        }
        let Some(first) = records.first() else { return Ok(()) };
        let Some((folded, before)) = self.before(folding, stream, first)? else { return Ok(()) };
        // Of a change that was written in pieces some rows may be ahead of the watermark.
        let records = &records[records.partition_point(|record| record.lsn <= folded)..];
        let Some(last) = records.last() else { return Ok(()) };
        let mut row = before.clone();
        for life in records.split_inclusive(|record| record.format == TOMBSTONE) {
            let ends = life[life.len() - 1].format == TOMBSTONE;
            row = if ends { None } else { self.fold.fold(row.as_deref(), life) };
        }
        folding.open.set_row(stream, row.clone());
        if before.is_some() || row.is_some() || folding.overlay.contains_key(&stream) {
            let change = folding.overlay.entry(stream).or_insert(Change { before, ..Change::default() });
            (change.after, change.lsn) = (row, last.lsn);
        }
        Ok(())
    }

    /// Removes what the index has of lives that have ended, while catching up: it may be behind their records or ahead of them,
    /// with the entries of any of them.
    fn forget(&self, folding: &mut Folding, stream: StreamId, ended: &[Record]) -> Result<(), IndexError> {
        let grave = ended[ended.len() - 1].lsn;
        let known = folding.overlay.remove(&stream).and_then(|change| change.before);
        let live = self.stored(stream)?.filter(|(lsn, _)| *lsn < grave).map(|(_, row)| row);
        let borne = ended.iter().filter(|record| record.format == TOMBSTONE && !record.payload.is_empty());
        let borne = borne.map(|tombstone| Row::from(&tombstone.payload[..])).filter(|row| !self.fold.is_live(row));
        for row in known.into_iter().chain(live).chain(borne).collect::<BTreeSet<Row>>() {
            let change = Change { before: Some(row), after: None, lsn: grave };
            guarded(|| self.rows.apply(&StreamMap::from_iter([(stream, change)]), self.rows.watermark()))?;
        }
        folding.open.set_row(stream, None);
        Ok(())
    }

    /// The row that a stream has before a record, and the last record in it. `None`: it has ended, and the index knows.
    fn before(
        &self,
        folding: &Folding,
        stream: StreamId,
        record: &Record,
    ) -> Result<Option<(Lsn, Option<Row>)>, IndexError> {
        if let Some(row) = folding.known(stream) {
            return Ok(Some((Lsn(0), row)));
        }
        // What begins here has no row anywhere: that of an earlier life was removed before.
        let begins = record.version == Version(1);
        if begins && !folding.catching_up {
            return Ok(Some((Lsn(0), None)));
        }
        Ok(match self.rows.live(stream)? {
            None if begins => Some((Lsn(0), None)),
            Some((lsn, row)) => Some((lsn, Some(row))),
            // It had ended, and its tombstone bears the row.
            None if record.format == TOMBSTONE => {
                let row = (!record.payload.is_empty()).then(|| Row::from(&record.payload[..]));
                Some((Lsn(0), row))
            }
            None => None,
        })
    }

    /// The rows at the end of a segment are those that its footer says.
    pub(super) fn close(&self, folding: &mut Folding, segment: u64) {
        let mut open = std::mem::take(&mut folding.open);
        if open.incomplete {
            // Without a footer the segment is read as a whole at the next opening.
            return;
        }
        for stream in std::mem::take(&mut open.elsewhere).into_keys() {
            match self.stored(stream) {
                Ok(Some((_, row))) => open.set_row(stream, Some(row)),
                // It ended before this process began: whoever needs the row makes it from the records.
                Ok(None) => {}
                Err(error) => {
                    open.rows_unknown = true;
                    self.fail(error);
                }
            }
        }
        let fold = if open.rows_unknown { ROWS_UNKNOWN } else { self.fold.version() };
        let footer = open.standing.into_footer(fold, self.files.reader().marks(segment));
        folding.ready.push((segment, footer));
    }
}

impl Folding {
    /// A stream's row as it was folded last, if it was folded here.
    pub(super) fn known(&self, stream: StreamId) -> Option<Option<Row>> {
        let change = self.overlay.get(&stream).or_else(|| self.applying.get(&stream));
        change.map(|change| change.after.clone()).or_else(|| self.open.row(stream))
    }
}

impl OpenFooter {
    fn note(&mut self, record: &Record) {
        let Record { stream, version, lsn, format, .. } = *record;
        if self.standing.note(stream, Head { version, lsn }, format, record.payload.len()) {
            self.elsewhere.insert(stream, ());
        }
    }

    fn set_row(&mut self, stream: StreamId, row: Option<Row>) {
        self.elsewhere.remove(&stream);
        if let Some(stand) = self.standing.stands.get_mut(&stream) {
            stand.row = row;
        }
    }

    fn row(&self, stream: StreamId) -> Option<Option<Row>> {
        let stand = self.standing.stands.get(&stream).filter(|_| !self.elsewhere.contains_key(&stream));
        stand.map(|stand| stand.row.clone())
    }
}
