//! Conversations at a prompt, with an engine in this process.

use super::commands::parse;
use super::deeds::Done;
use super::room::Room;
use super::terminal::{Ports, Terminal};
use super::{Wish, opening, words};
use crate::live::outlet::Outlet;
use crate::live::size::Size;
use crate::live::typed::Typed;
use rejoin::{Agent, Busy, Context, Engine, Failure, Job, Message, Sort, Speaker, Timestamp, Turn};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

const SUPPORT: Job<Turn, String> = Job::turns("support");

async fn support(ctx: Context, turn: Turn) -> Result<String, Failure> {
    match turn.text().as_str() {
        "help" => {
            let handed = ctx.hand_off("A colleague is coming.").await?;
            Ok(format!("I am back: {}", handed.note.unwrap_or_default()))
        }
        "wait" => ctx.step("wait", waited).await,
        "ask" => Ok(ctx.approval("Really?").answers(["yes", "no"]).persons(["ann"]).await?.answer),
        text => Ok(format!("you said {text}")),
    }
}

/// Whether a turn that waits may end.
static GO: AtomicBool = AtomicBool::new(false);

async fn waited() -> Result<String, Failure> {
    while !GO.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok("waited".to_owned())
}

async fn start(folder: &tempfile::TempDir) -> Engine {
    let builder = Engine::open(folder.path()).person("ann").person("bob");
    builder.agent(Agent::named("support")).job(&SUPPORT, support).start().await.unwrap()
}

fn wish() -> Wish {
    Wish { agent: "support".to_owned(), person: Some("ann".to_owned()), ..Wish::default() }
}

/// What was written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    async fn has(&self, text: &str) {
        let waited = async {
            while !self.text().contains(text) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), waited).await;
        assert!(waited.is_ok(), "{text:?} is not in {}", self.text());
    }
}

