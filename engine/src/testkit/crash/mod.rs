//! A workflow killed at each of its commits, and what became of it.

mod compare;

use super::report::{Finding, Report};
use super::script::{End, Lived, Script};
use super::{Chance, Ledger, Moment, World};
use crate::engine::{Builder, RunHandle};
use crate::workflow::Workflow;
use compare::Reference;
use rejoin_store::simulated::Outcome;
use serde::Serialize;
use std::fmt;

/// The moments that are tried alone, instead of all: `14-` before commit 14, `14+` after it, `14` both, `14-,2+` a second
/// crash in the second life.
const VARIABLE: &str = "REJOIN_CRASH";

/// How many of the crashes are followed by a second one, about.
const TWICE: usize = 8;

/// Kills a workflow before and after each of its commits, restarts it, and panics unless it ends as it does without a
/// crash, having done to the world what it does without one, once. See [`CrashTest`].
///
/// ```
/// use rejoin::testkit::{Ledger, crash_everywhere};
/// use rejoin::{Attempt, Builder, Context, Engine, Failure, Workflow};
///
/// const PAY: Workflow<u32, u32> = Workflow::named("pay");
///
/// fn app(bank: &Ledger) -> Builder {
///     let bank = bank.clone();
///     Engine::open("simulated").workflow(&PAY, move |ctx: Context, amount: u32| {
///         let bank = bank.clone();
///         let charge = move |attempt: Attempt| {
///             bank.once(attempt.idempotency_key(), format!("charged {amount} EUR"));
///             Ok::<u32, Failure>(amount)
///         };
///         async move { ctx.step("charge", charge).await }
///     })
/// }
///
/// crash_everywhere(app, &PAY, 5);
/// ```
///
/// # Panics
///
/// With a [`Report`] that says what is wrong and how to mend it. The environment variable `REJOIN_CRASH`, which it names,
/// tries one crash alone.
#[track_caller]
pub fn crash_everywhere<I, O>(
    app: impl Fn(&Ledger) -> Builder + 'static,
    workflow: &Workflow<I, O>,
    input: I,
) -> Summary
where
    I: Serialize + Clone + 'static,
    O: 'static,
{
    CrashTest::new(app, workflow, input).run()
}

/// A test that kills a workflow everywhere.
///
/// It lives twice without a disturbance, which must come to the same; holds the handlers against every history; and then
/// lives once for each commit and each moment at it, before and after, dies there, and is restarted. Some of the second
/// lives die too.
///
/// ```
/// use rejoin::testkit::CrashTest;
/// use rejoin::{Context, Engine, Failure, Workflow};
///
/// const ASK: Workflow<String, bool> = Workflow::named("ask");
/// async fn ask(ctx: Context, _: String) -> Result<bool, Failure> {
///     ctx.signal("answer").await
/// }
///
/// let summary = CrashTest::new(|_| Engine::open("simulated").workflow(&ASK, ask), &ASK, "May I?".into())
///     .during(|run| async move {
///         run.signal("answer", &true).id("by-hand").await?;
///         Ok(())
///     })
///     .run();
/// assert!(summary.crashes > summary.commits);
/// ```
#[must_use = "nothing is tested before `run` or `check` is called"]
pub struct CrashTest<I, O> {
    script: Script<I, O>,
    may_fail: bool,
    only: Option<String>,
}

/// What a workflow has survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many commits it makes without a crash.
    pub commits: u64,
    /// How many crashes it has survived.
    pub crashes: u64,
    /// How many runs there were: itself, its children, theirs.
    pub runs: usize,
    /// How many effects it has.
    pub effects: usize,
}

/// Crashes, one after the other, and what becomes of what was not synced.
type Crash = (Vec<Moment>, Outcome);

impl<I: Serialize + Clone + 'static, O: 'static> CrashTest<I, O> {
    /// `app` registers the handlers, as for any engine, and hands them the world they act on; its folder is not used.
    pub fn new(app: impl Fn(&Ledger) -> Builder + 'static, workflow: &Workflow<I, O>, input: I) -> Self {
        CrashTest { script: Script::new(app, workflow, input), may_fail: false, only: std::env::var(VARIABLE).ok() }
    }

