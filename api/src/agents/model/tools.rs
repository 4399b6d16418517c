//! What a model can do: the tools that it is shown, and what its calls become.
//!
//! A model chooses names and arguments, and may make up both. What a call becomes is decided in the model's step and recorded with
//! the answer, so that grants which change later do not change what has happened.

use super::prompt::{DATA_BYTES, data};
use super::wire::{Called, ToolCall};
use crate::agents::toolbox::{Means, Toolbox, divided, object};
use rejoin::{Answer, Callable, Decision, Failure, TaskResult};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How many calls of one turn are made.
const MOST_CALLS: usize = 64;

const ASK: &str = "ask_person";
const TRANSFER: &str = "transfer";
const HAND_OFF: &str = "hand_off";

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
    /// A workflow is triggered, or an agent asked, which may take so long; what was recorded before there were limits has none.
    Call {
        name: String,
        job: Option<String>,
        #[serde(default)]
        limit: Option<Duration>,
    },
    /// Parts of the work are given to subagents, by name.
    Subagents { tasks: Vec<(String, String)> },
    /// People are asked.
    Question { question: String, answers: Vec<String> },
    /// Another agent goes on with the conversation.
    Transfer { agent: String, note: String },
    /// A person goes on with the conversation.
    HandOff { message: String },
    /// Nothing: the model is told why.
    Nothing { code: String, message: String },
}

/// The tools for what may be called; with persons, also for questions to them, and in a conversation, for handing that on.
pub(super) fn toolbox(callable: &[Callable], subagents: u32, asks_persons: bool, is_turn: bool) -> Toolbox {
    let mut toolbox = Toolbox::new(callable, subagents);
    if asks_persons {
        toolbox.add(ASK, Means::Ask, ASK_DESCRIPTION.to_owned(), ask_parameters());
    }
    if is_turn {
        let text = || json!({ "type": "string" });
        let parameters = object(json!({ "message": text() }), &["message"]);
        toolbox.add(HAND_OFF, Means::HandOff, HAND_OFF_DESCRIPTION.to_owned(), parameters);
        let agents: Vec<String> = callable.iter().filter(|one| one.is_agent).map(|one| one.name.clone()).collect();
        if !agents.is_empty() {
            let properties = json!({ "agent": { "type": "string", "enum": agents }, "note": text() });
            let parameters = object(properties, &["agent", "note"]);
            toolbox.add(TRANSFER, Means::Transfer { agents }, TRANSFER_DESCRIPTION.to_owned(), parameters);
        }
    }
    toolbox
}

/// What calls become.
pub(super) fn wishes(toolbox: &Toolbox, calls: &[ToolCall]) -> Vec<Wish> {
    let alone = calls.len() == 1;
    calls.iter().enumerate().map(|(place, call)| wish(toolbox, call, alone, place)).collect()
}

fn wish(toolbox: &Toolbox, call: &ToolCall, alone: bool, place: usize) -> Wish {
    let Called::Function { name, arguments } = &call.called;
    let (arguments, becomes) = match read(arguments) {
        Ok(arguments) if place < MOST_CALLS => {
            let becomes = becomes(toolbox, name, &arguments, alone);
            (arguments, becomes.unwrap_or_else(|nothing| nothing))
        }
        Ok(_) => (Map::new(), nothing("too-many-calls", format!("one turn makes {MOST_CALLS} calls at most"))),
        Err(nothing) => (Map::new(), nothing),
    };
    Wish { id: call.id.clone(), tool: name.clone(), arguments, becomes }
}

