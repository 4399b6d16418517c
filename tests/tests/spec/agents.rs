//! B1, B4, B5: agents, and the jobs that they are asked to do.

use super::{run, runs_of, said};
use rejoin::testkit::World;
use rejoin::{Agent, Context, Engine, Failure, Job, StartError, TriggerError, Workflow};
use rejoin_tests::lives::{MAIN, builder, start};
use serde_json::json;

const DRAFT: Job<String, String> = Job::named("writer", "draft");
const POLISH: Job<String, String> = Job::named("writer", "polish");
const ANY: Job<String, String> = Job::of("writer");

async fn draft(_: Context, topic: String) -> Result<String, Failure> {
    Ok(format!("a draft about {topic}"))
}

async fn polish(ctx: Context, text: String) -> Result<String, Failure> {
    assert_eq!(ctx.job_name(), Some("polish"));
    Ok(text.to_uppercase())
}

async fn whatever(ctx: Context, text: String) -> Result<String, Failure> {
    Ok(format!("{} of {text}", ctx.job_name().unwrap_or("something")))
}

#[test]
fn spec_b1_a_job_is_asked_of_one_agent_and_answered() {
    let app = builder()
        .job(&DRAFT, draft)
        .workflow(&MAIN, |ctx: Context, _: u32| async move { ctx.job(&DRAFT, "rust".to_owned()).await });
    assert_eq!(said(app), "a draft about rust");
}

#[test]
fn spec_b5_handlers_by_job_name_and_a_default_one() {
    let app = builder().job(&DRAFT, draft).job(&POLISH, polish).job(&ANY, whatever).workflow(
        &MAIN,
        |ctx: Context, _: u32| async move {
            let text = ctx.job(&DRAFT, "rust".to_owned()).await?;
            let text = ctx.job(&POLISH, text).await?;
            let summary = ctx.job_json("writer", Some("summary"), &json!("it")).await?;
            let unnamed = ctx.job(&ANY, "it".to_owned()).await?;
            Ok(format!("{text}; {}; {unnamed}", summary.as_str().unwrap_or_default()))
        },
    );
    assert_eq!(said(app), "A DRAFT ABOUT RUST; summary of it; something of it");
}

#[test]
fn spec_b5_a_job_that_the_agent_has_no_handler_for_is_refused_by_name() {
    let app = builder().job(&DRAFT, draft).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let refusal = ctx.job(&POLISH, String::new()).await.expect_err("no handler");
        Ok(format!("{}: {refusal}", refusal.code()))
    });
    let said = said(app);
    assert!(said.starts_with("unknown-job") && said.contains("\"polish\"") && said.contains("draft"), "{said}");
}

#[test]
fn spec_b3_an_undeclared_agent_is_refused_at_once() {
    let app = builder().job(&DRAFT, draft).workflow(&MAIN, |ctx: Context, _: u32| async move {
        Ok(ctx.job(&Job::<u32, u32>::of("ghost"), 1).await.expect_err("nobody").to_string())
    });
    let said = said(app);
    assert!(said.contains("\"ghost\"") && said.contains("writer"), "{said}");
}

#[test]
fn spec_b4_a_job_that_is_not_waited_for_lives_on_and_can_be_asked_for() {
    let app = builder().job(&DRAFT, draft).workflow(&MAIN, |ctx: Context, _: u32| async move {
        Ok(ctx.request_job(&DRAFT, "later".to_owned()).await?.to_string())
    });
    let (result, mut simulation) = run(app);
    let id = result.unwrap().parse().unwrap();
    let handle = simulation.engine().run::<String>(id);
    assert_eq!(simulation.block_on(handle.result()).unwrap().unwrap(), "a draft about later");
    assert_eq!(runs_of(&simulation, "writer").len(), 1);
}

#[test]
fn spec_b1_an_agent_is_asked_from_outside_too() {
    let mut simulation = start(&World::new(1), builder().job(&DRAFT, draft));
    let engine = simulation.engine();
    let asked = async move {
        let first = engine.job(&DRAFT, "keys".to_owned()).key("once").await?;
        let again = engine.job_json("writer", Some("draft"), &json!("keys")).key("once").await?;
        assert_eq!(first.id(), again.id());
        let wrong = engine.job_json("writer", Some("draft"), &json!({"topic": 1})).await.map(drop);
        assert!(matches!(wrong, Err(TriggerError::BadInput { .. })), "{wrong:?}");
        Ok::<_, rejoin::Error>(first.result().await?)
    };
    assert_eq!(simulation.block_on(asked).unwrap().unwrap(), "a draft about keys");
}

#[test]
fn an_agent_and_a_workflow_cannot_bear_one_name() {
    let taken = |result: Result<rejoin::testkit::Simulation, StartError>| {
        matches!(result.map(drop), Err(StartError::RegisteredTwice { .. }))
    };
    let writer: Workflow<u32, String> = Workflow::named("writer");
    let nothing = |_: Context, _: u32| async move { Ok(String::new()) };
    let start = |app| rejoin::testkit::Simulation::start(&World::new(1), app);
    assert!(taken(start(Engine::open("x").job(&DRAFT, draft).workflow(&writer, nothing))));
    assert!(taken(start(Engine::open("x").workflow(&writer, nothing).job(&DRAFT, draft))));
    assert!(taken(start(Engine::open("x").workflow(&writer, nothing).agent(Agent::named("writer")))));
    assert!(taken(start(Engine::open("x").job(&DRAFT, draft).job(&DRAFT, draft))));
    assert!(taken(start(Engine::open("x").job(&DRAFT, draft).agent(Agent::named("writer").by_workers()))));
    assert!(taken(start(Engine::open("x").agent(Agent::named("writer").by_workers()).job(&DRAFT, draft))));
    assert!(!taken(start(Engine::open("x").job(&DRAFT, draft).agent(Agent::named("writer")).job(&POLISH, polish))));
}

#[test]
fn spec_a15_a_job_keeps_the_handler_that_it_was_given_to() {
    // Under the default handler first; then its name gets a handler of its own.
    let waits = |ctx: Context, text: String| async move {
        let more: String = ctx.signal("more").await?;
        Ok(format!("the default one has {text} and {more}"))
    };
    let world = World::new(1);
    let mut simulation = start(&world, builder().job(&ANY, waits));
    let engine = simulation.engine();
    let id = simulation.block_on(async move { engine.job(&POLISH, "it".to_owned()).await.unwrap().id() }).unwrap();
    drop(simulation);
    let mut simulation = start(&world, builder().job(&ANY, waits).job(&POLISH, polish));
    let handle = simulation.engine().run::<String>(id);
    let ended = async move {
        handle.signal("more", "more").await.unwrap();
        handle.result().await
    };
    assert_eq!(simulation.block_on(ended).unwrap().unwrap(), "the default one has it and more");
}
