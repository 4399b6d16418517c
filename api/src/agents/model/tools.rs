//! What a model can do: the tools that it is shown, and what its calls become.
//!
//! A model chooses names and arguments, and may make up both. What a call becomes is decided in the model's step and recorded with
//! the answer, so that grants which change later do not change what has happened.

use super::prompt::{DATA_BYTES, data};
use super::wire::{Called, Tool, ToolCall};
use rejoin::{Answer, Callable, Decision, Failure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The longest name that endpoints take for a tool.
const LONGEST_NAME: usize = 64;

/// How many calls of one turn are made.
const MOST_CALLS: usize = 64;

/// The jobs of an agent that have inputs of their own.
const TASK: &str = "task";
const TURN: &str = "turn";

const ASK: &str = "ask_person";
const TRANSFER: &str = "transfer";
const HAND_OFF: &str = "hand_off";

/// The tools of one turn, by the names that the model knows them by.
#[derive(Debug, Default)]
pub(super) struct Toolbox {
    tools: BTreeMap<String, (Means, Tool)>,
}

/// What a tool means.
#[derive(Clone, Debug, PartialEq)]
enum Means {
    Call { name: String, job: Option<String> },
    Ask,
    Transfer { agents: Vec<String> },
    HandOff,
}

/// Something that a model wants, and what it becomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Wish {
    /// The name that the model gave the call.
    pub(super) id: String,
    /// The tool, as the model named it.
    pub(super) tool: String,
    /// The arguments; none where there were no proper ones.
    pub(super) arguments: Map<String, Value>,
    pub(super) becomes: Becomes,
}

/// What a call becomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Becomes {
    /// A workflow is triggered, or an agent asked.
    Call { name: String, job: Option<String> },
    /// People are asked.
    Question { question: String, answers: Vec<String> },
    /// Another agent goes on with the conversation.
    Transfer { agent: String, note: String },
    /// A person goes on with the conversation.
    HandOff { message: String },
    /// Nothing: the model is told why.
    Nothing { code: String, message: String },
}

impl Toolbox {
    /// The tools for what may be called; with persons, also for questions to them, and in a conversation, for handing that on.
    pub(super) fn new(callable: &[Callable], asks_persons: bool, is_turn: bool) -> Toolbox {
        let mut toolbox = Toolbox::default();
        if asks_persons {
            toolbox.add(ASK, Means::Ask, ASK_DESCRIPTION.to_owned(), ask_parameters());
        }
        if is_turn {
            let text = || json!({ "type": "string" });
            let parameters = object(json!({ "message": text() }), &["message"]);
            toolbox.add(HAND_OFF, Means::HandOff, HAND_OFF_DESCRIPTION.to_owned(), parameters);
            let agents: Vec<String> = callable.iter().filter(|one| one.is_agent).map(|one| one.name.clone()).collect();
            if !agents.is_empty() {
                let parameters = object(
                    json!({ "agent": { "type": "string", "enum": agents }, "note": text() }),
                    &["agent", "note"],
                );
                toolbox.add(TRANSFER, Means::Transfer { agents }, TRANSFER_DESCRIPTION.to_owned(), parameters);
            }
        }
        callable.iter().for_each(|one| toolbox.add_callable(one));
        toolbox
    }

    /// What the model is shown.
    pub(super) fn shown(&self) -> Vec<Tool> {
        self.tools.values().map(|(_, tool)| tool.clone()).collect()
    }

    /// What calls become.
    pub(super) fn wishes(&self, calls: &[ToolCall]) -> Vec<Wish> {
        let alone = calls.len() == 1;
        calls.iter().enumerate().map(|(place, call)| self.wish(call, alone, place)).collect()
    }

    /// A workflow is one tool. An agent is one for each of its jobs by name, or for the one without a name.
    fn add_callable(&mut self, callable: &Callable) {
        let Callable { name, description, when, jobs, .. } = callable;
        let words = |of_job: &Option<String>| {
            let when = when.as_ref().map(|when| format!("When to use it: {when}"));
            let parts: Vec<String> = [description.clone(), of_job.clone(), when].into_iter().flatten().collect();
            parts.join("\n")
        };
        let named: Vec<_> = jobs.iter().filter(|(job, _)| job != TURN).collect();
        if named.is_empty() {
            self.add(name, Means::Call { name: name.clone(), job: None }, words(&None), object(json!({}), &[]));
        }
        for (job, of_job) in named {
            let parameters = match job.as_str() {
                TASK => object(json!({ "description": { "type": "string" } }), &["description"]),
                _ => object(json!({}), &[]),
            };
            let means = Means::Call { name: name.clone(), job: Some(job.clone()) };
            self.add(&format!("{name}_{job}"), means, words(of_job), parameters);
        }
    }

