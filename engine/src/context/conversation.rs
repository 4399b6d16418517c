//! What a handler does in a conversation: read it, speak in it, hand it to an agent or to a person, write to a person.

use super::call::Wanted;
use super::operation::Operation;
use super::{Call, Context, Decision, Reply, Signal, Spawned};
use crate::conversation::{Document, TURN, Thread, Turn, conversation_id};
use crate::failure::{Failure, encode};
use rejoin_machine::brief::{Role, Share};
use rejoin_machine::call::Mode;
use rejoin_machine::conversation::{Busy, MESSAGE, Opening};
use rejoin_machine::human::Handoff;
use rejoin_machine::{FailureKind, Issue, Notice, RunId, Usage};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

impl Context {
    /// The conversation that the run is a part of, as far as it may read it: a turn, up to where it stood when the turn was
    /// admitted; a call that shares it, up to where it stood when it was called. Read it in a step:
    ///
    /// ```
    /// # use rejoin::{Context, Failure, Message, Turn};
    /// # async fn ask_the_model(_: Vec<Message>) -> Result<String, Failure> { Ok(String::new()) }
    /// async fn support(ctx: Context, _: Turn) -> Result<String, Failure> {
    ///     let thread = ctx.conversation().ok_or_else(|| Failure::permanent("not in a conversation"))?;
    ///     ctx.step("model", move || {
    ///         let messages = thread.messages();
    ///         async { ask_the_model(messages?).await }
    ///     })
    ///     .await
    /// }
    /// ```
    pub fn conversation(&self) -> Option<Thread> {
        let thread = self.inner.of.thread.as_ref()?;
        let log = self.inner.of.log.clone();
        Some(Thread { log, conversation: thread.conversation, messages: thread.messages })
    }

    /// The documents that the run was given.
    pub fn documents(&self) -> Vec<Document> {
        let about = &self.inner.of;
        let document = |stored: &rejoin_machine::brief::Document| Document {
            log: about.log.clone(),
            project: about.project.clone(),
            stored: stored.clone(),
        };
        about.brief.documents.iter().map(document).collect()
    }

    /// Says something in the run's conversation, before its reply.
    ///
    /// # Errors
    ///
    /// A [`Failure`] with the code `no-conversation` if the run is not in one, or only reads it.
    pub fn say<T: Serialize + ?Sized>(&self, message: &T) -> Result<(), Failure> {
        self.inner.speaks().then_some(()).ok_or_else(no_conversation)?;
        let content = encode("the message", message)?;
        self.inner.push_issue(Issue::Say { content });
        Ok(())
    }

    /// Asks whoever the run's conversation is with, and waits for what is said there next: that message is the answer, and begins
    /// no turn. Messages that bring documents or metadata of their own do. Where several runs have asked, it answers the last one.
    ///
    /// ```
    /// # use rejoin::{Context, Failure, Turn, time::days};
    /// async fn support(ctx: Context, _: Turn) -> Result<String, Failure> {
    ///     let order: String = ctx.ask("Which order is it about?")?.await?;
    ///     let sure: Option<String> = ctx.ask("Shall I pay it back?")?.within(days(1)).await?;
    ///     Ok(format!("{order}: {}", sure.as_deref().unwrap_or("no answer")))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Context::say`]; and in the conversation of a task, where nobody is.
    pub fn ask<T: DeserializeOwned>(&self, question: &str) -> Result<Signal<T>, Failure> {
        if self.inner.of.brief.thread.as_ref().is_some_and(|thread| thread.task) {
            let message = "the conversation is that of a task, and nobody answers in it".to_owned();
            return Err(refused("no-conversation", message));
        }
        self.say(question)?;
        Ok(self.signal(MESSAGE))
    }

    /// Notes what something has cost; it adds up.
    pub fn record_usage(&self, usage: Usage) {
        self.inner.push_issue(Issue::Use(usage));
    }

    /// Hands the conversation to another agent: it answers next, as one level deeper, and from then on whatever is said. A
    /// note tells it why. The present turn ends with what it returns, say with `None`.
    pub fn transfer(&self, agent: &str, note: impl Into<String>) -> Spawned {
        let number = self.inner.of.thread.as_ref().map_or(0, |thread| thread.messages);
        let turn = Turn { message: Value::String(note.into()), from: Some(self.inner.of.name.clone()), number };
        let mut wanted = Wanted { job: Some(TURN), mode: Mode::Detach, ..Wanted::workflow(agent) };
        wanted.given.share = Some(Share::TakeOver);
        Spawned::new(self.issue_call(wanted, encode("the note", &turn)))
    }

