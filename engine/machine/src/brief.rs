//! What a run is given beside its input, and what of that its own calls may hand on.
//!
//! Two channels lead to a run. Its input may come from a model and is never trusted. Its brief comes from the engine: who may
//! be called, how deep, in whose name, with which metadata; no model can see or change it.

use crate::conversation::{Busy, Opening};
use crate::effect::Effect;
use crate::error::Rejection;
use crate::id::{OpNo, Payload, RunId};
use crate::limits::Limits;
use crate::run::Run;
use crate::time::{Span, Timestamp};
use crate::trigger::{Origin, Parent, Trigger};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What sort of thing a run is a run of. New kinds are added at the end: numbers are never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A workflow: what it calls was written down by whoever defined it.
    #[default]
    Workflow,
    /// A job of an agent: what it calls is its own choice, so it needs grants.
    Agent,
    /// No run at all: a conversation, which is kept as runs are.
    Conversation,
    /// A document, which is kept as runs are.
    Document,
}

/// What a run is given beside its input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brief {
    /// What it is a run of.
    pub kind: Kind,
    /// Which of the agent's jobs it is; an agent may take jobs without a name.
    pub job: Option<String>,
    /// Whether the agent's default handler has it, for want of one for the job.
    pub by_default: bool,
    /// Names and values that travel down the tree and never through a model; sorted by name.
    pub metadata: Vec<(String, Payload)>,
    /// What its caller says about the occasion, beside the declared input.
    pub message: Option<String>,
    /// What this run and everything below it may trigger at most; `None`: as the grants of each agent say.
    pub only: Option<Vec<String>>,
    /// It may trigger nothing.
    pub triggers_nothing: bool,
    /// It is a part of an agent's own work, and has no such parts of its own.
    pub subagent: bool,
    /// The nearest target above it whose trigger counted, where its own did not.
    pub within: Option<String>,
    /// Only its owner and its deadlines can cancel it.
    pub protected: bool,
    /// The user in whose conversation it happens; work without one is headless.
    pub user: Option<String>,
    /// When it is too late to begin.
    pub begin_by: Option<Timestamp>,
    /// How long it may take once it has begun.
    pub work_limit: Option<Span>,
    /// Documents that go with it.
    pub documents: Vec<Document>,
    /// The conversation that it belongs to.
    pub thread: Option<Thread>,
    /// What a visitor's browser says of itself, say: it satisfies no key of the metadata.
    pub visitor: Vec<(String, Payload)>,
    /// The queue that it waits in before it begins.
    pub queue: Option<String>,
    /// Arguments that a model made up for metadata, and that were dropped.
    pub dropped: Vec<String>,
}

/// A document, by its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// What it is called.
    pub name: String,
    /// The BLAKE3 hash of its content.
    pub address: [u8; 32],
    /// How many bytes it has.
    pub bytes: u64,
}

/// A conversation, as far as a run may read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// The conversation.
    pub conversation: RunId,
    /// How many of its messages there were when it was shared; a turn is told when it is admitted.
    pub messages: u64,
    /// What the run is in it.
    pub role: Role,
    /// Whether the run is a task: its output is wrapped in a report of what it did.
    pub task: bool,
}

/// What a run is in a conversation. New roles are added at the end: numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It reads.
    Reads,
    /// It speaks, as a part of somebody's turn: what it says and its result are seen.
    Speaks,
    /// It is a turn, which waits to be admitted; its result is the reply.
    Turn,
    /// It is a turn by which another agent takes over.
    TakesOver,
}

impl Role {
    /// Whether the run waits until it is admitted.
    pub fn is_turn(self) -> bool {
        matches!(self, Role::Turn | Role::TakesOver)
    }
}

/// How a call shares a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// The caller's, to be read.
    History,
    /// The caller's, to be spoken in.
    Inline,
    /// The caller's, for good.
    TakeOver,
    /// A new one, for a task.
    NewTask,
    /// This one, which a task goes on with.
    Task(RunId),
}

/// What is known of a target before it is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callee {
    /// What it is.
    pub kind: Kind,
    /// Whether it may be called by its own kind.
    pub reentrant: bool,
    /// The metadata that it declares: it is called with all of that or not at all.
    pub declares: Vec<String>,
    /// Whether it needs a user who is there.
    pub requires_user: bool,
    /// Whether the caller's grants name it.
    pub granted: bool,
    /// Whether it is a part of the caller, written down with it: on the caller's level, and no choice of the caller's.
    pub part: bool,
    /// Whether it begins in a queue.
    pub queue: Option<String>,
    /// What the call speaks of and is not there: a conversation, or a document by name.
    pub missing: Option<String>,
}

