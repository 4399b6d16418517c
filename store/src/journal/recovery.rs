//! Opening: from files to a journal, whatever state the last process left them in.
//!
//! Nothing is written before everything was read and found good. What may be cut is only the torn end of the
//! open segment that nothing says was acknowledged; everything else that is not as written is [`Damage`].

use super::append::{Appender, Found, next_segment_bytes};
use super::create::{create, refuse_unknown_segments};
use super::files::Files;
use super::footer::{Footer, Mark, ROWS_UNKNOWN, SEGMENT_HEADER, Standing, With, mark, segment_header};
use super::frame::{Place, Seen};
use super::manifest::{Closed, MANIFEST, Manifest, Segment, segment_file, segment_id};
use super::rebuild::Rebuild;
use super::scan::{Batch, Scan, closed_batches};
use super::spare::Spare;
use super::view::{SegmentView, View};
use super::{Journal, Options};
use crate::disk::{Disk, DiskFile, read_all};
use crate::error::{Damage, Failure, OpenError};
use crate::index::Unopened;
use crate::record::{Head, Lsn};
use std::io;
use std::sync::{Arc, RwLock};

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
    let Recovered { manifest, view, tail, footers } = Recovered::read(&*disk, manifest)?;
    let durable = view.durable;
    let (store, forgotten) = (manifest.store, manifest.forgotten);
    let index = || {
        options.index.open(store, &options.fold, forgotten, durable).map_err(|unopened| match unopened {
            Unopened::Ahead(index) => OpenError::IndexAhead { folder: disk.name(), index, log: durable },
            Unopened::Failed(error) => Failure::from(error).into(),
        })
    };
    let found = index()?;
    let files = Arc::new(Files::new(disk.clone(), RwLock::new(view), manifest));
    let rebuild = once_more(Rebuild::read(&files, found, &options), || Rebuild::read(&files, index()?, &options))?;
    let cut = tail.mend(&files)?;
    let spare = Spare::start(disk.clone(), next_segment_bytes(tail.bytes, options.largest_segment), options.upkeep);
    for (segment, footer) in &footers {
        // Without one it is read as a whole at the next opening too.
        let _ = files.write_footer(*segment, footer);
    }
    let again = || Rebuild::read(&files, index()?, &options)?.finish(&files, &options);
    let (indexer, rebuilt) = once_more(rebuild.finish(&files, &options), again)?;
    let appender = tail.appender(&files);
    Journal::assemble(files, indexer, appender, spare, options, cut, rebuilt, lock)
}

/// An index that looked as it was left may turn out to be broken when it is used: then it is made again.
fn once_more<T>(result: Result<T, OpenError>, again: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    match result {
        Err(OpenError::Failure(Failure::Index(_))) => again(),
        result => result,
    }
}

pub(super) fn not_writable(disk: &dyn Disk, error: io::Error) -> OpenError {
    OpenError::NotWritable { folder: disk.name(), source: Arc::new(error) }
}

/// What the files say.
struct Recovered {
    manifest: Manifest,
    view: View,
    tail: Tail,
    /// Footers that closed segments lack.
    footers: Vec<(u64, Footer)>,
}

/// The open segment.
struct Tail {
    file: Arc<dyn DiskFile>,
    place: Place,
    bytes: u64,
    next: Lsn,
    end: u64,
    /// Non-zero bytes behind the end: a torn write.
    torn: Option<u64>,
    length: u64,
    sealed: bool,
}

impl Recovered {
    fn read(disk: &dyn Disk, manifest: Manifest) -> Result<Recovered, OpenError> {
        let mut view = View::default();
        let mut footers = Vec::new();
        for segment in &manifest.segments {
            let place = segment.place(manifest.store);
            let Some(closed) = segment.closed else {
                let tail = read_tail(disk, segment, place, manifest.opening, &mut view)?;
                return Ok(Recovered { manifest, view, tail, footers });
            };
            view.durable = Lsn(closed.next.0 - 1);
            if segment.is_gone() {
                continue;
            }
            let (file, length) = open_segment(disk, segment, place, Access::Read)?;
            let footer = if closed.footer {
                Footer::read(&*file, length, segment, closed, place, With::Heads)?
            } else {
                let footer = make_footer(&*file, segment, place, closed)?;
                footers.push((segment.id, footer.clone()));
                footer
            };
            absorb(&footer, &mut view);
            let Footer { marks, .. } = footer;
            view.segments.push(SegmentView {
                place,
                first: segment.first,
                next: Some(closed.next),
                file,
                marks,
                end: closed.end,
            });
        }
        Err(Damage { file: MANIFEST.to_owned(), offset: 0, what: "it names no open segment".to_owned() }.into())
    }
}

