//! H1, H2: approvals, pauses and messages.

use super::{run, runs_of};
use rejoin::testkit::{Simulation, World};
use rejoin::time::{days, hours, millis, minutes};
use rejoin::{
    Announcement, ApprovalToken, Builder, Channel, Context, Decision, Event, Failure, OpenApproval, Rejection,
    RunError, RunStatus, Workflow,
};
use rejoin_store::simulated::Outcome;
use rejoin_tests::lives::{MAIN, OTHER, builder, double, failure, outcome, start, trigger};
use std::sync::{Arc, Mutex};

async fn review(ctx: Context, _: u32) -> Result<String, Failure> {
    let decision: Decision = ctx
        .approval("Publish?")
        .answers(["approve", "reject"])
        .persons(["ann"])
        .escalate(hours(4), ["bob"])
        .within(days(2))
        .await?;
    Ok(format!(
        "{} by {}{}",
        decision.answer,
        decision.by,
        decision.comment.map_or(String::new(), |it| format!(": {it}"))
    ))
}

fn app() -> Builder {
    builder().person("ann").person("bob").workflow(&MAIN, review)
}

fn open(simulation: &Simulation) -> Vec<OpenApproval> {
    simulation.engine().approvals().expect("a list")
}

fn decide(simulation: &mut Simulation, token: ApprovalToken, person: &str, answer: &str) -> Result<(), RunError> {
    let (engine, person, answer) = (simulation.engine(), person.to_owned(), answer.to_owned());
    simulation.block_on(async move { engine.decide(token, &person, &answer, Some("fine")).await }).expect("an answer")
}

fn rejection(result: Result<(), RunError>) -> Rejection {
    match result {
        Err(RunError::Rejected(rejection)) => rejection,
        other => panic!("a rejection was expected, not {other:?}"),
    }
}

#[test]
fn spec_h1_the_first_valid_answer_wins_and_later_ones_are_told_who_decided_and_when() {
    let world = World::new(1);
    let mut simulation = start(&world, app());
    let run = trigger(&mut simulation);
    simulation.settle();
    let asked = open(&simulation).remove(0);
    assert_eq!(
        (asked.run, asked.root, asked.answers.len(), &asked.persons[..]),
        (run.id(), run.id(), 2, &["ann".to_owned()][..])
    );
    let token: ApprovalToken = asked.token.to_string().parse().unwrap();
    assert!(matches!(rejection(decide(&mut simulation, token, "bob", "approve")), Rejection::NotAsked { .. }));
    let wrong = rejection(decide(&mut simulation, token, "ann", "perhaps"));
    assert!(wrong.to_string().contains("approve, reject"), "{wrong}");
    decide(&mut simulation, token, "ann", "approve").unwrap();
    let now = world.now();
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), "approve by ann: fine");
    world.pass(hours(1));
    match rejection(decide(&mut simulation, token, "ann", "reject")) {
        Rejection::AlreadyDecided { answer, by, at } => assert_eq!((&*answer, &*by, at), ("approve", "ann", now)),
        other => panic!("{other}"),
    }
    assert!(open(&simulation).is_empty());
}

#[test]
fn spec_h1_a_token_is_needed_and_belongs_to_one_question() {
    let mut simulation = start(&World::new(1), app());
    trigger(&mut simulation);
    simulation.settle();
    let text = open(&simulation)[0].token.to_string();
    let mut guessed = text.clone();
    guessed.replace_range(guessed.len() - 4.., "0000");
    let refused = rejection(decide(&mut simulation, guessed.parse().unwrap(), "ann", "approve"));
    assert_eq!(refused, Rejection::NoSuchApproval);
    for rubbish in ["", "apr_", "apr_1_2_3", "token", &format!("{text}_1")] {
        let error = rubbish.parse::<ApprovalToken>().expect_err("no token");
        assert!(error.to_string().contains("no approval token"), "{error}");
    }
}

#[test]
fn spec_h1_nobody_answers_further_persons_are_asked_and_then_it_expires() {
    let world = World::new(1);
    let mut simulation = start(&world, app());
    let run = trigger(&mut simulation);
    simulation.settle();
    world.pass(hours(5));
    simulation.settle();
    let asked = open(&simulation).remove(0);
    assert_eq!(asked.persons, ["ann", "bob"]);
    // It holds over a restart.
    drop(simulation);
    let mut simulation = start(&world.crash(Outcome::Lost, 1), app());
    assert_eq!(open(&simulation)[0].persons, ["ann", "bob"]);
    let run = simulation.engine().run::<String>(run.id());
    let late = failure(simulation.block_on(run.result()).unwrap());
    assert_eq!((late.code(), late.is_timeout()), ("approval-expired", true));
    assert_eq!(rejection(decide(&mut simulation, asked.token, "bob", "approve")), Rejection::NoSuchApproval);
}

