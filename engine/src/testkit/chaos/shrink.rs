//! From a plan that fails to the fewest faults that still make it fail.

use super::{Found, Plan, Strike, Subject, explore};

/// A plan that fails, with as few faults as were found to be needed.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The plan.
    pub plan: Plan,
    /// What came of it.
    pub found: Found,
    /// How many plans were tried.
    pub tried: usize,
}

/// How many plans are tried at most.
const TRIES: usize = 400;

/// Leaves out faults as long as the same invariant is violated: first many at once, then one by one.
pub fn shrink<S: Subject>(subject: impl Fn() -> S, plan: &Plan, found: Found) -> Shrunk {
    let mut tried = 0;
    let id = found.violations.first().map(|violation| violation.id);
    let mut best = found;
    let mut kept = best.struck.clone();
    let attempt = |only: Vec<Strike>, tried: &mut usize| {
        *tried += 1;
        let found = explore(&subject(), &Plan { seed: plan.seed, only: Some(only) });
        found.violations.iter().any(|violation| Some(violation.id) == id).then_some(found)
    };
    let mut part = kept.len().max(1);
    while part >= 1 && tried < TRIES && !kept.is_empty() {
        let mut at = 0;
        let mut any = false;
        while at < kept.len() && tried < TRIES {
            let end = (at + part).min(kept.len());
            let without: Vec<Strike> = kept[..at].iter().chain(&kept[end..]).copied().collect();
            match attempt(without, &mut tried) {
                Some(found) => {
                    kept = found.struck.clone();
                    best = found;
                    any = true;
                }
                None => at = end,
            }
        }
        if part == 1 && !any {
            break;
        }
        part = (part / 2).max(1);
    }
    Shrunk { plan: Plan { seed: plan.seed, only: Some(kept) }, found: best, tried }
}
