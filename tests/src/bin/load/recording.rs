//! What the engine writes under W1: its records, and how it shared them out over commits.

use crate::arguments::One;
use crate::client::{Load, drain, drive};
use crate::error::Result;
use crate::index::{Index, with_index};
use crate::meter::is_segment;
use crate::workflows::{SEQUENCE, STEPS, register};
use rejoin::Engine;
use rejoin_store::disk::Folder;
use rejoin_store::journal::{Journal, Options};
use rejoin_store::{Log, Lsn, NewRecord, Record, Shard, StreamId, Version};
use rejoin_tests::hooked::{Happening, Hooked};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Records and commits, in the order of the log.
pub struct Recording {
    /// Each with the number of its stream.
    pub records: Vec<(NewRecord, usize)>,
    /// How many streams there are.
    pub streams: usize,
    /// What each commit held.
    pub commits: Vec<Commit>,
}

/// One commit.
pub struct Commit {
    /// Its records.
    pub records: Range<usize>,
    /// What it wrote.
    pub bytes: usize,
}

impl Recording {
    /// Runs W1 in a new folder, and reads back what it wrote.
    pub async fn make(folder: &Path, index: Index, one: &One) -> Result<Recording> {
        let sizes = Arc::new(Mutex::new(Sizes::default()));
        let watch = sizes.clone();
        let builder = with_index(register(Engine::open(folder)), index).wrap_disk(move |folder| {
            Hooked::new(folder, move |file, happening| {
                if is_segment(file) {
                    watch.lock().unwrap_or_else(PoisonError::into_inner).note(happening);
                }
                Ok(())
            })
        });
        let engine = builder.start().await?;
        let load = Load { workflow: &SEQUENCE, input: std::convert::identity, adds: (0..STEPS).sum(), steps: STEPS };
        drive(&engine, load, one.runs, one.in_flight).await?;
        drain(&engine)?;
        engine.shutdown().await;
        drop(engine);
        let sizes = std::mem::take(&mut sizes.lock().unwrap_or_else(PoisonError::into_inner).commits);
        Ok(Recording::of(read_back(folder)?, &sizes))
    }

    fn of(records: Vec<Record>, sizes: &[usize]) -> Recording {
        let commits = share_out(&records.iter().map(weight).collect::<Vec<_>>(), sizes);
        let mut streams: HashMap<StreamId, usize> = HashMap::new();
        let mut numbered = Vec::with_capacity(records.len());
        for Record { stream, version, time, format, payload, .. } in records {
            let next = streams.len();
            let number = *streams.entry(stream).or_insert(next);
            let expected = Version(version.0 - 1);
            numbered.push((NewRecord { stream, expected, time, format, payload }, number));
        }
        Recording { records: numbered, streams: streams.len(), commits }
    }

    /// What all commits wrote.
    pub fn bytes(&self) -> u64 {
        self.commits.iter().map(|commit| commit.bytes as u64).sum()
    }
}

/// The sizes of commits: what was written to a segment before a sync of its data.
#[derive(Default)]
struct Sizes {
    commits: Vec<usize>,
    pending: usize,
}

impl Sizes {
    fn note(&mut self, happening: Happening) {
        match happening {
            Happening::Write(bytes) => self.pending += bytes,
            Happening::SyncData => self.commits.push(std::mem::take(&mut self.pending)),
            // The header or the end of a segment.
            Happening::SyncAll => self.pending = 0,
        }
    }
}

/// About what a record takes in a segment; only its part of the whole matters.
fn weight(record: &Record) -> u64 {
    const HEADERS: u64 = 128;
    HEADERS + record.payload.len() as u64
}

/// Gives each commit its part of the records. Which record went to which commit the disk does not say, but their sizes do,
/// as parts of the whole; this way it does not matter how the log frames them. Commits of no record are seals.
fn share_out(weights: &[u64], sizes: &[usize]) -> Vec<Commit> {
    let all: u64 = weights.iter().sum();
    let written: usize = sizes.iter().sum();
    let (mut commits, mut first, mut weighed, mut passed) = (Vec::new(), 0, 0, 0);
    for bytes in sizes {
        passed += bytes;
        let until = u128::from(all) * passed as u128 / (written.max(1)) as u128;
        let mut end = first;
        while let Some(weight) = weights.get(end)
            && u128::from(weighed + weight / 2) < until
        {
            weighed += weight;
            end += 1;
        }
        if end > first {
            commits.push(Commit { records: first..end, bytes: *bytes });
            first = end;
        }
    }
    commits
}

fn read_back(folder: &Path) -> Result<Vec<Record>> {
    const PAGE: usize = 4096;
    let journal = Journal::open(Folder::existing(folder)?, Options::default())?;
    let mut records = Vec::new();
    for shard in 0..journal.shards() {
        let mut after = Lsn(0);
        loop {
            let feed = journal.follow(Shard(shard), after, PAGE)?;
            if feed.records.is_empty() {
                break;
            }
            records.extend(feed.records);
            after = feed.cursor;
        }
    }
    records.sort_by_key(|record| record.lsn);
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(weights: &[u64], sizes: &[usize]) -> Vec<usize> {
        let commits = share_out(weights, sizes);
        let ends: Vec<usize> = commits.iter().map(|commit| commit.records.end).collect();
        let firsts: Vec<usize> = commits.iter().map(|commit| commit.records.start).collect();
        assert_eq!(firsts[1..], ends[..ends.len() - 1]);
        assert_eq!(ends.last(), Some(&weights.len()));
        commits.iter().map(|commit| commit.records.len()).collect()
    }

    #[test]
    fn commits_get_their_parts_whatever_the_log_adds() {
        assert_eq!(shares(&[100; 10], &[300, 100, 600]), [3, 1, 6]);
        // As much again for frames, and a seal.
        assert_eq!(shares(&[100; 10], &[640, 210, 1_240, 40]), [3, 1, 6]);
        assert_eq!(shares(&[10, 10, 300, 10], &[20, 310]), [2, 2]);
    }
}
