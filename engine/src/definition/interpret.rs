//! A definition as a handler: it goes from unit to unit, as the outcomes say.
//!
//! Everything that it waits for is waited for through the context, so there is nothing here that could be lost; and what it
//! computes in between depends on the recorded answers alone.

mod scope;
mod stage;
mod work;

use super::model::{Route, Unit, Workflow};
use crate::context::Context;
use crate::failure::Failure;
use crate::results::Results;
use scope::Scope;
pub(super) use scope::{ALWAYS, variable_of};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use work::perform;

/// What came of a unit.
pub(super) struct Ended {
    /// The label that it ended with.
    outcome: String,
    /// What it gave.
    value: Value,
    /// What is known of its end beside that.
    status: Value,
    /// The failure, where it has not succeeded.
    failure: Option<Failure>,
}

/// The outcome of what succeeded.
pub(super) const COMPLETED: &str = "completed";
/// The outcome of a choice of which nothing holds.
pub(super) const ELSE: &str = "else";
/// The outcomes of going round too often.
pub(super) const GUARDS: [&str; 2] = ["too-many-cycles", "too-many-visits"];

impl Ended {
    fn with(value: Value) -> Ended {
        Ended::as_outcome(COMPLETED, value)
    }

    fn as_outcome(outcome: &str, value: Value) -> Ended {
        let status = json!({ "status": COMPLETED, "outcome": outcome });
        Ended { outcome: outcome.to_owned(), value, status, failure: None }
    }

    fn failed(failure: Failure) -> Ended {
        let outcome = outcome_of(&failure);
        let status = json!({
            "status": outcome,
            "outcome": outcome,
            "code": failure.code(),
            "message": failure.reason(),
        });
        Ended { outcome: outcome.to_owned(), value: Value::Null, status, failure: Some(failure) }
    }
}

/// The outcome of what has not succeeded.
pub(super) fn outcome_of(failure: &Failure) -> &'static str {
    use rejoin_machine::FailureKind;
    match failure.kind() {
        FailureKind::Refused => "refused",
        FailureKind::TimedOut => "timed-out",
        FailureKind::Cancelled => "cancelled",
        _ if failure.is_handed_off() => "handed-off",
        _ => "failed",
    }
}

/// What stops a flow before its end: the run's result.
pub(super) enum Stop {
    /// It is told to end with that.
    End(Value),
    /// It fails.
    Fail(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Fail(failure)
    }
}

/// Interprets a version of a workflow.
pub(super) async fn interpret(
    workflow: Arc<Workflow>,
    version: u32,
    ctx: Context,
    input: Value,
) -> Result<Value, Failure> {
    let mut scope = Scope::new(&ctx, &workflow, version, input)?;
    let mut results = Results::default();
    match walk(&workflow, &ctx, &mut scope, &mut results).await {
        Ok(()) => {}
        Err(Stop::End(value)) => return Ok(value),
        Err(Stop::Fail(failure)) => return Err(failure),
    }
    if let Some(output) = &workflow.output {
        return output.value(scope.variables());
    }
    Ok(serde_json::to_value(results.finish())?)
}

/// How often it has been where.
#[derive(Default)]
struct Rounds<'a> {
    /// How often it came back to where it had been.
    cycles: u32,
    visits: BTreeMap<&'a str, u32>,
    /// How often it was kept from a unit.
    guarded: u32,
}

