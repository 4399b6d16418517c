//! Agents of definition files that are language models, of an endpoint that speaks the chat completions API.

mod common;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../src/agents/model/tests/server.rs"]
mod server;

use common::{Said, folder, rejoin};
use serde_json::{Value, json};
use server::{Reply, Seen, Server, calls, named_calls, plain, text_lines};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

const WORKFLOWS: &str = "
workflow: refund
describe: Pays an order back.
metadata: [order]
input:
  reason: { type: string, describe: Why the customer wants that. }
nodes: { it: { end: 'order {{ metadata.order }}: {{ input.reason }}' } }
";
const DESK: &str = "
workflow: desk
metadata: [order]
start: work
stages:
  work: { assign: { agent: clerk, task: The lamp is broken., may: [trigger] }, then: end }
output: '{{ work.text }}'
";

/// A project whose clerk is a model there, and what else it is said to have.
fn project(url: &str, more: &str, files: &[(&str, &str)]) -> TempDir {
    let rejoin = format!(
        "agents:\n  clerk:\n    model: {{ url: '{url}', name: small, instructions: You are a clerk., allow_inner: true }}\n\
         \x20   grants: [{{ name: refund, when: something is broken }}]\n{more}"
    );
    let own = [("rejoin.yaml", rejoin.as_str()), ("workflows/refund.yaml", WORKFLOWS), ("workflows/desk.yaml", DESK)];
    folder(&[&own[..], files].concat())
}

async fn run(command: &'static str, folder: &Path, more: &[&'static str]) -> Said {
    let arguments: Vec<String> =
        [command, folder.to_str().unwrap()].iter().chain(more).map(|it| (*it).to_owned()).collect();
    // The endpoint answers meanwhile.
    tokio::task::spawn_blocking(move || rejoin(arguments)).await.unwrap()
}

