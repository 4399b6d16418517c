//! A disk in memory that behaves as badly as POSIX allows.
//!
//! What was written is visible at once and durable only after a sync. [`SimDisk::crash`] makes the disk
//! that a machine could find after a power cut; [`Outcome`] chooses what became of unsynced writes.
//! Operations that change the disk are counted, so that a test can crash or fail at each of them.

use crate::disk::{Disk, DiskFile};
use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What became of the writes that were not synced when the power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// None reached the disk.
    Lost,
    /// All did.
    Kept,
    /// The earlier ones did, the later ones did not.
    Prefix,
    /// Any of them did, in any combination.
    Subset,
    /// The earlier ones did; one reached it in some of its sectors.
    Torn,
    /// The earlier ones did; where the next was to go stands rubbish.
    Garbage,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Outcome; 6] =
        [Outcome::Lost, Outcome::Kept, Outcome::Prefix, Outcome::Subset, Outcome::Torn, Outcome::Garbage];
}

/// What is to go wrong while the disk is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// From this operation on nothing works: the machine is dead, and only [`SimDisk::crash`] helps.
    CrashAt(u64),
    /// This operation fails, later ones work.
    FailOnce(u64),
    /// This operation and all later ones fail.
    FailFrom(u64),
    /// Files cannot grow by more than this many bytes from now on: a full disk.
    RoomFor(u64),
}

/// The simulated disk. Clones share it.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

type FileId = usize;

#[derive(Clone, Default)]
struct State {
    files: Vec<SimFile>,
    /// The folder as the process sees it.
    names: BTreeMap<String, FileId>,
    /// The folder as a machine would find it after a power cut in which nothing unsynced survived.
    durable_names: BTreeMap<String, FileId>,
    unsynced_names: Vec<NameChange>,
    operations: u64,
    /// What each operation was.
    trace: Vec<String>,
    fault: Fault,
    grown: u64,
    lock: Arc<AtomicBool>,
}

/// Contents are shared until they differ: damage tests make half a million disks out of one.
#[derive(Clone, Default)]
struct SimFile {
    current: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    unsynced: Vec<Write>,
}

#[derive(Clone)]
struct Write {
    /// When it was issued, among all unsynced changes of the disk.
    order: u64,
    offset: usize,
    bytes: Vec<u8>,
}

#[derive(Clone)]
struct NameChange {
    order: u64,
    change: Name,
}

#[derive(Clone)]
enum Name {
    Put(String, FileId),
    /// The file that the process renamed, wherever the old name leads after a crash.
    Move(String, String, FileId),
    Remove(String),
}

