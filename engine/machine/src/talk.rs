//! The state of a conversation, and what is decided in it.

use crate::brief::{Brief, Terms};
use crate::command::Command as Asked;
use crate::conversation::{Busy, Change, Command, Message, Opening, Say, Sort, Speaker};
use crate::effect::Effect;
use crate::error::Rejection;
use crate::event::Event;
use crate::failure::Failure;
use crate::id::{OpNo, Payload, RunId};
use crate::limits::Limits;
use crate::listen::is_plain;
use crate::run::{Decision, Run, Status};
use crate::time::Timestamp;
use crate::trigger::{Origin, Target, Trigger};
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// The state of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Talk {
    /// How it began.
    pub opening: Opening,
    /// The agent that answers.
    pub agent: String,
    /// How many messages it has.
    pub messages: u64,
    /// The turn that works.
    pub working: Option<RunId>,
    /// Turns that wait, first in, first out; and whether they answer messages as such.
    pub waiting: VecDeque<(RunId, bool)>,
    /// Turns that rest and have not ended.
    pub resting: BTreeSet<RunId>,
    /// A person is asked to take over.
    pub review: Option<Review>,
    /// Runs that wait for the next message, whoever asked last at the end: that is whom people answer.
    pub listening: Vec<RunId>,
}

/// A person is asked to take over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// Since when.
    pub since: Timestamp,
    /// Who has.
    pub owner: Option<String>,
    /// Turns that wait for its end.
    pub waiting: Vec<(RunId, OpNo)>,
}

impl Talk {
    fn new(opening: Opening) -> Talk {
        let agent = opening.agent.clone();
        Talk {
            opening,
            agent,
            messages: 0,
            working: None,
            waiting: VecDeque::new(),
            resting: BTreeSet::new(),
            review: None,
            listening: Vec::new(),
        }
    }

