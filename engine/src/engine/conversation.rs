//! Conversations from outside: people who talk with agents, people who take over, and lists of them; documents.

use super::{Engine, RunHandle};
use crate::activation::Commission;
use crate::context::options::add_metadata;
use crate::conversation::{self, Busy, Document, Message, TURN, conversation_id};
use crate::error::{RunError, TriggerError};
use crate::failure::{Failure, encode};
use crate::listing::{self, Merged, PLACE, Times};
use crate::projection::{RunRow, RunStatus, TalkRow, document_id, label_key, tables, text_key};
use crate::report::{Action, Actions, Called};
use crate::runtime::Input;
use rejoin_machine::brief::{Brief, Given, Kind, Terms};
use rejoin_machine::conversation::{Command as Talk, Opening, Say};
use rejoin_machine::{
    CONVERSATION, Command, DOCUMENT, Event, FailureKind, Origin, Payload, RunId, SignalId, Target, Timestamp, Trigger,
    Usage,
};
use rejoin_store::StreamId;
use rejoin_store::index::{Listed, prefix};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::future::IntoFuture;
use std::pin::Pin;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Conversation({})", self.id)
    }
}

/// Which conversations to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationFilter {
    /// Those that this agent answered first.
    pub agent: Option<String>,
    /// Those with this person.
    pub user: Option<String>,
    /// Threads of tasks, or those that are none: a person's inbox is `Some(false)`.
    pub task: Option<bool>,
    /// Those not before this time, by their last message.
    pub from: Option<Timestamp>,
    /// Those before this time.
    pub until: Option<Timestamp>,
}

/// A conversation as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationInfo {
    /// Its id.
    pub id: RunId,
    /// Its outside key.
    pub key: Option<String>,
    /// The agent that answered first.
    pub first_agent: String,
    /// When it began.
    pub opened_at: Timestamp,
    /// Whether it is over.
    pub closed: bool,
    /// What lists show.
    pub row: TalkRow,
}

impl ConversationInfo {
    fn new(id: RunId, row: RunRow) -> Option<ConversationInfo> {
        let closed = row.status.is_closed();
        let first = row.labels.into_iter().find(|(name, _)| name == "$agent");
        let first_agent = first.map(|(_, agent)| agent).unwrap_or_default();
        Some(ConversationInfo { id, key: row.key, first_agent, opened_at: row.triggered_at, closed, row: row.talk? })
    }
}

/// A page of conversations, the one with the latest message first.
#[derive(Clone, Debug, Default)]
pub struct ConversationPage {
    /// The conversations.
    pub conversations: Vec<ConversationInfo>,
    /// Where the next page begins; `None` if this is the last one.
    pub next: Option<Vec<u8>>,
}

