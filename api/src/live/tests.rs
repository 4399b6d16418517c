//! The view of runs that are really run.

use super::line::Line;
use super::node::Sort;
use super::outlet::Outlet;
use super::size::Size;
use super::tree::{Change, ROOT, Tree};
use super::typed::Typed;
use super::watcher::Ports;
use super::{Ending, View, picture, watch_with};
use rejoin::history::Entry;
use rejoin::time::{hours, millis};
use rejoin::{Agent, Context, Engine, Event, Failure, Job, RunId, Timestamp, Transition, Workflow};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

const NEWSLETTER: Workflow<(), String> = Workflow::named("write-newsletter");
const ANALYZE: Workflow<(), String> = Workflow::named("analyze-engagement");
const WRITE: Job<String, String> = Job::of("writer");
const BROKEN: Workflow<(), ()> = Workflow::named("broken");

async fn newsletter(ctx: Context, (): ()) -> Result<String, Failure> {
    ctx.step("load\u{1b}[2J engagement", || async { Ok::<_, Failure>(1) }).await?;
    ctx.call(&ANALYZE, ()).await?;
    let mut sections = ctx.group("sections");
    for topic in ["rust", "agents", "logs"] {
        sections.add(topic, ctx.job(&WRITE, topic.to_owned()));
    }
    let sections = sections.all().await?;
    let decision = ctx.approval("Publish it?").answers(["yes", "no"]).persons(["ann"]).await?;
    Ok(format!("{} sections, {}", sections.len(), decision.answer))
}

async fn analyze(ctx: Context, (): ()) -> Result<String, Failure> {
    ctx.step("count", || async { Ok::<_, Failure>(3) }).await?;
    Ok("3 topics".to_owned())
}

async fn write(ctx: Context, topic: String) -> Result<String, Failure> {
    ctx.progress(&"half")?;
    ctx.emit(&format!("about {topic}"))?;
    ctx.sleep(millis(300)).await?;
    Ok(topic)
}

async fn broken(ctx: Context, (): ()) -> Result<(), Failure> {
    ctx.step("fetch", || async { Err::<(), _>(Failure::permanent("no such page")) }).await
}

async fn start(folder: &tempfile::TempDir) -> Engine {
    let builder = Engine::open(folder.path()).person("ann").agent(Agent::named("writer")).job(&WRITE, write);
    let builder = builder.workflow(&NEWSLETTER, newsletter).workflow(&ANALYZE, analyze).workflow(&BROKEN, broken);
    builder.start().await.unwrap()
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
}

fn ports(written: &Written, typed: Typed) -> Ports {
    Ports { outlet: Outlet::to(written.clone()), typed, size: Size { width: 100, height: 30 } }
}

async fn never() {
    std::future::pending().await
}

