//! Names that lead somewhere: agents, workflows, people, channels, departments.

use super::super::diagnostic::{Code, Diagnostics};
use super::super::model::{Agent, AgentKind, Assignment, Project, Question, Work, Workflow};
use super::super::read::nearest;
use super::super::source::At;
use super::{every, targets};

pub(super) fn check(project: &Project, found: &mut Diagnostics) {
    for agent in &project.agents {
        for grant in agent.grants.iter().map(|grant| &grant.name) {
            if project.workflow(grant).is_none() && project.agent(grant).is_none() {
                let names = callable(project);
                unknown(Code::GrantOfNothing, "a grant for", "workflow or agent", grant, names, found);
            }
        }
        if let Some(flow) = agent.flow().filter(|flow| project.workflow(flow).is_none()) {
            let names = project.workflows.iter().map(|workflow| workflow.name.value.as_str());
            unknown(Code::UnknownWorkflow, "this is answered by", "workflow", flow, names, found);
        }
        if let AgentKind::Model(model) = &agent.kind {
            model.asks.iter().for_each(|it| person(project, it, found));
        }
        for department in &agent.departments {
            if !project.departments.iter().any(|(name, _)| name.value == department.value) {
                let names = project.departments.iter().map(|(name, _)| name.value.as_str());
                unknown(Code::UnknownDepartment, "a grant for", "department", department, names, found);
            }
        }
    }
    for member in project.departments.iter().flat_map(|(_, members)| members) {
        if project.workflow(member).is_none() && project.agent(member).is_none() {
            unknown(Code::GrantOfNothing, "a member is", "workflow or agent", member, callable(project), found);
        }
    }
    if let Some(main) = project.main.as_ref().filter(|main| project.workflow(main).is_none()) {
        let names = project.workflows.iter().map(|workflow| workflow.name.value.as_str());
        unknown(Code::UnknownWorkflow, "main is", "workflow", main, names, found);
    }
    for (at, workflow) in project.workflows.iter().enumerate() {
        let taken = project.workflows[..at].iter().any(|other| other.name.value == workflow.name.value);
        if taken || project.agent(&workflow.name).is_some() {
            let message = format!("there is another workflow or agent {:?}", workflow.name.value);
            found.add(Code::DuplicateName, workflow.name.at.clone(), message);
        }
    }
}

fn callable(project: &Project) -> impl Iterator<Item = &str> {
    let workflows = project.workflows.iter().map(|workflow| workflow.name.value.as_str());
    workflows.chain(project.agents.iter().map(|agent| agent.name.value.as_str()))
}

fn unknown<'a>(
    code: Code,
    what: &str,
    sort: &str,
    name: &At<String>,
    names: impl Iterator<Item = &'a str>,
    found: &mut Diagnostics,
) {
    let names: Vec<&str> = names.collect();
    let message = format!("{what} {:?}, and the project has no {sort} of that name", name.value);
    let help = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean {near:?}?"),
        None if names.is_empty() => "it declares none; see rejoin.yaml".to_owned(),
        None => format!("it has {}", names.join(", ")),
    };
    found.advise(code, name.at.clone(), message, help);
}

/// Whether the agents that a workflow answers for are granted what it triggers.
fn check_grants(project: &Project, workflow: &Workflow, found: &mut Diagnostics) {
    for agent in project.answered_by(&workflow.name) {
        let others = targets(workflow).into_iter().filter(|target| target.own.is_none());
        let mut asked: Vec<&At<String>> = others.map(|target| &target.name).collect();
        every(&workflow.units, &mut |unit| match &unit.work {
            Work::Stage(stage) => asked.extend(stage.assign.iter().map(|it| &it.agent)),
            Work::Task(it) => asked.push(&it.agent),
            _ => {}
        });
        for name in asked.into_iter().filter(|name| !granted(project, agent, name)) {
            let message = format!(
                "{:?} answers for agent {:?}, which has no grant for this",
                workflow.name.value, agent.name.value
            );
            found.advise(Code::MissingGrant, name.at.clone(), message, format!("grants: [{}]", name.value));
        }
    }
}