    /// Turns that have not ended.
    pub fn turns(&self) -> impl Iterator<Item = RunId> + '_ {
        self.working.iter().copied().chain(self.resting.iter().copied()).chain(self.waiting.iter().map(|(run, _)| *run))
    }

    fn has(&self, run: RunId) -> bool {
        self.turns().any(|turn| turn == run)
    }

    pub(crate) fn speaker(&self, by: Option<String>) -> Speaker {
        by.or_else(|| self.opening.user.clone()).map_or(Speaker::Anonymous, Speaker::User)
    }

    /// The next turn, if nobody works: `but` is about to leave, and `further` messages are about to come.
    fn admission(&self, but: Option<RunId>, further: u64) -> Option<Change> {
        if self.review.is_some() || self.working.is_some_and(|working| Some(working) != but) {
            return None;
        }
        let next = self.waiting.iter().map(|(run, _)| *run).find(|run| Some(*run) != but)?;
        Some(Change::Admitted { run: next, messages: self.messages + further })
    }

    fn owned_by(&self, by: &str) -> Result<&Review, Rejection> {
        let review = self.review.as_ref().ok_or(Rejection::NoReview)?;
        match &review.owner {
            Some(owner) if owner == by => Ok(review),
            owner => Err(Rejection::NotTheOwner { owner: owner.clone() }),
        }
    }

    fn say(&self, turn: RunId, target: Target, say: Say) -> Result<Vec<Change>, Rejection> {
        let Say { id, by, content, busy, terms, .. } = say;
        let busy = busy.unwrap_or(self.opening.busy);
        // A person has it: what is said is kept, and nobody else answers.
        let held = self.review.is_some();
        let is_busy = self.working.is_some() || !self.waiting.is_empty();
        if is_busy && busy == Busy::Reject {
            return Err(Rejection::ConversationBusy);
        }
        let joins = busy == Busy::Coalesce && is_plain(terms.given);
        let joined = self.waiting.back().filter(|(_, chat)| *chat && joins).map(|(run, _)| *run);
        let run = joined.or((!held).then_some(turn));
        let message = Message { speaker: self.speaker(by), sort: Sort::Said, content: Ok(content), run, id: Some(id) };
        let mut changes = vec![Change::Added(message)];
        if held || joined.is_some() {
            return Ok(changes);
        }
        if busy == Busy::Interrupt {
            let open = self.working.iter().chain(&self.resting);
            changes.extend(open.map(|run| Change::Interrupted { run: *run }));
        }
        changes.push(Change::Joined { run: turn, begins: Some(target) });
        if !is_busy {
            changes.push(Change::Admitted { run: turn, messages: self.messages + 1 });
        }
        Ok(changes)
    }

    fn join(&self, run: RunId, message: Option<Message>, takes_over: Option<String>) -> Result<Vec<Change>, Rejection> {
        if self.has(run) {
            return Err(Rejection::Stale);
        }
        let further = u64::from(message.is_some());
        let mut changes: Vec<Change> = message.into_iter().map(Change::Added).collect();
        changes.extend(takes_over.map(|agent| Change::AgentChanged { agent, run }));
        changes.push(Change::Joined { run, begins: None });
        if self.working.is_none() && self.waiting.is_empty() && self.review.is_none() {
            changes.push(Change::Admitted { run, messages: self.messages + further });
        }
        Ok(changes)
    }

    fn end(&self, run: RunId, agent: String, result: Option<Result<Payload, Failure>>) -> Vec<Change> {
        let reply = result.map(|content| {
            let speaker = Speaker::Agent(agent);
            Change::Added(Message { speaker, sort: Sort::Reply, content, run: Some(run), id: None })
        });
        let further = u64::from(reply.is_some());
        let mut changes: Vec<Change> = reply.into_iter().collect();
        if self.has(run) {
            changes.push(Change::Ended { run });
            changes.extend(self.admission(Some(run), further));
        } else {
            // It is no turn, and only spoke in it.
            let asked = self.listening.iter().filter(|listening| **listening == run);
            changes.extend(asked.map(|_| Change::Ignores { run }));
        }
        changes
    }

    fn ask_review(&self, run: RunId, op: Option<OpNo>, message: Message) -> Vec<Change> {
        vec![Change::Added(message), Change::ReviewAsked { run, op }]
    }

    fn claim(&self, by: String) -> Result<Vec<Change>, Rejection> {
        let review = self.review.as_ref().ok_or(Rejection::NoReview)?;
        match &review.owner {
            None => Ok(vec![Change::ReviewClaimed { by }]),
            owner => Err(Rejection::NotTheOwner { owner: owner.clone() }),
        }
    }

    fn end_review(&self, by: String, note: Option<Payload>) -> Result<Vec<Change>, Rejection> {
        self.owned_by(&by)?;
        let mut changes = vec![Change::ReviewEnded { by, note }];
        if self.working.is_none()
            && let Some((run, _)) = self.waiting.front()
        {
            changes.push(Change::Admitted { run: *run, messages: self.messages });
        }
        Ok(changes)
    }

    /// What a change asks of the turns.
    fn consequences(&self, change: &Change) -> Vec<Effect> {
        let tell = |run: RunId, command: Asked| Effect::Tell { to: run, command: Box::new(command) };
        match change {
            Change::Added(message) => self.heard_by(message).map(|(run, heard)| tell(run, heard)).into_iter().collect(),
            Change::Admitted { run, messages } => vec![tell(*run, Asked::Admit { messages: *messages, start: true })],
            Change::Interrupted { run } => vec![tell(*run, Asked::Interrupt)],
            Change::ReviewEnded { by, note } => {
                let waiting = self.review.iter().flat_map(|review| &review.waiting);
                let end = |op: OpNo| Asked::EndHandoff { op, by: by.clone(), note: note.clone() };
                waiting.map(|(run, op)| tell(*run, end(*op))).collect()
            }
            Change::Opened(_)
            | Change::Joined { .. }
            | Change::Released { .. }
            | Change::Ended { .. }
            | Change::AgentChanged { .. }
            | Change::ReviewAsked { .. }
            | Change::ReviewClaimed { .. }
            | Change::Listens { .. }
            | Change::Ignores { .. } => Vec::new(),
        }
    }

    fn apply(&mut self, change: &Change, time: Timestamp) -> bool {
        match change {
            Change::Opened(_) => false,
            Change::Added(message) => {
                self.messages += 1;
                if let Some((run, _)) = self.heard_by(message) {
                    self.stop_listening(run);
                }
                true
            }
            Change::Joined { run, begins } => {
                let new = !self.has(*run);
                self.waiting.push_back((*run, begins.is_some()));
                new
            }
            Change::Admitted { run, messages } => {
                let fits = self.working.is_none() && *messages == self.messages && self.review.is_none();
                fits && self.leave_the_queue(*run) && self.working.replace(*run).is_none()
            }
            Change::Released { run } => {
                let works = self.working == Some(*run);
                self.working = self.working.filter(|_| !works);
                works && self.resting.insert(*run)
            }
            Change::Listens { run } => {
                self.listening.push(*run);
                true
            }
            Change::Ignores { run } => self.stop_listening(*run),
            Change::Ended { run } => {
                self.listening.retain(|listening| listening != run);
                let worked = self.working == Some(*run);
                self.working = self.working.filter(|_| !worked);
                worked || self.resting.remove(run) || self.leave_the_queue(*run)
            }
            Change::Interrupted { run } => self.has(*run),
            Change::AgentChanged { agent, .. } => {
                self.agent.clone_from(agent);
                true
            }
            Change::ReviewAsked { run, op } => {
                let review = self.review.get_or_insert_with(|| Review { since: time, ..Review::default() });
                review.waiting.extend(op.map(|op| (*run, op)));
                true
            }
            Change::ReviewClaimed { by } => match &mut self.review {
                Some(review) => review.owner.replace(by.clone()).is_none(),
                None => false,
            },
            Change::ReviewEnded { by, .. } => {
                self.owned_by(by).is_ok() && {
                    self.review = None;
                    true
                }
            }
        }
    }

    fn leave_the_queue(&mut self, run: RunId) -> bool {
        let Some(at) = self.waiting.iter().position(|(waiting, _)| *waiting == run) else { return false };
        self.waiting.remove(at).is_some()
    }
}

impl Run {
    /// What it is as a conversation, if it is one.
    pub fn talk(&self) -> Option<&Talk> {
        self.talk.as_deref()
    }

