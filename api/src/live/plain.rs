//! What is said without a terminal: a line for each thing that begins or ends.

use super::line::{Line, Tint};
use super::node::{Node, Sort, moment};
use super::tree::{Change, Tree};
use crate::output::{printable, time};
use rejoin::{OpenApproval, RunId, Timestamp};

/// How many names of a path are shown: the last ones.
const SHOWN: usize = 8;

/// How wide the words are that lines begin with.
const WORDS: usize = 9;

/// The lines of what a record has changed.
pub(crate) fn lines(tree: &Tree, changes: &[Change], now: Timestamp) -> Vec<Line> {
    changes.iter().filter_map(|change| line(tree, *change, now)).collect()
}

fn line(tree: &Tree, change: Change, now: Timestamp) -> Option<Line> {
    let (Change::Began(id) | Change::Again(id) | Change::Stands(id) | Change::Ended(id)) = change;
    let node = tree.node(id)?;
    let (word, tint) = match (change, &node.sort) {
        // That is said with its token.
        (Change::Began(_), Sort::Question { .. }) => return None,
        (Change::Began(_), Sort::Timer { .. } | Sort::Signal { .. } | Sort::Answer { .. } | Sort::Handoff) => {
            ("waits", Tint::Waiting)
        }
        (Change::Began(_), _) => ("begins", Tint::Busy),
        (Change::Again(_), _) => ("again", Tint::Waiting),
        (Change::Stands(_) | Change::Ended(_), _) => (node.state.word(), node.state.sign(now).1),
    };
    let line = head(now, word, tint, &path(&tree.path(id)));
    let kind = if node.parent.is_some() { node.kind() } else { "" };
    let line = line.with(Tint::Faint, &gap(kind));
    Some(match change {
        Change::Ended(_) => line.with(Tint::Faint, &gap(&node.took(now))).with(Tint::Plain, &gap(&node.note)),
        Change::Stands(_) => line.with(Tint::Plain, &gap(&node.note)),
        Change::Again(_) => line.with(Tint::Plain, "  ").and(node.remarks(now)),
        // What it came to is said when it ends.
        Change::Began(_) if node.state.has_ended() => line,
        Change::Began(_) => begun(line, tree, node, now),
    })
}

fn begun(line: Line, tree: &Tree, node: &Node, now: Timestamp) -> Line {
    match (&node.sort, node.run.as_deref(), node.op.and_then(|(run, _)| tree.node(run)?.run.as_deref())) {
        (Sort::Run, Some(run), _) => {
            line.with(Tint::Faint, &gap(&run.id.to_string())).with(Tint::Plain, "  ").and(node.remarks(now))
        }
        (Sort::Signal { .. }, _, Some(run)) if node.takes_signals() => {
            line.with(Tint::Plain, "  ").and(node.remarks(now)).with(Tint::Plain, &gap(&command(run.id, &node.name)))
        }
        (Sort::Group { members, .. }, ..) => line.with(Tint::Plain, &gap(&format!("of {members}"))),
        _ => line.with(Tint::Plain, "  ").and(node.remarks(now)),
    }
}

/// The line of a question that waits for people, with what answers it.
pub(crate) fn question(open: &OpenApproval, now: Timestamp) -> Line {
    let path: Vec<&str> = open.path.iter().map(String::as_str).collect();
    let until = open.expires_at.map(|at| format!(", until {}", moment(at, now))).unwrap_or_default();
    let (persons, answers) = (open.persons.join(", "), open.answers.join(", "));
    head(now, "asks", Tint::Waiting, &self::path(&path))
        .with(Tint::Strong, &gap(&open.question))
        .with(Tint::Plain, &format!("  {persons} may answer {answers}{until}"))
        .with(Tint::Faint, &gap(&open.token.to_string()))
}

/// The command that sends a run the signal that it waits for.
pub(super) fn command(run: RunId, signal: &str) -> String {
    format!("rejoin signal {run} {} JSON", quoted(signal))
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.:/@+".contains(character);
    match printable(word) {
        word if !word.is_empty() && word.chars().all(plain) => word,
        word => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The last names of a path.
pub(super) fn path(names: &[&str]) -> String {
    let left_out = names.len().saturating_sub(SHOWN);
    let beginning = if left_out > 0 { "… > " } else { "" };
    beginning.to_owned() + &names[left_out..].join(" > ")
}

fn head(now: Timestamp, word: &str, tint: Tint, path: &str) -> Line {
    Line::default()
        .with(Tint::Faint, &time(now))
        .with(Tint::Plain, "  ")
        .with(tint, &format!("{word:WORDS$}"))
        .with(Tint::Plain, &gap(path))
}

/// Apart from what stands before it, if it is anything.
fn gap(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("  {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_whatever_the_signal_is_called() {
        let command = |name| command(RunId([0; 16]), name).split_off("rejoin signal ".len() + 37);
        assert_eq!(command("approve"), "approve JSON");
        assert_eq!(command("it's; rm -r x"), r"'it'\''s; rm -r x' JSON");
        assert_eq!(command("a\nb"), r"'a\nb' JSON");
        assert_eq!(command(""), "'' JSON");
    }

    #[test]
    fn of_a_long_path_the_end_is_shown() {
        assert_eq!(path(&["a", "b"]), "a > b");
        assert_eq!(path(&["x"; 10]), format!("… > {}", ["x"; SHOWN].join(" > ")));
    }
}
