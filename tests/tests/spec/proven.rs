//! Crashes before and after every commit of the examples: they end right, and each model turn is paid for once.

use rejoin::testkit::{CrashTest, Ledger};
use rejoin::time::{days, seconds};
use rejoin::{
    Agent, Attempt, Builder, Context, Engine, Event, Failure, Job, RunError, RunHandle, Step, Task, Turn, Workflow,
};
use serde_json::{Value, json};
use std::future::IntoFuture;

const DEBATER: Job<String, String> = Job::of("debater");
const MODERATOR: Job<String, String> = Job::of("moderator");
const DEBATE: Workflow<String, String> = Workflow::named("debate");
const REVIEW: Workflow<String, String> = Workflow::named("review");
const PUBLISH: Workflow<String, String> = Workflow::named("publish");

/// A turn of a model: it is paid for under the key of its step.
fn turn(ctx: &Context, world: &Ledger, said: String) -> Step<String> {
    let world = world.clone();
    ctx.step("turn", move |attempt: Attempt| {
        world.once(attempt.idempotency_key(), format!("paid for {said:?}"));
        Ok::<_, Failure>(said.clone())
    })
}

/// Three agents argue, a moderator asks them and sums up.
fn debate(world: &Ledger) -> Builder {
    let (of_debater, of_moderator) = (world.clone(), world.clone());
    Engine::open("simulated")
        .agent(Agent::named("moderator").grant("debater").sequential())
        .agent(Agent::named("debater").at_most(2))
        .job(&DEBATER, move |ctx: Context, role: String| {
            let world = of_debater.clone();
            async move { turn(&ctx, &world, format!("{role} argues")).await }
        })
        .job(&MODERATOR, move |ctx: Context, topic: String| {
            let world = of_moderator.clone();
            async move {
                turn(&ctx, &world, format!("let us debate {topic}")).await?;
                let mut group = ctx.group("debate").timeout(seconds(3000));
                for role in ["advocate", "critic", "analyst"] {
                    group.add(role, ctx.job(&DEBATER, role.to_owned()));
                }
                let answers = group.all().await?;
                let said: Vec<&str> = answers.values().map(|(_, text)| text.as_str()).collect();
                turn(&ctx, &world, format!("in sum: {}", said.join(", "))).await
            }
        })
        .workflow(&DEBATE, |ctx: Context, topic: String| async move { ctx.job(&MODERATOR, topic).await })
}

#[test]
fn spec_b2_the_debate_survives_a_crash_at_every_commit() {
    let summary = CrashTest::new(debate, &DEBATE, "regulation".to_owned()).run();
    assert!(summary.crashes > 20, "{summary:?}");
}

/// A proposal that a person approves deep down, and a publication that follows.
fn proposal(world: &Ledger) -> Builder {
    let world = world.clone();
    Engine::open("simulated")
        .person("ann")
        .workflow(&REVIEW, |ctx: Context, draft: String| async move {
            let asked = ctx.approval(format!("Send {draft}?")).answers(["yes", "no"]).persons(["ann"]).within(days(2));
            Ok(asked.await?.answer)
        })
        .workflow(&PUBLISH, move |ctx: Context, draft: String| {
            let world = world.clone();
            async move {
                let draft = turn(&ctx, &world, format!("a better {draft}")).await?;
                let answer = ctx.call(&REVIEW, draft.clone()).await?;
                turn(&ctx, &world, format!("{draft} is sent: {answer}")).await
            }
        })
}

