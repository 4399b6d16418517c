//! What is read and what is given: variables, inputs, metadata.

use super::super::diagnostic::{Code, Diagnostics};
use super::super::interpret::{ALWAYS, variable_of};
use super::super::model::{Assignment, Field, Project, Question, Route, Stage, Target, Unit, Work, Workflow};
use super::super::read::nearest;
use super::super::source::{At, Place};
use super::flow::reached;
use super::targets;
use std::collections::{BTreeMap, BTreeSet};

/// What is set when something is done: surely, and perhaps.
#[derive(Clone, Default, PartialEq)]
struct Known {
    surely: BTreeSet<String>,
    perhaps: BTreeSet<String>,
}

impl Known {
    fn with(mut self, names: impl IntoIterator<Item = String>) -> Known {
        for name in names {
            self.perhaps.insert(name.clone());
            self.surely.insert(name);
        }
        self
    }

    /// What is known where two ways meet.
    fn meet(&self, other: &Known) -> Known {
        Known {
            surely: self.surely.intersection(&other.surely).cloned().collect(),
            perhaps: self.perhaps.union(&other.perhaps).cloned().collect(),
        }
    }
}

pub(super) fn check(project: &Project, workflow: &Workflow, found: &mut Diagnostics) {
    for target in targets(workflow) {
        given(project, workflow, target, found);
    }
    let before = flow(workflow);
    let reached = reached(workflow);
    let mut checked = Checked { workflow, found };
    for unit in workflow.units.iter().filter(|unit| reached.contains(unit.name.value.as_str())) {
        if let Some(known) = before.get(unit.name.value.as_str()) {
            checked.unit(unit, known);
            let after = known.clone().with(sets(unit));
            for route in unit.routes.iter().map(|(_, route)| route).chain(&unit.then) {
                if let Route::Workflow { call, .. } = route {
                    checked.target(call, &after);
                }
            }
        }
    }
    if let Some(output) = &workflow.output {
        let all = workflow.units.iter().flat_map(|unit| sets(unit).into_iter().chain(routed(unit)));
        // How the run came to its end is not looked at: what is read has to be set by then on some way.
        let known = always().with(all);
        checked.reads(output.reads(), &output.at, &known);
    }
}

fn always() -> Known {
    Known::default().with(ALWAYS.map(str::to_owned))
}

/// The variables that a unit sets.
fn sets(unit: &Unit) -> Vec<String> {
    let mut names = vec![unit.name.value.clone()];
    match &unit.work {
        Work::Set(variables) => names.extend(variables.iter().map(|(name, _)| name.value.clone())),
        Work::Stage(stage) if stage.entry.is_some() => names.push("entry".to_owned()),
        _ => {}
    }
    names
}

/// The variables that have what came of the workflows which a unit's routes trigger.
fn routed(unit: &Unit) -> Vec<String> {
    let routes = unit.routes.iter().map(|(_, route)| route).chain(&unit.then);
    let called = routes.filter_map(|route| match route {
        Route::Workflow { call, .. } => Some(variable_of(&call.name)),
        Route::End(_) | Route::Unit(_) => None,
    });
    called.collect()
}

/// What is known before each unit, over all ways that lead there.
fn flow(workflow: &Workflow) -> BTreeMap<&str, Known> {
    let mut before: BTreeMap<&str, Known> = BTreeMap::new();
    let mut next = vec![(workflow.start.value.as_str(), always())];
    while let Some((name, known)) = next.pop() {
        let Some(unit) = workflow.unit(name) else { continue };
        let met = before.get(name).map_or_else(|| known.clone(), |there| there.meet(&known));
        if before.get(name) == Some(&met) {
            continue;
        }
        before.insert(name, met.clone());
        let after = met.with(sets(unit));
        for route in unit.routes.iter().map(|(_, route)| route).chain(&unit.then) {
            match route {
                Route::End(_) => {}
                Route::Unit(name) => next.push((name, after.clone())),
                Route::Workflow { call, then, failed } => {
                    let after = after.clone().with([variable_of(&call.name)]);
                    next.extend(then.iter().chain(failed).map(|name| (name.value.as_str(), after.clone())));
                }
            }
        }
    }
    before
}

