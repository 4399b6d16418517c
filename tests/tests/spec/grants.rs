//! C4, D4, D7, F1, F6, F9, F10: who may trigger what, how deep, and with which metadata.

use super::{code, run, runs_of, said};
use rejoin::testkit::World;
use rejoin::{Agent, Context, Event, Failure, Grant, Job, Rejection, TriggerError, Workflow};
use rejoin_tests::lives::{MAIN, builder, failure, start};
use serde_json::json;

const SALES: Job<String, String> = Job::of("sales");
const PROPOSAL: Workflow<String, String> = Workflow::named("draft-proposal");
const REFUND: Workflow<serde_json::Value, String> = Workflow::named("refund").metadata(&["order"]);

async fn proposal(_: Context, account: String) -> Result<String, Failure> {
    Ok(format!("a proposal for {account}"))
}

async fn sell(ctx: Context, account: String) -> Result<String, Failure> {
    ctx.call(&PROPOSAL, account).await
}

async fn ask_sales(ctx: Context, _: u32) -> Result<String, Failure> {
    ctx.job(&SALES, "Acme".to_owned()).await
}

#[test]
fn spec_c4_an_agent_triggers_what_it_is_granted() {
    let app = builder().job(&SALES, sell).workflow(&PROPOSAL, proposal).workflow(&MAIN, ask_sales);
    assert_eq!(said(app.agent(Agent::named("sales").grant("draft-proposal"))), "a proposal for Acme");
}

#[test]
fn spec_c4_without_a_grant_nothing_starts_and_the_agent_is_told() {
    let app = builder().job(&SALES, sell).workflow(&PROPOSAL, proposal).workflow(&MAIN, ask_sales);
    let (result, simulation) = run(app);
    let refusal = failure(result);
    assert_eq!(refusal.code(), "not-granted");
    assert!(refusal.message().contains("main -> sales -> draft-proposal"), "{refusal}");
    assert!(runs_of(&simulation, "draft-proposal").is_empty());
    let history = simulation.engine().history(runs_of(&simulation, "sales")[0].id).unwrap();
    let refused = |event: &Event| matches!(event, Event::ChildRefused { name, .. } if name == "draft-proposal");
    assert!(history.iter().flat_map(|entry| &entry.transition.events).any(refused), "it is on the caller's log");
}

#[test]
fn spec_c4_a_department_grants_present_and_future_members() {
    let app = |members: &[&str]| {
        let app = builder().job(&SALES, sell).workflow(&PROPOSAL, proposal).workflow(&MAIN, ask_sales);
        app.agent(Agent::named("sales").grant_department("offers")).department("offers", members.to_vec())
    };
    assert_eq!(failure(run(app(&["price-list"])).0).code(), "not-granted");
    assert_eq!(said(app(&["price-list", "draft-proposal"])), "a proposal for Acme");
}

#[test]
fn inv_e16_a_run_narrows_what_everything_below_it_may_trigger() {
    let app = |only: &'static [&'static str]| {
        let asks =
            move |ctx: Context, _: u32| async move { ctx.job(&SALES, "Acme".to_owned()).only(only.to_vec()).await };
        let sales = Agent::named("sales").grant("draft-proposal");
        builder().agent(sales).job(&SALES, sell).workflow(&PROPOSAL, proposal).workflow(&MAIN, asks)
    };
    assert_eq!(said(app(&["draft-proposal"])), "a proposal for Acme");
    assert_eq!(failure(run(app(&["another"])).0).code(), "not-granted");
}

#[test]
fn spec_f6_an_assignment_says_whether_its_agent_may_trigger_at_all() {
    let asks = |ctx: Context, _: u32| async move { ctx.job(&SALES, "Acme".to_owned()).triggers_nothing().await };
    let sales = Agent::named("sales").grant("draft-proposal");
    let app = builder().agent(sales).job(&SALES, sell).workflow(&PROPOSAL, proposal).workflow(&MAIN, asks);
    assert_eq!(failure(run(app).0).code(), "may-not-trigger");
}

