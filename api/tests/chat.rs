//! `rejoin chat`, as somebody would use it: the binary on a small project, with a program that answers.

mod common;

use common::{Said, command, folder, rejoin, said_with};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROJECT: &str = r#"
project: shop
agents:
  support: { command: [sh, agents/support.sh], grants: [look-up, publish] }
  clerk: { command: "cat > /dev/null; echo 'three books'" }
  native: { rust: true }
persons: [ann, bob]
channels: { desk: console }
"#;

/// Notes each turn that it begins; one that is to wait does so until there is a file `go`.
const SUPPORT: &str = r#"
message=$("$REJOIN_BIN" pick message)
echo "$message" >> begun
case "$message" in
  "look up "*) found=$("$REJOIN_BIN" trigger look-up --input "topic=${message#look up }") && echo "I found $found" ;;
  "publish "*) "$REJOIN_BIN" trigger publish --input "text=${message#publish }" > told && "$REJOIN_BIN" pick answer < told ;;
  wait*) for _ in $(seq 300); do [ -e go ] && break; sleep 0.1; done; echo "waited" ;;
  *) echo "you said $message" ;;
esac
"#;

const LOOK_UP: &str = r#"
workflow: look-up
input: { topic: string }
nodes:
  found: { task: "Look up {{ input.topic }}.", agent: clerk, then: end }
output: "= found"
"#;

const PUBLISH: &str = r#"
workflow: publish
input: { text: string }
nodes:
  asked: { approve: "Publish {{ input.text }}?", persons: [ann], answers: ["yes", "no"], via: desk, then: end }
output: { answer: "= asked.answer + ', ' + asked.comment" }
"#;

struct Shop(TempDir);

