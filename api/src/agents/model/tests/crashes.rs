//! A model's turn is paid for once, wherever the process dies.

use super::agent;
use crate::agents::model::client::{Asking, Hear, Transport};
use crate::agents::model::wire::{Answer, Message, Request, Tokens, ToolCall};
use crate::agents::model::{ModelAgent, register_with};
use rejoin::testkit::{Ledger, RunTest, crash_everywhere, replay};
use rejoin::{Agent, Builder, Context, Engine, Failure, Workflow};
use serde_json::{Value, json};
use std::sync::Arc;

const WORK: Workflow<String, Value> = Workflow::named("work");
const ADD: Workflow<Value, u64> = Workflow::named("add");

/// A model without a network, which is paid by the turn: it calls a tool twice and makes one up, calls it again, and answers.
struct Model {
    bank: Ledger,
}

impl Transport for Model {
    fn ask(&self, key: String, request: Request, _: Hear) -> Asking {
        let results = request.messages.iter().filter(|message| matches!(message, Message::Tool { .. })).count();
        self.bank.once(key, format!("a turn after {results} results"));
        let add = |id: &str, a: usize| ToolCall::new(id, "add", json!({ "a": a, "b": 1 }).to_string());
        let (text, calls) = match results {
            0 => ("", vec![add("x", 1), ToolCall::new("y", "invented", "{}"), add("z", 3)]),
            3 => ("And now this.", vec![add("x", 5)]),
            _ => ("Done.", Vec::new()),
        };
        let answer = Answer { text: text.into(), calls, finish: None, tokens: Some(Tokens { read: 2, written: 1 }) };
        Box::pin(async move { Ok(answer) })
    }
}

async fn work(ctx: Context, what: String) -> Result<Value, Failure> {
    let done = ctx.task("clerk", what).await?;
    Ok(json!([done.output, done.usage.input_tokens, done.actions.len()]))
}

async fn add(ctx: Context, input: Value) -> Result<u64, Failure> {
    let sum = input["a"].as_u64().unwrap_or_default() + input["b"].as_u64().unwrap_or_default();
    ctx.step("add", move || Ok::<_, Failure>(sum)).await
}

fn app(bank: &Ledger) -> Builder {
    app_with(bank, agent("http://localhost"), "add")
}

fn app_with(bank: &Ledger, clerk: ModelAgent, grant: &str) -> Builder {
    let model = Arc::new(Model { bank: bank.clone() });
    register_with(Engine::open("simulated"), clerk, model, None)
        .agent(Agent::named("clerk").grant(grant))
        .workflow(&ADD, add)
        .workflow(&WORK, work)
}

#[test]
fn spec_c5_each_turn_is_paid_for_once() {
    let lived = RunTest::new(app, &WORK, "Add.".to_owned()).run();
    // The turns, the calls and what a job costs are in the report: three turns, three calls.
    assert_eq!(lived.result.unwrap(), json!(["Done.", 6, 6]));
    let turns = ["a turn after 0 results", "a turn after 3 results", "a turn after 4 results"];
    assert_eq!(lived.ledger.effects(), turns);

    let summary = crash_everywhere(app, &WORK, "Add.".to_owned());
    // The workflow, the agent, three calls, and the conversation of the task.
    assert_eq!((summary.effects, summary.runs), (3, 6));
    assert!(summary.crashes > summary.commits && summary.commits > 5, "{summary:?}");
}

#[test]
fn what_has_happened_outlasts_limits_and_grants_that_change() {
    let lived = RunTest::new(app, &WORK, "Add.".to_owned()).run();
    for history in &lived.children {
        let strict = ModelAgent { max_turns: 1, token_budget: Some(1), ..agent("http://localhost") };
        replay(app_with(&lived.ledger, strict, "nothing"), history.run, &history.entries).unwrap();
    }
}
