//! `rejoin conversations`: all conversations of a log, the one with the latest message first.

use super::Source;
use super::runs::Listing;
use crate::error::Trouble;
use crate::log;
use crate::output::{Column, Console, Fit, Table, printable, time};
use clap::Args;
use rejoin::{RunId, RunRow, TalkRow};
use serde::Serialize;
use std::cmp::Reverse;

const FIELDS: &str = "\
JSON: one object a line, the one with the latest message first:
  id, project
  agent         the agent that answers
  user          the person whom it is with, or null
  task          whether it is the thread of a task
  key           its outside key, or null
  messages      how many it has
  turns         how many turns have not ended
  review_since  since when a person is asked to take over, or null
  owner         the person who has, or null
  closed        whether it is over
  opened_at, active_at
Times are RFC 3339 in UTC. Fields may be added.";

/// Lists conversations, the one with the latest message first.
#[derive(Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Conversations {
    #[command(flatten)]
    source: Source,
    /// Only those that a person is asked to take over, or has taken over.
    #[arg(long)]
    review: bool,
    /// Only those with this person.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only those that this agent answers.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
}

/// A conversation, as JSON.
#[derive(Serialize)]
struct ConversationView<'a> {
    id: String,
    project: &'a str,
    agent: &'a str,
    user: Option<&'a str>,
    task: bool,
    key: Option<&'a str>,
    messages: u64,
    turns: u32,
    review_since: Option<String>,
    owner: Option<&'a str>,
    closed: bool,
    opened_at: String,
    active_at: String,
}

const COLUMNS: [Column; 8] = [
    Column { title: "ID", fit: Fit::Whole },
    Column { title: "AGENT", fit: Fit::Wraps },
    Column { title: "WITH", fit: Fit::Wraps },
    Column { title: "MESSAGES", fit: Fit::Whole },
    Column { title: "TURNS", fit: Fit::Spare },
    Column { title: "REVIEW", fit: Fit::Wraps },
    Column { title: "KEY", fit: Fit::Spare },
    Column { title: "LATEST", fit: Fit::Spare },
];

impl Conversations {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let mut listing = Listing::default();
        log::read(&self.source.folder, |record| listing.take(record))?;
        let mut found: Vec<(RunId, RunRow, TalkRow)> = listing
            .rows()
            .filter_map(|(id, row)| Some((id, row.clone(), row.talk.clone()?)))
            .filter(|(_, _, talk)| self.wants(talk))
            .collect();
        found.sort_by_key(|(id, _, talk)| Reverse((talk.active_at, *id)));
        let mut table = Table::new(&COLUMNS);
        for (id, row, talk) in &found {
            if self.source.json {
                console.json(&view(*id, row, talk))?;
            } else {
                table.row(cells(*id, row, talk));
            }
        }
        if found.is_empty() {
            console.note("no such conversations");
        } else if !self.source.json {
            console.table(table)?;
        }
        listing.faults.iter().for_each(|fault| console.complain(fault));
        Ok(())
    }

    fn wants(&self, talk: &TalkRow) -> bool {
        (!self.review || talk.review.is_some())
            && self.user.as_ref().is_none_or(|user| talk.user.as_ref() == Some(user))
            && self.agent.as_ref().is_none_or(|agent| talk.agent == *agent)
    }
}

fn view<'a>(id: RunId, row: &'a RunRow, talk: &'a TalkRow) -> ConversationView<'a> {
    ConversationView {
        id: id.to_string(),
        project: &row.project,
        agent: &talk.agent,
        user: talk.user.as_deref(),
        task: talk.task,
        key: row.key.as_deref(),
        messages: talk.messages,
        turns: talk.turns,
        review_since: talk.review.map(time),
        owner: talk.owner.as_deref(),
        closed: row.status.is_closed(),
        opened_at: time(row.triggered_at),
        active_at: time(talk.active_at),
    }
}

fn cells(id: RunId, row: &RunRow, talk: &TalkRow) -> [String; 8] {
    let with = match (&talk.user, talk.task) {
        (Some(user), _) => printable(user),
        (None, true) => "a task".to_owned(),
        (None, false) => "-".to_owned(),
    };
    let review = match (talk.review, &talk.owner) {
        (Some(_), Some(owner)) => format!("{} has it", printable(owner)),
        (Some(since), None) => format!("asked for since {}", time(since)),
        (None, _) if row.status.is_closed() => "over".to_owned(),
        (None, _) => "-".to_owned(),
    };
    [
        id.to_string(),
        printable(&talk.agent),
        with,
        talk.messages.to_string(),
        talk.turns.to_string(),
        review,
        row.key.as_deref().map_or_else(|| "-".to_owned(), printable),
        time(talk.active_at),
    ]
}
