//! How a conversation stands, as its records and those of its turns say.

use super::Wish;
use super::cards::{Cards, Moved};
use crate::live::asking::Asking;
use crate::live::line::Line;
use rejoin::history::Entry;
use rejoin::{Busy, Conversation, Engine, Event, Follow, Message, OpenApproval, RunError, RunId};
use rejoin_machine::conversation::Change;
use std::collections::BTreeMap;
use std::slice::from_ref;

/// Something to show.
pub(super) enum News {
    Message(Message),
    /// What began or ended on a card.
    Changed(Line),
    /// What is left of a card.
    Ended(Line),
    /// A question that waits for people.
    Asked(OpenApproval),
    Note(String),
}

/// A conversation, and what is under way in it.
pub(super) struct Room {
    pub(super) engine: Engine,
    pub(super) chat: Conversation,
    /// What comes from now on; what was heard of before is passed over.
    pub(super) feed: Follow,
    pub(super) person: Option<String>,
    pub(super) when_busy: Option<Busy>,
    pub(super) cards: Cards,
    pub(super) asking: Asking,
    /// The state of the questions that `asking` knows.
    questions: u64,
    /// The record that was heard of last, and how many messages there were.
    version: u64,
    messages: u64,
    /// Turns that have not ended, and whether they have begun.
    turns: BTreeMap<RunId, bool>,
    /// Runs that wait for the next message, as often as they do.
    listening: Vec<RunId>,
    /// A person is asked to take over, and who has.
    review: Option<Option<String>>,
}

impl Room {
    /// The conversation as it stands, with what was said so far. A person who answers questions at a prompt may be surprised by
    /// them.
    pub(super) async fn open(
        engine: &Engine,
        chat: Conversation,
        wish: &Wish,
        prompted: bool,
    ) -> Result<(Room, Vec<Message>), RunError> {
        let person = wish.person.clone();
        let mut room = Room {
            engine: engine.clone(),
            feed: engine.follow_all(engine.cursor()),
            asking: if prompted { Asking::new(person.clone()) } else { Asking::of_script(person.clone()) }.for_others(),
            person,
            when_busy: wish.when_busy,
            cards: Cards::default(),
            questions: 0,
            version: 0,
            messages: 0,
            turns: BTreeMap::new(),
            listening: Vec::new(),
            review: None,
            chat,
        };
        let history = engine.history(room.chat.id())?;
        for entry in &history {
            room.stand(entry);
        }
        for turn in room.turns.keys().copied().collect::<Vec<_>>() {
            room.cards.begin(engine, turn).await?;
        }
        let messages = Message::of_history(&history);
        room.messages = messages.len() as u64;
        Ok((room, messages))
    }

    /// What is so from the start on and would be told as news.
    pub(super) fn standing(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        match &self.review {
            Some(None) => news.push(News::Note(asked_over())),
            Some(Some(owner)) => news.push(News::Note(format!("{owner} has the conversation"))),
            None => {}
        }
        self.ask(&mut news);
        news
    }

    /// What a record says that came.
    pub(super) async fn hear(&mut self, run: RunId, entry: &Entry) -> Result<Vec<News>, RunError> {
        let mut news = Vec::new();
        if run != self.chat.id() {
            moved(self.cards.hear(run, entry).unwrap_or_default(), &mut news);
        } else if entry.version > self.version {
            let before = self.messages;
            let numbered = |message: Message| Message { number: message.number + before, ..message };
            let said = Message::of_history(from_ref(entry)).into_iter().map(numbered);
            news.extend(said.map(News::Message));
            self.messages += news.len() as u64;
            self.stand(entry);
            for change in changes(entry) {
                if let Change::Joined { run, .. } = change {
                    moved(self.cards.begin(&self.engine, *run).await?, &mut news);
                }
                news.extend(told(change).map(News::Note));
            }
        }
        self.ask(&mut news);
        Ok(news)
    }

