//! What can be seen to be wrong before anything runs.

mod chain;
mod data;
mod flow;
mod names;

use super::diagnostic::{Code, Diagnostics};
use super::model::{Project, Route, Target, Unit, Work, Workflow};
use super::source::Place;

pub(super) fn check(project: &Project, found: &mut Diagnostics) {
    names::check(project, found);
    for workflow in &project.workflows {
        names::check_workflow(project, workflow, found);
        flow::check(workflow, found);
        data::check(project, workflow, found);
    }
    chain::check(project, found);
    if project.workflows.is_empty() && project.agents.is_empty() && !found.has_errors() {
        let help = "a workflow is a file with workflow: NAME, in the folder workflows";
        found.advise(Code::NoFile, Place::default(), "there is no workflow here", help);
    }
}

/// Every unit, those that stand in others too.
fn every<'a>(units: &'a [Unit], each: &mut dyn FnMut(&'a Unit)) {
    for unit in units {
        each(unit);
        match &unit.work {
            Work::Parallel(branches) => branches.iter().for_each(|(_, body)| every(body, each)),
            Work::Each { body, .. } => every(body, each),
            _ => {}
        }
    }
}

/// Everything that a workflow triggers, as far as it says so itself.
pub(super) fn targets(workflow: &Workflow) -> Vec<&Target> {
    let mut targets = Vec::new();
    every(&workflow.units, &mut |unit| {
        if let Work::Trigger(target) = &unit.work {
            targets.push(&**target);
        }
        for route in unit.routes.iter().map(|(_, route)| route).chain(&unit.then) {
            if let Route::Workflow { call, .. } = route {
                targets.push(call);
            }
        }
    });
    targets
}
