//! C7, D1, D8, E3, E4, H2: conversations and retries where things go another way.

use super::conversations::{open, say, transcript, try_say};
use super::{run, runs_of, said};
use rejoin::testkit::World;
use rejoin::time::{hours, minutes};
use rejoin::{
    Agent, Context, Conversation, ConversationFilter, Failure, Job, RunError, RunId, RunStatus, Task, TriggerError,
    Turn, Workflow,
};
use rejoin_store::simulated::Outcome;
use rejoin_tests::lives::{MAIN, builder, start};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const SUPPORT: Job<Turn, Value> = Job::turns("support");

#[test]
fn spec_a9_a_turn_or_task_that_misbehaves_at_once_is_wedged_and_its_caller_goes_on() {
    const CLERK: Job<Task, Value> = Job::tasks("clerk");
    async fn foreign() -> Result<Value, Failure> {
        std::future::pending().await
    }
    let app = || {
        builder()
            .person("ann")
            .job(&SUPPORT, |_: Context, _: Turn| foreign())
            .job(&CLERK, |_: Context, _: Task| foreign())
            .workflow(&MAIN, |ctx: Context, _: u32| async move {
                ctx.step("once", || Ok::<_, Failure>(())).await?;
                let late = ctx.task("clerk", "x").timeout(hours(1)).await.expect_err("it never ends");
                Ok(late.code().to_owned())
            })
    };
    let world = World::new(1);
    let mut simulation = start(&world, app());
    let chat = open(&mut simulation, "support", "one");
    let turn = say(&mut simulation, &chat, "hi").turn.expect("a turn");
    simulation.settle();
    assert_eq!(turn.describe().unwrap().row.status, RunStatus::Wedged);
    let engine = simulation.engine();
    let result = simulation.block_on(async move { engine.trigger(&MAIN, 1).await.unwrap().result().await });
    assert_eq!(result.unwrap().unwrap(), "call-timeout");
    // Mended, it goes on.
    drop(simulation);
    let mended = builder().person("ann").job(&SUPPORT, |_: Context, _: Turn| async move { Ok(json!("hello")) });
    let mut simulation = start(&world.crash(Outcome::Lost, 1), mended);
    simulation.settle();
    let chat = simulation.engine().find_conversation(chat.id()).unwrap();
    assert_eq!(transcript(&chat), ["ann: hi", "support: hello"]);
}

#[test]
fn spec_d5_an_outside_key_belongs_to_one_person() {
    let app = builder()
        .person("ann")
        .person("bob")
        .job(&SUPPORT, |_: Context, turn: Turn| async move { Ok(json!(turn.text())) })
        .workflow(&MAIN, |ctx: Context, _: u32| async move {
            let mut codes = Vec::new();
            for (person, key) in [("ann", "plan"), ("bob", "plan"), ("bob", "over")] {
                codes.push(match ctx.tell(person, "support", "hi").key(key).await {
                    Ok(_) => "told".to_owned(),
                    Err(failure) => failure.code().to_owned(),
                });
            }
            Ok(codes.join(" "))
        });
    let mut simulation = start(&World::new(1), app);
    open(&mut simulation, "support", "one");
    let engine = simulation.engine();
    let other = async move { engine.conversation("support").user("bob").key("one").await };
    assert!(matches!(simulation.block_on(other).unwrap(), Err(TriggerError::KeyConflict { .. })));
    let engine = simulation.engine();
    let over = async move {
        let chat = engine.conversation("support").user("bob").key("over").await.unwrap();
        chat.close().await.unwrap();
        engine.trigger(&MAIN, 1).await.unwrap().result().await
    };
    assert_eq!(simulation.block_on(over).unwrap().unwrap(), "told another-person conversation-over");
}

