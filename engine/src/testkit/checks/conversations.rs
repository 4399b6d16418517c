//! E3, E5, E6, E10, E12, E16: conversations. One turn works at a time, in order; each is heard of once; nobody answers while a
//! person has it.

use super::{Histories, Report, end, events};
use crate::history::Entry;
use rejoin_machine::brief::{Brief, Thread};
use rejoin_machine::conversation::{Change, MESSAGE, Message, Opening, Sort};
use rejoin_machine::{Event, OpNo, Payload, RunId, SignalId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(super) fn check(run: RunId, history: &[Entry], all: &Histories, report: &mut Report<'_>) {
    match opening(history) {
        Some(opening) => Talk::new(run, opening, history, all).check(history, report),
        None => turn(run, history, all, report),
    }
}

/// How a conversation began; nothing if it is none.
pub(super) fn opening(history: &[Entry]) -> Option<&Opening> {
    let changes = changes(history);
    changes.into_iter().find_map(|(_, change)| match change {
        Change::Opened(opening) => Some(opening),
        _ => None,
    })
}

fn changes(history: &[Entry]) -> impl Iterator<Item = (&Entry, &Change)> {
    events(history).filter_map(|(entry, event)| match event {
        Event::Conversation(change) => Some((entry, &**change)),
        _ => None,
    })
}

/// What a run was given beside its input, at first.
fn brief(history: &[Entry]) -> Option<&Brief> {
    match history.first()?.transition.events.get(1)? {
        Event::Briefed(brief) => Some(brief),
        _ => None,
    }
}

fn thread(history: &[Entry]) -> Option<&Thread> {
    brief(history)?.thread.as_ref()
}

/// A conversation, as its changes make it.
struct Talk<'a> {
    id: RunId,
    all: &'a Histories,
    opening: &'a Opening,
    brief: Brief,
    messages: u64,
    ids: BTreeSet<SignalId>,
    waiting: VecDeque<RunId>,
    working: Option<RunId>,
    resting: BTreeSet<RunId>,
    ended: BTreeSet<RunId>,
    /// What turns and those who speak in it have said in the end.
    replies: BTreeMap<RunId, u32>,
    review: Option<Option<&'a str>>,
    handed: Vec<(RunId, OpNo)>,
    listening: VecDeque<RunId>,
    /// The turn that must begin with the message that came last.
    awaited: Option<RunId>,
}

