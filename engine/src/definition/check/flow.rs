//! Where outcomes lead.

use super::super::diagnostic::{Code, Diagnostics};
use super::super::interpret::{COMPLETED, ELSE, GUARDS};
use super::super::model::{Question, Route, Unit, Work, Workflow};
use super::super::read::nearest;
use super::super::source::At;
use super::every;
use std::collections::{BTreeMap, BTreeSet};

/// The outcomes of what has not succeeded.
const FAILURES: [&str; 5] = ["failed", "refused", "timed-out", "cancelled", "handed-off"];

pub(super) fn check(workflow: &Workflow, found: &mut Diagnostics) {
    let known: BTreeSet<&str> = workflow.units.iter().map(|unit| unit.name.value.as_str()).collect();
    let names = std::iter::once(&workflow.start).chain(workflow.units.iter().flat_map(led_to));
    for name in names.filter(|name| !known.contains(name.value.as_str())) {
        let message = format!("{:?} has no stage or node {:?}", workflow.name.value, name.value);
        let help = nearest(name, known.iter().copied().chain(["end"])).map(|near| format!("did you mean {near:?}?"));
        let help = help.unwrap_or_else(|| format!("it has {}", known.iter().copied().collect::<Vec<_>>().join(", ")));
        found.advise(Code::UnknownUnit, name.at.clone(), message, help);
    }
    let reached = reached(workflow);
    for unit in workflow.units.iter().filter(|unit| !reached.contains(unit.name.value.as_str())) {
        let message = format!("nothing leads to {:?}", unit.name.value);
        found.advise(Code::Unreachable, unit.name.at.clone(), message, "name it in a route, or take it out");
    }
    dead_ends(workflow, found);
    endless(workflow, &reached, found);
    workflow.units.iter().for_each(|unit| outcomes(unit, found));
    every(&workflow.units, &mut |unit| match &unit.work {
        Work::Stage(stage) => stage.questions().for_each(|it| expires(it, unit, found)),
        Work::Approval(question) => expires(question, unit, found),
        _ => {}
    });
}

fn routes(unit: &Unit) -> impl Iterator<Item = &Route> {
    unit.routes.iter().map(|(_, route)| route).chain(&unit.then)
}

/// The stages and nodes that a unit's routes name.
fn led_to(unit: &Unit) -> impl Iterator<Item = &At<String>> {
    routes(unit)
        .flat_map(|route| match route {
            Route::End(_) => [None, None],
            Route::Unit(name) => [Some(name), None],
            Route::Workflow { then, failed, .. } => [then.as_ref(), failed.as_ref()],
        })
        .flatten()
}

pub(super) fn reached(workflow: &Workflow) -> BTreeSet<&str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![workflow.start.value.as_str()];
    while let Some(name) = next.pop() {
        let Some(unit) = workflow.unit(name).filter(|_| reached.insert(name)) else { continue };
        next.extend(led_to(unit).map(|name| name.value.as_str()));
    }
    reached
}

/// Whether the run may end with it.
fn ends(unit: &Unit) -> bool {
    let says_nothing = unit.routes.is_empty() && unit.then.is_none();
    unit.work.is_over()
        || says_nothing
        || routes(unit).any(|route| {
            matches!(route, Route::End(_) | Route::Workflow { then: None, .. } | Route::Workflow { failed: None, .. })
        })
}

/// Only the last one of the file may say nothing of where it leads: the workflow ends there.
fn dead_ends(workflow: &Workflow, found: &mut Diagnostics) {
    let but_last = workflow.units.split_last().map_or(&[][..], |(_, others)| others);
    for unit in but_last {
        if !unit.work.is_over() && unit.routes.is_empty() && unit.then.is_none() {
            let message = format!("nothing leads on from {:?}", unit.name.value);
            found.advise(Code::DeadEnd, unit.name.at.clone(), message, "say then: NAME, or then: end");
        }
    }
}

/// From everywhere that is reached the end must be.
fn endless(workflow: &Workflow, reached: &BTreeSet<&str>, found: &mut Diagnostics) {
    let mut leaves: BTreeSet<&str> =
        workflow.units.iter().filter(|unit| ends(unit)).map(|unit| unit.name.value.as_str()).collect();
    loop {
        let more: Vec<&str> = workflow
            .units
            .iter()
            .filter(|unit| !leaves.contains(unit.name.value.as_str()))
            .filter(|unit| led_to(unit).any(|name| leaves.contains(name.value.as_str())))
            .map(|unit| unit.name.value.as_str())
            .collect();
        if more.is_empty() {
            break;
        }
        leaves.extend(more);
    }
    let known = |unit: &&Unit| led_to(unit).all(|name| workflow.unit(name).is_some());
    let stuck = workflow.units.iter().filter(|unit| reached.contains(unit.name.value.as_str()));
    let stuck: Vec<&Unit> = stuck.filter(|unit| !leaves.contains(unit.name.value.as_str())).filter(known).collect();
    if let Some(first) = stuck.first() {
        let names = stuck.iter().map(|unit| unit.name.value.as_str()).collect::<Vec<_>>().join(", ");
        let message = format!("from {:?} no way leads to the end: it goes round in {names}", first.name.value);
        found.advise(Code::EndlessLoop, first.name.at.clone(), message, "add a route to end to one of them");
    }
}

