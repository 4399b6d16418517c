//! The details of an event: once as JSON with everything in it, once as a line with what tells people the most.

use crate::output::{printable, shorten, time};
use rejoin::{Payload, RunId, Timestamp};
use rejoin_machine::{Failure, FailureKind, OpNo, Span};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// How many characters of a JSON value the line shows.
const JSON_SHOWN: usize = 100;

/// How many characters of any other text.
const TEXT_SHOWN: usize = 300;

/// Named values, in order.
#[derive(Default)]
pub(crate) struct Details(Vec<Field>);

struct Field {
    name: Cow<'static, str>,
    value: Value,
    /// Whether the line shows it.
    shown: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
    Json(Box<RawValue>),
}

impl Details {
    pub(super) fn text(self, name: &'static str, value: impl Into<String>) -> Self {
        self.with(name, Value::Text(value.into()))
    }

    pub(super) fn number(self, name: &'static str, value: impl Into<u64>) -> Self {
        self.with(name, Value::Number(value.into()))
    }

    pub(super) fn flag(self, name: &'static str, value: bool) -> Self {
        self.with(name, Value::Flag(value))
    }

    pub(super) fn time(self, name: &'static str, value: Timestamp) -> Self {
        self.with(name, Value::Text(time(value)))
    }

    pub(super) fn span(self, name: &'static str, value: Span) -> Self {
        self.with(name, Value::Number(value.0 / 1000))
    }

    pub(super) fn run(self, name: &'static str, value: RunId) -> Self {
        self.with(name, Value::Text(value.to_string()))
    }

    pub(super) fn op(self, op: OpNo) -> Self {
        self.number("op", op.0)
    }

    pub(super) fn hex(self, name: impl Into<Cow<'static, str>>, bytes: &[u8]) -> Self {
        let digits = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.with(name, Value::Text(digits))
    }

    /// A value that serialises to JSON.
    pub(super) fn json(self, name: &'static str, value: &impl Serialize) -> Self {
        match serde_json::value::to_raw_value(value) {
            Ok(value) => self.with(name, Value::Json(value)),
            Err(_) => self,
        }
    }

    /// A payload: the JSON that it is, left out where it is empty.
    pub(super) fn payload(self, name: &'static str, payload: &Payload) -> Self {
        match compact(payload.bytes()) {
            _ if payload.is_empty() => self,
            Some(json) => self.with(name, Value::Json(json)),
            None => self.hex(format!("{name}_hex"), payload.bytes()),
        }
    }

    pub(super) fn failure(self, failure: &Failure) -> Self {
        let Failure { kind, code, message, details, retryable } = failure;
        self.shown_if(*kind != FailureKind::Application, |it| it.text("kind", kind_name(*kind)))
            .text("code", code)
            .text("message", message)
            .aside(|it| it.flag("retryable", *retryable))
            .aside(|it| it.given(details.as_ref(), |it, details| it.payload("failure_details", details)))
    }

    /// Adds to it where there is a value.
    pub(super) fn given<T>(self, value: Option<T>, add: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => add(self, value),
            None => self,
        }
    }

    /// Adds what the line shows only if so; JSON has it in any case.
    pub(super) fn shown_if(self, shown: bool, add: impl FnOnce(Self) -> Self) -> Self {
        let known = self.0.len();
        let mut details = add(self);
        for field in details.0.iter_mut().skip(known) {
            field.shown &= shown;
        }
        details
    }

    /// Adds what only JSON has.
    pub(super) fn aside(self, add: impl FnOnce(Self) -> Self) -> Self {
        self.shown_if(false, add)
    }

    fn with(mut self, name: impl Into<Cow<'static, str>>, value: Value) -> Self {
        self.0.push(Field { name: name.into(), value, shown: true });
        self
    }
}

fn kind_name(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Application => "application",
        FailureKind::Panic => "panic",
        FailureKind::TimedOut => "timed-out",
        FailureKind::Cancelled => "cancelled",
        FailureKind::Refused => "refused",
        FailureKind::Limit => "limit",
        FailureKind::Payload => "payload",
        FailureKind::HandedOff => "handed-off",
    }
}

/// The same JSON without white space; `None` if it is no JSON. Order of keys and digits of numbers stay as they are.
fn compact(bytes: &[u8]) -> Option<Box<RawValue>> {
    let value: &RawValue = serde_json::from_slice(bytes).ok()?;
    let (mut quoted, mut escaped) = (false, false);
    let keep = |character: &char| {
        let keep = quoted || !character.is_ascii_whitespace();
        quoted ^= *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        keep
    };
    RawValue::from_string(value.get().chars().filter(keep).collect()).ok()
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|field| (&field.name, &field.value)))
    }
}

impl fmt::Display for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, field) in self.0.iter().filter(|field| field.shown).enumerate() {
            let gap = if place == 0 { "" } else { " " };
            write!(f, "{gap}{}={}", field.name, field.value)?;
        }
        Ok(())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) if text.is_empty() || !text.chars().all(is_plain) => {
                write!(f, "{:?}", shorten(text, TEXT_SHOWN))
            }
            Value::Text(text) => f.write_str(&shorten(text, TEXT_SHOWN)),
            Value::Number(number) => number.fmt(f),
            Value::Flag(flag) => flag.fmt(f),
            Value::Json(json) => f.write_str(&printable(&shorten(json.get(), JSON_SHOWN))),
        }
    }
}

/// Whether a text of such characters can stand without quotes.
fn is_plain(character: char) -> bool {
    character.is_alphanumeric() || "-_.:/@+#".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_what_was_written_but_the_white_space() {
        let written = "{\"b\" : 1.50,\n \"a\": [ \"x \\\" y\\\\\" , 12345678901234567890123 ]\r\n}";
        let kept = r#"{"b":1.50,"a":["x \" y\\",12345678901234567890123]}"#;
        assert_eq!(compact(written.as_bytes()).unwrap().get(), kept);
        assert!(compact(b"{\"a\":").is_none());
        assert!(compact(&[0xff]).is_none());
    }

    #[test]
    fn lines_are_short_and_json_is_whole() {
        let long = Payload::from(serde_json::to_vec(&"x".repeat(1000)).unwrap());
        let details = Details::default().op(OpNo(3)).text("step", "two words").payload("output", &long);
        assert_eq!(details.to_string(), format!("op=3 step=\"two words\" output=\"{}…", "x".repeat(99)));
        let json: serde_json::Value = serde_json::to_value(&details).unwrap();
        assert_eq!(json["output"], "x".repeat(1000));
    }

    #[test]
    fn bytes_that_are_no_json_are_shown_in_digits() {
        let details = Details::default()
            .payload("input", &Payload::from(vec![0xff, 1]))
            .payload("output", &Payload::from(vec![]));
        assert_eq!(serde_json::to_string(&details).unwrap(), r#"{"input_hex":"ff01"}"#);
    }

    #[test]
    fn texts_cannot_harm_a_terminal_or_forge_a_field() {
        let details = Details::default().text("step", "a\u{1b}[31m\u{9b}\nb=\"c\"");
        assert_eq!(details.to_string(), r#"step="a\u{1b}[31m\u{9b}\nb=\"c\"""#);
    }
}
