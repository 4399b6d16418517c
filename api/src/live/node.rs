//! What stands on one line of the tree: a run, or something that a run does or waits for.

use super::line::{Line, Tint};
use crate::output::{printable, shorten, time};
use rejoin::{OpNo, Payload, RunId, Timestamp};
use std::collections::HashMap;

/// How many characters of a name are kept, and of what is said beside it.
const NAME: usize = 48;
const NOTE: usize = 80;

/// How many bytes of a payload are looked at.
const LOOKED_AT: usize = 1024;

/// How many characters of a stream are kept: its end.
const TAIL: usize = 48;

/// The number of a node; numbers are given in order and never again.
pub(crate) type Id = u64;

/// What stands on one line of the tree.
pub(crate) struct Node {
    pub(super) parent: Option<Id>,
    /// In the order in which they are shown.
    pub(super) children: Vec<Id>,
    pub(super) name: String,
    pub(super) sort: Sort,
    pub(super) state: State,
    pub(super) since: Timestamp,
    /// When it ended.
    pub(super) until: Option<Timestamp>,
    pub(super) attempt: u32,
    /// The latest of what there is to say about it.
    pub(super) note: String,
    /// How many below it, and itself, have not ended.
    pub(crate) live: usize,
    /// How many that ended stood below it and are not kept, and how many of these did not complete.
    pub(super) forgotten: usize,
    pub(super) forgotten_bad: usize,
    /// How many below it there was no room for.
    pub(super) unseen: usize,
    /// The run's node and the operation that it is there for.
    pub(super) op: Option<(Id, OpNo)>,
    /// What only runs have.
    pub(super) run: Option<Box<Run>>,
}

/// What only runs have.
pub(super) struct Run {
    pub(super) id: RunId,
    /// The workflow or agent.
    pub(super) target: String,
    /// What it was triggered with, to be found again.
    pub(super) key: Option<String>,
    pub(super) agent: bool,
    pub(super) detached: bool,
    /// The record that was heard of last.
    pub(super) version: u64,
    pub(super) incarnation: u32,
    /// The number of the progress that was heard of last.
    pub(super) progress: u64,
    /// The end of its stream.
    pub(super) tail: String,
    pub(super) ops: HashMap<OpNo, Pending>,
}

/// An operation of a run.
#[derive(Clone, Copy)]
pub(super) struct Pending {
    /// Its node, if there was room for one.
    pub(super) node: Option<Id>,
    /// The group that it belongs to.
    pub(super) group: Option<Id>,
    /// Whether it completed; `None` while it is open.
    pub(super) ended: Option<bool>,
}

/// What sort of thing a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Run,
    Step,
    /// How many of its members there are, have ended and have completed, and how many must complete.
    Group {
        members: usize,
        ended: usize,
        completed: usize,
        wanted: usize,
    },
    Timer {
        at: Timestamp,
    },
    Signal {
        until: Option<Timestamp>,
    },
    /// The next message of the conversation.
    Answer {
        until: Option<Timestamp>,
    },
    Question {
        until: Option<Timestamp>,
    },
    Handoff,
    /// Answered as in the run that this one does again.
    Recalled,
}

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits to begin, for a time, or for somebody.
    Waiting,
    Running,
    Paused,
    /// Its handler does not fit its history.
    Stuck,
    /// It was asked to end.
    Ending,
    Completed,
    Failed,
    TimedOut,
    Cancelled,
}

impl State {
    pub(super) fn has_ended(self) -> bool {
        matches!(self, State::Completed | State::Failed | State::TimedOut | State::Cancelled)
    }