#[test]
fn spec_h1_an_approval_of_a_nested_run_surfaces_at_the_root() {
    const MIDDLE: Workflow<u32, String> = Workflow::named("middle");
    let app = builder()
        .person("ann")
        .person("bob")
        .workflow(&OTHER, review)
        .workflow(&MIDDLE, |ctx: Context, n: u32| async move { ctx.call(&OTHER, n).await })
        .workflow(&MAIN, |ctx: Context, n: u32| async move { ctx.call(&MIDDLE, n).await });
    let mut simulation = start(&World::new(1), app);
    let root = trigger(&mut simulation);
    simulation.settle();
    let asked = open(&simulation).remove(0);
    assert_eq!((asked.root, asked.path.join(" -> ")), (root.id(), "main -> middle -> other".to_owned()));
    assert_eq!(asked.run, runs_of(&simulation, "other")[0].id);
    decide(&mut simulation, asked.token, "ann", "reject").unwrap();
    assert_eq!(simulation.block_on(root.result()).unwrap().unwrap(), "reject by ann: fine");
}

#[test]
fn spec_h1_questions_that_make_no_sense_are_refused_before_anybody_is_asked() {
    let app = builder().person("ann").workflow(&MAIN, |ctx: Context, _: u32| async move {
        let codes = [
            ctx.approval("?").answers(["yes"]).persons(["carl"]).await,
            ctx.approval("?").answers(["yes"]).persons(["ann"]).escalate(hours(1), ["dora"]).await,
            ctx.approval("?").answers(["yes"]).await,
            ctx.approval("?").persons(["ann"]).await,
        ];
        Ok(codes.into_iter().map(|result| result.expect_err("refused").code().to_owned()).collect::<Vec<_>>().join(" "))
    });
    let (result, simulation) = run(app);
    let expected = "unknown-person unknown-person incomplete-approval incomplete-approval";
    assert_eq!(result.unwrap(), expected);
    let history = simulation.engine().history(runs_of(&simulation, "main")[0].id).unwrap();
    let asked = |event: &Event| matches!(event, Event::ApprovalRequested { .. });
    assert!(!history.iter().flat_map(|entry| &entry.transition.events).any(asked));
}

#[test]
fn spec_h2_a_paused_run_keeps_what_comes_and_goes_on_with_it() {
    let app = || {
        builder().workflow(&MAIN, |ctx: Context, n: u32| async move {
            let word: String = ctx.signal("word").await?;
            let number = ctx.step("double", move || double(n)).await?;
            Ok(format!("{word} {number}"))
        })
    };
    let world = World::new(1);
    let mut simulation = start(&world, app());
    let run = trigger(&mut simulation);
    let pause = run.clone();
    simulation.block_on(async move { pause.pause("ann", "look at it first").await }).unwrap().unwrap();
    let signalled = run.clone();
    simulation.block_on(async move { signalled.signal("word", "hello").await }).unwrap().unwrap();
    simulation.finish();
    assert_eq!(run.describe().unwrap().row.status, RunStatus::Paused);
    drop(simulation);
    let mut simulation = start(&world.crash(Outcome::Lost, 1), app());
    simulation.finish();
    let run = simulation.engine().run::<String>(run.id());
    assert_eq!(run.describe().unwrap().row.status, RunStatus::Paused);
    let why = run.why().unwrap();
    assert!(matches!(&why.waits[0].on, rejoin::why::On::Resume { by, .. } if by == "ann"), "{why:?}");
    let resume = run.clone();
    simulation.block_on(async move { resume.resume("bob").await }).unwrap().unwrap();
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), "hello 2");
    let again = run.clone();
    let again = simulation.block_on(async move { again.resume("bob").await }).unwrap();
    assert!(matches!(rejection(again), Rejection::Closed(_)));
}

#[test]
fn spec_h2_a_step_under_way_ends_during_a_pause_and_no_other_begins() {
    let app = builder().workflow(&MAIN, |ctx: Context, n: u32| async move {
        let first = ctx
            .step("slow", move || async move {
                std::future::ready(()).await;
                double(n).await
            })
            .await?;
        let second = ctx.step("next", move || double(first)).await?;
        Ok(second.to_string())
    });
    let mut simulation = start(&World::new(1), app);
    let engine = simulation.engine();
    let run = simulation
        .block_on(async move {
            let run = engine.trigger(&MAIN, 1).await.unwrap();
            run.pause("ann", "wait").await.unwrap();
            run
        })
        .unwrap();
    simulation.finish();
    let history = run.history().unwrap();
    let count = |name: &str| {
        history.iter().flat_map(|entry| &entry.transition.events).filter(|event| event.name() == name).count()
    };
    assert_eq!((count("StepScheduled"), count("StepCompleted")), (1, 1));
    let resume = run.clone();
    simulation.block_on(async move { resume.resume("ann").await }).unwrap().unwrap();
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), "4");
}

