//! What programs can say, and programs at random.

use super::chat::in_conversation;
use rejoin::testkit::Chance;
use serde::{Deserialize, Serialize};

/// One thing that a program does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Do {
    /// A step adds to a counter. It fails so many times first; with `hasty` an attempt may take a second only.
    Count {
        /// Which counter.
        counter: u8,
        /// How much.
        by: u8,
        /// How often it fails first.
        failures: u8,
        /// Whether an attempt may take a second only.
        hasty: bool,
    },
    /// A step that fails for good.
    Lose {
        /// Whether the code of its failure is final.
        by_code: bool,
    },
    /// A child, and what it has seen is added to what its caller has.
    Call {
        /// What is done.
        program: Vec<Do>,
        /// Whether an agent is asked to do it.
        agent: bool,
        /// A key of its own.
        named: Option<u16>,
        /// How long its caller waits, in seconds.
        patience: Option<u16>,
        /// Whether the child lives on after that.
        let_go: bool,
    },
    /// Children that are settled together.
    Group {
        /// What each of them does, and whether an agent is asked to do it.
        members: Vec<(Vec<Do>, bool)>,
        /// How they are settled.
        settle: Settle,
        /// How long it may take, in seconds.
        patience: Option<u16>,
    },
    /// A job for a worker, which adds to a counter. It vanishes so many times, and fails so many times, first.
    Serve {
        /// Which counter.
        counter: u8,
        /// How much.
        by: u8,
        /// How often it vanishes.
        vanish: u8,
        /// How often it fails then.
        failures: u8,
        /// Whether it gives the job back first.
        back: bool,
        /// Whether it calls something in the name of its run.
        calls: bool,
    },
    /// A child that nobody waits for.
    Spawn {
        /// What is done.
        program: Vec<Do>,
        /// Whether an agent is asked to do it.
        agent: bool,
        /// A key of its own.
        named: Option<u16>,
    },
    /// A call that is refused: a workflow that may not call itself.
    CallSelf,
    /// A sleep.
    Sleep {
        /// How long.
        millis: u32,
    },
    /// A question that somebody answers.
    Ask {
        /// Which question.
        name: u8,
    },
    /// A question to people, who answer it.
    Approve {
        /// Whether others are asked too after a while.
        escalate: bool,
    },
    /// Tasks that an agent is assigned: one, and then others in its conversation, all at once.
    Assign {
        /// What each of them is.
        tasks: Vec<Vec<Do>>,
    },
    /// Something said in the conversation.
    Say,
    /// A person takes over the conversation for a while.
    HandOff,
    /// A question in the conversation, which the next message answers.
    AskThere {
        /// How long that is waited for.
        millis: u32,
    },
    /// Another agent takes over the conversation.
    Transfer {
        /// What it does.
        program: Vec<Do>,
    },
    /// A message to a person.
    Tell,
    /// A piece of a stream.
    Emit,
    /// A question that nobody answers.
    AskInVain {
        /// How long.
        millis: u32,
    },
    /// The next of the signals that were sent right after the trigger.
    Early,
    /// Several things at once.
    Together {
        /// What is done.
        branches: Vec<Vec<Do>>,
    },
    /// Something, against a question that nobody answers.
    Race {
        /// What is done.
        program: Vec<Do>,
    },
    /// Something, against time.
    Within {
        /// How long.
        millis: u32,
        /// What is done.
        program: Vec<Do>,
    },
    /// Numbers and a time from the context, and a patch.
    Draw,
    /// The rest under a new incarnation; with a child that the next one asks for by its key.
    Anew {
        /// Whether a child goes along.
        with_child: bool,
    },
    /// The end, as a failure.
    Fail,
    /// The end, as the failure of a child.
    Break {
        /// What the child does, which ends in a failure.
        program: Vec<Do>,
        /// Whether an agent is asked to do it.
        agent: bool,
    },
    /// Asks to be cancelled, and counts when it is.
    CancelMe {
        /// Which counter.
        counter: u8,
    },
}

/// How a group is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settle {
    /// By the end of all, or the first error.
    All,
    /// By the end of all.
    Collect,
    /// By the first success.
    First,
    /// By two successes.
    Quorum,
}

