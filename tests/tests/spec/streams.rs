//! B6, B7: what runs show before they have ended.

use rejoin::testkit::{Simulation, World};
use rejoin::time::seconds;
use rejoin::{
    Agent, Builder, Context, Failure, Job, Limits, RunHandle, StreamCursor, StreamItem, StreamReader, WorkerError,
    WorkerTask,
};
use rejoin_store::simulated::Outcome;
use rejoin_tests::lives::{MAIN, builder, start, trigger};

const POET: Job<String, String> = Job::of("poet");

fn served() -> Builder {
    builder().agent(Agent::named("poet").by_workers().lease(seconds(30)))
}

fn ask(simulation: &mut Simulation) -> RunHandle<String> {
    let engine = simulation.engine();
    simulation.block_on(async move { engine.job(&POET, "a poem".to_owned()).await }).unwrap().unwrap()
}

fn take(simulation: &mut Simulation, name: &str) -> WorkerTask {
    let worker = simulation.engine().worker("poet").named(name);
    simulation.block_on(async move { worker.next().await }).unwrap().unwrap()
}

fn stream(simulation: &mut Simulation, task: &WorkerTask, words: &[&str]) {
    let (task, words) = (task.clone(), words.join(" "));
    let all = async move {
        for word in words.split(' ') {
            task.stream(word).await?;
        }
        Ok::<_, WorkerError>(())
    };
    simulation.block_on(all).unwrap().unwrap();
}

/// What the next `count` items say.
fn read(simulation: &mut Simulation, mut reader: StreamReader, count: usize) -> (String, StreamCursor) {
    let items = async move {
        let mut said = Vec::new();
        for _ in 0..count {
            said.push(match reader.next().await.unwrap() {
                None => "end".to_owned(),
                Some(StreamItem::Restart { attempt }) => format!("again {attempt}"),
                Some(chunk) => chunk.value::<String>().unwrap(),
            });
        }
        (said.join(" "), reader.cursor())
    };
    simulation.block_on(items).unwrap()
}

#[test]
fn spec_b7_a_stream_is_read_to_its_end_and_the_end_completes_the_job() {
    let mut simulation = start(&World::new(1), served());
    let run = ask(&mut simulation);
    let task = take(&mut simulation, "w");
    stream(&mut simulation, &task, &["roses", "are", "red"]);
    let (said, _) = read(&mut simulation, run.stream(StreamCursor::default()), 3);
    assert_eq!(said, "roses are red");
    simulation.block_on(async move { task.complete("roses are red").await }).unwrap().unwrap();
    let (said, _) = read(&mut simulation, run.stream(StreamCursor::default()), 4);
    assert_eq!(said, "roses are red end");
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), "roses are red");
}

#[test]
fn spec_b7_readers_that_reconnect_lose_and_repeat_nothing() {
    let world = World::new(1);
    let mut simulation = start(&world, served());
    let run = ask(&mut simulation);
    let task = take(&mut simulation, "w");
    let words = ["one", "two", "three", "four", "five"];
    stream(&mut simulation, &task, &words[..3]);
    let (said, cursor) = read(&mut simulation, run.stream(StreamCursor::default()), 2);
    assert_eq!(said, "one two");
    let id = run.id();
    drop(simulation);
    let mut simulation = start(&world.crash(Outcome::Lost, 1), served());
    let task = simulation.engine().worker("poet").named("w").resume(&task);
    simulation.settle();
    stream(&mut simulation, &task, &words[3..]);
    let run = simulation.engine().run::<String>(id);
    let mut cursor = cursor;
    for word in &words[2..] {
        let (said, next) = read(&mut simulation, run.stream(cursor), 1);
        assert_eq!(said, *word);
        cursor = next;
    }
}

#[test]
fn spec_b7_a_new_attempt_tells_readers_to_start_over() {
    let mut simulation = start(&World::new(1), served());
    let run = ask(&mut simulation);
    let lost = take(&mut simulation, "lost");
    stream(&mut simulation, &lost, &["half", "a"]);
    let other = take(&mut simulation, "other");
    stream(&mut simulation, &other, &["a", "whole"]);
    let late = simulation.block_on(async move { lost.stream("poem").await }).unwrap();
    assert!(matches!(late, Err(WorkerError::NotHeld { attempt: 1, .. })), "{late:?}");
    let (said, _) = read(&mut simulation, run.stream(StreamCursor::default()), 5);
    assert_eq!(said, "half a again 2 a whole");
    // From just before the mark, it comes again.
    let (_, cursor) = read(&mut simulation, run.stream(StreamCursor::default()), 3);
    let (said, _) = read(&mut simulation, run.stream(cursor), 2);
    assert_eq!(said, "again 2 a");
}

