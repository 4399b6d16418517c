//! Ways to reach people.

use crate::engine::ApprovalToken;
use crate::failure::Failure;
use rejoin_machine::{RunId, Timestamp};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

type Telling = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;
type Tell = dyn Fn(Announcement) -> Telling + Send + Sync;

/// A way to reach people, which a project declares, see [`Builder::channel`](crate::Builder::channel).
///
/// ```
/// use rejoin::{Announcement, Channel, Failure};
/// let desk = Channel::of(|announcement: Announcement| async move {
///     println!("{:?}: {}", announcement.persons, announcement.question);
///     Ok::<(), Failure>(())
/// });
/// ```
#[derive(Clone)]
pub struct Channel(Option<Arc<Tell>>);

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Channel::of(..)" } else { "Channel::console()" })
    }
}

impl Channel {
    /// People look by themselves at what is open, see [`Engine::approvals`](crate::Engine::approvals).
    pub fn console() -> Channel {
        Channel(None)
    }

    /// People are told by this function. It is called in a step: again after a failure or a crash, under the same key, until it
    /// succeeds or the question is answered.
    pub fn of<F, Fut>(tell: F) -> Channel
    where
        F: Fn(Announcement) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        Channel(Some(Arc::new(move |announcement| Box::pin(tell(announcement)))))
    }

    pub(crate) fn tells(&self) -> Option<Arc<Tell>> {
        self.0.clone()
    }
}

/// What people are told of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The same for each attempt to tell it.
    pub key: String,
    /// The run that asks.
    pub run: RunId,
    /// What answers the question: whoever has it, and is among the persons, may.
    pub token: ApprovalToken,
    /// What is asked.
    pub question: String,
    /// The answers that may be given.
    pub answers: Vec<String>,
    /// Who may answer.
    pub persons: Vec<String>,
    /// When it is too late.
    pub expires_at: Option<Timestamp>,
}
