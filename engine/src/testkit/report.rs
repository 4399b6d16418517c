//! What a test of a workflow found, in words that say how to mend it.

use super::script::Unended;
use crate::engine::Wait;
use std::fmt;

/// How many findings a report shows.
const MOST: usize = 3;

/// Why a workflow does not resume exactly once: findings, the most useful first, and how to see them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The workflow.
    pub workflow: String,
    /// What was done to the process, in words; `None`: nothing.
    pub crash: Option<String>,
    /// What came of it. There is at least one.
    pub findings: Vec<Finding>,
    /// The command that does it again.
    pub again: Option<String>,
}

/// Something that is wrong with a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A handler does something to the world itself.
    OutsideStep {
        /// What.
        effect: String,
        /// How often it happened.
        times: usize,
        /// In words: behind which commit.
        place: String,
    },
    /// A step that was executed again did the same once more.
    Repeated {
        /// The step.
        step: String,
        /// What it did.
        effect: String,
        /// With which keys, and in which lives.
        executions: Vec<(Option<String>, u32)>,
    },
    /// After a crash a step did something else than before it, or than without it.
    Changed {
        /// The step.
        step: String,
        /// What it did.
        before: String,
        /// What it did after the crash.
        after: String,
    },
    /// One idempotency key was used for two things.
    KeyConflict {
        /// The key.
        key: String,
        /// Who used it for what, first.
        first: (String, String),
        /// And then.
        second: (String, String),
    },
    /// A handler does not ask again for what its history says it asked for.
    Diverged {
        /// The workflow.
        workflow: String,
        /// Where, and what it asks for.
        reason: String,
    },
    /// Two lives without a crash are not the same.
    Unrepeatable {
        /// Where they part: a step, or the workflow.
        place: String,
        /// In the first life.
        first: String,
        /// In the second.
        second: String,
    },
    /// The result is another one than without the crash.
    OtherResult {
        /// Without.
        expected: String,
        /// With.
        found: String,
    },
    /// Something happened that does not happen without the crash.
    Extra {
        /// Who did it.
        by: String,
        /// What.
        effect: String,
    },
    /// Something did not happen that happens without the crash.
    Missing {
        /// Who does it.
        by: String,
        /// What.
        effect: String,
    },
    /// A run stands still because its handler does not fit its history.
    Wedged {
        /// The workflow.
        workflow: String,
        /// Why.
        reason: String,
    },
    /// A run never ends.
    Unended {
        /// The workflow.
        workflow: String,
        /// What it waits for.
        waits: Vec<Wait>,
    },
    /// There is no end of events.
    Endless {
        /// The workflow.
        workflow: String,
    },
    /// The run fails without any crash, and nobody said that it may.
    Failed {
        /// With what.
        failure: String,
    },
    /// Something was refused.
    Refused {
        /// Why.
        reason: String,
    },
}

impl Report {
    pub(super) fn new(workflow: &str, findings: Vec<Finding>) -> Report {
        Report { workflow: workflow.to_owned(), crash: None, findings, again: None }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.crash {
            Some(crash) => writeln!(f, "workflow {:?} does not survive every crash\n  {crash}", self.workflow)?,
            None => writeln!(f, "workflow {:?} goes wrong without a crash", self.workflow)?,
        }
        for finding in self.findings.iter().take(MOST) {
            writeln!(f, "  {finding}")?;
        }
        match self.findings.len().saturating_sub(MOST) {
            0 => {}
            more => writeln!(f, "  and {more} more")?,
        }
        self.again.as_ref().map_or(Ok(()), |again| writeln!(f, "  to see it again: {again}"))
    }
}

impl std::error::Error for Report {}

const FROM_CONTEXT: &str = "take time from ctx.now(), chance from ctx.random() or ctx.uuid();\n  what else comes from \
                            outside (files, clocks, the order of a HashMap) belongs into a step";

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::OutsideStep { effect, times, place } => {
                let times = if *times == 1 { String::new() } else { format!(", and happened {times} times") };
                writeln!(f, "{effect:?} was done by the handler itself, outside a step{times}")?;
                writeln!(f, "      {place}")?;
                write!(
                    f,
                    "  a handler is executed again after a crash; put it into a step: ctx.step(\"..\", ..).await?"
                )
            }
            Finding::Repeated { step, effect, executions } => repeated(f, step, effect, executions),
            Finding::Changed { step, before, after } => {
                writeln!(f, "{step} did something else after the crash:")?;
                writeln!(f, "      {before:?}  at first\n      {after:?}  after the crash")?;
                write!(f, "  what it is given must be the same each time:\n  {FROM_CONTEXT}")
            }
            Finding::KeyConflict { key, first, second } => {
                writeln!(f, "idempotency key {key} was used for two things:")?;
                writeln!(f, "      {:?}  by {}\n      {:?}  by {}", first.1, first.0, second.1, second.0)?;
                write!(
                    f,
                    "  a key stands for one effect: each step has its own, attempt.idempotency_key(); where a step has "
                )?;
                write!(f, "several effects, add a word to it for each; and what a step does must be the same each time")
            }
            // Other reasons say themselves what is to be done.
            Finding::Wedged { workflow, reason } if !reason.contains("the history has") => {
                write!(f, "workflow {workflow:?} is wedged:\n      {reason}")
            }
            Finding::Diverged { workflow, reason } | Finding::Wedged { workflow, reason } => {
                writeln!(f, "workflow {workflow:?} does not fit its own history:\n      {reason}")?;
                write!(f, "  executed again, a handler must ask for the same:\n  {FROM_CONTEXT}")
            }
            Finding::Unrepeatable { place, first, second } => {
                writeln!(f, "{place} is not the same in two lives without a crash:")?;
                writeln!(f, "      first   {first}\n      second  {second}")?;
                writeln!(f, "  {FROM_CONTEXT}")?;
                write!(f, "  if it is a service that answers differently each time, give the test one that does not")
            }
            Finding::OtherResult { expected, found } => {
                writeln!(f, "it ends differently:\n      {expected}  without a crash\n      {found}  with it")?;
                write!(f, "  {FROM_CONTEXT}")
            }
            Finding::Extra { by, effect } => {
                write!(f, "{effect:?} happened more often than without a crash, by {by}")
            }
            Finding::Missing { by, effect } => write!(f, "{effect:?} did not happen; without a crash it does, by {by}"),
            Finding::Unended { workflow, waits } => unended(f, workflow, waits),
            Finding::Endless { workflow } => {
                write!(f, "workflow {workflow:?} comes to no end; give the test an input with which it does")
            }
            Finding::Failed { failure } => {
                write!(f, "it failed: {failure}\n  if that is what is to be tested, say so with CrashTest::may_fail")
            }
            Finding::Refused { reason } => f.write_str(reason),
        }
    }
}