/// A job for a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Which life of a root it belongs to.
    pub family: String,
    /// Which counter.
    pub counter: u8,
    /// How much.
    pub by: u8,
    /// How often the worker vanishes.
    pub vanish: u8,
    /// How often it fails then.
    pub failures: u8,
    /// Whether it gives the job back first.
    pub back: bool,
    /// Whether it calls something in the name of its run.
    pub calls: bool,
    /// Which root it belongs to.
    pub root: usize,
}

/// What a handler is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// What it does.
    pub ops: Vec<Do>,
    /// How often it has begun anew.
    pub round: u32,
    /// How many early signals it has taken.
    pub early: u32,
    /// What earlier incarnations have seen.
    pub seen: std::collections::BTreeMap<u8, u64>,
    /// The round that has begun a child whose result is still to be asked for.
    pub carried: Option<u32>,
    /// Which root it belongs to.
    pub root: usize,
    /// Which life of that root: one that was deleted may be triggered again.
    pub family: String,
}

impl Program {
    /// What a root begins with.
    pub fn root(ops: Vec<Do>, root: usize) -> Program {
        let (seen, family) = (std::collections::BTreeMap::new(), String::new());
        Program { ops, round: 0, early: 0, seen, carried: None, root, family }
    }
}

/// A program that somebody triggers, and what else they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The program.
    pub program: Vec<Do>,
    /// How many signals are sent right after the trigger.
    pub early: u32,
    /// When it must have ended, in seconds.
    pub deadline: Option<u32>,
    /// It is cancelled: the whole tree or not, with this grace in seconds.
    pub cancel: Option<(bool, Option<u32>)>,
    /// It is deleted when it has ended.
    pub delete: bool,
    /// It is made to stand still, and to go on.
    pub pause: bool,
}

impl Root {
    /// Whether it is done again when it has failed, and nothing of it may happen twice: all that it did before, it knows.
    pub fn retry(&self) -> bool {
        let fails = matches!(self.program[..], [.., Do::Draw, Do::Fail] | [.., Do::Break { .. }]);
        fails && !self.delete && self.deadline.is_none() && self.cancel.is_none()
    }
}

/// Whether it comes to its last line.
fn goes_on(ops: &[Do]) -> bool {
    !ops.iter().any(|op| matches!(op, Do::Fail | Do::Break { .. } | Do::CancelMe { .. }))
}

/// The roots of a seed: a few small ones, or one large one.
pub fn generate(chance: &mut Chance, size: u64) -> Vec<Root> {
    let roots = 1 + chance.below(if size > 20 { 2 } else { 3 });
    (0..roots).map(|_| root(chance, size)).collect()
}

fn root(chance: &mut Chance, size: u64) -> Root {
    let mut budget = 2 + chance.below(size);
    let mut program = sequence(chance, 0, true, &mut budget);
    if chance.often(200) {
        // Some take many signals.
        for _ in 0..3 {
            let at = chance.below(program.len() as u64) as usize;
            program.insert(at, Do::Early);
        }
    }
    let early = program.iter().filter(|op| **op == Do::Early).count() as u64;
    let early = (early + chance.below(2)) as u32;
    if chance.often(80) {
        program.push(Do::CancelMe { counter: chance.below(4) as u8 });
    }
    let mut root = Root {
        program,
        early,
        deadline: chance.often(120).then(|| 1 + chance.below(100) as u32),
        cancel: chance.often(100).then(|| {
            let grace = *chance.pick(&[None, Some(0), Some(5), Some(100_000)]);
            (chance.often(500), grace)
        }),
        delete: chance.often(300),
        pause: chance.often(200),
    };
    if root.pause && goes_on(&root.program) {
        root.program.extend(failing(chance, 1, &mut budget));
    }
    root
}

/// A failure, often of something further down, where other things were done before. It is not that of what came before: the
/// program goes on from there.
fn failing(chance: &mut Chance, level: usize, budget: &mut u64) -> Vec<Do> {
    if level > 2 || chance.often(400) {
        return vec![Do::Draw, Do::Fail];
    }
    let mut program = sequence(chance, level, true, budget);
    if goes_on(&program) {
        program.extend(failing(chance, level + 1, budget));
    } else {
        program = vec![Do::Fail];
    }
    vec![Do::Break { program, agent: chance.often(300) }]
}