    /// Adds a tool under a name of its own, made of the signs that endpoints take.
    fn add(&mut self, name: &str, means: Means, description: String, parameters: Value) {
        let plain = |sign: char| if sign.is_ascii_alphanumeric() || "_-".contains(sign) { sign } else { '_' };
        let wanted: String = name.chars().map(plain).collect();
        let numbered = |number: usize| {
            let end = if number == 1 { String::new() } else { format!("_{number}") };
            format!("{}{end}", &wanted[..wanted.len().min(LONGEST_NAME - end.len())])
        };
        let free = (1..).map(numbered).find(|name| !name.is_empty() && !self.tools.contains_key(name));
        let name = free.unwrap_or_default();
        let tool = Tool::Function { name: name.clone(), description, parameters };
        self.tools.insert(name, (means, tool));
    }

    fn wish(&self, call: &ToolCall, alone: bool, place: usize) -> Wish {
        let Called::Function { name, arguments } = &call.called;
        let (arguments, becomes) = match read(arguments) {
            Ok(arguments) if place < MOST_CALLS => {
                let becomes = self.becomes(name, &arguments, alone);
                (arguments, becomes.unwrap_or_else(|nothing| nothing))
            }
            Ok(_) => (Map::new(), nothing("too-many-calls", format!("one turn makes {MOST_CALLS} calls at most"))),
            Err(nothing) => (Map::new(), nothing),
        };
        Wish { id: call.id.clone(), tool: name.clone(), arguments, becomes }
    }

    fn becomes(&self, tool: &str, arguments: &Map<String, Value>, alone: bool) -> Result<Becomes, Becomes> {
        let known = || self.tools.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let unknown = || nothing("unknown-tool", format!("there is no tool {tool:?}; there are: {}", known()));
        let (means, _) = self.tools.get(tool).ok_or_else(unknown)?;
        let text = |name: &str| {
            let text = arguments.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
            text.map(str::to_owned).ok_or_else(|| nothing("bad-arguments", format!("{name:?} must be a text")))
        };
        if matches!(means, Means::Transfer { .. } | Means::HandOff) && !alone {
            return Err(nothing("not-alone", format!("{tool} ends your turn; call it without other tools beside it")));
        }
        match means {
            Means::Call { name, job } => Ok(Becomes::Call { name: name.clone(), job: job.clone() }),
            Means::Ask => Ok(Becomes::Question { question: text("question")?, answers: answers(arguments) }),
            Means::HandOff => Ok(Becomes::HandOff { message: text("message")? }),
            Means::Transfer { agents } => {
                let agent = text("agent")?;
                if !agents.contains(&agent) {
                    let message = format!("{agent:?} is none of the agents: {}", agents.join(", "));
                    return Err(nothing("bad-arguments", message));
                }
                Ok(Becomes::Transfer { agent, note: text("note")? })
            }
        }
    }
}

impl Wish {
    /// Whether the model must be asked again once it is fulfilled.
    pub(super) fn goes_on(&self) -> bool {
        !matches!(self.becomes, Becomes::Transfer { .. } | Becomes::HandOff { .. })
    }

    /// The call as the model is reminded of it.
    pub(super) fn call(&self) -> ToolCall {
        ToolCall::new(&self.id, &self.tool, Value::Object(self.arguments.clone()).to_string())
    }

    /// What the model is told that came of a call.
    pub(super) fn answered(&self, answer: &Answer<Value>) -> String {
        match (answer, answer.failure()) {
            (Answer::Completed(value), _) => data(json!({ "tool": self.tool, "status": "completed" }), value.clone()),
            (_, Some(failure)) => self.failed(answer.status(), failure.code(), failure.message()),
            (_, None) => self.failed(answer.status(), "failed", ""),
        }
    }

    /// What it is told that people answered.
    pub(super) fn decided(&self, decision: Result<Decision, Failure>) -> String {
        let told = |Decision { answer, by, comment }| json!({ "answer": answer, "by": by, "comment": comment });
        self.answered(&decision.map(told).into())
    }

    /// What it is told of a call that came to nothing.
    pub(super) fn failed(&self, status: &str, code: &str, message: &str) -> String {
        let message = &message[..message.floor_char_boundary(DATA_BYTES)];
        json!({ "tool": self.tool, "status": status, "code": code, "message": message }).to_string()
    }
}

fn nothing(code: &str, message: String) -> Becomes {
    Becomes::Nothing { code: code.to_owned(), message }
}

/// Arguments are an object; where there are none, many models send nothing.
fn read(arguments: &str) -> Result<Map<String, Value>, Becomes> {
    if arguments.trim().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(arguments)
        .map_err(|error| nothing("bad-arguments", format!("the arguments must be the JSON of an object: {error}")))
}