impl<'a> Talk<'a> {
    fn new(id: RunId, opening: &'a Opening, history: &[Entry], all: &'a Histories) -> Talk<'a> {
        Talk {
            id,
            all,
            opening,
            brief: brief(history).cloned().unwrap_or_default(),
            messages: 0,
            ids: BTreeSet::new(),
            waiting: VecDeque::new(),
            working: None,
            resting: BTreeSet::new(),
            ended: BTreeSet::new(),
            replies: BTreeMap::new(),
            review: None,
            handed: Vec::new(),
            listening: VecDeque::new(),
            awaited: None,
        }
    }

    fn check(mut self, history: &'a [Entry], report: &mut Report<'_>) {
        for (entry, change) in changes(history) {
            if let Some((id, what)) = self.refuses(change) {
                report.say(id, format_args!("record {}: {} {what}", entry.version, change.name()));
            }
            self.take(change, entry.version, report);
        }
        if let Some(run) = self.awaited {
            report
                .say("E3", format_args!("a message is for turn {run}, which neither waits for it nor begins with it"));
        }
        let over = end(history).is_some();
        let open = self.waiting.iter().chain(&self.working).chain(&self.resting);
        for turn in open {
            let ends = self.all.get(turn).is_some_and(|history| end(history).is_some());
            if ends && !over {
                report.say("E5", format_args!("turn {turn} has ended, and the conversation was never told"));
            }
        }
    }

    /// What may not happen now: the invariant, and in words.
    fn refuses(&self, change: &Change) -> Option<(&'static str, &'static str)> {
        let is_turn =
            |run: &RunId| self.working == Some(*run) || self.resting.contains(run) || self.waiting.contains(run);
        let held = self.review.is_some();
        match change {
            Change::Added(Message { id: Some(id), .. }) if self.ids.contains(id) => Some(("E10", "comes twice")),
            Change::Added(Message { id: Some(_), run: Some(run), .. })
                if self.listening.contains(run) && self.listening.back() != Some(run) =>
            {
                Some(("E12", "is heard by another run than the one that asked last"))
            }
            Change::Ignores { run } if !self.listening.contains(run) => Some(("E4", "of a run that did not listen")),
            Change::Joined { run, .. } if is_turn(run) || self.ended.contains(run) => Some(("E3", "joins twice")),
            Change::Admitted { .. } if held => Some(("E12", "while a person has the conversation")),
            Change::Admitted { .. } if self.working.is_some() => Some(("E12", "while another turn works")),
            Change::Admitted { run, .. } if self.waiting.front() != Some(run) => Some(("E12", "out of order")),
            Change::Admitted { messages, .. } if *messages != self.messages => {
                Some(("E16", "and is told another number of messages"))
            }
            Change::Released { run } if self.working != Some(*run) => Some(("E4", "of a turn that does not work")),
            Change::Ended { run } if !is_turn(run) => Some(("E3", "of a turn that is none, or has ended")),
            Change::ReviewClaimed { .. } if self.review != Some(None) => {
                Some(("E4", "and nobody asked, or one has it"))
            }
            Change::ReviewEnded { by, .. } if self.review != Some(Some(by)) => Some(("E4", "by somebody else")),
            _ => None,
        }
    }

    fn take(&mut self, change: &'a Change, record: u64, report: &mut Report<'_>) {
        match change {
            Change::Added(message) => {
                self.messages += 1;
                self.ids.extend(message.id);
                self.answered(message, report);
                self.heard(message, record, report);
            }
            Change::Joined { run, begins } => {
                self.awaited = self.awaited.filter(|awaited| awaited != run);
                self.waiting.push_back(*run);
                self.joined(*run, begins.is_some(), record, report);
            }
            Change::Admitted { run, messages } => {
                self.waiting.retain(|waiting| waiting != run);
                self.working = Some(*run);
                self.told(
                    *run,
                    |event| matches!(event, Event::Admitted { messages: told } if told == messages),
                    report,
                );
            }
            Change::Released { run } => {
                self.working = None;
                self.resting.insert(*run);
            }
            Change::Listens { run } => self.listening.push_back(*run),
            Change::Ignores { run } => self.ignores(*run),
            Change::Ended { run } => {
                self.listening.retain(|listening| listening != run);
                self.waiting.retain(|waiting| waiting != run);
                self.working = self.working.filter(|working| working != run);
                self.resting.remove(run);
                self.ended.insert(*run);
                if self.all.get(run).is_some_and(|history| end(history).is_none()) {
                    report.say("E3", format_args!("record {record}: turn {run} has not ended"));
                }
                self.replied(*run, report);
            }
            Change::ReviewAsked { run, op } => {
                self.review.get_or_insert(None);
                self.handed.extend(op.map(|op| (*run, op)));
            }
            Change::ReviewClaimed { by } => self.review = Some(Some(by)),
            Change::ReviewEnded { .. } => {
                self.review = None;
                for (run, op) in std::mem::take(&mut self.handed) {
                    self.told(run, |event| matches!(event, Event::HandoffEnded { op: of, .. } if *of == op), report);
                }
            }
            Change::Opened(_) | Change::Interrupted { .. } | Change::AgentChanged { .. } => {}
        }
    }

    fn ignores(&mut self, run: RunId) {
        if let Some(at) = self.listening.iter().rposition(|listening| *listening == run) {
            self.listening.remove(at);
        }
    }

    /// A message that a run waits for reaches it.
    fn answered(&mut self, message: &Message, report: &mut Report<'_>) {
        let (Some(id), Some(run)) = (message.id, message.run) else { return };
        if !self.listening.contains(&run) && !self.waiting.contains(&run) {
            self.awaited.get_or_insert(run);
        }
        if self.listening.contains(&run) {
            self.ignores(run);
            // It comes in one batch with the message, so that no end of the run is an excuse.
            let came = |event: &Event| matches!(event, Event::SignalReceived { id: came, .. } if *came == id);
            if self.all.get(&run).is_some_and(|history| !events(history).any(|(_, event)| came(event))) {
                report.say("E5", format_args!("run {run} waits for a message, and was not told of it"));
            }
        }
    }

    /// A run was told of something, unless it ends or is cancelled before.
    fn told(&self, run: RunId, is_it: impl Fn(&Event) -> bool, report: &mut Report<'_>) {
        let Some(history) = self.all.get(&run) else { return };
        let over =
            |event: &Event| is_it(event) || event.is_terminal() || matches!(event, Event::CancelRequested { .. });
        if !events(history).any(|(_, event)| over(event)) {
            report.say("E5", format_args!("turn {run} was never told that it may go on"));
        }
    }

    /// A run that joins knows of it, and is given what the conversation has.
    fn joined(&self, run: RunId, begins: bool, record: u64, report: &mut Report<'_>) {
        let Some(history) = self.all.get(&run) else { return };
        let knows = thread(history).is_some_and(|thread| thread.role.is_turn() && thread.conversation == self.id);
        if !knows {
            report.say("E6", format_args!("record {record}: run {run} joins, and does not know of it"));
        }
        let its = brief(history).cloned().unwrap_or_default();
        let trusted = its.user == self.opening.user && self.brief.metadata.iter().all(|it| its.metadata.contains(it));
        if begins && !trusted {
            report.say("E16", format_args!("record {record}: turn {run} was not given what the conversation has"));
        }
    }

    /// What a run says in the end is what it ended with.
    fn heard(&mut self, message: &Message, record: u64, report: &mut Report<'_>) {
        let (Some(run), Sort::Reply) = (message.run, message.sort) else { return };
        let count = self.replies.entry(run).or_default();
        *count += 1;
        if *count > 1 {
            report.say("E3", format_args!("record {record}: run {run} replies twice"));
        }
        let Some(history) = self.all.get(&run) else { return };
        let same = match (&message.content, end(history)) {
            (Ok(said), Some(Event::Completed { output })) => said == output,
            (
                Err(said),
                Some(Event::Failed { failure } | Event::TimedOut { failure } | Event::Cancelled { failure }),
            ) => said == failure,
            _ => false,
        };
        if !same {
            report.say("E3", format_args!("record {record}: a reply that run {run} did not give"));
        }
    }

    /// A turn that has ended has replied, unless it had nothing to say.
    fn replied(&self, run: RunId, report: &mut Report<'_>) {
        let Some(ended) = self.all.get(&run).and_then(|history| end(history)) else { return };
        let silent = matches!(ended, Event::Completed { output } if *output == Payload::from(&b"null"[..]))
            || self.all.get(&run).is_some_and(|history| handed_off(history));
        if !silent && !self.replies.contains_key(&run) {
            report.say("E3", format_args!("turn {run} has ended, and its reply is not there"));
        }
    }
}

