//! Agents that are programs, with real ones.

use crate::agents::command::{self, CommandAgent, end_programs};
use crate::agents::secret::SecretRef;
use crate::stage::{AGENT, Stage, gone, granted, of, of_script, script, written};
use rejoin::{Context, Failure, RunStatus, Workflow};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// Starts a process of its own, and leaves both numbers in a file.
const TWO: &str = r#"trap '' TERM; sleep 1000 & echo "$$ $!" > "$PLACE/pids"; wait; sleep 1000"#;

fn in_place(text: &str) -> (tempfile::TempDir, CommandAgent) {
    let place = tempfile::tempdir().unwrap();
    let mut agent = script(text);
    agent.environment.insert("PLACE".to_owned(), place.path().to_str().unwrap().to_owned());
    (place, agent)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_prints_is_its_result() {
    let lines = r#"echo noise; echo '{"progress": 1}'; echo '{"result": [1]}'; echo '{"result": [2]}'; echo more"#;
    let cases = [
        (r"printf 'two\nlines\n'", json!("two\nlines")),
        (r#"printf '{\n"error": 1,\n"b": 2}\n'"#, json!({ "error": 1, "b": 2 })),
        (r#"printf '{"a": 12345678901234567890}'"#, json!({ "a": 12345678901234567890_u64 })),
        (lines, json!([2])),
        (":", Value::Null),
        ("exec >&-; exit 0", Value::Null),
    ];
    for (text, result) in cases {
        assert_eq!(of_script(text).await, Ok(result), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fails_says_how() {
    let cases = [
        (
            r#"echo '{"error": {"code": "no stock", "message": "none: left"}}'; exit 3"#,
            "no-stock",
            "no-stock: none: left",
        ),
        ("echo boom >&2; exit 3", "exit-3", "exit-3: the program ended with exit status 3: boom"),
        ("exit 64", "exit-64", "exit-64: the program ended with exit status 64"),
        ("kill -9 $$", "signal-9", "signal-9: the program was killed by signal 9"),
        (r#"echo '{"artefact": 1}'"#, "bad-output", "bad-output: line 1: "),
    ];
    for (text, code, message) in cases {
        let failure = of_script(text).await.unwrap_err();
        assert_eq!(failure.code(), code, "{text}");
        assert!(failure.message().starts_with(message), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_be_started_is_named() {
    for (program, folder, code) in [
        ("no-such-program", "/", "no-program"),
        ("/etc/passwd", "/", "no-program"),
        ("sh", "/no/such/folder", "no-folder"),
    ] {
        let agent = CommandAgent { program: vec![program.to_owned()], folder: folder.into(), ..script("") };
        assert_eq!(of(agent).await.unwrap_err().code(), code);
    }
    let agent = CommandAgent { program: Vec::new(), ..script("") };
    assert_eq!(of(agent).await.unwrap_err().code(), "no-program");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_help_is_tried_again_and_what_may_not_is_not() {
    for (end, attempts) in [("exit 3", 3), ("exit 64", 1), ("exit 78", 1), ("exit 79", 3), ("kill -15 $$", 3)] {
        let (place, agent) = in_place(&format!(r#"echo x >> "$PLACE/tries"; {end}"#));
        of(CommandAgent { attempts: 3, ..agent }).await.unwrap_err();
        let tries = fs::read_to_string(place.path().join("tries")).unwrap();
        assert_eq!(tries.lines().count(), attempts, "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_prints_too_much_is_stopped() {
    let (place, agent) = in_place(r#"echo $$ > "$PLACE/pid"; while :; do echo 0123456789012345678901234567890; done"#);
    let failure = of(CommandAgent { output_bytes: 100_000, attempts: 3, ..agent }).await.unwrap_err();
    assert_eq!(failure.code(), "output-limit");
    gone(&written(&place.path().join("pid")).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_takes_too_long_goes_with_all_that_it_started() {
    let (place, agent) = in_place(TWO);
    let began = Instant::now();
    let failure = of(CommandAgent { timeout: Duration::from_millis(300), ..agent }).await.unwrap_err();
    assert_eq!(failure.code(), "timeout");
    // It does not heed being asked to end.
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
    for pid in written(&place.path().join("pids")).await.split_whitespace() {
        gone(pid).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_program_has_time_to_tidy_up() {
    let text = r#"
        (trap 'sleep 0.3; echo tidy > "$PLACE/tidy"; exit' TERM; echo x > "$PLACE/works"; while :; do sleep 0.05; done) &
        while :; do sleep 0.05; done"#;
    let (place, agent) = in_place(text);
    let stage = Stage::command(agent).await;
    let run = stage.engine.job_json(AGENT, None, &Value::Null).await.unwrap();
    written(&place.path().join("works")).await;
    run.cancel("nobody wants it").await.unwrap();
    assert_eq!(written(&place.path().join("tidy")).await, "tidy");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_leaves_behind_goes_when_it_ends() {
    let (place, agent) = in_place(r#"sleep 1000 & echo $! > "$PLACE/pid"; echo done"#);
    let began = Instant::now();
    assert_eq!(of(agent).await, Ok(json!("done")));
    assert!(began.elapsed() < Duration::from_secs(10));
    gone(&written(&place.path().join("pid")).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_has_so_much_memory() {
    let text = r#"awk 'BEGIN { s = "x"; while (length(s) < 300000000) s = s s; print length(s) }'"#;
    let failure = of(CommandAgent { memory_bytes: 100 << 20, ..script(text) }).await.unwrap_err();
    assert!(failure.code().starts_with("exit-") || failure.code().starts_with("signal-"), "{failure}");
    assert_eq!(of_script("ulimit -v").await, Ok(json!(4 << 20)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_ends_its_program() {
    let (place, agent) = in_place(TWO);
    let stage = Stage::command(agent).await;
    let run = stage.engine.job_json(AGENT, None, &Value::Null).await.unwrap();
    let pids = written(&place.path().join("pids")).await;
    run.cancel("nobody wants it").await.unwrap();
    run.result().await.unwrap_err();
    for pid in pids.split_whitespace() {
        gone(pid).await;
    }
    assert_eq!(run.describe().unwrap().row.status, RunStatus::Cancelled);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_has_a_clean_environment_and_a_folder_that_goes() {
    let mut agent = script(r#"env | cut -d= -f1 | sort | tr '\n' ' '"#);
    agent.environment.insert("DECLARED".to_owned(), "x".to_owned());
    let names = of(agent).await.unwrap();
    let mut names: Vec<&str> = names.as_str().unwrap().split_whitespace().collect();
    // What the script's own shell adds.
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    let known = [
        "DECLARED",
        "HOME",
        "LANG",
        "PATH",
        "REJOIN_BIN",
        "REJOIN_KEY",
        "REJOIN_RUN",
        "REJOIN_RUN_TOKEN",
        "REJOIN_URL",
        "TMPDIR",
    ];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    assert!(["DECLARED", "PATH", "REJOIN_RUN_TOKEN"].iter().all(|name| names.contains(name)), "{names:?}");

    let folder = of_script(r#"touch "$TMPDIR/x"; printf %s "$TMPDIR""#).await.unwrap();
    assert!(!fs::exists(folder.as_str().unwrap()).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_the_environment_and_in_nothing_that_is_kept() {
    let kept = tempfile::NamedTempFile::new().unwrap();
    fs::write(kept.path(), "correct horse\n").unwrap();
    let with = |text: &str, secret: SecretRef| {
        let mut agent = script(text);
        agent.secrets.insert("SECRET".to_owned(), secret);
        agent
    };
    let file = SecretRef::File(kept.path().to_owned());
    let said = of(with(r#"test "$SECRET" = 'correct horse' && printf '["%s"]' "$SECRET""#, file.clone())).await;
    assert_eq!(said, Ok(json!(["[redacted]"])));
    let failure = of(with(r#"echo "it is $SECRET" >&2; exit 1"#, file.clone())).await.unwrap_err();
    assert_eq!(failure.message(), "exit-1: the program ended with exit status 1: it is [redacted]");
    let failure = of(with(r#"printf '{"error": {"code": "x", "message": "%s"}}' "$SECRET""#, file)).await.unwrap_err();
    assert_eq!(failure.message(), "x: [redacted]");
    assert_eq!(of_script(r#"echo "$REJOIN_RUN_TOKEN""#).await, Ok(json!("[redacted]")));
    let failure = of(with(":", SecretRef::Environment("NO_SUCH_VARIABLE".to_owned()))).await.unwrap_err();
    assert!(failure.code() == "no-secret" && failure.message().contains("NO_SUCH_VARIABLE"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_its_job() {
    let stage = Stage::command(script("cat")).await;
    let run = stage.engine.job_json(AGENT, Some("draft"), &json!({ "n": 1 })).metadata("tenant", "x").await.unwrap();
    let told = run.result().await.unwrap();
    let key = format!("{}/0/0", run.id());
    let known = json!({ "kind": "job", "job": "draft", "input": { "n": 1 }, "attempt": 1, "key": key, "subagent": false, "conversation": null, "documents": [] });
    assert_eq!(told, known);
    stage.end().await;
}

const ASSIGN: Workflow<(), Value> = Workflow::named("assign");

async fn assign(ctx: Context, _: ()) -> Result<Value, Failure> {
    let mut task = ctx.task(AGENT, "Read it.").output(json!({ "type": "object", "required": ["content"] }));
    for document in ctx.documents() {
        task = task.document(&document);
    }
    let done = task.await?;
    Ok(json!({ "output": done.output, "artefacts": done.artefacts, "tokens": done.usage.output_tokens }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_comes_with_documents_and_complaints() {
    let text = r#"
        read -r told
        case "$told" in
            *'"complaint":{'*)
                path=$(printf %s "$told" | sed 's/.*"path":"\([^"]*\)".*/\1/')
                echo '{"artefact": {"name": "note", "value": 1}}'; echo '{"usage": {"output_tokens": 5}}'
                echo '{"emit": "piece"}'
                printf '{"result": {"content": "%s"}}\n' "$(cat "$path")" ;;
            *) echo '"not yet"' ;;
        esac"#;
    let agent = script(text);
    let stage = Stage::with(|builder, door| command::register(builder, agent, door).workflow(&ASSIGN, assign)).await;
    let document = stage.engine.keep_document("../terms.txt", b"the terms").await.unwrap();
    let run = stage.engine.trigger(&ASSIGN, ()).document(&document).await.unwrap();
    let done = run.result().await.unwrap();
    assert_eq!(done, json!({ "output": { "content": "the terms" }, "artefacts": { "note": 1 }, "tokens": 5 }));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_comes_with_what_was_said_before() {
    let text = r#"read -r told; printf '{"result": "%s"}' "$(printf %s "$told" | tr -cd 'a-z0-9:,')""#;
    let agent = script(text);
    let stage = Stage::with(|builder, door| command::register(builder.person("ann"), agent, door)).await;
    let chat = stage.engine.conversation(AGENT).user("ann").key("c").await.unwrap();
    chat.say("hello").await.unwrap().reply::<String>().await.unwrap();
    let reply = chat.say("again").await.unwrap().reply::<String>().await.unwrap();
    assert!(reply.contains("message:again,from:ann,number:3"), "{reply}");
    assert!(reply.contains("history:number:1,speaker:user,name:ann,text:hello,number:2,speaker:agent"), "{reply}");
    assert!(!reply.contains("text:again"), "{reply}");
    stage.end().await;
}

const CHILD: Workflow<Value, Value> = Workflow::named("child").describe("Answers.");

async fn child(ctx: Context, input: Value) -> Result<Value, Failure> {
    match input["fail"].as_str() {
        Some("late") => ctx.sleep(Duration::from_secs(100)).await.map(|()| Value::Null),
        Some(code) => Err(Failure::business(code, "as asked")),
        None => Ok(json!({ "child": ctx.run_id().to_string(), "input": input })),
    }
}

/// With an agent that may trigger these, and has the command line.
async fn triggering(grants: &[&str], agent: CommandAgent) -> Stage {
    let mut agent = CommandAgent { attempts: 2, ..agent };
    agent.environment.insert("REJOIN".to_owned(), env!("CARGO_BIN_EXE_rejoin").to_owned());
    let grants = granted(grants);
    Stage::with(|builder, door| command::register(builder.agent(grants).workflow(&CHILD, child), agent, door)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_triggers_what_its_agent_is_granted() {
    let text = r#""$REJOIN" trigger child --input n=7 --input s=text --timeout 1m"#;
    let stage = triggering(&["child"], script(text)).await;
    let done = stage.job(Value::Null).await.unwrap();
    assert_eq!(done["input"], json!({ "n": 7, "s": "text" }));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_trigger_ends_is_an_exit_status() {
    let cases: [(&[&str], &str, &str); 5] = [
        (&[], r#"trigger child"#, "3 not-granted"),
        (&["child"], r#"trigger no-such"#, "3 unknown-workflow"),
        (&["child"], r#"trigger child --input fail=no-stock"#, "1 no-stock"),
        (&["child"], r#"trigger child --input fail=late --timeout 1s"#, "4 deadline"),
        (&["child"], r#"trigger child --timeout 1"#, "2 timeout"),
    ];
    for (grants, arguments, end) in cases {
        let text = format!(r#"said=$("$REJOIN" {arguments} 2>&1 >/dev/null); printf '%s %s' $? "$said""#);
        let stage = triggering(grants, script(&text)).await;
        let said = stage.job(Value::Null).await.unwrap();
        let (status, code) = end.split_once(' ').unwrap();
        let said = said.as_str().unwrap();
        assert!(said.starts_with(status) && said.contains(code), "{arguments}: {said}");
        stage.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_attempt_finds_the_child_of_the_first() {
    for key in ["", "--key mine"] {
        let text =
            format!(r#""$REJOIN" trigger child {key} | tee -a "$PLACE/children"; mkdir "$PLACE/second" && exit 1; :"#);
        let (place, agent) = in_place(&text);
        let stage = triggering(&["child"], agent).await;
        stage.job(Value::Null).await.unwrap();
        let children = fs::read_to_string(place.path().join("children")).unwrap();
        let children: Vec<&str> = children.lines().collect();
        assert!(children.len() == 2 && children[0] == children[1], "{children:?}");
        stage.end().await;
    }
}

#[test]
fn without_a_run_there_is_nothing_to_trigger_for() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rejoin"));
    let said = command.args(["trigger", "x"]).env_remove("REJOIN_URL").output().unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stderr).contains("REJOIN_URL is not set"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_a_program_is_can_be_watched() {
    let text =
        r#"echo '{"progress":{"pages":1}}'; echo '{"progress":"with the token '"$REJOIN_RUN_TOKEN"'"}'; sleep 20"#;
    let stage = Stage::command(script(text)).await;
    let run = stage.engine.job_json(AGENT, None, &Value::Null).await.unwrap();
    let last = async {
        let mut number = 0;
        loop {
            let update = run.next_progress(number).await.unwrap().pop().unwrap();
            number = update.number;
            let value: Value = update.value().unwrap();
            if value.is_string() {
                break value;
            }
        }
    };
    // What comes too fast is left out; the last of it is not, and secrets are.
    let last = tokio::time::timeout(Duration::from_secs(10), last).await.unwrap();
    assert!(last.as_str().unwrap().starts_with("with the token ["), "{last}");
    run.cancel("seen").await.unwrap();
    assert!(run.result().await.is_err());
    stage.end().await;
}

#[test]
fn programs_of_a_process_that_was_killed_are_known_by_where_their_temporary_files_are() {
    let all = tempfile::tempdir().unwrap();
    let all = all.path().canonicalize().unwrap();
    let sleeps = |folder: &str| {
        let mut command = std::process::Command::new("sleep");
        command.arg("60").env("TMPDIR", all.join(folder)).spawn().unwrap()
    };
    let (mut left, mut own) = (sleeps("left/1"), sleeps("own/1"));
    end_programs(&all, Some(&all.join("own")));
    assert!(!left.wait().unwrap().success());
    assert!(own.try_wait().unwrap().is_none(), "it works for this process");
    end_programs(&all.join("own"), None);
    assert!(!own.wait().unwrap().success());
}