#[test]
fn spec_f10_what_a_workflow_assigns_to_agents_is_on_its_own_level() {
    const STEP: Job<u32, u32> = Job::of("worker");
    const INNER: Workflow<u32, String> = Workflow::named("inner");
    let app = builder()
        .job(&STEP, |ctx: Context, _: u32| async move { Ok(ctx.depth()) })
        .workflow(
            &INNER,
            |ctx: Context, n: u32| async move { Ok(format!("{} {}", ctx.depth(), ctx.job(&STEP, n).await?)) },
        )
        .workflow(&MAIN, |ctx: Context, n: u32| async move {
            let (own, below) = (ctx.job(&STEP, n).await?, ctx.call(&INNER, n).await?);
            Ok(format!("{} {own}, {below}", ctx.depth()))
        });
    assert_eq!(said(app), "0 0, 1 1");
}

#[test]
fn spec_f10_what_an_agent_triggers_is_one_level_deeper() {
    const LEAD: Job<u32, String> = Job::of("lead");
    const HELP: Job<u32, u32> = Job::of("help");
    let app = builder()
        .agent(Agent::named("lead").grant("help"))
        .job(&HELP, |ctx: Context, _: u32| async move { Ok(ctx.depth()) })
        .job(&LEAD, |ctx: Context, n: u32| async move { Ok(format!("{} {}", ctx.depth(), ctx.job(&HELP, n).await?)) })
        .workflow(&MAIN, |ctx: Context, n: u32| async move { ctx.job(&LEAD, n).await });
    assert_eq!(said(app), "0 1");
}

#[test]
fn spec_f10_a_calling_a_through_its_own_agent_is_refused_the_second_time() {
    let app = builder()
        .agent(Agent::named("sales").grant("main"))
        .workflow(&MAIN, ask_sales)
        .job(&SALES, |ctx: Context, _: String| async move { ctx.call(&MAIN, 2).await });
    let refusal = failure(run(app).0);
    assert_eq!(refusal.code(), "recursion");
    assert!(refusal.message().contains("main -> sales -> main"), "{refusal}");
}

#[test]
fn spec_f9_subagents_share_the_level_and_have_none_of_their_own() {
    const LEAD: Job<u32, String> = Job::of("lead");
    const PART: Job<u32, String> = Job::of("part");
    let part = |ctx: Context, n: u32| async move {
        let deeper = ctx.subagent(&PART, n).await.expect_err("it has no subagents");
        Ok(format!("{} {}", ctx.depth(), deeper.code()))
    };
    let lead = |ctx: Context, n: u32| async move {
        let mut parts = ctx.group("parts").cancel_on_error(false);
        for part in 0..3 {
            parts.add(part.to_string(), ctx.subagent(&PART, n));
        }
        let parts = parts.all().await?;
        let third = parts.get("2").and_then(|answer| answer.failure()).map_or("none", Failure::code).to_owned();
        Ok(format!("{:?}, third: {third}", parts.values().collect::<Vec<_>>()))
    };
    let app = builder().agent(Agent::named("lead").subagents(2)).job(&LEAD, lead).job(&PART, part).workflow(
        &MAIN,
        |ctx: Context, n: u32| async move {
            let refused = code(ctx.subagent(&PART, n).await);
            Ok(format!("{refused}; {}", ctx.job(&LEAD, n).await?))
        },
    );
    let expected = r#"no-subagents; [("0", "0 no-subagents"), ("1", "0 no-subagents")], third: too-many-subagents"#;
    assert_eq!(said(app), expected);
}

#[test]
fn spec_f9_a_swarm_of_subagents_triggers_workflows_in_parallel() {
    const LEAD: Job<u32, String> = Job::of("lead");
    const SCOUT: Job<String, String> = Job::of("scout");
    let app = builder()
        .agent(Agent::named("scout").grant("draft-proposal"))
        .workflow(&PROPOSAL, proposal)
        .job(&SCOUT, sell)
        .job(&LEAD, |ctx: Context, _: u32| async move {
            let mut swarm = ctx.group("swarm");
            for account in ["Acme", "Bolt"] {
                swarm.add(account, ctx.subagent(&SCOUT, account.to_owned()));
            }
            let found = swarm.all().await?;
            Ok(found.values().map(|(_, text)| text.clone()).collect::<Vec<_>>().join(", "))
        })
        .workflow(&MAIN, |ctx: Context, n: u32| async move { ctx.job(&LEAD, n).await });
    assert_eq!(said(app), "a proposal for Acme, a proposal for Bolt");
}