/// Somebody who answers whatever is asked.
async fn answer(run: RunHandle<String>) -> rejoin::Result<()> {
    let engine = run.engine().clone();
    let mut feed = engine.follow_all(0);
    while let Ok(Some((_, entry))) = feed.next().await {
        if !entry.transition.events.iter().any(|event| matches!(event, Event::ApprovalRequested { .. })) {
            continue;
        }
        for open in engine.approvals().unwrap_or_default() {
            assert_eq!(open.root, run.id());
            match engine.decide(open.token, "ann", "yes", None).await {
                Ok(()) | Err(RunError::Rejected(_) | RunError::Stopped | RunError::Store(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
    }
    Ok(())
}

#[test]
fn spec_h1_a_nested_approval_survives_a_crash_at_every_commit() {
    let test = CrashTest::new(proposal, &PUBLISH, "proposal".to_owned()).during(answer);
    let summary = test.run();
    assert!(summary.crashes > 10, "{summary:?}");
}

const SUPPORT: Job<Turn, String> = Job::turns("support");
const BILLING: Job<Turn, String> = Job::turns("billing");
const DAY: Workflow<String, String> = Workflow::named("day");

/// A chat in which support has billing speak, which hands over to a person; the day is over when all of it is said.
fn handoff(world: &Ledger) -> Builder {
    let (of_support, of_billing) = (world.clone(), world.clone());
    Engine::open("simulated")
        .person("ann")
        .person("bob")
        .agent(Agent::named("support").grant("billing"))
        .agent(Agent::named("billing").sequential())
        .job(&SUPPORT, move |ctx: Context, said: Turn| {
            let world = of_support.clone();
            async move {
                let heard = turn(&ctx, &world, format!("{} concerns billing", said.text())).await?;
                let settled = ctx.job(&BILLING, said).inline().await?;
                turn(&ctx, &world, format!("{heard}: {settled}")).await
            }
        })
        .job(&BILLING, move |ctx: Context, said: Turn| {
            let world = of_billing.clone();
            async move {
                turn(&ctx, &world, format!("{} is disputed", said.text())).await?;
                ctx.say("one moment")?;
                let back = ctx.hand_off("I am connecting you").email("help@example.com").ending("I am back").await?;
                turn(&ctx, &world, format!("{} says {}", back.by, back.note.unwrap_or_default())).await
            }
        })
        .workflow(&DAY, |ctx: Context, _: String| async move { ctx.signal("what was said").await })
}

/// A person who asks, and another one who takes over; whoever begins again does what was done once more.
async fn chat(run: RunHandle<String>) -> rejoin::Result<()> {
    let engine = run.engine().clone();
    let conversation = engine.conversation("support").user("ann").key("a chat").await?;
    let sent = conversation.say("the invoice").id("the first message").await?;
    let mut feed = engine.follow_all(0);
    while let Ok(Some((_, entry))) = feed.next().await {
        if !entry.transition.events.iter().any(|event| matches!(event, Event::HandoffStarted { .. })) {
            continue;
        }
        for result in [conversation.claim("bob").await, conversation.release("bob", Some(&"refunded".into())).await] {
            match result {
                Ok(()) | Err(RunError::Rejected(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        break;
    }
    sent.settled().await?;
    let lines: Vec<String> = conversation.messages(0)?.iter().map(rejoin::Message::text).collect();
    run.signal("what was said", &lines.join(" | ")).id("at the end").await?;
    Ok(())
}

#[test]
fn spec_e4_a_handoff_survives_a_crash_at_every_commit() {
    let summary = CrashTest::new(handoff, &DAY, String::new()).during(chat).run();
    assert!(summary.crashes > 20 && summary.effects == 4, "{summary:?}");
}

const CLERK: Job<Task, Value> = Job::tasks("clerk");

/// Tasks in one conversation, the first of which has to be repaired.
fn tasks(world: &Ledger) -> Builder {
    let world = world.clone();
    Engine::open("simulated")
        .agent(Agent::named("clerk").sequential())
        .job(&CLERK, move |ctx: Context, task: Task| {
            let world = world.clone();
            async move {
                let round = if task.complaint.is_some() { "again" } else { "first" };
                let said = turn(&ctx, &world, format!("{} {round}", task.description)).await?;
                Ok(if task.output.is_some() && task.complaint.is_none() { json!(7) } else { json!({ "said": said }) })
            }
        })
        .workflow(&DAY, |ctx: Context, _: String| async move {
            let schema = json!({ "type": "object", "required": ["said"] });
            let first = ctx.task("clerk", "count").output(schema).await?;
            let more = |what| ctx.task("clerk", what).conversation(first.conversation).into_future();
            let (one, other) = rejoin::join((more("write"), more("send"))).await;
            Ok(format!("{} {} {}", first.text(), one?.text(), other?.text()))
        })
}

#[test]
fn spec_d3_tasks_and_their_repairs_survive_a_crash_at_every_commit() {
    let summary = CrashTest::new(tasks, &DAY, String::new()).run();
    assert!(summary.crashes > 20 && summary.effects == 4, "{summary:?}");
}
