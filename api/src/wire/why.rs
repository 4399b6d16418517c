//! Why a run does not move: for programs, and in words.

use crate::output::{printable, shorten, time};
use crate::stands::now;
use rejoin::Timestamp;
use rejoin::why::{By, On, Other, Waiting, Why};
use serde::Serialize;

/// How many characters of a reason are shown in words.
const REASON_SHOWN: usize = 300;

/// Why a run does not move.
#[derive(Serialize)]
pub(crate) struct WhyView<'a> {
    run: String,
    workflow: &'a str,
    state: &'static str,
    since: String,
    ended: bool,
    stuck: bool,
    ends_at: Option<String>,
    waits: Vec<WaitView<'a>>,
    #[serde(skip)]
    why: &'a Why,
}

#[derive(Serialize)]
struct WaitView<'a> {
    on: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stands: Option<&'static str>,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
}

impl<'a> WaitView<'a> {
    fn new(wait: &'a Waiting) -> WaitView<'a> {
        let (by, at) = match wait.by {
            By::Process => ("process", None),
            By::Clock(at) => ("clock", Some(time(at))),
            By::Run(_) => ("run", None),
            By::Sender => ("sender", None),
            By::Person => ("person", None),
            By::Worker => ("worker", None),
            By::Turns => ("turns", None),
            By::Code => ("code", None),
            By::Nobody => ("nobody", None),
        };
        let (since, until) = (time(wait.since), wait.until.map(time));
        let (name, attempt, reason, run, stands) = (None, None, None, None, None);
        let view = WaitView { on: "", name, attempt, reason, run, stands, since, until, by, at };
        match &wait.on {
            On::Start => WaitView { on: "start", ..view },
            On::Step { name, attempt, last_failure } => {
                let (name, attempt, reason) = (Some(name.as_str()), Some(*attempt), last_failure.as_deref());
                WaitView { on: "step", name, attempt, reason, ..view }
            }
            On::Child { run, stands } => {
                WaitView { on: "child", run: Some(run.to_string()), stands: Some(state_of(*stands)), ..view }
            }
            On::Cancellation { run, stands } => {
                WaitView { on: "cancellation", run: Some(run.to_string()), stands: Some(state_of(*stands)), ..view }
            }
            On::Timer => WaitView { on: "timer", ..view },
            On::Answer => WaitView { on: "answer", ..view },
            On::Signal { name } => WaitView { on: "signal", name: Some(name), ..view },
            On::Approval { question, .. } => WaitView { on: "approval", name: Some(question), ..view },
            On::Turn { conversation } => WaitView { on: "turn", run: Some(conversation.to_string()), ..view },
            On::Handoff => WaitView { on: "handoff", ..view },
            On::Message => WaitView { on: "message", ..view },
            On::Use => WaitView { on: "use", ..view },
            On::Queue { name } => WaitView { on: "queue", name: Some(name), ..view },
            On::Resume { by, reason } => WaitView { on: "resume", name: Some(by), reason: Some(reason), ..view },
            On::Mending { reason } => WaitView { on: "mending", reason: Some(reason), ..view },
            On::Handler => WaitView { on: "handler", ..view },
        }
    }
}

fn state_of(stands: Other) -> &'static str {
    match stands {
        Other::Alive(state) | Other::Ended(state) => state,
        Other::Missing => "missing",
    }
}

impl<'a> WhyView<'a> {
    pub(crate) fn new(why: &'a Why) -> WhyView<'a> {
        WhyView {
            run: why.run.to_string(),
            workflow: &why.workflow,
            state: why.state,
            since: time(why.since),
            ended: why.ended,
            stuck: why.is_stuck(),
            ends_at: why.ends.map(time),
            waits: why.waits.iter().map(WaitView::new).collect(),
            why,
        }
    }

    /// What it waits for, in a line.
    pub(crate) fn waits_for(&self) -> String {
        self.why.waits.iter().map(words).collect::<Vec<_>>().join("; ")
    }

    /// Who or what can bring that, in a line.
    pub(crate) fn moved_by(&self) -> String {
        let mut by: Vec<_> = self.why.waits.iter().map(bringer).collect();
        by.extend(self.why.ends.map(|at| format!("its deadline at {}", time(at))));
        by.dedup();
        by.join("; ")
    }

    /// The answer in words.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Why { state, since, ended, ends, .. } = self.why;
        if *ended {
            return vec![format!("{state} since {}: it has ended, and waits for nothing", time(*since))];
        }
        let mut lines = Vec::new();
        for wait in &self.why.waits {
            lines.push(format!("{state} {}: waits for {}", length(wait.since), words(wait)));
            lines.push(format!("  can still happen: {}", chance(wait)));
            lines.extend(advice(self.why, wait).map(|advice| format!("  {advice}")));
        }
        lines.extend(ends.map(|at| format!("ends at {}, whatever it waits for", time(at))));
        if self.why.is_stuck() {
            lines.push("nothing moves it as things are".to_owned());
        }
        lines
    }
}

