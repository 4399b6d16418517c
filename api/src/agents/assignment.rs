//! What an agent that works elsewhere is asked, as one JSON object. Metadata is no part of it: that goes past every agent.

use super::trouble::passing;
use rejoin::{Attempt, Complaint, Context, Document, Failure, Message, RunId, Speaker, Task, Thread, Turn};
use serde::Serialize;
use serde_json::{Map, Value};

/// The most messages of a conversation that go along with a turn: the last ones.
const MESSAGES: usize = 50;

/// What the agent is to do.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Asked {
    /// A job by name, or without one.
    Job { input: Value },
    /// A task in words.
    Task {
        task: String,
        /// The JSON Schema of the answer.
        #[serde(skip_serializing_if = "Option::is_none")]
        schema: Option<Value>,
        /// What was wrong with the answer before.
        #[serde(skip_serializing_if = "Option::is_none")]
        complaint: Option<Complaint>,
    },
    /// A message to answer.
    Turn { message: String, from: Option<String>, number: u64 },
}

impl From<Task> for Asked {
    fn from(task: Task) -> Asked {
        Asked::Task { task: task.description, schema: task.output, complaint: task.complaint }
    }
}

impl From<Turn> for Asked {
    fn from(turn: Turn) -> Asked {
        Asked::Turn { message: turn.text(), number: turn.number, from: turn.from }
    }
}

/// What a handler knows of its run, to be taken into a step.
pub(super) struct Work {
    asked: Asked,
    pub(super) run: RunId,
    job: Option<String>,
    occasion: Option<String>,
    thread: Option<Thread>,
    documents: Vec<Document>,
    is_subagent: bool,
    visitor: Map<String, Value>,
}

/// One attempt of it, as the agent reads it.
#[derive(Serialize)]
pub(super) struct Assignment<'a, D> {
    job: Option<&'a str>,
    #[serde(flatten)]
    asked: &'a Asked,
    attempt: u32,
    /// The same for each attempt of this work, and of no other.
    pub(super) key: String,
    /// Whether this is a part of the agent's own work, which it has given to itself.
    subagent: bool,
    conversation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    occasion: Option<&'a str>,
    /// What was said before, where the agent answers in a conversation or the caller shares it.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Said>>,
    /// What is known of a visitor, and not to be trusted.
    #[serde(skip_serializing_if = "Map::is_empty")]
    visitor: &'a Map<String, Value>,
    documents: Vec<D>,
}

/// A message of the conversation.
#[derive(Serialize)]
struct Said {
    number: u64,
    speaker: &'static str,
    name: Option<String>,
    text: String,
}

impl Work {
    pub(super) fn new(ctx: &Context, asked: Asked) -> Work {
        Work {
            asked,
            run: ctx.run_id(),
            job: ctx.job_name().map(str::to_owned),
            occasion: ctx.occasion().map(str::to_owned),
            thread: ctx.conversation(),
            documents: ctx.documents(),
            is_subagent: ctx.is_subagent(),
            visitor: ctx.visitor_names().filter_map(|name| Some((name.to_owned(), ctx.visitor(name).ok()??))).collect(),
        }
    }

    /// What is asked in this attempt; `hand_over` puts a document where the agent finds it. Reads the log.
    pub(super) fn assignment<D>(
        &self,
        attempt: &Attempt,
        hand_over: impl FnMut((usize, &Document)) -> Result<D, Failure>,
    ) -> Result<Assignment<'_, D>, Failure> {
        Ok(Assignment {
            job: self.job.as_deref(),
            asked: &self.asked,
            attempt: attempt.number(),
            key: attempt.idempotency_key(),
            subagent: self.is_subagent,
            conversation: self.thread.as_ref().map(|thread| thread.id().to_string()),
            occasion: self.occasion.as_deref(),
            history: self.history()?,
            visitor: &self.visitor,
            documents: self.documents.iter().enumerate().map(hand_over).collect::<Result<_, _>>()?,
        })
    }

    fn history(&self) -> Result<Option<Vec<Said>>, Failure> {
        // A job that shares nothing reads nothing.
        let shared = |thread: &&Thread| matches!(self.asked, Asked::Turn { .. }) || !thread.is_empty();
        let Some(thread) = self.thread.as_ref().filter(shared) else { return Ok(None) };
        let mut messages = thread.messages()?;
        match &self.asked {
            Asked::Turn { number, .. } => messages.retain(|message| message.number != *number),
            // The words of a task stand there too.
            Asked::Job { .. } | Asked::Task { .. } => messages.retain(|message| message.run != Some(self.run)),
        }
        if messages.is_empty() && !matches!(self.asked, Asked::Turn { .. }) {
            return Ok(None);
        }
        let first = messages.len().saturating_sub(MESSAGES);
        Ok(Some(messages.drain(first..).map(Said::from).collect()))
    }
}

impl From<Message> for Said {
    fn from(message: Message) -> Said {
        let text = message.text();
        let (speaker, name) = match message.speaker {
            Speaker::User(name) => ("user", Some(name)),
            Speaker::Anonymous => ("anonymous", None),
            Speaker::Agent(name) => ("agent", Some(name)),
            Speaker::Person(name) => ("person", Some(name)),
            Speaker::Workflow(name) => ("workflow", Some(name)),
        };
        Said { number: message.number, speaker, name, text }
    }
}

/// Reads what the log and the disk have, apart from what must not wait for them.
pub(super) async fn reading<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(read).await;
    done.unwrap_or_else(|error| Err(passing("unread", format!("the assignment was not read: {error}"))))
}
