//! A message of a conversation: who said it, and what, in words.

use rejoin::{Message, Sort, Speaker};
use serde_json::Value;

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

/// How whoever takes over can be reached, where that is shown.
pub(crate) fn contact(message: &Message) -> Option<&Value> {
    let is_handoff = matches!(message.sort, Sort::Handoff | Sort::HandoffEnd);
    message.content.as_ref().ok().filter(|_| is_handoff)?.get("contact").filter(|contact| contact.is_object())
}

/// What was said, in words: a task's description, what is shown when a person takes over.
pub(crate) fn words(message: &Message) -> String {
    let mut text = message.text();
    if message.content.is_err() {
        return format!("failed: {text}");
    }
    let way = |name: &str| contact(message)?.get(name)?.as_str();
    let ways: Vec<&str> = ["email", "phone", "url"].into_iter().filter_map(way).collect();
    if !ways.is_empty() {
        text = format!("{text} ({})", ways.join(", "));
    }
    if message.sort == Sort::Handoff { text + " (a person is asked to take over)" } else { text }
}
