//! From the tree to lines: at most as many as the terminal has, with what matters least folded first.

use super::line::{Line, Tint};
use super::node::{Id, Node};
use super::tree::{ROOT, Tree};
use rejoin::Timestamp;

/// How deep lines are indented at most.
const DEEPEST: usize = 30;

/// How much is folded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fold {
    Nothing,
    /// What ended is one line with everything below it.
    Ended,
    /// What ended below one parent is one line.
    Siblings,
}

/// A line before its columns are aligned.
struct Row {
    left: Line,
    kind: String,
    took: String,
    remarks: Line,
}

/// What is still to be drawn.
enum Item {
    Node(Id),
    /// So many that ended, of which so many did not complete.
    Ended(usize, usize),
    Unseen(usize),
}

/// The tree in so many lines at most, each for a terminal of this width.
pub(crate) fn lines(tree: &Tree, now: Timestamp, width: usize, height: usize) -> Vec<Line> {
    let height = height.max(1);
    let mut drawn = (Vec::new(), 0);
    for fold in [Fold::Nothing, Fold::Ended, Fold::Siblings] {
        drawn = rows(tree, now, fold, height);
        if drawn.1 <= height {
            break;
        }
    }
    let (mut rows, all) = drawn;
    let left_out = all - rows.len();
    if left_out > 0 {
        rows.pop();
    }
    let mut lines = aligned(rows, width);
    if left_out > 0 {
        lines.push(Line::default().with(Tint::Faint, &format!("… {} more lines", left_out + 1)));
    }
    lines
}

/// How many runs are named on the line of a whole tree.
const NAMED: usize = 4;

/// The tree as one line, with the runs that its root called.
pub(crate) fn folded(tree: &Tree, now: Timestamp) -> Line {
    let Some(root) = tree.node(ROOT) else { return Line::default() };
    let (sign, tint) = root.state.sign(now);
    let stands = format!("  {} {}", root.state.word(), root.took(now));
    let called = called(tree, root);
    let more = match called.len().saturating_sub(NAMED) {
        _ if called.is_empty() => String::new(),
        0 => format!("  {}", called.join(", ")),
        more => format!("  {} and {more} more", called[..NAMED].join(", ")),
    };
    let line = Line::default().with(tint, sign).with(Tint::Plain, " ").with(Tint::Plain, &root.name);
    line.with(Tint::Faint, &stands).with(Tint::Faint, &more)
}

/// The first rows, so many at most, and how many there are in all.
fn rows(tree: &Tree, now: Timestamp, fold: Fold, most: usize) -> (Vec<Row>, usize) {
    let (mut rows, mut all) = (Vec::new(), 0);
    // A stack and no recursion: trees may be deep.
    let mut stack = vec![(Item::Node(ROOT), String::new(), String::new(), 0)];
    while let Some((item, branch, below, depth)) = stack.pop() {
        let node = if let Item::Node(id) = item { tree.node(id) } else { None };
        all += 1;
        if rows.len() < most {
            rows.push(row(tree, &item, &branch, fold, now));
        }
        let items = node.map(|node| items(tree, node, fold)).unwrap_or_default();
        for (index, item) in items.into_iter().rev().enumerate() {
            let (branch, rest) = match (index, depth) {
                (_, DEEPEST..) => ("", ""),
                (0, _) => ("└─ ", "   "),
                _ => ("├─ ", "│  "),
            };
            stack.push((item, format!("{below}{branch}"), format!("{below}{rest}"), depth + 1));
        }
    }
    (rows, all)
}

/// What stands below a node.
fn items(tree: &Tree, node: &Node, fold: Fold) -> Vec<Item> {
    if fold >= Fold::Ended && node.live == 0 && node.parent.is_some() {
        return Vec::new();
    }
    let (mut ended, mut bad, mut items) = (node.forgotten, node.forgotten_bad, Vec::new());
    let over = |id: &Id| tree.node(*id).is_some_and(|child| child.live == 0);
    let folds = fold == Fold::Siblings && node.children.iter().filter(|child| over(child)).count() > 1;
    for id in &node.children {
        let Some(child) = tree.node(*id).filter(|_| folds && over(id)) else {
            items.push(Item::Node(*id));
            continue;
        };
        ended += 1;
        bad += usize::from(child.is_bad());
    }
    if ended > 0 {
        items.insert(0, Item::Ended(ended, bad));
    }
    if node.unseen > 0 {
        items.push(Item::Unseen(node.unseen));
    }
    items
}