/// What a call gives beside the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Which of the agent's jobs.
    pub job: Option<String>,
    /// Whether the agent's default handler has it.
    pub by_default: bool,
    /// Metadata beside that of the caller.
    pub metadata: Vec<(String, Payload)>,
    /// What is said about the occasion.
    pub message: Option<String>,
    /// What may be triggered at most.
    pub only: Option<Vec<String>>,
    /// Nothing may be triggered.
    pub triggers_nothing: bool,
    /// It is a part of the caller's own work.
    pub subagent: bool,
    /// Only the caller and deadlines can cancel it.
    pub protected: bool,
    /// How long it may wait before it begins.
    pub queue_limit: Option<Span>,
    /// How long it may take once it has begun.
    pub work_limit: Option<Span>,
    /// Documents.
    pub documents: Vec<Document>,
    /// Whether and how a conversation is shared.
    pub share: Option<Share>,
    /// A message that interrupts the caller's turn does not end the call.
    pub outlasts: bool,
    /// What a visitor's browser says of itself.
    pub visitor: Vec<(String, Payload)>,
    /// Arguments that were dropped, since they bear names of metadata.
    pub dropped: Vec<String>,
}

/// What a call is made under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What is known of the target.
    pub callee: Callee,
    /// What is given beside the input.
    pub given: Given,
}

/// The most documents that go with a run.
pub const DOCUMENTS: usize = 10;

impl Brief {
    /// The brief of a run that nobody above it triggers.
    pub fn of_root(terms: Terms, user: Option<String>, now: Timestamp) -> Brief {
        Brief::default().handed_on(terms, user, now)
    }

    /// A value of the metadata.
    pub fn metadata(&self, name: &str) -> Option<&Payload> {
        let at = self.metadata.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        Some(&self.metadata[at].1)
    }

    /// What a child of a run with this brief is given.
    fn handed_on(&self, terms: Terms, user: Option<String>, now: Timestamp) -> Brief {
        let Terms { callee, given } = terms;
        let mut metadata = self.metadata.clone();
        metadata.extend(given.metadata);
        metadata.sort_by(|(one, _), (other, _)| one.cmp(other));
        let only = match (&self.only, given.only) {
            (Some(mine), Some(its)) => Some(its.into_iter().filter(|name| mine.contains(name)).collect()),
            (Some(only), None) => Some(only.clone()),
            (None, only) => only,
        };
        Brief {
            kind: callee.kind,
            job: given.job,
            by_default: given.by_default,
            metadata,
            message: given.message,
            only,
            // A part of the work may not do what the whole may not.
            triggers_nothing: given.triggers_nothing || ((given.subagent || callee.part) && self.triggers_nothing),
            subagent: given.subagent,
            within: None,
            protected: given.protected,
            user,
            begin_by: given.queue_limit.map(|limit| now.after(limit)),
            work_limit: given.work_limit,
            documents: given.documents,
            thread: self.shared(given.share),
            visitor: given.visitor,
            queue: callee.queue,
            dropped: given.dropped,
        }
    }

    /// The conversation, as a child has it.
    fn shared(&self, share: Option<Share>) -> Option<Thread> {
        let mine = |role| self.thread.as_ref().map(|thread| Thread { role, task: false, ..thread.clone() });
        match share? {
            Share::History => mine(Role::Reads),
            Share::Inline => mine(Role::Speaks),
            Share::TakeOver => mine(Role::TakesOver),
            // Its id follows from that of the child.
            Share::NewTask => Some(Thread { conversation: RunId([0; 16]), messages: 0, role: Role::Turn, task: true }),
            Share::Task(conversation) => Some(Thread { conversation, messages: 0, role: Role::Turn, task: true }),
        }
    }

    /// Whether it is acceptable: everything within the limits, and what the target declares is there.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] that names what is too large, too many or missing.
    pub fn check(&self, target: &str, callee: &Callee, limits: &Limits) -> Result<(), Rejection> {
        let names = self.metadata.iter().chain(&self.visitor).map(|(name, _)| name);
        let names = names.chain(&self.job).chain(&self.user).chain(self.only.iter().flatten());
        for name in names.chain(self.documents.iter().map(|document| &document.name)) {
            Rejection::check_size("a name, key or label", name.len(), limits.name_bytes)?;
        }
        let values = self.metadata.iter().chain(&self.visitor).map(|(_, value)| value.len());
        Rejection::check_size("the metadata", values.sum(), limits.payload_bytes)?;
        Rejection::check_size("the message", self.message.as_ref().map_or(0, String::len), limits.payload_bytes)?;
        if let Some(what) = &callee.missing {
            return Err(Rejection::Missing { what: what.clone() });
        }
        if self.documents.len() > DOCUMENTS {
            return Err(Rejection::TooMany { what: "documents", limit: DOCUMENTS });
        }
        if let Some(pair) = self.metadata.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Rejection::MetadataOverridden { name: pair[0].0.clone() });
        }
        if let Some(name) = callee.declares.iter().find(|name| self.metadata(name).is_none()) {
            return Err(Rejection::MetadataMissing { name: name.clone(), target: target.into() });
        }
        if callee.requires_user && self.user.is_none() {
            return Err(Rejection::RequiresUser { target: target.into() });
        }
        Ok(())
    }
}

