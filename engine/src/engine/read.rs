//! Reading: lists, descriptions, histories and feeds. All of it shows durable events only.

use super::Engine;
use crate::error::RunError;
use crate::history::Entry;
use crate::listing::{self, Merged, PLACE, Times};
use crate::projection::{RunRow, RunStatus, label_key, tables, text_key};
use crate::replay;
use crate::why::{Other, Stand, Why, why};
use rejoin_machine::{Op, Run, RunId, Timestamp};
use rejoin_store::index::{Key, Listed, Table};
use rejoin_store::{Chain, Lsn, Shard, StreamId, TOMBSTONE, Version};
use std::collections::{BTreeMap, VecDeque};

/// Which runs to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those in this status.
    pub status: Option<RunStatus>,
    /// Those of this workflow.
    pub workflow: Option<String>,
    /// The children of this run.
    pub parent: Option<RunId>,
    /// Those with this label: name and value.
    pub label: Option<(String, String)>,
    /// Those not before this time. The time of a run is when it ended, or, while it has not, when it was triggered.
    pub from: Option<Timestamp>,
    /// Those before this time.
    pub until: Option<Timestamp>,
}

/// A page of runs, newest first: by when they ended, or, while they have not, by when they were triggered.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The runs.
    pub runs: Vec<RunInfo>,
    /// Where the next page begins; `None` if this is the last one.
    pub next: Option<Vec<u8>>,
}

/// A run, as lists and descriptions show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInfo {
    /// Its id.
    pub id: RunId,
    /// What lists show.
    pub row: RunRow,
    /// What it waits for; only in descriptions.
    pub waits: Vec<Wait>,
}

/// What a run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A step.
    Step {
        /// Its name.
        name: String,
        /// Which attempt is under way or comes next.
        attempt: u32,
        /// When that begins, or began.
        at: Timestamp,
        /// Why the attempt before failed.
        last_failure: Option<String>,
    },
    /// A child.
    Child {
        /// The child.
        run: RunId,
        /// How long.
        until: Option<Timestamp>,
    },
    /// A point in time.
    Timer {
        /// When.
        at: Timestamp,
    },
    /// A signal.
    Signal {
        /// Its name.
        name: String,
        /// How long.
        until: Option<Timestamp>,
    },
    /// A person who has taken over the conversation.
    Handoff {
        /// Since when they were asked for.
        since: Timestamp,
    },
    /// An answer of people.
    Approval {
        /// What they are asked.
        question: String,
        /// How long.
        until: Option<Timestamp>,
    },
}

impl Engine {
    /// Lists runs of the engine's project, at most `limit`, from where an earlier page ended.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`] if the index cannot be read.
    pub fn list(&self, filter: &Filter, from: Option<&[u8]>, limit: usize) -> Result<Page, RunError> {
        let log = &*self.shared.log;
        let (table, heads) = self.listing(filter)?;
        let times = Times { from: filter.from, until: filter.until };
        let from = from.filter(|from| from.len() == PLACE);
        let mut entries = Merged::new(log, self.shared.sizes.listed, table, heads, times, from)?;
        let mut page = Page::default();
        let mut last = None;
        while let Some((place, Listed { stream, row, .. })) = entries.next()? {
            let row = match row {
                Some(row) => Some(row),
                None => log.row(stream)?,
            };
            let row = row.and_then(|row| RunRow::decode(&row));
            let wanted = |row: &RunRow| {
                let is_run = filter.workflow.is_some() || !row.workflow.starts_with('$');
                is_run && row.project == self.shared.project && matches(filter, row)
            };
            let Some(row) = row.filter(wanted) else {
                continue;
            };
            if page.runs.len() == limit {
                page.next = last;
                break;
            }
            page.runs.push(RunInfo { id: RunId(stream.0), row, waits: Vec::new() });
            last = Some(place.to_vec());
        }
        Ok(page)
    }

    /// The narrowest table for a filter, and the heads of its entries.
    fn listing(&self, filter: &Filter) -> Result<(Table, Vec<Key>), RunError> {
        let project = &self.shared.project;
        if let Some(parent) = filter.parent {
            return Ok((tables::CHILDREN, vec![parent.0.to_vec()]));
        }
        if let Some((name, value)) = &filter.label {
            return Ok((tables::LABEL, vec![label_key(project, name, value)]));
        }
        let groups = match &filter.workflow {
            Some(workflow) => vec![listing::group(project, workflow)],
            None => {
                let mut head = Key::new();
                text_key(&mut head, project);
                let mut groups = listing::groups(&*self.shared.log, &head)?;
                // Conversations and documents are no runs.
                groups.retain(|group| listing::group_names(group).is_some_and(|(_, name)| !name.starts_with('$')));
                groups
            }
        };
        let statuses = filter.status.map_or(RunStatus::ALL.to_vec(), |status| vec![status]);
        let of_group =
            |group: &Key| statuses.iter().map(|status| listing::with_status(group, *status)).collect::<Vec<_>>();
        Ok((tables::LIST, groups.iter().flat_map(of_group).collect()))
    }

