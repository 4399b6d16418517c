//! Crashes before and after every commit of the examples: they end right, and each model turn is paid for once.

use rejoin::testkit::{CrashTest, Ledger};
use rejoin::time::{days, seconds};
use rejoin::{Agent, Attempt, Builder, Context, Engine, Event, Failure, Job, RunError, RunHandle, Step, Workflow};

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
