//! Without a terminal: each line in is a message or a command, each message is a line out.

use super::commands::{Line, parse};
use super::deeds::Done;
use super::room::{News, Room};
use super::{RECENT, words};
use crate::error::Trouble;
use crate::live::PATIENCE;
use crate::live::follow::now;
use crate::live::outlet::Outlet;
use crate::live::plain::question;
use crate::live::typed::Typed;
use crate::output::{Console, printable};
use rejoin::{Message, RunError};
use std::io;
use std::vec::IntoIter;

/// Where lines come from.
pub(super) enum Lines {
    Typed(Typed),
    Given(IntoIter<String>),
}

impl Lines {
    pub(super) fn of_stdin() -> Lines {
        Lines::Typed(Typed::of_stdin())
    }

    pub(super) fn given(lines: Vec<String>) -> Lines {
        Lines::Given(lines.into_iter())
    }

    async fn next(&mut self) -> Option<String> {
        match self {
            Lines::Typed(typed) => typed.line().await,
            Lines::Given(lines) => lines.next(),
        }
    }
}

/// A conversation line by line.
pub(super) struct Plain<'a> {
    room: &'a mut Room,
    json: bool,
    out: Outlet,
    console: &'a mut Console,
}

impl<'a> Plain<'a> {
    pub(super) fn new(room: &'a mut Room, json: bool, console: &'a mut Console) -> Plain<'a> {
        Plain { room, json, out: Outlet::to(io::stdout()), console }
    }

    /// The last of what was said before.
    pub(super) async fn greet(&mut self, agent: &str, begun: bool, messages: Vec<Message>) {
        self.console.note(greeting(agent, begun, self.room, messages.len()));
        let first = messages.len().saturating_sub(RECENT);
        for message in &messages[first..] {
            self.show(message).await;
        }
        let standing = self.room.standing();
        self.tell(standing).await;
    }

    /// Talks until there are no more lines, and waits for whoever reads what was said.
    pub(super) async fn talk(&mut self, lines: Lines) -> Result<(), RunError> {
        let talked = self.take_all(lines).await;
        if let Err(error) = self.out.finish().await {
            self.console.complain(&Trouble::Output(error));
        }
        talked
    }

    /// Takes a line whenever what came before has settled, until there are no more and the last has settled too.
    async fn take_all(&mut self, mut lines: Lines) -> Result<(), RunError> {
        let mut more = true;
        loop {
            let settled = self.room.is_settled();
            if settled && !more {
                self.room.stuck().iter().for_each(|why| self.console.complain(why));
                return Ok(());
            }
            tokio::select! {
                // What came of a line is heard before the next one is taken.
                biased;
                next = self.room.feed.next() => match next? {
                    Some((run, entry)) => {
                        let news = self.room.hear(run, &entry).await?;
                        self.tell(news).await;
                    }
                    None => return Err(RunError::Stopped),
                },
                line = lines.next(), if settled && more => match line.map(|line| parse(&line)) {
                    Some(line) => more = self.take(line).await,
                    None => more = false,
                },
            }
            // There may always be something to read, and others want to work too.
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Carries a line out; whether more are wanted.
    async fn take(&mut self, line: Line) -> bool {
        match self.room.perform(line).await {
            Done::Taken => {}
            Done::Told(lines) => lines.iter().for_each(|line| self.console.note(line)),
            Done::Refused(why) => self.console.complain(&why),
            Done::Left => return false,
        }
        true
    }

    async fn tell(&mut self, news: Vec<News>) {
        for news in news {
            match news {
                News::Message(message) => self.show(&message).await,
                News::Changed(line) if !self.json => self.console.note(line.render(usize::MAX, false)),
                // Its lines have said so.
                News::Changed(_) | News::Ended(_) => {}
                News::Asked(open) => {
                    self.console.note(question(&open, now()).render(usize::MAX, false));
                    self.console.note("/answer ANSWER[: COMMENT] answers it");
                }
                News::Note(note) => self.console.note(printable(&note)),
            }
        }
    }

    /// A message is data: it is kept for its reader, and waited for.
    async fn show(&mut self, message: &Message) {
        let text = if self.json { words::json(message) } else { words::plain(message) };
        self.out.send(text).await;
    }

    /// Waits until everything is written.
    pub(super) async fn close(mut self) {
        // What is not written by then has no reader.
        let _ = tokio::time::timeout(PATIENCE, self.out.finish()).await;
    }
}

/// Which conversation it is.
pub(super) fn greeting(agent: &str, begun: bool, room: &Room, messages: usize) -> String {
    let id = room.chat.id();
    match (begun, messages.saturating_sub(RECENT)) {
        (true, _) => format!("a conversation with {agent} begins, {id}; /help lists commands"),
        (false, 0) => format!("the conversation with {agent} goes on, {id}; /help lists commands"),
        (false, earlier) => format!(
            "the conversation with {agent} goes on, {id}, {earlier} messages before these; /help lists commands"
        ),
    }
}
