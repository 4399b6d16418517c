//! Opening: from files to a journal, whatever state the last process left them in.
//!
//! Nothing is written before everything was read and found good. What may be cut is only the torn end of the
//! open segment that nothing says was acknowledged; everything else that is not as written is [`Damage`].

use super::append::{Appender, begin_segment};
use super::footer::{Footer, SEGMENT_HEADER, Stand, segment_header};
use super::frame::{ALIGN, HEADER, Header, Kind, Place, Stored, decode_batch};
use super::manifest::{Manifest, Segment};
use super::spare::{self, Spare};
use super::view::{SegmentView, View};
use super::{Journal, Options};
use crate::disk::{Disk, DiskFile, read_all};
use crate::error::{Damage, Failure, OpenError};
use crate::index::{Change, Fold, Row};
use crate::record::{Head, Lsn, StreamId};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, RwLock};

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
    let before = Manifest::read(&*disk)?;
    let lock = match disk.lock() {
        Ok(Some(lock)) => lock,
        Ok(None) => return Err(OpenError::Locked { folder: disk.name() }),
        Err(error) => return Err(not_writable(&*disk, error)),
    };
    let manifest = match before {
        // Read again: another process may have held the folder until now.
        Some(_) => Manifest::read(&*disk)?,
        None => None,
    };
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

fn not_writable(disk: &dyn Disk, error: io::Error) -> OpenError {
    OpenError::NotWritable { folder: disk.name(), source: Arc::new(error) }
}

/// Makes a new store: its first segment, then the manifest that makes it count.
fn create(disk: &dyn Disk, options: &Options) -> Result<Manifest, OpenError> {
    if options.shards == 0 || options.first_segment < 1024 || options.largest_segment < options.first_segment {
        return Err(OpenError::Settings(
            "a store needs at least one shard, a first segment of 1024 bytes and a largest one not below it".into(),
        ));
    }
    refuse_lost_manifest(disk)?;
    let store = match options.store_id {
        Some(store) => store,
        None => {
            let mut store = [0; 16];
            getrandom::fill(&mut store)
                .map_err(|error| Failure::io("draw the identity of", "MANIFEST", io::Error::other(error)))?;
            store
        }
    };
    let place = Place { store, segment: 1 };
    spare::fill(disk, options.first_segment, spare::Pace::AtOnce).map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            OpenError::Failure(Failure::Full { needed: options.first_segment })
        }
        _ => not_writable(disk, error),
    })?;
    begin_segment(disk, place, Lsn(1))?;
    let segment = Segment { id: 1, first: Lsn(1), bytes: options.first_segment, closed: None };
    let manifest = Manifest { store, shards: options.shards, opening: 0, segments: vec![segment] };
    manifest.write(disk)?;
    Ok(manifest)
}

/// A folder without a manifest is new, or its creation was interrupted, or its manifest was lost. Only a segment with
/// frames in it tells the last from the others.
fn refuse_lost_manifest(disk: &dyn Disk) -> Result<(), OpenError> {
    let list = disk.list().map_err(|error| Failure::io("list", "the folder", error))?;
    for name in list.iter().filter(|name| name.ends_with(".seg")) {
        let content = disk.open_read(name).and_then(|file| read_all(&*file));
        let content = content.map_err(|error| Failure::io("read", name, error))?;
        if content.iter().skip(SEGMENT_HEADER).any(|byte| *byte != 0) {
            let what = format!("it is missing, and {name} holds records");
            return Err(Damage { file: "MANIFEST".into(), offset: 0, what }.into());
        }
    }
    Ok(())
}

/// What the files say.
struct Recovered {
    manifest: Manifest,
    view: View,
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
        let mut view = View { segments: Vec::new(), directory: HashMap::new(), durable: Lsn(0) };
        let mut rows = HashMap::new();
        let mut next = Lsn(1);
        for segment in &manifest.segments {
            let place = Place { store: manifest.store, segment: segment.id };
            let (file, end) = open_segment(disk, segment, place, next)?;
            let Some(closed) = segment.closed else {
                let tail = Tail::read(file.clone(), end, segment, place, fold, &rows)?;
                absorb(&tail.footer, &mut view, &mut rows);
                view.durable = Lsn(tail.next.0 - 1);
                let marks = tail.footer.marks.clone();
                view.segments.push(SegmentView { place, first: segment.first, file, marks, end: tail.end });
                return Ok(Recovered { manifest, view, rows, tail, fold: fold.version() });
            };
            let footer = read_footer(&*file, end, segment, place)?;
            next = closed.next;
            let marks = footer.marks.clone();
            let rebuilt = footer.fold != fold.version();
            view.segments.push(SegmentView { place, first: segment.first, file, marks, end: closed.footer });
            view.durable = Lsn(next.0 - 1);
            if rebuilt {
                refold(&view, segment.first, fold, &mut rows)?;
            }
            absorb_heads(&footer, &mut view);
            if !rebuilt {
                rows.extend(footer.stands.into_iter().map(|(stream, stand)| (stream, stand.row)));
            }
        }
        Err(Damage { file: "MANIFEST".into(), offset: 0, what: "it names no open segment".into() }.into())
    }

    /// The only writes of recovery: the tail is synced before it counts, and what is torn behind it set to zeros.
    fn mend(&mut self, disk: &dyn Disk) -> Result<Option<Cut>, OpenError> {
        let tail = &self.tail;
        let name = self.view.segments.last().map(SegmentView::name).unwrap_or_default();
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
        (last * 2).min(options.largest_segment).max(last.min(options.largest_segment))
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
        options.index.apply(changes.collect(), view.durable).map_err(Failure::from)?;
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
            poisoned: None,
            manifest,
        };
        Ok(Journal {
            disk,
            fold: options.fold,
            index: options.index,
            index_failed: OnceLock::new(),
            shards: appender.manifest.shards,
            batch_limit: options.batch_limit,
            largest_segment: options.largest_segment,
            turn: Mutex::new(()),
            appender: Mutex::new(appender),
            view: RwLock::new(view),
            spare,
            cut,
            _lock: lock,
        })
    }
}