#[test]
fn spec_d2_a_chat_is_no_place_for_tasks() {
    const CLERK: Job<Task, Value> = Job::tasks("clerk");
    const GO: Workflow<String, String> = Workflow::named("go");
    let app = builder()
        .person("ann")
        .job(&SUPPORT, |_: Context, turn: Turn| async move { Ok(json!(turn.text())) })
        .job(&CLERK, |_: Context, _: Task| async move { Ok(json!("done")) })
        .workflow(&GO, |ctx: Context, id: String| async move {
            let id: RunId = id.parse().map_err(Failure::permanent)?;
            let task = ctx.task("clerk", "x").metadata("secret", "s").conversation(id);
            Ok(task.await.map_or_else(|failure| failure.code().to_owned(), |done| done.text()))
        });
    let mut simulation = start(&World::new(1), app);
    let chat = open(&mut simulation, "support", "one");
    let (engine, id) = (simulation.engine(), chat.id().to_string());
    let refused = async move { engine.trigger(&GO, id).await.unwrap().result().await };
    assert_eq!(simulation.block_on(refused).unwrap().unwrap(), "missing");
    assert!(chat.messages(0).unwrap().is_empty());
}

#[test]
fn spec_d1_a_task_may_have_nothing_to_say() {
    const CLERK: Job<Task, Option<String>> = Job::tasks("clerk");
    let app = builder().job(&CLERK, |_: Context, _: Task| async move { Ok(None) }).workflow(
        &MAIN,
        |ctx: Context, _: u32| async move {
            let done = ctx.task("clerk", "x").await?;
            Ok(format!("{:?} {}", done.output, done.actions.len()))
        },
    );
    assert_eq!(said(app), "Null 0");
}

#[test]
fn spec_e3_whoever_waits_for_a_person_in_a_conversation_that_is_over_does_not_wait_for_ever() {
    const HELPER: Job<String, String> = Job::of("helper");
    let app = builder()
        .person("ann")
        .agent(Agent::named("support").grant("helper"))
        .job(&SUPPORT, |ctx: Context, _: Turn| async move {
            // It outlives the turn, and the conversation.
            let call = ctx.job(&HELPER, "x".to_owned()).inline().timeout(minutes(1));
            call.on_timeout(rejoin::OnTimeout::Detach).await.ok();
            Ok(Value::Null)
        })
        .job(&HELPER, |ctx: Context, _: String| async move {
            ctx.sleep(hours(2)).await?;
            ctx.hand_off("help").await.map(|back| back.by)
        });
    let world = World::new(1);
    let mut simulation = start(&world, app);
    let chat = open(&mut simulation, "support", "one");
    say(&mut simulation, &chat, "hi");
    simulation.settle();
    world.pass(minutes(5));
    simulation.settle();
    let close = |chat: Conversation| async move { chat.close().await };
    simulation.block_on(close(chat.clone())).unwrap().unwrap();
    world.pass(hours(3));
    simulation.settle();
    world.pass(hours(1));
    simulation.settle();
    assert_eq!(runs_of(&simulation, "helper")[0].row.status, RunStatus::Cancelled);
}

#[test]
fn spec_e4_a_handoff_for_good_holds_whatever_the_handler_does_before_it_ends() {
    let app = || {
        builder().person("ann").job(&SUPPORT, |ctx: Context, _: Turn| async move {
            let end = ctx.hand_off("A colleague will call.").for_good();
            ctx.step("note", || Ok::<_, Failure>(())).await?;
            ctx.sleep(hours(1)).await?;
            Err::<Value, _>(end)
        })
    };
    let world = World::new(1);
    let mut simulation = start(&world, app());
    let chat = open(&mut simulation, "support", "one");
    let turn = say(&mut simulation, &chat, "hi").turn.unwrap().id();
    simulation.settle();
    let status = |simulation: &rejoin::testkit::Simulation| simulation.engine().describe(turn).unwrap().row.status;
    assert_eq!(status(&simulation), RunStatus::Suspended);
    world.pass(hours(2));
    simulation.settle();
    assert_eq!(status(&simulation), RunStatus::Completed);
    drop(simulation);
    let mut simulation = start(&world.crash(Outcome::Lost, 1), app());
    let engine = simulation.engine();
    let result = simulation.block_on(async move { engine.run::<Value>(turn).result().await }).unwrap();
    assert!(matches!(result, Err(RunError::Failed(failure)) if failure.is_handed_off()));
}