pub(super) fn check_workflow(project: &Project, workflow: &Workflow, found: &mut Diagnostics) {
    check_grants(project, workflow, found);
    for target in targets(workflow).into_iter().filter(|target| target.own.is_none()) {
        match (project.workflow(&target.name), project.agent(&target.name)) {
            (None, None) => {
                let names = callable(project);
                unknown(Code::UnknownWorkflow, "this triggers", "workflow or agent", &target.name, names, found);
            }
            (Some(of), _) if of.requires_user && !workflow.requires_user => {
                let message = format!("{:?} needs the user of a conversation", target.name.value);
                let help = format!("declare requires_user: true in {:?} too", workflow.name.value);
                found.advise(Code::NeedsUser, target.name.at.clone(), message, help);
            }
            _ => {}
        }
        if target.name.value == workflow.name.value && !workflow.reentrant {
            let message = format!("{:?} triggers itself", workflow.name.value);
            let help = "mark it reentrant: true if that is meant; it is refused when it runs otherwise";
            found.advise(Code::Recursion, target.name.at.clone(), message, help);
        }
    }
    let answers = project.answered_by(&workflow.name).next().is_some();
    every(&workflow.units, &mut |unit| match &unit.work {
        Work::Ask { text, .. } if !answers => {
            let message = format!("nobody can answer here: {:?} answers for no agent", workflow.name.value);
            let help = "declare an agent with flow: NAME of this workflow, or ask a person by approve";
            found.advise(Code::NeedsUser, text.at.clone(), message, help);
        }
        Work::Stage(stage) => {
            stage.assign.iter().for_each(|it| assignment(project, it, found));
            stage.questions().for_each(|it| question(project, it, found));
        }
        Work::Task(it) => assignment(project, it, found),
        Work::Approval(it) => question(project, it, found),
        Work::Handoff(handoff) if project.persons.is_empty() => {
            let message = "this asks people to take over, and the project declares none";
            found.advise(Code::NobodyAsked, handoff.message.at.clone(), message, "persons: [NAME] in rejoin.yaml");
        }
        Work::Message { to, from, .. } => {
            to.iter().for_each(|to| person(project, to, found));
            for agent in from.iter().filter(|agent| project.agent(agent).is_none()) {
                let names = project.agents.iter().map(|agent| agent.name.value.as_str());
                unknown(Code::UnknownAgent, "this is from", "agent", agent, names, found);
            }
            if let (Some(to), None) = (to, from) {
                let help = "say which agent answers them: from: AGENT";
                let message = format!("{:?} is written to, and nobody answers when they reply", to.value);
                found.advise(Code::MissingField, to.at.clone(), message, help);
            }
        }
        _ => {}
    });
}

fn granted(project: &Project, agent: &Agent, name: &str) -> bool {
    let of = |members: &[At<String>]| members.iter().any(|member| member.value == name);
    let has = |department: &At<String>| {
        project.departments.iter().any(|(known, members)| known.value == department.value && of(members))
    };
    agent.grants.iter().any(|grant| grant.name.value == name) || agent.departments.iter().any(has)
}

fn assignment(project: &Project, assignment: &Assignment, found: &mut Diagnostics) {
    let Some(agent) = project.agent(&assignment.agent) else {
        let names = project.agents.iter().map(|agent| agent.name.value.as_str());
        return unknown(Code::UnknownAgent, "this is assigned to", "agent", &assignment.agent, names, found);
    };
    if !assignment.may_trigger {
        return;
    }
    if agent.grants.is_empty() && agent.departments.is_empty() {
        let message = format!("{:?} may trigger workflows here, and has no grant for any", agent.name.value);
        let help = "grant it what it is to trigger: grants: [WORKFLOW]";
        found.advise(Code::MissingGrant, assignment.agent.at.clone(), message, help);
    }
    let granted = agent.grants.iter().filter_map(|grant| project.workflow(&grant.name));
    for workflow in granted.filter(|workflow| workflow.requires_user) {
        let message = format!(
            "{:?} may trigger {:?} here, which needs the user of a conversation, and a task has none",
            agent.name.value, workflow.name.value
        );
        found.add(Code::NeedsUser, assignment.agent.at.clone(), message);
    }
}

fn question(project: &Project, question: &Question, found: &mut Diagnostics) {
    question.persons.iter().for_each(|it| person(project, it, found));
    for channel in question.via.iter().filter(|via| !project.channels.iter().any(|it| it.name.value == via.value)) {
        let names = project.channels.iter().map(|channel| channel.name.value.as_str());
        unknown(Code::UnknownChannel, "this is asked through", "channel", channel, names, found);
    }
}

fn person(project: &Project, person: &At<String>, found: &mut Diagnostics) {
    if !project.has_person(person) {
        let names = project.persons.iter().map(|person| person.value.as_str());
        unknown(Code::UnknownPerson, "this asks", "person", person, names, found);
    }
}
