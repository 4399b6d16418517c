//! Conversations on the command line: a chat that a person took over, with a real engine in between.

mod common;

use common::{Said, block_on, rejoin, starting_none};
use rejoin::{Agent, Context, Engine, Failure, Job, Task, Turn, Workflow};
use serde_json::{Value, json};
use tempfile::TempDir;

const SUPPORT: Job<Turn, String> = Job::turns("support");
const CLERK: Job<Task, String> = Job::tasks("clerk");
const FILE: Workflow<String, String> = Workflow::named("file");

async fn support(ctx: Context, turn: Turn) -> Result<String, Failure> {
    match turn.text().as_str() {
        "help" => {
            ctx.hand_off("A colleague is coming.").email("help@example.com").await?;
            Ok("I am back.".to_owned())
        }
        "break" => Err(Failure::business("broken", "down")),
        text => Ok(format!("you said {text}")),
    }
}

/// A folder with a chat that a person has, and a task that is done; the chat's id.
fn store() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let _none = starting_none();
    let id = block_on(async {
        let engine = Engine::open(folder.path())
            .person("ann")
            .person("bob")
            .agent(Agent::named("support"))
            .job(&SUPPORT, support)
            .job(&CLERK, |_: Context, task: Task| async move { Ok(format!("filed: {}", task.description)) })
            .workflow(&FILE, |ctx: Context, what: String| async move { Ok(ctx.task("clerk", what).await?.text()) })
            .start()
            .await
            .unwrap();
        engine.trigger(&FILE, "the receipt".to_owned()).await.unwrap().result().await.unwrap();
        let chat = engine.conversation("support").user("ann").key("slack:1").await.unwrap();
        for text in ["hi \u{1b}[31m", "break"] {
            chat.say(text).await.unwrap().settled().await.unwrap();
        }
        chat.say("help").await.unwrap();
        while chat.info().unwrap().row.review.is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        chat.claim("bob").await.unwrap();
        chat.reply("bob", "Let me see.").await.unwrap();
        engine.shutdown().await;
        chat.id().to_string()
    });
    (folder, id)
}

fn on(folder: &TempDir, command: &str, after: &[&str]) -> Said {
    let folder = folder.path().to_str().unwrap();
    rejoin([command, folder].iter().chain(after))
}

#[test]
fn conversations_are_listed_and_what_was_said_is_shown() {
    let (folder, id) = store();
    let all = on(&folder, "conversations", &["--json"]).json();
    let agents: Vec<&Value> = all.iter().map(|row| &row["agent"]).collect();
    assert_eq!(agents, ["support", "clerk"], "the one with the latest message first");
    let chat = &all[0];
    assert_eq!(
        (&chat["user"], &chat["key"], &chat["owner"], &chat["task"]),
        (&json!("ann"), &json!("slack:1"), &json!("bob"), &json!(false))
    );
    assert_eq!((&chat["turns"], &chat["messages"], &chat["closed"]), (&json!(1), &json!(7), &json!(false)));
    let review = on(&folder, "conversations", &["--review"]);
    assert!(review.status == 0 && review.out.contains("bob has it") && !review.out.contains("clerk"), "{review:?}");
    let none = on(&folder, "conversations", &["--user", "nobody"]);
    assert!(none.out.is_empty() && none.err.contains("no such conversations"), "{none:?}");

    let said = on(&folder, "conversation", &[&id[..8]]);
    assert_eq!(said.status, 0, "{said:?}");
    for line in [
        "you said",
        "failed: broken: down",
        "A colleague is coming. (help@example.com) (a person is asked",
        "Let me see.",
    ] {
        assert!(said.out.contains(line), "{line}: {said:?}");
    }
    assert!(!said.out.contains('\u{1b}'), "what people said cannot move the cursor");
    let messages = on(&folder, "conversation", &[&id, "--json"]).json();
    let sorts: Vec<&Value> = messages.iter().map(|message| &message["sort"]).collect();
    assert_eq!(sorts, ["said", "reply", "said", "reply", "said", "handoff", "said"]);
    assert_eq!(messages[3]["failure"], json!({ "code": "broken", "message": "broken: down" }));
    assert_eq!((&messages[6]["speaker"], &messages[6]["name"]), (&json!("person"), &json!("bob")));
}

#[test]
fn conversations_are_no_runs_and_the_other_commands_know_them() {
    let (folder, id) = store();
    let runs = on(&folder, "runs", &["--json"]).json();
    assert!(runs.iter().all(|run| !run["workflow"].as_str().unwrap().starts_with('$')), "{runs:?}");
    assert_eq!(on(&folder, "runs", &["--json", "--workflow", "$conversation"]).json().len(), 2);
    assert_eq!(on(&folder, "verify", &[]).status, 0);
    let why = on(&folder, "why", &[&id]);
    assert!(why.status == 0 && why.out.contains("a person, who has the conversation"), "{why:?}");
    // The turn waits for the person; the task's conversation, in which nothing happens, is left out.
    let doctor = on(&folder, "doctor", &["--json"]).json();
    let on_what: Vec<&Value> = doctor.iter().map(|why| &why["waits"][0]["on"]).collect();
    assert_eq!(on_what, ["handoff", "handoff"], "{doctor:?}");
    let events = on(&folder, "events", &[&id]);
    assert!(events.status == 0 && events.out.contains("ReviewClaimed"), "{events:?}");
    assert_eq!(on(&folder, "replay", &[&id]).status, 0);
    // Both go through an export.
    let exported = on(&folder, "export", &[]).out;
    assert!(exported.contains("MessageAdded") || exported.contains("Conversation"), "{exported}");
    let no_talk = runs[0]["id"].as_str().unwrap().to_owned();
    let nothing = on(&folder, "conversation", &[&no_talk]);
    assert!(nothing.out.is_empty() && nothing.err.contains("is it a conversation?"), "{nothing:?}");
}