    /// What clients do while it runs. It is begun again in each life of the process, so doing it twice must be as good
    /// as once: give each signal an id.
    pub fn during<F>(mut self, client: impl Fn(RunHandle<O>) -> F + 'static) -> Self
    where
        F: Future<Output = crate::Result<()>> + 'static,
    {
        self.script.during(client);
        self
    }

    /// The run may end with a failure; the same one every time.
    pub fn may_fail(mut self) -> Self {
        self.may_fail = true;
        self
    }

    /// Only these crashes, written as in `REJOIN_CRASH`.
    pub fn only(mut self, crash: &str) -> Self {
        self.only = Some(crash.to_owned());
        self
    }

    /// Tests.
    ///
    /// # Panics
    ///
    /// With a [`Report`], if the workflow does not survive all of it.
    #[track_caller]
    pub fn run(&self) -> Summary {
        // Not in a closure, so that the panic names the line of the test.
        match self.check() {
            Ok(summary) => summary,
            Err(report) => panic!("{report}"),
        }
    }

    /// Tests.
    ///
    /// # Errors
    ///
    /// What is wrong, where, and how to mend it.
    pub fn check(&self) -> Result<Summary, Report> {
        let (reference, outside) = self.without_a_crash()?;
        let chosen = self.only.as_deref().map(|text| parse(text).ok_or_else(|| self.misread(text))).transpose()?;
        let crashes = match chosen {
            Some(chosen) => self.survives_all(&reference, &chosen)?,
            None => {
                let once = everywhere(reference.records.commits());
                let twice = self.twice(&reference, &once)?;
                once.len() as u64 + self.survives_all(&reference, &twice)?
            }
        };
        if !outside.is_empty() {
            return Err(self.report(outside));
        }
        let (runs, effects) = (reference.histories.len(), reference.ledger.effects().len());
        Ok(Summary { commits: reference.records.commits(), crashes, runs, effects })
    }

    /// Tries these crashes, and chooses those in whose second life another one follows, and when.
    fn twice(&self, reference: &Reference, once: &[Crash]) -> Result<Vec<Crash>, Report> {
        let stride = (once.len() / TWICE).max(1);
        let mut twice = Vec::new();
        for (index, (moments, outcome)) in once.iter().enumerate() {
            let commits = self.survives(reference, moments, *outcome)?;
            if index % stride == 0 && commits > 0 {
                let mut chance = Chance::new(index as u64);
                let number = 1 + chance.below(commits);
                let second = if chance.often(500) { Moment::Before(number) } else { Moment::After(number) };
                twice.push(([moments.as_slice(), &[second]].concat(), *outcome));
            }
        }
        Ok(twice)
    }

    /// Tries these crashes; how many there were.
    fn survives_all(&self, reference: &Reference, crashes: &[Crash]) -> Result<u64, Report> {
        crashes.iter().try_fold(0, |count, (moments, outcome)| {
            self.survives(reference, moments, *outcome)?;
            Ok(count + moments.len() as u64)
        })
    }

    /// Two lives without a crash, and the handlers against the histories of the first. Beside it, what handlers did
    /// themselves: a crash shows better what is wrong with that.
    fn without_a_crash(&self) -> Result<(Reference, Vec<Finding>), Report> {
        let first = self.undisturbed()?;
        let diverged = first.histories.iter().find_map(|history| {
            let error = history.replay(self.script.app(&Ledger::new())).err()?;
            Some(Finding::Diverged { workflow: first.records.workflow(history.run), reason: error.to_string() })
        });
        let parting = compare::parting(&first, &self.undisturbed()?);
        // Where the same is asked for with another content, two lives side by side show it better.
        let finding = match (diverged, parting) {
            (Some(Finding::Diverged { reason, .. }), Some(parting)) if reason.contains(", the handler the end") => {
                Some(parting)
            }
            (diverged, parting) => diverged.or(parting),
        };
        if let Some(finding) = finding {
            return Err(self.report(vec![finding]));
        }
        let (outside, others) =
            compare::alone(&first).into_iter().partition::<Vec<_>, _>(|finding| finding.rank() == 0);
        if others.is_empty() { Ok((first, outside)) } else { Err(self.report(others)) }
    }

    fn undisturbed(&self) -> Result<Reference, Report> {
        let ledger = Ledger::new();
        let Lived { end, records, .. } = self.script.live(&World::new(1), &ledger, 1, None);
        let refused = |reason: &str| vec![Finding::Refused { reason: reason.to_owned() }];
        let result = match end {
            End::Ended { unended, .. } if !unended.is_empty() => Err(Finding::still(false, &unended)),
            End::Ended { result: Err(failure), .. } if !self.may_fail => {
                Err(vec![Finding::Failed { failure: failure.to_string() }])
            }
            End::Ended { result, .. } => Ok(compare::in_words(&result)),
            End::Still { endless, unended } => Err(Finding::still(endless, &unended)),
            End::Refused(reason) => Err(refused(&reason)),
            End::Died => Err(refused("the simulated process ended by itself")),
        };
        let result = result.map_err(|findings| self.report(findings))?;
        Ok(Reference { result, ledger, histories: records.histories(), records })
    }

    /// Dies at these moments, one in each life, and lives on to the end. Returns how many commits the last life made.
    fn survives(&self, reference: &Reference, moments: &[Moment], outcome: Outcome) -> Result<u64, Report> {
        let (mut world, ledger) = (World::new(1), Ledger::new());
        let mut killed = Vec::new();
        for (life, until) in (1..).zip(moments.iter().map(|moment| Some(*moment)).chain([None])) {
            let lived = self.script.live(&world, &ledger, life, until);
            if let (End::Died, Some(moment)) = (&lived.end, until) {
                world = world.crash(outcome, 0);
                drop(lived.simulation);
                killed.push((moment, lived.records));
                continue;
            }
            let findings = compare::after_a_crash(reference, &lived, &ledger);
            if findings.is_empty() {
                return Ok(lived.records.commits());
            }
            let crash = Some(in_words(&killed)).filter(|_| !killed.is_empty());
            let again = Some(again(moments)).filter(|_| crash.is_some());
            return Err(Report { crash, again, ..self.report(findings) });
        }
        Ok(0)
    }

    fn report(&self, findings: Vec<Finding>) -> Report {
        Report::new(self.script.workflow.name(), findings)
    }

    fn misread(&self, text: &str) -> Report {
        let reason =
            format!("{VARIABLE} is {text:?}; it is to be a commit, as in 14, 14- (before it) or 14+ (after it)");
        self.report(vec![Finding::Refused { reason }])
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { commits, crashes, runs, effects } = self;
        write!(f, "runs: {runs}, commits: {commits}, effects: {effects}, crashes survived: {crashes}")
    }
}

/// All crashes: nothing of a commit is on the disk, or what the disk happened to keep, or all of it.
fn everywhere(commits: u64) -> Vec<Crash> {
    let at = |number| {
        let (before, after) = (vec![Moment::Before(number)], vec![Moment::After(number)]);
        [(before.clone(), Outcome::Lost), (before, Outcome::Kept), (after, Outcome::Lost)]
    };
    (1..=commits).flat_map(at).collect()
}

/// `14`, `14-`, `14+`, `14-,2+`.
fn parse(text: &str) -> Option<Vec<Crash>> {
    if let Ok(number) = text.parse() {
        return Some(vec![(vec![Moment::Before(number)], Outcome::Lost), (vec![Moment::After(number)], Outcome::Lost)]);
    }
    let moment = |text: &str| match (text.strip_suffix('-'), text.strip_suffix('+')) {
        (Some(number), _) => number.parse().ok().map(Moment::Before),
        (_, Some(number)) => number.parse().ok().map(Moment::After),
        (None, None) => None,
    };
    let moments: Vec<Moment> = text.split(',').map(moment).collect::<Option<_>>()?;
    Some([Outcome::Lost, Outcome::Kept].map(|outcome| (moments.clone(), outcome)).into())
}

/// The command that does it again. The name of a test is that of its thread, unless all share one.
fn again(moments: &[Moment]) -> String {
    let written = |moment: &Moment| match moment {
        Moment::Before(number) => format!("{number}-"),
        Moment::After(number) => format!("{number}+"),
    };
    let moments: Vec<String> = moments.iter().map(written).collect();
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main").map_or(String::new(), |name| format!(" {name}"));
    format!("{VARIABLE}={} cargo test{test}", moments.join(","))
}

fn in_words(killed: &[(Moment, super::commits::Records)]) -> String {
    let words = killed.iter().enumerate().map(|(index, (moment, records))| match index {
        0 => format!("killed {}, restarted", records.moment(*moment)),
        _ => format!("killed again {} of its second life, restarted", records.moment(*moment)),
    });
    words.collect::<Vec<_>>().join(", ")
}