#[test]
fn spec_d5_a_conversation_is_found_under_the_agent_that_answered_first() {
    const BILLING: Job<Turn, Value> = Job::turns("billing");
    let app = builder()
        .person("ann")
        .agent(Agent::named("support").grant("billing"))
        .job(&SUPPORT, |ctx: Context, _: Turn| async move {
            ctx.transfer("billing", "yours").await?;
            Ok(Value::Null)
        })
        .job(&BILLING, |_: Context, _: Turn| async move { Ok(json!("billing")) });
    let mut simulation = start(&World::new(1), app);
    let chat = open(&mut simulation, "support", "one");
    say(&mut simulation, &chat, "hi");
    simulation.settle();
    let find = |agent: &str| {
        let filter = ConversationFilter { agent: Some(agent.to_owned()), ..Default::default() };
        simulation.engine().conversations(&filter, None, 9).unwrap().conversations.len()
    };
    assert_eq!((find("support"), find("billing")), (1, 0));
    assert_eq!(chat.info().unwrap().row.agent, "billing");
    assert!(try_say(&mut simulation, &chat, "and now?").is_ok());
}

#[test]
fn spec_h2_what_lives_on_is_not_done_beside_itself() {
    const CHILD: Workflow<u32, u32> = Workflow::named("child");
    let app = builder()
        .workflow(&CHILD, |ctx: Context, n: u32| async move { ctx.sleep(hours(9)).await.map(|()| n) })
        .workflow(&MAIN, |ctx: Context, _: u32| async move {
            let late = ctx.call(&CHILD, 1).timeout(minutes(1)).on_timeout(rejoin::OnTimeout::Detach).await;
            late.map(|n| n.to_string())
        });
    let (result, mut simulation) = run(app);
    result.expect_err("it is late");
    let engine = simulation.engine();
    let id = runs_of(&simulation, MAIN.name())[0].id;
    let again = async move { engine.run::<String>(id).retry().await.map(|again| again.id()) };
    simulation.block_on(again).unwrap().expect("it is done again");
    simulation.settle();
    let children = runs_of(&simulation, "child");
    let retries = |id| {
        let history = simulation.engine().history(id).unwrap();
        history[0].transition.events.iter().any(|event| matches!(event, rejoin::Event::Retries { .. }))
    };
    assert_eq!(children.iter().map(|child| retries(child.id)).collect::<Vec<_>>(), [false, false]);
}

#[test]
fn spec_h2_what_went_on_side_by_side_is_not_mixed_up() {
    let times = Arc::new(AtomicU32::new(0));
    let of_app = times.clone();
    let app = builder().workflow(&MAIN, move |ctx: Context, _: u32| {
        let times = of_app.clone();
        async move {
            let one = |name: &'static str, pause: u64| {
                let ctx = ctx.clone();
                async move {
                    ctx.sleep(minutes(pause)).await?;
                    ctx.step("store", move || Ok::<_, Failure>(name.to_owned())).await
                }
            };
            let (late, early) = rejoin::join((one("late", 2), one("early", 1))).await;
            let stored = format!("{} {}", late?, early?);
            if times.fetch_add(1, Ordering::Relaxed) == 0 {
                return Err(Failure::permanent("once"));
            }
            Ok(stored)
        }
    });
    let (result, mut simulation) = run(app);
    result.expect_err("the first time it fails");
    let engine = simulation.engine();
    let id = runs_of(&simulation, MAIN.name())[0].id;
    let again = async move { engine.run::<String>(id).retry().await?.result().await };
    assert_eq!(simulation.block_on(again).unwrap().unwrap(), "late early");
}
