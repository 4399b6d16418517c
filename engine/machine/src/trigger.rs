//! How a run begins.

use crate::conversation::Opening;
use crate::error::Rejection;
use crate::id::{OpNo, Payload, RunId};
use crate::limits::Limits;
use crate::time::Timestamp;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Everything that is settled when a run is triggered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    /// The boundary of names; nothing crosses it.
    pub project: String,
    /// What runs.
    pub target: Target,
    /// What it is given.
    pub input: Payload,
    /// Who triggered it.
    pub origin: Origin,
    /// The idempotency key, where one was given.
    pub key: Option<String>,
    /// The run that triggered it, where one did.
    pub parent: Option<Parent>,
    /// How many triggers stand above it.
    pub depth: u32,
    /// The names of the runs above it, outermost first, and its own.
    pub path: Vec<String>,
    /// When it must have ended.
    pub deadline: Option<Timestamp>,
    /// Names and values to find it by.
    pub labels: Vec<(String, String)>,
    /// Where its random numbers come from.
    pub seed: u64,
}

/// A workflow, and the version of it that the run keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
}

/// The call that a run answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The caller.
    pub run: RunId,
    /// The caller's incarnation when it called.
    pub incarnation: u32,
    /// The caller's operation.
    pub op: OpNo,
    /// Whether the caller waits for the answer.
    pub awaited: bool,
}

/// What triggered a run. New origins are added at the end: numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// A program, through the library or the API.
    Api,
    /// A person at a command line.
    Cli,
    /// A run of a workflow.
    Workflow,
    /// An agent, in the course of a job.
    Agent,
    /// A message of a conversation.
    Message,
    /// A run that failed, and is done again.
    Fork,
}

/// A text as JSON.
fn json_text(text: &str) -> Payload {
    let mut json = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            c if c < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
    Payload::from(json.into_bytes())
}

/// The name that conversations are listed under.
pub const CONVERSATION: &str = "$conversation";
/// The name that documents are listed under.
pub const DOCUMENT: &str = "$document";

impl Trigger {
    /// What a conversation begins with.
    pub fn of_conversation(
        project: &str,
        opening: &Opening,
        key: Option<String>,
        origin: Origin,
        seed: u64,
    ) -> Trigger {
        let agent = ("$agent".to_string(), opening.agent.clone());
        let user = opening.user.iter().map(|user| ("$user".to_string(), user.clone()));
        Trigger {
            project: project.into(),
            target: Target { name: CONVERSATION.into(), version: 1 },
            // Part of what a key stands for: the same key for another person is another conversation.
            input: opening.user.as_ref().map_or_else(|| Payload::from(&b"null"[..]), |user| json_text(user)),
            origin,
            key,
            parent: None,
            depth: 0,
            path: vec![CONVERSATION.into()],
            deadline: None,
            labels: core::iter::once(agent).chain(user).collect(),
            seed,
        }
    }

    /// Whether the trigger is acceptable: names and input within the limits.
    ///
    /// # Errors
    ///
    /// [`Rejection::TooLarge`] names what is too large.
    pub fn check(&self, limits: &Limits) -> Result<(), Rejection> {
        let names = [Some(&self.project), Some(&self.target.name), self.key.as_ref()];
        let labels = self.labels.iter().flat_map(|(name, value)| [Some(name), Some(value)]);
        for name in names.into_iter().chain(labels).flatten() {
            Rejection::check_size("a name, key or label", name.len(), limits.name_bytes)?;
        }
        Rejection::check_size("the input", self.input.len(), limits.payload_bytes)
    }
}
