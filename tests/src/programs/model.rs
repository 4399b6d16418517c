//! What a program must count: exact where nothing depends on time, and otherwise the least and the most.

use super::interpreter::{ANSWERED, FAILED, IN_ORDER, IN_VAIN, LATE, LEVELS, LOST, REFUSED, carried_child};
use super::language::{Do, Root, Settle};
use std::collections::BTreeMap;

/// The least and the most that a counter can show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    least: BTreeMap<u8, u64>,
    most: BTreeMap<u8, u64>,
}

impl Counts {
    fn add(&mut self, counter: u8, by: u64) {
        *self.least.entry(counter).or_default() += by;
        *self.most.entry(counter).or_default() += by;
    }

    fn perhaps(&mut self, counter: u8, by: u64) {
        *self.most.entry(counter).or_default() += by;
    }

    pub(super) fn also(&mut self, other: &Counts) {
        other.least.iter().for_each(|(counter, by)| *self.least.entry(*counter).or_default() += by);
        other.most.iter().for_each(|(counter, by)| *self.most.entry(*counter).or_default() += by);
    }

    fn at_most(mut self) -> Counts {
        self.least.clear();
        self
    }

    /// What counts as one thing may also count as another.
    pub fn perhaps_as(&mut self, counter: u8, other: u8) {
        self.least.remove(&counter);
        let most = self.most.get(&counter).copied().unwrap_or(0);
        self.perhaps(other, most);
    }

    /// The same, and it may also have been cut short anywhere.
    #[must_use]
    pub fn cut_short(&self) -> Counts {
        self.clone().at_most()
    }

    /// What is not within the bounds, in words.
    pub fn differs(&self, shown: &BTreeMap<u8, u64>) -> Option<String> {
        let counters = self.most.keys().chain(shown.keys());
        counters.into_iter().find_map(|counter| {
            let of = |counts: &BTreeMap<u8, u64>| counts.get(counter).copied().unwrap_or(0);
            let (least, shown, most) = (of(&self.least), of(shown), of(&self.most));
            let expected = if least == most { format!("{least}") } else { format!("{least} to {most}") };
            (shown < least || shown > most)
                .then(|| format!("counter {counter} shows {shown}, and the model says {expected}"))
        })
    }
}

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With what it has seen.
    Completed,
    /// With the failure that it is made for.
    Failed,
    /// Cancelled, as it asked to be.
    Cancelled,
    /// That depends on time.
    Any,
}

/// What must come of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// What it and all below it do to the counters.
    pub counts: Counts,
    /// What it returns, if it does.
    pub seen: Counts,
    /// How it ends.
    pub end: End,
}

impl Forecast {
    fn nothing() -> Forecast {
        Forecast { counts: Counts::default(), seen: Counts::default(), end: End::Completed }
    }

    fn count(&mut self, counter: u8, by: u64) {
        self.counts.add(counter, by);
        self.seen.add(counter, by);
    }

    /// It may happen in part, or not at all.
    fn uncertain(self) -> Forecast {
        Forecast { counts: self.counts.at_most(), seen: self.seen.at_most(), end: End::Any }
    }
}

/// What must come of a root.
pub fn forecast(root: &Root) -> Forecast {
    let mut forecast = program(&root.program, 0);
    if root.deadline.is_some() || root.cancel.is_some() {
        forecast = forecast.uncertain();
        // Any of its calls may be late or cancelled.
        forecast.seen.perhaps(LATE, 1000);
        forecast.seen.perhaps(FAILED, 1000);
    }
    forecast
}

pub(super) fn program(ops: &[Do], level: usize) -> Forecast {
    let mut all = Forecast::nothing();
    for op in ops {
        match op {
            Do::Fail => {
                all.end = End::Failed;
                return all;
            }
            Do::Break { program: of_child, .. } => {
                all.counts.also(&program(of_child, level + 1).counts);
                all.end = End::Failed;
                return all;
            }
            Do::CancelMe { counter } => {
                all.counts.add(*counter, 1);
                all.end = End::Cancelled;
                return all;
            }
            Do::Anew { with_child: true } => {
                let child = program(&carried_child(), level + 1);
                all.counts.also(&child.counts);
                all.seen.also(&child.seen);
            }
            op => one(op, level, &mut all),
        }
    }
    all
}