    /// A word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Running => "running",
            State::Paused => "paused",
            State::Stuck => "stuck",
            State::Ending => "ending",
            State::Completed => "completed",
            State::Failed => "failed",
            State::TimedOut => "timed out",
            State::Cancelled => "cancelled",
        }
    }

    /// A sign for it, which turns while it runs, and its tint.
    pub(super) fn sign(self, now: Timestamp) -> (&'static str, Tint) {
        const TURNING: [&str; 4] = ["◐", "◓", "◑", "◒"];
        match self {
            State::Waiting => ("○", Tint::Waiting),
            State::Running => (TURNING[(now.0 / 250_000).rem_euclid(4) as usize], Tint::Busy),
            State::Paused => ("‖", Tint::Waiting),
            State::Stuck => ("!", Tint::Bad),
            State::Ending => ("◌", Tint::Waiting),
            State::Completed => ("✔", Tint::Good),
            State::Failed | State::TimedOut => ("✘", Tint::Bad),
            State::Cancelled => ("⊘", Tint::Waiting),
        }
    }
}

impl Node {
    pub(super) fn new(name: &str, sort: Sort, state: State, since: Timestamp) -> Node {
        Node {
            parent: None,
            children: Vec::new(),
            name: named(name),
            sort,
            state,
            since,
            until: None,
            attempt: 1,
            note: String::new(),
            live: 1,
            forgotten: 0,
            forgotten_bad: 0,
            unseen: 0,
            op: None,
            run: None,
        }
    }

    /// It ended, and did not complete.
    pub(super) fn is_bad(&self) -> bool {
        self.state.has_ended() && self.state != State::Completed
    }

    /// Whether it waits for a signal that anybody may send: those that begin with $ are the engine's own.
    pub(super) fn takes_signals(&self) -> bool {
        matches!(self.sort, Sort::Signal { .. }) && !self.name.starts_with('$')
    }

    pub(super) fn say(&mut self, note: &str) {
        self.note = short(note, NOTE);
    }

    /// A word for what it is, where that is not plain from what it says.
    pub(super) fn kind(&self) -> &str {
        match (&self.sort, self.run.as_deref()) {
            (Sort::Run, Some(run)) if run.target != self.name => &run.target,
            (Sort::Run, Some(run)) if run.agent => "agent",
            (Sort::Run, Some(run)) if run.detached => "detached",
            (Sort::Run, _) => "child",
            (Sort::Step, _) => "",
            (Sort::Group { .. }, _) => "group",
            (Sort::Timer { .. }, _) => "timer",
            (Sort::Signal { .. }, _) => "signal",
            (Sort::Answer { .. }, _) => "message",
            (Sort::Question { .. }, _) => "question",
            (Sort::Handoff, _) => "handoff",
            (Sort::Recalled, _) => "recalled",
        }
    }

    /// How long it took, or takes so far.
    pub(super) fn took(&self, now: Timestamp) -> String {
        elapsed(self.until.unwrap_or(now).0.saturating_sub(self.since.0))
    }

    /// What there is to say about it.
    pub(super) fn remarks(&self, now: Timestamp) -> Line {
        let mut said = Vec::new();
        match self.sort {
            Sort::Group { members, ended, .. } => said.push(format!("{ended} of {members}")),
            Sort::Timer { at } if !self.state.has_ended() => said.push(format!("sleeps until {}", moment(at, now))),
            Sort::Signal { until } if !self.state.has_ended() => said.push(waiting("waits for the signal", until, now)),
            Sort::Answer { until } if !self.state.has_ended() => {
                said.push(waiting("waits for the next message", until, now))
            }
            Sort::Question { until } if !self.state.has_ended() => said.push(waiting("waits for a person", until, now)),
            Sort::Handoff if !self.state.has_ended() => said.push("waits for a person to take over".to_owned()),
            _ => {}
        }
        if let Some(key) = self.run.as_deref().and_then(|run| run.key.as_ref()) {
            said.push(format!("key {key}"));
        }
        if self.attempt > 1 {
            said.push(format!("attempt {}", self.attempt));
        }
        if let Some(run) = self.run.as_deref().filter(|run| run.incarnation > 0) {
            said.push(format!("went on as new {} times", run.incarnation));
        }
        if !matches!(self.state, State::Waiting | State::Running | State::Completed) {
            said.push(self.state.word().to_owned());
        }
        let tint =
            if matches!(self.state, State::Failed | State::TimedOut | State::Stuck) { Tint::Bad } else { Tint::Plain };
        let tail = self.run.as_deref().filter(|run| !run.tail.is_empty() && !self.state.has_ended());
        let line = Line::default().with(tint, &said.join(", "));
        let gap = if said.is_empty() { "" } else { "  " };
        match tail {
            Some(run) => line.with(Tint::Plain, gap).with(Tint::Faint, &format!("\"{}\" ▍", run.tail)),
            None if self.note.is_empty() => line,
            None => line.with(Tint::Plain, gap).with(tint, &self.note),
        }
    }
}

