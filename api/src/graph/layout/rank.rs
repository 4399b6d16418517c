//! Which lines lead back, and in which rank each box is.

/// Whether each line leads back, and the rank of each box: the longest way that leads there.
pub(super) fn ranks(boxes: usize, lines: &[(usize, usize)], last: Option<usize>) -> (Vec<bool>, Vec<usize>) {
    let mut leaving = vec![Vec::new(); boxes];
    for (line, (from, _)) in lines.iter().enumerate() {
        leaving[*from].push(line);
    }
    let (back, order) = walk(&leaving, lines);
    let mut ranks = vec![0; boxes];
    // What nothing leads to stands beside what follows the beginning.
    ranks.iter_mut().skip(1).for_each(|rank| *rank = 1);
    for from in order {
        for line in leaving[from].iter().filter(|line| !back[**line]) {
            let to = lines[*line].1;
            ranks[to] = ranks[to].max(ranks[from] + 1);
        }
    }
    if let Some(last) = last {
        let others = ranks.iter().enumerate().filter(|(number, _)| *number != last).map(|(_, rank)| *rank);
        ranks[last] = others.max().unwrap_or(0) + 1;
    }
    (back, ranks)
}

#[derive(Clone, Copy, PartialEq)]
enum Seen {
    Not,
    /// It is gone through right now.
    Open,
    Done,
}

/// Goes to everything in the order of the definition: the lines that lead back to where it comes from, and the boxes, each
/// before what it leads to.
fn walk(leaving: &[Vec<usize>], lines: &[(usize, usize)]) -> (Vec<bool>, Vec<usize>) {
    let mut back = vec![false; lines.len()];
    let mut seen = vec![Seen::Not; leaving.len()];
    let mut order = Vec::new();
    for root in 0..leaving.len() {
        if seen[root] != Seen::Not {
            continue;
        }
        seen[root] = Seen::Open;
        let mut path = vec![(root, 0)];
        while let Some((at, next)) = path.last_mut() {
            let Some(line) = leaving[*at].get(*next).copied() else {
                seen[*at] = Seen::Done;
                order.push(*at);
                path.pop();
                continue;
            };
            *next += 1;
            let to = lines[line].1;
            back[line] = seen[to] == Seen::Open;
            if seen[to] == Seen::Not {
                seen[to] = Seen::Open;
                path.push((to, 0));
            }
        }
    }
    order.reverse();
    (back, order)
}
