//! Messages as lines for people, and as JSON.

use crate::live::line::{Line, Tint, wrapped};
use crate::output::{printable, time};
use crate::wire::{contact, sort_name, speaker, words};
use rejoin::Message;
use serde::Serialize;
use serde_json::Value;

/// Who says something of whom no name is known.
const NAMELESS: &str = "you";

/// A message, as JSON.
#[derive(Serialize)]
struct MessageLine<'a> {
    number: u64,
    at: String,
    speaker: &'static str,
    name: Option<&'a str>,
    sort: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureView<'a>>,
    run: Option<String>,
}

#[derive(Serialize)]
struct FailureView<'a> {
    code: &'a str,
    message: &'a str,
}

fn name(message: &Message) -> &str {
    speaker(message).1.unwrap_or(NAMELESS)
}

/// A message in one line.
pub(super) fn plain(message: &Message) -> String {
    format!("{}: {}\n", printable(name(message)), printable(words(message).trim_end()))
}

/// A message as a line of JSON.
pub(super) fn json(message: &Message) -> String {
    let failure = message.content.as_ref().err();
    let line = MessageLine {
        number: message.number,
        at: time(message.at),
        speaker: speaker(message).0,
        name: speaker(message).1,
        sort: sort_name(message.sort),
        text: failure.is_none().then(|| message.text()),
        contact: contact(message),
        failure: failure.map(|failure| FailureView { code: failure.code(), message: failure.message() }),
        run: message.run.map(|run| run.to_string()),
    };
    // All of it has JSON.
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}

/// A message in lines for a terminal of this width.
pub(super) fn lines(message: &Message, width: usize) -> Vec<Line> {
    let tint = if message.content.is_err() { Tint::Bad } else { Tint::Plain };
    let head = format!("{}: ", printable(name(message)));
    let text = words(message);
    // The first line leaves room for the name, and those below stand a little to the right.
    let body = wrapped(&format!("{head}{}", text.trim_end()), width.saturating_sub(2));
    let line = |(place, text): (usize, &String)| match (place, text.strip_prefix(&head)) {
        (0, Some(text)) => Line::default().with(Tint::Strong, &head).with(tint, text),
        (0, None) => Line::default().with(tint, text),
        _ => Line::default().with(Tint::Plain, "  ").with(tint, text),
    };
    body.iter().enumerate().map(line).collect()
}
