//! Runs that wait for the next message of a conversation: whom it is for.

use crate::brief::Given;
use crate::command::Command as Asked;
use crate::conversation::{Change, MESSAGE, Message, Say, Sort};
use crate::id::RunId;
use crate::talk::Talk;
use alloc::vec::Vec;

impl Talk {
    /// Who waits for this message. One that brings metadata or documents of its own needs a turn that is given them.
    pub(crate) fn listener(&self, say: &Say) -> Option<RunId> {
        let plain = is_plain(Given { visitor: Vec::new(), ..say.terms.given.clone() });
        self.listening.last().copied().filter(|_| plain && self.review.is_none())
    }

    pub(crate) fn answer(&self, run: RunId, say: Say) -> Change {
        let Say { id, by, content, .. } = say;
        let speaker = self.speaker(by);
        Change::Added(Message { speaker, sort: Sort::Said, content: Ok(content), run: Some(run), id: Some(id) })
    }

    /// The run that waits for this message, and what it is told.
    pub(crate) fn heard_by(&self, message: &Message) -> Option<(RunId, Asked)> {
        let (run, id) = (message.run?, message.id?);
        let payload = message.content.as_ref().ok()?.clone();
        self.listening.contains(&run).then(|| (run, Asked::Signal { id, name: MESSAGE.into(), payload }))
    }

    pub(crate) fn stop_listening(&mut self, run: RunId) -> bool {
        let at = self.listening.iter().rposition(|listening| *listening == run);
        at.map(|at| self.listening.remove(at)).is_some()
    }
}

/// Whether a message brings nothing of its own.
pub(crate) fn is_plain(given: Given) -> bool {
    Given { job: None, by_default: false, ..given } == Given::default()
}
