//! `rejoin pick`: a part of a JSON text, for agents that are shell scripts.

use crate::error::Trouble;
use crate::output::Console;
use clap::Args;
use serde_json::Value;
use std::io::Read;

/// The most that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// Prints a part of the JSON that it reads from stdin: a text as it is, anything else as JSON.
#[derive(Args)]
pub(crate) struct Pick {
    /// Which part: names of fields and places in lists, with dots between; nothing for the whole.
    #[arg(value_name = "PATH", default_value = "")]
    path: String,
    /// A line for each item of a list; the values of an object, by the names of its fields, with tabs between.
    #[arg(long)]
    lines: bool,
}

impl Pick {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let mut text = String::new();
        let read = std::io::stdin().take(LARGEST).read_to_string(&mut text);
        let bad = |reason: String| Trouble::InputFile { path: "stdin".to_owned(), reason };
        read.map_err(|error| bad(error.to_string()))?;
        let value: Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        let part = self.path.split('.').filter(|name| !name.is_empty()).try_fold(&value, |value, name| {
            let inner = match value {
                Value::Array(items) => name.parse::<usize>().ok().and_then(|place| items.get(place)),
                other => other.get(name),
            };
            inner.ok_or_else(|| bad(format!("there is no {name:?} on the way to {:?}", self.path)))
        })?;
        match part {
            Value::Array(items) if self.lines => items.iter().try_for_each(|item| console.line(line(item))),
            part => console.line(plain(part)),
        }
    }
}

fn line(item: &Value) -> String {
    match item {
        Value::Object(fields) => fields.values().map(plain).collect::<Vec<_>>().join("\t"),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join("\t"),
        other => plain(other),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
