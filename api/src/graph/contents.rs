//! What is drawn of a definition.

use super::{Arrow, Item, Picture, Shape, plain, short};
use rejoin::definition::At;
use rejoin::definition::model::{Assignment, Question, Route, Stage, Target, Unit, Work, Workflow};
use std::collections::BTreeMap;
use std::time::Duration;

/// What stands before whom it is waited for.
const HAND: &str = "✋";

impl Picture {
    /// What is drawn of a workflow.
    pub(crate) fn of(workflow: &Workflow) -> Picture {
        let start = Item { shape: Shape::Terminal, lines: vec!["start".to_owned()], hint: String::new() };
        let mut drawing = Drawing { boxes: vec![start], arrows: Vec::new(), places: BTreeMap::new() };
        for unit in &workflow.units {
            drawing.places.insert(&unit.name.value, drawing.boxes.len());
            drawing.boxes.push(item(unit));
        }
        drawing.arrow_to(0, Some(&workflow.start), None, false);
        for unit in &workflow.units {
            drawing.unit(unit);
        }
        drawing.finish(workflow)
    }
}

struct Drawing<'a> {
    boxes: Vec<Item>,
    /// From where to where; to nowhere is to the end.
    arrows: Vec<(usize, Option<usize>, Option<String>, bool)>,
    places: BTreeMap<&'a str, usize>,
}

impl<'a> Drawing<'a> {
    fn unit(&mut self, unit: &'a Unit) {
        let from = self.places[unit.name.value.as_str()];
        match &unit.work {
            Work::Fail { .. } => return,
            Work::End(_) => return self.arrow(from, None, None, false),
            Work::Handoff(handoff) if handoff.ending.is_none() => return self.arrow(from, None, None, false),
            _ if unit.routes.is_empty() && unit.then.is_none() => return self.arrow(from, None, None, false),
            _ => {}
        }
        let routes = unit.routes.iter().map(|(outcome, route)| (Some(outcome), route));
        for (outcome, route) in routes.chain(unit.then.iter().map(|route| (None, route))) {
            self.route(from, outcome.map(|outcome| short(outcome)), route);
        }
    }

    fn route(&mut self, from: usize, outcome: Option<String>, route: &'a Route) {
        match route {
            Route::End(_) => self.arrow(from, None, outcome, false),
            Route::Unit(name) => self.arrow_to(from, Some(name), outcome, false),
            Route::Workflow { call, then, failed } => {
                let through = self.boxes.len();
                self.boxes.push(Item { shape: Shape::Workflow, lines: vec![short(&call.name)], hint: told(call) });
                self.arrow(from, Some(through), outcome, false);
                self.arrow_to(through, then.as_ref(), None, false);
                if failed != then {
                    self.arrow_to(through, failed.as_ref(), Some("failed".to_owned()), true);
                }
            }
        }
    }

    /// An arrow to a unit, or to the end. What does not exist is left out; the checks name it.
    fn arrow_to(&mut self, from: usize, to: Option<&'a At<String>>, label: Option<String>, dashed: bool) {
        match to.map(|name| self.places.get(name.value.as_str()).copied()) {
            None => self.arrow(from, None, label, dashed),
            Some(Some(place)) => self.arrow(from, Some(place), label, dashed),
            Some(None) => {}
        }
    }

    /// An arrow; several outcomes that lead to the same share one.
    fn arrow(&mut self, from: usize, to: Option<usize>, label: Option<String>, dashed: bool) {
        let same = |it: &&mut (usize, Option<usize>, Option<String>, bool)| (it.0, it.1, it.3) == (from, to, dashed);
        let Some(label) = label else { return self.arrows.push((from, to, None, dashed)) };
        match self.arrows.iter_mut().filter(same).find_map(|it| it.2.as_mut()) {
            Some(there) => *there = short(&format!("{there}, {label}")),
            None => self.arrows.push((from, to, Some(label), dashed)),
        }
    }

    fn finish(mut self, workflow: &Workflow) -> Picture {
        let ends = self.arrows.iter().any(|arrow| arrow.1.is_none());
        let end = ends.then_some(self.boxes.len());
        if ends {
            self.boxes.push(Item { shape: Shape::Terminal, lines: vec!["end".to_owned()], hint: String::new() });
        }
        let arrow = |(from, to, label, dashed): (usize, Option<usize>, _, _)| {
            to.or(end).map(|to| Arrow { from, to, label, dashed })
        };
        Picture {
            title: plain(&workflow.name),
            describe: workflow.describe.as_deref().map(plain),
            arrows: self.arrows.into_iter().filter_map(arrow).collect(),
            boxes: self.boxes,
            end,
        }
    }
}

fn item(unit: &Unit) -> Item {
    let shape = match &unit.work {
        Work::Stage(_) => Shape::Stage,
        Work::Choice(_) => Shape::Choice,
        Work::Approval(_) | Work::Handoff(_) => Shape::Person,
        Work::Fail { .. } => Shape::Failure,
        _ => Shape::Node,
    };
    let lines = std::iter::once(unit.name.value.clone()).chain(lines(&unit.work));
    Item { shape, lines: lines.map(|line| short(&line)).collect(), hint: plain(&hint(&unit.work)) }
}

