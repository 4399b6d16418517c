//! The tree of runs, as their events tell it: what there is to show, and in which words.

use rejoin::history::Entry;
use rejoin::{CallKey, Event, OpNo, RunId, Timestamp};
use std::collections::BTreeMap;

/// A run and those below it.
pub struct Tree {
    root: RunId,
    runs: BTreeMap<RunId, Branch>,
}

/// A run, and what it asked for, in order.
struct Branch {
    workflow: String,
    stand: Stand,
    twigs: Vec<Twig>,
}

struct Twig {
    op: OpNo,
    what: What,
    stand: Stand,
    note: String,
}

enum What {
    Step(String),
    Call { key: String, child: RunId },
    Signal(String),
}

#[derive(Clone, Copy)]
struct Stand {
    state: State,
    since: Timestamp,
    until: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Working,
    Waiting,
    Done,
    Failed,
}

/// A line of the drawing, in columns.
struct Row {
    left: String,
    middle: String,
    stand: Stand,
    note: String,
}

impl Tree {
    pub fn new(root: RunId) -> Tree {
        Tree { root, runs: BTreeMap::new() }
    }

    pub fn has_ended(&self) -> bool {
        self.runs.get(&self.root).is_some_and(|run| run.stand.until.is_some())
    }

    /// Takes in what happened, and puts it into words. Runs that are not in the tree say nothing.
    pub fn apply(&mut self, run: RunId, entry: &Entry) -> Vec<String> {
        let words = entry.transition.events.iter().filter_map(|event| self.event(run, entry.time, event)).collect();
        if let Some(branch) = self.runs.get_mut(&run).filter(|branch| branch.stand.until.is_none()) {
            branch.stand.state = if entry.transition.suspended { State::Waiting } else { State::Working };
        }
        words
    }

    fn event(&mut self, run: RunId, time: Timestamp, event: &Event) -> Option<String> {
        if let Event::Triggered(trigger) = event {
            let ours = |parent: RunId| self.runs.contains_key(&parent);
            if run == self.root || trigger.parent.is_some_and(|parent| ours(parent.run)) {
                let workflow = trigger.target.name.clone();
                self.runs.insert(run, Branch { workflow, stand: State::Working.since(time), twigs: Vec::new() });
            }
        }
        let branch = self.runs.get_mut(&run)?;
        let what = branch.event(time, event)?;
        Some(format!("{}: {what}", branch.workflow))
    }

    /// The tree, a line for each run and for everything that it asked for. What ended before `opened` was read from the log.
    pub fn draw(&self, opened: Timestamp, now: Timestamp) -> Vec<String> {
        let Some(root) = self.runs.get(&self.root) else { return Vec::new() };
        let middle = root.stand.state.name().to_owned();
        let mut rows = vec![Row { left: root.workflow.clone(), middle, stand: root.stand, note: String::new() }];
        self.rows(root, "", opened, &mut rows);
        let width = |column: fn(&Row) -> &str| rows.iter().map(|row| column(row).chars().count()).max().unwrap_or(0);
        let (left, middle) = (width(|row| &row.left), width(|row| &row.middle));
        let line = |row: &Row| {
            let seconds = row.stand.until.unwrap_or(now).since(row.stand.since).duration().as_secs_f64();
            let line = format!("{:<left$}  {:<middle$}  {seconds:>6.2}s  {}", row.left, row.middle, row.note);
            line.trim_end().to_owned()
        };
        rows.iter().map(line).collect()
    }

    fn rows(&self, branch: &Branch, indent: &str, opened: Timestamp, rows: &mut Vec<Row>) {
        for (index, twig) in branch.twigs.iter().enumerate() {
            let is_last = index + 1 == branch.twigs.len();
            let (fork, below) = if is_last { ("└─", "   ") } else { ("├─", "│  ") };
            let (name, child) = match &twig.what {
                What::Step(name) | What::Signal(name) => (name, None),
                What::Call { key, child } => (key, self.runs.get(child)),
            };
            let is_earlier = twig.stand.until.is_some_and(|until| until < opened);
            rows.push(Row {
                left: format!("{indent}{fork} {} {name}", twig.stand.state.mark()),
                middle: child.map_or(twig.what.kind(), |child| &child.workflow).to_owned(),
                stand: twig.stand,
                note: if is_earlier { "recorded earlier".to_owned() } else { twig.note.clone() },
            });
            if let Some(child) = child {
                self.rows(child, &format!("{indent}{below}"), opened, rows);
            }
        }
    }
}