    pub(crate) fn decide_conversation(&self, command: Command, limits: &Limits, now: Timestamp) -> Decision {
        let talk = self.talk.as_deref().ok_or(Rejection::NoConversation)?;
        if let Command::Say(say) = &command
            && self.signals_seen.contains(&say.id)
        {
            return Err(Rejection::DuplicateSignal);
        }
        self.check_alive()?;
        let changes = match command {
            Command::Say(say) => {
                let bytes = say.content.len();
                Rejection::check_size("a message", bytes, limits.payload_bytes)?;
                if let Some(run) = talk.listener(&say) {
                    return Ok(vec![Event::Conversation(Box::new(talk.answer(run, *say)))]);
                }
                Rejection::check_count("turns that wait", talk.waiting.len(), limits.waiting_turns)?;
                let target = say.target.clone().map_err(|why| Rejection::NoAnswer { why })?;
                self.check_turn(&target, &say, now, limits)?;
                talk.say(self.id.turn(say.id), target, *say)?
            }
            Command::Join { run, message, takes_over } => talk.join(run, message, takes_over)?,
            Command::Add(message) => vec![Change::Added(message)],
            Command::Release { run } if talk.working == Some(run) => {
                let mut changes = vec![Change::Released { run }];
                changes.extend(talk.admission(Some(run), 0));
                changes
            }
            Command::Release { .. } => return Err(Rejection::Stale),
            Command::Listen { .. } if talk.opening.task => return Err(Rejection::NoConversation),
            Command::Listen { run } => vec![Change::Listens { run }],
            Command::Ignore { run } if talk.listening.contains(&run) => vec![Change::Ignores { run }],
            Command::Ignore { .. } => return Err(Rejection::Stale),
            Command::End { run, agent, result } => talk.end(run, agent, result),
            Command::AskReview { run, op, message } => talk.ask_review(run, op, message),
            Command::Claim { by } => talk.claim(by)?,
            Command::Reply { by, content } => {
                Rejection::check_size("a message", content.len(), limits.payload_bytes)?;
                talk.owned_by(&by)?;
                let speaker = Speaker::Person(by);
                vec![Change::Added(Message { speaker, sort: Sort::Said, content: Ok(content), run: None, id: None })]
            }
            Command::EndReview { by, note } => {
                Rejection::check_size("a note", note.as_ref().map_or(0, Payload::len), limits.payload_bytes)?;
                talk.end_review(by, note)?
            }
            Command::Close if talk.turns().next().is_some() || talk.review.is_some() => {
                return Err(Rejection::ConversationBusy);
            }
            Command::Close => return Ok(vec![Event::Completed { output: Payload::from(&b"null"[..]) }]),
        };
        Ok(changes.into_iter().map(|change| Event::Conversation(Box::new(change))).collect())
    }

    /// Whether the message's turn may begin, as far as the metadata and the user that it needs are concerned.
    fn check_turn(&self, target: &Target, say: &Say, now: Timestamp, limits: &Limits) -> Result<(), Rejection> {
        let brief = self.brief_of_turn(say.terms.clone(), now);
        brief.check(&target.name, &say.terms.callee, limits)
    }

    /// The trigger and the brief of a turn that a message begins.
    pub(crate) fn turn_of(
        &self,
        joined: &Event,
        input: Payload,
        terms: Terms,
        now: Timestamp,
    ) -> Option<(Trigger, Brief)> {
        let Event::Conversation(change) = joined else { return None };
        let Change::Joined { run, begins: Some(target) } = &**change else { return None };
        let trigger = Trigger {
            project: self.trigger.project.clone(),
            target: target.clone(),
            input,
            origin: Origin::Message,
            key: None,
            parent: None,
            depth: 0,
            path: vec![target.name.clone()],
            deadline: None,
            labels: Vec::new(),
            seed: run.seed(self.trigger.seed),
        };
        Some((trigger, self.brief_of_turn(terms, now)))
    }

    pub(crate) fn conversation_consequences(&self, change: &Change) -> Vec<Effect> {
        self.talk.iter().flat_map(|talk| talk.consequences(change)).collect()
    }

    /// What the end of a conversation means for its turns.
    pub(crate) fn end_turns(&self) -> BTreeSet<RunId> {
        let Some(talk) = &self.talk else { return BTreeSet::new() };
        let handed_over = talk.review.iter().flat_map(|review| review.waiting.iter().map(|(run, _)| *run));
        talk.turns().chain(handed_over).chain(talk.listening.iter().copied()).collect()
    }

    pub(crate) fn change_conversation(&mut self, change: &Change, time: Timestamp) -> bool {
        match (change, &mut self.talk) {
            (Change::Opened(opening), talk @ None) => {
                *talk = Some(Box::new(Talk::new(opening.clone())));
                self.status = Status::Running;
                true
            }
            (change, Some(talk)) => {
                if let Change::Added(Message { id: Some(id), .. }) = change
                    && !self.signals_seen.insert(*id)
                {
                    return false;
                }
                talk.apply(change, time)
            }
            (_, None) => false,
        }
    }
}
