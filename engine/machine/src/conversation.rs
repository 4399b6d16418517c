//! A conversation: an ordered thread of messages that runs share.
//!
//! It is kept as a run is (a stream of transitions, chained, listed, exported) but has no handler: people and runs act on it.
//! A **turn** is a run that answers in it. One turn works at a time; others wait, in order, until it ends or rests:
//!
//! ```text
//!   joined ──> admitted ──> released (it rests) ──> ended
//!                   └────────────────────────────────^
//! ```
//!
//! While a person is asked to take over (a **review**), messages are kept and no turn begins. While a run waits for the signal
//! [`MESSAGE`], the next message is that, and begins no turn either.

use crate::brief::Terms;
use crate::failure::Failure;
use crate::id::{CallKey, OpNo, Payload, RunId, SignalId};
use crate::trigger::Target;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use serde::{Deserialize, Serialize};

pub use crate::talk::{Review, Talk};

/// The signal of a run that is in a conversation, and waits for what is said there next.
pub const MESSAGE: &str = "$message";

/// How a conversation begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The agent that answers first.
    pub agent: String,
    /// The person whom it is with; a conversation without one is headless.
    pub user: Option<String>,
    /// Whether it is the thread of a task; those are no chats, and stay out of people's inboxes.
    pub task: bool,
    /// What becomes of a message that comes while a turn works.
    pub busy: Busy,
}

/// What becomes of a message that comes while a turn works. New policies are added at the end: numbers are never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Busy {
    /// Its turn waits until the others have ended or rest.
    #[default]
    Queue,
    /// It is refused.
    Reject,
    /// The turns that are open are cancelled, except for calls that say they outlast it.
    Interrupt,
    /// The turn that waits already answers it as well.
    Coalesce,
}

/// Who said something. New sorts are added at the end: numbers are never reused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speaker {
    /// The person whom the conversation is with.
    User(String),
    /// Somebody who is not named.
    Anonymous,
    /// An agent.
    Agent(String),
    /// A person who has taken over.
    Person(String),
    /// A workflow, by name.
    Workflow(String),
}

/// What a message is. New sorts are added at the end: numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sort {
    /// Something said.
    Said,
    /// What a turn, or a task, results in.
    Reply,
    /// The description of a task.
    Task,
    /// A person is asked to take over.
    Handoff,
    /// A person has given the conversation back.
    HandoffEnd,
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who said it.
    pub speaker: Speaker,
    /// What it is.
    pub sort: Sort,
    /// What was said, as JSON; or why there is nothing to say.
    pub content: Result<Payload, Failure>,
    /// The turn that it begins, or that said it.
    pub run: Option<RunId>,
    /// The name that its sender gave it, so that it is taken once.
    pub id: Option<SignalId>,
}

/// What happened to a conversation. New changes are added at the end: numbers are never reused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// It begins.
    Opened(Opening),
    /// A message; its number is the count of those before it, and one.
    Added(Message),
    /// A turn waits to be admitted.
    Joined {
        /// The turn.
        run: RunId,
        /// What it is a run of, where a message begins it; further messages can be left to such a turn.
        begins: Option<Target>,
    },
    /// A turn begins, or goes on waiting for hands.
    Admitted {
        /// The turn.
        run: RunId,
        /// How many messages there are.
        messages: u64,
    },
    /// A turn rests, and others may begin. Its reply comes when it comes.
    Released {
        /// The turn.
        run: RunId,
    },
    /// A turn has ended.
    Ended {
        /// The turn.
        run: RunId,
    },
    /// A message interrupts a turn.
    Interrupted {
        /// The turn.
        run: RunId,
    },
    /// Another agent answers from now on.
    AgentChanged {
        /// The agent.
        agent: String,
        /// The turn that takes over.
        run: RunId,
    },
    /// A person is asked to take over.
    ReviewAsked {
        /// The turn that asks.
        run: RunId,
        /// Its operation; `None` where it does not wait for the end.
        op: Option<OpNo>,
    },
    /// A person has taken over.
    ReviewClaimed {
        /// Who.
        by: String,
    },
    /// The person gives it back, and turns that waited for that go on.
    ReviewEnded {
        /// Who.
        by: String,
        /// What they say to the flow that goes on.
        note: Option<Payload>,
    },
    /// The next message is for a run that waits for it, and begins no turn.
    Listens {
        /// The run.
        run: RunId,
    },
    /// It waits no more.
    Ignores {
        /// The run.
        run: RunId,
    },
}

impl Change {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Change::Opened(_) => "ConversationOpened",
            Change::Added(_) => "MessageAdded",
            Change::Joined { .. } => "TurnJoined",
            Change::Admitted { .. } => "TurnAdmitted",
            Change::Released { .. } => "TurnReleased",
            Change::Ended { .. } => "TurnEnded",
            Change::Interrupted { .. } => "TurnInterrupted",
            Change::AgentChanged { .. } => "AgentChanged",
            Change::ReviewAsked { .. } => "ReviewAsked",
            Change::ReviewClaimed { .. } => "ReviewClaimed",
            Change::ReviewEnded { .. } => "ReviewEnded",
            Change::Listens { .. } => "RunListens",
            Change::Ignores { .. } => "RunIgnores",
        }
    }
}

/// What is asked of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Somebody says something, and expects an answer.
    Say(Box<Say>),
    /// A run is a turn of it.
    Join {
        /// The run.
        run: RunId,
        /// What it begins with, where that is new.
        message: Option<Message>,
        /// The agent that answers from now on, where that changes.
        takes_over: Option<String>,
    },
    /// A message that expects no answer.
    Add(Message),
    /// A turn rests.
    Release {
        /// The turn.
        run: RunId,
    },
    /// A run that speaks in it has ended.
    End {
        /// The run.
        run: RunId,
        /// Its name.
        agent: String,
        /// With what; `None`: without anything to say.
        result: Option<Result<Payload, Failure>>,
    },
    /// A run waits for the next message.
    Listen {
        /// The run.
        run: RunId,
    },
    /// It waits no more.
    Ignore {
        /// The run.
        run: RunId,
    },
    /// A turn wants a person to take over.
    AskReview {
        /// The turn.
        run: RunId,
        /// Its operation, where it waits for the end.
        op: Option<OpNo>,
        /// What is shown.
        message: Message,
    },
    /// A person takes over.
    Claim {
        /// Who.
        by: String,
    },
    /// The person who has taken over says something.
    Reply {
        /// Who.
        by: String,
        /// What.
        content: Payload,
    },
    /// The person gives it back.
    EndReview {
        /// Who.
        by: String,
        /// What they say to the flow that goes on.
        note: Option<Payload>,
    },
    /// It is over.
    Close,
}

/// Something that is said to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Say {
    /// What tells it from others: taken once.
    pub id: SignalId,
    /// Who says it; `None`: whom the conversation is with.
    pub by: Option<String>,
    /// What.
    pub content: Payload,
    /// What becomes of it while a turn works; `None`: as the conversation says.
    pub busy: Option<Busy>,
    /// What the conversation's agent answers with; `Err`: why it cannot. Looked up when the message is taken.
    pub target: Result<Target, Failure>,
    /// What the turn is given beside the message.
    pub terms: Terms,
}

impl RunId {
    /// The turn that answers the message of this name.
    #[must_use]
    pub fn turn(self, message: SignalId) -> RunId {
        self.child(&CallKey::Named(format!("turn\0{}", RunId(message.0))))
    }

    /// The conversation that is opened for the task of this run.
    #[must_use]
    pub fn thread(self) -> RunId {
        self.child(&CallKey::Named("conversation\0".into()))
    }
}