    /// Writes to a person, in a conversation with an agent that answers if they do. Goes on at once.
    ///
    /// ```
    /// # use rejoin::{Context, Failure};
    /// async fn handler(ctx: Context, account: String) -> Result<(), Failure> {
    ///     ctx.tell("ann", "renewals", format!("{account} is up for renewal")).key(account).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn tell(&self, person: &str, agent: &str, message: impl Into<String>) -> Telling {
        let opening =
            Opening { agent: agent.to_owned(), user: Some(person.to_owned()), task: false, busy: Busy::Queue };
        let content = encode("the message", &message.into());
        Telling { ctx: self.clone(), opening, content, key: None }
    }

    /// Asks for a person to take over the run's conversation, and waits until they give it back. Messages meanwhile are kept,
    /// and nobody else answers. Where the flow ends with that, see [`HandingOff::for_good`].
    ///
    /// ```
    /// # use rejoin::{Context, Failure, Turn};
    /// async fn support(ctx: Context, turn: Turn) -> Result<String, Failure> {
    ///     let back = ctx
    ///         .hand_off("Let me connect you with our team.")
    ///         .email("help@example.com")
    ///         .ending("Thanks for waiting. I am back.")
    ///         .await?;
    ///     Ok(format!("{} has settled that.", back.by))
    /// }
    /// ```
    pub fn hand_off(&self, message: impl Into<String>) -> HandingOff {
        let shown = Shown { text: message.into(), contact: None };
        HandingOff { ctx: self.clone(), shown, contact: Contact::default(), shows_contact: true, ending: None }
    }
}

impl super::Inner {
    /// Whether what the run says is seen in its conversation.
    pub(super) fn speaks(&self) -> bool {
        self.of.thread.as_ref().is_some_and(|thread| thread.role != Role::Reads)
    }
}

fn no_conversation() -> Failure {
    refused("no-conversation", "the run is in no conversation that it may speak in".to_owned())
}

pub(crate) fn refused(code: &str, message: String) -> Failure {
    Failure::make(FailureKind::Refused, code.to_owned(), message, Value::Null, false)
}

impl<T> Call<T> {
    /// The callee may read the caller's conversation, as it is now.
    pub fn sharing_history(self) -> Self {
        self.share(Share::History)
    }

    /// The callee speaks in the caller's conversation: what it says, and its result, is seen there.
    pub fn inline(self) -> Self {
        self.share(Share::Inline)
    }

    /// A message that interrupts the caller's turn neither ends this call nor the turn.
    pub fn outlasting_interruption(self) -> Self {
        self.operation.give(|given| {
            given.outlasts = true;
            Ok(())
        });
        self
    }

    fn share(self, share: Share) -> Self {
        self.operation.give(|given| {
            given.share = Some(share);
            Ok(())
        });
        self
    }
}

/// A message to a person; its output is the conversation's id.
#[must_use = "a message is written when it is awaited"]
pub struct Telling {
    ctx: Context,
    opening: Opening,
    content: Result<rejoin_machine::Payload, Failure>,
    key: Option<String>,
}

impl Telling {
    /// The outside key of the conversation; where nothing is said, there is one for each agent and person.
    pub fn key(self, key: impl Into<String>) -> Self {
        Telling { key: Some(key.into()), ..self }
    }

    fn notice(self) -> Result<Notice, Failure> {
        let Telling { ctx, opening, content, key } = self;
        let registry = &ctx.inner.registry;
        let person = opening.user.clone().unwrap_or_default();
        if !registry.is_person(&person) {
            let message = format!("there is no person {person:?} in the project; declare them with Builder::person");
            return Err(refused("unknown-person", message));
        }
        registry.resolve(&opening.agent, Some(TURN))?;
        // Apart from keys that somebody chooses.
        let key = key.unwrap_or_else(|| format!("$told {}/{}/{person}", opening.agent.len(), opening.agent));
        let conversation = conversation_id(&ctx.inner.of.project, &key);
        Ok(Notice { conversation, key, opening, content: content? })
    }
}

impl IntoFuture for Telling {
    type Output = Result<RunId, Failure>;
    type IntoFuture = Spawned;

    fn into_future(self) -> Spawned {
        let ctx = self.ctx.clone();
        let op = ctx.inner.number();
        let notice = self.notice().map_err(|failure| failure.to_stored());
        ctx.inner.push_issue(Issue::Tell { op, notice });
        Spawned::new(ctx.operation(op))
    }
}

/// What is shown in a conversation when a person takes over, or gives it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// What is said.
    pub text: String,
    /// How the person, or their team, can be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
}