/// What a unit can end with: what it names itself, and whether it may be something else.
fn possible(unit: &Unit) -> (BTreeMap<&str, &At<String>>, bool) {
    let mut named: BTreeMap<&str, &At<String>> = BTreeMap::new();
    let mut open = false;
    match &unit.work {
        Work::Stage(stage) => {
            let before = stage.entry.iter().flat_map(|it| it.answers.iter().chain(&it.late));
            let before = before.filter(|answer| !begins(unit, answer));
            let after = stage.exit.iter().flat_map(|it| it.answers.iter().chain(&it.late));
            named.extend(before.chain(after).map(|it| (it.value.as_str(), it)));
            open = stage.exit.is_none();
        }
        Work::Approval(question) => {
            named.extend(question.answers.iter().chain(&question.late).map(|it| (it.value.as_str(), it)));
        }
        Work::Choice(branches) => named.extend(branches.iter().map(|(it, _)| (it.value.as_str(), it))),
        _ => {}
    }
    (named, open)
}

/// Whether that answer to what is asked before lets a stage begin: the first does.
fn begins(unit: &Unit, answer: &str) -> bool {
    let Work::Stage(stage) = &unit.work else { return false };
    let first = stage.entry.as_ref().and_then(|question| question.answers.first());
    first.is_some_and(|first| first.value == answer)
}

fn outcomes(unit: &Unit, found: &mut Diagnostics) {
    let (named, open) = possible(unit);
    let routed = |outcome: &str| unit.then.is_some() || unit.routes.iter().any(|(name, _)| name.value == outcome);
    let leads = unit.then.is_some() || !unit.routes.is_empty();
    for (outcome, at) in named.iter().filter(|(outcome, _)| leads && !routed(outcome)) {
        let message = format!("{:?} can end with {outcome:?}, and no route names that", unit.name.value);
        let help = format!("add it to route: {{ {outcome}: NAME }}, or say then: NAME for the rest");
        found.advise(Code::OutcomeWithoutRoute, at.at.clone(), message, help);
    }
    if matches!(unit.work, Work::Choice(_)) && !routed(ELSE) {
        let message = format!("if nothing holds in {:?} the run fails", unit.name.value);
        found.advise(
            Code::ChoiceWithoutElse,
            unit.name.at.clone(),
            message,
            "add route: { else: NAME }, or then: NAME",
        );
    }
    let simple = match &unit.work {
        Work::Choice(_) => vec![ELSE],
        Work::Approval(_) | Work::Stage(_) => Vec::new(),
        Work::Signal { .. } | Work::Ask { .. } => vec![COMPLETED, "late"],
        _ => vec![COMPLETED],
    };
    for (route, _) in &unit.routes {
        let name = route.value.as_str();
        let computed = matches!(&unit.work, Work::Stage(stage) if stage.outcome.is_some());
        if begins(unit, name) && !named.contains_key(name) && !computed {
            let message = format!("{name:?} lets the work of {:?} begin, and is not its outcome", unit.name.value);
            let help = "the first answer to what is asked before begins; put another one first, or take the route out";
            found.advise(Code::RouteWithoutOutcome, route.at.clone(), message, help);
            continue;
        }
        let can = open || named.contains_key(name) || simple.contains(&name);
        if !can && !FAILURES.contains(&name) && !GUARDS.contains(&name) {
            let message = format!("{:?} never ends with {name:?}", unit.name.value);
            let all = named.keys().copied().chain(simple.iter().copied());
            let near = nearest(name, all.clone()).map(|near| format!("did you mean {near:?}?"));
            let help =
                near.unwrap_or_else(|| format!("it ends with {}", all.chain(FAILURES).collect::<Vec<_>>().join(", ")));
            found.advise(Code::RouteWithoutOutcome, route.at.clone(), message, help);
        }
    }
}

fn expires(question: &Question, unit: &Unit, found: &mut Diagnostics) {
    let routed = unit.routes.iter().any(|(name, _)| name.value == "timed-out");
    if question.within.is_some() && question.late.is_none() && !routed {
        let message = format!("the question of {:?} can expire, and nothing says what then", unit.name.value);
        let help = "say which answer counts then: late: ANSWER; or add route: { timed-out: NAME }";
        found.advise(Code::LateWithoutRoute, question.text.at.clone(), message, help);
    }
}