fn sequence(ops: &[Do], level: usize) -> Forecast {
    let mut all = Forecast::nothing();
    ops.iter().for_each(|op| one(op, level, &mut all));
    all
}

/// What becomes of a call.
fn called(child: Forecast, all: &mut Forecast) {
    all.counts.also(&child.counts);
    match child.end {
        End::Completed => all.seen.also(&child.seen),
        End::Failed | End::Cancelled => all.seen.add(FAILED, 1),
        End::Any => {
            all.seen.also(&child.seen);
            all.seen.perhaps(FAILED, 1);
            all.seen.perhaps(LATE, 1);
        }
    }
}

/// Tasks: the first one's conversation is what the others go on in.
fn assigned(tasks: &[Vec<Do>], level: usize, all: &mut Forecast) {
    let mut tasks = tasks.iter().map(|task| program(task, level + 1));
    let Some(first) = tasks.next() else { return };
    let end = first.end;
    called(first, all);
    for task in tasks {
        match end {
            End::Completed => called(task, all),
            End::Failed | End::Cancelled => {}
            End::Any => called(task.uncertain(), all),
        }
    }
}

fn one(op: &Do, level: usize, all: &mut Forecast) {
    let also = |all: &mut Forecast, part: Forecast| {
        all.counts.also(&part.counts);
        all.seen.also(&part.seen);
    };
    match op {
        Do::Count { counter, by, .. } => all.count(*counter, (*by).into()),
        Do::Lose { .. } => all.seen.add(LOST, 1),
        Do::Call { program: of_child, patience, .. } if level + 1 < LEVELS.len() => {
            let child = program(of_child, level + 1);
            called(if patience.is_some() { child.uncertain() } else { child }, all);
        }
        Do::Group { members, settle, patience } if level + 1 < LEVELS.len() => {
            let of: Vec<Forecast> = members.iter().map(|(of_child, _)| program(of_child, level + 1)).collect();
            let errs = |child: &Forecast| !matches!(child.end, End::Completed | End::Cancelled);
            let whole = match settle {
                Settle::Collect => true,
                Settle::All => !of.iter().any(errs),
                Settle::First | Settle::Quorum => false,
            };
            let exact = whole && patience.is_none();
            of.into_iter().for_each(|child| called(if exact { child } else { child.uncertain() }, all));
        }
        Do::Assign { tasks } if level + 1 < LEVELS.len() => assigned(tasks, level, all),
        Do::Transfer { program: of_next } => all.counts.also(&program(of_next, level + 1).counts),
        Do::Serve { counter, by, calls, .. } => {
            all.count(*counter, (*by).into());
            if *calls {
                all.counts.also(&program(&carried_child(), level + 1).counts);
            }
        }
        Do::Spawn { program: of_child, .. } if level + 1 < LEVELS.len() => {
            all.counts.also(&program(of_child, level + 1).counts);
        }
        Do::CallSelf => all.seen.add(REFUSED, 1),
        Do::Ask { .. } | Do::Approve { .. } | Do::HandOff => all.seen.add(ANSWERED, 1),
        Do::AskInVain { .. } => all.seen.add(IN_VAIN, 1),
        Do::Early => all.seen.add(IN_ORDER, 1),
        Do::Together { branches } => branches.iter().for_each(|branch| also(all, sequence(branch, level))),
        Do::Race { program } => also(all, sequence(program, level)),
        Do::Within { program, .. } => {
            also(all, sequence(program, level).uncertain());
            all.seen.perhaps(LATE, 1);
        }
        Do::Say | Do::Tell | Do::AskThere { .. } | Do::Assign { .. } => {}
        Do::Emit | Do::Call { .. } | Do::Group { .. } | Do::Spawn { .. } | Do::Sleep { .. } | Do::Draw => {}
        Do::Anew { .. } | Do::Fail | Do::Break { .. } | Do::CancelMe { .. } => {}
    }
}
