//! Opening: from files to a journal, whatever state the last process left them in.
//!
//! Nothing is written before everything was read and found good. What may be cut is only the torn end of the
//! open segment that nothing says was acknowledged; everything else that is not as written is [`Damage`].

use super::append::{Appender, LARGEST_BATCH, next_segment_bytes};
use super::create::{create, refuse_unknown_segments};
use super::footer::{Footer, SEGMENT_HEADER, Stand, segment_header};
use super::frame::{Place, Stored};
use super::manifest::{Manifest, Segment};
use super::scan::Scan;
use super::spare::Spare;
use super::view::{Reader, SegmentView, View};
use super::{Journal, Options};
use crate::disk::{Disk, DiskFile, read_all};
use crate::error::{Damage, Failure, OpenError};
use crate::index::{Change, Fold, Row};
use crate::record::{Head, Lsn, StreamId};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

/// The torn end of a write that was never acknowledged, set back to zeros at opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment file.
    pub file: String,
    /// Where the cut part began.
    pub offset: u64,
    /// How many bytes were not zero from there on.
    pub bytes: u64,
}

pub(super) fn open(disk: Arc<dyn Disk>, options: Options) -> Result<Journal, OpenError> {
    // A newer store stays untouched, so its manifest is read before the lock file could be made.
    Manifest::read(&*disk)?;
    let lock = match disk.lock() {
        Ok(Some(lock)) => lock,
        Ok(None) => return Err(OpenError::Locked { folder: disk.name() }),
        Err(error) => return Err(not_writable(&*disk, error)),
    };
    // Another process may have held the folder, or made the store, since.
    let manifest = Manifest::read(&*disk)?;
    refuse_unknown_segments(&*disk, manifest.as_ref())?;
    let manifest = match manifest {
        Some(manifest) => manifest,
        None => create(&*disk, &options)?,
    };
    if manifest.shards == 0 || manifest.open_segment().is_none() {
        return Err(Damage { file: "MANIFEST".into(), offset: 0, what: "it names no open segment".into() }.into());
    }
    let mut recovered = Recovered::read(&*disk, manifest, &*options.fold)?;
    let cut = recovered.mend(&*disk)?;
    let spare = Spare::start(disk.clone(), recovered.next_segment_bytes(&options), options.prepare);
    recovered.into_journal(disk, options, spare, cut, lock)
}

pub(super) fn not_writable(disk: &dyn Disk, error: io::Error) -> OpenError {
    OpenError::NotWritable { folder: disk.name(), source: Arc::new(error) }
}

/// What the files say.
struct Recovered {
    manifest: Manifest,
    view: RwLock<View>,
    rows: HashMap<StreamId, Row>,
    tail: Tail,
    fold: u32,
}

/// The open segment.
struct Tail {
    file: Arc<dyn DiskFile>,
    footer: Footer,
    next: Lsn,
    end: u64,
    /// Non-zero bytes behind the end: a torn write.
    torn: Option<u64>,
    length: u64,
    closing: bool,
    sealed: bool,
}

