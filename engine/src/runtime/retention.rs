//! Forgetting what has ended: trees of runs, by request and by age.
//!
//! Each run of a tree gets a tombstone, children before their parents: a tree that was deleted in part, since the power went,
//! still begins with its root and is found again. The disk is given back when the log is cleaned.

use super::shard::{Owed, Shard};
use crate::error::RunError;
use crate::listing::{self, Merged, Times};
use crate::projection::{RunRow, RunStatus, tables, text_key};
use rejoin_machine::{CONVERSATION, RunId, Span, Timestamp};
use rejoin_store::index::{Key, Listed, Row, prefix};
use rejoin_store::{Failure, NewRecord, StreamId, TOMBSTONE};
use std::collections::BTreeMap;
use std::time::Duration;

/// The pause before the next sweep where there is more to do.
const PAUSE: Span = Span(10_000);
/// The least and the longest pause where there is not.
const LEAST: Span = Span(100_000);
const LONGEST: Span = Span(3_600_000_000);

/// Where the sweeping stands.
pub(super) struct Retention {
    /// How long what has ended is kept, by project.
    keep: BTreeMap<String, Duration>,
    /// How far each project's list has been looked through, in this round.
    reached: BTreeMap<String, Vec<u8>>,
    /// When the next sweep is due.
    pub(super) next: Timestamp,
}

/// A run that is to be deleted, and its row.
struct Doomed {
    run: RunId,
    row: Row,
}

impl Retention {
    pub(super) fn new(keep: BTreeMap<String, Duration>) -> Retention {
        let next = if keep.is_empty() { Timestamp(i64::MAX) } else { Timestamp(i64::MIN) };
        Retention { keep, reached: BTreeMap::new(), next }
    }

    /// A tenth of the shortest time that anything is kept.
    fn pause(&self) -> Span {
        let shortest = self.keep.values().min().copied().unwrap_or_default();
        Span::from(shortest / 10).clamp(LEAST, LONGEST)
    }
}

impl Shard {
    /// Deletes a tree that has ended: the run that it begins with, and everything below.
    pub(super) fn delete(&mut self, root: RunId) -> Result<(), RunError> {
        if self.is_pending(root) {
            // The row that it is buried with must be its own, and rows show durable records only.
            self.log.commit()?;
        }
        let row = self.log.row(StreamId(root.0))?.ok_or(RunError::NotFound(root))?;
        let tree = self.tree(root, row)?;
        self.bury(&tree)?;
        Ok(())
    }

    /// Whether the run has records that are not durable: of this life, or of another under the same id.
    fn is_pending(&self, run: RunId) -> bool {
        self.log.head(StreamId(run.0)).is_some_and(|head| head.lsn > self.log.durable())
    }

    /// All runs of a tree, children before their parents; refused if one of them has not ended.
    fn tree(&self, root: RunId, row: Row) -> Result<Vec<Doomed>, RunError> {
        let alive = |run| RunError::Kept { run: root, reason: format!("run {run} has not ended; cancel it first") };
        let mut tree = vec![Doomed { run: root, row }];
        let mut at = 0;
        while let Some(Doomed { run, row }) = tree.get(at) {
            let run = *run;
            let row = RunRow::decode(row).ok_or_else(|| alive(run))?;
            let has_ended = row.status.is_closed() || row.is_idle();
            if !has_ended || self.is_pending(run) {
                return Err(alive(run));
            }
            if let Some(parent) = row.parent.filter(|_| run == root)
                && self.log.head(StreamId(parent.0)).is_some()
            {
                let reason = format!("it belongs to run {parent}; delete the run that the tree begins with");
                return Err(RunError::Kept { run, reason });
            }
            let mut end = Key::new();
            for Listed { stream, row, .. } in self.log.list(tables::CHILDREN, prefix(&run.0, &mut end), usize::MAX)? {
                // The entry of a run that has ended bears its row; that of a conversation does not.
                let row = row.map_or_else(|| self.log.row(stream), |row| Ok(Some(row)))?;
                let row = row.ok_or_else(|| alive(RunId(stream.0)))?;
                tree.push(Doomed { run: RunId(stream.0), row });
            }
            at += 1;
        }
        tree.reverse();
        Ok(tree)
    }