#[test]
fn spec_h2_a_cancel_and_a_deadline_make_a_paused_run_go_on_to_its_end() {
    let app = || {
        builder().workflow(&MAIN, |ctx: Context, n: u32| async move {
            let waited: Result<String, Failure> = ctx.signal("never").await;
            ctx.step("tidy up", move || double(n)).await?;
            waited
        })
    };
    let mut simulation = start(&World::new(1), app());
    let run = trigger(&mut simulation);
    let ended = run.clone();
    let cancelled = async move {
        ended.pause("ann", "wait").await?;
        ended.cancel("enough").await
    };
    simulation.block_on(cancelled).unwrap().unwrap();
    assert!(failure(simulation.block_on(run.result()).unwrap()).is_cancelled());
    let steps = run.history().unwrap().iter().flat_map(|entry| entry.transition.events.clone()).collect::<Vec<_>>();
    assert!(steps.iter().any(|event| matches!(event, Event::StepCompleted { .. })), "it has compensated");
    let engine = simulation.engine();
    let run = simulation
        .block_on(async move {
            let run = engine.trigger(&MAIN, 2).deadline(minutes(1)).await.unwrap();
            run.pause("ann", "wait").await.unwrap();
            run
        })
        .unwrap();
    assert!(failure(simulation.block_on(run.result()).unwrap()).is_timeout());
}

#[test]
fn spec_h2_a_run_that_was_not_begun_can_be_paused() {
    const PRINT: rejoin::Job<u32, String> = rejoin::Job::of("printer");
    let app =
        builder().agent(rejoin::Agent::named("printer").sequential()).job(&PRINT, |ctx: Context, n: u32| async move {
            ctx.sleep(millis(10)).await?;
            Ok(n.to_string())
        });
    let mut simulation = start(&World::new(1), app);
    let engine = simulation.engine();
    let (first, second, third) = simulation
        .block_on(async move {
            let first = engine.job(&PRINT, 1).await.unwrap();
            let second = engine.job(&PRINT, 2).await.unwrap();
            second.pause("ann", "not yet").await.unwrap();
            (first, second, engine.job(&PRINT, 3).await.unwrap())
        })
        .unwrap();
    simulation.finish();
    let status = |run: &rejoin::RunHandle<String>| run.describe().unwrap().row.status;
    assert_eq!(
        (status(&first), status(&second), status(&third)),
        (RunStatus::Completed, RunStatus::Paused, RunStatus::Completed)
    );
    let resume = second.clone();
    simulation.block_on(async move { resume.resume("ann").await }).unwrap().unwrap();
    assert_eq!(simulation.block_on(second.result()).unwrap().unwrap(), "2");
}

#[test]
fn spec_h2_a_running_run_takes_messages() {
    let app = builder().workflow(&MAIN, |ctx: Context, _: u32| async move { ctx.signal::<String>("message").await });
    let mut simulation = start(&World::new(1), app);
    let run = trigger(&mut simulation);
    let told = run.clone();
    simulation.block_on(async move { told.signal("message", "hurry").await }).unwrap().unwrap();
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), "hurry");
}

#[test]
fn spec_h1_people_are_told_through_a_channel_once_however_often_that_fails() {
    let told: Arc<Mutex<Vec<Announcement>>> = Arc::default();
    let of_channel = told.clone();
    let desk = Channel::of(move |announcement: Announcement| {
        let mut told = of_channel.lock().unwrap();
        told.push(announcement);
        let first = told.len() == 1;
        async move { if first { Err(Failure::transient("nobody at the desk")) } else { Ok(()) } }
    });
    let app = builder().person("ann").channel("desk", desk).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let asked =
            ctx.approval("Publish?").through("desk").answers(["yes", "no"]).persons(["ann"]).within(minutes(60));
        asked.await.map(|decision| decision.answer)
    });
    let world = World::new(1);
    let mut simulation = start(&world, app);
    let run = trigger(&mut simulation);
    simulation.settle();
    world.pass(minutes(1));
    simulation.settle();
    let all = told.lock().unwrap().clone();
    assert_eq!(
        (all.len(), &all[0].key, &all[0].answers[..]),
        (2, &all[1].key, &["yes".to_owned(), "no".to_owned()][..])
    );
    let (engine, token) = (simulation.engine(), all[1].token);
    simulation.block_on(async move { engine.decide(token, "ann", "yes", None).await }).unwrap().unwrap();
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), "yes");
}

#[test]
fn spec_h1_a_channel_that_fails_does_not_keep_people_from_answering() {
    let down = Channel::of(|_: Announcement| async { Err::<(), _>(Failure::transient("down")) });
    let app = |channel: &'static str| {
        let down = down.clone();
        builder().person("ann").channel("desk", down).workflow(&MAIN, move |ctx: Context, _: u32| async move {
            let asked = ctx.approval("Publish?").answers(["yes", "no"]).persons(["ann"]).through(channel);
            asked.await.map(|decision| decision.answer)
        })
    };
    let mut simulation = start(&World::new(1), app("desk"));
    let run = trigger(&mut simulation);
    simulation.settle();
    let engine = simulation.engine();
    let decided = async move {
        let open = engine.approvals().unwrap();
        engine.decide(open[0].token, "ann", "no", None).await
    };
    simulation.block_on(decided).unwrap().unwrap();
    assert_eq!(simulation.block_on(run.result()).unwrap().unwrap(), "no");
    assert_eq!(failure(outcome(app("dusk")).0).code(), "unknown-channel");
}
