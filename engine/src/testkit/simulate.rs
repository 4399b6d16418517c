//! One life without a disturbance, under virtual time.

use super::report::{Finding, Report};
use super::script::{End, Lived, Script};
use super::{History, Ledger, World};
use crate::engine::{Builder, RunHandle};
use crate::error::RunError;
use crate::failure::Failure;
use crate::workflow::Workflow;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Runs a workflow to its end under virtual time, in one life without a disturbance; its result.
///
/// ```
/// use rejoin::testkit::simulate;
/// use rejoin::{Context, Engine, Failure, Workflow, time::days};
///
/// const NAP: Workflow<u64, String> = Workflow::named("nap");
/// async fn nap(ctx: Context, length: u64) -> Result<String, Failure> {
///     ctx.sleep(days(length)).await?;
///     Ok(format!("slept {length} days"))
/// }
///
/// let slept = simulate(|_| Engine::open("simulated").workflow(&NAP, nap), &NAP, 30)?;
/// assert_eq!(slept, "slept 30 days");
/// # Ok::<(), rejoin::RunError>(())
/// ```
///
/// # Errors
///
/// [`RunError::Failed`] if the run failed.
///
/// # Panics
///
/// If it can never end; the message says what it waits for.
#[track_caller]
pub fn simulate<I, O>(
    app: impl Fn(&Ledger) -> Builder + 'static,
    workflow: &Workflow<I, O>,
    input: I,
) -> Result<O, RunError>
where
    I: Serialize + Clone + 'static,
    O: DeserializeOwned + 'static,
{
    RunTest::new(app, workflow, input).run().result
}

/// One life of a workflow under virtual time, with what clients do meanwhile.
///
/// ```
/// use rejoin::testkit::RunTest;
/// use rejoin::{Context, Engine, Failure, Workflow, time::days};
/// use std::time::Duration;
///
/// const PUBLISH: Workflow<String, String> = Workflow::named("publish");
/// async fn publish(ctx: Context, title: String) -> Result<String, Failure> {
///     ctx.sleep(days(7)).await?;
///     let approved: bool = ctx.signal("approve").await?;
///     Ok(format!("{title}: {approved}"))
/// }
///
/// let lived = RunTest::new(|_| Engine::open("simulated").workflow(&PUBLISH, publish), &PUBLISH, "News".into())
///     .during(|run| async move {
///         run.signal("approve", &true).id("by-hand").await?;
///         Ok(())
///     })
///     .run();
/// assert_eq!(lived.result?, "News: true");
/// assert_eq!(lived.passed, days(7));
/// assert!(lived.history.entries.len() > 2);
/// # Ok::<(), rejoin::RunError>(())
/// ```
#[must_use = "it is lived when `run` is called"]
pub struct RunTest<I, O> {
    script: Script<I, O>,
}

/// What came of one life.
#[derive(Clone, Debug)]
pub struct Simulated<O> {
    /// The run's result.
    pub result: Result<O, RunError>,
    /// What was done to the outside world.
    pub ledger: Ledger,
    /// The virtual time from the trigger to the result.
    pub passed: Duration,
    /// The run's history.
    pub history: History,
    /// The histories of its children, theirs, and so on.
    pub children: Vec<History>,
}

impl<I: Serialize + Clone + 'static, O: DeserializeOwned + 'static> RunTest<I, O> {
    /// `app` registers the handlers, as for any engine; its folder is not used.
    pub fn new(app: impl Fn(&Ledger) -> Builder + 'static, workflow: &Workflow<I, O>, input: I) -> Self {
        RunTest { script: Script::new(app, workflow, input) }
    }

    /// What clients do while it runs.
    pub fn during<F>(mut self, client: impl Fn(RunHandle<O>) -> F + 'static) -> Self
    where
        F: Future<Output = crate::Result<()>> + 'static,
    {
        self.script.during(client);
        self
    }

    /// Lives.
    ///
    /// # Panics
    ///
    /// If the run can never end; the message says what it waits for.
    #[track_caller]
    pub fn run(&self) -> Simulated<O> {
        // Not in a closure, so that the panic names the line of the test.
        match self.check() {
            Ok(lived) => lived,
            Err(report) => panic!("{report}"),
        }
    }

    /// Lives; a run that can never end is an error.
    ///
    /// # Errors
    ///
    /// What it waits for.
    pub fn check(&self) -> Result<Simulated<O>, Report> {
        let ledger = Ledger::new();
        let refused = |reason| Report::new(self.script.workflow.name(), vec![Finding::Refused { reason }]);
        let Lived { end, records, began, .. } = self.script.live(&World::new(1), &ledger, 1, None);
        let (result, at) = match end {
            End::Ended { result, at, .. } => (result, at),
            End::Still { endless, unended } => {
                return Err(Report::new(self.script.workflow.name(), Finding::still(endless, &unended)));
            }
            End::Refused(reason) => return Err(refused(reason)),
            End::Died => return Err(refused("the simulated process ended by itself".to_owned())),
        };
        let typed = |value| {
            serde_json::from_value(value).map_err(|error| RunError::Failed(Failure::payload("the output", &error)))
        };
        let mut histories = records.histories().into_iter();
        let history = histories.next().ok_or_else(|| refused("the run left no history".to_owned()))?;
        Ok(Simulated {
            result: result.and_then(typed),
            ledger,
            passed: Duration::from_micros(at.since(began).0),
            history,
            children: histories.collect(),
        })
    }
}
