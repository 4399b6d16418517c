//! The published schemas, against the readers: what they name, what they take, and what they refuse.

use jsonschema::Validator;
use rejoin::definition::{Project, Source};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn schema(name: &str) -> Value {
    let text = fs::read_to_string(root().join("docs/schema").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn validator(name: &str) -> Validator {
    let schema = schema(name);
    jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    jsonschema::draft202012::new(&schema).unwrap()
}

/// What is wrong with a file, as the schema says; nothing if it fits.
fn problems(validator: &Validator, text: &str) -> Vec<String> {
    let value: Value = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    validator.iter_errors(&value).map(|error| format!("{}: {error:.300}", error.instance_path())).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.extension().and_then(|it| it.to_str()) {
            _ if path.is_dir() => files(&path, found),
            Some("yaml" | "yml") => found.push(path),
            _ => {}
        }
    }
}

#[test]
fn every_definition_among_the_examples_fits() {
    let (workflow, project, test) = (validator("workflow.json"), validator("project.json"), validator("test.json"));
    let mut found = Vec::new();
    for folder in ["examples", "api/src/new", "api/tests/graph/review"] {
        files(&root().join(folder), &mut found);
    }
    assert!(found.len() >= 6, "{found:?}");
    for path in found {
        let is_project = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rejoin."));
        let of = match path.parent().is_some_and(|folder| folder.ends_with("tests")) {
            true => &test,
            false if is_project => &project,
            false => &workflow,
        };
        assert_eq!(problems(of, &fs::read_to_string(&path).unwrap()), Vec::<String>::new(), "{}", path.display());
    }
}

/// Nodes that are sound by themselves.
const NODES: &[&str] = &[
    "{ trigger: child, input: { n: '= input.n' }, metadata: { a: 1 }, message: hello, timeout: 5m, wait: false, history: true, visitor: true }",
    "{ trigger: someone, job: draft }",
    "{ call: someone, mode: inline }",
    "{ task: about it, agent: someone, output: { a: string, b: { type: integer, optional: true, describe: it } }, repairs: 3 }",
    "{ task: about it, agent: someone, may: trigger, metadata: { a: '= input.n' }, timeout: 1h }",
    "{ command: [sh, a.sh], input: { n: '= input.n' }, env: { A: b }, memory_mib: 64, timeout: 1m, secrets: { T: 'env:T' } }",
    "{ command: echo hello, route: { completed: end, failed: it } }",
    "{ http: { url: 'https://x', secret: 'env:S' }, input: { n: 1 }, attempts: 2 }",
    "{ say: hello }",
    "{ say: 12, to: ann, from: someone }",
    "{ choose: { small: 'input.n < 1', big: true }, route: { small: end, big: it, else: end } }",
    "{ parallel: { a: { wait: 1s }, b: [{ wait: 1s, as: pause }, { set: { x: 1 } }] } }",
    "{ each: '[1, 2]', item: one, at_most: 4, do: { trigger: child, input: { n: '= one' } } }",
    "{ wait: 2h30m }",
    "{ ask: Which one?, within: 1d, route: { late: end, completed: end } }",
    "{ signal: news, within: 7d, route: { late: end, completed: end } }",
    "{ approve: May it?, persons: ann, answers: [yes, no], via: desk, within: 2d, late: no }",
    "{ handoff: One moment., contact: { email: a@b, phone: 1, url: x }, show_contact: false, ending: Back. }",
    "{ set: { x: '= input.n', y: { deep: ['{{ input.n }}'] } } }",
    "{ end: }",
    "{ fail: given-up, message: no }",
    "{ wait: 1s, route: { completed: { workflow: child, input: { n: 1 }, continue: it, failed: end, wait: true } } }",
];

/// Nodes with something that no reader takes.
const BAD_NODES: &[&str] = &[
    "{}",
    "{ then: end }",
    "{ wait: 1s, set: { x: 1 } }",
    "{ wait: soon }",
    "{ wait: 1s, within: 1d }",
    "{ trigger: [a] }",
    "{ trigger: child, wait: 1s }",
    "{ call: someone, mode: loud }",
    "{ task: about it }",
    "{ command: [] }",
    "{ command: echo, http: 'https://x' }",
    "{ http: x }",
    "{ command: echo, model: {} }",
    "{ task: about it, agent: someone, repairs: 21 }",
    "{ task: about it, agent: someone, may: [write] }",
    "{ task: about it, agent: someone, output: { 'a-b': string } }",
    "{ task: about it, agent: someone, output: { a: text } }",
    "{ say: hello, to: ann }",
    "{ parallel: { a: { wait: 1s, then: end } } }",
    "{ each: '[1]' }",
    "{ each: '[1]', do: { wait: 1s }, at_most: 0 }",
    "{ approve: May it?, persons: ann, answers: [yes] }",
    "{ approve: May it?, persons: [], answers: [a, b] }",
    "{ approve: May it?, answers: [a, b] }",
    "{ handoff: x, contact: { mail: a@b } }",
    "{ set: { 'a b': 1 } }",
    "{ fail: }",
    "{ wait: 1s, route: { completed: { continue: it } } }",
    "{ wait: 1s, then: [end] }",
    "{ wait: 1s, as: pause }",
];

const STAGES: &[&str] = &[
    "{ assign: { agent: someone, task: x, as: it, may: [trigger] }, outcome: 'stage.text' }",
    "{ assign: [{ agent: someone, task: x }, { agent: someone, as: again, task: y }], then: end }",
    "{ entry: { ask: ann, answers: [go, stop] }, exit: { ask: [ann, bob], text: So?, answers: [a, b], within: 1d, late: b } }",
];

const BAD_STAGES: &[&str] = &[
    "{}",
    "{ assign: [] }",
    "{ assign: { agent: someone } }",
    "{ assign: { agent: someone, task: x, when: y } }",
    "{ exit: { answers: [a, b] } }",
    "{ exit: { ask: ann, answers: [a] } }",
    "{ exit: { ask: ann, answers: [a, b], persons: bob } }",
];

/// What stands beside a name and nodes.
const WORKFLOWS: &[&str] = &[
    "describe: x\ninput: { n: { type: [integer, 'null'], default: 1 } }\nmetadata: [a, b]\nreentrant: true\nrequires_user: false",
    "start: it\nlimits: { cycles: 9, visits: 3 }\noutput: { a: '= it' }",
    "metadata: one\ninput:\nstages:",
];

const BAD_WORKFLOWS: &[&str] =
    &["limits: { cycles: 0 }", "limits: { depth: 1 }", "inputs: {}", "reentrant: perhaps", "start: []"];

const PROJECTS: &[&str] = &[
    "project: p\nmain: main\npersons: [ann]\nchannels: { desk: console, hook: { webhook: 'https://x', secret: 'env:S' } }",
    "agents: { a: { command: [sh, a.sh], env: { X: 1 }, memory_mib: 64, output_mib: 1, secrets: { T: 'file:t' } } }",
    "agents: { a: { command: cat, at_most: 2, subagents: 0, attempts: 1, timeout: 1m, metadata: [x], describe: d } }",
    "agents: { a: { http: 'https://x' }, b: { http: { url: 'http://y', secret: 'env:S', headers: { A: b }, allow_inner: true } } }",
    "agents: { a: { model: { url: 'https://x/v1', name: m, key: 'env:K', instructions: i, temperature: 0.2, max_turns: 4, token_budget: 9, allow_inner: false } } }",
    "agents: { a: { flow: main, grants: main } }",
    "agents: { a: { worker: true, grants: [main, { name: a, when: x, timeout: 2d }], departments: [d] }, b: { rust: true } }\ndepartments: { d: [a] }",
    "limits: { depth: 4 }\nagents:\n",
];

const BAD_PROJECTS: &[&str] = &[
    "name: p",
    "project: 'a/b'",
    "agents: { a: {} }",
    "agents: { a: { rust: true, worker: true } }",
    "agents: { a: { flow: main, rust: true } }",
    "agents: { a: { worker: false } }",
    "agents: { a: { command: [] } }",
    "agents: { a: { http: 'x' } }",
    "agents: { a: { http: { secret: 'env:S' } } }",
    "agents: { a: { model: { url: 'https://x' } } }",
    "agents: { a: { model: { url: 'https://x', name: m, key: sk-1234 } } }",
    "agents: { a: { model: { url: 'https://x', name: m, temperature: 3 } } }",
    "agents: { a: { rust: true, attempts: 0 } }",
    "agents: { a: { rust: true, grants: [{ when: x }] } }",
    "channels: { desk: bell }",
    "channels: { desk: { secret: 'env:S' } }",
    "departments: { d: a }",
    "limits: { depth: 33 }",
];

/// Whether the readers take it as it stands, whatever it leads to.
fn is_read(name: &str, text: &str) -> Result<(), String> {
    let source = |name: &str, text: &str| Source { name: name.to_owned(), text: text.to_owned() };
    // Somebody who may take over.
    let around = (name != "rejoin.yaml").then(|| source("rejoin.yaml", "persons: [ann]"));
    let (project, found) = Project::read(around.into_iter().chain([source(name, text)]).collect());
    let reader = |code: &str| code < "R010" || matches!(code, "R207" | "R308" | "R402" | "R403" | "R406");
    match found.all().iter().any(|it| reader(it.code.text())) {
        true => Err(found.text(&project.sources)),
        false => Ok(()),
    }
}

fn assert_agree(schema: &str, name: &str, good: &[String], bad: &[String]) {
    let validator = validator(schema);
    for text in good {
        assert_eq!(problems(&validator, text), Vec::<String>::new(), "{text}");
        is_read(name, text).unwrap_or_else(|found| panic!("{found}\n{text}"));
    }
    for text in bad {
        assert!(!problems(&validator, text).is_empty(), "the schema takes this:\n{text}");
        assert!(is_read(name, text).is_err(), "the readers take this:\n{text}");
    }
}

fn each(texts: &[&str], whole: impl Fn(&str) -> String) -> Vec<String> {
    texts.iter().map(|text| whole(text)).collect()
}

#[test]
fn workflows_fit_where_they_are_read_and_not_where_they_are_refused() {
    let node = |text: &str| format!("workflow: main\nnodes:\n  it: {text}\n");
    let stage = |text: &str| format!("workflow: main\nstages:\n  it: {text}\n");
    let workflow = |text: &str| format!("workflow: main\nnodes: {{ it: {{ wait: 1s }} }}\n{text}\n");
    let good = [each(NODES, node), each(STAGES, stage), each(WORKFLOWS, workflow)].concat();
    let mut bad = [each(BAD_NODES, node), each(BAD_STAGES, stage), each(BAD_WORKFLOWS, workflow)].concat();
    bad.extend(
        ["workflow: main", "nodes: { it: { wait: 1s } }", "workflow: $a\nnodes: { it: { wait: 1s } }"]
            .map(str::to_owned),
    );
    bad.push("workflow: main\nnodes: { 'a-b': { wait: 1s } }".to_owned());
    assert_agree("workflow.json", "main.yaml", &good, &bad);
}

#[test]
fn projects_fit_where_they_are_read_and_not_where_they_are_refused() {
    let whole = |text: &str| text.to_owned();
    assert_agree("project.json", "rejoin.yaml", &each(PROJECTS, whole), &each(BAD_PROJECTS, whole));
}

/// The names of all fields in a schema, each of which must be described.
fn named(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for (name, field) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
                // Conditions on a field are none of their own.
                if fields.contains_key("title") {
                    assert!(field["description"].is_string(), "{name} is not described: {field}");
                    names.insert(name.clone());
                }
            }
            let closed = !fields.contains_key("title") || !fields.contains_key("properties");
            assert!(
                closed || fields["title"] == "schema" || fields["additionalProperties"] == false,
                "{}",
                fields["title"]
            );
            fields.values().for_each(|field| named(field, names));
        }
        Value::Array(items) => items.iter().for_each(|item| named(item, names)),
        _ => {}
    }
}