    /// Changes how it stands.
    fn stand(&mut self, entry: &Entry) {
        self.version = entry.version;
        for change in changes(entry) {
            match change {
                Change::Joined { run, .. } => drop(self.turns.insert(*run, false)),
                Change::Admitted { run, .. } => drop(self.turns.insert(*run, true)),
                Change::Ended { run } => {
                    self.turns.remove(run);
                    self.listening.retain(|listening| listening != run);
                }
                Change::Listens { run } => self.listening.push(*run),
                Change::Ignores { run } => self.ignores(*run),
                Change::Added(message) if message.id.is_some() => {
                    message.run.into_iter().for_each(|run| self.ignores(run));
                }
                Change::ReviewAsked { .. } => drop(self.review.get_or_insert(None)),
                Change::ReviewClaimed { by } => self.review = Some(Some(by.clone())),
                Change::ReviewEnded { .. } => self.review = None,
                Change::Opened(_)
                | Change::Added(_)
                | Change::Released { .. }
                | Change::Interrupted { .. }
                | Change::AgentChanged { .. } => {}
            }
        }
    }

    fn ignores(&mut self, run: RunId) {
        if let Some(at) = self.listening.iter().rposition(|listening| *listening == run) {
            self.listening.remove(at);
        }
    }

    /// Looks at the questions that wait for people, if they are others than before.
    fn ask(&mut self, news: &mut Vec<News>) {
        let questions = self.cards.questions();
        if questions == self.questions {
            return;
        }
        self.questions = questions;
        // Another run's history may be of no use: the card shows who waits all the same.
        let Ok(mut open) = self.engine.approvals() else { return };
        open.retain(|open| self.cards.has(open.run));
        news.extend(self.asking.update(open).into_iter().map(News::Asked));
    }

    /// Whether nothing goes on before somebody says or does something: all turns have ended, wait for people, or are stuck. A turn
    /// that asks waits for whoever talks.
    pub(super) fn is_settled(&self) -> bool {
        let asks = |turn: &RunId| {
            self.asking.open().iter().any(|open| open.root == *turn) || self.cards.stuck(*turn).is_some()
        };
        let begun = self.turns.iter().filter(|(_, begun)| **begun);
        let mut begun = begun.map(|(turn, _)| turn).peekable();
        // One that waits for its turn waits for the others.
        let is_asked = self.review.is_some() || !self.listening.is_empty();
        is_asked || self.turns.is_empty() || (begun.peek().is_some() && begun.all(asks))
    }

    /// Why a turn stands still for good, if one does.
    pub(super) fn stuck(&self) -> Option<String> {
        let why = self.turns.keys().find_map(|turn| Some((turn, self.cards.stuck(*turn)?)));
        why.map(|(turn, why)| format!("turn {turn} stands still, and goes on when its agent is mended: {why}"))
    }

    /// Who has taken the conversation over.
    pub(super) fn owner(&self) -> Result<&str, String> {
        match &self.review {
            Some(Some(owner)) => Ok(owner),
            Some(None) => Err("nobody has taken the conversation over; /claim PERSON does".to_owned()),
            None => Err("no person is asked to take the conversation over".to_owned()),
        }
    }

    /// What to tell whoever leaves now.
    pub(super) fn left(&self, interrupted: bool) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(open) = self.asking.open().first() {
            notes.push(format!("a question waits for {}", open.persons.join(", ")));
        }
        if self.review.is_some() {
            notes.push("the conversation waits for a person".to_owned());
        }
        if interrupted || !self.turns.is_empty() {
            notes.push("the conversation rests here; the same command goes on with it".to_owned());
        }
        notes
    }
}

fn changes(entry: &Entry) -> impl Iterator<Item = &Change> {
    entry.transition.events.iter().filter_map(|event| match event {
        Event::Conversation(change) => Some(&**change),
        _ => None,
    })
}

fn moved(moved: Moved, news: &mut Vec<News>) {
    news.extend(moved.changes.into_iter().map(News::Changed));
    news.extend(moved.ended.map(News::Ended));
}

/// What a change means to whoever talks, beside messages.
fn told(change: &Change) -> Option<String> {
    match change {
        Change::ReviewAsked { .. } => Some(asked_over()),
        Change::ReviewClaimed { by } => Some(format!("{by} has taken over; /reply TEXT, /release [NOTE]")),
        Change::ReviewEnded { by, .. } => Some(format!("{by} has given the conversation back")),
        Change::AgentChanged { agent, .. } => Some(format!("{agent} answers from now on")),
        Change::Interrupted { .. } => Some("the turn before is interrupted".to_owned()),
        Change::Opened(_)
        | Change::Added(_)
        | Change::Joined { .. }
        | Change::Admitted { .. }
        | Change::Released { .. }
        | Change::Listens { .. }
        | Change::Ignores { .. }
        | Change::Ended { .. } => None,
    }
}

fn asked_over() -> String {
    "a person is asked to take over; /claim PERSON does".to_owned()
}