    /// How a run stands and what it waits for.
    ///
    /// # Errors
    ///
    /// [`RunError::NotFound`], or [`RunError::History`] if its history cannot be used.
    pub fn describe(&self, run: RunId) -> Result<RunInfo, RunError> {
        let row = self.row(run)?.ok_or(RunError::NotFound(run))?;
        let waits = self.fold(run, &row)?.operations().filter_map(|(_, op)| wait_of(op)).collect();
        Ok(RunInfo { id: run, row, waits })
    }

    /// A run as its history makes it.
    pub(super) fn state(&self, run: RunId) -> Result<Run, RunError> {
        let row = self.row(run)?.ok_or(RunError::NotFound(run))?;
        self.fold(run, &row)
    }

    fn fold(&self, run: RunId, row: &RunRow) -> Result<Run, RunError> {
        let history = self.read(run, Version(row.base), usize::MAX)?;
        let unusable = |error| RunError::History { run, reason: format!("{error:?}") };
        let activation = replay::state(run, &history).map_err(unusable)?;
        Ok(activation.take_run())
    }

    /// Why a run does not move: what it waits for, since when, and who or what can still bring it.
    ///
    /// # Errors
    ///
    /// As [`Engine::describe`].
    pub fn why(&self, run: RunId) -> Result<Why, RunError> {
        let row = self.row(run)?.ok_or(RunError::NotFound(run))?;
        let mut stand = None;
        for entry in self.read(run, Version(row.base), usize::MAX)? {
            stand = Stand::after(stand, run, &entry).map_err(|(index, error)| {
                let reason = format!("event {}.{index}: {error}", entry.version);
                RunError::History { run, reason }
            })?;
        }
        let stand = stand.ok_or_else(|| RunError::History { run, reason: "it has no beginning".to_owned() })?;
        // Asked before the answer is made, so that what cannot be read is an error and not a missing run.
        let mut others = BTreeMap::new();
        for child in stand.run().children() {
            let stands = self.row(child)?.map_or(Other::Missing, |row| match row.status {
                ended if ended.is_closed() => Other::Ended(ended.name()),
                alive => Other::Alive(alive.name()),
            });
            others.insert(child, stands);
        }
        let now = self.shared.ports.clock.now();
        Ok(why(&stand, now, |child| others.get(&child).copied().unwrap_or(Other::Missing)))
    }

    pub(super) fn row(&self, run: RunId) -> Result<Option<RunRow>, RunError> {
        Ok(self.shared.log.row(StreamId(run.0))?.and_then(|row| RunRow::decode(&row)))
    }

    /// Everything that has happened to a run.
    ///
    /// # Errors
    ///
    /// [`RunError::NotFound`], or [`RunError::History`] if a record is of a format that this version does not know.
    pub fn history(&self, run: RunId) -> Result<Vec<Entry>, RunError> {
        let history = self.read(run, Version(1), usize::MAX)?;
        if history.is_empty() { Err(RunError::NotFound(run)) } else { Ok(history) }
    }

    /// Follows a run: its history, then each event as it becomes durable, to its end.
    pub fn follow(&self, run: RunId) -> Follow {
        self.follow_from(run, 1)
    }

    /// Follows a run from one of its records on.
    pub(super) fn follow_from(&self, run: RunId, version: u64) -> Follow {
        let of = Of::Run { run, next: Version(version), last: None, ended: false };
        Follow { engine: self.clone(), of, ready: VecDeque::new() }
    }

    /// Where the log ends now: pass it to [`Engine::follow_all`] to see only what comes after.
    pub fn cursor(&self) -> u64 {
        self.shared.log.durable().0
    }

    /// Follows all runs, in commit order, from behind `after`: 0 is the beginning, [`Engine::cursor`] the present end,
    /// [`Follow::cursor`] where an earlier reader ended.
    pub fn follow_all(&self, after: u64) -> Follow {
        let after = Lsn(after);
        Follow { engine: self.clone(), of: Of::All { after, shown: after }, ready: VecDeque::new() }
    }

    pub(super) fn read(&self, run: RunId, from: Version, limit: usize) -> Result<Vec<Entry>, RunError> {
        let records = self.shared.log.read(StreamId(run.0), from, limit)?;
        let decode =
            |record| Entry::decode(record).map_err(|error| RunError::History { run, reason: error.to_string() });
        records.iter().map(decode).collect()
    }
}

fn matches(filter: &Filter, row: &RunRow) -> bool {
    filter.status.is_none_or(|status| row.status == status)
        && filter.workflow.as_ref().is_none_or(|workflow| row.workflow == *workflow)
        && filter.parent.is_none_or(|parent| row.parent == Some(parent))
        && filter.label.as_ref().is_none_or(|label| row.labels.contains(label))
}

