//! What each unit does.

use super::super::expression::Mapping;
use super::super::model::{Handoff, Target, Unit, Work};
use super::super::source::At;
use super::scope::{Scope, visitor};
use super::{COMPLETED, ELSE, Ended, Stop, stage};
use crate::combine::{Unordered, join_all};
use crate::context::Context;
use crate::failure::Failure;
use crate::results::{Results, Tagged};
use serde_json::{Map, Value, json};
use std::pin::Pin;
use std::time::Duration;

/// The most items of a list that are worked on.
const ITEMS: usize = 10_000;

impl Work {
    /// Whether its end, however it came, is for the flow to look at.
    pub(super) fn tells_its_end(&self) -> bool {
        matches!(self, Work::Trigger(target) if target.own.is_none())
    }
}

pub(super) async fn perform(
    unit: &Unit,
    ctx: &Context,
    scope: &mut Scope,
    results: &mut Results,
) -> Result<Ended, Stop> {
    Ok(match &unit.work {
        Work::Stage(stage) => return stage::stage(stage, ctx, scope, results).await,
        Work::Task(assignment) => {
            let result = stage::assigned(assignment, ctx, scope)?.await;
            if let Ok(done) = &result {
                results.add_task(assignment.key.value.clone(), done);
            }
            stage::done(result)
        }
        Work::Trigger(target) => trigger(target, ctx, scope).await?,
        Work::Message { text, to, from } => {
            let text = text.render(scope.variables())?;
            say(text, to.as_ref().zip(from.as_ref()), ctx).await
        }
        Work::Choice(branches) => {
            for (outcome, condition) in branches {
                if condition.holds(scope.variables())? {
                    return Ok(Ended::as_outcome(outcome, json!(outcome.value)));
                }
            }
            Ended::as_outcome(ELSE, json!(ELSE))
        }
        Work::Parallel(branches) => {
            let running = branches.iter().map(|(_, body)| sequence(body, ctx, scope.clone()));
            let ended = join_all(running.collect::<Vec<_>>()).await;
            let named = branches.iter().map(|(name, _)| name.value.clone()).zip(ended);
            gather(named, results, |values| Value::Object(values.into_iter().collect()))?
        }
        Work::Each { items, item, at_most, body } => {
            let items = match listed(&unit.name, items.value(scope.variables())?) {
                Ok(items) => items,
                Err(failure) => return Ok(Ended::failed(failure)),
            };
            let ended = each(items, item, *at_most, body, ctx, scope).await;
            let numbered = ended.into_iter().enumerate().map(|(number, ended)| (number.to_string(), ended));
            gather(numbered, results, |values| values.into_iter().map(|(_, value)| value).collect())?
        }
        Work::Wait(length) => finished(ctx.sleep(*length).await.map(|()| Value::Null)),
        Work::Ask { text, within } => ask(&text.render(scope.variables())?, *within, ctx).await,
        Work::Signal { name, within: None } => finished(ctx.signal::<Value>(name).await),
        Work::Signal { name, within: Some(limit) } => in_time(ctx.signal::<Value>(name).within(*limit).await),
        Work::Approval(question) => stage::ask(question, ctx, scope).await?,
        Work::Handoff(handoff) => hand_off(handoff, ctx, scope).await?,
        Work::Set(variables) => set(variables, scope)?,
        Work::End(value) => return Err(Stop::End(value.value(scope.variables())?)),
        Work::Fail { code, message } => {
            let message = message.as_ref().map(|text| text.render(scope.variables())).transpose()?;
            return Err(Stop::Fail(Failure::business(code.value.clone(), message)));
        }
    })
}

fn finished(result: Result<Value, Failure>) -> Ended {
    result.map_or_else(Ended::failed, Ended::with)
}

fn in_time(result: Result<Option<Value>, Failure>) -> Ended {
    match result {
        Ok(Some(value)) => Ended::with(value),
        Ok(None) => Ended::as_outcome("late", Value::Null),
        Err(failure) => Ended::failed(failure),
    }
}

/// Asks in the conversation. What is said there next is the answer.
async fn ask(question: &str, within: Option<Duration>, ctx: &Context) -> Ended {
    match (ctx.ask::<Value>(question), within) {
        (Ok(answer), None) => finished(answer.await),
        (Ok(answer), Some(limit)) => in_time(answer.within(limit).await),
        (Err(failure), _) => Ended::failed(failure),
    }
}

/// The items of a list.
fn listed(unit: &str, value: Value) -> Result<Vec<Value>, Failure> {
    let what = match value {
        Value::Array(items) if items.len() <= ITEMS => return Ok(items),
        Value::Array(items) => format!("{} items, and {ITEMS} at most", items.len()),
        other => format!("no list but {other:.80}"),
    };
    Err(Failure::business("no-items", format!("{unit:?} was to go through {what}")))
}

/// Says something in the conversation, or writes it to a person, whom an agent answers.
async fn say(text: String, to: Option<(&At<String>, &At<String>)>, ctx: &Context) -> Ended {
    let Some((person, agent)) = to else { return finished(ctx.say(&text).map(|()| Value::Null)) };
    let told = ctx.tell(person, agent, text).await;
    finished(told.map(|conversation| json!({ "conversation": conversation.to_string() })))
}

fn set(variables: &[(At<String>, At<Mapping>)], scope: &mut Scope) -> Result<Ended, Stop> {
    let mut all = Map::new();
    for (name, value) in variables {
        let value = value.value(scope.variables())?;
        scope.set(name, value.clone());
        all.insert(name.value.clone(), value);
    }
    Ok(Ended::with(Value::Object(all)))
}