impl Recovered {
    fn read(disk: &dyn Disk, manifest: Manifest, fold: &dyn Fold) -> Result<Recovered, OpenError> {
        let mut view = RwLock::new(View { segments: Vec::new(), directory: HashMap::new(), durable: Lsn(0) });
        let mut rows = HashMap::new();
        let mut next = Lsn(1);
        for segment in &manifest.segments {
            let known = view.get_mut().unwrap_or_else(PoisonError::into_inner);
            let place = Place { store: manifest.store, segment: segment.id };
            let (file, end) = open_segment(disk, segment, place, next, Access::of(segment))?;
            let Some(closed) = segment.closed else {
                let bytes = read_all(&*file).map_err(|error| Failure::io("read", &segment.file(), error))?;
                let scan = Scan::of(&bytes, segment, place, manifest.opening)?;
                let tail = Tail::of(scan, file.clone(), end, fold, &rows);
                absorb_heads(&tail.footer, known);
                rows.extend(tail.footer.stands.iter().map(|(stream, stand)| (*stream, stand.row.clone())));
                known.durable = Lsn(tail.next.0 - 1);
                let marks = tail.footer.marks.clone();
                known.segments.push(SegmentView { place, first: segment.first, file, marks, end: tail.end });
                return Ok(Recovered { manifest, view, rows, tail, fold: fold.version() });
            };
            let footer = read_footer(&*file, end, segment, place)?;
            next = closed.next;
            let marks = footer.marks.clone();
            let rebuilt = !footer.has_rows_of(fold.version());
            known.segments.push(SegmentView { place, first: segment.first, file, marks, end: closed.footer });
            known.durable = Lsn(next.0 - 1);
            absorb_heads(&footer, known);
            if rebuilt {
                refold(&Reader(&view), segment.first, fold, &mut rows)?;
            } else {
                rows.extend(footer.stands.into_iter().map(|(stream, stand)| (stream, stand.row)));
            }
        }
        Err(Damage { file: "MANIFEST".into(), offset: 0, what: "it names no open segment".into() }.into())
    }

    /// The only writes of recovery: the tail is synced before it counts, and what is torn behind it set to zeros.
    fn mend(&mut self, disk: &dyn Disk) -> Result<Option<Cut>, OpenError> {
        let tail = &self.tail;
        let name = self.manifest.open_segment().map(Segment::file).unwrap_or_default();
        let failed = |error| Failure::io("recover", &name, error);
        // The cut is made before anything new can be written behind it, and synced with the tail.
        let cut = tail.torn.map(|bytes| Cut { file: name.clone(), offset: tail.end, bytes });
        if cut.is_some() {
            let zeros = vec![0; (tail.length - tail.end) as usize];
            tail.file.write_at(&zeros, tail.end).map_err(failed)?;
        }
        tail.file.sync_all().map_err(failed)?;
        self.manifest.opening += 1;
        self.manifest.write(disk).map_err(|failure| match &failure {
            Failure::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                OpenError::NotWritable { folder: disk.name(), source: source.clone() }
            }
            _ => failure.into(),
        })?;
        Ok(cut)
    }

    fn next_segment_bytes(&self, options: &Options) -> u64 {
        let last = self.manifest.segments.last().map_or(options.first_segment, |segment| segment.bytes);
        next_segment_bytes(last, options.largest_segment)
    }

    fn into_journal(
        self,
        disk: Arc<dyn Disk>,
        options: Options,
        spare: Spare,
        cut: Option<Cut>,
        lock: Box<dyn std::any::Any + Send + Sync>,
    ) -> Result<Journal, OpenError> {
        let Recovered { manifest, view, rows, mut tail, fold } = self;
        tail.footer.fold = fold;
        let changes = rows.into_iter().map(|(stream, row)| Change::between(&*options.fold, stream, None, row));
        options.index.clear().map_err(Failure::from)?;
        options.index.apply(changes.collect(), Reader(&view).durable()).map_err(Failure::from)?;
        let place = Place { store: manifest.store, segment: manifest.segments[manifest.segments.len() - 1].id };
        let appender = Appender {
            place,
            seed: place.seed(manifest.opening),
            file: tail.file,
            next: tail.next,
            offset: tail.end,
            synced: tail.end,
            buffer: Vec::new(),
            closing: tail.closing,
            sealed: tail.sealed,
            footer: tail.footer,
            tips: HashMap::new(),
            writing: false,
            poisoned: None,
            manifest,
        };
        Ok(Journal {
            disk,
            fold: options.fold,
            index: options.index,
            index_failed: OnceLock::new(),
            shards: appender.manifest.shards,
            batch_limit: options.batch_limit.min(LARGEST_BATCH),
            largest_segment: options.largest_segment,
            turn: Mutex::new(()),
            appender: Mutex::new(appender),
            view,
            spare,
            cut,
            _lock: lock,
        })
    }
}

