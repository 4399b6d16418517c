//! Why a command is refused, and why an event cannot be applied.

use crate::failure::Failure;
use crate::id::{OpNo, RunId};
use crate::time::Timestamp;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use thiserror::Error;

/// A command that means nothing, or is not allowed, in the present state. Ordinary; nothing happened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The run has ended; nothing changes it any more.
    #[error("the run has ended ({0})")]
    Closed(&'static str),
    /// The run was started already.
    #[error("the run was started already")]
    AlreadyStarted,
    /// The run has not been started.
    #[error("the run has not been started")]
    NotStarted,
    /// The operation, attempt or child that the command speaks of is not the one that the run waits for.
    #[error("the run does not wait for this any more")]
    Stale,
    /// A signal with this id came before.
    #[error("a signal with this id came before")]
    DuplicateSignal,
    /// The run is being cancelled already.
    #[error("the run is being cancelled already")]
    AlreadyCancelling,
    /// Nothing is due yet.
    #[error("nothing is due")]
    NothingDue,
    /// The run is wedged, or is not, and the command is for the other case.
    #[error("the run is {0}wedged")]
    Wedged(&'static str),
    /// Something is larger than the limit.
    #[error("{what} of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// There are more of something than the limit.
    #[error("the run has reached its limit of {limit} {what}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A call would go deeper than the limit.
    #[error("call chain deeper than the limit of {limit}: {}", path.join(" -> "))]
    TooDeep {
        /// The limit.
        limit: u32,
        /// The names on the way down, the refused one last.
        path: Vec<String>,
    },
    /// A run would call its own kind.
    #[error("{name} may not trigger itself ({}); mark it re-entrant if that is meant", path.join(" -> "))]
    Recursion {
        /// The workflow.
        name: String,
        /// The names on the way down, the refused one last.
        path: Vec<String>,
    },
    /// A call key was used already.
    #[error("this run has used the call key {key:?} already, for {child}")]
    DuplicateKey {
        /// The key.
        key: String,
        /// The child that it stands for.
        child: RunId,
    },
    /// An agent would trigger what no grant of its names.
    #[error("{name} is not among the grants of its caller ({})", path.join(" -> "))]
    NotGranted {
        /// What was to be triggered.
        name: String,
        /// The names on the way down, the refused one last.
        path: Vec<String>,
    },
    /// A run that may trigger nothing would trigger something.
    #[error("the caller may trigger nothing here ({})", path.join(" -> "))]
    MayNotTrigger {
        /// The names on the way down, the refused one last.
        path: Vec<String>,
    },
    /// Something that is no agent, or is a part of an agent's work itself, would divide its work.
    #[error("{name} has no such subagents: only an agent has, of agents, and a subagent has none of its own")]
    NoSubagents {
        /// The caller.
        name: String,
    },
    /// An agent would divide its work among more than it may.
    #[error("agent {name:?} may have {most} subagents in one job")]
    TooManySubagents {
        /// The agent.
        name: String,
        /// How many it may have.
        most: u32,
    },
    /// Metadata that stands above a call cannot be changed by it.
    #[error("the metadata {name:?} is given already, and cannot be overridden")]
    MetadataOverridden {
        /// Its name.
        name: String,
    },
    /// A target declares metadata that is not there.
    #[error("{target} needs the metadata {name:?}, which is not given")]
    MetadataMissing {
        /// Its name.
        name: String,
        /// What needs it.
        target: String,
    },
    /// A target needs a user, and nobody is there.
    #[error("{target} needs a user, and this is work without one")]
    RequiresUser {
        /// What needs one.
        target: String,
    },
    /// Only its owner and its deadlines can cancel the run.
    #[error("only its owner and its deadlines can cancel the run")]
    Protected,
    /// The run stands still, or does not, and the command is for the other case.
    #[error("the run is {0}paused")]
    Paused(&'static str),
    /// No question waits under this token, nor was one answered.
    #[error("there is no such approval, or its token is wrong")]
    NoSuchApproval,
    /// Somebody has answered already.
    #[error("{by} has decided already: {answer:?}")]
    AlreadyDecided {
        /// The answer.
        answer: String,
        /// Who gave it.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// The person is not among those who are asked.
    #[error("{person:?} is not among those who are asked")]
    NotAsked {
        /// The person.
        person: String,
    },
    /// The answer is not among those that may be given.
    #[error("{answer:?} is no answer to this; there are {}", allowed.join(", "))]
    UnknownAnswer {
        /// The answer.
        answer: String,
        /// Those that may be given.
        allowed: Vec<String>,
    },
    /// The child was called before under this key.
    #[error("{child} was called before under this key")]
    CalledBefore {
        /// The child.
        child: RunId,
    },
    /// The command is for a conversation.
    #[error("there is no conversation here")]
    NoConversation,
    /// Only a turn of a conversation can hand it to another agent.
    #[error("only a turn of a conversation can be taken over, and only by an agent")]
    NoTurn,
    /// Tasks are for agents.
    #[error("a task can only be given to an agent")]
    NoAgent,
    /// A turn of the conversation works, or waits.
    #[error("the conversation is busy")]
    ConversationBusy,
    /// The conversation's agent cannot answer.
    #[error("nobody can answer: {}", why.message)]
    NoAnswer {
        /// Why not.
        why: Failure,
    },
    /// What is shown when a person takes over is too large, or there is no conversation.
    #[error("the conversation cannot be handed over: what is shown is too large, or nobody would see it")]
    NoHandoff,
    /// Nobody was asked to take the conversation over.
    #[error("no person was asked to take over the conversation")]
    NoReview,
    /// Another person has taken over, or nobody has.
    #[error("the conversation is {}", owner.as_ref().map_or("nobody's yet; claim it first".to_string(), |owner| format!("{owner}'s")))]
    NotTheOwner {
        /// Who has.
        owner: Option<String>,
    },
    /// A conversation or document that a call speaks of is not there, or belongs to another project.
    #[error("there is no {what} in this project")]
    Missing {
        /// What is missing.
        what: String,
    },
    /// An operation came under a number that was used already.
    #[error("operation {0} was issued already")]
    DuplicateOperation(OpNo),
}

impl Rejection {
    pub(crate) fn check_size(what: &'static str, size: usize, limit: usize) -> Result<(), Rejection> {
        if size > limit { Err(Rejection::TooLarge { what, size, limit }) } else { Ok(()) }
    }

    pub(crate) fn check_count(what: &'static str, count: usize, limit: usize) -> Result<(), Rejection> {
        if count >= limit { Err(Rejection::TooMany { what, limit }) } else { Ok(()) }
    }

    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Rejection::Closed(_) => "closed",
            Rejection::AlreadyStarted => "already-started",
            Rejection::NotStarted => "not-started",
            Rejection::Stale => "stale",
            Rejection::DuplicateSignal => "duplicate-signal",
            Rejection::AlreadyCancelling => "already-cancelling",
            Rejection::NothingDue => "nothing-due",
            Rejection::Wedged(_) => "wedged",
            Rejection::TooLarge { .. } => "too-large",
            Rejection::TooMany { .. } => "too-many",
            Rejection::TooDeep { .. } => "depth-limit",
            Rejection::Recursion { .. } => "recursion",
            Rejection::DuplicateKey { .. } => "duplicate-call-key",
            Rejection::NotGranted { .. } => "not-granted",
            Rejection::MayNotTrigger { .. } => "may-not-trigger",
            Rejection::NoSubagents { .. } => "no-subagents",
            Rejection::TooManySubagents { .. } => "too-many-subagents",
            Rejection::MetadataOverridden { .. } => "metadata-overridden",
            Rejection::MetadataMissing { .. } => "metadata-missing",
            Rejection::RequiresUser { .. } => "requires-user",
            Rejection::Protected => "protected",
            Rejection::Paused(_) => "paused",
            Rejection::NoSuchApproval => "no-such-approval",
            Rejection::AlreadyDecided { .. } => "already-decided",
            Rejection::NotAsked { .. } => "not-asked",
            Rejection::UnknownAnswer { .. } => "unknown-answer",
            Rejection::CalledBefore { .. } => "called-before",
            Rejection::NoConversation => "no-conversation",
            Rejection::NoTurn => "no-turn",
            Rejection::NoAgent => "no-agent",
            Rejection::ConversationBusy => "conversation-busy",
            Rejection::NoAnswer { .. } => "no-answer",
            Rejection::NoHandoff => "no-handoff",
            Rejection::NoReview => "no-review",
            Rejection::NotTheOwner { .. } => "not-the-owner",
            Rejection::Missing { .. } => "missing",
            Rejection::DuplicateOperation(_) => "duplicate-operation",
        }
    }
}

/// An event that does not fit the state: the history is not one that this machine could have written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{event} cannot happen to a run that is {state}")]
pub struct IllegalEvent {
    /// The event's name.
    pub event: &'static str,
    /// The state's name.
    pub state: &'static str,
}