impl Run {
    /// What it was given beside its input.
    pub fn brief(&self) -> &Brief {
        &self.brief
    }

    /// Whether a trigger of `callee` counts towards the depth: what an agent triggers does, and a workflow's trigger of a
    /// workflow. What a workflow assigns to agents, and parts of an agent's own work, are on the caller's level.
    pub(crate) fn counts(&self, terms: &Terms) -> bool {
        let within = self.brief.kind == Kind::Workflow && terms.callee.kind == Kind::Agent;
        !within && !terms.given.subagent && !terms.callee.part
    }

    /// Whether the run may make a call on these terms.
    pub(crate) fn check_terms(
        &self,
        name: &String,
        terms: &Terms,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let Terms { callee, given } = terms;
        let path = || self.trigger.path.iter().chain([name]).cloned().collect::<Vec<_>>();
        if given.subagent {
            if self.brief.kind != Kind::Agent || self.brief.subagent || callee.kind != Kind::Agent {
                return Err(Rejection::NoSubagents { name: self.trigger.target.name.clone() });
            }
        } else if self.brief.triggers_nothing && !callee.part {
            return Err(Rejection::MayNotTrigger { path: path() });
        } else {
            let narrowed = self.counts(terms) && self.brief.only.as_ref().is_some_and(|only| !only.contains(name));
            if (self.brief.kind == Kind::Agent && !callee.granted) || narrowed {
                return Err(Rejection::NotGranted { name: name.clone(), path: path() });
            }
        }
        self.check_share(given, callee)?;
        if self.counts(terms) {
            let own = *name == self.trigger.target.name || self.brief.within.as_ref() == Some(name);
            if own && !callee.reentrant {
                return Err(Rejection::Recursion { name: name.clone(), path: path() });
            }
            if self.trigger.depth.saturating_add(1) >= limits.depth {
                return Err(Rejection::TooDeep { limit: limits.depth, path: path() });
            }
        }
        self.brief.handed_on(terms.clone(), self.brief.user.clone(), now).check(name, callee, limits)
    }

    /// Whether there is a conversation to share, and the caller may do with it what it wants to.
    fn check_share(&self, given: &Given, callee: &Callee) -> Result<(), Rejection> {
        let role = self.brief.thread.as_ref().map(|thread| thread.role);
        match given.share {
            Some(Share::History | Share::Inline) if role.is_none() => Err(Rejection::NoConversation),
            Some(Share::TakeOver) if callee.kind != Kind::Agent || !role.is_some_and(Role::is_turn) => {
                Err(Rejection::NoTurn)
            }
            Some(Share::NewTask | Share::Task(_)) if callee.kind != Kind::Agent => Err(Rejection::NoAgent),
            Some(_) | None => Ok(()),
        }
    }

    /// The brief of a turn of this conversation.
    pub(crate) fn brief_of_turn(&self, terms: Terms, now: Timestamp) -> Brief {
        let user = self.talk.as_ref().and_then(|talk| talk.opening.user.clone());
        let mut brief = self.brief.handed_on(terms, user, now);
        brief.thread = Some(Thread { conversation: self.id, messages: 0, role: Role::Turn, task: false });
        brief
    }

    /// The conversation that a new task is the first turn of.
    pub fn thread_of(child: RunId, task: &Trigger, brief: &Brief) -> Option<Effect> {
        let thread = brief.thread.as_ref().filter(|thread| thread.task && thread.conversation == child.thread())?;
        let agent = task.target.name.clone();
        let opening = Opening { agent, user: None, task: true, busy: Busy::Queue };
        let seed = task.seed.rotate_left(7);
        let mut trigger = Trigger::of_conversation(&task.project, &opening, None, task.origin, seed);
        // It belongs to the task, and is forgotten with it.
        trigger.parent = Some(Parent { run: child, incarnation: 0, op: OpNo::END, awaited: false });
        Some(Effect::Open { conversation: thread.conversation, trigger: Box::new(trigger), opening })
    }

    /// The trigger and the brief of a child that `call` starts; to be asked before the event of it is applied.
    pub(crate) fn commission(
        &self,
        child: RunId,
        mut trigger: Trigger,
        terms: Terms,
        now: Timestamp,
    ) -> (Trigger, Brief) {
        let opens = terms.given.share == Some(Share::NewTask);
        let counts = self.counts(&terms);
        trigger.depth = self.trigger.depth.saturating_add(u32::from(counts));
        trigger.origin = match self.brief.kind {
            Kind::Workflow => Origin::Workflow,
            Kind::Agent => Origin::Agent,
            Kind::Conversation | Kind::Document => Origin::Message,
        };
        let mut brief = self.brief.handed_on(terms, self.brief.user.clone(), now);
        if !counts {
            let nearest = self.brief.within.as_ref().unwrap_or(&self.trigger.target.name);
            brief.within = Some(nearest.clone());
        }
        if let Some(thread) = brief.thread.as_mut().filter(|_| opens) {
            thread.conversation = child.thread();
        }
        (trigger, brief)
    }
}