impl Branch {
    /// Takes in an event; what is worth a line is put into words.
    fn event(&mut self, time: Timestamp, event: &Event) -> Option<String> {
        match event {
            Event::Triggered(_) => Some("triggered".to_owned()),
            Event::StepScheduled { op, name, .. } => self.open(*op, What::Step(name.clone()), State::Working, time),
            Event::ChildTriggered { op, child, key, target, .. } => {
                let key = match key {
                    CallKey::Named(key) => key.clone(),
                    CallKey::Numbered { .. } => target.name.clone(),
                };
                self.open(*op, What::Call { key, child: *child }, State::Waiting, time)
            }
            Event::SignalAwaited { op, name, .. } => {
                self.open(*op, What::Signal(name.clone()), State::Waiting, time);
                Some(format!("waits for signal {name}"))
            }
            Event::StepCompleted { op, .. } | Event::ChildCompleted { op, .. } => {
                self.close(*op, State::Done, "", time)
            }
            Event::SignalDelivered { op, .. } => {
                self.close(*op, State::Done, "", time)?;
                Some(format!("{} received", self.twig(*op)?.what.describe()))
            }
            Event::StepFailed { op, failure }
            | Event::ChildFailed { op, failure }
            | Event::ChildTimedOut { op, failure, .. }
            | Event::ChildCancelled { op, failure } => self.close(*op, State::Failed, &failure.message, time),
            Event::SignalTimedOut { op } => self.close(*op, State::Failed, "it did not come in time", time),
            Event::StepAttemptFailed { op, failure, .. } => {
                let twig = self.twig(*op)?;
                twig.note = format!("is tried again: {}", failure.message);
                Some(format!("{} {}", twig.what.describe(), twig.note))
            }
            Event::Completed { .. } => self.end(State::Done, "", time),
            Event::Failed { failure } | Event::TimedOut { failure } | Event::Cancelled { failure } => {
                self.end(State::Failed, &failure.message, time)
            }
            _ => None,
        }
    }

    fn twig(&mut self, op: OpNo) -> Option<&mut Twig> {
        self.twigs.iter_mut().find(|twig| twig.op == op)
    }

    fn open(&mut self, op: OpNo, what: What, state: State, time: Timestamp) -> Option<String> {
        self.twigs.push(Twig { op, what, stand: state.since(time), note: String::new() });
        None
    }

    fn close(&mut self, op: OpNo, state: State, why: &str, time: Timestamp) -> Option<String> {
        let twig = self.twig(op)?;
        twig.stand = Stand { state, until: Some(time), ..twig.stand };
        twig.note = why.to_owned();
        Some(format!("{} {}", twig.what.describe(), state.because(why)))
    }

    fn end(&mut self, state: State, why: &str, time: Timestamp) -> Option<String> {
        self.stand = Stand { state, until: Some(time), ..self.stand };
        Some(state.because(why))
    }
}

impl What {
    fn kind(&self) -> &'static str {
        match self {
            What::Step(_) => "",
            What::Call { .. } => "call",
            What::Signal(_) => "signal",
        }
    }

    fn describe(&self) -> String {
        match self {
            What::Step(name) => format!("step {name}"),
            What::Call { key, .. } => format!("call {key}"),
            What::Signal(name) => format!("signal {name}"),
        }
    }
}

impl State {
    fn since(self, since: Timestamp) -> Stand {
        Stand { state: self, since, until: None }
    }

    fn mark(self) -> char {
        match self {
            State::Working => '◐',
            State::Waiting => '○',
            State::Done => '✔',
            State::Failed => '✘',
        }
    }

    fn name(self) -> &'static str {
        match self {
            State::Working => "running",
            State::Waiting => "suspended",
            State::Done => "completed",
            State::Failed => "failed",
        }
    }

    fn because(self, why: &str) -> String {
        if why.is_empty() { self.name().to_owned() } else { format!("{}: {why}", self.name()) }
    }
}
