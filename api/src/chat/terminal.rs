//! At a terminal: messages scroll away above the cards of what is under way, and below these is a prompt.

use super::commands::parse;
use super::deeds::Done;
use super::plain::greeting;
use super::room::{News, Room};
use super::{RECENT, words};
use crate::live::PATIENCE;
use crate::live::asking::Answering;
use crate::live::follow::{FRAME, PROGRESS, now};
use crate::live::line::{Line, Tint, wrapped};
use crate::live::outlet::Outlet;
use crate::live::screen::Screen;
use crate::live::size::{Resized, Size, size};
use crate::live::typed::Typed;
use crate::output::{printable, shorten};
use rejoin::{Message, RunError};
use std::io;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// The world around a terminal.
pub(super) struct Ports {
    pub(super) outlet: Outlet,
    pub(super) typed: Typed,
    pub(super) size: Size,
}

/// A conversation at a prompt.
pub(super) struct Terminal<'a> {
    room: &'a mut Room,
    color: bool,
    ports: Ports,
    screen: Screen,
    /// What is to be shown above the cards and stays.
    said: Vec<Line>,
    asked_progress: Instant,
}

impl<'a> Terminal<'a> {
    pub(super) async fn new(room: &'a mut Room, color: bool) -> Terminal<'a> {
        let ports = Ports { outlet: Outlet::to(io::stderr()), typed: Typed::of_stdin(), size: size().await };
        Terminal::with(room, color, ports)
    }

    /// With the world given to it.
    pub(super) fn with(room: &'a mut Room, color: bool, ports: Ports) -> Terminal<'a> {
        Terminal { room, color, ports, screen: Screen::default(), said: Vec::new(), asked_progress: Instant::now() }
    }

    /// The last of what was said before.
    pub(super) fn greet(&mut self, agent: &str, begun: bool, messages: Vec<Message>) {
        let greeting = greeting(agent, begun, self.room, messages.len());
        self.note(&greeting);
        let first = messages.len().saturating_sub(RECENT);
        messages.into_iter().skip(first).for_each(|message| self.tell(News::Message(message)));
        self.room.standing().into_iter().for_each(|news| self.tell(news));
    }

    /// Talks until somebody leaves.
    pub(super) async fn talk(&mut self) -> Result<(), RunError> {
        let (mut ticks, mut resized) = (interval(FRAME), Resized::new());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                next = self.room.feed.next() => match next? {
                    Some((run, entry)) => {
                        let news = self.room.hear(run, &entry).await?;
                        news.into_iter().for_each(|news| self.tell(news));
                    }
                    None => return Err(RunError::Stopped),
                },
                line = self.ports.typed.line() => match line {
                    Some(line) if self.typed(&line).await => {}
                    _ => return Ok(()),
                },
                _ = ticks.tick() => self.tick().await,
                () = resized.next() => {
                    self.ports.size = size().await;
                    self.screen.resized();
                }
            }
            // There may always be something to read, and others want to work too.
            tokio::task::coop::consume_budget().await;
        }
    }

    /// Somebody has typed a line; whether they stay.
    async fn typed(&mut self, line: &str) -> bool {
        self.screen.entered(line, self.ports.size.width);
        match self.room.perform(parse(line)).await {
            Done::Taken => {}
            Done::Told(lines) => lines.iter().for_each(|line| self.note(line)),
            Done::Refused(why) => self.say(Tint::Bad, "! ", &why),
            Done::Left => return false,
        }
        true
    }

    async fn tick(&mut self) {
        if self.asked_progress.elapsed() >= PROGRESS {
            self.asked_progress = Instant::now();
            self.room.cards.progress(&self.room.engine).await;
        }
        // A picture that nobody has seen yet is not followed by the next one.
        if self.ports.outlet.is_idle() {
            let prompt = self.prompt();
            self.show(Some(&prompt)).await;
        }
    }

    fn prompt(&self) -> String {
        let person = self.room.person.as_deref().unwrap_or_default();
        format!("{}> ", printable(&shorten(person, 40)))
    }

    fn tell(&mut self, news: News) {
        match news {
            News::Message(message) => self.said.extend(words::lines(&message, self.width())),
            News::Ended(line) => self.said.push(line),
            News::Note(note) => self.note(&note),
            // The cards show it, and the question below them.
            News::Changed(_) | News::Asked(_) => {}
        }
    }

    fn note(&mut self, note: &str) {
        self.say(Tint::Faint, "  ", note);
    }

    /// Keeps a text that is no message.
    fn say(&mut self, tint: Tint, head: &str, text: &str) {
        let lines = wrapped(text, self.width().saturating_sub(head.len()));
        self.said.extend(lines.iter().map(|text| Line::default().with(tint, head).with(tint, text)));
    }

    /// In the last column the cursor would stand on what was written.
    fn width(&self) -> usize {
        self.ports.size.width.saturating_sub(1)
    }

    /// Draws what was said, the cards and the question, with this prompt.
    async fn show(&mut self, prompt: Option<&str>) {
        let width = self.width();
        // The cursor has a row of its own, and one below that when somebody presses Enter; one is left for what was said.
        let rows = self.ports.size.height.saturating_sub(3).max(1);
        let picture = self.picture(rows, width);
        let mut said = std::mem::take(&mut self.said).into_iter().map(|line| line.render(width, self.color)).peekable();
        loop {
            // As much as fits above the picture: what is inserted beyond that would push the picture away.
            let mut lines: Vec<String> = said.by_ref().take(rows + 1 - picture.len()).collect();
            let settled = lines.len();
            lines.extend(picture.iter().cloned());
            if let Some(frame) = self.screen.frame(lines, prompt) {
                self.ports.outlet.send(frame).await;
            }
            self.screen.settle(settled);
            if said.peek().is_none() {
                return;
            }
        }
    }

    /// What stays below what was said, in so many lines at most.
    fn picture(&self, rows: usize, width: usize) -> Vec<String> {
        let now = now();
        let mut asked = self.room.asking.lines(width, now, Answering::Command);
        let mut lines = self.room.cards.lines(now, width, rows.saturating_sub(asked.len()));
        lines.append(&mut asked);
        // A terminal that is too low shows the end: there somebody is asked.
        let left_out = lines.len().saturating_sub(rows);
        lines.iter().skip(left_out).map(|line| line.render(width, self.color)).collect()
    }

    /// Leaves the terminal with what was said, and without a prompt.
    pub(super) async fn close(mut self) {
        let closed = async {
            self.show(None).await;
            self.ports.outlet.finish().await
        };
        // What is not written by then has no reader.
        let _ = tokio::time::timeout(PATIENCE, closed).await;
    }
}