impl Run {
    pub(super) fn new(id: RunId, target: &str) -> Run {
        Run {
            id,
            target: named(target),
            key: None,
            agent: false,
            detached: false,
            version: 0,
            incarnation: 0,
            progress: 0,
            tail: String::new(),
            ops: HashMap::new(),
        }
    }

    /// A piece of its stream: texts follow each other, anything else stands for itself.
    pub(super) fn stream(&mut self, chunk: &Payload) {
        match serde_json::from_slice::<String>(chunk.bytes()) {
            Ok(text) => self.tail.push_str(&printable(&text)),
            Err(_) => self.tail = brief(chunk),
        }
        let surplus = self.tail.chars().count().saturating_sub(TAIL);
        if surplus > 0 {
            self.tail = self.tail.chars().skip(surplus).collect();
        }
    }
}

/// A name as it is shown.
pub(super) fn named(name: &str) -> String {
    short(name, NAME)
}

/// A text as one line that is not too long.
fn short(text: &str, most: usize) -> String {
    // Cut first: what is spelled out may be a document.
    shorten(&printable(&shorten(text, most)), most)
}

/// A payload in a few words: a text as it is, nothing for null, and the beginning of any other JSON.
pub(super) fn brief(payload: &Payload) -> String {
    let bytes = &payload.bytes()[..payload.len().min(LOOKED_AT)];
    match serde_json::from_slice::<String>(bytes) {
        Ok(text) => short(&text, NOTE),
        Err(_) if bytes == b"null" => String::new(),
        Err(_) => short(&String::from_utf8_lossy(bytes), NOTE),
    }
}

fn waiting(what: &str, until: Option<Timestamp>, now: Timestamp) -> String {
    until.map_or_else(|| what.to_owned(), |until| format!("{what} until {}", moment(until, now)))
}

/// A time to come, and how far away it is.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> String {
    match at.0.saturating_sub(now.0) {
        left @ 1.. => format!("{}, {} to go", time(at), elapsed(left)),
        _ => time(at),
    }
}

/// A length of time in microseconds, as people say it.
fn elapsed(micros: i64) -> String {
    let tenths = micros.max(0) / 100_000;
    let seconds = tenths / 10;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..60 => format!("{seconds}.{}s", tenths % 10),
        60..3600 => format!("{minutes}m {:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_short() {
        let said = [-1, 0, 149_999, 59_900_000, 61_000_000, 3_660_000_000, 90_000_000_000].map(elapsed);
        assert_eq!(said, ["0.0s", "0.0s", "0.1s", "59.9s", "1m 01s", "1h 01m", "1d 01h"]);
    }

    #[test]
    fn payloads_are_brief() {
        let said = |json: &str| brief(&Payload::from(json.as_bytes().to_vec()));
        assert_eq!(said(r#""3 topics""#), "3 topics");
        assert_eq!(said("null"), "");
        assert_eq!(said(r#"{"a":1}"#), r#"{"a":1}"#);
        assert_eq!(said(&format!("\"{}\"", "x".repeat(10_000))).chars().count(), NOTE + 1);
        assert_eq!(said(r#""a\u001b[31m""#), "a\\u{1b}[31m");
    }

    #[test]
    fn the_end_of_a_stream_is_kept() {
        let mut run = Run::new(RunId([0; 16]), "writer");
        for _ in 0..100 {
            run.stream(&Payload::from(br#""word ""#.to_vec()));
        }
        assert_eq!(run.tail.chars().count(), TAIL);
        assert!(run.tail.ends_with("word word "));
    }
}
