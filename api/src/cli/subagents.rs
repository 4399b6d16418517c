//! `rejoin subagents`: for programs that divide their work.

use super::participant::{Asking, Trouble, outcome};
use super::trigger::seconds;
use crate::output::Console;
use clap::Args;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

const STATUS: &str = "\
Reads the environment variables REJOIN_URL and REJOIN_RUN_TOKEN, which a program has that does an agent's job. How many parts
there may be is for `subagents` of that agent to say, in rejoin.yaml. Each part is a task for the same agent (`kind` is task, and
`subagent` true in what it reads); the same name again, also in a later attempt, finds what was begun.
Prints the answers by name, as JSON, of those that have completed.
Exit status: 0 all completed; 1 one did not, or nothing could be asked for, and stderr says why; 2 the command was not understood.";

/// Gives parts of the work to the same agent once more, side by side, and waits for the answers.
#[derive(Args)]
#[command(after_help = STATUS)]
pub(crate) struct Subagents {
    /// A name for each part, and in words what is to be done.
    #[arg(value_name = "NAME=TASK", required = true, value_parser = part)]
    parts: Vec<(String, String)>,
    /// How long each may take, as 90s, 5m, 2h or 1d; five minutes where nothing is said.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    timeout: Option<u64>,
}

impl Subagents {
    pub(crate) fn execute(self, mut console: Console) -> ExitCode {
        if let Err(trouble) = self.ask(&mut console) {
            console.complain(&trouble);
        }
        console.finish()
    }

    fn ask(self, console: &mut Console) -> Result<(), Trouble> {
        let mut tasks = Map::new();
        for (name, task) in self.parts {
            if tasks.contains_key(&name) {
                return Err(Trouble::Refused(format!("there are two parts {name:?}; give each a name of its own")));
            }
            tasks.insert(name, task.into());
        }
        let body = json!({ "tasks": tasks, "timeout_seconds": self.timeout });
        let mut answer = Asking::new("subagents")?.ask(&body)?;
        let results = answer["results"].as_object_mut().map(std::mem::take).unwrap_or_default();
        let mut completed = Map::new();
        for (name, came) in results {
            match outcome(came) {
                Ok(output) => drop(completed.insert(name, output)),
                Err(Trouble::Ended { code, message, status }) => {
                    console.complain(&Trouble::Ended { status, code, message: format!("{name}: {message}") });
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(console.json(&Value::Object(completed))?)
    }
}

fn part(text: &str) -> Result<(String, String), String> {
    let (name, task) = text.split_once('=').ok_or("write NAME=TASK")?;
    if name.is_empty() || task.is_empty() { Err("write NAME=TASK".to_owned()) } else { Ok((name.into(), task.into())) }
}