impl Engine {
    /// A conversation with an agent; await it to open it.
    ///
    /// ```no_run
    /// # async fn example(engine: rejoin::Engine) -> rejoin::Result<()> {
    /// let chat = engine.conversation("support").user("ann").key("slack:C1:1712").await?;
    /// let sent = chat.say("Where is my order?").id("delivery-4711").await?;
    /// sent.settled().await?;
    /// for message in chat.messages(0)? {
    ///     println!("{:?}: {}", message.speaker, message.text());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn conversation(&self, agent: impl Into<String>) -> Open {
        Open {
            engine: self.clone(),
            opening: Opening { agent: agent.into(), user: None, task: false, busy: Busy::Queue },
            key: None,
            given: Given::default(),
            trouble: None,
        }
    }

    /// A conversation that exists already.
    ///
    /// # Errors
    ///
    /// [`RunError::NotFound`] if there is none of this id in the project.
    pub fn find_conversation(&self, id: RunId) -> Result<Conversation, RunError> {
        let row = self.row(id)?.filter(|row| row.talk.is_some() && row.project == self.shared.project);
        row.map(|_| Conversation { engine: self.clone(), id }).ok_or(RunError::NotFound(id))
    }

    /// Lists conversations of the project, at most `limit`, from where an earlier page ended.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`] if the index cannot be read.
    pub fn conversations(
        &self,
        filter: &ConversationFilter,
        from: Option<&[u8]>,
        limit: usize,
    ) -> Result<ConversationPage, RunError> {
        let (log, project) = (&*self.shared.log, &self.shared.project);
        let (table, heads) = match (&filter.user, &filter.agent) {
            (Some(user), _) => (tables::LABEL, vec![label_key(project, "$user", user)]),
            (None, Some(agent)) => (tables::LABEL, vec![label_key(project, "$agent", agent)]),
            (None, None) => {
                let group = listing::group(project, CONVERSATION);
                (tables::LIST, RunStatus::ALL.map(|status| listing::with_status(&group, status)).to_vec())
            }
        };
        let times = Times { from: filter.from, until: filter.until };
        let from = from.filter(|from| from.len() == PLACE);
        let mut entries = Merged::new(log, self.shared.sizes.listed, table, heads, times, from)?;
        let (mut page, mut last) = (ConversationPage::default(), None);
        while let Some((place, Listed { stream, row, .. })) = entries.next()? {
            let row = row.map_or_else(|| log.row(stream), |row| Ok(Some(row)))?;
            let row = row.and_then(|row| RunRow::decode(&row)).filter(|row| row.project == *project);
            let Some(info) = row.and_then(|row| ConversationInfo::new(RunId(stream.0), row)) else { continue };
            if !matches(filter, &info) {
                continue;
            }
            if page.conversations.len() == limit {
                page.next = last;
                break;
            }
            page.conversations.push(info);
            last = Some(place.to_vec());
        }
        Ok(page)
    }

    /// Conversations that a person is asked to take over, or has taken over, longest waiting first.
    ///
    /// # Errors
    ///
    /// [`RunError::Store`] if the index cannot be read.
    pub fn review_queue(&self) -> Result<Vec<ConversationInfo>, RunError> {
        let (mut head, mut end) = (Vec::new(), Vec::new());
        text_key(&mut head, &self.shared.project);
        let flagged = self.shared.log.scan(tables::REVIEW, prefix(&head, &mut end), usize::MAX)?;
        let info = |(_, stream): (_, StreamId)| {
            let row = self.row(RunId(stream.0)).transpose()?;
            row.map(|row| ConversationInfo::new(RunId(stream.0), row)).transpose()
        };
        flagged.into_iter().filter_map(info).collect()
    }

    /// What a run did: its steps, calls and questions, in order.
    ///
    /// # Errors
    ///
    /// As [`Engine::history`].
    pub fn actions(&self, run: RunId) -> Result<Vec<Action>, RunError> {
        Ok(Actions::of(&self.history(run)?))
    }

    /// What a run called, with what came of it, in order.
    ///
    /// # Errors
    ///
    /// As [`Engine::history`].
    pub fn calls(&self, run: RunId) -> Result<Vec<Called>, RunError> {
        Called::of(&self.history(run)?, |child| self.history(child))
    }

    /// What a run has cost, with everything below it.
    ///
    /// # Errors
    ///
    /// As [`Engine::history`].
    pub fn usage(&self, run: RunId) -> Result<Usage, RunError> {
        let (mut usage, mut left) = (Usage::default(), vec![run]);
        while let Some(run) = left.pop() {
            for event in self.history(run)?.iter().flat_map(|entry| &entry.transition.events) {
                if let Event::UsageRecorded(more) = event {
                    usage = usage.plus(*more);
                }
            }
            let mut end = Vec::new();
            let children = self.shared.log.scan(tables::CHILDREN, prefix(&run.0, &mut end), usize::MAX)?;
            left.extend(children.into_iter().map(|(_, StreamId(child))| RunId(child)));
        }
        Ok(usage)
    }

    /// Keeps a document, under its content's hash, until it is [deleted](Engine::delete_document). The same content again is the
    /// same document.
    ///
    /// # Errors
    ///
    /// [`TriggerError::Limit`] if it is larger than a payload may be, or has too long a name.
    pub async fn keep_document(&self, name: &str, content: &[u8]) -> Result<Document, TriggerError> {
        let shared = &self.shared;
        let address = *blake3::hash(content).as_bytes();
        let id = document_id(&shared.project, &address);
        let trigger = Trigger {
            project: shared.project.clone(),
            target: Target { name: DOCUMENT.to_owned(), version: 1 },
            input: Payload::from(content),
            origin: Origin::Api,
            key: None,
            parent: None,
            depth: 0,
            path: vec![DOCUMENT.to_owned()],
            deadline: None,
            labels: vec![("$name".to_owned(), name.to_owned())],
            seed: 0,
        };
        let brief = Brief { kind: Kind::Document, ..Brief::default() };
        let commission = Box::new(Commission::of_run(trigger, brief));
        self.ask(|reply| Input::Trigger { id, commission, reply }).await?;
        let stored = rejoin_machine::brief::Document { name: name.to_owned(), address, bytes: content.len() as u64 };
        Ok(Document { log: Some(shared.log.clone()), project: shared.project.clone(), stored })
    }

    /// Deletes a document. Runs that were given it and have not read it cannot any more.
    ///
    /// # Errors
    ///
    /// [`RunError::NotFound`] if it is not there.
    pub async fn delete_document(&self, document: &Document) -> Result<(), RunError> {
        let handle = self.run::<Value>(document_id(&self.shared.project, &document.stored.address));
        handle.delete().await
    }
}