fn becomes(toolbox: &Toolbox, tool: &str, arguments: &Map<String, Value>, alone: bool) -> Result<Becomes, Becomes> {
    let unknown = || nothing("unknown-tool", format!("there is no tool {tool:?}; there are: {}", toolbox.names()));
    let means = toolbox.means(tool).ok_or_else(unknown)?;
    let text = |name: &str| {
        let text = arguments.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
        text.map(str::to_owned).ok_or_else(|| nothing("bad-arguments", format!("{name:?} must be a text")))
    };
    if matches!(means, Means::Transfer { .. } | Means::HandOff) && !alone {
        return Err(nothing("not-alone", format!("{tool} ends your turn; call it without other tools beside it")));
    }
    match means {
        Means::Call { name, job, limit } => {
            Ok(Becomes::Call { name: name.clone(), job: job.clone(), limit: Some(*limit) })
        }
        Means::Subagents { most } => match divided(arguments.get("tasks")) {
            // Each of them would be refused, and stand in the history.
            Ok(tasks) if tasks.len() > *most as usize => {
                let message = format!("these are {} parts, and there are {most} subagents", tasks.len());
                Err(nothing("too-many-subagents", message))
            }
            Ok(tasks) => Ok(Becomes::Subagents { tasks }),
            Err(message) => Err(nothing("bad-arguments", message)),
        },
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

    /// What it is told that came of the parts of its work.
    pub(super) fn gathered(&self, parts: Vec<(String, Result<TaskResult, Failure>)>) -> String {
        let told = |(name, done): (String, Result<TaskResult, Failure>)| match done {
            Ok(done) => (name, json!({ "status": "completed", "answer": done.output })),
            Err(failure) => {
                let status = Answer::<()>::Failed(failure.clone()).status();
                (name, json!({ "status": status, "code": failure.code(), "message": failure.message() }))
            }
        };
        let parts: Map<String, Value> = parts.into_iter().map(told).collect();
        data(json!({ "tool": self.tool, "status": "completed" }), Value::Object(parts))
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

    const LIMIT: Duration = Duration::from_secs(7);

    fn callable(name: &str, jobs: &[&str]) -> Callable {
        let jobs: Vec<_> = jobs.iter().map(|job| ((*job).to_owned(), None)).collect();
        let (name, timeout) = (name.into(), LIMIT);
        Callable { name, is_agent: !jobs.is_empty(), description: None, when: None, timeout, input: None, jobs }
    }

    fn becomes(toolbox: &Toolbox, tool: &str, arguments: &str) -> Becomes {
        wishes(toolbox, &[ToolCall::new("1", tool, arguments)]).remove(0).becomes
    }

    #[test]
    fn what_is_not_offered_is_no_tool() {
        let toolbox = toolbox(&[], 0, false, false);
        assert!(toolbox.shown().next().is_none());
        for tool in ["ask_person", "transfer", "hand_off", "subagents", "refund"] {
            assert!(matches!(becomes(&toolbox, tool, "{}"), Becomes::Nothing { code, .. } if code == "unknown-tool"));
        }
    }

    #[test]
    fn bad_arguments_start_nothing() {
        let toolbox = toolbox(&[callable("pay", &[]), callable("writer", &["turn"])], 2, true, true);
        let bad = [
            ("pay", "[1]"),
            ("pay", "{"),
            ("pay", "\"x\""),
            ("ask_person", "{}"),
            ("subagents", r#"{"tasks":{}}"#),
            ("hand_off", r#"{"message":" "}"#),
            ("transfer", r#"{"agent":"pay","note":"x"}"#),
        ];
        for (tool, arguments) in bad {
            let becomes = becomes(&toolbox, tool, arguments);
            assert!(matches!(&becomes, Becomes::Nothing { code, .. } if code == "bad-arguments"), "{becomes:?}");
        }
        let parts = becomes(&toolbox, "subagents", r#"{"tasks":{"a":"x","b":"y","c":"z"}}"#);
        assert!(matches!(&parts, Becomes::Nothing { code, .. } if code == "too-many-subagents"), "{parts:?}");
    }

    #[test]
    fn what_was_recorded_before_there_were_limits_is_read() {
        let recorded = r#"{"id":"1","tool":"pay","arguments":{},"becomes":{"call":{"name":"pay","job":null}}}"#;
        let wish: Wish = serde_json::from_str(recorded).unwrap();
        assert_eq!(wish.becomes, Becomes::Call { name: "pay".into(), job: None, limit: None });
    }

    #[test]
    fn what_ends_the_turn_stands_alone() {
        let toolbox = toolbox(&[callable("pay", &[])], 0, false, true);
        let off = ToolCall::new("1", "hand_off", r#"{"message":"Wait."}"#);
        assert!(!wishes(&toolbox, std::slice::from_ref(&off))[0].goes_on());
        let both = wishes(&toolbox, &[off, ToolCall::new("2", "pay", "{}")]);
        assert!(matches!(&both[0].becomes, Becomes::Nothing { code, .. } if code == "not-alone"));
        assert_eq!(both[1].becomes, Becomes::Call { name: "pay".into(), job: None, limit: Some(LIMIT) });
        let many = vec![ToolCall::new("1", "pay", "{}"); MOST_CALLS + 1];
        assert!(matches!(&wishes(&toolbox, &many)[MOST_CALLS].becomes, Becomes::Nothing { .. }));
    }
}
