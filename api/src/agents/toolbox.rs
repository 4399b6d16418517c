//! What an agent may call, as tools: under names that endpoints take, with what each of them means.

use rejoin::Callable;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest name that endpoints take for a tool.
const LONGEST_NAME: usize = 64;

/// The jobs of an agent that have inputs of their own.
const TASK: &str = "task";
const TURN: &str = "turn";

/// The tool that divides an agent's work.
const SUBAGENTS: &str = "subagents";

/// A tool, as whoever chooses among them sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) description: String,
    /// The JSON Schema of its arguments.
    pub(crate) parameters: Value,
}

/// What a tool means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Means {
    /// A workflow is triggered, or an agent asked for a job, which may take so long.
    Call { name: String, job: Option<String>, limit: Duration },
    /// Parts of the work are given to subagents, so many altogether.
    Subagents { most: u32 },
    /// People are asked.
    Ask,
    /// Another agent goes on with the conversation.
    Transfer { agents: Vec<String> },
    /// A person goes on with the conversation.
    HandOff,
}

/// The tools that there are now, by name.
#[derive(Debug, Default)]
pub(crate) struct Toolbox {
    tools: BTreeMap<String, (Means, Tool)>,
}

impl Toolbox {
    /// A tool for each workflow that may be called, and for each job of an agent; with subagents, also for those.
    pub(crate) fn new(callable: &[Callable], subagents: u32) -> Toolbox {
        let mut toolbox = Toolbox::default();
        if subagents > 0 {
            let means = Means::Subagents { most: subagents };
            toolbox.add(SUBAGENTS, means, SUBAGENTS_DESCRIPTION.to_owned(), parts(subagents));
        }
        callable.iter().for_each(|one| toolbox.add_callable(one));
        toolbox
    }

    /// What can be chosen.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &Tool> {
        self.tools.values().map(|(_, tool)| tool)
    }

    /// What the tool of this name means.
    pub(crate) fn means(&self, name: &str) -> Option<&Means> {
        self.tools.get(name).map(|(means, _)| means)
    }

    /// The names, for whoever has made one up.
    pub(crate) fn names(&self) -> String {
        self.tools.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// A workflow is one tool. An agent is one for each of its jobs by name, or for the one without a name.
    fn add_callable(&mut self, callable: &Callable) {
        let Callable { name, description, when, timeout: limit, jobs, input, .. } = callable;
        let words = |of_job: &Option<String>| {
            let when = when.as_ref().map(|when| format!("When to use it: {when}"));
            let parts: Vec<String> = [description.clone(), of_job.clone(), when].into_iter().flatten().collect();
            parts.join("\n")
        };
        let named: Vec<_> = jobs.iter().filter(|(job, _)| job != TURN).collect();
        if named.is_empty() {
            let parameters = input.clone().unwrap_or_else(anything);
            self.add(name, Means::Call { name: name.clone(), job: None, limit: *limit }, words(&None), parameters);
        }
        for (job, of_job) in named {
            let parameters = match job.as_str() {
                TASK => object(json!({ "description": { "type": "string" } }), &["description"]),
                _ => anything(),
            };
            let means = Means::Call { name: name.clone(), job: Some(job.clone()), limit: *limit };
            self.add(&format!("{name}_{job}"), means, words(of_job), parameters);
        }
    }

    /// Adds a tool under a name of its own, made of the signs that endpoints take.
    pub(crate) fn add(&mut self, name: &str, means: Means, description: String, parameters: Value) {
        let plain = |sign: char| if sign.is_ascii_alphanumeric() || "_-".contains(sign) { sign } else { '_' };
        let wanted: String = name.chars().map(plain).collect();
        let numbered = |number: usize| {
            let end = if number == 1 { String::new() } else { format!("_{number}") };
            format!("{}{end}", &wanted[..wanted.len().min(LONGEST_NAME - end.len())])
        };
        let free = (1..).map(numbered).find(|name| !name.is_empty() && !self.tools.contains_key(name));
        let name = free.unwrap_or_default();
        let tool = Tool { name: name.clone(), description, parameters };
        self.tools.insert(name, (means, tool));
    }
}