    /// Writes the tombstones.
    fn bury(&mut self, tree: &[Doomed]) -> Result<(), Failure> {
        let time = self.ports.clock.now().0;
        for part in tree.chunks(self.sizes.tombstones) {
            let tombstone = |doomed: &Doomed| {
                let stream = StreamId(doomed.run.0);
                let expected = self.log.head(stream)?.version;
                Some(NewRecord { stream, expected, time, format: TOMBSTONE, payload: doomed.row.to_vec() })
            };
            let records: Vec<NewRecord> = part.iter().filter_map(tombstone).collect();
            if records.is_empty() {
                continue;
            }
            match self.log.append(&records)? {
                Ok(_) => {
                    for doomed in part {
                        self.recent.forget(doomed.run);
                        if self.runs.contains_key(&doomed.run) {
                            // A conversation that nothing happens in, or a document.
                            drop(self.take_active(doomed.run));
                        }
                    }
                    self.touched.extend(part.iter().map(|doomed| doomed.run));
                }
                // The shard is the only one that appends to its runs.
                Err(conflict) => tracing::error!(%conflict, "somebody else appended to a run of this shard"),
            }
        }
        Ok(())
    }

    /// Deletes what has been kept long enough, some of it at a time.
    pub(super) fn sweep(&mut self) {
        let now = self.ports.clock.now();
        if self.retention.keep.is_empty() || self.failed.is_some() {
            return;
        }
        // A clock that was put back must not put the next sweep off.
        if now < self.retention.next && self.retention.next <= now.after(self.retention.pause()) {
            return;
        }
        let mut more = false;
        for (project, keep) in self.retention.keep.clone() {
            match self.sweep_project(&project, now.before(Span::from(keep))) {
                Ok(unfinished) => more |= unfinished,
                // The log is as it was; an index that cannot be read is told to those who read it.
                Err(failure) => tracing::warn!(%failure, project, "what is old enough cannot be deleted for now"),
            }
        }
        self.retention.next = self.ports.clock.now().after(if more { PAUSE } else { self.retention.pause() });
    }

    /// One sweep of a project; `true` if there is more to look at.
    fn sweep_project(&mut self, project: &str, cutoff: Timestamp) -> Result<bool, Failure> {
        let log = self.log.clone();
        let mut head = Key::new();
        text_key(&mut head, project);
        let closed = || RunStatus::ALL.into_iter().filter(|status| status.is_closed());
        let groups = listing::groups(&*log, &head)?;
        let heads = groups.iter().flat_map(|group| closed().map(|status| listing::with_status(group, status)));
        // A conversation is as old as its last message.
        let conversations = listing::with_status(&listing::group(project, CONVERSATION), RunStatus::Open);
        let heads = heads.chain([conversations]);
        let times = Times { from: None, until: Some(cutoff) };
        let reached = self.retention.reached.remove(project);
        let mut entries =
            Merged::new(&*log, self.sizes.listed, tables::LIST, heads.collect(), times, reached.as_deref())?;
        let (mut looked, mut deleted) = (0, 0);
        while let Some((place, Listed { stream, row, .. })) = entries.next()? {
            let row = row.map_or_else(|| log.row(stream), |row| Ok(Some(row)))?;
            let is_root = |row: &Row| RunRow::decode(row).is_some_and(|row| self.is_root(&row));
            let root = row.filter(|row| is_root(row) && !self.is_pending(RunId(stream.0)));
            if let Some(row) = root {
                match self.tree(RunId(stream.0), row) {
                    Ok(tree) => {
                        self.bury(&tree)?;
                        deleted += tree.len();
                    }
                    Err(RunError::Store(failure @ Failure::Damaged(_))) => {
                        tracing::warn!(%failure, "a tree that is old enough cannot be read");
                    }
                    Err(RunError::Store(failure)) => return Err(failure),
                    // Something below is alive: it is looked at again in the next round.
                    Err(_) => {}
                }
            }
            looked += 1;
            if looked == self.sizes.swept || deleted >= self.sizes.deleted {
                self.retention.reached.insert(project.to_owned(), place.to_vec());
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a tree begins with the run: it has no parent, or none that is left.
    fn is_root(&self, row: &RunRow) -> bool {
        row.parent.is_none_or(|parent| self.log.head(StreamId(parent.0)).is_none())
    }

    /// Answers a request to delete once it is durable.
    pub(super) fn delete_for(&mut self, run: RunId, reply: super::inbox::Reply<(), RunError>) {
        let done = match self.check_store() {
            Ok(()) => self.delete(run),
            Err(failure) => Err(RunError::Store(failure)),
        };
        self.owed.push(Owed::Done(reply, done));
    }
}