fn wait_of(op: &Op) -> Option<Wait> {
    Some(match op {
        Op::Step(step) => Wait::Step {
            name: step.name.clone(),
            attempt: step.attempt,
            at: step.at,
            last_failure: step.last_failure.as_ref().map(|failure| failure.message.clone()),
        },
        Op::Call { child, deadline, .. } => Wait::Child { run: *child, until: *deadline },
        Op::Timer { at } => Wait::Timer { at: *at },
        Op::Signal { name, deadline } => Wait::Signal { name: name.clone(), until: *deadline },
        Op::Handoff { since, .. } => Wait::Handoff { since: *since },
        Op::Approval(pending) => {
            Wait::Approval { question: pending.approval.question.clone(), until: pending.approval.expires_at }
        }
        // It is answered in the transition that asks for it.
        Op::Recalled => return None,
    })
}

/// A reader that sleeps until there is more to read. It neither skips nor repeats.
pub struct Follow {
    engine: Engine,
    of: Of,
    /// What was read and not shown yet, each with its place in the log.
    ready: VecDeque<(Lsn, RunId, Entry)>,
}

enum Of {
    /// The record to be read next, and the chain of the one before.
    Run { run: RunId, next: Version, last: Option<Chain>, ended: bool },
    /// How far it was read, and how far shown.
    All { after: Lsn, shown: Lsn },
}

impl Follow {
    /// The next record and the run that it belongs to; `None` when the run has ended, or the engine stopped.
    ///
    /// # Errors
    ///
    /// [`RunError`], if the log cannot be read.
    pub async fn next(&mut self) -> Result<Option<(RunId, Entry)>, RunError> {
        loop {
            if let Some(next) = self.show() {
                return Ok(Some(next));
            }
            let run = match &self.of {
                Of::Run { ended: true, .. } => return Ok(None),
                Of::Run { run, .. } => Some(*run),
                Of::All { .. } => None,
            };
            let more = self.engine.shared.watchers.next(run);
            self.read()?;
            let over = matches!(self.of, Of::Run { ended: true, .. });
            if self.ready.is_empty() && !over && more.await.is_err() {
                // The engine stopped; what came before that is still to be had.
                self.read()?;
                return Ok(self.show());
            }
        }
    }

    /// Behind the record that was shown last: pass it to [`Engine::follow_all`] to go on there.
    pub fn cursor(&self) -> u64 {
        match &self.of {
            Of::Run { next, .. } => next.0,
            Of::All { shown, .. } => shown.0,
        }
    }

    fn show(&mut self) -> Option<(RunId, Entry)> {
        let (lsn, run, entry) = self.ready.pop_front()?;
        if let Of::All { after, shown } = &mut self.of {
            *shown = if self.ready.is_empty() { *after } else { lsn };
        }
        Some((run, entry))
    }

    fn read(&mut self) -> Result<(), RunError> {
        let page = self.engine.shared.sizes.page;
        match &mut self.of {
            Of::Run { run, next, last, ended } => {
                let log = &self.engine.shared.log;
                // The last one that was read comes again: in another life of the run it is another one, and this one is gone.
                let records = log.read(StreamId(run.0), Version(next.0.saturating_sub(1)), page)?;
                let mut records = records.iter();
                let before = records.as_slice().first().filter(|_| next.0 > 1 && records.next().is_some());
                // Whoever begins in the middle knows nothing of what came before.
                if next.0 > 1 && before.map(|record| record.chain) != last.or(before.map(|record| record.chain)) {
                    *ended = true;
                    return Ok(());
                }
                for record in records {
                    let entry = Entry::decode(record)
                        .map_err(|error| RunError::History { run: *run, reason: error.to_string() })?;
                    (*next, *last) = (Version(entry.version + 1), Some(record.chain));
                    *ended = entry.transition.events.iter().any(|event| event.is_terminal());
                    self.ready.push_back((record.lsn, *run, entry));
                }
            }
            Of::All { after, shown } => {
                let log = &self.engine.shared.log;
                for shard in 0..log.shards() {
                    // A page may hold nothing but tombstones: what comes behind it is there already.
                    loop {
                        let feed = log.follow(Shard(shard), *after, page)?;
                        for record in feed.records.iter().filter(|record| record.format != TOMBSTONE) {
                            let run = RunId(record.stream.0);
                            let entry = Entry::decode(record)
                                .map_err(|error| RunError::History { run, reason: error.to_string() })?;
                            self.ready.push_back((record.lsn, run, entry));
                        }
                        let before = std::mem::replace(after, feed.cursor);
                        if !self.ready.is_empty() || before == feed.cursor {
                            break;
                        }
                    }
                }
                if self.ready.is_empty() {
                    *shown = *after;
                }
            }
        }
        Ok(())
    }
}
