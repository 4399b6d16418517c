//! B3, B5, B11, B12: jobs that wait for a worker or for their turn, workers that come, go and vanish.

use super::runs_of;
use rejoin::testkit::{Simulation, World};
use rejoin::time::{hours, minutes, seconds};
use rejoin::{Agent, Builder, Context, Event, Failure, Job, RunHandle, RunStatus, WorkerError, WorkerTask};
use rejoin_store::simulated::Outcome;
use rejoin_tests::lives::{builder, failure, start};
use std::future::IntoFuture;

const RESEARCH: Job<String, String> = Job::of("researcher");
const PRINT: Job<u64, String> = Job::of("printer");

/// An agent that workers serve.
fn served() -> Builder {
    builder().agent(Agent::named("researcher").by_workers().lease(seconds(30)).attempts(3))
}

fn ask(simulation: &mut Simulation, question: &str) -> RunHandle<String> {
    let (engine, question) = (simulation.engine(), question.to_owned());
    simulation.block_on(async move { engine.job(&RESEARCH, question).await }).unwrap().unwrap()
}

/// The next job of a worker of this name.
fn take(simulation: &mut Simulation, name: &str) -> WorkerTask {
    let worker = simulation.engine().worker("researcher").named(name);
    simulation.block_on(async move { worker.next().await }).unwrap().unwrap()
}

fn complete(simulation: &mut Simulation, task: &WorkerTask, answer: &str) -> Result<(), WorkerError> {
    let (task, answer) = (task.clone(), answer.to_owned());
    simulation.block_on(async move { task.complete(&answer).await }).unwrap()
}

#[test]
fn spec_b3_a_job_waits_durably_until_a_worker_is_there() {
    let world = World::new(1);
    let mut simulation = start(&world, served());
    let run = ask(&mut simulation, "pipecat").id();
    simulation.finish();
    assert_eq!(runs_of(&simulation, "researcher")[0].row.status, RunStatus::Queued);
    let engine = simulation.engine();
    assert!(simulation.block_on(async move { engine.presence("researcher").await }).unwrap().unwrap().is_absent());
    drop(simulation);
    let mut simulation = start(&world.crash(Outcome::Lost, 1), served());
    let task = take(&mut simulation, "w");
    assert_eq!((task.run_id(), task.attempt(), task.input::<String>().unwrap()), (run, 1, "pipecat".to_owned()));
    complete(&mut simulation, &task, "a framework").unwrap();
    let handle = simulation.engine().run::<String>(run);
    assert_eq!(simulation.block_on(handle.result()).unwrap().unwrap(), "a framework");
}

#[test]
fn spec_b3_jobs_are_served_in_the_order_in_which_they_came() {
    let world = World::new(1);
    let mut simulation = start(&world, served());
    for number in 0..20 {
        ask(&mut simulation, &number.to_string());
        // A clock that is put back changes nothing.
        world.turn_back(seconds(1));
    }
    for number in 0..20 {
        let task = take(&mut simulation, "w");
        assert_eq!(task.input::<String>().unwrap(), number.to_string());
        complete(&mut simulation, &task, "done").unwrap();
    }
}

#[test]
fn spec_b11_a_worker_that_vanishes_leads_to_another_attempt_and_its_late_answer_changes_nothing() {
    let mut simulation = start(&World::new(1), served());
    let run = ask(&mut simulation, "pipecat");
    let lost = take(&mut simulation, "lost");
    let other = take(&mut simulation, "other");
    assert_eq!((other.run_id(), other.attempt()), (lost.run_id(), 2));
    assert_eq!(other.idempotency_key(), lost.idempotency_key());
    let late = complete(&mut simulation, &lost, "late").expect_err("it is not held");
    assert!(
        matches!(late, WorkerError::NotHeld { attempt: 1, .. }) && late.to_string().contains("changes nothing"),
        "{late}"
    );
    complete(&mut simulation, &other, "good").unwrap();
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), "good");
    let twice = complete(&mut simulation, &other, "twice").expect_err("it is over");
    assert!(matches!(twice, WorkerError::NotHeld { .. }), "{twice}");
}

