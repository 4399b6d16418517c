//! Carrying out what somebody wants.

use super::commands::{HELP, Line};
use super::room::Room;
use crate::live::asking::Answer;
use rejoin::RunError;
use serde_json::Value;

/// What comes of it, where the records say nothing of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It is durable, or nothing was wanted.
    Taken,
    /// Lines to be shown.
    Told(Vec<String>),
    /// Nothing was done; why.
    Refused(String),
    /// Somebody leaves.
    Left,
}

impl Room {
    /// Does it. When that returns, it is durable.
    pub(super) async fn perform(&mut self, line: Line) -> Done {
        let done = match line {
            Line::Blank => Ok(()),
            Line::Quit => return Done::Left,
            Line::Help => return Done::Told(HELP.map(str::to_owned).to_vec()),
            Line::Wrong(why) => Err(why),
            Line::Say(text) => self.say(&text).await,
            Line::Answer(text) => self.answer(&text).await,
            Line::Claim(person) => self.chat.claim(&person).await.map_err(told),
            Line::Reply(text) => self.reply(&text).await,
            Line::Release(note) => self.release(note).await,
        };
        match done {
            Ok(()) => Done::Taken,
            Err(why) => Done::Refused(why),
        }
    }

    /// Under a name of its own: it is taken once.
    async fn say(&self, text: &str) -> Result<(), String> {
        let mut saying = self.chat.say(text);
        if let Some(busy) = self.when_busy {
            saying = saying.when_busy(busy);
        }
        saying.await.map(drop).map_err(told)
    }

    async fn answer(&mut self, text: &str) -> Result<(), String> {
        let Some(Answer { token, person, answer, comment }) = self.asking.read(text) else {
            return Err(self.asking.take_complaint().unwrap_or_else(|| "no question waits here".to_owned()));
        };
        self.engine.decide(token, &person, &answer, comment.as_deref()).await.map_err(told)
    }

    async fn reply(&self, text: &str) -> Result<(), String> {
        self.chat.reply(self.owner()?, text).await.map_err(told)
    }

    async fn release(&self, note: Option<String>) -> Result<(), String> {
        let note = note.map(Value::String);
        self.chat.release(self.owner()?, note.as_ref()).await.map_err(told)
    }
}

fn told(error: RunError) -> String {
    match error {
        RunError::UnknownPerson { person } => format!("there is no person {person:?} in the project"),
        error => error.to_string(),
    }
}
