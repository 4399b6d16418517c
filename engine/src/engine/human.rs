//! What people do to runs: answer questions, make runs stand still and go on.

use super::{Engine, RunHandle};
use crate::error::RunError;
use crate::projection::{RunRow, tables, text_key};
use crate::runtime::Input;
use rejoin_machine::human::{Pending, Verdict};
use rejoin_machine::{Command, Op, OpNo, RunId, Timestamp};
use rejoin_store::StreamId;
use rejoin_store::index::prefix;
use std::fmt;
use std::str::FromStr;

/// What answers a question: whoever has it and is among those who are asked may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalToken {
    run: RunId,
    op: OpNo,
    secret: [u8; 16],
}

impl ApprovalToken {
    pub(crate) fn new(run: RunId, op: OpNo, secret: [u8; 16]) -> ApprovalToken {
        ApprovalToken { run, op, secret }
    }
}

impl fmt::Display for ApprovalToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = RunId(self.secret).to_string().replace('-', "");
        write!(f, "apr_{}_{}_{secret}", self.run.to_string().replace('-', ""), self.op)
    }
}

impl FromStr for ApprovalToken {
    type Err = RunError;

    fn from_str(text: &str) -> Result<ApprovalToken, RunError> {
        let read = || {
            let mut parts = text.strip_prefix("apr_")?.split('_');
            let (run, op, secret) = (parts.next()?, parts.next()?, parts.next()?);
            let token = ApprovalToken {
                run: run.parse().ok()?,
                op: OpNo(op.parse().ok()?),
                secret: secret.parse::<RunId>().ok()?.0,
            };
            parts.next().is_none().then_some(token)
        };
        read().ok_or_else(|| RunError::Payload(format!("{text:?} is no approval token; it begins with apr_")))
    }
}

/// A question that waits for people.
#[derive(Clone, Debug)]
pub struct OpenApproval {
    /// What answers it.
    pub token: ApprovalToken,
    /// The run that asks.
    pub run: RunId,
    /// The run at the root of its tree, where people look.
    pub root: RunId,
    /// The names from the root down to the run that asks.
    pub path: Vec<String>,
    /// What is asked.
    pub question: String,
    /// The answers that may be given.
    pub answers: Vec<String>,
    /// Who may answer now.
    pub persons: Vec<String>,
    /// When it is too late.
    pub expires_at: Option<Timestamp>,
}

impl Engine {
    /// Every question that waits for people, also those of nested runs.
    ///
    /// # Errors
    ///
    /// [`RunError`] if the log or its index cannot be read.
    pub fn approvals(&self) -> Result<Vec<OpenApproval>, RunError> {
        let (mut head, mut end) = (Vec::new(), Vec::new());
        text_key(&mut head, &self.shared.project);
        let asking = self.shared.log.scan(tables::ASKING, prefix(&head, &mut end), usize::MAX)?;
        let mut open = Vec::new();
        for (_, StreamId(id)) in asking {
            self.open_approvals(RunId(id), &mut open)?;
        }
        Ok(open)
    }

    fn open_approvals(&self, run: RunId, open: &mut Vec<OpenApproval>) -> Result<(), RunError> {
        let state = match self.state(run) {
            // It was deleted meanwhile.
            Err(RunError::NotFound(_)) => return Ok(()),
            state => state?,
        };
        let trigger = state.trigger();
        let mut root = run;
        let mut above = trigger.parent;
        while let Some(parent) = above {
            root = parent.run;
            let row = self.shared.log.row(StreamId(root.0))?.and_then(|row| RunRow::decode(&row));
            above = row.and_then(|row| row.parent).map(|run| rejoin_machine::Parent { run, ..parent });
        }
        for (op, pending) in state.operations() {
            let Op::Approval(pending) = pending else { continue };
            let Pending { approval, .. } = &**pending;
            open.push(OpenApproval {
                token: ApprovalToken { run, op, secret: approval.token },
                run,
                root,
                path: trigger.path.clone(),
                question: approval.question.clone(),
                answers: approval.answers.clone(),
                persons: pending.persons().cloned().collect(),
                expires_at: approval.expires_at,
            });
        }
        Ok(())
    }

    /// Answers a question in somebody's name. The first valid answer wins.
    ///
    /// # Errors
    ///
    /// [`RunError::Rejected`]: somebody has answered already (and who, and when), the person is not asked, the answer is not
    /// among those that are offered, or there is no such question.
    pub async fn decide(
        &self,
        token: ApprovalToken,
        person: &str,
        answer: &str,
        comment: Option<&str>,
    ) -> Result<(), RunError> {
        let ApprovalToken { run, op, secret } = token;
        let verdict = Verdict { answer: answer.to_owned(), by: person.to_owned(), comment: comment.map(str::to_owned) };
        let command = Command::Decide { op, token: secret, verdict };
        self.ask(|reply| Input::Command { run, command, reply }).await
    }
}

impl<O> RunHandle<O> {
    /// Makes the run stand still: steps under way end, what comes is kept, and its handler is told nothing until it goes on.
    /// A cancellation or its deadline makes it go on.
    ///
    /// # Errors
    ///
    /// [`RunError::Rejected`] if it has ended, is paused already, or is being cancelled.
    pub async fn pause(&self, by: &str, reason: &str) -> Result<(), RunError> {
        let (run, command) = (self.id(), Command::Pause { by: by.to_owned(), reason: reason.to_owned() });
        self.engine.ask(|reply| Input::Command { run, command, reply }).await
    }

    /// Makes the run go on that stands still.
    ///
    /// # Errors
    ///
    /// [`RunError::Rejected`] if it does not stand still.
    pub async fn resume(&self, by: &str) -> Result<(), RunError> {
        let (run, command) = (self.id(), Command::Unpause { by: by.to_owned() });
        self.engine.ask(|reply| Input::Command { run, command, reply }).await
    }
}