fn matches(filter: &ConversationFilter, info: &ConversationInfo) -> bool {
    filter.agent.as_ref().is_none_or(|agent| info.first_agent == *agent)
        && filter.user.as_ref().is_none_or(|user| info.row.user.as_ref() == Some(user))
        && filter.task.is_none_or(|task| info.row.task == task)
}

/// A conversation that has not been opened; await it.
#[must_use = "a conversation is opened when it is awaited"]
pub struct Open {
    engine: Engine,
    opening: Opening,
    key: Option<String>,
    given: Given,
    trouble: Option<Failure>,
}

impl Open {
    /// The person whom it is with, who is declared with [`Builder::person`](crate::Builder::person). Where nobody is named, it
    /// is headless: what needs a user is refused.
    pub fn user(mut self, person: impl Into<String>) -> Self {
        self.opening.user = Some(person.into());
        self
    }

    /// An outside key, a chat thread's say: the same key again is the same conversation.
    pub fn key(self, key: impl Into<String>) -> Self {
        Open { key: Some(key.into()), ..self }
    }

    /// What becomes of a message that comes while a turn works; it waits, where nothing is said.
    pub fn when_busy(mut self, busy: Busy) -> Self {
        self.opening.busy = busy;
        self
    }

    /// Metadata of all its turns.
    pub fn metadata<V: Serialize + ?Sized>(mut self, name: impl Into<String>, value: &V) -> Self {
        let added = add_metadata(&mut self.given, name.into(), value);
        self.trouble = self.trouble.or(added.err());
        self
    }

    async fn open(self) -> Result<Conversation, TriggerError> {
        let Open { engine, opening, key, given, trouble } = self;
        let shared = &engine.shared;
        let refuse = |failure: Failure| TriggerError::BadInput {
            workflow: opening.agent.clone(),
            reason: failure.message().to_owned(),
        };
        if let Some(failure) = trouble {
            return Err(refuse(failure));
        }
        let unknown = |failure: Failure| TriggerError::UnknownWorkflow(failure.message().to_owned());
        shared.registry.resolve(&opening.agent, Some(TURN)).map_err(unknown)?;
        if let Some(person) = opening.user.as_ref().filter(|person| !shared.registry.is_person(person)) {
            return Err(TriggerError::UnknownPerson { person: person.clone() });
        }
        let now = shared.ports.clock.now();
        let id = match &key {
            Some(key) => conversation_id(&shared.project, key),
            None => super::request::new_id(now, || shared.ports.entropy.next()),
        };
        let brief = Brief::of_root(Terms { given, ..Terms::default() }, None, now);
        brief
            .check(&opening.agent, &rejoin_machine::brief::Callee::default(), &shared.settings.limits)
            .map_err(TriggerError::Limit)?;
        let seed = shared.ports.entropy.next();
        let trigger = Trigger::of_conversation(&shared.project, &opening, key, Origin::Api, seed);
        let commission = Box::new(Commission::of_conversation(trigger, brief, opening));
        engine.ask(|reply| Input::Trigger { id, commission, reply }).await?;
        Ok(Conversation { engine, id })
    }
}