struct Checked<'a> {
    workflow: &'a Workflow,
    found: &'a mut Diagnostics,
}

impl Checked<'_> {
    fn unit(&mut self, unit: &Unit, known: &Known) {
        match &unit.work {
            Work::Stage(stage) => {
                let Stage { assign, entry, exit, outcome } = &**stage;
                entry.iter().for_each(|it| self.question(it, known));
                let known = known.clone().with(entry.iter().map(|_| "entry".to_owned()));
                assign.iter().for_each(|it| self.assignment(it, &known));
                let known = known.with(["stage".to_owned()]);
                exit.iter().for_each(|it| self.question(it, &known));
                outcome.iter().for_each(|it| self.reads(it.reads(), &it.at, &known));
            }
            Work::Task(assignment) => self.assignment(assignment, known),
            Work::Trigger(target) => self.target(target, known),
            Work::Message { text, .. } | Work::Ask { text, .. } => self.reads(text.reads(), &text.at, known),
            Work::Choice(branches) => branches.iter().for_each(|(_, it)| self.reads(it.reads(), &it.at, known)),
            Work::Parallel(branches) => branches.iter().for_each(|(_, body)| self.body(body, known)),
            Work::Each { items, item, body, .. } => {
                self.reads(items.reads(), &items.at, known);
                self.body(body, &known.clone().with([item.value.clone(), "number".to_owned()]));
            }
            Work::Wait(_) | Work::Signal { .. } => {}
            Work::Approval(question) => self.question(question, known),
            Work::Handoff(handoff) => {
                let texts = [Some(&handoff.message), handoff.ending.as_ref()];
                texts.into_iter().flatten().for_each(|it| self.reads(it.reads(), &it.at, known));
            }
            Work::Set(variables) => {
                let mut known = known.clone();
                for (name, value) in variables {
                    self.reads(value.reads(), &value.at, &known);
                    known = known.with([name.value.clone()]);
                }
            }
            Work::End(value) => self.reads(value.reads(), &value.at, known),
            Work::Fail { message, .. } => message.iter().for_each(|it| self.reads(it.reads(), &it.at, known)),
        }
    }

    fn body(&mut self, body: &[Unit], known: &Known) {
        let mut known = known.clone();
        for unit in body {
            self.unit(unit, &known);
            known = known.with(sets(unit));
        }
    }

    fn question(&mut self, question: &Question, known: &Known) {
        self.reads(question.text.reads(), &question.text.at, known);
    }

    fn assignment(&mut self, assignment: &Assignment, known: &Known) {
        let Assignment { task, agent, .. } = assignment;
        self.reads(task.reads(), &task.at, known);
        if task.reads().iter().any(|path| path.first().is_some_and(|root| root == "metadata")) {
            let message = format!("{:?} is told metadata, which is to go past every agent", agent.value);
            let help = "leave it out: it goes with everything below by itself, and what the agent triggers has it if it declares it";
            self.found.advise(Code::MetadataTold, task.at.clone(), message, help);
        }
        assignment.metadata.iter().for_each(|(_, it)| self.reads(it.reads(), &it.at, known));
    }

    fn target(&mut self, target: &Target, known: &Known) {
        target.input.iter().for_each(|it| self.reads(it.reads(), &it.at, known));
        target.metadata.iter().for_each(|(_, it)| self.reads(it.reads(), &it.at, known));
        target.message.iter().for_each(|it| self.reads(it.reads(), &it.at, known));
    }

    fn reads(&mut self, paths: BTreeSet<Vec<String>>, at: &Place, known: &Known) {
        for path in paths {
            let Some((root, rest)) = path.split_first() else { continue };
            if !known.perhaps.contains(root) {
                let message = format!("nothing sets {root:?} before this is read");
                let near = nearest(root, known.perhaps.iter().map(String::as_str));
                let help = match near {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("there is {}", known.perhaps.iter().cloned().collect::<Vec<_>>().join(", ")),
                };
                self.found.advise(Code::UnknownVariable, at.clone(), message, help);
            } else if !known.surely.contains(root) {
                let message = format!("{root:?} is not set on every way that leads here");
                self.found.add(Code::PerhapsUnset, at.clone(), message);
            } else if let Some(first) = rest.first() {
                self.part(root, first, at);
            }
        }
    }

    /// A part of a variable of which it is known what it has.
    fn part(&mut self, root: &str, first: &str, at: &Place) {
        let workflow = self.workflow;
        let names: Vec<&str> = match root {
            "input" if !workflow.input.is_empty() => workflow.input.iter().map(|it| it.name.value.as_str()).collect(),
            "metadata" => workflow.metadata.iter().map(|it| it.value.as_str()).collect(),
            "run" => vec!["id", "depth"],
            _ => return,
        };
        if !names.contains(&first) {
            let message = format!("{root:?} has no {first:?}");
            let help = match nearest(first, names.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None if names.is_empty() => {
                    format!("workflow {:?} declares none: {root}: [{first}]", workflow.name.value)
                }
                None => format!("declare it: {root} of workflow {:?} has {}", workflow.name.value, names.join(", ")),
            };
            self.found.advise(Code::UnknownVariable, at.clone(), message, help);
        }
    }
}

