//! `rejoin trigger`: for programs that do an agent's job.

use super::participant::{Asking, Status, Trouble, outcome};
use crate::output::Console;
use clap::Args;
use rejoin::Tagged;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;

const STATUS: &str = "\
Reads the environment variables REJOIN_URL and REJOIN_RUN_TOKEN, which a program has that does an agent's job. What is
triggered must be granted to that agent.
Prints the result: a text as it is, anything else as JSON.
Exit status: 0 it completed; 1 it failed, was cancelled or could not be triggered, and stderr says why; 2 the command was not
understood; 3 it was refused; 4 it timed out.";

/// Triggers a workflow, or asks an agent for a job, in the name of the run that this program works for, and waits for the result.
#[derive(Args)]
#[command(after_help = STATUS)]
pub(crate) struct Trigger {
    /// The workflow or agent.
    name: String,
    /// Which of the agent's jobs.
    #[arg(long)]
    job: Option<String>,
    /// A field of the input. A value that is JSON is taken as that, any other as text: n=7 is a number, n='"7"' a text.
    #[arg(long, value_name = "NAME=VALUE", value_parser = field, conflicts_with_all = ["input_file", "json"])]
    input: Vec<(String, Value)>,
    /// A file with the input as JSON; - is stdin.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    input_file: Option<PathBuf>,
    /// The input as JSON.
    #[arg(long, value_parser = value)]
    json: Option<Value>,
    /// What is to be known of the occasion, beside the input.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// How long it may take, as 90s, 5m, 2h or 1d; what the grant says where nothing is said.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    timeout: Option<u64>,
    /// The same key again, also in a later attempt, finds what was begun under it. Where there is none, the same name, job and
    /// input do.
    #[arg(long)]
    key: Option<String>,
}

impl Trigger {
    pub(crate) fn execute(self, mut console: Console) -> ExitCode {
        let Err(trouble) = self.ask().and_then(|output| print(&mut console, &output)) else { return console.finish() };
        console.complain(&trouble);
        match trouble {
            Trouble::Ended { status: Status::Refused, .. } => ExitCode::from(3),
            Trouble::Ended { status: Status::TimedOut, .. } => ExitCode::from(4),
            _ => console.finish(),
        }
    }

    fn ask(self) -> Result<Value, Trouble> {
        let asking = Asking::new("trigger")?;
        outcome(asking.ask(&self.body()?)?)
    }

    fn body(self) -> Result<Value, Trouble> {
        let mut body = json!({ "name": self.name });
        let input = match (self.input_file, self.json) {
            (Some(file), _) => from_file(&file)?,
            (None, Some(value)) => value,
            (None, None) if self.input.is_empty() => Value::Null,
            (None, None) => Value::Object(self.input.into_iter().collect::<Map<_, _>>()),
        };
        let given = [
            ("job", self.job.map(Value::from)),
            ("input", Some(input)),
            ("key", self.key.map(Value::from)),
            ("message", self.message.map(Value::from)),
            ("timeout_seconds", self.timeout.map(Value::from)),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        Ok(body)
    }
}

fn print(console: &mut Console, output: &Value) -> Result<(), Trouble> {
    match Tagged::untag(output.clone()) {
        Value::String(text) => console.line(text)?,
        other => console.json(&other)?,
    }
    Ok(())
}

fn from_file(file: &PathBuf) -> Result<Value, Trouble> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        io::stdin().read_to_string(&mut text).map(drop)
    } else {
        fs::read_to_string(file).map(|read| text = read)
    };
    let bad = |reason: String| Trouble::Input { from: file.display().to_string(), reason };
    read.map_err(|error| bad(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| bad(error.to_string()))
}

fn value(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("this is no JSON: {error}"))
}

pub(super) fn field(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}

pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let bad = || "write a number and s, m, h or d, as in 90s or 5m".to_owned();
    let unit = text.chars().last().ok_or_else(bad)?;
    let each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(bad()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| bad())?;
    count.checked_mul(each).filter(|seconds| *seconds > 0).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(["90s", "5m", "2h", "1d"].map(seconds), [Ok(90), Ok(300), Ok(7_200), Ok(86_400)]);
        for bad in ["", "5", "m", "5x", "0s", "-1s", "5µ", "99999999999999999999d", "18446744073709551615m"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_is_json_where_it_can_be() {
        let read = |text: &str| field(text).map(|(_, value)| value);
        assert_eq!(read("n=7"), Ok(json!(7)));
        assert_eq!(read("n=\"7\""), Ok(json!("7")));
        assert_eq!(read("n=007"), Ok(json!("007")));
        assert_eq!(read("n=a=b"), Ok(json!("a=b")));
        assert_eq!(read("n="), Ok(json!("")));
        assert!(read("n").is_err() && read("=7").is_err());
    }
}