/// The parts of the work that the arguments for [`Means::Subagents`] name.
///
/// # Errors
///
/// What is wrong with the arguments.
pub(crate) fn divided(tasks: Option<&Value>) -> Result<Vec<(String, String)>, String> {
    let wrong = || "\"tasks\" must be an object: a name for each part, and in words what is to be done".to_owned();
    let tasks = tasks.and_then(Value::as_object).filter(|tasks| !tasks.is_empty()).ok_or_else(wrong)?;
    let part = |(name, task): (&String, &Value)| Some((name.clone(), task.as_str()?.to_owned()));
    tasks.iter().map(|it| part(it).ok_or_else(wrong)).collect()
}

fn parts(most: u32) -> Value {
    let tasks = json!({
        "type": "object",
        "additionalProperties": { "type": "string" },
        "minProperties": 1,
        "maxProperties": most,
        "description": "A short name for each part, and all that whoever does it has to know.",
    });
    object(json!({ "tasks": tasks }), &["tasks"])
}

/// The schema of arguments of which nothing is known.
fn anything() -> Value {
    object(json!({}), &[])
}

/// The schema of an object. Other members are allowed.
pub(crate) fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

const SUBAGENTS_DESCRIPTION: &str = "Does several parts of your work side by side: each is given to a helper that can do what you can, \
     and knows nothing but its task. The answers come back by name.";

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(7);

    fn callable(name: &str, jobs: &[&str], input: Option<Value>) -> Callable {
        let jobs: Vec<_> = jobs.iter().map(|job| ((*job).to_owned(), None)).collect();
        let (description, when) = (Some("Does it.".to_owned()), Some("always".to_owned()));
        Callable { name: name.into(), is_agent: !jobs.is_empty(), description, when, timeout: LIMIT, input, jobs }
    }

    #[test]
    fn names_are_plain_unique_and_lead_back() {
        let long = "x".repeat(80);
        let all = [
            callable("pay.out", &[], None),
            callable("pay out", &[], None),
            callable("subagents", &[], None),
            callable(&long, &[], None),
            callable(&format!("{long}y"), &[], None),
            callable("writer", &["draft", "turn", "task"], None),
        ];
        let toolbox = Toolbox::new(&all, 2);
        let names: Vec<&str> = toolbox.shown().map(|tool| tool.name.as_str()).collect();
        let (cut, second) = ("x".repeat(64), format!("{}_2", "x".repeat(62)));
        let mut expected =
            vec!["pay_out", "pay_out_2", "subagents", "subagents_2", "writer_draft", "writer_task", &cut, &second];
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(toolbox.means("pay_out_2"), Some(&Means::Call { name: "pay out".into(), job: None, limit: LIMIT }));
        let task = Means::Call { name: "writer".into(), job: Some("task".into()), limit: LIMIT };
        assert_eq!(toolbox.means("writer_task"), Some(&task));
        let shown = toolbox.shown().find(|tool| tool.name == "pay_out").unwrap();
        assert_eq!(shown.description, "Does it.\nWhen to use it: always");
    }

    #[test]
    fn what_a_workflow_declares_is_what_its_tool_takes() {
        let schema = json!({ "type": "object", "properties": { "order": { "type": "string" } } });
        let toolbox = Toolbox::new(&[callable("refund", &[], Some(schema.clone()))], 0);
        assert_eq!(toolbox.shown().next().unwrap().parameters, schema);
        assert_eq!(toolbox.names(), "refund");
    }

    #[test]
    fn parts_of_the_work_have_names_and_words() {
        let said = json!({ "north": "Survey the north.", "south": "Survey the south." });
        assert_eq!(divided(Some(&said)).unwrap().len(), 2);
        for wrong in [json!({}), json!([]), json!({ "north": 1 }), json!("north")] {
            assert!(divided(Some(&wrong)).is_err(), "{wrong}");
        }
        assert!(divided(None).is_err());
    }
}