/// Types each line once the text stands on the terminal that it follows; what the terminal had in the end.
async fn typed(engine: &Engine, wish: Wish, lines: &[(&str, &str)]) -> String {
    let (chat, begun) = opening::open(engine, &wish).await.unwrap();
    let (mut room, messages) = Room::open(engine, chat, &wish, true).await.unwrap();
    let (line, typed) = mpsc::channel(1);
    let written = Written::default();
    let size = Size { width: 60, height: 20 };
    let ports = Ports { outlet: Outlet::to(written.clone()), typed: Typed::of(typed), size };
    let mut terminal = Terminal::with(&mut room, false, ports);
    terminal.greet(&wish.agent, begun, messages);
    let person = async {
        for (after, text) in lines {
            written.has(after).await;
            line.send(format!("{text}\n")).await.unwrap();
        }
        // Nobody types any more.
        drop(line);
    };
    let (talked, ()) = tokio::join!(terminal.talk(), person);
    talked.unwrap();
    terminal.close().await;
    written.text()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_takes_over_and_gives_back() {
    let folder = tempfile::tempdir().unwrap();
    let engine = start(&folder).await;
    let lines = [
        ("ann> ", "help"),
        ("/claim PERSON does", "/reply too early"),
        ("nobody has taken the conversation over", "/claim eve"),
        ("there is no person \"eve\" in the project", "/claim bob"),
        ("bob has taken over", "/nothing"),
        ("there is no command /nothing", "/reply Let me see."),
        ("bob: Let me see.", "/release all is well"),
        ("support: I am back: \"all is well\"", "//quit"),
        ("support: you said /quit", "/help"),
        ("/answer ANSWER[: COMMENT]", "/quit"),
    ];
    let text = typed(&engine, wish(), &lines).await;
    assert!(text.contains("support: A colleague is coming."), "{text}");
    // The last picture has no prompt.
    assert!(text.rsplit("\u{1b}[?25l").next().unwrap().ends_with("\u{1b}[J\u{1b}[?7h\u{1b}[?25h"), "{text:?}");
    let (chat, begun) = opening::open(&engine, &wish()).await.unwrap();
    let said: Vec<String> = chat.messages(0).unwrap().iter().map(Message::text).collect();
    assert!(!begun && said.iter().all(|text| !text.contains("too early") && !text.contains("/nothing")), "{said:?}");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_stands_below_the_messages_until_its_turn_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let engine = start(&folder).await;
    let busy = Wish { when_busy: Some(Busy::Reject), ..wish() };
    let lines = [("ann> ", "wait"), ("running", "now?"), ("! the conversation", "/answer yes"), ("! no question", "")];
    let text = typed(&engine, busy.clone(), &lines).await;
    assert!(text.contains("ann: wait") && !text.contains("ann: now?"), "{text}");
    GO.store(true, Ordering::Relaxed);
    // The next one goes on with it.
    let lines =
        [("support: waited", "ask"), ("  /answer yes, no", "/answer perhaps"), ("is no answer to this", "/answer no")];
    let text = typed(&engine, busy, &[&lines[..], &[("support: no", "/quit")]].concat()).await;
    assert!(text.contains("ann: wait") && text.contains("✔ support  completed"), "{text}");
    engine.shutdown().await;
}

/// Hears what comes until nothing goes on before somebody does something.
async fn settle(room: &mut Room) {
    let settled = async {
        while !room.is_settled() {
            let (run, entry) = room.feed.next().await.unwrap().unwrap();
            room.hear(run, &entry).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), settled).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_waits_for_people_has_settled_and_nothing_else_has() {
    let folder = tempfile::tempdir().unwrap();
    let engine = start(&folder).await;
    let (chat, _) = opening::open(&engine, &wish()).await.unwrap();
    let (mut room, _) = Room::open(&engine, chat, &wish(), false).await.unwrap();
    for (line, left) in [
        ("hello", &[][..]),
        ("ask", &["a question waits for ann", "the conversation rests here; the same command goes on with it"]),
        ("/answer yes", &[]),
        (
            "help",
            &["the conversation waits for a person", "the conversation rests here; the same command goes on with it"],
        ),
        (
            "/claim bob",
            &["the conversation waits for a person", "the conversation rests here; the same command goes on with it"],
        ),
        ("/release", &[]),
    ] {
        assert_eq!(room.perform(parse(line)).await, Done::Taken, "{line}");
        // What was done is heard of first.
        while let Ok(next) = tokio::time::timeout(Duration::from_millis(50), room.feed.next()).await {
            let (run, entry) = next.unwrap().unwrap();
            room.hear(run, &entry).await.unwrap();
        }
        settle(&mut room).await;
        assert_eq!(room.left(false), left, "{line}");
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_wish_finds_the_same_conversation_and_no_other_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let engine = start(&folder).await;
    let open = async |wish: &Wish| opening::open(&engine, wish).await.map(|(chat, begun)| (chat.id(), begun));
    let with = Wish { metadata: vec![("tenant".to_owned(), json!(7))], ..wish() };
    let (first, begun) = open(&with).await.unwrap();
    assert!(begun);
    assert_eq!(open(&with).await.unwrap(), (first, false));
    assert_eq!(open(&wish()).await.unwrap(), (first, false));
    engine.find_conversation(first).unwrap().say("hello").await.unwrap();
    let other = Wish { metadata: vec![("tenant".to_owned(), Value::Null)], ..wish() };
    assert!(open(&other).await.unwrap_err().to_string().contains("other metadata (tenant)"));
    let (second, begun) = open(&Wish { anew: true, ..other }).await.unwrap();
    assert!(begun && second != first);
    // The last one is what is gone on with.
    assert_eq!(open(&wish()).await.unwrap(), (second, false));
    let keyed = Wish { key: Some("desk".to_owned()), ..wish() };
    let (third, _) = open(&keyed).await.unwrap();
    assert!(third != first && third != second);
    // What was forgotten when nothing had been said yet can be given still.
    let (fourth, begun) = open(&Wish { metadata: with.metadata, ..keyed.clone() }).await.unwrap();
    assert!(begun && fourth != third);
    let nobody = Wish { person: None, ..keyed };
    assert!(open(&nobody).await.unwrap_err().to_string().contains("is with ann; give --person ann"));
    engine.shutdown().await;
}

#[test]
fn messages_are_clean_and_fit_the_terminal() {
    let message = |text: &str, speaker| Message {
        number: 3,
        at: Timestamp(0),
        speaker,
        sort: Sort::Said,
        content: Ok(json!(text)),
        run: None,
    };
    let said = message("one two three\n\u{1b}[2Jfour ", Speaker::Agent("support".to_owned()));
    let lines: Vec<String> = words::lines(&said, 20).iter().map(|line| line.render(20, false)).collect();
    assert_eq!(lines, ["support: one two", "  three", "  \\u{1b}[2Jfour"]);
    assert_eq!(words::plain(&said), "support: one two three\\n\\u{1b}[2Jfour\n");
    let failed = Message { content: Err(Failure::business("down", "later")), ..message("", Speaker::Anonymous) };
    assert!(words::plain(&failed).starts_with("you: failed: "));
    let line: Value = serde_json::from_str(&words::json(&failed)).unwrap();
    assert_eq!((&line["name"], &line["failure"]["code"], line.get("text")), (&Value::Null, &json!("down"), None));
    let line: Value = serde_json::from_str(&words::json(&said)).unwrap();
    assert_eq!(
        (&line["text"], &line["number"], line.get("failure")),
        (&json!("one two three\n\u{1b}[2Jfour "), &json!(3), None)
    );
}