/// What is quoted in the sources of the readers, their tests apart.
fn quoted() -> String {
    let folder = root().join("engine/src/definition/read");
    let texts = ["fields.rs", "project.rs", "unit.rs", "workflow.rs"]
        .map(|name| fs::read_to_string(folder.join(name)).unwrap());
    texts.map(|text| text.split("#[cfg(test)]").next().unwrap().to_owned()).concat()
}

/// The fields that the readers ask for by a call.
fn asked(sources: &str) -> BTreeSet<String> {
    const CALLS: [&str; 14] = [
        "get", "need", "text", "plain", "name", "flag", "number", "decimal", "duration", "template", "mapping",
        "mappings", "list", "texts",
    ];
    let mut asked = BTreeSet::new();
    let heads = CALLS.iter().map(|call| format!(".{call}(\"")).chain([
        ".entries(\"".to_owned(),
        "fields, \"".to_owned(),
        "on(\"".to_owned(),
    ]);
    for head in heads {
        let rests = sources.split(&head).skip(1);
        asked.extend(rests.map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    let kinds = sources.split("const KINDS: [&str; 16] = [").nth(1).unwrap().split(']').next().unwrap();
    asked.extend(kinds.split('"').skip(1).step_by(2).map(str::to_owned));
    asked.extend(["email", "phone", "url", "fail"].map(str::to_owned));
    asked
}

#[test]
fn every_field_that_is_asked_for_is_in_a_schema_and_no_other_is() {
    let mut names = BTreeSet::new();
    ["workflow.json", "project.json"].iter().for_each(|name| named(&schema(name), &mut names));
    let sources = quoted();
    let asked = asked(&sources);
    assert!(asked.len() > 60, "{asked:?}");
    let missing: Vec<_> = asked.difference(&names).collect();
    assert!(missing.is_empty(), "no schema has {missing:?}");
    // Those of JSON Schema itself are read by another library.
    let of_schemas = ["type", "enum", "items", "properties", "required"];
    let invented: Vec<_> = names
        .iter()
        .filter(|name| !of_schemas.contains(&name.as_str()) && !sources.contains(&format!("\"{name}\"")))
        .collect();
    assert!(invented.is_empty(), "nobody reads {invented:?}");
}
