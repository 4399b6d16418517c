//! What a list of runs shows: one row per run, folded from its records, and the keys that list it.

use crate::codec::CodecError;
use crate::history::Entry;
use crate::{codec, listing};
use rejoin_machine::brief::{Brief, Given, Kind};
use rejoin_machine::conversation::Change;
use rejoin_machine::{Event, RunId, Timestamp};
use rejoin_store::index::{Fold, Key, Row, Table};
use rejoin_store::{Record, StreamId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a run stands, as lists show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunStatus {
    /// Triggered, its handler not called yet.
    Created,
    /// A step is pending.
    Running,
    /// It waits for something other than a step.
    Suspended,
    /// It is being cancelled.
    Cancelling,
    /// Handler and history do not agree.
    Wedged,
    /// Ended with a value.
    Completed,
    /// Ended with a failure.
    Failed,
    /// Ended by its deadline.
    TimedOut,
    /// Ended by a cancellation.
    Cancelled,
    /// Triggered, and waiting in a queue for a worker or for its turn.
    Queued,
    /// Somebody made it stand still.
    Paused,
    /// It is no run, but a conversation that goes on, or a document.
    Open,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [RunStatus; 12] = [
        RunStatus::Created,
        RunStatus::Queued,
        RunStatus::Paused,
        RunStatus::Open,
        RunStatus::Running,
        RunStatus::Suspended,
        RunStatus::Cancelling,
        RunStatus::Wedged,
        RunStatus::Completed,
        RunStatus::Failed,
        RunStatus::TimedOut,
        RunStatus::Cancelled,
    ];

    /// Whether the run has ended.
    pub fn is_closed(self) -> bool {
        matches!(self, RunStatus::Completed | RunStatus::Failed | RunStatus::TimedOut | RunStatus::Cancelled)
    }

    /// Whether something must be done for the run when a process takes it over. Others only wait.
    pub(crate) fn is_active(self) -> bool {
        !self.is_closed()
            && !matches!(self, RunStatus::Suspended | RunStatus::Queued | RunStatus::Paused | RunStatus::Open)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            RunStatus::Created => "created",
            RunStatus::Running => "running",
            RunStatus::Suspended => "suspended",
            RunStatus::Cancelling => "cancelling",
            RunStatus::Wedged => "wedged",
            RunStatus::Completed => "completed",
            RunStatus::Failed => "failed",
            RunStatus::TimedOut => "timed-out",
            RunStatus::Cancelled => "cancelled",
            RunStatus::Queued => "queued",
            RunStatus::Paused => "paused",
            RunStatus::Open => "open",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A run as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRow {
    // These two change with every record; no key depends on them, so they stand first. See `Projection::same_keys`.
    /// When its last event happened.
    pub updated_at: Timestamp,
    /// How many records it has.
    pub records: u64,
    /// Its status.
    pub status: RunStatus,
    /// The project that it belongs to.
    pub project: String,
    /// The workflow's name.
    pub workflow: String,
    /// The workflow's version.
    pub version: u32,
    /// The run that triggered it.
    pub parent: Option<RunId>,
    /// How many triggers stand above it.
    pub depth: u32,
    /// The idempotency key that it was triggered with.
    pub key: Option<String>,
    /// Names and values to find it by.
    pub labels: Vec<(String, String)>,
    /// When it was triggered.
    pub triggered_at: Timestamp,
    /// When something will be due.
    pub due: Option<Timestamp>,
    /// How often it has continued as new.
    pub incarnation: u32,
    /// The record that its present incarnation begins in.
    pub base: u64,
    /// A digest of its first input.
    pub input_digest: u64,
    /// Why it failed, or is wedged.
    pub trouble: Option<String>,
    /// Its status but for being wedged: what it goes on with once it is no more.
    pub progress: RunStatus,
    /// The queue that it begins in.
    pub queue: Option<String>,
    /// The place of its trigger in the log.
    pub place: u64,
    /// Whether somebody made it stand still.
    pub paused: bool,
    /// The operations by which it asks people.
    pub asks: Vec<u32>,
    /// What it is as a conversation, if it is one.
    pub talk: Option<TalkRow>,
    /// Whether it is a turn of a conversation that has not been admitted.
    pub awaits_turn: bool,
    /// Whether it was handed over to a person, for good.
    pub handed_off: bool,
}

/// A conversation as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TalkRow {
    /// The agent that answers.
    pub agent: String,
    /// The person whom it is with.
    pub user: Option<String>,
    /// Whether it is the thread of a task.
    pub task: bool,
    /// How many messages it has.
    pub messages: u64,
    /// When the last of them came.
    pub active_at: Timestamp,
    /// How many turns have not ended.
    pub turns: u32,
    /// Since when a person is asked to take over.
    pub review: Option<Timestamp>,
    /// The person who has.
    pub owner: Option<String>,
}

pub(crate) mod tables {
    use rejoin_store::index::Table;

    /// Runs: project, workflow, status, time with the newest first, run id. The time is when the run ended, or, while it has
    /// not, when it was triggered.
    pub(crate) const LIST: Table = Table(1);
    /// Runs that time will wake: due time, run id.
    pub(crate) const DUE: Table = Table(2);
    /// Runs by label: project, name, value, time as above, run id.
    pub(crate) const LABEL: Table = Table(3);
    /// Children of a run, newest first: parent, time as above, run id.
    pub(crate) const CHILDREN: Table = Table(4);
    /// Runs that wait in a queue, first in first: project, queue, place of the trigger, run id.
    pub(crate) const QUEUE: Table = Table(5);
    /// Runs that ask people: project, run id.
    pub(crate) const ASKING: Table = Table(6);
    /// Conversations that a person is asked to take over, longest waiting first: project, time, conversation.
    pub(crate) const REVIEW: Table = Table(7);
}

/// A time as eight bytes that sort like it.
pub(crate) fn time_key(time: Timestamp) -> [u8; 8] {
    ((time.0 as u64) ^ (1 << 63)).to_be_bytes()
}

pub(crate) fn time_of_key(key: &[u8]) -> Option<Timestamp> {
    let bytes: [u8; 8] = key.get(..8)?.try_into().ok()?;
    Some(Timestamp((u64::from_be_bytes(bytes) ^ (1 << 63)) as i64))
}

/// A text as bytes of which none is the beginning of another.
pub(crate) fn text_key(key: &mut Key, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(text.as_bytes());
}

/// How many bytes a text takes that stands at the front of a key.
pub(crate) fn text_length(key: &[u8]) -> Option<usize> {
    let length = u16::from_be_bytes(key.get(..2)?.try_into().ok()?);
    Some(2 + usize::from(length))
}

/// How many bytes at the front of an encoded row no key depends on.
const UNLISTED: usize = 16;

/// How many bytes a status takes.
const STATUS: usize = 4;

/// How many bytes stand behind `progress`, all of them zero where there is no queue.
const BEHIND: usize = 21;

/// How many of them came with version 4.
const LATEST: usize = 3;

/// The fold over transitions.
pub struct Projection;

impl Projection {
    /// The table that lists every run once.
    pub const RUNS: Table = tables::LIST;
}

impl Fold for Projection {
    fn version(&self) -> u32 {
        4
    }

    fn fold(&self, previous: Option<&[u8]>, records: &[Record]) -> Option<Row> {
        let mut row = previous.and_then(RunRow::decode);
        for record in records {
            // A record that cannot be read leaves the row as it was; reading the run itself says what is wrong.
            if let Ok(entry) = Entry::decode(record) {
                row = RunRow::fold(row, &entry, record.lsn.0);
            }
        }
        row?.encode().ok().map(Row::from)
    }

    fn is_live(&self, row: &[u8]) -> bool {
        // The status stands first behind what no key depends on, as a little-endian number.
        let ended = RunStatus::Completed as u8..=RunStatus::Cancelled as u8;
        row.get(UNLISTED).is_none_or(|status| !ended.contains(status))
    }

    fn same_keys(&self, before: &[u8], after: &[u8]) -> bool {
        before.len() > UNLISTED && before.get(UNLISTED..) == after.get(UNLISTED..)
    }

    fn keys(&self, stream: StreamId, row: &[u8]) -> Vec<(Table, Key)> {
        RunRow::decode(row).map(|row| row.keys(stream)).unwrap_or_default()
    }
}

impl RunRow {
    /// A row from its bytes. A tombstone keeps the row of its run as it was written, which before version 3 ended without
    /// `progress` and all that follows it; of a run that has ended that is its status, and nothing.
    pub(crate) fn decode(row: &[u8]) -> Option<RunRow> {
        codec::from_bytes(row).ok().or_else(|| {
            let status = row.get(UNLISTED..UNLISTED + STATUS)?;
            let behind: [&[u8]; 2] = [&[0; LATEST], &[status, &[0; BEHIND]].concat()];
            behind.into_iter().find_map(|behind| codec::from_bytes(&[row, behind].concat()).ok())
        })
    }

    /// Whether it has begun what it may have waited for in a queue.
    pub(crate) fn has_begun(&self) -> bool {
        self.queue.is_some() && self.progress != RunStatus::Queued
    }

    /// Its bytes, as the index has them.
    ///
    /// # Errors
    ///
    /// [`CodecError`] if it is larger than 64 MiB.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::to_bytes(self)
    }

    /// The row after one more record, at this place in the log; `None` where nothing triggered the run.
    pub fn fold(before: Option<RunRow>, entry: &Entry, place: u64) -> Option<RunRow> {
        let Entry { version, time, transition } = entry;
        let mut row = match (before, transition.events.first()) {
            (Some(row), _) => row,
            (None, Some(Event::Triggered(trigger))) => RunRow {
                status: RunStatus::Created,
                project: trigger.project.clone(),
                workflow: trigger.target.name.clone(),
                version: trigger.target.version,
                parent: trigger.parent.map(|parent| parent.run),
                depth: trigger.depth,
                key: trigger.key.clone(),
                labels: trigger.labels.clone(),
                triggered_at: *time,
                updated_at: *time,
                due: None,
                incarnation: 0,
                base: 1,
                records: 0,
                input_digest: trigger.input.digest(),
                trouble: None,
                progress: RunStatus::Created,
                queue: None,
                place,
                paused: false,
                asks: Vec::new(),
                talk: None,
                awaits_turn: false,
                handed_off: false,
            },
            (None, _) => return None,
        };
        row.records = *version;
        row.updated_at = *time;
        row.due = transition.due;
        for event in &transition.events {
            row.note(event, *version, *time, place);
        }
        if transition.resumed && row.progress == RunStatus::Suspended {
            row.progress = RunStatus::Running;
        }
        if transition.suspended && row.progress == RunStatus::Running {
            row.progress = RunStatus::Suspended;
        }
        row.status = match row.progress {
            closed if closed.is_closed() => closed,
            // Before its end nothing but a wedge is a trouble.
            _ if row.trouble.is_some() => RunStatus::Wedged,
            _ if row.paused => RunStatus::Paused,
            progress => progress,
        };
        Some(row)
    }

    fn note(&mut self, event: &Event, version: u64, time: Timestamp, place: u64) {
        match event {
            Event::Briefed(brief) if self.incarnation == 0 => self.note_brief(brief),
            Event::Admitted { .. } => {
                // From now on it waits for hands, behind those that came before.
                (self.awaits_turn, self.place) = (false, place);
                if self.queue.is_none() {
                    self.progress = RunStatus::Created;
                }
            }
            Event::Conversation(change) => self.note_change(change, time),
            Event::Started => self.progress = RunStatus::Running,
            Event::CancelDelivered { .. } => {
                self.progress = RunStatus::Running;
                self.asks.clear();
            }
            Event::CancelRequested { .. } => self.progress = RunStatus::Cancelling,
            Event::Wedged { reason } => self.trouble(reason),
            Event::Unwedged => {
                self.trouble = None;
                if self.progress == RunStatus::Suspended {
                    self.progress = RunStatus::Running;
                }
            }
            Event::Paused { .. } => self.paused = true,
            Event::Unpaused { .. } => self.paused = false,
            Event::ApprovalRequested { op, .. } => self.asks.push(op.0),
            Event::ApprovalDecided { op, .. } | Event::ApprovalExpired { op } | Event::OperationDropped { op } => {
                self.asks.retain(|open| *open != op.0);
            }
            Event::HandoffStarted { handoff, .. } => self.handed_off |= handoff.for_good,
            Event::Completed { .. } if self.handed_off => {
                self.end(RunStatus::Completed, "it was handed over to a person");
            }
            Event::Completed { .. } => self.progress = RunStatus::Completed,
            Event::Failed { failure } => self.end(RunStatus::Failed, &failure.message),
            Event::TimedOut { failure } => self.end(RunStatus::TimedOut, &failure.message),
            Event::Cancelled { failure } => self.end(RunStatus::Cancelled, &failure.message),
            Event::ContinuedAsNew(boundary) => {
                self.progress = RunStatus::Created;
                self.asks.clear();
                self.incarnation = boundary.incarnation;
                self.base = version;
            }
            _ => {}
        }
    }

    fn note_brief(&mut self, brief: &Brief) {
        self.awaits_turn = brief.thread.as_ref().is_some_and(|thread| thread.role.is_turn());
        self.queue.clone_from(&brief.queue);
        if brief.kind == Kind::Document {
            self.progress = RunStatus::Open;
        } else if self.queue.is_some() || self.awaits_turn {
            self.progress = RunStatus::Queued;
        }
    }

    fn note_change(&mut self, change: &Change, time: Timestamp) {
        if let Change::Opened(opening) = change {
            self.progress = RunStatus::Open;
            let (agent, user, task) = (opening.agent.clone(), opening.user.clone(), opening.task);
            let (review, owner) = (None, None);
            self.talk = Some(TalkRow { agent, user, task, messages: 0, active_at: time, turns: 0, review, owner });
        }
        let Some(talk) = &mut self.talk else { return };
        match change {
            Change::Added(_) => (talk.messages, talk.active_at) = (talk.messages + 1, time),
            Change::Joined { .. } => talk.turns += 1,
            Change::Ended { .. } => talk.turns = talk.turns.saturating_sub(1),
            Change::AgentChanged { agent, .. } => talk.agent.clone_from(agent),
            Change::ReviewAsked { .. } => talk.review = talk.review.or(Some(time)),
            Change::ReviewClaimed { by } => talk.owner = Some(by.clone()),
            Change::ReviewEnded { .. } => (talk.review, talk.owner) = (None, None),
            Change::Opened(_)
            | Change::Admitted { .. }
            | Change::Released { .. }
            | Change::Interrupted { .. }
            | Change::Listens { .. }
            | Change::Ignores { .. } => {}
        }
    }

    /// Whether it is a conversation, or a document, that nothing happens in.
    pub(crate) fn is_idle(&self) -> bool {
        self.status == RunStatus::Open && self.talk.as_ref().is_none_or(|talk| talk.turns == 0 && talk.review.is_none())
    }

    fn end(&mut self, status: RunStatus, trouble: &str) {
        self.progress = status;
        self.trouble(trouble);
    }

    fn trouble(&mut self, trouble: &str) {
        self.trouble = Some(trouble.chars().take(500).collect());
    }

    fn keys(&self, stream: StreamId) -> Vec<(Table, Key)> {
        let id = &stream.0;
        let time = match &self.talk {
            _ if self.status.is_closed() => self.updated_at,
            Some(talk) => talk.active_at,
            None => self.triggered_at,
        };
        let newest_first = time_key(time).map(|byte| !byte);
        let list = listing::with_status(&listing::group(&self.project, &self.workflow), self.status);
        let mut keys = vec![(tables::LIST, [&list[..], &newest_first, id].concat())];
        if let Some(due) = self.due {
            keys.push((tables::DUE, [&time_key(due)[..], id].concat()));
        }
        if let Some(parent) = self.parent {
            keys.push((tables::CHILDREN, [&parent.0[..], &newest_first, id].concat()));
        }
        if let Some(since) = self.talk.as_ref().and_then(|talk| talk.review).filter(|_| !self.status.is_closed()) {
            let mut review = Key::new();
            text_key(&mut review, &self.project);
            keys.push((tables::REVIEW, [&review[..], &time_key(since), id].concat()));
        }
        if let (Some(queue), RunStatus::Queued, false) = (&self.queue, self.status, self.awaits_turn) {
            keys.push((tables::QUEUE, [&queue_key(&self.project, queue)[..], &self.place.to_be_bytes(), id].concat()));
        }
        if !self.asks.is_empty() && !self.status.is_closed() {
            let mut asking = Key::new();
            text_key(&mut asking, &self.project);
            keys.push((tables::ASKING, [&asking[..], id].concat()));
        }
        for (name, value) in &self.labels {
            let label = label_key(&self.project, name, value);
            keys.push((tables::LABEL, [&label[..], &newest_first, id].concat()));
        }
        keys
    }
}

/// The id that a document of this content has in a project.
pub(crate) fn document_id(project: &str, address: &[u8; 32]) -> RunId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"document").update(&(project.len() as u64).to_le_bytes()).update(project.as_bytes()).update(address);
    RunId::hashed(hasher.finalize().as_bytes())
}

