//! Holding an index against what the log gives, without using it: what it has and should not, and the other way round.

use super::home::{Home, State};
use super::rows::Rows;
use super::{Backend, Fjall, Fold, IndexError, Row, Sled, guarded};
use crate::record::{Lsn, StreamId, StreamMap};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What the index of a stopped store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Examined {
    /// There is none.
    Absent,
    /// The next opening makes it again, for this reason; what it holds does not matter.
    MadeAgain(String),
    /// It ends before the log does, in order so far; the next opening adds the rest.
    Behind(Lsn),
    /// It has seen more of the log than there is: records are missing, and opening is refused.
    Ahead(Lsn),
    /// It holds what it should: so many rows and keys.
    Same {
        /// Rows of streams that may still change.
        rows: u64,
        /// Entries of all tables.
        keys: u64,
    },
    /// It looks as it was left, and does not hold what it should. The first differences, at most a hundred.
    Differs(Vec<Difference>),
}

/// Something that an index should not have, or lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The stream, where it names one.
    pub stream: Option<StreamId>,
    /// What is not as it should be.
    pub what: String,
}

/// What is known of the log that an index belongs to.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// The store's id.
    pub store: [u8; 16],
    /// The place up to which the log reaches.
    pub durable: Lsn,
    /// The last place whose record was cleaned away.
    pub forgotten: Lsn,
    /// The row of every stream that has one: what folding its records gives.
    pub rows: &'a dyn Fn(StreamId) -> Option<Row>,
    /// All those streams.
    pub streams: &'a [StreamId],
}

/// How many differences are named.
pub(super) const MOST: usize = 100;