#[test]
fn spec_d4_metadata_reaches_what_declares_it_and_a_model_can_not_change_it() {
    // The example of the invoice: the agent tries to name another order than the one it works for.
    const CLERK: Job<String, String> = Job::of("clerk");
    let refund = |ctx: Context, input: serde_json::Value| async move {
        Ok(format!("order {} refunded ({input})", ctx.metadata::<u32>("order")?))
    };
    let clerk = |ctx: Context, _: String| async move {
        assert_eq!(ctx.metadata::<u32>("order").expect_err("not declared").code(), "metadata-undeclared");
        let forged = json!({"order": 999, "reason": "broken"});
        let refunded = ctx.tool_call("refund", None, forged).await?;
        let overridden = ctx.call(&REFUND, json!({})).metadata("order", &999).await;
        Ok(format!("{}; {}", refunded.as_str().unwrap_or_default(), code(overridden)))
    };
    let app = builder().agent(Agent::named("clerk").grant("refund")).workflow(&REFUND, refund).job(&CLERK, clerk);
    let mut simulation = start(&World::new(1), app);
    let engine = simulation.engine();
    let asked = async move {
        engine.job(&CLERK, String::new()).metadata("order", &7).await?.result().await.map_err(rejoin::Error::from)
    };
    let said = simulation.block_on(asked).unwrap().unwrap();
    assert_eq!(said, r#"order 7 refunded ({"reason":"broken"}); metadata-overridden"#);
    let refund = runs_of(&simulation, "refund")[0].id;
    let history = simulation.engine().history(refund).unwrap();
    let noted = |event: &Event| matches!(event, Event::Briefed(brief) if brief.dropped == ["order"]);
    assert!(history[0].transition.events.iter().any(noted), "the attempt is on the log");
}

#[test]
fn spec_d4_children_may_add_metadata_and_a_missing_key_refuses_the_call() {
    const OUTER: Workflow<u32, String> = Workflow::named("outer");
    let refund = |ctx: Context, _: serde_json::Value| async move { Ok(ctx.metadata::<u32>("order")?.to_string()) };
    let app = builder()
        .workflow(&REFUND, refund)
        .workflow(&OUTER, |ctx: Context, _: u32| async move { ctx.call(&REFUND, json!({})).await })
        .workflow(&MAIN, |ctx: Context, n: u32| async move {
            let missing = code(ctx.call(&REFUND, json!({})).await);
            // It travels through a workflow that does not declare it.
            Ok(format!("{missing}, {}", ctx.call(&OUTER, n).metadata("order", &5).await?))
        });
    assert_eq!(said(app), "metadata-missing, 5");
    let mut simulation = start(&World::new(1), builder().workflow(&REFUND, refund));
    let engine = simulation.engine();
    let missing = simulation.block_on(async move { engine.trigger(&REFUND, json!({})).await.map(drop) }).unwrap();
    assert!(matches!(missing, Err(TriggerError::Limit(Rejection::MetadataMissing { .. }))), "{missing:?}");
}

#[test]
fn spec_e2_a_visitors_data_satisfies_no_key_of_the_metadata() {
    const SEEN: Workflow<u32, String> = Workflow::named("seen");
    let app = builder()
        .workflow(&REFUND, |_, _: serde_json::Value| async move { Ok(String::new()) })
        .workflow(&SEEN, |ctx: Context, _: u32| async move { Ok(ctx.visitor::<String>("page")?.unwrap_or_default()) })
        .workflow(&MAIN, |ctx: Context, n: u32| async move {
            let refused = code(ctx.call(&REFUND, json!({})).visitor("order", &7).await);
            Ok(format!("{refused}, {}", ctx.call(&SEEN, n).visitor("page", "/prices").await?))
        });
    assert_eq!(said(app), "metadata-missing, /prices");
}

#[test]
fn spec_d7_work_without_a_user_may_not_trigger_what_needs_one() {
    const ACCOUNT: Workflow<u32, String> = Workflow::named("show-account").requires_user();
    let app = builder().workflow(&ACCOUNT, |_, _: u32| async move { Ok(String::new()) }).workflow(
        &MAIN,
        |ctx: Context, n: u32| async move {
            assert_eq!(ctx.user(), None);
            Ok(code(ctx.call(&ACCOUNT, n).await))
        },
    );
    assert_eq!(said(app), "requires-user");
}

#[test]
fn spec_f1_a_context_message_goes_beside_the_input() {
    let app = builder()
        .workflow(&PROPOSAL, |ctx: Context, account: String| async move {
            Ok(format!("{account}: {}", ctx.occasion().unwrap_or("nothing was said")))
        })
        .workflow(&MAIN, |ctx: Context, _: u32| async move {
            ctx.call(&PROPOSAL, "Acme".to_owned()).message("Focus on landing page conversion").await
        });
    assert_eq!(said(app), "Acme: Focus on landing page conversion");
}

#[test]
fn spec_c1_invalid_inputs_start_no_run_and_the_agent_learns_which_field() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Request {
        order_id: u32,
    }
    const TYPED: Workflow<Request, String> = Workflow::named("typed");
    let app = builder()
        .agent(Agent::named("sales").grant("typed"))
        .workflow(&TYPED, |_, request: Request| async move { Ok(request.order_id.to_string()) })
        .job(&SALES, |ctx: Context, _: String| async move {
            let wrong = ctx.tool_call("typed", None, json!({"order": 1})).await.expect_err("no such field");
            Ok(wrong.to_string())
        })
        .workflow(&MAIN, ask_sales);
    let (result, simulation) = run(app);
    let said = result.unwrap();
    assert!(said.contains("order_id"), "{said}");
    assert!(runs_of(&simulation, "typed").is_empty());
}