/// What a target declares, against what it is given.
fn given(project: &Project, workflow: &Workflow, target: &Target, found: &mut Diagnostics) {
    let Some(of) = project.workflow(&target.name) else { return };
    for name in &of.metadata {
        let inherited = workflow.metadata.iter().any(|it| it.value == name.value);
        if !inherited && !target.metadata.iter().any(|(it, _)| it.value == name.value) {
            let message = format!("{:?} needs the metadata {:?}, which is not given here", of.name.value, name.value);
            let help = "give it, or declare it here too, so that it comes from whoever triggers this";
            found.advise(Code::MissingMetadata, target.name.at.clone(), message, help);
        }
    }
    if of.input.is_empty() {
        return;
    }
    let (at, fields) = match &target.input {
        None => (&target.name.at, Some(Vec::new())),
        Some(input) => (&input.at, input.fields()),
    };
    let Some(fields) = fields else { return };
    for field in of.input.iter().filter(|field| field.required) {
        if !fields.iter().any(|(name, _)| *name == field.name.value) {
            let message = format!("{:?} needs the input {:?}", of.name.value, field.name.value);
            found.add(Code::MissingInput, at.clone(), message);
        }
    }
    for (name, kind) in fields {
        match of.input.iter().find(|field| field.name.value == name) {
            None => {
                let message = format!("{:?} declares no input {name:?}", of.name.value);
                let names = || of.input.iter().map(|field| field.name.value.as_str());
                let help = nearest(name, names()).map(|near| format!("did you mean {near:?}?"));
                let help = help.unwrap_or_else(|| format!("it has {}", names().collect::<Vec<_>>().join(", ")));
                found.advise(Code::UndeclaredInput, at.clone(), message, help);
            }
            Some(field) => fits(field, kind, &of.name, at, found),
        }
    }
}

fn fits(field: &Field, kind: Option<&str>, of: &At<String>, at: &Place, found: &mut Diagnostics) {
    let declared = field.schema.get("type").and_then(serde_json::Value::as_str);
    let (Some(kind), Some(declared)) = (kind, declared) else { return };
    let same = kind == declared || (kind == "number" && declared == "integer");
    if !same {
        let message = format!(
            "{:?} of {:?} is of type {declared}, and is given a value of type {kind}",
            field.name.value, of.value
        );
        found.advise(
            Code::TypeMismatch,
            at.clone(),
            message,
            "a text that begins with = is an expression, of any type",
        );
    }
}