impl Tail {
    /// The writes of recovery: the tail is synced before it counts, and what is torn behind it set to zeros. Then goes what the
    /// manifest does not name: files of segments that were rewritten or are gone.
    fn mend(&self, files: &Files) -> Result<Option<Cut>, OpenError> {
        let name = segment_file(self.place.segment, self.place.generation);
        let failed = |error| Failure::io("recover", &name, error);
        // The cut is made before anything new can be written behind it, and synced with the tail.
        let cut = self.torn.map(|bytes| Cut { file: name.clone(), offset: self.end, bytes });
        if cut.is_some() {
            let zeros = vec![0; (self.length - self.end) as usize];
            self.file.write_at(&zeros, self.end).map_err(failed)?;
        }
        self.file.sync_all().map_err(failed)?;
        let disk = &*files.disk;
        files.settle().map_err(|failure| match &failure {
            Failure::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                OpenError::NotWritable { folder: disk.name(), source: source.clone() }
            }
            _ => failure.into(),
        })?;
        let segments = files.segments();
        for name in disk.list().map_err(|error| Failure::io("list", "the folder", error))? {
            let known = |segment: &Segment| !segment.is_gone() && segment.file() == name;
            if segment_id(&name).is_some_and(|(id, _)| id <= self.place.segment) && !segments.iter().any(known) {
                // It holds nothing that counts; one that cannot be removed is tried again at the next opening.
                let _ = disk.remove(&name);
            }
        }
        Ok(cut)
    }

    fn appender(self, files: &Files) -> Appender {
        let found = Found { next: self.next, end: self.end, sealed: self.sealed };
        Appender::new(self.place, files.opening, self.file, self.bytes, found)
    }
}

fn read_tail(
    disk: &dyn Disk,
    segment: &Segment,
    place: Place,
    opening: u32,
    view: &mut View,
) -> Result<Tail, OpenError> {
    let (file, length) = open_segment(disk, segment, place, Access::Write)?;
    // An earlier process may have died of a failed sync: memory then shows what the disk does not have, and no sync brings it
    // there. What counts is what the disk has.
    let brought = file.sync_all().and_then(|()| file.evict());
    brought.map_err(|error| Failure::io("recover", &segment.file(), error))?;
    let content = read_all(&*file).map_err(|error| Failure::io("read", &segment.file(), error))?;
    let Scan { batches, next, end, torn, sealed, .. } = Scan::of(&content, segment, place, opening)?;
    let (standing, marks) = gather(&batches, &content);
    // What closed segments hold is beyond doubt.
    view.vouch();
    absorb(&standing.into_footer(ROWS_UNKNOWN, Vec::new()), view);
    view.durable = Lsn(next.0 - 1);
    if sealed {
        view.vouch();
    }
    view.segments.push(SegmentView { place, first: segment.first, next: None, file: file.clone(), marks, end });
    Ok(Tail { file, place, bytes: segment.bytes, next, end, torn, length, sealed })
}

/// The footer that a closed segment lacks. Its rows are not known.
fn make_footer(file: &dyn DiskFile, segment: &Segment, place: Place, closed: Closed) -> Result<Footer, OpenError> {
    let content = read_all(file).map_err(|error| Failure::io("read", &segment.file(), error))?;
    let batches = closed_batches(&content, segment, place, closed)?;
    let (standing, marks) = gather(&batches, &content);
    Ok(standing.into_footer(ROWS_UNKNOWN, marks))
}

fn gather(batches: &[Batch], content: &[u8]) -> (Standing, Vec<Mark>) {
    let (mut standing, mut marks) = (Standing::default(), Vec::new());
    for batch in batches {
        mark(&mut marks, batch.header.first, batch.at);
        for Seen { stream, version, lsn, format, payload, .. } in batch.records("", content) {
            standing.note(stream, Head { version, lsn }, format, payload.len());
        }
    }
    (standing, marks)
}

fn absorb(footer: &Footer, view: &mut View) {
    view.directory.reserve(footer.stands.len());
    view.directory.extend(footer.stands.iter().map(|(stream, stand)| (*stream, stand.head)));
    for (stream, grave) in &footer.graves {
        view.bury(*stream, grave.lsn);
        if view.directory.get(stream).is_some_and(|head: &Head| head.lsn == grave.lsn) {
            view.directory.remove(stream);
        }
    }
}

/// What a segment file is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Opens a segment file and checks its length and header.
pub(super) fn open_segment(
    disk: &dyn Disk,
    segment: &Segment,
    place: Place,
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
    if header != segment_header(place, segment.first) {
        return Err(damage(0, "its header is not the one that this segment was given").into());
    }
    Ok((file, length))
}
