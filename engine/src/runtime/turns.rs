//! What a run needs from others to begin: its place in a conversation, what that shares, and what it does again.

use super::load::history;
use super::shard::{Shard, Work};
use crate::activation::{Activation, Commission, Lookup, another_person};
use crate::projection::{RunRow, lost_document};
use crate::replay;
use crate::retry::Memo;
use rejoin_machine::brief::{Given, Role, Share};
use rejoin_machine::cancel::Cause;
use rejoin_machine::conversation::{self, Message, Sort, Speaker};
use rejoin_machine::{Command, Failure, FailureKind, Notice, Run, RunId, Status, Trigger};
use rejoin_store::StreamId;

impl Lookup for Shard {
    fn missing(&self, project: &str, given: &Given) -> Option<String> {
        if let Some(Share::Task(conversation)) = given.share
            && !self.open(conversation).is_some_and(|open| open.project == project && open.task)
        {
            return Some(format!("conversation {conversation} of tasks that is open"));
        }
        lost_document(project, given, |document| self.knows(document))
    }

    fn untold(&self, project: &str, notice: &Notice) -> Option<Failure> {
        if !self.knows(notice.conversation) {
            return None;
        }
        match self.open(notice.conversation) {
            Some(open) if open.project == project && open.user == notice.opening.user => None,
            Some(_) => Some(another_person()),
            None => {
                let message = "the conversation with this key is over";
                Some(Failure::new(FailureKind::Refused, "conversation-over", message))
            }
        }
    }
}

/// A conversation that goes on.
struct Open {
    project: String,
    user: Option<String>,
    task: bool,
}

impl Shard {
    /// Whether there is such a run, durable or about to be.
    pub(super) fn knows(&self, id: RunId) -> bool {
        self.runs.contains_key(&id) || self.log.head(StreamId(id.0)).is_some()
    }

    /// Whether the run has no durable record, nor one that is about to be.
    pub(super) fn is_new(&self, id: RunId) -> bool {
        self.log.head(StreamId(id.0)).is_none()
    }

    /// A conversation that goes on. What memory does not have is durable.
    fn open(&self, conversation: RunId) -> Option<Open> {
        if let Some(active) = self.runs.get(&conversation) {
            let run = &active.activation.run;
            let talk = run.talk().filter(|_| active.activation.outcome().is_none())?;
            let (user, task) = (talk.opening.user.clone(), talk.opening.task);
            return Some(Open { project: run.trigger().project.clone(), user, task });
        }
        let row = self.log.row(StreamId(conversation.0)).ok().flatten()?;
        let row = RunRow::decode(&row).filter(|row| !row.status.is_closed())?;
        let talk = row.talk?;
        Some(Open { project: row.project, user: talk.user, task: talk.task })
    }

    /// What is only known when the run begins: how much there is in a conversation that it shares, and what the run has drawn
    /// that it does again.
    pub(super) fn prepare(&mut self, commission: &Commission) -> Option<Commission> {
        let shares = commission.brief.thread.as_ref().is_some_and(|thread| !thread.role.is_turn());
        (shares || commission.retries.is_some()).then(|| {
            let mut prepared = commission.clone();
            self.share_messages(&mut prepared);
            self.prepare_retry(&mut prepared);
            prepared
        })
    }

    /// A conversation is shared as it is now.
    fn share_messages(&mut self, commission: &mut Commission) {
        let Some(thread) = &mut commission.brief.thread else { return };
        if thread.role.is_turn() {
            return;
        }
        if let Ok(active) = self.take_active(thread.conversation) {
            thread.messages = active.activation.run.talk().map_or(0, |talk| talk.messages);
            // One that is over and was only looked up is of no further use in memory.
            if active.activation.outcome().is_none() {
                self.put_active(thread.conversation, active);
            }
        }
    }

    /// A run that does another one again begins where the last incarnation of that one did, and draws the same numbers.
    fn prepare_retry(&self, commission: &mut Commission) {
        let Some((of, last)) = &mut commission.retries else { return };
        if let Ok(old) = history(&*self.log, *of).map(|history| replay::state(*of, &history))
            && let Ok(old) = old
        {
            if !matches!(old.run.status(), Status::Closed(_)) {
                // It is being cancelled, or lives on: what it does is not done beside it.
                commission.retries = None;
                return;
            }
            *last = old.run.incarnation();
            let Trigger { input, seed, .. } = old.run.trigger().clone();
            (commission.trigger.input, commission.trigger.seed) = (input, seed);
        }
    }

    /// What the run knew that this one does again. If it is gone, everything is done anew.
    pub(super) fn remember(&self, activation: &mut Activation) {
        let Some((of, _)) = activation.run.retries().filter(|_| activation.run.incarnation() == 0) else { return };
        match history(&*self.log, of) {
            Ok(history) => activation.remember(Memo::of(&history)),
            Err(_) => tracing::warn!(run = %activation.run.id(), %of, "the run that is done again is gone"),
        }
    }
}

/// Whether a run's handler is about to be called for the first time.
pub(super) fn starts(command: &Command, run: &Run) -> bool {
    let begins = matches!(command, Command::Start | Command::Admit { .. } | Command::Unpause { .. });
    begins && matches!(run.status(), Status::Created)
}

/// A turn joins its conversation.
pub(super) fn join(run: &Run) -> Option<Work> {
    let thread = run.thread().filter(|_| run.awaits_turn())?;
    let trigger = run.trigger();
    let asker = trigger.path.iter().rev().nth(1);
    let task = |asker: &String| Message {
        speaker: Speaker::Workflow(asker.clone()),
        sort: Sort::Task,
        content: Ok(trigger.input.clone()),
        run: Some(run.id()),
        id: None,
    };
    let message = asker.filter(|_| thread.task).map(task);
    let takes_over = (thread.role == Role::TakesOver).then(|| trigger.target.name.clone());
    // One that a message begins has joined with it.
    (thread.task || takes_over.is_some()).then(|| {
        let command = conversation::Command::Join { run: run.id(), message, takes_over };
        Work::Command(thread.conversation, Command::Conversation(Box::new(command)))
    })
}

/// What is done where something could not be: who cannot join its conversation, or wait in it for a person or a message, would wait
/// for ever.
pub(super) fn instead(work: Work) -> Option<Work> {
    let Work::Command(_, Command::Conversation(command)) = work else { return None };
    let (run, reason) = match *command {
        conversation::Command::Join { run, .. } | conversation::Command::AskReview { run, op: Some(_), .. } => {
            (run, "its conversation has ended")
        }
        conversation::Command::Listen { run } => (run, "nobody answers in its conversation"),
        _ => return None,
    };
    let (by, reason) = ("the engine".to_owned(), reason.to_owned());
    Some(Work::Command(run, Command::Cancel { cause: Cause::Parent, by, reason, grace: None }))
}