/// Triggers the refund, and says what came of it.
fn clerk(seen: &Seen) -> Reply {
    match seen.last() {
        ("tool", told) => {
            let told: Value = serde_json::from_str(told).unwrap();
            Reply::Stream(text_lines(&format!("Done: {}", told["data"].as_str().unwrap_or("nothing"))))
        }
        _ => calls(&[("refund", r#"{"reason":"broken","order":"another"}"#)]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_c5_a_model_of_a_file_triggers_what_it_is_granted_and_cannot_choose_the_metadata() {
    let server = Server::answering(clerk).await;
    let folder = project(&server.url, "main: desk\n", &[]);
    let said = run("run", folder.path(), &["--metadata", "order=4711"]).await;
    assert_eq!(said.status, 0, "{said:?}");
    assert!(said.out.contains("Done: order 4711: broken"), "{said:?}");
    let tools = server.seen()[0].body["tools"].clone();
    let function = &tools[0]["function"];
    assert_eq!((tools.as_array().unwrap().len(), &function["name"]), (1, &json!("refund")));
    assert_eq!(function["description"], "Pays an order back.\nWhen to use it: something is broken");
    // It is shown what the file declares, and of metadata nothing.
    let reason = json!({ "type": "string", "description": "Why the customer wants that." });
    assert_eq!(function["parameters"]["properties"], json!({ "reason": reason }));
    assert!(!server.seen()[0].body.to_string().contains("4711"));
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_c1_inputs_that_do_not_fit_start_nothing_and_the_model_learns_which() {
    let server = Server::answering(|seen| match seen.messages().len() {
        2 => calls(&[("refund", r#"{"reason":7,"sum":"all"}"#)]),
        _ => plain("I see."),
    })
    .await;
    let folder = project(&server.url, "main: desk\n", &[]);
    let said = run("run", folder.path(), &["--metadata", "order=4711", "--no-tty"]).await;
    assert_eq!(said.status, 0, "{said:?}");
    let runs = rejoin(["runs".to_owned(), folder.path().join(".rejoin").display().to_string(), "--json".to_owned()]);
    assert!(runs.out.contains("desk") && !runs.out.contains(r#""workflow":"refund""#), "{runs:?}");
    let seen = server.seen();
    let told: Value = serde_json::from_str(seen[1].last().1).unwrap();
    assert_eq!(told["code"], "bad-input", "{told}");
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("/reason") && message.contains("sum"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_f9_a_model_of_a_file_has_the_subagents_that_it_declares() {
    let server = Server::answering(|seen| match seen.last() {
        ("user", "The lamp is broken.") => calls(&[("subagents", r#"{"tasks":{"a":"Part one.","b":"Part two."}}"#)]),
        ("user", part) => plain(&format!("did {part}")),
        (_, told) => plain(told),
    })
    .await;
    let folder = project(&server.url, "    subagents: 2\nmain: desk\n", &[]);
    let said = run("run", folder.path(), &["--metadata", "order=4711", "--no-tty"]).await;
    assert_eq!(said.status, 0, "{said:?}");
    assert!(said.out.contains("did Part one.") && said.out.contains("did Part two."), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_f1_what_a_model_triggers_may_take_as_long_as_its_grant_says() {
    let wait = ("workflows/wait.yaml", "workflow: wait\nnodes: { it: { wait: 1h, then: end } }\n");
    let server = Server::answering(|seen| match seen.last() {
        ("tool", told) => plain(told),
        _ => calls(&[("wait", "{}")]),
    })
    .await;
    let folder = project(&server.url, "main: desk\n", &[wait]);
    let file = folder.path().join("rejoin.yaml");
    let declared = fs::read_to_string(&file).unwrap();
    let grants = "grants: [{ name: wait, timeout: 1s }]";
    fs::write(&file, declared.replace("grants: [{ name: refund, when: something is broken }]", grants)).unwrap();
    let said = run("run", folder.path(), &["--metadata", "order=4711", "--no-tty"]).await;
    assert_eq!(said.status, 0, "{said:?}");
    assert!(said.out.contains(r#""status":"timed-out""#), "{said:?}");
}

const PLAY: &str = "
agent: clerk
user: ann
metadata: { order: 4711 }
play:
  - say: The lamp is broken.
  - { call: refund, input: { reason: broken } }
  - reply: 'Done: order 4711: broken'
";

#[tokio::test(flavor = "multi_thread")]
async fn spec_c5_no_turn_of_a_file_is_paid_for_twice_over_a_kill_at_every_commit() {
    // Each answer to a first turn has a number, which the second turn shows.
    let answers = AtomicUsize::new(0);
    let server = Server::answering(move |seen| match seen.last() {
        ("tool", _) => clerk(seen),
        _ => named_calls(&answers.fetch_add(1, Ordering::Relaxed).to_string(), &[("refund", r#"{"reason":"broken"}"#)]),
    })
    .await;
    let folder = project(&server.url, "persons: [ann]\n", &[("tests/lamp.yaml", PLAY)]);
    let said = run("test", folder.path(), &["--crash"]).await;
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{said:?}");
    let seen = server.seen();
    let (second, first): (Vec<&Seen>, Vec<&Seen>) = seen.iter().partition(|seen| seen.last().0 == "tool");
    let known = |seen: &Seen| seen.messages().last().unwrap()["tool_call_id"].as_str().unwrap().to_owned();
    // Whatever was killed when: each play went on with one answer, and that was never asked for again.
    let plays: BTreeSet<String> = second.iter().map(|seen| known(seen)).collect();
    assert!(plays.len() > 10, "{} plays", plays.len());
    // Those that were under way when the process was killed, and no others.
    for (turn, asked) in [("first", first.len()), ("second", second.len())] {
        // A kill that finds no turn under way loses none.
        let lost = asked - plays.len();
        assert!(lost <= 6, "the {turn} turn was asked for {asked} times in {} plays", plays.len());
    }
    let keys: BTreeSet<&str> = seen.iter().map(|seen| seen.header("idempotency-key").unwrap()).collect();
    assert_eq!(keys.len(), 2, "a turn that is asked for again has the key that it had: {keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_asked_fails_with_a_code_that_a_flow_can_look_at() {
    let folder = project("http://127.0.0.1:1/v1", "main: desk\n", &[]);
    let file = folder.path().join("rejoin.yaml");
    let declared = fs::read_to_string(&file).unwrap();
    fs::write(&file, declared.replace("    grants:", "    attempts: 1\n    grants:")).unwrap();
    let said = run("run", folder.path(), &["--metadata", "order=4711", "--no-tty"]).await;
    assert!(said.status == 1 && said.err.contains("unreachable: the endpoint cannot be asked"), "{said:?}");
}