/// The first of the documents that are given which is not there, in words.
pub(crate) fn lost_document(project: &str, given: &Given, is_there: impl Fn(RunId) -> bool) -> Option<String> {
    let lost = given.documents.iter().find(|document| !is_there(document_id(project, &document.address)))?;
    Some(format!("document {:?}", lost.name))
}

/// The head of the entries of a queue.
pub(crate) fn queue_key(project: &str, queue: &str) -> Key {
    let mut key = Key::new();
    text_key(&mut key, project);
    text_key(&mut key, queue);
    key
}

/// The head of the entries of a label.
pub(crate) fn label_key(project: &str, name: &str, value: &str) -> Key {
    let mut key = Key::new();
    text_key(&mut key, project);
    text_key(&mut key, name);
    text_key(&mut key, value);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_machine::Transition;

    fn row() -> RunRow {
        RunRow {
            updated_at: Timestamp(5),
            records: 3,
            status: RunStatus::Running,
            project: "default".to_owned(),
            workflow: "greet".to_owned(),
            version: 1,
            parent: Some(RunId([1; 16])),
            depth: 1,
            key: None,
            labels: Vec::new(),
            triggered_at: Timestamp(4),
            due: Some(Timestamp(9)),
            incarnation: 0,
            base: 1,
            input_digest: 7,
            trouble: None,
            progress: RunStatus::Running,
            queue: None,
            place: 0,
            paused: false,
            asks: Vec::new(),
            talk: None,
            awaits_turn: false,
            handed_off: false,
        }
    }

    fn after(row: RunRow, events: impl Into<Vec<Event>>) -> RunRow {
        let transition = Transition { events: events.into(), ..Transition::default() };
        RunRow::fold(Some(row), &Entry { version: 4, time: Timestamp(6), transition }, 0).expect("a row")
    }

    fn wedged() -> Event {
        Event::Wedged { reason: "another step".to_owned() }
    }

    #[test]
    fn a_run_goes_on_with_what_it_was_at_before_it_was_wedged() {
        let cancelled = Event::CancelRequested {
            cause: rejoin_machine::cancel::Cause::Request,
            by: String::new(),
            reason: String::new(),
            grace: rejoin_machine::Span(0),
        };
        for progress in [RunStatus::Created, RunStatus::Running, RunStatus::Cancelling] {
            let run = after(RunRow { status: progress, progress, ..row() }, [wedged()]);
            assert_eq!(run.status, RunStatus::Wedged);
            assert_eq!(after(run.clone(), [Event::Unwedged]).status, progress);
            let run = after(run, [cancelled.clone()]);
            assert_eq!(run.status, RunStatus::Wedged, "{progress}");
            assert_eq!(after(run, [Event::Unwedged]).status, RunStatus::Cancelling, "{progress}");
        }
    }

    #[test]
    fn a_row_of_the_time_before_progress_is_read() {
        let ended = RunRow { status: RunStatus::Completed, progress: RunStatus::Completed, ..row() };
        let bytes = codec::to_bytes(&ended).expect("a row");
        assert_eq!(RunRow::decode(&bytes[..bytes.len() - STATUS - BEHIND]), Some(ended.clone()));
        assert_eq!(RunRow::decode(&bytes[..bytes.len() - LATEST]), Some(ended));
        assert_eq!(RunRow::decode(&bytes[..bytes.len() - LATEST - 1]), None);
    }

    #[test]
    fn rows_that_are_said_to_have_the_same_keys_have_them() {
        let stream = StreamId([2; 16]);
        let bytes = |row: &RunRow| codec::to_bytes(row).expect("a row");
        let before = bytes(&row());
        let later = bytes(&RunRow { updated_at: Timestamp(i64::MAX), records: u64::MAX, ..row() });
        assert!(Projection.same_keys(&before, &later));
        assert_eq!(Projection.keys(stream, &before), Projection.keys(stream, &later));
        for other in [
            RunRow { status: RunStatus::Suspended, ..row() },
            RunRow { due: None, ..row() },
            RunRow { due: Some(Timestamp(10)), ..row() },
            RunRow { parent: None, ..row() },
            RunRow { workflow: "greed".to_owned(), ..row() },
        ] {
            assert!(!Projection.same_keys(&before, &bytes(&other)), "{other:?}");
        }
        assert!(!Projection.same_keys(&[], &[]));
    }

    #[test]
    fn a_row_is_live_until_its_run_has_ended() {
        for status in RunStatus::ALL {
            let bytes = codec::to_bytes(&RunRow { status, ..row() }).expect("a row");
            assert_eq!(Projection.is_live(&bytes), !status.is_closed(), "{status}");
        }
    }

    #[test]
    fn times_sort_as_their_keys() {
        let times = [i64::MIN, -1, 0, 1, i64::MAX].map(Timestamp);
        for pair in times.windows(2) {
            assert!(time_key(pair[0]) < time_key(pair[1]));
        }
        assert_eq!(times.map(|time| time_of_key(&time_key(time))), times.map(Some));
    }
}
