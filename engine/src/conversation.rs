//! Conversations, as those who take part in them see them: turns, messages, documents.

use crate::failure::{Failure, decode};
use crate::history::Entry;
use crate::report::TaskResult;
use rejoin_machine::conversation::{Change, Message as Stored};
use rejoin_machine::{Event, Payload, RunId, Timestamp};
use rejoin_store::{Log, StreamId, Version};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

pub use rejoin_machine::conversation::{Busy, Sort, Speaker};

/// The log that references are read from; none where histories are only replayed.
pub(crate) type Reader = Option<Arc<dyn Log>>;

fn reader(log: &Reader) -> Result<&dyn Log, Failure> {
    log.as_deref().ok_or_else(|| Failure::permanent("there is no log here to read from"))
}

/// The id of the conversation with an outside key.
pub(crate) fn conversation_id(project: &str, key: &str) -> RunId {
    let mut hasher = blake3::Hasher::new();
    for part in ["conversation", project, key] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    RunId::hashed(hasher.finalize().as_bytes())
}

/// The job by which an agent answers messages.
pub(crate) const TURN: &str = "turn";

/// What an agent is asked to answer: the input of its job `turn`, see [`Job::turns`](crate::Job::turns).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// What was said: a text, as a rule.
    pub message: Value,
    /// Who said it; nobody in a conversation whose person is not known.
    pub from: Option<String>,
    /// Its number in the conversation, from 1.
    pub number: u64,
}

impl Turn {
    pub(crate) fn from_message(from: Option<&String>, number: u64, content: &Payload) -> Result<Turn, Failure> {
        Ok(Turn { message: decode("the message", content)?, from: from.cloned(), number })
    }

    /// The message as a text; of one that is none, its JSON.
    pub fn text(&self) -> String {
        text_of(&self.message)
    }
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its number, from 1.
    pub number: u64,
    /// When it came.
    pub at: Timestamp,
    /// Who said it.
    pub speaker: Speaker,
    /// What it is.
    pub sort: Sort,
    /// What was said, or why there is nothing to say.
    pub content: Result<Value, Failure>,
    /// The turn that answers it, or that said it.
    pub run: Option<RunId>,
}

impl Message {
    pub(crate) fn from_stored(number: u64, at: Timestamp, stored: Stored, task: bool) -> Message {
        let Stored { speaker, sort, content, run, .. } = stored;
        let content = content.map_err(Failure::from_stored).and_then(|content| decode("the message", &content));
        // What a task results in is a report, of which the result is what it says.
        let content = match content {
            Ok(content) if task && sort == Sort::Reply => {
                let report = TaskResult::deserialize(&content);
                Ok(report.map_or(content, |report| report.output))
            }
            content => content,
        };
        Message { number, at, speaker, sort, content, run }
    }

    /// The messages in the history of a conversation, oldest first; none in that of a run.
    pub fn of_history(history: &[Entry]) -> Vec<Message> {
        let (mut messages, mut task) = (Vec::new(), false);
        for entry in history {
            for event in &entry.transition.events {
                let Event::Conversation(change) = event else { continue };
                match &**change {
                    Change::Opened(opening) => task = opening.task,
                    Change::Added(stored) => {
                        let number = messages.len() as u64 + 1;
                        messages.push(Message::from_stored(number, entry.time, stored.clone(), task));
                    }
                    _ => {}
                }
            }
        }
        messages
    }

    /// It as a text: a task's description, what is shown when a person takes over or gives back, a failure's message; of other
    /// content that is no text, its JSON.
    pub fn text(&self) -> String {
        let named = match self.sort {
            Sort::Task => Some("description"),
            Sort::Handoff | Sort::HandoffEnd => Some("text"),
            Sort::Said | Sort::Reply => None,
        };
        match &self.content {
            Ok(content) => text_of(named.and_then(|name| content.get(name)).unwrap_or(content)),
            Err(failure) => failure.message().to_owned(),
        }
    }
}

pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A part of a conversation that a run may read: up to where it stood when the run was given it. It is a reference, and can
/// be taken into steps; what it refers to does not change.
#[derive(Clone)]
pub struct Thread {
    pub(crate) log: Reader,
    /// The conversation.
    pub(crate) conversation: RunId,
    pub(crate) messages: u64,
}

impl Thread {
    /// The conversation's id.
    pub fn id(&self) -> RunId {
        self.conversation
    }

    /// How many messages it has.
    pub fn len(&self) -> u64 {
        self.messages
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// The messages, oldest first. To be read in a step: they are not recorded with the run.
    ///
    /// # Errors
    ///
    /// A transient [`Failure`] if the log cannot be read, a final one if the conversation is not there any more.
    pub fn messages(&self) -> Result<Vec<Message>, Failure> {
        let all = read(reader(&self.log)?, self.conversation, 0)?;
        Ok(all.into_iter().take_while(|message| message.number <= self.messages).collect())
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thread({} messages of {})", self.messages, self.conversation)
    }
}

/// The messages of a conversation behind the first `after` ones.
pub(crate) fn read(log: &dyn Log, conversation: RunId, after: u64) -> Result<Vec<Message>, Failure> {
    let records = log.read(StreamId(conversation.0), Version(1), usize::MAX)?;
    if records.is_empty() {
        return Err(Failure::permanent(format!("there is no conversation {conversation}")));
    }
    let history = records.iter().map(Entry::decode).collect::<Result<Vec<Entry>, _>>()?;
    let mut messages = Message::of_history(&history);
    messages.retain(|message| message.number > after);
    Ok(messages)
}

/// A document that is kept under its content's hash: the same content is kept once. A reference; it can be taken into steps.
#[derive(Clone)]
pub struct Document {
    pub(crate) log: Reader,
    pub(crate) project: String,
    pub(crate) stored: rejoin_machine::brief::Document,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({:?}, {})", self.name(), self.address())
    }
}

impl Document {
    /// What it is called here.
    pub fn name(&self) -> &str {
        &self.stored.name
    }

    /// Its address: the BLAKE3 hash of its content, as 64 hexadecimal digits.
    pub fn address(&self) -> String {
        blake3::Hash::from_bytes(self.stored.address).to_hex().to_string()
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.stored.bytes
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.stored.bytes == 0
    }

    /// Its content. To be read in a step: it is not recorded with the run.
    ///
    /// # Errors
    ///
    /// A [`Failure`] if it cannot be read, or is not there any more.
    pub fn read(&self) -> Result<Vec<u8>, Failure> {
        let id = crate::projection::document_id(&self.project, &self.stored.address);
        let lost = || Failure::permanent(format!("document {:?} is not there any more", self.stored.name));
        let records = reader(&self.log)?.read(StreamId(id.0), Version(1), 1)?;
        let entry = Entry::decode(records.first().ok_or_else(lost)?)?;
        match entry.transition.events.first() {
            Some(Event::Triggered(trigger)) => Ok(trigger.input.bytes().to_vec()),
            _ => Err(lost()),
        }
    }

    /// Its content, from JSON.
    ///
    /// # Errors
    ///
    /// As [`Document::read`], or that it is not JSON of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        decode("the document", &Payload::from(self.read()?))
    }
}
