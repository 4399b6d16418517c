//! `rejoin conversation`: what was said in one.

use super::Source;
use crate::error::Trouble;
use crate::find::{self, Beginning, Found};
use crate::output::{Column, Console, Fit, Table, printable, time};
use crate::wire::{sort_name, speaker, words};
use clap::Args;
use rejoin::Message;
use serde::Serialize;
use serde_json::Value;

const FIELDS: &str = "\
JSON: one object a line, oldest first:
  number        the number of the message, from 1
  at            when it came
  speaker       user, anonymous, agent, person or workflow
  name          who it was, or null
  sort          said, reply, task, handoff or handoff-end
  content       what was said, or null
  failure       {code, message} of a turn that failed, or null
  run           the turn that answers it, or that said it, or null
Times are RFC 3339 in UTC. Fields may be added.";

/// Shows what was said in a conversation, in order.
#[derive(Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Conversation {
    #[command(flatten)]
    source: Source,
    /// The conversation's id, or enough of its beginning to tell it from all others.
    #[arg(value_name = "ID")]
    id: Beginning,
}

/// A message, as JSON.
#[derive(Serialize)]
struct MessageView<'a> {
    number: u64,
    at: String,
    speaker: &'static str,
    name: Option<&'a str>,
    sort: &'static str,
    content: Option<&'a Value>,
    failure: Option<FailureView<'a>>,
    run: Option<String>,
}

#[derive(Serialize)]
struct FailureView<'a> {
    code: &'a str,
    message: &'a str,
}

const COLUMNS: [Column; 4] = [
    Column { title: "#", fit: Fit::Whole },
    Column { title: "TIME", fit: Fit::Spare },
    Column { title: "WHO", fit: Fit::Whole },
    Column { title: "WHAT", fit: Fit::Wraps },
];

impl Conversation {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let Found { entries, fault, .. } = find::history(&self.source.folder, &self.id)?;
        let messages = Message::of_history(&entries);
        let mut table = Table::new(&COLUMNS);
        for message in &messages {
            if self.source.json {
                console.json(&view(message))?;
            } else {
                let (_, name) = speaker(message);
                let who = name.map_or_else(|| "somebody".to_owned(), printable);
                table.row([message.number.to_string(), time(message.at), who, printable(&words(message))]);
            }
        }
        if messages.is_empty() {
            console.note("nothing was said; is it a conversation? rejoin conversations DIR lists them");
        } else if !self.source.json {
            console.table(table)?;
        }
        fault.iter().for_each(|fault| console.complain(fault));
        Ok(())
    }
}

fn view(message: &Message) -> MessageView<'_> {
    let (speaker, name) = speaker(message);
    let failure = message.content.as_ref().err();
    MessageView {
        number: message.number,
        at: time(message.at),
        speaker,
        name,
        sort: sort_name(message.sort),
        content: message.content.as_ref().ok(),
        failure: failure.map(|failure| FailureView { code: failure.code(), message: failure.message() }),
        run: message.run.map(|run| run.to_string()),
    }
}