fn repeated(f: &mut fmt::Formatter<'_>, step: &str, effect: &str, executions: &[(Option<String>, u32)]) -> fmt::Result {
    let how = if executions.iter().any(|(key, _)| key.is_some()) { "with different keys" } else { "without a key" };
    writeln!(f, "{step} was executed again, {how}, and {effect:?} happened {} times:", executions.len())?;
    for (index, (key, life)) in executions.iter().enumerate() {
        let key = key.as_ref().map_or("no key".to_owned(), |key| format!("key {key}"));
        let when = if *life == 1 { "before the kill" } else { "after the restart" };
        writeln!(f, "      #{}  {key}  {when}", index + 1)?;
    }
    write!(
        f,
        "  hand the service the key that stays the same:\n  ctx.step(\"..\", |attempt: Attempt| ..), attempt.idempotency_key()"
    )
}

fn unended(f: &mut fmt::Formatter<'_>, workflow: &str, waits: &[Wait]) -> fmt::Result {
    write!(f, "workflow {workflow:?} never ends")?;
    for wait in waits {
        match wait {
            Wait::Signal { name, .. } => {
                write!(f, "\n      it waits for signal {name:?}: send it in .during(|run| async move {{ .. }})")?;
            }
            Wait::Step { name, attempt, last_failure, .. } => {
                write!(f, "\n      it waits for attempt {attempt} of step {name:?}")?;
                match last_failure {
                    Some(failure) => write!(f, "; the one before failed: {failure}")?,
                    None => write!(f, ": a step may wait for nothing outside the simulated process; give it a fake")?,
                }
            }
            Wait::Approval { question, .. } => {
                write!(f, "\n      it asks people {question:?}: answer in .during(|run| async move {{ .. }})")?;
            }
            Wait::Handoff { .. } => {
                write!(f, "\n      a person has its conversation: give it back in .during(|run| async move {{ .. }})")?;
            }
            Wait::Child { .. } => write!(f, "\n      it waits for a child")?,
            Wait::Timer { .. } => write!(f, "\n      it sleeps")?,
        }
    }
    Ok(())
}

impl Finding {
    /// Runs that stand still; those that wait for nothing but children say least, and come last.
    pub(super) fn still(endless: bool, unended: &[Unended]) -> Vec<Finding> {
        let finding = |run: &Unended| match &run.wedged {
            Some(reason) => Finding::Wedged { workflow: run.workflow.clone(), reason: reason.clone() },
            None if endless => Finding::Endless { workflow: run.workflow.clone() },
            None => Finding::Unended { workflow: run.workflow.clone(), waits: run.waits.clone() },
        };
        let mut findings: Vec<Finding> = unended.iter().map(finding).collect();
        findings.sort_by_key(Finding::rank);
        findings
    }

    /// Whether it says what is wrong, rather than what came of it.
    pub(super) fn is_cause(&self) -> bool {
        self.rank() <= 4
    }

    /// How soon it is to be told.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Finding::OutsideStep { .. } => 0,
            Finding::Diverged { .. } | Finding::Wedged { .. } => 1,
            Finding::Repeated { .. } | Finding::Changed { .. } => 2,
            Finding::KeyConflict { .. } => 3,
            Finding::Unrepeatable { .. } | Finding::Refused { .. } | Finding::Failed { .. } => 4,
            Finding::Endless { .. } => 5,
            Finding::Unended { waits, .. } if waits.iter().all(|wait| matches!(wait, Wait::Child { .. })) => 7,
            Finding::Unended { .. } => 6,
            Finding::Extra { .. } | Finding::Missing { .. } => 8,
            Finding::OtherResult { .. } => 9,
        }
    }
}
