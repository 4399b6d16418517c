//! A message of a conversation: who said it, and what, in words.

use rejoin::{Message, Sort, Speaker};

/// What sort of speaker it is, and its name.
pub(crate) fn speaker(message: &Message) -> (&'static str, Option<&str>) {
    match &message.speaker {
        Speaker::User(name) => ("user", Some(name)),
        Speaker::Anonymous => ("anonymous", None),
        Speaker::Agent(name) => ("agent", Some(name)),
        Speaker::Person(name) => ("person", Some(name)),
        Speaker::Workflow(name) => ("workflow", Some(name)),
    }
}

/// What was said, in words: a task's description, what is shown when a person takes over.
pub(crate) fn words(message: &Message) -> String {
    let text = message.text();
    match &message.content {
        Err(_) => format!("failed: {text}"),
        Ok(_) if message.sort == Sort::Handoff => format!("{text} (a person is asked to take over)"),
        Ok(_) => text,
    }
}
