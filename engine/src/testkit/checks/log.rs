//! S1, S2, S3, S4, S6, S10: what the log must hold, worked out from what was handed to it.

use super::{Histories, Report, conversations};
use crate::codec;
use crate::history::Entry;
use crate::testkit::trace::{Seen, Written};
use rejoin_machine::{Event, RunId, Timestamp, Transition};
use rejoin_store::{GENESIS, StreamId, TOMBSTONE, Version, link};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the log must hold: everything that was acknowledged, and what recovery has found besides.
#[derive(Default)]
pub struct Model {
    live: BTreeMap<RunId, Vec<Known>>,
    /// Runs that were deleted, as they were.
    deleted: Vec<Deleted>,
    /// Batches that are not durable yet, oldest first.
    pending: VecDeque<Vec<Written>>,
    /// How many records each run has with those that are pending.
    heads: BTreeMap<RunId, u64>,
    last: u64,
    failed: bool,
    /// How many commits there were, and behind which each run came to be.
    commits: u64,
    born: BTreeMap<RunId, u64>,
}

/// A run that was deleted, and the run that its tree began with.
struct Deleted {
    run: RunId,
    root: RunId,
    known: Vec<Known>,
}

/// A record that is durable, and what it says.
#[derive(Clone)]
struct Known {
    written: Written,
    entry: Entry,
}

impl Known {
    fn new(written: Written) -> Known {
        // What cannot be read is not the log's fault; the history that lacks it is illegal.
        let transition = codec::decode(written.format, &written.payload).unwrap_or_else(|_| Transition::default());
        let entry = Entry { version: written.version, time: Timestamp(written.time), transition };
        Known { written, entry }
    }
}

impl Model {
    /// The durable histories of all runs that exist, or whose trees do; then those of each tree that was deleted.
    pub fn histories(&self) -> Vec<Histories> {
        let entries = |known: &[Known]| -> Vec<Entry> { known.iter().map(|known| known.entry.clone()).collect() };
        let mut all = vec![self.live.iter().map(|(run, known)| (*run, entries(known))).collect()];
        let mut trees: BTreeMap<RunId, Histories> = BTreeMap::new();
        for Deleted { run, root, known } in &self.deleted {
            trees.entry(*root).or_default().insert(*run, entries(known));
            // The root goes last: what comes after it is another life.
            if run == root {
                all.extend(trees.remove(root));
            }
        }
        // A deletion that a full disk has interrupted: the rest of the tree is judged with what is gone.
        for (run, history) in trees.into_values().flatten() {
            all[0].entry(run).or_insert(history);
        }
        all
    }

