//! Lists as trees.

/// The order in which a list is shown as a tree, and what is drawn before each item. `parents` has for each item, newest
/// first, the place of its parent in the list, which must be older. Children stand below their parent, oldest first.
pub(crate) fn order(parents: &[Option<usize>]) -> Vec<(usize, String)> {
    let mut children = vec![Vec::new(); parents.len()];
    let mut roots = Vec::new();
    for (place, parent) in parents.iter().enumerate() {
        match parent {
            // The newest first, as the stack below wants it.
            Some(parent) => children[*parent].push(place),
            None => roots.push(place),
        }
    }
    let mut order = Vec::with_capacity(parents.len());
    // A stack and no recursion: trees may be deep.
    let mut stack: Vec<_> = roots.into_iter().rev().map(|root| (root, String::new(), String::new())).collect();
    while let Some((place, branch, below)) = stack.pop() {
        order.push((place, branch));
        for (index, child) in children[place].iter().enumerate() {
            let (branch, rest) = if index == 0 { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            stack.push((*child, format!("{below}{branch}"), format!("{below}{rest}")));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_stand_below_their_parent_oldest_first() {
        // 5 is the oldest: it has the children 4 and 1, and 4 has 3; 2 and 0 stand alone.
        let drawn: Vec<_> = order(&[None, Some(5), None, Some(4), Some(5), None])
            .into_iter()
            .map(|(place, branch)| format!("{branch}{place}"))
            .collect();
        assert_eq!(drawn, ["0", "2", "5", "├─ 4", "│  └─ 3", "└─ 1"]);
    }
}