/// What stands below a unit's name.
fn lines(work: &Work) -> Vec<String> {
    match work {
        Work::Stage(stage) => {
            let asked = |when: &str, question: &Option<Question>| {
                question.iter().map(|it| format!("{HAND} {when}: {}", list(&it.persons))).collect::<Vec<_>>()
            };
            let agents = stage.assign.iter().map(by).collect();
            [asked("before", &stage.entry), agents, asked("after", &stage.exit)].concat()
        }
        Work::Parallel(branches) => {
            let branch = |(name, body): &(At<String>, Vec<Unit>)| format!("{}: {}", name.value, chain(body));
            std::iter::once(brief(work)).chain(branches.iter().map(branch)).collect()
        }
        Work::Each { body, .. } => vec![brief(work), chain(body)],
        other => vec![brief(other)],
    }
}

/// What a unit is, in a few words.
fn brief(work: &Work) -> String {
    match work {
        Work::Stage(_) => "stage".to_owned(),
        Work::Trigger(target) => format!("trigger {}", target.name.value),
        Work::Task(task) => format!("task by {}", task.agent.value),
        Work::Message { to: Some(person), .. } => format!("say to {}", person.value),
        Work::Message { to: None, .. } => "say".to_owned(),
        Work::Choice(_) => "choose".to_owned(),
        Work::Parallel(_) => "parallel".to_owned(),
        Work::Each { item, items, .. } => format!("each {} of {}", item.value, items.text()),
        Work::Ask { within: Some(time), .. } => format!("ask, within {}", length(*time)),
        Work::Ask { within: None, .. } => "ask".to_owned(),
        Work::Wait(time) => format!("wait {}", length(*time)),
        Work::Signal { name, within: Some(time) } => format!("signal {} within {}", name.value, length(*time)),
        Work::Signal { name, within: None } => format!("signal {}", name.value),
        Work::Approval(question) => format!("{HAND} {}", list(&question.persons)),
        Work::Handoff(_) => format!("{HAND} handoff"),
        Work::Set(variables) => {
            format!("set {}", variables.iter().map(|(name, _)| name.value.as_str()).collect::<Vec<_>>().join(", "))
        }
        Work::End(_) => "end".to_owned(),
        Work::Fail { code, .. } => format!("fail {}", code.value),
    }
}

fn by(assignment: &Assignment) -> String {
    let (key, agent) = (&assignment.key.value, &assignment.agent.value);
    if key == agent { agent.clone() } else { format!("{key}: {agent}") }
}

fn chain(body: &[Unit]) -> String {
    body.iter().map(|unit| brief(&unit.work)).collect::<Vec<_>>().join(" → ")
}

fn list(names: &[At<String>]) -> String {
    names.iter().map(|name| name.value.as_str()).collect::<Vec<_>>().join(", ")
}

/// What is told of a unit beside its lines.
fn hint(work: &Work) -> String {
    match work {
        Work::Stage(stage) => {
            let Stage { assign, entry, exit, .. } = &**stage;
            let tasks = assign.iter().map(|it| format!("{}: {}", it.key.value, it.task.text()));
            entry.iter().map(asks).chain(tasks).chain(exit.iter().map(asks)).collect::<Vec<_>>().join(" / ")
        }
        Work::Task(task) => task.task.text().to_owned(),
        Work::Trigger(target) => told(target),
        Work::Message { text, .. } | Work::Ask { text, .. } => text.text().to_owned(),
        Work::Choice(branches) => {
            let branches = branches.iter().map(|(outcome, it)| format!("{}: {}", outcome.value, it.text()));
            branches.collect::<Vec<_>>().join(" / ")
        }
        Work::Parallel(branches) => branches
            .iter()
            .map(|(name, body)| format!("{}: {}", name.value, chain(body)))
            .collect::<Vec<_>>()
            .join(" / "),
        Work::Each { body, .. } => chain(body),
        Work::Approval(question) => asks(question),
        Work::Handoff(handoff) => handoff.message.text().to_owned(),
        Work::Fail { message, .. } => message.as_ref().map(|it| it.text().to_owned()).unwrap_or_default(),
        Work::Wait(_) | Work::Signal { .. } | Work::Set(_) | Work::End(_) => String::new(),
    }
}

fn asks(question: &Question) -> String {
    format!("{} asked: {}", list(&question.persons), question.text.text())
}

fn told(target: &Target) -> String {
    plain(target.message.as_ref().map(|it| it.text()).unwrap_or_default())
}

/// A length of time as definitions have it.
fn length(time: Duration) -> String {
    let mut left = time.as_millis();
    let mut text = String::new();
    for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if left >= millis {
            text += &format!("{}{unit}", left / millis);
            left %= millis;
        }
    }
    text
}