/// Triggers a workflow or an agent, and waits for it if that is said.
pub(super) async fn trigger(target: &Target, ctx: &Context, scope: &Scope) -> Result<Ended, Stop> {
    let input = target.input.as_ref().map_or_else(|| Ok(json!({})), |input| input.value(scope.variables()))?;
    let message = target.message.as_ref().map(|text| text.render(scope.variables())).transpose()?;
    let mut metadata = Vec::new();
    for (name, value) in &target.metadata {
        metadata.push((name.value.clone(), value.value(scope.variables())?));
    }
    if !target.wait {
        let mut spawned = ctx.spawn_json(&target.name, target.job.as_deref(), &input);
        for (name, value) in metadata {
            spawned = spawned.metadata(name, &value);
        }
        if let Some(message) = message {
            spawned = spawned.message(message);
        }
        return Ok(match spawned.await {
            Ok(run) => Ended::with(json!({ "run": run.to_string() })),
            Err(failure) => Ended::failed(failure),
        });
    }
    let mut call = match &target.own {
        Some(_) => ctx.part_json(&target.name, scope.version, &input),
        None => ctx.job_json(&target.name, target.job.as_deref(), &input),
    };
    for (name, value) in metadata {
        call = call.metadata(name, &value);
    }
    if let Some(message) = message {
        call = call.message(message);
    }
    if let Some(limit) = target.timeout {
        call = call.timeout(limit);
    }
    if target.shares_history {
        call = call.sharing_history();
    }
    if target.shares_visitor {
        for (name, value) in visitor(ctx)? {
            call = call.visitor(name, &value);
        }
    }
    if target.inline {
        call = call.inline();
    }
    let ended = finished(call.await.map(Tagged::untag));
    // The time of a step of the flow itself is the flow's.
    let is_late = target.own.is_some() && ended.failure.as_ref().is_some_and(|failure| failure.code() == "timeout");
    Ok(if is_late { ended.timed_out() } else { ended })
}

/// Things that are done one after the other, in a scope of their own.
type Sequence<'a> = Pin<Box<dyn Future<Output = Result<(Ended, Results), Stop>> + 'a>>;

fn sequence<'a>(body: &'a [Unit], ctx: &'a Context, scope: Scope) -> Sequence<'a> {
    Box::pin(async move {
        let mut scope = scope;
        let mut results = Results::default();
        let mut last = Ended::with(Value::Null);
        for unit in body {
            last = perform(unit, ctx, &mut scope, &mut results).await?;
            if ctx.is_cancelled() || (last.failure.is_some() && !unit.work.tells_its_end()) {
                break;
            }
            scope.note(&unit.name, &last);
        }
        Ok((last, results))
    })
}

/// The same for each item, so many at a time; in the order of the items. Once the run is cancelled, none begins.
async fn each(
    items: Vec<Value>,
    item: &str,
    at_most: usize,
    body: &[Unit],
    ctx: &Context,
    scope: &Scope,
) -> Vec<Result<(Ended, Results), Stop>> {
    let mut ended: Vec<Option<Result<(Ended, Results), Stop>>> = items.iter().map(|_| None).collect();
    let mut waiting = items.into_iter().enumerate();
    let mut running = Unordered::new();
    loop {
        while running.len() < at_most
            && !ctx.is_cancelled()
            && let Some((number, value)) = waiting.next()
        {
            let mut inner = scope.clone();
            inner.set(item, value);
            inner.set("number", json!(number));
            let work = sequence(body, ctx, inner);
            running.push(async move { (number, work.await) });
        }
        let Some((number, result)) = running.next().await else { break };
        ended[number] = Some(result);
    }
    ended.into_iter().flatten().collect()
}

/// What several came to, or the first failure among them.
fn gather(
    ended: impl Iterator<Item = (String, Result<(Ended, Results), Stop>)>,
    results: &mut Results,
    of: impl FnOnce(Vec<(String, Value)>) -> Value,
) -> Result<Ended, Stop> {
    let mut values = Vec::new();
    let mut failed = None;
    for (name, ended) in ended {
        let (ended, shared) = ended?;
        results.append(shared);
        if let Some(failure) = ended.failure {
            failed.get_or_insert(failure);
        }
        values.push((name, ended.value));
    }
    let value = of(values);
    Ok(match failed {
        Some(failure) => Ended { value, ..Ended::failed(failure) },
        None => Ended::with(value),
    })
}

/// A person takes over. Where nothing is said for their return, the flow ends with that.
async fn hand_off(handoff: &Handoff, ctx: &Context, scope: &Scope) -> Result<Ended, Stop> {
    let Handoff { message, contact: [email, phone, url], show_contact, ending } = handoff;
    let mut asked = ctx.hand_off(message.render(scope.variables())?).show_contact(*show_contact);
    asked = email.iter().fold(asked, |asked, it| asked.email(it.clone()));
    asked = phone.iter().fold(asked, |asked, it| asked.phone(it.clone()));
    asked = url.iter().fold(asked, |asked, it| asked.url(it.clone()));
    let Some(ending) = ending else { return Err(Stop::Fail(asked.for_good())) };
    let ending = ending.render(scope.variables())?;
    Ok(match asked.ending(ending).await {
        Ok(back) => Ended::as_outcome(COMPLETED, json!({ "by": back.by, "note": back.note })),
        Err(failure) => Ended::failed(failure),
    })
}