#[test]
fn spec_b11_heartbeats_keep_a_job_and_the_retry_policy_ends_the_attempts() {
    let mut simulation = start(&World::new(1), served());
    let run = ask(&mut simulation, "pipecat");
    let task = take(&mut simulation, "w");
    for _ in 0..10 {
        let task = task.clone();
        simulation.block_on(async move { task.heartbeat().await }).unwrap().unwrap();
        simulation.world().pass(seconds(20));
    }
    // Then it falls silent, and so do all that follow.
    for attempt in 2..=3 {
        assert_eq!(take(&mut simulation, "w").attempt(), attempt);
    }
    let failure = failure(simulation.block_on(run.result()).unwrap());
    assert_eq!(failure.code(), "worker-lost");
}

#[test]
fn spec_b11_a_worker_that_stops_politely_gives_its_jobs_back_or_answers_them_as_cancelled() {
    let mut simulation = start(&World::new(1), served());
    let run = ask(&mut simulation, "pipecat");
    let task = take(&mut simulation, "stops");
    let began = simulation.world().now();
    simulation.block_on(async move { task.give_back().await }).unwrap().unwrap();
    let again = take(&mut simulation, "goes on");
    assert_eq!((again.attempt(), simulation.world().now()), (1, began), "nobody waits for a timeout");
    simulation.block_on(async move { again.cancelled("it is switched off").await }).unwrap().unwrap();
    let failure = failure(simulation.block_on(run.result()).unwrap());
    assert!(failure.is_cancelled() && simulation.world().now() == began, "{failure}");
}

#[test]
fn a_worker_that_drains_takes_no_more() {
    let mut simulation = start(&World::new(1), served());
    let mut worker = simulation.engine().worker("researcher");
    let waiting = simulation.engine().worker("nobody");
    let unknown = simulation.block_on(async move { waiting.next().await.map(drop) }).unwrap();
    assert!(matches!(unknown, Err(WorkerError::UnknownAgent(name)) if name == "nobody"));
    worker.drain();
    ask(&mut simulation, "pipecat");
    let refused = simulation.block_on(async move { worker.next().await.map(drop) }).unwrap();
    assert!(matches!(refused, Err(WorkerError::Draining)), "{refused:?}");
}

#[test]
fn spec_a5_a_worker_keeps_its_job_over_a_restart_of_the_engine() {
    let world = World::new(1);
    let mut simulation = start(&world, served());
    let run = ask(&mut simulation, "pipecat").id();
    let task = take(&mut simulation, "w");
    drop(simulation);
    let mut simulation = start(&world.crash(Outcome::Lost, 1), served());
    let history = simulation.engine().history(run).unwrap();
    let taken = |event: &Event| matches!(event, Event::AttemptTaken { worker, .. } if worker == "w");
    assert!(history.iter().flat_map(|entry| &entry.transition.events).any(taken));
    simulation.settle();
    // The process that holds the task is another one in truth: it knows the engine by its address.
    let task = simulation.engine().worker("researcher").named("w").resume(&task);
    complete(&mut simulation, &task, "still here").unwrap();
    let handle = simulation.engine().run::<String>(run);
    assert_eq!(simulation.block_on(handle.result()).unwrap().unwrap(), "still here");
}

#[test]
fn spec_b5_a_sequential_agent_does_one_job_after_the_other() {
    for (limit, most) in [(Some(1), 1), (Some(3), 3), (None, 10)] {
        let agent = Agent::named("printer");
        let agent = limit.map_or(agent.clone(), |limit| agent.at_most(limit));
        let print = |ctx: Context, n: u64| async move {
            // Waiting counts as being under way.
            ctx.sleep(minutes(n)).await?;
            Ok(n.to_string())
        };
        let mut simulation = start(&World::new(1), builder().agent(agent).job(&PRINT, print));
        for n in 1..=10 {
            let engine = simulation.engine();
            simulation.block_on(async move { engine.job(&PRINT, 11 - n).await.map(drop) }).unwrap().unwrap();
        }
        simulation.settle();
        let under_way =
            runs_of(&simulation, "printer").into_iter().filter(|run| run.row.status == RunStatus::Suspended);
        assert_eq!(under_way.count(), most);
        simulation.finish();
        let mut begun = Vec::new();
        for info in runs_of(&simulation, "printer") {
            assert_eq!(info.row.status, RunStatus::Completed);
            let history = simulation.engine().history(info.id).unwrap();
            let started = history.iter().find(|entry| entry.transition.events.contains(&Event::Started)).unwrap();
            let ended = history.last().unwrap().time;
            begun.push((started.time, ended, info.row.place));
        }
        begun.sort_by_key(|(_, _, place)| *place);
        assert!(begun.windows(2).all(|pair| pair[0].0 <= pair[1].0), "first in, first out");
        for (time, _, _) in &begun {
            let running = begun.iter().filter(|(from, to, _)| from <= time && time < to).count();
            assert!(running <= most, "{running} at a time");
        }
    }
}