/// Examines the index in the folder `index`. Opening one writes, so a copy is made in the folder `scratch` and opened there.
///
/// # Errors
///
/// [`IndexError`] if the folder cannot be read or copied.
pub fn examine(
    index: &Path,
    scratch: &Path,
    fold: Arc<dyn Fold>,
    expected: &Expected<'_>,
) -> Result<Examined, IndexError> {
    if !index.exists() {
        return Ok(Examined::Absent);
    }
    let backends: [Arc<dyn Backend>; 2] = [Arc::new(Sled), Arc::new(Fjall)];
    let homes = backends.map(|backend| Home::Folder { backend, path: index.to_owned() });
    let left =
        homes.iter().find_map(|home| home.state(expected.store).filter(|left| left.same_library).zip(Some(home)));
    let Some((left, Home::Folder { backend, .. })) = left else {
        return Ok(Examined::MadeAgain("it was not left by this store and this run of the machine".to_owned()));
    };
    match left.state {
        State::Closed(watermark) if watermark > expected.durable => return Ok(Examined::Ahead(watermark)),
        State::Closed(_) | State::InUse => {}
        State::Opening => {
            return Ok(Examined::MadeAgain("an earlier process did not survive opening it".to_owned()));
        }
        State::Failed => return Ok(Examined::MadeAgain("it had failed".to_owned())),
    }
    copy(index, scratch).map_err(|error| IndexError(format!("failed to copy {}: {error}", index.display())))?;
    let opened = guarded(|| Rows::found(backend.open(&scratch.join(super::home::ROWS))?, fold, expected.store));
    let rows = match opened {
        Ok(rows) => rows,
        Err(IndexError(reason)) => return Ok(Examined::MadeAgain(reason)),
    };
    match rows.watermark() {
        ahead if ahead > expected.durable => Ok(Examined::Ahead(ahead)),
        old if old < expected.forgotten => {
            Ok(Examined::MadeAgain("it is older than what the log says of deleted streams".to_owned()))
        }
        behind if behind < expected.durable => Ok(Examined::Behind(behind)),
        _ => guarded(|| rows.compare(expected.streams, expected.rows)),
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

impl Rows {
    /// Holds everything in the map against the rows that there should be.
    fn compare(&self, streams: &[StreamId], row: &dyn Fn(StreamId) -> Option<Row>) -> Result<Examined, IndexError> {
        let mut lacking: StreamMap<Wanted> = StreamMap::default();
        for stream in streams {
            let Some(row) = row(*stream) else { continue };
            lacking.insert(*stream, Wanted { live: self.is_live(&row), entries: self.entries(*stream, &row) });
        }
        let (mut differences, mut rows, mut keys) = (Vec::new(), 0, 0);
        let mut note = |stream, what: &str| {
            if differences.len() < MOST {
                differences.push(Difference { stream, what: what.to_owned() });
            }
        };
        self.each_live(|stream, found| {
            rows += 1;
            let wanted = lacking.get_mut(&stream).is_some_and(|wanted| std::mem::take(&mut wanted.live));
            if !wanted {
                note(Some(stream), "it has a row in the index, and should have none");
            } else if row(stream).as_deref() != Some(found) {
                note(Some(stream), "its row in the index is not what the log gives");
            }
        })?;
        self.each_entry(|key, value| {
            keys += 1;
            let stream = value.get(..16).and_then(|stream| stream.try_into().ok()).map(StreamId);
            let entries = stream.and_then(|stream| lacking.get_mut(&stream)).map(|wanted| &mut wanted.entries);
            let found = entries.and_then(|entries| {
                let at = entries.iter().position(|(wanted, _)| wanted == key)?;
                Some(entries.swap_remove(at).1.as_deref() == Some(value))
            });
            match found {
                Some(true) => {}
                Some(false) => note(stream, "its row beside a key of the index is not what the log gives"),
                None => note(stream, "the index lists it under a key that it should not have"),
            }
        })?;
        for (stream, wanted) in lacking {
            if wanted.live {
                note(Some(stream), "its row is missing from the index");
            }
            if !wanted.entries.is_empty() {
                note(Some(stream), "a key that lists it is missing from the index");
            }
        }
        Ok(if differences.is_empty() { Examined::Same { rows, keys } } else { Examined::Differs(differences) })
    }
}

/// What a stream should have in the map, as far as it was not found.
struct Wanted {
    live: bool,
    entries: Vec<super::Entry>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{Change, Key, Map, MemoryMap, Table};
    use crate::record::Record;
    use std::collections::HashMap;

    /// Live while the row begins with 1; listed by all of it.
    struct Whole;

    impl Fold for Whole {
        fn version(&self) -> u32 {
            1
        }
        fn fold(&self, _: Option<&[u8]>, _: &[Record]) -> Option<Row> {
            None
        }
        fn is_live(&self, row: &[u8]) -> bool {
            row[0] == 1
        }
        fn keys(&self, _: StreamId, row: &[u8]) -> Vec<(Table, Key)> {
            vec![(Table(0), row.to_vec())]
        }
    }

    const LIVE: StreamId = StreamId([1; 16]);
    const ENDED: StreamId = StreamId([2; 16]);

    fn expected(stream: StreamId) -> Option<Row> {
        match stream {
            LIVE => Some(Row::from([1, 7])),
            ENDED => Some(Row::from([2, 8])),
            _ => None,
        }
    }

    fn rows(of: &[(StreamId, &[u8])]) -> Rows {
        let rows = Rows::empty(Box::new(MemoryMap::default()), Arc::new(Whole), [9; 16]);
        let change = |row: &[u8]| Change { before: None, after: Some(Row::from(row)), lsn: Lsn(1) };
        let changes: HashMap<_, _> = of.iter().map(|(stream, row)| (*stream, change(row))).collect();
        rows.apply(&changes, Lsn(1)).expect("memory");
        rows
    }

    #[track_caller]
    fn check(of: &[(StreamId, &[u8])], wrong: &[StreamId]) {
        let found = rows(of).compare(&[LIVE, ENDED], &expected).expect("memory");
        let Examined::Differs(differences) = found else {
            assert_eq!((found, wrong), (Examined::Same { rows: 1, keys: 2 }, &[][..]));
            return;
        };
        let mut named: Vec<_> = differences.into_iter().filter_map(|difference| difference.stream).collect();
        named.sort();
        named.dedup();
        assert_eq!(named, wrong);
    }

    #[test]
    fn spec_a11_rows_and_keys_that_are_missing_changed_or_too_many_are_named() {
        check(&[(LIVE, &[1, 7]), (ENDED, &[2, 8])], &[]);
        check(&[(ENDED, &[2, 8])], &[LIVE]);
        check(&[(LIVE, &[1, 7])], &[ENDED]);
        check(&[(LIVE, &[1, 6]), (ENDED, &[2, 8])], &[LIVE]);
        check(&[(LIVE, &[1, 7]), (ENDED, &[2, 9])], &[ENDED]);
        check(&[(LIVE, &[1, 7]), (ENDED, &[1, 8])], &[ENDED]);
        check(&[(LIVE, &[1, 7]), (ENDED, &[2, 8]), (StreamId([3; 16]), &[2, 5])], &[StreamId([3; 16])]);
    }

    #[test]
    fn a_map_that_is_written_to_behind_the_rows_is_found_out() {
        let map = MemoryMap::default();
        map.write(vec![(vec![2, 0, 9], Some(Row::from([0; 3])))]).expect("memory");
        let rows = Rows::empty(Box::new(map), Arc::new(Whole), [9; 16]);
        let found = rows.compare(&[], &expected).expect("memory");
        assert!(matches!(found, Examined::Differs(differences) if differences[0].stream.is_none()));
    }
}