/// Whether a run was handed over to a person, for good.
pub(super) fn handed_off(history: &[Entry]) -> bool {
    events(history).any(|(_, event)| matches!(event, Event::HandoffStarted { handoff, .. } if handoff.for_good))
}

/// A run that is a part of a conversation: it begins when it is its turn, and what it says is heard.
fn turn(run: RunId, history: &[Entry], all: &Histories, report: &mut Report<'_>) {
    let Some(thread) = thread(history) else { return };
    let mut admitted = !thread.role.is_turn();
    let mut said = Vec::new();
    for (entry, event) in events(history) {
        match event {
            Event::Admitted { .. } => admitted = true,
            Event::Started if !admitted => {
                report.say("E12", format_args!("record {}: it starts before it is its turn", entry.version));
            }
            Event::Said { content } => said.push(content),
            _ => {}
        }
    }
    let Some(conversation) = all.get(&thread.conversation).filter(|history| opening(history).is_some()) else { return };
    gave_up(run, history, conversation, report);
    let joined = |change: &Change| matches!(change, Change::Joined { run: joined, .. } if *joined == run);
    if thread.role.is_turn() && !changes(conversation).any(|(_, change)| joined(change)) && end(history).is_none() {
        report.say("E6", "its conversation does not know it");
    }
    let released = |change: &Change| matches!(change, Change::Released { run: rests } if *rests == run);
    let rested = history.iter().any(|entry| entry.transition.suspended);
    if thread.role.is_turn() && rested && !changes(conversation).any(|(_, change)| released(change)) {
        report.say("E4", "it rested, and its conversation did not let others begin");
    }
    let of_run = |(_, change): (_, &'_ Change)| match change {
        Change::Added(message) if message.run == Some(run) && message.sort == Sort::Said && message.id.is_none() => {
            message.content.as_ref().ok().cloned()
        }
        _ => None,
    };
    let heard: Vec<Payload> = changes(conversation).filter_map(of_run).collect();
    if end(conversation).is_none() && !heard.iter().eq(said) {
        report.say("E3", "what it said, and what its conversation heard, differ");
    }
}

