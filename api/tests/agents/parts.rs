//! Agents that divide their work, with real programs.

use crate::agents::command::{self, CommandAgent};
use crate::stage::{Stage, granted, script};
use rejoin::{Context, Failure, Workflow};
use serde_json::{Value, json};

const CHILD: Workflow<Value, Value> = Workflow::named("child");

async fn child(ctx: Context, input: Value) -> Result<Value, Failure> {
    Ok(json!({ "of": input["of"], "depth": ctx.depth() }))
}

/// What the program does as a subagent, and what it does before it has any.
fn divided(part: &str, whole: &str) -> CommandAgent {
    let text = format!(
        r#"asked=$(cat); task() {{ printf %s "$asked" | "$REJOIN" pick task; }}
           if [ "$(printf %s "$asked" | "$REJOIN" pick subagent)" = true ]; then {part}; else {whole}; fi"#
    );
    let mut agent = script(&text);
    agent.environment.insert("REJOIN".to_owned(), env!("CARGO_BIN_EXE_rejoin").to_owned());
    agent
}

/// With an agent that may have two subagents, and does so many jobs at a time.
async fn stage(at_most: Option<u32>, agent: CommandAgent) -> Stage {
    let declared = at_most.into_iter().fold(granted(&["child"]).subagents(2), rejoin::Agent::at_most);
    Stage::with(|builder, door| command::register(builder.agent(declared).workflow(&CHILD, child), agent, door)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_f9_the_answers_of_subagents_come_back_by_name() {
    // Who waits for them has the only place of an agent that does one job at a time.
    for at_most in [None, Some(1)] {
        let whole = r#""$REJOIN" subagents north="the north" south="the south""#;
        let stage = stage(at_most, divided(r#"printf "saw %s" "$(task)""#, whole)).await;
        assert_eq!(stage.job(Value::Null).await, Ok(json!({ "north": "saw the north", "south": "saw the south" })));
        stage.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_f9_a_swarm_triggers_workflows_side_by_side() {
    let part = r#""$REJOIN" trigger child --input of="$(task)""#;
    let stage = stage(Some(1), divided(part, r#""$REJOIN" subagents a=first b=second"#)).await;
    let expected = json!({ "a": { "of": "first", "depth": 1 }, "b": { "of": "second", "depth": 1 } });
    assert_eq!(stage.job(Value::Null).await, Ok(expected));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_f9_no_more_subagents_than_the_agent_may_have() {
    // The same name is the same part, in whatever request it comes.
    let whole = r#""$REJOIN" subagents a=1 b=2 >/dev/null; "$REJOIN" subagents a=1 >&2 || exit 3; "$REJOIN" subagents c=3 2>&1; :"#;
    let stage = stage(None, divided("task", whole)).await;
    let said = stage.job(Value::Null).await.unwrap();
    let said = said.as_str().unwrap();
    assert!(said.contains("the job may have 2 subagents, has had 2, and these would be 1 more"), "{said}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_f9_a_subagent_has_none_and_one_that_fails_is_told_beside_the_others() {
    let part = r#"if [ "$(task)" = deeper ]; then "$REJOIN" subagents more=x 2>&1; :; else exit 9; fi"#;
    let whole = r#""$REJOIN" subagents a=deeper b=fail 2>&1; echo "status $?""#;
    let stage = stage(None, divided(part, whole)).await;
    let said = stage.job(Value::Null).await.unwrap();
    let said = said.as_str().unwrap();
    assert!(said.contains("a subagent has none of its own"), "{said}");
    assert!(said.contains("b: ") && said.contains("exit status 9") && said.contains("status 1"), "{said}");
    stage.end().await;
}

/// Messages of the protocol, and what `rejoin mcp` answers to them.
fn spoken(messages: &[Value]) -> String {
    let lines: String = messages.iter().map(|message| format!("{message}\n")).collect();
    format!(r#"printf '%s' '{}' | "$REJOIN" mcp"#, lines.replace('\'', r"'\''"))
}

fn request(id: u32, method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

fn opening() -> [Value; 2] {
    let client = json!({ "name": "test", "version": "1" });
    let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
    [request(1, "initialize", params), json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })]
}

/// What a program was answered that says this, by the ids of its requests.
async fn answered(part: &str, messages: &[Value]) -> Vec<Value> {
    let all = [&opening()[..], messages].concat();
    let stage = stage(None, divided(part, &spoken(&all))).await;
    let said = stage.job(Value::Null).await.unwrap();
    stage.end().await;
    let lines = said.as_str().unwrap().lines();
    let mut answers: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    answers.sort_by_key(|answer| answer["id"].as_u64());
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_c6_a_program_finds_what_it_is_granted_as_tools() {
    let messages = [
        request(2, "tools/list", json!({})),
        request(3, "tools/call", json!({ "name": "child", "arguments": { "of": "it" } })),
        request(4, "tools/call", json!({ "name": "subagents", "arguments": { "tasks": { "a": "one" } } })),
        request(5, "tools/call", json!({ "name": "no-such", "arguments": {} })),
    ];
    let answers = answered("task", &messages).await;
    assert_eq!(answers.iter().map(|answer| answer["id"].clone()).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(answers[0]["result"]["serverInfo"]["name"], "rejoin");
    assert_eq!(answers[0]["result"]["protocolVersion"], "2025-06-18");
    let tools = answers[1]["result"]["tools"].as_array().unwrap();
    assert_eq!(tools.iter().map(|tool| &tool["name"]).collect::<Vec<_>>(), ["child", "subagents"]);
    let text = |answer: &Value| -> Value {
        assert_ne!(answer["result"]["isError"], true, "{answer}");
        serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap()
    };
    assert_eq!(text(&answers[2]), json!({ "of": "it", "depth": 1 }));
    assert_eq!(text(&answers[3]), json!({ "a": { "status": "completed", "output": "one" } }));
    let message = answers[4]["error"]["message"].as_str().unwrap();
    assert_eq!(message, r#"there is no tool "no-such"; there are: child, subagents"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_c6_what_is_not_granted_is_no_tool_and_a_failure_is_told() {
    let call = |id, arguments| request(id, "tools/call", json!({ "name": "subagents", "arguments": arguments }));
    let messages = [call(2, json!({ "tasks": {} })), call(3, json!({ "tasks": { "a": "x", "b": "y", "c": "z" } }))];
    let answers = answered("exit 7", &messages).await;
    assert_eq!(answers[1]["result"]["isError"], true);
    let told = &answers[2]["result"];
    assert_eq!(told["isError"], true);
    assert_eq!(told["content"][0]["text"], "the job may have 2 subagents, has had 0, and these would be 3 more");
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_c6_rubbish_is_answered_and_harms_nothing_beside_it() {
    let call = |id| request(id, "tools/call", json!({ "name": "subagents", "arguments": { "tasks": { "a": "x" } } }));
    let messages = [call(2), json!("rubbish"), json!({}), request(6, "no/such", json!({}))];
    let answers = answered("task", &messages).await;
    // Each line has an answer, and what came after it too.
    assert_eq!(answers.len(), 5, "{answers:?}");
    let errors = answers.iter().filter(|answer| answer["error"]["code"].is_i64()).count();
    assert_eq!(errors, 3, "{answers:?}");
    assert!(answers.iter().all(|answer| answer["jsonrpc"] == "2.0"));
}

#[test]
fn without_a_run_there_are_no_tools() {
    for command in [vec!["mcp"], vec!["subagents", "a=b"]] {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_rejoin"));
        let said = program.args(command).env_remove("REJOIN_URL").output().unwrap();
        assert_eq!(said.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&said.stderr).contains("REJOIN_URL is not set"), "{said:?}");
    }
}