/// What comes one after the other. Only at the top may a program end early, begin anew or take early signals.
pub(super) fn sequence(chance: &mut Chance, level: usize, top: bool, budget: &mut u64) -> Vec<Do> {
    let mut ops = Vec::new();
    let most = 1 + chance.below(5);
    while *budget > 0 && (ops.len() as u64) < most {
        *budget -= 1;
        ops.push(one(chance, level, top, budget));
        if matches!(ops.last(), Some(Do::Fail | Do::CancelMe { .. })) {
            break;
        }
    }
    ops
}

fn one(chance: &mut Chance, level: usize, top: bool, budget: &mut u64) -> Do {
    let millis = |chance: &mut Chance| *chance.pick(&[1, 50, 1000, 90_000, 4_000_000]);
    if chance.often(100) {
        return new_one(chance, level, budget);
    }
    match chance.below(if top { 30 } else { 26 }) {
        0..=6 => Do::Count {
            counter: chance.below(4) as u8,
            by: 1 + chance.below(3) as u8,
            failures: chance.below(8).saturating_sub(5) as u8,
            hasty: chance.often(250),
        },
        7 => Do::Lose { by_code: chance.often(500) },
        8..=11 if level < 2 => Do::Call {
            program: sequence(chance, level + 1, true, budget),
            agent: chance.often(300),
            named: chance.often(400).then(|| chance.below(u64::from(u16::MAX)) as u16),
            patience: chance.often(200).then(|| *chance.pick(&[1, 30, 4000])),
            let_go: chance.often(500),
        },
        12 | 13 if level < 2 => Do::Spawn {
            program: sequence(chance, level + 1, true, budget),
            agent: chance.often(300),
            named: chance.often(400).then(|| chance.below(u64::from(u16::MAX)) as u16),
        },
        14 => Do::CallSelf,
        8..=11 | 12 | 13 | 15 | 16 => Do::Sleep { millis: millis(chance) },
        17 | 18 => Do::Ask { name: chance.below(2) as u8 },
        19 => Do::AskInVain { millis: millis(chance) },
        20 | 21 => {
            let branches = 2 + chance.below(3);
            Do::Together { branches: (0..branches).map(|_| sequence(chance, level, false, budget)).collect() }
        }
        22 => Do::Race { program: sequence(chance, level, false, budget) },
        23 | 24 => Do::Within { millis: millis(chance), program: sequence(chance, level, false, budget) },
        25 => Do::Draw,
        26 | 27 if level == 0 => Do::Early,
        26 => Do::Draw,
        27 | 28 => Do::Anew { with_child: level < 2 && chance.often(400) },
        _ if level > 0 && chance.often(500) => Do::CancelMe { counter: chance.below(4) as u8 },
        _ => Do::Fail,
    }
}

/// Groups, questions to people, and jobs for workers.
fn new_one(chance: &mut Chance, level: usize, budget: &mut u64) -> Do {
    if level < 2 && chance.often(600) {
        let members = 1 + chance.below(3);
        return Do::Group {
            members: (0..members).map(|_| (sequence(chance, level + 1, true, budget), chance.often(400))).collect(),
            settle: *chance.pick(&[Settle::All, Settle::Collect, Settle::Collect, Settle::First, Settle::Quorum]),
            patience: chance.often(200).then(|| *chance.pick(&[1, 30, 4000])),
        };
    }
    if level < 2 && chance.often(300) {
        let tasks = 1 + chance.below(3);
        return Do::Assign { tasks: (0..tasks).map(|_| in_conversation(chance, level + 1, budget)).collect() };
    }
    if chance.often(400) {
        return match chance.below(10) {
            0 => Do::Tell,
            1 | 2 => Do::Emit,
            _ => Do::Approve { escalate: chance.often(500) },
        };
    }
    Do::Serve {
        counter: chance.below(4) as u8,
        by: 1 + chance.below(3) as u8,
        vanish: chance.below(6).saturating_sub(3) as u8,
        failures: chance.below(4).saturating_sub(2) as u8,
        back: chance.often(200),
        calls: level < 2 && chance.often(400),
    }
}