    /// Runs that exist.
    pub(super) fn runs(&self) -> impl Iterator<Item = RunId> + '_ {
        self.live.keys().copied()
    }

    /// The durable history of a run that exists.
    pub(super) fn history(&self, run: RunId) -> Option<impl Iterator<Item = &Entry>> {
        Some(self.live.get(&run)?.iter().map(|known| &known.entry))
    }

    /// Whether the run has been there for a while: a request that came a moment earlier may not have met it.
    pub(super) fn is_settled(&self, run: RunId) -> bool {
        self.live.contains_key(&run) && self.born.get(&run).is_none_or(|born| born + 3 <= self.commits)
    }

    /// How often the run was deleted.
    pub(super) fn deletions(&self, run: RunId) -> usize {
        self.deleted.iter().filter(|deleted| deleted.run == run).count()
    }

    /// Runs that exist and were called by this one, before it was to end. What it calls then is compensation.
    pub(super) fn children(&self, parent: RunId) -> impl Iterator<Item = RunId> + '_ {
        let asks = |known: &&Known| {
            known.entry.transition.events.iter().any(|event| matches!(event, Event::CancelRequested { .. }))
        };
        let asked = self.live.get(&parent).and_then(|known| known.iter().find(asks));
        let before = asked.map_or(u64::MAX, |known| known.written.lsn);
        let called = move |known: &[Known]| match known.first()?.entry.transition.events.first()? {
            Event::Triggered(trigger) => trigger.parent,
            _ => None,
        };
        let of_parent = move |known: &[Known]| {
            called(known).is_some_and(|caller| caller.run == parent) && known[0].written.lsn < before
        };
        self.live.iter().filter(move |(_, known)| of_parent(known)).map(|(run, _)| *run)
    }

    /// Whether the run was deleted, now or earlier.
    pub(super) fn was_deleted(&self, run: RunId) -> bool {
        self.deletions(run) > 0
    }

    pub(super) fn take(&mut self, seen: &Seen, report: &mut Report<'_>) {
        match seen {
            Seen::Began { found, .. } => self.open(found, report),
            Seen::Refused { reason, provoked: false } => {
                report.say("S7", format_args!("the log cannot be opened: {reason}"))
            }
            Seen::Appended(batch) => self.append(batch, report),
            Seen::Durable(upto) => self.commit(*upto, report),
            Seen::CommitFailed => self.failed = true,
            Seen::Read { run, version } => {
                let there = self.live.get(run).is_some_and(|known| known.len() as u64 >= *version);
                if !there && !self.was_deleted(*run) {
                    report.say("S9", format_args!("record {version} of run {run} was shown before it was durable"));
                }
            }
            Seen::Refused { .. } | Seen::Dispatched { .. } | Seen::Returned { .. } | Seen::Told(_) => {}
            Seen::Listed { .. } | Seen::Rested { .. } | Seen::Died(_) => {}
        }
    }

    fn append(&mut self, batch: &[Written], report: &mut Report<'_>) {
        for record in batch {
            let head = self.heads.entry(record.run).or_default();
            if record.version != *head + 1 {
                report.say(
                    "S4",
                    format_args!("record {} of run {} was taken after record {head}", record.version, record.run),
                );
            }
            *head = if record.format == TOMBSTONE { 0 } else { record.version };
            if record.lsn <= self.last {
                report.say("S3", format_args!("place {} was given after {}", record.lsn, self.last));
            }
            self.last = record.lsn;
        }
        self.pending.push_back(batch.to_vec());
    }

    fn commit(&mut self, upto: u64, report: &mut Report<'_>) {
        if self.failed {
            report.say("S10", "a commit was acknowledged after one had failed");
        }
        self.commits += 1;
        while let Some(batch) = self.pending.pop_front() {
            let (first, last) =
                (batch.first().map_or(0, |record| record.lsn), batch.last().map_or(0, |record| record.lsn));
            if last > upto {
                if first <= upto {
                    report.say("S2", format_args!("half of the batch {first} to {last} became durable"));
                }
                self.pending.push_front(batch);
                return;
            }
            batch.into_iter().for_each(|record| self.keep(record, report));
        }
    }

    /// The run that the tree of a run begins with. Children are deleted before their parents.
    fn root(&self, run: RunId) -> RunId {
        let mut root = run;
        while let Some(Event::Triggered(trigger)) =
            self.live.get(&root).and_then(|known| known.first()?.entry.transition.events.first())
            && let Some(parent) = trigger.parent
        {
            root = parent.run;
        }
        root
    }

    fn keep(&mut self, record: Written, report: &mut Report<'_>) {
        if record.format == TOMBSTONE {
            let ended = |known: &Known| known.entry.transition.events.iter().any(Event::is_terminal);
            let goes_on = |known: &Vec<Known>| {
                !known.iter().any(ended) && !conversations::is_idle(known.iter().map(|known| &known.entry))
            };
            if self.live.get(&record.run).is_some_and(goes_on) {
                report.say("E2", format_args!("run {} was deleted before it had ended", record.run));
            }
            let root = self.root(record.run);
            if let Some(known) = self.live.remove(&record.run) {
                self.deleted.push(Deleted { run: record.run, root, known });
            }
        } else {
            if record.version == 1 {
                self.born.insert(record.run, self.commits);
            }
            self.live.entry(record.run).or_default().push(Known::new(record));
        }
    }

    /// A process opened the log: it must hold what it held, and of the rest whole batches, the first ones first.
    fn open(&mut self, found: &[Written], report: &mut Report<'_>) {
        let there: BTreeSet<(RunId, u64, u64)> =
            found.iter().map(|record| (record.run, record.version, record.lsn)).collect();
        let mut missing = false;
        for batch in std::mem::take(&mut self.pending) {
            let kept = batch.iter().filter(|record| there.contains(&(record.run, record.version, record.lsn))).count();
            let first = batch.first().map_or(0, |record| record.lsn);
            // Records of runs whose tombstone came through as well may have been cleaned away since.
            if kept != 0 && kept != batch.len() && !batch.iter().any(|record| record.format == TOMBSTONE) {
                report.say(
                    "S2",
                    format_args!("{kept} of {} records of the batch at {first} came through a crash", batch.len()),
                );
            }
            if kept > 0 && missing {
                report.say("S2", format_args!("the batch at {first} came through a crash, and one before it did not"));
            }
            missing |= kept == 0;
            if kept > 0 {
                batch.into_iter().for_each(|record| self.keep(record, report));
            }
        }
        let streams = streams(found, report);
        for (run, known) in &self.live {
            compare(*run, known, streams.get(run).map_or(&[][..], Vec::as_slice), report);
        }
        for (run, records) in &streams {
            match self.live.get(run) {
                None if self.was_deleted(*run) => {
                    report.say("S1", format_args!("run {run} was deleted and is there again"))
                }
                None => report.say("S2", format_args!("run {run} was never written")),
                Some(known) if records.len() > known.len() => {
                    report.say(
                        "S2",
                        format_args!("run {run} has {} records that were never written", records.len() - known.len()),
                    );
                }
                Some(_) => {}
            }
        }
        self.heads = self.live.iter().map(|(run, known)| (*run, known.len() as u64)).collect();
        self.last = found.last().map_or(0, |record| record.lsn);
        self.failed = false;
    }
}