impl IntoFuture for Open {
    type Output = Result<Conversation, TriggerError>;
    type IntoFuture = Boxed<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

/// A conversation. Cheap to clone.
#[derive(Clone)]
pub struct Conversation {
    engine: Engine,
    id: RunId,
}

impl Conversation {
    /// Its id.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Says something to the agent; await it.
    pub fn say<T: Serialize + ?Sized>(&self, message: &T) -> Saying {
        let entropy = &self.engine.shared.ports.entropy;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&entropy.next().to_le_bytes());
        id[8..].copy_from_slice(&entropy.next().to_le_bytes());
        let content = encode("the message", message);
        let given = Given::default();
        Saying { conversation: self.clone(), id: SignalId(id), by: None, content, busy: None, given }
    }

    /// Its messages behind the first `after`, oldest first.
    ///
    /// # Errors
    ///
    /// [`RunError::Failed`] if they cannot be read.
    pub fn messages(&self, after: u64) -> Result<Vec<Message>, RunError> {
        conversation::read(&*self.engine.shared.log, self.id, after).map_err(RunError::Failed)
    }

    /// How it stands.
    ///
    /// # Errors
    ///
    /// [`RunError::NotFound`] if it is not there any more.
    pub fn info(&self) -> Result<ConversationInfo, RunError> {
        let row = self.engine.row(self.id)?.ok_or(RunError::NotFound(self.id))?;
        ConversationInfo::new(self.id, row).ok_or(RunError::NotFound(self.id))
    }

    /// Waits for messages behind the first `after`, and returns them; none if it is over.
    ///
    /// # Errors
    ///
    /// [`RunError`] if it cannot be read, or the engine has stopped.
    pub async fn next_messages(&self, after: u64) -> Result<Vec<Message>, RunError> {
        // What comes behind what is read now.
        let records = self.engine.row(self.id)?.ok_or(RunError::NotFound(self.id))?.records;
        let mut follow = self.engine.follow_from(self.id, records + 1);
        loop {
            let messages = self.messages(after)?;
            let over = messages.is_empty() && self.info()?.closed;
            if !messages.is_empty() || over || follow.next().await?.is_none() {
                return Ok(messages);
            }
        }
    }

    /// A person takes over, who was asked for.
    ///
    /// # Errors
    ///
    /// [`RunError::Rejected`]: nobody was asked for, or somebody else has taken over; [`RunError::UnknownPerson`].
    pub async fn claim(&self, person: &str) -> Result<(), RunError> {
        self.known(person)?;
        self.command(Talk::Claim { by: person.to_owned() }).await
    }

    /// The person who has taken over says something.
    ///
    /// # Errors
    ///
    /// [`RunError::Rejected`] if somebody else has, or nobody.
    pub async fn reply<T: Serialize + ?Sized>(&self, person: &str, message: &T) -> Result<(), RunError> {
        let content =
            encode("the message", message).map_err(|failure| RunError::Payload(failure.message().to_owned()))?;
        self.command(Talk::Reply { by: person.to_owned(), content }).await
    }

    /// The person gives it back: the flow that waits goes on, with the note.
    ///
    /// # Errors
    ///
    /// As [`Conversation::reply`].
    pub async fn release(&self, person: &str, note: Option<&Value>) -> Result<(), RunError> {
        let note = note.map(|note| encode("the note", note)).transpose();
        let note = note.map_err(|failure| RunError::Payload(failure.message().to_owned()))?;
        self.command(Talk::EndReview { by: person.to_owned(), note }).await
    }