/// How somebody can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// An email address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A telephone number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// A page on the web.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Contact {
    /// Whether each part is what it says, so that it can be shown as a link that does no harm.
    fn check(&self) -> Result<(), Failure> {
        let plain = |text: &str| !text.chars().any(|c| c.is_whitespace() || c.is_control() || "<>\"'`\\".contains(c));
        let email = |text: &String| {
            plain(text) && text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
        };
        let phone = |text: &String| {
            text.chars().all(|c| c.is_ascii_digit() || "+-() ".contains(c)) && text.chars().any(|c| c.is_ascii_digit())
        };
        let url = |text: &String| {
            let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            plain(text) && rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        };
        let bad = |what: &str, text: &Option<String>| {
            let message = format!("{:?} is no {what} that can be shown", text.as_deref().unwrap_or_default());
            Err(refused("bad-contact", message))
        };
        match () {
            () if !self.email.as_ref().is_none_or(email) => bad("email address", &self.email),
            () if !self.phone.as_ref().is_none_or(phone) => bad("telephone number", &self.phone),
            () if !self.url.as_ref().is_none_or(url) => bad("web address", &self.url),
            () => Ok(()),
        }
    }
}

/// A person is asked to take over; its output is who gave the conversation back.
#[must_use = "nobody is asked before it is awaited"]
pub struct HandingOff {
    ctx: Context,
    shown: Shown,
    contact: Contact,
    shows_contact: bool,
    ending: Option<String>,
}

impl HandingOff {
    /// An email address.
    pub fn email(mut self, address: impl Into<String>) -> Self {
        self.contact.email = Some(address.into());
        self
    }

    /// A telephone number.
    pub fn phone(mut self, number: impl Into<String>) -> Self {
        self.contact.phone = Some(number.into());
        self
    }

    /// A page on the web.
    pub fn url(mut self, address: impl Into<String>) -> Self {
        self.contact.url = Some(address.into());
        self
    }

    /// Whether those are shown; they are where nothing is said.
    pub fn show_contact(self, shows_contact: bool) -> Self {
        HandingOff { shows_contact, ..self }
    }

    /// What is said when the person gives it back.
    pub fn ending(self, message: impl Into<String>) -> Self {
        HandingOff { ending: Some(message.into()), ..self }
    }

    /// The automated flow ends here: to be returned as the handler's error. The run completes as handed off.
    ///
    /// ```
    /// # use rejoin::{Context, Failure, Turn};
    /// async fn support(ctx: Context, turn: Turn) -> Result<String, Failure> {
    ///     Err(ctx.hand_off("A colleague will look into this.").email("help@example.com").for_good())
    /// }
    /// ```
    pub fn for_good(self) -> Failure {
        let ctx = self.ctx.clone();
        if !ctx.inner.speaks() {
            return no_conversation();
        }
        match self.handoff(true) {
            Ok(handoff) => {
                let op = ctx.inner.number();
                ctx.inner.push_issue(Issue::HandOff { op, handoff: Ok(handoff) });
                Failure::handed_off()
            }
            Err(failure) => failure,
        }
    }

    fn handoff(self, for_good: bool) -> Result<Handoff, Failure> {
        let HandingOff { mut shown, contact, shows_contact, ending, .. } = self;
        contact.check()?;
        let contact = Some(contact).filter(|contact| shows_contact && *contact != Contact::default());
        shown.contact.clone_from(&contact);
        let shown = encode("the message", &shown)?;
        let ending = ending.map(|text| encode("the message", &Shown { text, contact })).transpose()?;
        Ok(Handoff { shown, ending, for_good })
    }
}

impl IntoFuture for HandingOff {
    type Output = Result<Release, Failure>;
    type IntoFuture = Releasing;

    fn into_future(self) -> Releasing {
        let ctx = self.ctx.clone();
        let op = ctx.inner.number();
        let handoff = self.handoff(false).map_err(|failure| failure.to_stored());
        ctx.inner.push_issue(Issue::HandOff { op, handoff });
        Releasing { operation: ctx.operation(op) }
    }
}

/// A person has given a conversation back.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// Who.
    pub by: String,
    /// What they say to the flow that goes on.
    pub note: Option<Value>,
}

/// The wait for a person to give a conversation back.
#[must_use = "a wait that is dropped at once is none"]
pub struct Releasing {
    operation: Operation,
}

impl Future for Releasing {
    type Output = Result<Release, Failure>;
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.operation.poll(task).map(|reply| match reply {
            Reply::Decided(verdict) => {
                let note = verdict.comment.and_then(|note| serde_json::from_str(&note).ok());
                Ok(Release { by: verdict.by, note })
            }
            Reply::Resolved(Err(failure)) => Err(failure),
            Reply::Resolved(Ok(_)) | Reply::Spawned(_) | Reply::NoSignal => {
                Err(Failure::permanent("an answer of another kind"))
            }
        })
    }
}

impl From<Release> for Decision {
    fn from(release: Release) -> Decision {
        let comment = release.note.map(|note| crate::conversation::text_of(&note));
        Decision { answer: "released".to_owned(), by: release.by, comment }
    }
}
