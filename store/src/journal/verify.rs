//! Reading the whole log of a stopped store, byte by byte, changing nothing.
//!
//! One thread reads segments and their checksums; others follow versions, chains and what the records mean, each for a
//! part of the streams. Records are looked at where they stand.

use super::check::{Check, Part};
use super::create::refuse_unknown_segments;
use super::footer::{Footer, With};
use super::frame::Seen;
use super::manifest::{Closed, Manifest, Segment};
use super::rebuild::Progress;
use super::recovery::{Access, Cut, open_segment};
use super::scan::{Batch, Scan, closed_batches};
use crate::disk::{Disk, DiskFile};
use crate::error::{Damage, Failure, OpenError};
use crate::record::{Lsn, Record, StreamMap, TOMBSTONE};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

/// What [`inspect`] and [`audit`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The store's id.
    pub store: [u8; 16],
    /// The place up to which its log reaches.
    pub durable: Lsn,
    /// The last place whose record was cleaned away; 0: all that was ever appended is there.
    pub forgotten: Lsn,
    /// How many segments the log has.
    pub segments: usize,
    /// How many records its streams have.
    pub records: u64,
    /// How many records of deleted streams are not cleaned away yet, tombstones among them.
    pub dead: u64,
    /// How many streams exist.
    pub streams: u64,
    /// How many bytes the segment files have.
    pub bytes: u64,
    /// The torn end of an unacknowledged write, which the next opening will cut.
    pub torn: Option<Cut>,
}