    /// Ends it: nothing can be said any more.
    ///
    /// # Errors
    ///
    /// [`RunError::Rejected`] if a turn has not ended, or a person is asked to take over.
    pub async fn close(&self) -> Result<(), RunError> {
        self.command(Talk::Close).await
    }

    fn known(&self, person: &str) -> Result<(), RunError> {
        match self.engine.shared.registry.is_person(person) {
            true => Ok(()),
            false => Err(RunError::UnknownPerson { person: person.to_owned() }),
        }
    }

    async fn command(&self, command: Talk) -> Result<(), RunError> {
        let (run, command) = (self.id, Command::Conversation(Box::new(command)));
        self.engine.ask(|reply| Input::Command { run, command, reply }).await
    }
}

/// Something that has not been said; await it. When that succeeds it is durable, and its turn will come.
#[must_use = "a message is said when it is awaited"]
pub struct Saying {
    conversation: Conversation,
    id: SignalId,
    by: Option<String>,
    content: Result<Payload, Failure>,
    busy: Option<Busy>,
    given: Given,
}

impl Saying {
    /// A name for this very message: one of the same name that came before is not taken again.
    pub fn id(mut self, id: &str) -> Self {
        let hash = blake3::hash(id.as_bytes());
        self.id.0.copy_from_slice(&hash.as_bytes()[..16]);
        self
    }

    /// Who says it, in a conversation with no person or several.
    pub fn by(self, who: impl Into<String>) -> Self {
        Saying { by: Some(who.into()), ..self }
    }

    /// What becomes of it while a turn works, in place of what the conversation says.
    pub fn when_busy(self, busy: Busy) -> Self {
        Saying { busy: Some(busy), ..self }
    }

    fn give(mut self, change: impl FnOnce(&mut Given) -> Result<(), Failure>) -> Self {
        if let Err(failure) = change(&mut self.given) {
            self.content = Err(failure);
        }
        self
    }

    async fn send(self) -> Result<Sent, RunError> {
        let Saying { conversation, id, by, content, busy, given } = self;
        let content = content.map_err(|failure| RunError::Payload(failure.message().to_owned()))?;
        let terms = Terms { given, ..Terms::default() };
        // Who answers is looked up when it is taken.
        let nobody = rejoin_machine::Failure::new(FailureKind::Refused, "unknown-agent", "nobody answers");
        let say = Say { id, by, content, busy, target: Err(nobody), terms };
        conversation.command(Talk::Say(Box::new(say))).await?;
        let run = conversation.id.turn(id);
        let log = &conversation.engine.shared.log;
        let turn = log.head(StreamId(run.0)).map(|_| conversation.engine.run(run));
        Ok(Sent { turn })
    }
}

crate::context::options::options!(Saying);

impl IntoFuture for Saying {
    type Output = Result<Sent, RunError>;
    type IntoFuture = Boxed<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// A message that was taken.
pub struct Sent {
    /// The turn that answers it; `None` where a person has the conversation, another turn answers it as well, or a run
    /// [waits for it](crate::Context::ask).
    pub turn: Option<RunHandle<Value>>,
}

impl Sent {
    /// Waits until its turn has ended, well or not; not at all where it has none.
    ///
    /// # Errors
    ///
    /// [`RunError`] if that cannot be known; a turn that fails says so in the conversation.
    pub async fn settled(&self) -> Result<(), RunError> {
        match &self.turn {
            Some(turn) => match turn.result().await {
                Ok(_) | Err(RunError::Failed(_)) => Ok(()),
                Err(error) => Err(error),
            },
            None => Ok(()),
        }
    }

    /// Waits for the reply of its turn.
    ///
    /// # Errors
    ///
    /// [`RunError::Failed`] if the turn fails, or there is none.
    pub async fn reply<T: DeserializeOwned>(&self) -> Result<T, RunError> {
        let none = || RunError::Failed(Failure::permanent("no turn answers this message"));
        let reply = self.turn.as_ref().ok_or_else(none)?.result().await?;
        serde_json::from_value(reply).map_err(|error| RunError::Failed(Failure::payload("the reply", &error)))
    }
}
