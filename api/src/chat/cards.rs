//! The trees of the turns that are under way, each of which is a card below the messages until it has ended.

use crate::live::follow::{now, past, progress};
use crate::live::line::{Line, Tint};
use crate::live::picture::{self, folded};
use crate::live::plain;
use crate::live::tree::{ROOT, Tree};
use rejoin::history::Entry;
use rejoin::{Engine, RunError, RunId, Timestamp};

/// The cards, the oldest turn first.
#[derive(Default)]
pub(super) struct Cards(Vec<(RunId, Tree)>);

/// What a record means for the cards.
#[derive(Default)]
pub(super) struct Moved {
    /// A line for each thing that began or ended.
    pub(super) changes: Vec<Line>,
    /// The line that is left of a card, once everything on it has ended.
    pub(super) ended: Option<Line>,
}

impl Cards {
    /// A turn begins; what is known of it already is heard at once.
    pub(super) async fn begin(&mut self, engine: &Engine, turn: RunId) -> Result<Moved, RunError> {
        let (mut tree, mut changes) = (Tree::new(turn), Vec::new());
        let heard = past(engine, turn, async |run, entry| {
            let changed = tree.apply(run, entry).unwrap_or_default();
            changes.extend(plain::lines(&tree, &changed, entry.time));
            tree.kept_children(entry)
        });
        match heard.await {
            // It comes with the records that follow.
            Err(RunError::NotFound(_)) => {}
            heard => heard?,
        }
        let ended = is_over(&tree).then(|| folded(&tree, now()));
        if ended.is_none() {
            self.0.push((turn, tree));
        }
        Ok(Moved { changes, ended })
    }

    /// Puts a record where it belongs; `None` where that is none of the cards.
    pub(super) fn hear(&mut self, run: RunId, entry: &Entry) -> Option<Moved> {
        let heard = |(_, tree): &mut (RunId, Tree)| tree.apply(run, entry);
        let (place, changes) = self.0.iter_mut().enumerate().find_map(|(place, it)| Some((place, heard(it)?)))?;
        let tree = &self.0[place].1;
        let changes = plain::lines(tree, &changes, entry.time);
        let ended = is_over(tree).then(|| folded(tree, now()));
        if ended.is_some() {
            self.0.remove(place);
        }
        Some(Moved { changes, ended })
    }

    /// A number that changes with the questions that wait for people.
    pub(super) fn questions(&self) -> u64 {
        self.0.iter().map(|(_, tree)| tree.questions()).sum()
    }

    /// Why this turn, or something below it, stands still for good, if it does.
    pub(super) fn stuck(&self, turn: RunId) -> Option<&str> {
        self.0.iter().find(|(card, _)| *card == turn).and_then(|(_, tree)| tree.stuck())
    }

    /// Whether a run stands on one of them.
    pub(super) fn has(&self, run: RunId) -> bool {
        self.0.iter().any(|(_, tree)| tree.of_run(run).is_some())
    }

    /// Asks runs how far they are.
    pub(super) async fn progress(&mut self, engine: &Engine) {
        for (_, tree) in &mut self.0 {
            progress(engine, tree).await;
        }
    }

    /// All of them, in so many lines at most.
    pub(super) fn lines(&self, now: Timestamp, width: usize, height: usize) -> Vec<Line> {
        let (count, mut lines) = (self.0.len(), Vec::new());
        let each = height / count.max(1);
        let shown = if count > height { height.saturating_sub(1) } else { count };
        for (_, tree) in self.0.iter().take(shown) {
            match each {
                0 | 1 => lines.push(folded(tree, now)),
                each => lines.extend(picture::lines(tree, now, width, each)),
            }
        }
        if shown < count && height > 0 {
            lines.push(Line::default().with(Tint::Faint, &format!("… {} more turns", count - shown)));
        }
        lines
    }
}

/// Whether everything has ended that it shows.
fn is_over(tree: &Tree) -> bool {
    tree.node(ROOT).is_some_and(|root| root.live == 0)
}