/// The answers that a person may choose from; yes and no where the model offers none.
fn answers(arguments: &Map<String, Value>) -> Vec<String> {
    let offered = arguments.get("answers").and_then(Value::as_array).into_iter().flatten();
    let offered: Vec<String> = offered.filter_map(Value::as_str).map(str::to_owned).collect();
    if offered.is_empty() { vec!["yes".to_owned(), "no".to_owned()] } else { offered }
}

/// The schema of arguments. Other members are allowed: what a workflow takes is not known here.
fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

fn ask_parameters() -> Value {
    let answers = json!({ "type": "array", "items": { "type": "string" }, "description": "What they choose from." });
    object(json!({ "question": { "type": "string" }, "answers": answers }), &["question", "answers"])
}

const ASK_DESCRIPTION: &str = "Asks a person who is responsible, and waits for the answer, which may take days.";
const HAND_OFF_DESCRIPTION: &str =
    "Asks a person to take over this conversation, and ends your turn. The message is shown to the user.";
const TRANSFER_DESCRIPTION: &str =
    "Hands this conversation to another agent, which answers next, and ends your turn. The note tells it why.";

#[cfg(test)]
mod tests {
    use super::*;

    fn callable(name: &str, jobs: &[&str]) -> Callable {
        let jobs: Vec<_> = jobs.iter().map(|job| ((*job).to_owned(), None)).collect();
        let (description, when) = (Some("Does it.".to_owned()), Some("always".to_owned()));
        Callable { name: name.into(), is_agent: !jobs.is_empty(), description, when, jobs }
    }

    fn becomes(toolbox: &Toolbox, tool: &str, arguments: &str) -> Becomes {
        toolbox.wishes(&[ToolCall::new("1", tool, arguments)]).remove(0).becomes
    }

    #[test]
    fn names_are_plain_unique_and_lead_back() {
        let long = "x".repeat(80);
        let all = [
            callable("pay.out", &[]),
            callable("pay out", &[]),
            callable("hand_off", &[]),
            callable(&long, &[]),
            callable(&format!("{long}y"), &[]),
            callable("writer", &["draft", "turn", "task"]),
        ];
        let toolbox = Toolbox::new(&all, true, true);
        let names: Vec<&str> = toolbox.tools.keys().map(String::as_str).collect();
        let cut = "x".repeat(64);
        let second = format!("{}_2", "x".repeat(62));
        let mut expected = vec![
            "ask_person",
            "hand_off",
            "hand_off_2",
            "pay_out",
            "pay_out_2",
            "transfer",
            "writer_draft",
            "writer_task",
            &cut,
            &second,
        ];
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(becomes(&toolbox, "pay_out_2", ""), Becomes::Call { name: "pay out".into(), job: None });
        let task = Becomes::Call { name: "writer".into(), job: Some("task".into()) };
        assert_eq!(becomes(&toolbox, "writer_task", "{}"), task);
        assert!(matches!(&toolbox.tools["pay_out"].1,
            Tool::Function { description, .. } if description == "Does it.\nWhen to use it: always"));
    }

    #[test]
    fn what_is_not_offered_is_no_tool() {
        let toolbox = Toolbox::new(&[], false, false);
        assert!(toolbox.shown().is_empty());
        for tool in ["ask_person", "transfer", "hand_off", "refund"] {
            assert!(matches!(becomes(&toolbox, tool, "{}"), Becomes::Nothing { code, .. } if code == "unknown-tool"));
        }
    }

    #[test]
    fn bad_arguments_start_nothing() {
        let toolbox = Toolbox::new(&[callable("pay", &[]), callable("writer", &["turn"])], true, true);
        let bad = [
            ("pay", "[1]"),
            ("pay", "{"),
            ("pay", "\"x\""),
            ("ask_person", "{}"),
            ("hand_off", r#"{"message":" "}"#),
            ("transfer", r#"{"agent":"pay","note":"x"}"#),
        ];
        for (tool, arguments) in bad {
            let becomes = becomes(&toolbox, tool, arguments);
            assert!(matches!(&becomes, Becomes::Nothing { code, .. } if code == "bad-arguments"), "{becomes:?}");
        }
    }

    #[test]
    fn what_ends_the_turn_stands_alone() {
        let toolbox = Toolbox::new(&[callable("pay", &[])], false, true);
        let off = ToolCall::new("1", "hand_off", r#"{"message":"Wait."}"#);
        assert!(!toolbox.wishes(std::slice::from_ref(&off))[0].goes_on());
        let both = toolbox.wishes(&[off, ToolCall::new("2", "pay", "{}")]);
        assert!(matches!(&both[0].becomes, Becomes::Nothing { code, .. } if code == "not-alone"));
        assert_eq!(both[1].becomes, Becomes::Call { name: "pay".into(), job: None });
        let many = vec![ToolCall::new("1", "pay", "{}"); MOST_CALLS + 1];
        assert!(matches!(&toolbox.wishes(&many)[MOST_CALLS].becomes, Becomes::Nothing { .. }));
    }
}