/// Answers the only question, as somebody does elsewhere.
async fn decide(engine: &Engine, answer: &str) {
    loop {
        if let Some(open) = engine.approvals().unwrap().first() {
            return engine.decide(open.token, "ann", answer, None).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.render(120, false) + "\n").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_each_beginning_and_end_is_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let engine = start(&folder).await;
    let run = engine.trigger(&NEWSLETTER, ()).key("first").await.unwrap();
    let written = Written::default();
    let watched = watch_with(&engine, run.id(), View::default(), ports(&written, Typed::nothing()), never());
    let (ending, ()) = tokio::join!(watched, decide(&engine, "yes"));
    assert_eq!(ending.unwrap(), Ending::Completed(json!("3 sections, yes")));
    let text = written.text();
    assert!(!text.contains('\u{1b}'), "{text}");
    let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    for (what, times) in [
        ("begins     write-newsletter  ", 1),
        ("key first", 1),
        ("begins     write-newsletter > load\\u{1b}[2J engagement", 1),
        ("completed  write-newsletter > analyze-engagement > count", 1),
        ("completed  write-newsletter > analyze-engagement  child", 1),
        ("completed  write-newsletter > sections > rust  writer", 1),
        ("asks       write-newsletter  Publish it?  ann may answer yes, no  apr_", 1),
        ("completed  write-newsletter > Publish it?", 1),
        ("3 sections, yes", 1),
    ] {
        assert_eq!(count(what), times, "{what}: {text}");
    }
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_every_event_of_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let engine = start(&folder).await;
    let run = engine.trigger(&NEWSLETTER, ()).await.unwrap();
    let written = Written::default();
    let view = View { json: true, tty: true, ..View::default() };
    let watched = watch_with(&engine, run.id(), view, ports(&written, Typed::nothing()), never());
    let (ending, ()) = tokio::join!(watched, decide(&engine, "no"));
    assert_eq!(ending.unwrap(), Ending::Completed(json!("3 sections, no")));
    let lines: Vec<Value> = written.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count =
        |event: &str, name: &str| lines.iter().filter(|line| line["event"] == event && line["name"] == name).count();
    for name in ["write-newsletter", "analyze-engagement"] {
        assert_eq!((count("Triggered", name), count("Completed", name)), (1, 1), "{name}");
    }
    assert_eq!((count("Triggered", "writer"), count("Streamed", "writer"), count("Completed", "writer")), (3, 3, 3));
    assert_eq!((count("Asked", "write-newsletter"), count("GroupFormed", "write-newsletter")), (1, 1));
    let asked = lines.iter().find(|line| line["event"] == "Asked").unwrap();
    assert!(asked["details"]["token"].as_str().unwrap().starts_with("apr_"));
    assert_eq!(asked["details"]["answers"], json!(["yes", "no"]));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_questions_are_answered_where_they_are_asked() {
    let folder = tempfile::tempdir().unwrap();
    let engine = start(&folder).await;
    let run = engine.trigger(&NEWSLETTER, ()).await.unwrap();
    let written = Written::default();
    let (line, typed) = mpsc::channel(1);
    let view = View { tty: true, color: true, ..View::default() };
    let watched = watch_with(&engine, run.id(), view, ports(&written, Typed::of(typed)), never());
    let person = async {
        while !written.text().contains("ann> ") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        line.send("maybe".to_owned()).await.unwrap();
        while !written.text().contains("is no answer to this; there are yes, no") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        line.send("yes: well done".to_owned()).await.unwrap();
    };
    let (ending, ()) = tokio::join!(watched, person);
    assert_eq!(ending.unwrap(), Ending::Completed(json!("3 sections, yes")));
    let text = written.text();
    // The last picture has no prompt, and the cursor is shown.
    let last = text.rsplit("\u{1b}[?25l").next().unwrap();
    assert!(last.contains("completed") && !last.contains("ann> ") && last.ends_with("\u{1b}[J\u{1b}[?7h\u{1b}[?25h"));
    assert!(last.contains("load\\u{1b}[2J engagement"), "{last}");
    let decided = run.history().unwrap().into_iter().flat_map(|entry| entry.transition.events);
    let verdict = decided.into_iter().find_map(|event| match event {
        Event::ApprovalDecided { verdict, .. } => Some(verdict),
        _ => None,
    });
    assert_eq!(verdict.unwrap().comment.as_deref(), Some("well done"));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_interrupts_gets_a_terminal_in_order_and_a_run_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let engine = start(&folder).await;
    let run = engine.trigger(&NEWSLETTER, ()).await.unwrap();
    let written = Written::default();
    let view = View { tty: true, ..View::default() };
    let soon = tokio::time::sleep(Duration::from_millis(250));
    let ending = watch_with(&engine, run.id(), view.clone(), ports(&written, Typed::nothing()), soon).await;
    assert_eq!(ending.unwrap(), Ending::Interrupted);
    assert!(written.text().ends_with("\u{1b}[?25h"));
    // Somebody else decides; whoever looks again sees all of it, as it was.
    decide(&engine, "no").await;
    let again = Written::default();
    let ending = watch_with(&engine, run.id(), view, ports(&again, Typed::nothing()), never()).await;
    assert_eq!(ending.unwrap(), Ending::Completed(json!("3 sections, no")));
    assert!(again.text().contains("analyze-engagement"));
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_and_an_output_that_is_closed_end_quietly() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let engine = start(&folder).await;
    let run = engine.trigger(&BROKEN, ()).await.unwrap();
    for (tty, json) in [(true, false), (false, true), (false, false)] {
        let ports = Ports { outlet: Outlet::to(Closed), ..ports(&Written::default(), Typed::nothing()) };
        let view = View { tty, json, ..View::default() };
        let ending = watch_with(&engine, run.id(), view, ports, never()).await.unwrap();
        assert!(matches!(ending, Ending::Failed(failure) if failure.message() == "no such page"));
    }
    let missing =
        watch_with(&engine, RunId([7; 16]), View::default(), ports(&Written::default(), Typed::nothing()), never());
    let missing = missing.await.unwrap_err().to_string();
    assert!(missing.contains("no run"), "{missing}");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_events_make_the_picture() {
    let folder = tempfile::tempdir().unwrap();
    let engine = start(&folder).await;
    let run = engine.trigger(&NEWSLETTER, ()).await.unwrap();
    decide(&engine, "yes").await;
    run.result().await.unwrap();
    let mut tree = Tree::new(run.id());
    let mut feed = engine.follow_all(0);
    let (mut asked, mut sections) = (String::new(), String::new());
    while !tree.has_ended() {
        let (id, entry) = feed.next().await.unwrap().unwrap();
        tree.apply(id, &entry);
        assert!(tree.apply(id, &entry).is_none());
        let now = Timestamp(entry.time.0 - entry.time.0 % 1_000_000);
        let picture = text(&picture::lines(&tree, now, 120, 30));
        if picture.contains("1 of 3") {
            sections = picture.clone();
        }
        if picture.contains("waits for a person") {
            asked = picture;
        }
    }
    assert!(sections.contains("├─ ✔ analyze-engagement        child   "), "{sections}");
    assert!(sections.contains("└─ ◐ sections                  group   "), "{sections}");
    assert!(sections.contains("\" ▍"), "{sections}");
    assert!(asked.contains("└─ ○ Publish it?"), "{asked}");
    let folded = text(&picture::lines(&tree, Timestamp(0), 120, 7));
    assert!(folded.contains("+6 below") && folded.lines().count() <= 7, "{folded}");
    let folded = text(&picture::lines(&tree, Timestamp(0), 120, 3));
    assert!(folded.contains("└─ ✔ 4 have ended"), "{folded}");
    assert_eq!(picture::lines(&tree, Timestamp(0), 120, 0).len(), 1);
    let one = picture::folded(&tree, Timestamp(0)).render(120, false);
    assert!(one.starts_with("✔ write-newsletter  completed "), "{one}");
    assert!(one.ends_with("  analyze-engagement, writer, writer, writer"), "{one}");
    engine.shutdown().await;
}

fn entry(version: u64, events: Vec<Event>) -> Entry {
    let transition = Transition { events, ..Transition::default() };
    Entry { version, time: Timestamp(version as i64 * 1_000_000), transition }
}

fn timer(op: u32) -> Event {
    Event::TimerSet { op: rejoin::OpNo(op), at: Timestamp(hours(1).as_micros() as i64) }
}

#[test]
fn what_there_is_no_room_for_is_counted() {
    let root = RunId([1; 16]);
    let mut tree = Tree::bounded(root, 100);
    let (mut version, mut began, mut ended) = (0, 0, 0);
    let mut apply = |tree: &mut Tree, events| {
        version += 1;
        for change in tree.apply(root, &entry(version, events)).unwrap() {
            match change {
                Change::Began(_) => began += 1,
                Change::Ended(_) => ended += 1,
                Change::Again(_) | Change::Stands(_) => {}
            }
        }
        (began, ended)
    };
    // A thousand that end one after the other: all are heard of, few are kept, and none is lost from the count.
    for op in 0..1000 {
        apply(&mut tree, vec![timer(op)]);
        apply(&mut tree, vec![Event::TimerFired { op: rejoin::OpNo(op) }]);
    }
    assert_eq!(apply(&mut tree, vec![]), (1000, 1000));
    let kept = tree.node(ROOT).unwrap();
    assert_eq!(kept.forgotten + kept.children.len(), 1000);
    assert!(kept.children.len() < 100 && kept.live == 1);
    assert!(kept.run.as_deref().unwrap().ops.len() < 100);
    // And a thousand that wait: as many as fit are shown.
    for op in 1000..2000 {
        apply(&mut tree, vec![timer(op)]);
    }
    let kept = tree.node(ROOT).unwrap();
    let waiting = kept.children.iter().filter(|id| matches!(tree.node(**id).unwrap().sort, Sort::Timer { .. })).count();
    assert_eq!(kept.forgotten + kept.unseen + waiting, 2000);
    assert!(kept.live <= 100 && kept.unseen >= 900, "{} {}", kept.live, kept.unseen);
    let picture = text(&picture::lines(&tree, Timestamp(0), 80, 20));
    assert_eq!(picture.lines().count(), 20);
    assert!(picture.contains("more lines"), "{picture}");
    for op in 1000..2000 {
        apply(&mut tree, vec![Event::TimerFired { op: rejoin::OpNo(op) }]);
    }
    assert_eq!(tree.node(ROOT).unwrap().live, 1);
}