impl Shop {
    fn new() -> Shop {
        Shop(folder(&[
            ("rejoin.yaml", PROJECT),
            ("agents/support.sh", SUPPORT),
            ("workflows/look-up.yaml", LOOK_UP),
            ("workflows/publish.yaml", PUBLISH),
        ]))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// With an agent `asking` whose flow has these nodes, and what comes of saying this to it.
    fn asking(&self, nodes: &str, lines: &[&str]) -> Said {
        fs::write(self.path("workflows/talk.yaml"), format!("workflow: talk\nnodes:\n{nodes}")).unwrap();
        let declared = PROJECT.replace("  native:", "  asking: { flow: talk }\n  native:");
        fs::write(self.path("rejoin.yaml"), declared).unwrap();
        let said = lines.iter().flat_map(|line| ["--say", line]);
        rejoin(["chat", "asking", self.0.path().to_str().unwrap()].into_iter().chain(said))
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let folder = self.0.path().to_str().unwrap();
        ["chat", "support", folder].into_iter().chain(more.iter().copied()).collect()
    }

    fn chat(&self, more: &[&str]) -> Said {
        rejoin(self.arguments(more))
    }

    /// The same with these lines on stdin.
    fn piped(&self, lines: &str, more: &[&str]) -> Said {
        fs::write(self.path("lines"), lines).unwrap();
        let stdin = Stdio::from(File::open(self.path("lines")).unwrap());
        said_with(command(self.arguments(more)).stdout(Stdio::piped()), stdin)
    }

    /// Which turns were begun, one after the other.
    fn begun(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("begun")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn let_go(&self) {
        fs::write(self.path("go"), "").unwrap();
    }

    fn runs(&self) -> Vec<Value> {
        rejoin(["runs", self.path(".rejoin").to_str().unwrap(), "--json"]).json()
    }
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what} did not come");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn spec_c7_what_the_agent_asks_is_answered_by_the_next_line() {
    let shop = Shop::new();
    let nodes = "  which: { ask: Which order?, then: told }\n  told: { end: 'Order {{ which }}.' }\n";
    let said = shop.asking(nodes, &["It is late.", "4711", "And more."]);
    assert_eq!(said.status, 0, "{said:?}");
    let lines: Vec<&str> = said.out.lines().collect();
    let told = ["you: It is late.", "asking: Which order?", "you: 4711", "asking: Order 4711.", "you: And more."];
    assert_eq!(lines[..5], told, "{said:?}");
    // It rests with the question, which is still there.
    assert_eq!(lines[5], "asking: Which order?", "{said:?}");
    let why = rejoin(["doctor", shop.path(".rejoin").to_str().unwrap()]);
    assert!(why.status == 0, "{why:?}");
    let said = shop.asking(nodes, &["4712"]);
    assert_eq!(said.out.lines().last(), Some("asking: Order 4712."), "{said:?}");
}

#[test]
fn spec_c7_two_questions_at_once_are_answered_one_after_the_other() {
    let nodes = "  both: { parallel: { a: { ask: First? }, b: { ask: Second? } }, then: told }\n  told: { end: '{{ both.a }} and {{ both.b }}' }\n";
    let said = Shop::new().asking(nodes, &["Hello.", "one", "two"]);
    assert_eq!(said.out.lines().last(), Some("asking: one and two"), "{said:?}");
}

#[test]
fn spec_c2_what_a_workflow_found_comes_back_to_the_agent_and_into_the_chat() {
    let shop = Shop::new();
    let said = shop.chat(&["--person", "ann", "--say", "hello", "--say", "look up cats"]);
    assert_eq!(said.status, 0, "{said:?}");
    let all = "ann: hello\nsupport: you said hello\nann: look up cats\nsupport: I found three books\n";
    assert_eq!(said.out, all, "{said:?}");
    let runs = shop.runs();
    let looked_up = runs.iter().find(|run| run["workflow"] == "look-up").unwrap();
    let turn = runs.iter().find(|run| run["id"] == looked_up["parent"]).unwrap();
    assert_eq!((&looked_up["status"], &turn["workflow"]), (&json!("completed"), &json!("support")));
    assert!(said.err.lines().any(|line| line.contains("begins") && line.contains("support > look-up")), "{said:?}");
    // Whoever comes back sees what was said, and goes on.
    let again = shop.piped("and now\n", &["--person", "ann", "--json"]);
    let texts: Vec<Value> = again.json().iter().map(|message| message["text"].clone()).collect();
    assert_eq!(texts[2..], ["look up cats", "I found three books", "and now", "you said and now"]);
    let last = again.json().pop().unwrap();
    let is = (&last["number"], &last["speaker"], &last["name"], &last["sort"]);
    assert_eq!(is, (&json!(6), &json!("agent"), &json!("support"), &json!("reply")));
    // Another person has another conversation, and so has whoever begins anew.
    assert_eq!(shop.chat(&["--say", "hello"]).out, "you: hello\nsupport: you said hello\n");
    assert_eq!(shop.chat(&["--person", "ann", "--anew"]).out, "");
}

#[test]
fn a_chat_that_is_killed_in_the_middle_of_a_turn_goes_on_and_nothing_is_said_twice() {
    let shop = Shop::new();
    let mut first = command(shop.arguments(&["--say", "wait here"]));
    let mut first = first.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the turn", || shop.begun().len() == 1);
    first.kill().unwrap();
    first.wait().unwrap();
    shop.let_go();
    let said = shop.piped("and then\n", &[]);
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(said.out, "you: wait here\nsupport: waited\nyou: and then\nsupport: you said and then\n");
    assert_eq!(shop.begun(), ["wait here", "wait here", "and then"]);
    let nothing = shop.piped("", &[]);
    assert_eq!((nothing.out, shop.begun().len()), (said.out, 3));
}

#[test]
fn a_question_is_answered_in_the_chat_and_what_is_wrong_is_told() {
    let shop = Shop::new();
    let lines = "/answer yes\npublish it\n/answer perhaps\n/what\n/answer Yes: well done\n//that\n";
    let said = shop.piped(lines, &["--person", "ann"]);
    let all = "ann: publish it\nsupport: yes, well done\nann: /that\nsupport: you said /that\n";
    assert_eq!((&*said.out, said.status), (all, 1), "{said:?}");
    let parts = [
        "asks       support > publish  Publish it?  ann may answer yes, no",
        "error: no question waits here",
        "error: \"perhaps\" is no answer to this; there are yes, no",
        "error: there is no command /what, and nothing was said",
    ];
    for part in parts {
        assert!(said.err.contains(part), "{part:?} is not in {said:?}");
    }
    // What still waits at the end of stdin waits on.
    let left = shop.piped("publish more\n", &["--person", "ann"]);
    assert!(left.status == 0 && left.err.contains("a question waits for ann"), "{left:?}");
    let said = shop.piped("/answer no: not yet\n", &["--person", "ann"]);
    assert!(said.status == 0 && said.out.ends_with("ann: publish more\nsupport: no, not yet\n"), "{said:?}");
}

#[test]
fn whoever_runs_the_chat_answers_in_the_name_of_those_who_are_asked() {
    let shop = Shop::new();
    let said = shop.piped("publish it\n/answer yes: fine\n", &["--person", "bob"]);
    assert!(said.status == 0 && said.out.ends_with("support: yes, fine\n"), "{said:?}");
}

#[test]
fn who_is_not_there_is_told_with_who_is() {
    let shop = Shop::new();
    let folder = shop.0.path().to_str().unwrap();
    let nobody = rejoin(["chat", "suport", folder]);
    nobody.refused(1, &["there is no agent \"suport\"; there is support, clerk, native"]);
    shop.chat(&["--person", "eve"]).refused(1, &["there is no person \"eve\"; there is ann, bob"]);
    rejoin(["chat", "native", folder]).refused(1, &["agent \"native\" has no handler for job \"turn\""]);
    shop.chat(&["--metadata", "tenant"]).refused(2, &["write NAME=VALUE"]);
    shop.chat(&["--when-busy", "never"]).refused(2, &["queue, reject, interrupt, coalesce"]);
}

/// A chat at a terminal of its own.
struct Prompt {
    process: Child,
    keys: File,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Prompt {
    fn at(shop: &Shop, more: &[&str]) -> Prompt {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let name = ptsname(&keys, Vec::new()).unwrap();
        let terminal = || {
            let opened = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
            Stdio::from(File::from(opened))
        };
        let mut chat = command(shop.arguments(more));
        let process =
            chat.env("NO_COLOR", "1").stdin(terminal()).stdout(terminal()).stderr(terminal()).spawn().unwrap();
        let (keys, shown) = (File::from(keys), Arc::new(Mutex::new(Vec::new())));
        let (mut screen, seen) = (keys.try_clone().unwrap(), shown.clone());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails when the terminal has nobody any more.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                seen.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Prompt { process, keys, shown }
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        until(text, || String::from_utf8_lossy(&self.shown.lock().unwrap()).contains(text));
    }

    fn type_line(&mut self, line: &str) {
        self.keys.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

#[test]
fn spec_c7_one_can_type_on_while_a_turn_works_and_each_message_is_answered_in_its_turn() {
    let shop = Shop::new();
    let mut prompt = Prompt::at(&shop, &["--person", "ann"]);
    prompt.shows("ann> ");
    prompt.type_line("wait here");
    prompt.shows("running");
    prompt.type_line("two");
    prompt.shows("ann: two");
    prompt.type_line("three");
    prompt.shows("ann: three");
    until("the turn", || !shop.begun().is_empty());
    assert_eq!(shop.begun(), ["wait here"], "the others wait");
    shop.let_go();
    prompt.shows("support: you said three");
    prompt.type_line("/quit");
    assert!(prompt.process.wait().unwrap().success());
    assert_eq!(shop.begun(), ["wait here", "two", "three"]);
    let all = "ann: wait here\nann: two\nann: three\nsupport: waited\nsupport: you said two\nsupport: you said three\n";
    assert_eq!(shop.piped("", &["--person", "ann"]).out, all);
}

#[test]
fn whoever_interrupts_is_told_how_to_go_on() {
    let shop = Shop::new();
    let mut prompt = Prompt::at(&shop, &[]);
    prompt.shows("> ");
    prompt.type_line("wait here");
    prompt.shows("running");
    let process = rustix::process::Pid::from_child(&prompt.process);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    assert_eq!(prompt.process.wait().unwrap().code(), Some(130));
    prompt.shows("the same command goes on with it");
    shop.let_go();
    assert_eq!(shop.piped("", &[]).out, "you: wait here\nsupport: waited\n");
}

/// Nothing answers for a turn that a flow began, once something else answers for its agent.
#[test]
fn a_turn_that_can_never_move_is_told_and_holds_up_nobody() {
    let shop = Shop::new();
    let with = |answers: &str| {
        PROJECT.replace("support: { command: [sh, agents/support.sh]", &format!("support: {{ {answers}"))
    };
    let slow = "
workflow: slow
nodes:
  pause: { command: 'for _ in $(seq 300); do [ -e go ] && break; sleep 0.1; done', then: it }
  it: { end: done }
";
    fs::write(shop.path("workflows/slow.yaml"), slow).unwrap();
    fs::write(shop.path("rejoin.yaml"), with("flow: slow")).unwrap();
    let told = File::create(shop.path("told")).unwrap();
    let mut chat = command(shop.arguments(&["--say", "one"]));
    let mut killed = chat.stdout(Stdio::null()).stderr(told).spawn().unwrap();
    until("a turn that waits", || fs::read_to_string(shop.path("told")).unwrap().contains("pause > command"));
    killed.kill().unwrap();
    killed.wait().unwrap();
    shop.let_go();
    fs::write(shop.path("rejoin.yaml"), with("command: 'echo hello'")).unwrap();
    let said = shop.chat(&["--say", "two"]);
    assert!(said.status == 1 && said.err.contains("stands still") && said.err.contains("version 2"), "{said:?}");
}

#[test]
fn spec_e3_whoever_takes_over_can_be_reached() {
    let shop = Shop::new();
    let nodes = "  h: { handoff: Somebody comes., contact: { email: desk@shop.example, url: 'https://shop.example/desk' }, ending: Thanks. }\n";
    let said = shop.asking(nodes, &["hi"]);
    assert!(said.out.contains("Somebody comes. (desk@shop.example, https://shop.example/desk)"), "{said:?}");
    let more = ["chat", "asking", shop.0.path().to_str().unwrap(), "--anew", "--json", "--say", "hi"];
    let told = rejoin(more).json();
    let message = told.iter().find(|line| line["sort"] == "handoff").unwrap();
    assert_eq!(message["text"], "Somebody comes.");
    assert_eq!(message["contact"], json!({ "email": "desk@shop.example", "url": "https://shop.example/desk" }));
}

#[test]
fn spec_e2_what_is_shared_reaches_the_program() {
    let shop = Shop::new();
    let declared = PROJECT
        .replace(r#"{ command: "cat > /dev/null; echo 'three books'" }"#, "{ command: 'cat > given.json; echo ok' }");
    let nodes = "  p: { call: clerk, input: { q: 1 }, history: true, then: end }\n";
    fs::write(shop.path("workflows/talk.yaml"), format!("workflow: talk\nnodes:\n{nodes}")).unwrap();
    let declared = declared.replace("  native:", "  asking: { flow: talk, grants: [clerk] }\n  native:");
    fs::write(shop.path("rejoin.yaml"), declared).unwrap();
    let said = rejoin(["chat", "asking", shop.0.path().to_str().unwrap(), "--say", "I like blue."]);
    assert_eq!(said.status, 0, "{said:?}");
    let given: Value = serde_json::from_str(&fs::read_to_string(shop.path("given.json")).unwrap()).unwrap();
    assert_eq!(given["history"][0]["text"], "I like blue.", "{given}");
    fs::write(
        shop.path("workflows/talk.yaml"),
        format!("workflow: talk\nnodes:\n{}", nodes.replace("history: true", "history: false")),
    )
    .unwrap();
    let said = rejoin(["chat", "asking", shop.0.path().to_str().unwrap(), "--say", "I like red."]);
    assert_eq!(said.status, 0, "{said:?}");
    let given: Value = serde_json::from_str(&fs::read_to_string(shop.path("given.json")).unwrap()).unwrap();
    assert_eq!(given.get("history"), None, "{given}");
}