/// What is known of a run against what was found of it.
fn compare(run: RunId, known: &[Known], found: &[&Written], report: &mut Report<'_>) {
    if found.len() < known.len() {
        report.say(
            "S1",
            format_args!("run {run} had {} records that were acknowledged, and has {}", known.len(), found.len()),
        );
    }
    if let Some((known, _)) = known.iter().zip(found).find(|(known, found)| !known.written.is(found)) {
        report.say("S6", format_args!("record {} of run {run} is another one than before", known.written.version));
    }
}

/// Records by run; those of runs that end in a tombstone are gone. Their order, and their chains from the first to the last.
fn streams<'a>(found: &'a [Written], report: &mut Report<'_>) -> BTreeMap<RunId, Vec<&'a Written>> {
    let mut streams: BTreeMap<RunId, Vec<&Written>> = BTreeMap::new();
    let mut last = 0;
    for record in found {
        if record.lsn <= last {
            report.say("S3", format_args!("place {} comes after {last}", record.lsn));
        }
        last = record.lsn;
        if record.format == TOMBSTONE {
            streams.remove(&record.run);
        } else {
            streams.entry(record.run).or_default().push(record);
        }
    }
    for (run, records) in &streams {
        let mut chain = GENESIS;
        for (place, record) in (1..).zip(records) {
            if record.version != place {
                report.say("S3", format_args!("record {} of run {run} stands at place {place}", record.version));
            }
            let (stream, version) = (StreamId(run.0), Version(record.version));
            chain = link(&chain, stream, version, record.time, record.format, &record.payload);
            if record.chain != Some(chain) {
                report.say("S6", format_args!("record {} of run {run} breaks its hash chain", record.version));
                break;
            }
        }
    }
    streams
}
