//! Stages: questions before and after, and agents that work side by side.

use super::super::model::{Assignment, Question, Stage};
use super::scope::Scope;
use super::{COMPLETED, Ended, Stop};
use crate::combine::join_all;
use crate::context::{Assign, Context};
use crate::failure::Failure;
use crate::report::TaskResult;
use crate::results::{Results, Tagged};
use serde_json::{Map, Value, json};
use std::future::IntoFuture;

pub(super) async fn stage(
    stage: &Stage,
    ctx: &Context,
    scope: &mut Scope,
    results: &mut Results,
) -> Result<Ended, Stop> {
    if let Some(question) = &stage.entry {
        let answered = ask(question, ctx, scope).await?;
        scope.set("entry", answered.value.clone());
        // Whoever is asked before lets the work begin with the first answer; any other is the stage's outcome.
        let begins = question.answers.first().is_some_and(|first| first.value == answered.outcome);
        if !begins || answered.failure.is_some() {
            return Ok(answered);
        }
    }
    let done = match work(&stage.assign, ctx, scope, results).await? {
        Ok(done) => done,
        Err(failure) => return Ok(Ended::failed(failure)),
    };
    let label = done.get("outcome").and_then(Value::as_str).unwrap_or(COMPLETED).to_owned();
    let done = Value::Object(done);
    let Some(question) = &stage.exit else {
        let Some(outcome) = &stage.outcome else { return Ok(Ended::as_outcome(&label, done)) };
        let mut inner = scope.clone();
        inner.set("stage", done.clone());
        let label = outcome.value(inner.variables())?;
        let label = label.as_str().map_or_else(|| label.to_string(), str::to_owned);
        return Ok(Ended::as_outcome(&label, done));
    };
    let mut inner = scope.clone();
    inner.set("stage", done.clone());
    let mut answered = ask(question, ctx, &inner).await?;
    // What the agents made is the stage's value; who answered, and what they said about it, stands in its status.
    if let Value::Object(said) = std::mem::replace(&mut answered.value, done) {
        for (name, value) in said {
            answered.status[name.as_str()] = value;
        }
    }
    Ok(answered)
}

/// Everything that is assigned, all at once; what came of it, or the first failure in the order of the assignments.
async fn work(
    assign: &[Assignment],
    ctx: &Context,
    scope: &Scope,
    results: &mut Results,
) -> Result<Result<Map<String, Value>, Failure>, Stop> {
    let mut asked = Vec::new();
    for assignment in assign {
        asked.push(assigned(assignment, ctx, scope)?.into_future());
    }
    let mut merged = Results::default();
    let mut by_key = Map::new();
    let mut failed = None;
    for (assignment, done) in assign.iter().zip(join_all(asked).await) {
        match done {
            Ok(done) => {
                merged.add_task(assignment.key.value.clone(), &done);
                results.add_task(assignment.key.value.clone(), &done);
                by_key.insert(assignment.key.value.clone(), done.output);
            }
            Err(failure) => drop(failed.get_or_insert(failure)),
        }
    }
    if let Some(failure) = failed {
        return Ok(Err(failure));
    }
    // Fields of the agents' results stand beside what each of them gave as a whole.
    let mut all = match merged.finish() {
        Tagged::Structured { value: Value::Object(fields), conflicts } => {
            by_key.insert("conflicts".to_owned(), serde_json::to_value(conflicts).map_err(Failure::from)?);
            fields
        }
        Tagged::Text { text } => Map::from_iter([("text".to_owned(), Value::String(text))]),
        Tagged::Structured { .. } | Tagged::None { .. } => Map::new(),
    };
    all.insert("by".to_owned(), Value::Object(by_key));
    Ok(Ok(all))
}

/// One assignment, not yet asked.
pub(super) fn assigned(assignment: &Assignment, ctx: &Context, scope: &Scope) -> Result<Assign, Stop> {
    let text = assignment.task.render(scope.variables())?;
    let mut task = ctx.task(assignment.agent.value.clone(), text).repairs(assignment.repairs);
    if !assignment.output.is_empty() {
        task = task.output(super::super::install::schema(&assignment.output));
    }
    for (name, value) in &assignment.metadata {
        task = task.metadata(name.value.clone(), &value.value(scope.variables())?);
    }
    if let Some(limit) = assignment.timeout {
        task = task.timeout(limit);
    }
    if !assignment.may_trigger {
        task = task.triggers_nothing();
    }
    Ok(task)
}

/// What a task gave, and what is known of it.
pub(super) fn done(result: Result<TaskResult, Failure>) -> Ended {
    match result {
        Ok(done) => {
            let status = json!({
                "status": COMPLETED,
                "outcome": COMPLETED,
                "conversation": done.conversation.to_string(),
                "run": done.run.to_string(),
                "artefacts": done.artefacts,
                "usage": done.usage,
            });
            Ended { outcome: COMPLETED.to_owned(), value: done.output, status, failure: None }
        }
        Err(failure) => Ended::failed(failure),
    }
}

/// Puts a question; the answer is the outcome, and so is what is said of one that nobody answered in time.
pub(super) async fn ask(question: &Question, ctx: &Context, scope: &Scope) -> Result<Ended, Stop> {
    let text = question.text.render(scope.variables())?;
    let answers = question.answers.iter().map(|answer| answer.value.clone());
    let mut approval = ctx.approval(text).answers(answers).persons(question.persons.iter().map(|it| it.value.clone()));
    if let Some(limit) = question.within {
        approval = approval.within(limit);
    }
    if let Some(channel) = &question.via {
        approval = approval.through(channel.value.clone());
    }
    Ok(match (approval.await, &question.late) {
        (Ok(decision), _) => {
            let value = json!({ "answer": decision.answer, "by": decision.by, "comment": decision.comment });
            Ended::as_outcome(&decision.answer, value)
        }
        (Err(failure), Some(late)) if failure.code() == crate::context::EXPIRED => {
            Ended::as_outcome(late, json!({ "answer": late.value, "by": null, "comment": null }))
        }
        (Err(failure), _) => Ended::failed(failure),
    })
}
