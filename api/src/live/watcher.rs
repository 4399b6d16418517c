//! Follows the engine, and shows what it says.

use super::asking::{Answer, Answering, Asking};
use super::events::{self, Events};
use super::follow::{FRAME, PROGRESS, now, past, progress};
use super::line::{Line, Tint};
use super::outlet::Outlet;
use super::screen::Screen;
use super::size::{Resized, Size, USUAL, size};
use super::tree::{Change, Tree};
use super::typed::Typed;
use super::{Ending, View, outputs, picture, plain};
use rejoin::history::Entry;
use rejoin::{Engine, RunError, RunId, Timestamp};
use serde_json::Value;
use std::io::{self, IsTerminal};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How many signals are shown with their command.
const SIGNALS: usize = 3;

/// The world around a view.
pub(super) struct Ports {
    pub(super) outlet: Outlet,
    pub(super) typed: Typed,
    pub(super) size: Size,
}

impl Ports {
    /// Those of the process.
    pub(super) async fn of_process(view: &View) -> Ports {
        let asks = view.tty && !view.json && io::stdin().is_terminal();
        let typed = if asks { Typed::of_stdin() } else { Typed::nothing() };
        let size = if view.tty { size().await } else { USUAL };
        Ports { outlet: Outlet::to(outputs(view.json)), typed, size }
    }
}

/// What is shown of a run, and how.
pub(super) struct Watcher<'a> {
    engine: &'a Engine,
    root: RunId,
    view: View,
    ports: Ports,
    tree: Tree,
    screen: Screen,
    events: Events,
    asking: Asking,
    /// The state of the questions that `asking` knows.
    questions: u64,
    asked_progress: Instant,
}

impl<'a> Watcher<'a> {
    pub(super) fn new(engine: &'a Engine, root: RunId, view: View, ports: Ports) -> Watcher<'a> {
        let asking = Asking::new(view.person.clone());
        Watcher {
            engine,
            root,
            view,
            ports,
            tree: Tree::new(root),
            screen: Screen::default(),
            events: Events::default(),
            asking,
            questions: 0,
            asked_progress: Instant::now(),
        }
    }

    /// Follows the root until it has ended.
    pub(super) async fn follow(&mut self) -> Result<Ending, RunError> {
        // What comes from now on is heard of in any case; what was heard of before is passed over.
        let mut feed = self.engine.follow_all(self.engine.cursor());
        self.catch_up().await?;
        let (mut ticks, mut resized) = (interval(FRAME), Resized::new());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.tree.has_ended() {
            tokio::select! {
                next = feed.next() => match next? {
                    Some((run, entry)) => {
                        self.hear(run, &entry).await;
                        self.ask().await;
                    }
                    // The engine has stopped; it says why.
                    None => break,
                },
                line = self.ports.typed.next() => self.typed(&line).await,
                _ = ticks.tick() => self.tick().await,
                () = resized.next() => {
                    self.ports.size = size().await;
                    self.screen.resized();
                }
            }
            // There may always be something to read, and others want to work too.
            tokio::task::coop::consume_budget().await;
        }
        match self.engine.run::<Value>(self.root).result().await {
            Ok(output) => Ok(Ending::Completed(output)),
            Err(RunError::Failed(failure)) => Ok(Ending::Failed(failure)),
            Err(error) => Err(error),
        }
    }

    /// Draws the picture where that is what is shown, with this prompt.
    pub(super) fn show(&mut self, prompt: Option<&str>) {
        if !self.view.tty || self.view.json {
            return;
        }
        let Size { height, width } = self.ports.size;
        // In the last column the cursor would stand on what was written.
        let (now, width) = (now(), width.saturating_sub(1));
        let mut below = Vec::new();
        if !self.tree.has_ended() {
            below = self.signals();
            let types = self.ports.typed.is_open();
            let answering = if types { Answering::Typed } else { Answering::Elsewhere };
            below.extend(self.asking.lines(width, now, answering));
        }
        // The cursor has a row of its own, and one below that when somebody presses Enter.
        let rows = height.saturating_sub(1 + usize::from(prompt.is_some())).max(1);
        let mut lines = picture::lines(&self.tree, now, width, rows.saturating_sub(below.len()));
        lines.append(&mut below);
        // A terminal that is too low shows the end: there somebody is asked.
        let left_out = lines.len().saturating_sub(rows);
        let lines = lines.iter().skip(left_out).map(|line| line.render(width, self.view.color)).collect();
        if let Some(frame) = self.screen.frame(lines, prompt) {
            self.ports.outlet.offer(frame);
        }
    }

    /// Waits until everything is written; why it could not be is an error.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.ports.outlet.finish().await
    }