#[test]
fn inv_e12_a_limit_holds_over_a_restart() {
    let print = |ctx: Context, _: u64| async move { ctx.signal::<String>("go").await };
    let app = || builder().agent(Agent::named("printer").at_most(2)).job(&PRINT, print);
    let world = World::new(1);
    let mut simulation = start(&world, app());
    for n in 0..5 {
        let engine = simulation.engine();
        simulation.block_on(async move { engine.job(&PRINT, n).await.map(drop) }).unwrap().unwrap();
    }
    simulation.settle();
    drop(simulation);
    let mut simulation = start(&world.crash(Outcome::Lost, 1), app());
    simulation.settle();
    let count = |simulation: &Simulation, status| {
        runs_of(simulation, "printer").into_iter().filter(|run| run.row.status == status).count()
    };
    assert_eq!((count(&simulation, RunStatus::Suspended), count(&simulation, RunStatus::Queued)), (2, 3));
    let first = runs_of(&simulation, "printer")[0].id;
    let handle = simulation.engine().run::<String>(first);
    simulation.block_on(async move { handle.signal("go", "went").await }).unwrap().unwrap();
    simulation.settle();
    assert_eq!((count(&simulation, RunStatus::Suspended), count(&simulation, RunStatus::Queued)), (2, 2));
}

#[test]
fn spec_b12_queue_time_and_work_time_are_separate_limits() {
    let mut simulation = start(&World::new(1), served());
    let engine = simulation.engine();
    let request = engine.job(&RESEARCH, "never".to_owned()).queue_timeout(minutes(5)).work_timeout(hours(1));
    let run = simulation.block_on(async move { request.await }).unwrap().unwrap();
    let late = failure(simulation.block_on(run.result()).unwrap());
    assert_eq!(late.code(), "queue-timeout");
    assert_eq!(runs_of(&simulation, "researcher")[0].row.status, RunStatus::TimedOut);
    // One that is begun in time has all of its work time.
    let engine = simulation.engine();
    let request = engine.job(&RESEARCH, "slow".to_owned()).queue_timeout(minutes(5)).work_timeout(minutes(1));
    let run = simulation.block_on(async move { request.await }).unwrap().unwrap();
    simulation.world().pass(minutes(4));
    let task = take(&mut simulation, "w");
    let began = simulation.world().now();
    let late = failure(simulation.block_on(run.result()).unwrap());
    assert!(late.is_timeout(), "{late}");
    // The work's time, and what it had to compensate.
    assert!(simulation.world().now().since(began) >= minutes(1).into());
    assert!(complete(&mut simulation, &task, "too late").is_err());
}

#[test]
fn spec_b10_a_cancelled_job_tells_its_worker_when_that_says_something() {
    let mut simulation = start(&World::new(1), served());
    let run = ask(&mut simulation, "pipecat");
    let task = take(&mut simulation, "w");
    let cancelled = run.clone();
    simulation.block_on(async move { cancelled.cancel("enough").await }).unwrap().unwrap();
    let told = simulation.block_on(async move { task.heartbeat().await }).unwrap();
    assert!(matches!(told, Err(WorkerError::NotHeld { .. })), "{told:?}");
    assert!(failure(simulation.block_on(run.result()).unwrap()).is_cancelled());
    // One that waits in the queue ends at once.
    let waiting = ask(&mut simulation, "nobody");
    let cancelled = waiting.clone();
    simulation.block_on(async move { cancelled.cancel("enough").await }).unwrap().unwrap();
    assert!(failure(simulation.block_on(waiting.result()).unwrap()).is_cancelled());
}

