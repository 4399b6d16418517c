//! How deep workflows trigger each other, over all files.

use super::super::diagnostic::{Code, Diagnostics};
use super::super::model::{Project, Workflow};
use super::targets;

/// How deep runs go where the project does not say.
const DEPTH: u32 = 3;
/// How many ways are followed at most; more than that nobody reads.
const WAYS: usize = 20_000;

pub(super) fn check(project: &Project, found: &mut Diagnostics) {
    let limit = project.depth.as_ref().map_or(DEPTH, |depth| depth.value) as usize;
    let mut left = WAYS;
    for workflow in &project.workflows {
        follow(project, workflow, &mut vec![&workflow.name.value], limit, &mut left, found);
    }
}

/// Goes down what a workflow triggers; one that comes round to itself is bounded by the depth when it runs.
fn follow<'a>(
    project: &'a Project,
    workflow: &'a Workflow,
    path: &mut Vec<&'a str>,
    limit: usize,
    left: &mut usize,
    found: &mut Diagnostics,
) {
    for target in targets(workflow) {
        let flow = || project.workflow(project.agent(&target.name)?.flow()?);
        let Some(next) = project.workflow(&target.name).or_else(flow) else { continue };
        if *left == 0 || path.contains(&target.name.value.as_str()) {
            continue;
        }
        *left -= 1;
        path.push(&target.name.value);
        if path.len() > limit {
            let message = format!("depth {}: {}, and the limit is {limit}", path.len() - 1, path.join(" -> "));
            let help = "let one of them trigger less, or raise limits.depth in rejoin.yaml";
            found.advise(Code::TooDeep, target.name.at.clone(), message, help);
        } else {
            follow(project, next, path, limit, left, found);
        }
        path.pop();
    }
}