fn absorb_heads(footer: &Footer, view: &mut View) {
    view.directory.extend(footer.stands.iter().map(|(stream, stand)| (*stream, stand.head)));
}

fn absorb(footer: &Footer, view: &mut View, rows: &mut HashMap<StreamId, Row>) {
    absorb_heads(footer, view);
    rows.extend(footer.stands.iter().map(|(stream, stand)| (*stream, stand.row.clone())));
}

/// Makes rows from a segment's records, for a fold that is not the one its footer was made with.
fn refold(view: &View, first: Lsn, fold: &dyn Fold, rows: &mut HashMap<StreamId, Row>) -> Result<(), Failure> {
    let mut after = Lsn(first.0 - 1);
    while after < view.durable {
        let feed = view.follow(crate::Shard(0), 1, after, 4096)?;
        for record in &feed.records {
            let row = fold.fold(rows.get(&record.stream).map(|row| &**row), record);
            rows.insert(record.stream, row);
        }
        after = feed.cursor;
    }
    Ok(())
}

/// Opens a segment file and checks its length and header.
pub(super) fn open_segment(
    disk: &dyn Disk,
    segment: &Segment,
    place: Place,
    next: Lsn,
) -> Result<(Arc<dyn DiskFile>, u64), OpenError> {
    let name = segment.file();
    let damage = |offset, what: &str| Damage { file: name.clone(), offset, what: what.to_owned() };
    let file: Arc<dyn DiskFile> = match if segment.closed.is_some() { disk.open_read(&name) } else { disk.open(&name) }
    {
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
    fn read(
        file: Arc<dyn DiskFile>,
        length: u64,
        segment: &Segment,
        place: Place,
        fold: &dyn Fold,
        rows: &HashMap<StreamId, Row>,
    ) -> Result<Tail, OpenError> {
        let bytes = read_all(&*file).map_err(|error| Failure::io("read", &segment.file(), error))?;
        let scan = Scan::of(&bytes, segment, place)?;
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
        Ok(Tail { file, footer, next, end, torn, length, closing, sealed })
    }
}

/// What stands in the open segment: frames up to the first place where none stands.
pub(super) struct Scan {
    pub(super) batches: Vec<(Header, u64, Vec<Stored>)>,
    pub(super) next: Lsn,
    pub(super) end: u64,
    pub(super) torn: Option<u64>,
    pub(super) closing: bool,
    pub(super) sealed: bool,
}

impl Scan {
    pub(super) fn of(bytes: &[u8], segment: &Segment, place: Place) -> Result<Scan, Damage> {
        let end = SEGMENT_HEADER as u64;
        let mut scan = Scan { batches: Vec::new(), next: segment.first, end, torn: None, closing: false, sealed: true };
        while scan.step(&bytes[scan.end as usize..], place) {}
        if scan.closing {
            return Ok(scan);
        }
        let rest = &bytes[scan.end as usize..];
        let rubbish = rest.iter().filter(|byte| **byte != 0).count() as u64;
        if rubbish > 0 {
            if let Some(witness) = witness(rest, scan.end, place) {
                let what = format!("what stood here was acknowledged, as byte {witness} says");
                return Err(Damage { file: segment.file(), offset: scan.end, what });
            }
            scan.torn = Some(rubbish);
        }
        Ok(scan)
    }

    /// Takes the frame at the front of `rest`, if one stands there that continues the log.
    fn step(&mut self, rest: &[u8], place: Place) -> bool {
        let Some(header) = Header::decode(rest, place) else { return false };
        let Some(body) = rest.get(HEADER..HEADER + header.length as usize) else { return false };
        if header.first != self.next || header.synced > self.end {
            return false;
        }
        match header.kind {
            Kind::Batch => {
                let Some(stored) = decode_batch(&header, body, place) else { return false };
                self.next = Lsn(self.next.0 + stored.len() as u64);
                self.batches.push((header, self.end, stored));
                self.sealed = false;
            }
            Kind::Seal => self.sealed = true,
            // A crash between the footer and the manifest: the segment is closed again at the next append.
            Kind::Footer => {
                self.closing = Footer::decode(rest, place).is_some();
                return false;
            }
        }
        self.end += header.frame_length() as u64;
        self.end as usize % ALIGN == 0
    }
}

/// A frame behind a torn place which says that the torn place had been synced.
fn witness(rest: &[u8], offset: u64, place: Place) -> Option<u64> {
    let at = |index: usize| offset + (index * ALIGN) as u64;
    (0..rest.len() / ALIGN).find_map(|index| {
        let header = Header::decode(&rest[index * ALIGN..], place)?;
        (header.synced > offset).then(|| at(index))
    })
}
