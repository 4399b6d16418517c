//! The log's files as everybody behind the commits shares them: what is durable, and the manifest that says so.

use super::footer::{Footer, With};
use super::manifest::{Closed, Manifest, Segment};
use super::view::{Reader, View};
use crate::disk::Disk;
use crate::error::Failure;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) struct Files {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) view: RwLock<View>,
    pub(crate) store: [u8; 16],
    pub(crate) opening: u32,
    manifest: Mutex<Kept>,
}

/// The manifest, and whether the one on the disk is the same: a write that failed may have come through or not.
struct Kept {
    manifest: Manifest,
    unsettled: bool,
}

impl Files {
    /// The files of a store that is being opened: its manifest is to say so, see [`Files::settle`].
    pub(crate) fn new(disk: Arc<dyn Disk>, view: RwLock<View>, manifest: Manifest) -> Files {
        // It ends after four billion openings; from there on the seed of a checksum no longer tells them apart.
        let (store, opening) = (manifest.store, manifest.opening.saturating_add(1));
        let manifest = Manifest { opening, ..manifest };
        Files { disk, view, store, opening, manifest: Mutex::new(Kept { manifest, unsettled: true }) }
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader(&self.view)
    }

    pub(crate) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn shards(&self) -> u16 {
        self.kept().manifest.shards
    }

    pub(crate) fn segments(&self) -> Vec<Segment> {
        self.kept().manifest.segments.clone()
    }

    /// Changes the manifest, on the disk and here. If it fails, nothing has changed here; on the disk it may have.
    pub(crate) fn change_manifest(&self, change: impl FnOnce(&mut Manifest)) -> Result<(), Failure> {
        let mut kept = self.kept();
        let mut manifest = kept.manifest.clone();
        change(&mut manifest);
        kept.unsettled = true;
        manifest.write(&*self.disk)?;
        *kept = Kept { manifest, unsettled: false };
        Ok(())
    }

    /// Makes sure that the manifest on the disk is the one here, so that files which only another one names may be touched.
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        if self.kept().unsettled { self.change_manifest(|_| {}) } else { Ok(()) }
    }

    /// Writes the footer of a closed segment behind its frames, then says in the manifest that it is there.
    pub(crate) fn write_footer(&self, segment: u64, footer: &Footer) -> Result<(), Failure> {
        let Some((segment, closed)) = self.closed(segment) else { return Ok(()) };
        let (place, name) = (segment.place(self.store), segment.file());
        let bytes = footer.encode(closed.next, closed.end, self.opening, place.seed(self.opening));
        let write = || {
            let file = self.disk.open(&name)?;
            file.write_at(&bytes, closed.end)?;
            file.sync_all()
        };
        write().map_err(|error| Failure::io("write the footer of", &name, error))?;
        let end = closed.end + bytes.len() as u64;
        self.change_manifest(|manifest| {
            let Some(segment) = manifest.segment_mut(segment.id) else { return };
            segment.bytes = segment.bytes.max(end);
            segment.closed = segment.closed.map(|closed| Closed { footer: true, ..closed });
        })
    }

    /// Reads the footer of a closed segment; `None` if it has none.
    pub(crate) fn read_footer(&self, segment: &Segment, with: With) -> Result<Option<Footer>, Failure> {
        let Some(closed) = segment.closed.filter(|closed| closed.footer) else { return Ok(None) };
        let name = segment.file();
        let file = self.disk.open_read(&name).map_err(|error| Failure::io("open", &name, error))?;
        let length = file.len().map_err(|error| Failure::io("measure", &name, error))?;
        Footer::read(&*file, length, segment, closed, segment.place(self.store), with).map(Some)
    }

    /// A closed segment of which something is left.
    fn closed(&self, id: u64) -> Option<(Segment, Closed)> {
        let kept = self.kept();
        let segment = kept.manifest.segments.iter().find(|segment| segment.id == id && !segment.is_gone())?;
        Some((*segment, segment.closed?))
    }
}