impl Name {
    fn apply(&self, names: &mut BTreeMap<String, FileId>) {
        match self {
            Name::Put(name, file) => {
                names.insert(name.clone(), *file);
            }
            Name::Move(from, to, file) => {
                if names.remove(from).is_some() {
                    names.insert(to.clone(), *file);
                }
            }
            Name::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> SimDisk {
        SimDisk::default()
    }

    /// A disk with these files, all durable.
    pub fn with_files<C: Into<Arc<Vec<u8>>>>(files: impl IntoIterator<Item = (String, C)>) -> SimDisk {
        let mut state = State::default();
        for (name, content) in files {
            let content = content.into();
            state.files.push(SimFile { current: content.clone(), durable: content, unsynced: Vec::new() });
            state.names.insert(name.clone(), state.files.len() - 1);
            state.durable_names.insert(name, state.files.len() - 1);
        }
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// Its files as a process sees them.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.state();
        state.names.iter().map(|(name, file)| (name.clone(), state.files[*file].current.to_vec())).collect()
    }

    /// How many operations changed the disk, or would have.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// What an operation was, counted from 1: "write 000000000001.seg", "rename MANIFEST.new".
    pub fn operation(&self, number: u64) -> Option<String> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.state().trace.get(index).cloned()
    }

    /// The operations that wrote, created, renamed or removed something: all but syncs.
    pub fn changes(&self) -> Vec<String> {
        self.state().trace.iter().filter(|what| !what.starts_with("sync")).cloned().collect()
    }

    /// Plans a fault. Operations are counted from 1; see [`SimDisk::operations`].
    pub fn plan(&self, fault: Fault) {
        let mut state = self.state();
        state.fault = fault;
        state.grown = 0;
    }

    /// The disk that the machine finds after the power went now. `seed` draws what `outcome` leaves open.
    #[must_use]
    pub fn crash(&self, outcome: Outcome, seed: u64) -> SimDisk {
        let state = self.state();
        let mut chance = Chance(seed);
        let fate = Fate::draw(&state, outcome, &mut chance);
        let mut names = state.durable_names.clone();
        for change in &state.unsynced_names {
            if fate.reaches(change.order, &mut chance) {
                change.change.apply(&mut names);
            }
        }
        let mut files = Vec::new();
        for (name, file) in names {
            let file = &state.files[file];
            let mut content = file.durable.clone();
            for write in &file.unsynced {
                fate.apply(write, Arc::make_mut(&mut content), &mut chance);
            }
            files.push((name, content));
        }
        SimDisk::with_files(files)
    }

    /// The disk that the next process finds after this one was killed: all that was written is there to be read,
    /// and what was not synced can still be lost in a crash. Faults and the lock are gone with the process.
    #[must_use]
    pub fn kill(&self) -> SimDisk {
        let mut state = self.state().clone();
        state.fault = Fault::None;
        state.lock = Arc::default();
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The drawn answer to "which of the unsynced changes reached the disk?".
struct Fate {
    outcome: Outcome,
    /// Changes issued before this one are there, for the outcomes that keep an order.
    cut: u64,
}

impl Fate {
    fn draw(state: &State, outcome: Outcome, chance: &mut Chance) -> Fate {
        let mut orders: Vec<u64> = state.unsynced_names.iter().map(|change| change.order).collect();
        let live = state.names.values().chain(state.durable_names.values());
        let mut seen: Vec<FileId> = live.copied().collect();
        seen.sort_unstable();
        seen.dedup();
        orders.extend(seen.iter().flat_map(|file| state.files[*file].unsynced.iter().map(|write| write.order)));
        orders.sort_unstable();
        // Torn and Garbage must hit a write, if there is one; a plain prefix may also end behind the last.
        let ends = if matches!(outcome, Outcome::Prefix) { orders.len() + 1 } else { orders.len() };
        let cut = match ends {
            0 => u64::MAX,
            ends => orders.get(chance.below(ends as u64) as usize).copied().unwrap_or(u64::MAX),
        };
        Fate { outcome, cut }
    }

    fn reaches(&self, order: u64, chance: &mut Chance) -> bool {
        match self.outcome {
            Outcome::Lost => false,
            Outcome::Kept => true,
            Outcome::Subset => chance.below(2) == 0,
            Outcome::Prefix | Outcome::Torn | Outcome::Garbage => order < self.cut,
        }
    }

    fn apply(&self, write: &Write, content: &mut Vec<u8>, chance: &mut Chance) {
        if write.order == self.cut && matches!(self.outcome, Outcome::Torn | Outcome::Garbage) {
            let sector = if chance.below(2) == 0 { 512 } else { 4096 };
            // Sectors are aligned on the disk, not in the write.
            let mut start = 0;
            while start < write.bytes.len() {
                let end = ((write.offset + start) / sector + 1) * sector - write.offset;
                let end = end.min(write.bytes.len());
                let part = &write.bytes[start..end];
                if chance.below(2) == 0 {
                    put(content, write.offset + start, part);
                } else if self.outcome == Outcome::Garbage {
                    let garbage: Vec<u8> = part.iter().map(|_| chance.next() as u8).collect();
                    put(content, write.offset + start, &garbage);
                }
                start = end;
            }
        } else if self.reaches(write.order, chance) {
            put(content, write.offset, &write.bytes);
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// SplitMix64: enough chance for a disk, the same on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl State {
    /// Counts an operation that changes the disk, and says whether it works.
    fn operate(&mut self, what: &str, name: &str) -> io::Result<u64> {
        self.operations += 1;
        self.trace.push(format!("{what} {name}"));
        let now = self.operations;
        match self.fault {
            Fault::CrashAt(at) if now >= at => Err(io::Error::other("the simulated machine is dead")),
            Fault::FailOnce(at) if now == at => Err(io::Error::other("simulated failure")),
            Fault::FailFrom(at) if now >= at => Err(io::Error::other("simulated failure")),
            Fault::None | Fault::CrashAt(_) | Fault::FailOnce(_) | Fault::FailFrom(_) | Fault::RoomFor(_) => Ok(now),
        }
    }

    fn dead(&self) -> bool {
        matches!(self.fault, Fault::CrashAt(at) if self.operations >= at)
    }

    fn rename(&mut self, change: Name) -> io::Result<()> {
        let (what, name) = match &change {
            Name::Put(name, _) => ("create", name),
            Name::Move(from, ..) => ("rename", from),
            Name::Remove(name) => ("remove", name),
        };
        let order = self.operate(what, &name.clone())?;
        change.apply(&mut self.names);
        self.unsynced_names.push(NameChange { order, change });
        Ok(())
    }

    fn file(&self, name: &str) -> io::Result<FileId> {
        if self.dead() {
            return Err(io::Error::other("the simulated machine is dead"));
        }
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn name_of(&self, file: FileId) -> String {
        self.names.iter().find(|(_, known)| **known == file).map(|(name, _)| name.clone()).unwrap_or_default()
    }

    fn sync(&mut self, file: FileId) -> io::Result<()> {
        let result = self.operate("sync", &self.name_of(file));
        let failed = result.is_err() && !self.dead();
        let file = &mut self.files[file];
        if failed {
            // As Linux does: after a failed sync the pages count as clean, and no later sync brings them back.
            file.unsynced.clear();
        } else if result.is_ok() {
            for write in std::mem::take(&mut file.unsynced) {
                put(Arc::make_mut(&mut file.durable), write.offset, &write.bytes);
            }
        }
        result.map(|_| ())
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let file = state.files.len();
        state.rename(Name::Put(name.to_owned(), file))?;
        state.files.push(SimFile::default());
        Ok(Box::new(Handle { disk: self.clone(), file }))
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.state().file(name)?;
        Ok(Box::new(Handle { disk: self.clone(), file }))
    }
    fn open_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.open(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let file = state.file(from)?;
        state.rename(Name::Move(from.to_owned(), to.to_owned(), file))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.file(name)?;
        state.rename(Name::Remove(name.to_owned()))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }
    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operate("sync", "the folder")?;
        let changes = std::mem::take(&mut state.unsynced_names);
        for change in changes {
            change.change.apply(&mut state.durable_names);
        }
        Ok(())
    }
    fn lock(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let lock = self.state().lock.clone();
        if lock.swap(true, Ordering::SeqCst) { Ok(None) } else { Ok(Some(Box::new(Locked(lock)))) }
    }
    fn lock_read(&self) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.lock()
    }
    fn name(&self) -> String {
        "the simulated disk".to_owned()
    }
}

struct Locked(Arc<AtomicBool>);

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

struct Handle {
    disk: SimDisk,
    file: FileId,
}

impl DiskFile for Handle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.state();
        if state.dead() {
            return Err(io::Error::other("the simulated machine is dead"));
        }
        let content = &state.files[self.file].current;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let found = content.get(offset..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let name = state.name_of(self.file);
        let order = state.operate("write", &name)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let length = state.files[self.file].current.len();
        let growth = (offset + buffer.len()).saturating_sub(length) as u64;
        if let Fault::RoomFor(room) = state.fault
            && growth > 0
            && state.grown + growth > room
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.grown += growth;
        let file = &mut state.files[self.file];
        put(Arc::make_mut(&mut file.current), offset, buffer);
        file.unsynced.push(Write { order, offset, bytes: buffer.to_vec() });
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.disk.state().sync(self.file)
    }
    fn sync_all(&self) -> io::Result<()> {
        self.disk.state().sync(self.file)
    }
    fn evict(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.dead() {
            return Err(io::Error::other("the simulated machine is dead"));
        }
        let file = &mut state.files[self.file];
        file.current = file.durable.clone();
        for write in &file.unsynced {
            put(Arc::make_mut(&mut file.current), write.offset, &write.bytes);
        }
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.file].current.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> SimDisk {
        let disk = SimDisk::new();
        let file = disk.create("a").unwrap();
        file.write_at(b"synced", 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_folder().unwrap();
        file.write_at(b"UNSYNC", 0).unwrap();
        disk
    }

    fn content(disk: &SimDisk) -> Vec<u8> {
        disk.files().into_iter().find(|(name, _)| name == "a").unwrap().1
    }

    #[test]
    fn what_was_not_synced_can_be_lost_or_kept() {
        assert_eq!(content(&written().crash(Outcome::Lost, 1)), b"synced");
        assert_eq!(content(&written().crash(Outcome::Kept, 1)), b"UNSYNC");
    }

    #[test]
    fn a_killed_process_leaves_what_it_wrote_readable_and_not_durable() {
        let disk = written();
        disk.plan(Fault::CrashAt(0));
        let next = disk.kill();
        let mut found = [0; 6];
        next.open("a").unwrap().read_at(&mut found, 0).unwrap();
        assert_eq!(&found, b"UNSYNC");
        assert_eq!(content(&next.crash(Outcome::Lost, 1)), b"synced");
        assert!(disk.open("a").is_err(), "the two do not share their faults");
    }

    #[test]
    fn a_name_is_lost_where_the_folder_was_not_synced() {
        let disk = SimDisk::new();
        disk.create("a").unwrap().sync_all().unwrap();
        assert!(disk.crash(Outcome::Lost, 1).files().is_empty());
    }

    #[test]
    fn a_rename_moves_the_file_that_was_renamed() {
        let disk = written();
        // In place of a file that an earlier process left under this name.
        let file = disk.create("a").unwrap();
        file.write_at(b"second", 0).unwrap();
        file.sync_all().unwrap();
        disk.rename("a", "b").unwrap();
        for seed in 0..50 {
            let files = disk.crash(Outcome::Subset, seed).files();
            assert!(files.iter().all(|(name, content)| name == "a" || content == b"second"), "{files:?}");
        }
    }

    #[test]
    fn a_failed_sync_is_never_made_up_for() {
        let disk = written();
        disk.plan(Fault::FailOnce(disk.operations() + 1));
        let file = disk.open("a").unwrap();
        assert!(file.sync_data().is_err());
        disk.plan(Fault::None);
        assert_eq!(content(&disk.crash(Outcome::Kept, 1)), b"synced");
    }

    #[test]
    fn a_dead_machine_stays_dead() {
        let disk = written();
        disk.plan(Fault::CrashAt(disk.operations() + 1));
        assert!(disk.sync_folder().is_err());
        assert_eq!(disk.operation(disk.operations()).as_deref(), Some("sync the folder"));
        assert!(disk.open("a").is_err());
    }

    #[test]
    fn a_full_disk_still_takes_writes_that_do_not_grow_a_file() {
        let disk = written();
        disk.plan(Fault::RoomFor(0));
        let file = disk.open("a").unwrap();
        file.write_at(b"x", 0).unwrap();
        assert_eq!(file.write_at(b"longer than before", 0).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