fn quoted(text: &str) -> String {
    format!("{:?}", shorten(text, REASON_SHOWN))
}

/// What is waited for.
fn words(wait: &Waiting) -> String {
    match &wait.on {
        On::Start => "its handler to be called".to_owned(),
        On::Step { name, attempt, last_failure } => {
            let failed = last_failure.as_ref().map(|failure| format!(" (the last one failed: {})", quoted(failure)));
            format!("step {}, attempt {attempt}{}", quoted(name), failed.unwrap_or_default())
        }
        On::Child { run, stands } => format!("child {run}, which is {}", state_of(*stands)),
        On::Cancellation { run, stands } => {
            format!("child {run}, which is being cancelled with it and is {}", state_of(*stands))
        }
        On::Timer => "a timer".to_owned(),
        On::Answer => "what is said next in its conversation".to_owned(),
        On::Signal { name } => format!("signal {}", quoted(name)),
        On::Approval { question, persons } => {
            format!("an answer to {} from {}", quoted(question), printable(&persons.join(" or ")))
        }
        On::Turn { conversation } => format!("its turn in conversation {conversation}"),
        On::Handoff => "a person, who has the conversation or is asked to take it".to_owned(),
        On::Message => "a message: it is a conversation".to_owned(),
        On::Use => "somebody who reads it: it is a document".to_owned(),
        On::Queue { name } => format!("a worker of {}, or its turn there", quoted(name)),
        On::Resume { by, reason } => format!("somebody to let it go on; {} paused it: {}", quoted(by), quoted(reason)),
        On::Mending { reason } => {
            format!("a handler that fits its history: {}", printable(&shorten(reason, REASON_SHOWN)))
        }
        On::Handler => "its handler, which waits for nothing that the log knows".to_owned(),
    }
}

fn bringer(wait: &Waiting) -> String {
    let by = match wait.by {
        By::Process => "the process that has the folder open, or the next one".to_owned(),
        By::Clock(at) => format!("the clock at {}", time(at)),
        By::Run(run) => format!("run {run}"),
        By::Sender => "whoever sends it".to_owned(),
        By::Person => "one of the persons who may".to_owned(),
        By::Turns => "the turns before it".to_owned(),
        By::Worker => "a worker of its agent".to_owned(),
        By::Code => "a mended program".to_owned(),
        By::Nobody => "nobody".to_owned(),
    };
    by + &wait.until.map(|until| format!(", or the clock at {}", time(until))).unwrap_or_default()
}

fn chance(wait: &Waiting) -> String {
    let until = wait.until.map(|until| format!(", until {} (then the wait ends without it)", time(until)));
    let until = until.unwrap_or_default();
    match wait.by {
        By::Process => format!("yes{until}: a process that has the folder open does it, and the next one that starts"),
        By::Clock(at) => format!("yes, at {}, in a process that has the folder open", time(at)),
        By::Run(run) => format!("yes{until}: when run {run} ends"),
        By::Sender => format!("yes{}", if wait.until.is_some() { until } else { ", at any time".to_owned() }),
        By::Person => format!("yes{}", if wait.until.is_some() { until } else { ", at any time".to_owned() }),
        By::Turns => format!("yes{until}: when the turns before it have ended or rest"),
        By::Worker => format!("yes{until}: when a worker has its hands free"),
        By::Code => "not with this program".to_owned(),
        By::Nobody => match wait.until {
            Some(at) => format!("no; the wait ends at {}", time(at)),
            None => "no: of that run nothing more will come".to_owned(),
        },
    }
}

/// What somebody can do about it.
fn advice(why: &Why, wait: &Waiting) -> Option<String> {
    match (&wait.on, wait.by) {
        (On::Signal { name }, _) if name.starts_with('$') => Some(format!(
            "its agent answers later, at the address that it was given; to end it: cancel run {}",
            why.run
        )),
        (On::Signal { name }, _) => {
            Some(format!("to answer, while the project is at work: rejoin signal {} {} JSON", why.run, quoted(name)))
        }
        (_, By::Run(run)) => Some(format!("to see why that one does not end: rejoin why DIR {run}")),
        (_, By::Code) => Some("to mend: register a handler that fits, and start the program".to_owned()),
        (_, By::Nobody) => Some(format!("to end it: cancel run {} without grace", why.run)),
        _ => None,
    }
}

/// How long it has been, in the two largest units.
fn length(since: Timestamp) -> String {
    let seconds = now().since(since).0 / 1_000_000;
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (0, hours, minutes, _) => format!("{hours}h {minutes}m"),
        (days, hours, ..) => format!("{days}d {hours}h"),
    }
}