#[test]
fn spec_b10_a_protected_job_is_cancelled_by_its_owner_only() {
    let app = || {
        served().workflow(&rejoin_tests::lives::MAIN, |ctx: Context, _: u32| async move {
            ctx.job(&RESEARCH, "protected".to_owned()).protected().await
        })
    };
    let mut simulation = start(&World::new(1), app());
    let parent = rejoin_tests::lives::trigger(&mut simulation);
    simulation.settle();
    let child = runs_of(&simulation, "researcher")[0].id;
    let handle = simulation.engine().run::<String>(child);
    let outside = simulation.block_on({
        let handle = handle.clone();
        async move { (handle.cancel("no").await, handle.cancel("no").tree().await) }
    });
    let (alone, tree) = outside.unwrap();
    for refused in [alone, tree] {
        let error = refused.expect_err("it is protected");
        assert!(error.to_string().contains("only its owner"), "{error}");
    }
    simulation.block_on(async move { parent.cancel("yes").await }).unwrap().unwrap();
    assert!(failure(simulation.block_on(handle.result()).unwrap()).is_cancelled());
}

#[test]
fn spec_b5_a_deferred_answer_comes_from_outside_once() {
    const CALL_BACK: Job<String, String> = Job::of("caller");
    let app = builder().job(&CALL_BACK, |ctx: Context, _: String| async move { ctx.deferred::<String>().await });
    let mut simulation = start(&World::new(1), app);
    let engine = simulation.engine();
    let run = simulation.block_on(async move { engine.job(&CALL_BACK, "ring".to_owned()).await }).unwrap().unwrap();
    let handle = run.clone();
    let answers = async move {
        (handle.answer(&"it rang").await, handle.answer(&"again").await, handle.refuse(Failure::permanent("no")).await)
    };
    let (first, second, third) = simulation.block_on(answers).unwrap();
    first.unwrap();
    for refused in [second, third] {
        assert!(refused.expect_err("it has its answer").to_string().contains("answered"), "a second answer is refused");
    }
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), "it rang");
}

#[test]
fn inv_e5_jobs_of_an_agent_that_lost_its_limit_are_begun_all_the_same() {
    let print =
        |ctx: Context, n: u64| async move { if n == 0 { ctx.signal::<String>("go").await } else { Ok(n.to_string()) } };
    let world = World::new(1);
    let mut simulation = start(&world, builder().agent(Agent::named("printer").sequential()).job(&PRINT, print));
    for n in 0..3 {
        let engine = simulation.engine();
        simulation.block_on(async move { engine.job(&PRINT, n).await.map(drop) }).unwrap().unwrap();
    }
    simulation.settle();
    drop(simulation);
    let mut simulation = start(&world.crash(Outcome::Lost, 1), builder().job(&PRINT, print));
    simulation.settle();
    let open = runs_of(&simulation, "printer").into_iter().filter(|run| !run.row.status.is_closed()).count();
    assert_eq!(open, 1, "only the one that waits for a signal");
}

#[test]
fn inv_e5_a_worker_that_asked_for_a_job_which_was_cancelled_gets_the_next_one() {
    let mut simulation = start(&World::new(1), served());
    let engine = simulation.engine();
    let next = async move {
        let worker = engine.worker("researcher");
        let first = engine.job(&RESEARCH, "first".to_owned()).await.unwrap();
        engine.job(&RESEARCH, "second".to_owned()).await.unwrap();
        // Asked for and cancelled in one go: the first job is the worker's, and then nobody's.
        let (task, cancelled) =
            rejoin::join((worker.next(), first.cancel("never mind").grace(seconds(0)).into_future())).await;
        cancelled.unwrap();
        task.unwrap().input::<String>().unwrap()
    };
    let got = simulation.block_on(next).unwrap();
    assert!(got == "first" || got == "second", "{got}");
}