fn row(tree: &Tree, item: &Item, branch: &str, fold: Fold, now: Timestamp) -> Row {
    let left = Line::default().with(Tint::Faint, branch);
    let plain = |left| Row { left, kind: String::new(), took: String::new(), remarks: Line::default() };
    match item {
        Item::Ended(ended, 0) => plain(left.with(Tint::Good, "✔ ").with(Tint::Faint, &format!("{ended} have ended"))),
        Item::Ended(ended, bad) => {
            let text = format!("{ended} have ended, {bad} of them did not complete");
            plain(left.with(Tint::Bad, "✘ ").with(Tint::Faint, &text))
        }
        Item::Unseen(unseen) => plain(left.with(Tint::Faint, &format!("… {unseen} more are not shown"))),
        Item::Node(id) => match tree.node(*id) {
            Some(node) => row_of(tree, node, left, fold, now),
            None => plain(left),
        },
    }
}

fn row_of(tree: &Tree, node: &Node, left: Line, fold: Fold, now: Timestamp) -> Row {
    let (sign, tint) = node.state.sign(now);
    let left = left.with(tint, sign).with(Tint::Plain, " ");
    let Some(run) = node.run.as_deref().filter(|_| node.parent.is_none()) else {
        let left = left.with(Tint::Plain, &node.name);
        let below = if fold >= Fold::Ended && node.live == 0 { below(tree, node) } else { 0 };
        let more = if below > 0 { format!("  +{below} below") } else { String::new() };
        let remarks = node.remarks(now).with(Tint::Faint, &more);
        return Row { left, kind: node.kind().to_owned(), took: node.took(now), remarks };
    };
    // The whole id: it is what other commands are given.
    let left = left.with(Tint::Strong, &node.name).with(Tint::Faint, &format!("  {}", run.id));
    let stands = format!("{} {}", node.state.word(), node.took(now));
    let remarks = Line::default().with(tint, &stands).with(Tint::Plain, "  ").and(node.remarks(now));
    Row { left, kind: String::new(), took: String::new(), remarks }
}

/// The names of the runs next below a node.
fn called<'a>(tree: &'a Tree, node: &'a Node) -> Vec<&'a str> {
    let (mut names, mut stack) = (Vec::new(), vec![node]);
    while let Some(at) = stack.pop() {
        match at.run.as_deref().filter(|_| at.parent.is_some()) {
            Some(run) => names.push(run.target.as_str()),
            None => stack.extend(at.children.iter().rev().filter_map(|child| tree.node(*child))),
        }
    }
    names
}

/// How many stand below a node.
fn below(tree: &Tree, node: &Node) -> usize {
    let (mut count, mut stack) = (0, vec![node]);
    while let Some(node) = stack.pop() {
        count += node.forgotten + node.unseen + node.children.len();
        stack.extend(node.children.iter().filter_map(|child| tree.node(*child)));
    }
    count
}

/// The rows with their columns below each other; the first one, of the root, stands for itself.
fn aligned(rows: Vec<Row>, width: usize) -> Vec<Line> {
    let widest = |of: &dyn Fn(&Row) -> usize, most: usize| rows.iter().skip(1).map(of).max().unwrap_or(0).min(most);
    let kinds = |row: &Row| Line::default().with(Tint::Plain, &row.kind).width();
    let left = widest(&|row| if row.took.is_empty() { 0 } else { row.left.width() }, width / 2);
    let (kind, took) = (widest(&kinds, width / 5), widest(&|row| row.took.len(), width));
    let line = |(place, row): (usize, Row)| {
        if place == 0 {
            return row.left.with(Tint::Plain, "  ").and(row.remarks);
        }
        if row.took.is_empty() {
            return row.left;
        }
        let line = row.left.pad(left).with(Tint::Plain, "  ");
        let line = line.and(Line::default().with(Tint::Faint, &row.kind).pad(kind));
        let line = line.with(Tint::Faint, &format!("  {:>took$}", row.took));
        line.with(Tint::Plain, "  ").and(row.remarks)
    };
    rows.into_iter().enumerate().map(line).collect()
}
