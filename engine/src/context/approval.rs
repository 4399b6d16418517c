//! Questions to people.

use super::operation::Operation;
use super::{Attempt, Context, Reply, Step};
use crate::channel::{Announcement, Channel};
use crate::engine::ApprovalToken;
use crate::failure::Failure;
use rejoin_machine::human::Ask;
use rejoin_machine::{FailureKind, Issue, OpNo};
use serde_json::Value;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

/// The code of the failure, where nobody answered in time.
pub(crate) const EXPIRED: &str = "approval-expired";

/// What people have answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The answer, one of those that were offered.
    pub answer: String,
    /// Who gave it.
    pub by: String,
    /// What they said about it.
    pub comment: Option<String>,
}

impl Context {
    /// Asks people, and waits for the first valid answer. Offer the answers and name the persons, who are declared with
    /// [`Builder::person`](crate::Builder::person).
    ///
    /// ```
    /// # use rejoin::{Context, Failure, time::{days, hours}};
    /// async fn handler(ctx: Context, draft: String) -> Result<String, Failure> {
    ///     let decision = ctx
    ///         .approval(format!("Publish this? {draft}"))
    ///         .answers(["approve", "reject", "revise"])
    ///         .persons(["ann"])
    ///         .escalate(hours(4), ["bob"])
    ///         .within(days(2))
    ///         .await?;
    ///     Ok(decision.answer)
    /// }
    /// ```
    pub fn approval(&self, question: impl Into<String>) -> Approval {
        let op = self.inner.number();
        let mut token = [0; 16];
        token.copy_from_slice(&self.inner.state.borrow_mut().random.next());
        let ask = Ask { question: question.into(), token, ..Ask::default() };
        self.inner.push_issue(Issue::Ask { op, ask: Box::new(ask.clone()) });
        Approval { operation: self.operation(op), op, ask, ctx: self.clone(), through: None, telling: None }
    }
}

/// A question to people; its output is their decision. Fails as timed out with the code `approval-expired` where nobody
/// answers in time.
#[must_use = "a question that is dropped at once is never asked"]
pub struct Approval {
    operation: Operation,
    op: OpNo,
    /// What is asked, for those who tell people of it.
    ask: Ask,
    ctx: Context,
    /// How people are told, until they are.
    through: Option<String>,
    telling: Option<Step<()>>,
}

impl Approval {
    /// The answers that may be given.
    pub fn answers<A: Into<String>>(self, answers: impl IntoIterator<Item = A>) -> Self {
        let answers: Vec<String> = answers.into_iter().map(Into::into).collect();
        self.amend(|ask| ask.answers.extend(answers))
    }

    /// Who may answer.
    pub fn persons<P: Into<String>>(self, persons: impl IntoIterator<Item = P>) -> Self {
        self.asking(persons, |ask, persons| ask.persons.extend(persons))
    }

    /// Who may answer too, if nobody has after so long.
    pub fn escalate<P: Into<String>>(self, after: Duration, persons: impl IntoIterator<Item = P>) -> Self {
        self.asking(persons, |ask, persons| ask.escalations.push((after.into(), persons)))
    }

    /// How long it may take.
    pub fn within(self, limit: Duration) -> Self {
        self.amend(|ask| ask.within = Some(limit.into()))
    }

    /// Tells them through a channel of the project, in a step of its own: what goes wrong there is tried again and does not
    /// end the question, which can be answered all the while.
    pub fn through(mut self, channel: impl Into<String>) -> Self {
        let channel = channel.into();
        if self.ctx.inner.registry.channel(&channel).is_none() {
            let message = format!("there is no channel {channel:?} in the project; declare it with Builder::channel");
            let trouble = rejoin_machine::Failure::new(FailureKind::Refused, "unknown-channel", message);
            return self.amend(|ask| ask.trouble = ask.trouble.take().or(Some(trouble)));
        }
        self.through = Some(channel);
        self
    }

    /// Begins to tell people; what is asked is known by now.
    fn tell(&mut self) {
        let Some(channel) = self.through.take() else { return };
        let Some(tell) = self.ctx.inner.registry.channel(&channel).and_then(Channel::tells) else { return };
        let (ask, now) = (self.ask.clone(), self.ctx.now());
        if ask.trouble.is_some() {
            return;
        }
        let (run, op) = (self.ctx.run_id(), self.op);
        self.telling = Some(self.ctx.step(&format!("tell {channel}"), move |attempt: Attempt| {
            tell(Announcement {
                key: attempt.idempotency_key(),
                run,
                token: ApprovalToken::new(run, op, ask.token),
                question: ask.question.clone(),
                answers: ask.answers.clone(),
                persons: ask.persons.clone(),
                expires_at: ask.within.map(|within| now.after(within)),
            })
        }));
    }

    /// Persons, of whom the project must know. That it does not is recorded, as the question would be.
    fn asking<P: Into<String>>(
        self,
        persons: impl IntoIterator<Item = P>,
        add: impl FnOnce(&mut Ask, Vec<String>),
    ) -> Self {
        let persons: Vec<String> = persons.into_iter().map(Into::into).collect();
        let registry = &self.ctx.inner.registry;
        let unknown = persons.iter().find(|person| !registry.is_person(person));
        let trouble = unknown.map(|unknown| {
            let message = format!("there is no person {unknown:?} in the project; declare them with Builder::person");
            rejoin_machine::Failure::new(FailureKind::Refused, "unknown-person", message)
        });
        self.amend(|ask| {
            add(ask, persons);
            ask.trouble = ask.trouble.take().or(trouble);
        })
    }

    fn amend(mut self, amend: impl FnOnce(&mut Ask)) -> Self {
        amend(&mut self.ask);
        self.operation.amend(|issue| {
            if let Issue::Ask { ask, .. } = issue {
                **ask = self.ask.clone();
            }
        });
        self
    }
}

impl Future for Approval {
    type Output = Result<Decision, Failure>;
    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.tell();
        let asked = self.operation.poll(task);
        if asked.is_pending()
            && let Some(telling) = &mut self.telling
            && Pin::new(telling).poll(task).is_ready()
        {
            self.telling = None;
        }
        asked.map(|reply| match reply {
            Reply::Decided(verdict) => {
                Ok(Decision { answer: verdict.answer, by: verdict.by, comment: verdict.comment })
            }
            Reply::NoSignal => {
                let message = "nobody answered in time".to_owned();
                Err(Failure::make(FailureKind::TimedOut, EXPIRED.to_owned(), message, Value::Null, false))
            }
            Reply::Resolved(Err(failure)) => Err(failure),
            Reply::Resolved(Ok(_)) | Reply::Spawned(_) => Err(Failure::permanent("an answer of another kind")),
        })
    }
}