impl<'a> Rounds<'a> {
    /// The outcome where this unit may not be entered once more.
    fn enter(&mut self, workflow: &Workflow, unit: &'a str) -> Option<&'static str> {
        let visits = self.visits.entry(unit).or_default();
        *visits += 1;
        let comes_back = *visits > 1;
        self.cycles += u32::from(comes_back);
        let guard = match () {
            () if comes_back && self.cycles > workflow.cycles => Some(GUARDS[0]),
            () if *visits > workflow.visits => Some(GUARDS[1]),
            () => None,
        };
        self.guarded += u32::from(guard.is_some());
        guard
    }

    /// Whether the routes of guards lead round too.
    fn is_endless(&self, workflow: &Workflow) -> bool {
        self.guarded > workflow.cycles
    }
}

async fn walk(workflow: &Workflow, ctx: &Context, scope: &mut Scope, results: &mut Results) -> Result<(), Stop> {
    let mut rounds = Rounds::default();
    let mut next = Some(workflow.start.value.as_str());
    while let Some(name) = next {
        let unit = workflow.unit(name).ok_or_else(|| lost(name))?;
        // A guard is an outcome like any other; one that nobody has a route for ends the run.
        let ended = match rounds.enter(workflow, &unit.name) {
            Some(guard) if rounds.is_endless(workflow) => return Err(guarded(guard, workflow, name).into()),
            Some(guard) => {
                // It was not entered: what came of it before is what there is.
                let value = scope.variables().get(name).map(|value| (**value).clone()).unwrap_or_default();
                Ended { value, ..Ended::failed(guarded(guard, workflow, name)).renamed(guard) }
            }
            None => perform(unit, ctx, scope, results).await?,
        };
        if let Some(cancelled) = ctx.cancellation() {
            return Err(Stop::Fail(cancelled));
        }
        scope.note(&unit.name, &ended);
        next = follow(unit, ended, ctx, scope, results).await?;
    }
    Ok(())
}

impl Ended {
    fn timed_out(self) -> Ended {
        let mut late = self.renamed("timed-out");
        late.status["status"] = json!("timed-out");
        late
    }

    fn renamed(self, outcome: &str) -> Ended {
        let mut status = self.status;
        status["outcome"] = json!(outcome);
        Ended { outcome: outcome.to_owned(), status, ..self }
    }
}

fn lost(name: &str) -> Failure {
    Failure::business("no-such-unit", format!("there is no stage or node {name:?}"))
}

fn guarded(guard: &str, workflow: &Workflow, unit: &str) -> Failure {
    let (cycles, visits) = (workflow.cycles, workflow.visits);
    let most = if guard == GUARDS[0] { format!("{cycles} cycles") } else { format!("{visits} visits of {unit:?}") };
    Failure::business(guard, format!("the limit of {most} is reached"))
}

/// Where a unit's outcome leads: the name of the next one, or nothing at the end.
async fn follow<'a>(
    unit: &'a Unit,
    ended: Ended,
    ctx: &Context,
    scope: &mut Scope,
    results: &mut Results,
) -> Result<Option<&'a str>, Stop> {
    let named = unit.routes.iter().find(|(outcome, _)| outcome.value == ended.outcome);
    let Some(route) = named.map(|(_, route)| route).or_else(|| unit.otherwise(&ended)) else {
        return match ended.failure {
            Some(failure) => Err(Stop::Fail(failure)),
            None if unit.routes.is_empty() => Ok(None),
            None => Err(Stop::Fail(unrouted(&unit.name, &ended.outcome))),
        };
    };
    Ok(match route {
        Route::End(_) => None,
        Route::Unit(name) => Some(name),
        Route::Workflow { call, then, failed } => {
            let done = work::trigger(call, ctx, scope).await?;
            if let Some(cancelled) = ctx.cancellation() {
                return Err(Stop::Fail(cancelled));
            }
            let variable = variable_of(&call.name);
            if !ALWAYS.contains(&variable.as_str()) {
                scope.note(&variable, &done);
            }
            results.add(call.name.value.clone(), &done.value);
            let on = if done.failure.is_some() { failed.as_ref() } else { then.as_ref() };
            on.map(|name| name.value.as_str())
        }
    })
}

impl Unit {
    /// Where an outcome leads that has no route of its own. What has been triggered goes on whatever came of it; what else has
    /// not succeeded does not, unless somebody said where.
    fn otherwise(&self, ended: &Ended) -> Option<&Route> {
        let goes_on = ended.failure.is_none() || self.work.tells_its_end();
        self.then.as_ref().filter(|_| goes_on)
    }
}

fn unrouted(unit: &str, outcome: &str) -> Failure {
    Failure::business("outcome-without-route", format!("{unit:?} ended with {outcome:?}, and no route names that"))
}