/// A run that waits for a message no more is none that its conversation keeps the next one for.
fn gave_up(run: RunId, history: &[Entry], conversation: &[Entry], report: &mut Report<'_>) {
    let (mut open, mut delivered, mut closed) = (BTreeSet::new(), 0_usize, 0_usize);
    for (_, event) in events(history) {
        match event {
            Event::SignalAwaited { op, name, .. } if name == MESSAGE => drop(open.insert(*op)),
            Event::SignalDelivered { op, .. } => delivered += usize::from(open.remove(op)),
            Event::SignalTimedOut { op } | Event::OperationDropped { op } => closed += usize::from(open.remove(op)),
            Event::CancelRequested { .. } | Event::ContinuedAsNew(_) => closed += std::mem::take(&mut open).len(),
            _ => {}
        }
    }
    let count = |is_it: &dyn Fn(&Change) -> bool| changes(conversation).filter(|(_, change)| is_it(change)).count();
    let ignored = count(&|change| matches!(change, Change::Ignores { run: of } if *of == run));
    let begun = count(&|change| matches!(change, Change::Joined { run: of, begins: Some(_) } if *of == run));
    let said = count(&|change| matches!(change, Change::Added(it) if it.run == Some(run) && it.id.is_some()));
    // An answer that came while it ended is nobody's.
    let kept = said.saturating_sub(begun + delivered);
    if end(conversation).is_none() && closed > ignored + kept {
        report.say("E4", "it waits for a message no more, and its conversation was not told");
    }
}

/// Whether it is a conversation that nothing happens in.
pub(super) fn is_idle<'a>(history: impl Iterator<Item = &'a Entry>) -> bool {
    let (mut turns, mut held, mut talks) = (BTreeSet::new(), false, false);
    for event in history.flat_map(|entry| &entry.transition.events) {
        let Event::Conversation(change) = event else { continue };
        talks = true;
        match &**change {
            Change::Joined { run, .. } => drop(turns.insert(*run)),
            Change::Ended { run } => drop(turns.remove(run)),
            Change::ReviewAsked { .. } => held = true,
            Change::ReviewEnded { .. } => held = false,
            _ => {}
        }
    }
    talks && turns.is_empty() && !held
}

/// Turns that wait although nobody works and nobody has the conversation.
pub(super) fn stuck(history: &[Entry]) -> Option<RunId> {
    let (mut waiting, mut working, mut held) = (VecDeque::new(), None, false);
    for (_, change) in changes(history) {
        match change {
            Change::Joined { run, .. } => waiting.push_back(*run),
            Change::Admitted { run, .. } => {
                waiting.retain(|waiting| waiting != run);
                working = Some(*run);
            }
            Change::Released { run } | Change::Ended { run } => {
                waiting.retain(|waiting| waiting != run);
                working = working.filter(|working| working != run);
            }
            Change::ReviewAsked { .. } => held = true,
            Change::ReviewEnded { .. } => held = false,
            _ => {}
        }
    }
    waiting.front().copied().filter(|_| working.is_none() && !held && end(history).is_none())
}