/// Is shown the records of a log, each once it was found good; those of one stream in their order.
pub trait Visit {
    /// A record of a stream that exists.
    fn record(&mut self, seen: &Seen<'_>);

    /// A record of a stream that was deleted and is not cleaned away yet, or its tombstone.
    fn dead(&mut self, _seen: &Seen<'_>) {}
}

impl<F: FnMut(&Seen<'_>)> Visit for F {
    fn record(&mut self, seen: &Seen<'_>) {
        self(seen);
    }
}

/// Reads every record of the store on `disk` in log order, checks everything that can be checked (checksums, places,
/// versions, chains, footers) and hands each record of a stream that exists to `visit`.
///
/// # Errors
///
/// [`OpenError`], with the place of the first damage; [`OpenError::Locked`] while a process has the store open.
pub fn inspect(disk: &dyn Disk, mut visit: impl FnMut(&Record)) -> Result<Report, OpenError> {
    inspect_with(disk, &mut |seen: &Seen<'_>| visit(&seen.to_record()), |_| {})
}

/// As [`inspect`], without copying records, and telling how far it is.
///
/// # Errors
///
/// As [`inspect`].
pub fn inspect_with(disk: &dyn Disk, visit: &mut impl Visit, progress: impl Fn(Progress)) -> Result<Report, OpenError> {
    let log = Log::open(disk)?;
    let (graves, mut open) = log.graves()?;
    let mut check = Check::new(Part { number: 0, of: 1 }, &graves);
    let mut report = log.report();
    let mut buffer = Vec::new();
    for segment in &log.manifest.segments {
        let Some(loaded) = log.next(segment, &mut open, buffer, &mut report)? else {
            buffer = Vec::new();
            continue;
        };
        check.segment(&loaded, visit)?;
        progress(log.progress(&report));
        buffer = loaded.content;
    }
    Ok(count(report, &[check]))
}

/// As [`inspect_with`], with a thread for each of `parts`: every stream is shown to one of them, and to that one in its
/// order.
///
/// # Errors
///
/// As [`inspect`]: of several damaged places the first one in the log. What was visited by then is not said.
pub fn audit<V: Visit + Send>(
    disk: &dyn Disk,
    parts: &mut [V],
    progress: impl Fn(Progress),
) -> Result<Report, OpenError> {
    let log = Log::open(disk)?;
    let (graves, open) = log.graves()?;
    let (of, mut report) = (parts.len().max(1), log.report());
    let (back, used) = channel();
    let (loading, followed) = thread::scope(|scope| {
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        for (number, visit) in parts.iter_mut().enumerate() {
            let (queue, segments) = sync_channel(1);
            queues.push(queue);
            let (check, back) = (Check::new(Part { number, of }, &graves), back.clone());
            threads.push(scope.spawn(move || follow(check, visit, &segments, &back)));
        }
        drop(back);
        let loading = log.hand_out(open, queues, &used, &mut report, progress);
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        (loading, threads.into_iter().map(join).collect::<Vec<Result<Check<'_>, Damage>>>())
    });
    // What is damaged in the log's order comes first: a segment is followed only once it was loaded.
    let order = |damage: &Damage| {
        let segment = log.manifest.segments.iter().position(|segment| segment.file() == damage.file);
        (segment, damage.offset)
    };
    let first = followed.iter().filter_map(|done| done.as_ref().err()).min_by_key(|damage| order(damage));
    if let Some(damage) = first {
        return Err(damage.clone().into());
    }
    loading?;
    let checks: Vec<Check<'_>> = followed.into_iter().flatten().collect();
    Ok(count(report, &checks))
}

/// What one thread does.
fn follow<'a, V: Visit>(
    mut check: Check<'a>,
    visit: &mut V,
    segments: &Receiver<Arc<Loaded>>,
    back: &Sender<Arc<Loaded>>,
) -> Result<Check<'a>, Damage> {
    for loaded in segments {
        check.segment(&loaded, visit)?;
        // The last to be done with it gives its memory back; with nobody left to take it, it is freed.
        let _ = back.send(loaded);
    }
    Ok(check)
}

fn count(mut report: Report, checks: &[Check<'_>]) -> Report {
    report.records = checks.iter().map(|check| check.records).sum();
    report.dead = checks.iter().map(|check| check.dead).sum();
    report.streams = checks.iter().map(Check::streams).sum();
    report
}

/// A segment, read as a whole; its checksums are good.
pub(super) struct Loaded {
    pub(super) segment: Segment,
    pub(super) file: String,
    pub(super) content: Vec<u8>,
    pub(super) batches: Vec<Batch>,
    pub(super) footer: Option<Footer>,
    /// Where its frames end, and the place behind its last record.
    pub(super) end: u64,
    next: Lsn,
    torn: Option<u64>,
}

/// A store that is read.
struct Log<'a> {
    disk: &'a dyn Disk,
    manifest: Manifest,
    _lock: Box<dyn std::any::Any + Send + Sync>,
}

impl<'a> Log<'a> {
    fn open(disk: &'a dyn Disk) -> Result<Log<'a>, OpenError> {
        let lock = disk
            .lock_read()
            .map_err(|error| Failure::io("lock", &disk.name(), error))?
            .ok_or_else(|| OpenError::Locked { folder: disk.name() })?;
        let manifest = Manifest::read(disk)?.ok_or_else(|| OpenError::Missing { folder: disk.name() })?;
        refuse_unknown_segments(disk, Some(&manifest))?;
        Ok(Log { disk, manifest, _lock: lock })
    }

    fn report(&self) -> Report {
        Report { store: self.manifest.store, forgotten: self.manifest.forgotten, ..Report::default() }
    }

    fn progress(&self, report: &Report) -> Progress {
        let total = self.manifest.segments.iter().map(|segment| segment.bytes).sum();
        Progress { done: report.bytes.min(total), total }
    }

    /// Loads the segments one after the other, and gives each to all queues. Ends early where a thread has ended: it has
    /// found damage.
    fn hand_out(
        &self,
        mut open: Option<Loaded>,
        queues: Vec<SyncSender<Arc<Loaded>>>,
        used: &Receiver<Arc<Loaded>>,
        report: &mut Report,
        progress: impl Fn(Progress),
    ) -> Result<(), OpenError> {
        for segment in &self.manifest.segments {
            let free = used.try_iter().filter_map(Arc::into_inner).map(|loaded| loaded.content);
            let buffer = free.max_by_key(Vec::capacity).unwrap_or_default();
            let Some(loaded) = self.next(segment, &mut open, buffer, report)? else { continue };
            let loaded = Arc::new(loaded);
            if queues.iter().any(|queue| queue.send(loaded.clone()).is_err()) {
                return Ok(());
            }
            progress(self.progress(report));
        }
        Ok(())
    }

    /// The next segment, noted in the report; `None` if nothing is left of it. The open one may have been loaded before. The
    /// buffer is one that is not needed any more.
    fn next(
        &self,
        segment: &Segment,
        open: &mut Option<Loaded>,
        buffer: Vec<u8>,
        report: &mut Report,
    ) -> Result<Option<Loaded>, OpenError> {
        if segment.is_gone() {
            report.durable = segment.closed.map_or(report.durable, |closed| Lsn(closed.next.0 - 1));
            return Ok(None);
        }
        let ready = open.take_if(|open| open.segment.id == segment.id);
        let loaded = ready.map_or_else(|| self.load(segment, buffer), Ok)?;
        report.segments += 1;
        report.bytes += loaded.content.len() as u64;
        report.durable = Lsn(loaded.next.0 - 1);
        report.torn = loaded.torn.map(|bytes| Cut { file: loaded.file.clone(), offset: loaded.end, bytes });
        Ok(Some(loaded))
    }

    /// Reads a segment and its checksums.
    fn load(&self, segment: &Segment, buffer: Vec<u8>) -> Result<Loaded, OpenError> {
        let file = segment.file();
        let place = segment.place(self.manifest.store);
        let (opened, length) = open_segment(self.disk, segment, place, Access::Read)?;
        let content = read_into(&*opened, buffer).map_err(|error| Failure::io("read", &file, error))?;
        let Some(closed) = segment.closed else {
            let Scan { batches, next, end, torn, .. } = Scan::of(&content, segment, place, self.manifest.opening)?;
            return Ok(Loaded { segment: *segment, file, content, batches, footer: None, end, next, torn });
        };
        let footer = self.footer(&opened, length, segment, closed, With::Checksums)?;
        let batches = closed_batches(&content, segment, place, closed)?;
        let Closed { end, next, .. } = closed;
        if let Some(what) = footer.as_ref().and_then(|footer| disagreement(footer, &batches)) {
            return Err(Damage { file, offset: end, what }.into());
        }
        Ok(Loaded { segment: *segment, file, content, batches, footer, end, next, torn: None })
    }

    fn footer(
        &self,
        file: &Arc<dyn DiskFile>,
        length: u64,
        segment: &Segment,
        closed: Closed,
        with: With,
    ) -> Result<Option<Footer>, Failure> {
        let place = segment.place(self.manifest.store);
        let footer = closed.footer.then(|| Footer::read(&**file, length, segment, closed, place, with));
        footer.transpose()
    }

    /// Where the last tombstone of each stream stands that has one; and the open segment, which had to be read for that.
    fn graves(&self) -> Result<(StreamMap<Lsn>, Option<Loaded>), OpenError> {
        let mut open = None;
        let mut graves: StreamMap<Lsn> = StreamMap::default();
        for segment in self.manifest.segments.iter().filter(|segment| !segment.is_gone()) {
            let place = segment.place(self.manifest.store);
            if let Some(closed) = segment.closed.filter(|closed| closed.footer) {
                let (file, length) = open_segment(self.disk, segment, place, Access::Read)?;
                let footer = self.footer(&file, length, segment, closed, With::Heads)?;
                let of_footer = footer.into_iter().flat_map(|footer| footer.graves);
                graves.extend(of_footer.map(|(stream, grave)| (stream, grave.lsn)));
                continue;
            }
            let loaded = self.load(segment, Vec::new())?;
            for batch in &loaded.batches {
                let tombs = batch.records("", &loaded.content).filter(|seen| seen.format == TOMBSTONE);
                graves.extend(tombs.map(|seen| (seen.stream, seen.lsn)));
            }
            open = segment.closed.is_none().then_some(loaded);
        }
        Ok((graves, open))
    }
}

/// Reads a whole file into a buffer whose memory is used again.
fn read_into(file: &dyn DiskFile, mut buffer: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let length = usize::try_from(file.len()?).map_err(std::io::Error::other)?;
    if length <= buffer.len() {
        buffer.truncate(length);
    } else {
        // The operating system's zeros are cheaper than ours.
        buffer = vec![0; length];
    }
    file.read_at(&mut buffer, 0)?;
    Ok(buffer)
}

/// What a footer says of its segment's frames that is not so.
fn disagreement(footer: &Footer, batches: &[Batch]) -> Option<String> {
    let records: u64 = batches.iter().map(|batch| u64::from(batch.header.records)).sum();
    if footer.records != records {
        return Some("the footer does not name the streams and records that stand here".to_owned());
    }
    let found = |first: Lsn| batches.binary_search_by_key(&first, |batch| batch.header.first).ok();
    let is_wrong = |offset: u64, first: Lsn| found(first).is_none_or(|found| batches[found].at != offset);
    let wrong = footer.marks.iter().find(|mark| is_wrong(mark.offset, mark.first))?;
    Some(format!("the footer says that record {} begins a frame at byte {}", wrong.first, wrong.offset))
}