#[test]
fn spec_c1_an_agent_sees_what_it_may_call_and_when_to_use_it() {
    const REFUND: Workflow<String, String> = Workflow::named("refund").describe("Pays an order back.");
    const LOOK: Workflow<String, String> = Workflow::named("look-up").describe("Finds an order.");
    const WRITE: Job<String, String> = Job::named("writer", "write").describe("Writes a letter.");
    const CHIEF: Job<u32, String> = Job::of("chief");
    let app = builder()
        .agent(
            Agent::named("chief")
                .grant(Grant::of("refund").when("somebody wants their money"))
                .grant_department("desk")
                .grant("gone"),
        )
        .agent(Agent::named("writer").describe("Writes well."))
        .department("desk", ["writer", "look-up"])
        .workflow(&REFUND, |_: Context, order: String| async move { Ok(order) })
        .workflow(&LOOK, |_: Context, order: String| async move { Ok(order) })
        .job(&WRITE, |_: Context, text: String| async move { Ok(text) })
        .job(&CHIEF, |ctx: Context, _: u32| async move {
            let words = |callable: rejoin::Callable| {
                let (what, when) = (callable.description.unwrap_or_default(), callable.when.unwrap_or_default());
                format!("{} ({what}{when}{})", callable.name, callable.jobs.len())
            };
            Ok(ctx.callable().into_iter().map(words).collect::<Vec<_>>().join(", "))
        })
        .workflow(&MAIN, |ctx: Context, n: u32| async move {
            let all = ctx.job(&CHIEF, n).await?;
            let some = ctx.job(&CHIEF, n).only(["refund"]).await?;
            let none = ctx.job(&CHIEF, n).triggers_nothing().await?;
            Ok(format!("{all} | {some} | {none}{}", ctx.callable().len()))
        });
    let expected = "look-up (Finds an order.0), refund (Pays an order back.somebody wants their money0), \
                    writer (Writes well.1) | refund (Pays an order back.somebody wants their money0) | 0";
    assert_eq!(said(app), expected);
}