    /// What has happened so far.
    async fn catch_up(&mut self) -> Result<(), RunError> {
        let (engine, root) = (self.engine, self.root);
        past(engine, root, async |run, entry| {
            self.hear(run, entry).await;
            self.tree.kept_children(entry)
        })
        .await?;
        self.ask().await;
        Ok(())
    }

    /// Puts a record into the tree, and says so where nothing is drawn.
    async fn hear(&mut self, run: RunId, entry: &Entry) {
        let Some(changes) = self.tree.apply(run, entry) else { return };
        if self.view.json {
            let name = self.tree.of_run(run).and_then(|node| node.run.as_deref()).map(|run| run.target.clone());
            for line in self.events.lines(run, name.as_deref().unwrap_or_default(), entry) {
                self.ports.outlet.send(line).await;
            }
        } else if !self.view.tty {
            self.say(&changes, entry.time);
        }
    }

    fn say(&mut self, changes: &[Change], now: Timestamp) {
        for line in plain::lines(&self.tree, changes, now) {
            self.ports.outlet.offer(line.render(usize::MAX, self.view.color) + "\n");
        }
    }

    /// Looks at the questions that wait for people, if they are others than before.
    async fn ask(&mut self) {
        let questions = self.tree.questions();
        if questions == self.questions {
            return;
        }
        self.questions = questions;
        // Another run's history may be of no use: the tree shows who waits all the same.
        let Ok(mut open) = self.engine.approvals() else { return };
        open.retain(|open| self.tree.of_run(open.run).is_some());
        for new in self.asking.update(open) {
            if self.view.json {
                self.ports.outlet.send(events::asked(&new, now())).await;
            } else if !self.view.tty {
                let line = plain::question(&new, now());
                self.ports.outlet.offer(line.render(usize::MAX, self.view.color) + "\n");
            }
        }
    }

    /// Somebody has typed a line.
    async fn typed(&mut self, line: &str) {
        self.screen.entered(line, self.ports.size.width);
        let Some(Answer { token, person, answer, comment }) = self.asking.read(line) else { return };
        if let Err(error) = self.engine.decide(token, &person, &answer, comment.as_deref()).await {
            self.asking.refused(&error);
        }
    }

    async fn tick(&mut self) {
        if (self.view.tty || self.view.json) && self.asked_progress.elapsed() >= PROGRESS {
            self.asked_progress = Instant::now();
            self.progress().await;
        }
        // A picture that nobody has seen yet is not followed by the next one.
        if self.ports.outlet.is_idle() {
            let prompt = self.asking.prompt().filter(|_| self.ports.typed.is_open());
            self.show(prompt.as_deref());
        }
    }

    /// Asks runs how far they are.
    async fn progress(&mut self) {
        for (run, at, value) in progress(self.engine, &mut self.tree).await {
            if self.view.json {
                let name = self.tree.of_run(run).and_then(|node| node.run.as_deref());
                let name = name.map_or("", |run| run.target.as_str());
                self.ports.outlet.send(events::progress(at, run, name, &value)).await;
            }
        }
    }

    /// The commands that send the signals that are waited for.
    fn signals(&self) -> Vec<Line> {
        let signals = self.tree.signals();
        let command = |(run, name): &(RunId, &str)| {
            Line::default().with(Tint::Faint, "  send it with  ").with(Tint::Plain, &plain::command(*run, name))
        };
        let mut lines: Vec<Line> = signals.iter().take(SIGNALS).map(command).collect();
        if signals.len() > SIGNALS {
            let more = format!("  and {} more signals", signals.len() - SIGNALS);
            lines.push(Line::default().with(Tint::Faint, &more));
        }
        lines
    }
}