fn absorb_heads(footer: &Footer, view: &mut View) {
    view.directory.extend(footer.stands.iter().map(|(stream, stand)| (*stream, stand.head)));
}

/// Makes rows from a segment's records, for a fold that is not the one its footer was made with.
fn refold(reader: &Reader<'_>, first: Lsn, fold: &dyn Fold, rows: &mut HashMap<StreamId, Row>) -> Result<(), Failure> {
    let mut after = Lsn(first.0 - 1);
    while after < reader.durable() {
        let feed = reader.follow(crate::Shard(0), 1, after, 4096)?;
        for record in &feed.records {
            let row = fold.fold(rows.get(&record.stream).map(|row| &**row), record);
            rows.insert(record.stream, row);
        }
        after = feed.cursor;
    }
    Ok(())
}

/// What a segment file is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

impl Access {
    /// What a journal needs: it writes to the open segment only.
    fn of(segment: &Segment) -> Access {
        if segment.closed.is_some() { Access::Read } else { Access::Write }
    }
}

/// Opens a segment file and checks its length and header.
pub(super) fn open_segment(
    disk: &dyn Disk,
    segment: &Segment,
    place: Place,
    next: Lsn,
    access: Access,
) -> Result<(Arc<dyn DiskFile>, u64), OpenError> {
    let name = segment.file();
    let damage = |offset, what: &str| Damage { file: name.clone(), offset, what: what.to_owned() };
    let opened = match access {
        Access::Read => disk.open_read(&name),
        Access::Write => disk.open(&name),
    };
    let file: Arc<dyn DiskFile> = match opened {
        Ok(file) => Arc::from(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damage(0, "the file is missing").into()),
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            return Err(not_writable(disk, error));
        }
        Err(error) => return Err(Failure::io("open", &name, error).into()),
    };
    let length = file.len().map_err(|error| Failure::io("measure", &name, error))?;
    if length < segment.bytes {
        let what = format!("it ends here, and should have {} bytes", segment.bytes);
        return Err(damage(length, &what).into());
    }
    let mut header = [0; SEGMENT_HEADER];
    file.read_at(&mut header, 0).map_err(|error| Failure::io("read", &name, error))?;
    if header != segment_header(place, segment.first) || segment.first != next {
        return Err(damage(0, "its header is not the one that this segment was given").into());
    }
    Ok((file, length))
}

pub(super) fn read_footer(
    file: &dyn DiskFile,
    length: u64,
    segment: &Segment,
    place: Place,
) -> Result<Footer, OpenError> {
    let closed = segment.closed.filter(|closed| closed.footer <= length);
    let at = closed.map_or(length, |closed| closed.footer);
    let mut bytes = vec![0; (length - at) as usize];
    file.read_at(&mut bytes, at).map_err(|error| Failure::io("read", &segment.file(), error))?;
    let damage = || Damage { file: segment.file(), offset: at, what: "the footer's checksum does not match".into() };
    let (header, footer) = Footer::decode(&bytes, place).ok_or_else(damage)?;
    if Some(header.first) != closed.map(|closed| closed.next) {
        return Err(damage().into());
    }
    Ok(footer)
}

impl Tail {
    fn of(scan: Scan, file: Arc<dyn DiskFile>, length: u64, fold: &dyn Fold, rows: &HashMap<StreamId, Row>) -> Tail {
        let mut footer = Footer { fold: fold.version(), ..Footer::default() };
        for (header, offset, stored) in &scan.batches {
            footer.mark(header.first, *offset);
            for Stored { record, .. } in stored {
                let before = footer.stands.get(&record.stream).map(|stand| &stand.row);
                let before = before.or_else(|| rows.get(&record.stream)).map(|row| &**row);
                let row = fold.fold(before, record);
                let head = Head { version: record.version, lsn: record.lsn };
                footer.stands.insert(record.stream, Stand { head, row });
            }
        }
        let Scan { next, end, torn, closing, sealed, .. } = scan;
        Tail { file, footer, next, end, torn, length, closing, sealed }
    }
}