#[test]
fn spec_b7_a_stream_is_bounded() {
    let limits = Limits { stream_chunks: 2, stream_bytes: 20, ..Limits::default() };
    let mut simulation = start(&World::new(1), served().limits(limits));
    ask(&mut simulation);
    let task = take(&mut simulation, "w");
    let too_long = "x".repeat(30);
    let said = async move {
        let long = task.stream(&too_long).await;
        task.stream("one").await.unwrap();
        task.stream("two").await.unwrap();
        (long, task.stream("three").await)
    };
    let (long, many) = simulation.block_on(said).unwrap();
    assert!(long.unwrap_err().to_string().contains("the stream of 32 bytes is over the limit of 20"));
    assert!(many.unwrap_err().to_string().contains("2 pieces of its stream"));
}

#[test]
fn spec_b7_a_handler_streams_too_and_records_it_once() {
    let app = || {
        builder().workflow(&MAIN, |ctx: Context, _: u32| async move {
            ctx.emit("first")?;
            ctx.signal::<String>("go").await?;
            ctx.emit("second")?;
            Ok::<_, Failure>(String::new())
        })
    };
    let world = World::new(1);
    let mut simulation = start(&world, app());
    let id = trigger(&mut simulation).id();
    simulation.settle();
    drop(simulation);
    let mut simulation = start(&world.crash(Outcome::Lost, 1), app());
    let run = simulation.engine().run::<String>(id);
    let go = run.clone();
    simulation.block_on(async move { go.signal("go", "now").await }).unwrap().unwrap();
    let (said, _) = read(&mut simulation, run.stream(StreamCursor::default()), 3);
    assert_eq!(said, "first second end");
}

#[test]
fn spec_b6_progress_is_pushed_and_pulled_and_the_latest_few_are_kept() {
    let mut simulation = start(&World::new(1), served());
    let run = ask(&mut simulation);
    let task = take(&mut simulation, "w");
    let (reader, worker) = (run.clone(), task.clone());
    let pushed = async move {
        let waiting = std::pin::pin!(reader.next_progress(0));
        let said = async {
            for number in 1..=40 {
                worker.progress(&number).await.unwrap();
            }
        };
        let (first, ()) = rejoin::join((waiting, Box::pin(said))).await;
        (first.unwrap()[0].value::<u32>().unwrap(), reader.progress().await.unwrap())
    };
    let (first, kept) = simulation.block_on(pushed).unwrap();
    assert_eq!(first, 1);
    let numbers: Vec<u32> = kept.iter().map(|update| update.value().unwrap()).collect();
    assert_eq!(numbers, (9..=40).collect::<Vec<_>>(), "a bounded ring");
    let large = "x".repeat(70_000);
    let (reader, worker) = (run.clone(), task);
    let ended = async move {
        assert!(matches!(worker.progress(&large).await, Err(WorkerError::Payload(_))));
        worker.complete("done").await.unwrap();
        reader.next_progress(40).await.unwrap()
    };
    assert_eq!(simulation.block_on(ended).unwrap(), [], "nothing more comes");
    let history = run.history().unwrap();
    assert!(history.len() < 6, "it is no part of the history: {}", history.len());
}

#[test]
fn spec_b6_a_handler_says_how_far_it_is_and_progress_keeps_a_lease() {
    let app = served().workflow(&MAIN, |ctx: Context, _: u32| async move {
        ctx.progress(&"half")?;
        let large = ctx.progress(&"x".repeat(70_000)).expect_err("too large");
        assert_eq!(large.code(), "too-large");
        ctx.signal::<String>("go").await
    });
    let mut simulation = start(&World::new(1), app);
    let run = trigger(&mut simulation);
    let reader = run.clone();
    let said = simulation.block_on(async move { reader.progress().await }).unwrap().unwrap();
    assert_eq!(said.iter().map(|update| update.value::<String>().unwrap()).collect::<Vec<_>>(), ["half"]);
    ask(&mut simulation);
    let task = take(&mut simulation, "w");
    for _ in 0..5 {
        simulation.world().pass(seconds(20));
        let task = task.clone();
        simulation.block_on(async move { task.progress(&1).await }).unwrap().unwrap();
    }
}
