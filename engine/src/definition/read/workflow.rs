//! A workflow as a whole.

use super::super::diagnostic::{Code, Diagnostics};
use super::super::model::{Field, Unit, Workflow};
use super::super::source::{At, Node, Tree};
use super::fields::Fields;
use super::{name, own_variable, project::twice, unit, variable};
use serde_json::{Value, json};

/// How often a run comes back to where it has been, where nothing is said.
const CYCLES: u64 = 30;
/// How often through the same.
const VISITS: u64 = 5;

pub(super) fn read(node: &Node, source: &str, found: &mut Diagnostics) -> Option<Workflow> {
    let mut fields = Fields::of(node, "a workflow", found)?;
    let workflow = fields.need("workflow");
    let workflow = workflow.and_then(|node| super::text(node, "workflow", fields.found));
    let workflow = workflow.map(|text| name(text, fields.found));
    let mut units: Vec<Unit> = Vec::new();
    let (stages, nodes) = (fields.entries("stages"), fields.entries("nodes"));
    // What is there and cannot be read is told of by its own fault.
    let mut holds = |field| match fields.get(field).map(|node| &node.value) {
        None | Some(Tree::Null) => false,
        Some(Tree::Map(units)) => !units.is_empty(),
        Some(_) => true,
    };
    let is_empty = !holds("stages") && !holds("nodes");
    for (stage, node) in stages {
        units.extend(unit::stage(unit_name(stage, fields.found), node, fields.found));
    }
    for (node_name, node) in nodes {
        units.extend(unit::node(unit_name(node_name, fields.found), node, true, fields.found));
    }
    if let Some(workflow) = &workflow {
        unit::name_own(&mut units, workflow);
    }
    twice("stage or node", units.iter().map(|unit| &unit.name), fields.found);
    if is_empty {
        let message = "a workflow needs stages or nodes";
        fields.found.add(Code::MissingField, fields.at.clone(), message);
    }
    let start = fields.text("start").or_else(|| units.first().map(|unit| unit.name.clone()));
    let limits = fields.get("limits").and_then(|node| {
        let mut limits = Fields::of(node, "limits", fields.found)?;
        let read = (limits.number("cycles", 1, 100_000), limits.number("visits", 1, 100_000));
        limits.end();
        Some(read)
    });
    let (cycles, visits) = limits.unwrap_or((None, None));
    let read = Workflow {
        describe: fields.plain("describe"),
        input: declared(&mut fields, "input"),
        metadata: fields.texts("metadata"),
        reentrant: fields.flag("reentrant").unwrap_or(false),
        requires_user: fields.flag("requires_user").unwrap_or(false),
        output: fields.mapping("output"),
        cycles: cycles.unwrap_or(CYCLES) as u32,
        visits: visits.unwrap_or(VISITS) as u32,
        text: source.to_owned(),
        start: start?,
        name: workflow?,
        units,
    };
    fields.end();
    Some(read)
}

/// The name of a unit that routes lead to.
fn unit_name(text: At<String>, found: &mut Diagnostics) -> At<String> {
    let name = own_variable(text, found);
    if name.value == "end" {
        let message = "no stage or node can be named \"end\": a route to that ends the run";
        found.add(Code::BadName, name.at.clone(), message);
    }
    name
}

/// Fields with their schemas: `topic: string`, or a JSON Schema with `describe`, `optional` and `default` beside it.
pub(super) fn declared(fields: &mut Fields<'_>, field: &'static str) -> Vec<Field> {
    let entries = fields.entries(field);
    let mut declared: Vec<Field> = Vec::new();
    for (name, node) in entries {
        declared.extend(one(variable(name, fields.found), node, fields.found));
    }
    twice("field", declared.iter().map(|field| &field.name), fields.found);
    declared
}

fn one(name: At<String>, node: &Node, found: &mut Diagnostics) -> Option<Field> {
    let mut optional = false;
    let mut default = None;
    let schema = match &node.value {
        Tree::Text(kind) => json!({ "type": kind }),
        Tree::Map(_) => {
            let Value::Object(mut schema) = node.value.json() else { return None };
            if let Some(text) = schema.remove("describe") {
                schema.insert("description".to_owned(), text);
            }
            optional = schema.remove("optional").is_some_and(|it| it == Value::Bool(true));
            default = schema.get("default").cloned();
            Value::Object(schema)
        }
        _ => {
            super::wrong(node, &name, "the name of a type, or a JSON Schema", found);
            return None;
        }
    };
    match crate::schema::Schema::new(&schema) {
        Err(failure) => {
            found.add(Code::BadSchema, node.at.clone(), format!("{:?}: {}", name.value, failure.message()));
            return None;
        }
        Ok(parsed) => {
            let problems = default.as_ref().map(|default| parsed.problems(default)).unwrap_or_default();
            if let Some(problem) = problems.first() {
                found.add(
                    Code::BadDefault,
                    node.at.clone(),
                    format!("the default of {:?} does not fit: {problem}", name.value),
                );
            }
        }
    }
    Some(Field { required: !optional && default.is_none(), name, schema, default })
}

#[cfg(test)]
mod tests {
    use super::super::super::{Code, Project, Source};

    fn codes(text: &str) -> Vec<Code> {
        let source = Source { name: "workflows/main.yaml".to_owned(), text: text.to_owned() };
        Project::read(vec![source]).1.all().iter().map(|it| it.code).collect()
    }

    #[test]
    fn a_list_of_nodes_is_one_fault_and_none_at_all_is_another() {
        assert_eq!(codes("workflow: main\nnodes: [{ wait: 1s }]\n"), [Code::WrongType]);
        for nothing in ["", "nodes:\n", "nodes: {}\n"] {
            assert_eq!(codes(&format!("workflow: main\n{nothing}")), [Code::MissingField], "{nothing:?}");
        }
    }

    #[test]
    fn nothing_is_named_as_the_end_of_the_run_is() {
        assert_eq!(codes("workflow: main\nnodes: { end: { wait: 1s, then: end } }\n"), [Code::BadName]);
    }
}
