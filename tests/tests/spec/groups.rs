//! B2, B8, B9, B10: calls that are made and settled together.

use super::{run, runs_of, said};
use rejoin::time::{hours, seconds};
use rejoin::{Context, Event, Failure, Job, RunStatus};
use rejoin_tests::lives::{MAIN, builder, failure};

const ARGUE: Job<String, String> = Job::of("debater");

/// Does what it is told.
async fn argue(ctx: Context, what: String) -> Result<String, Failure> {
    match what.as_str() {
        "no" => Err(Failure::business("no", "it says so")),
        "break" => panic!("broken"),
        "wait" => ctx.signal("never").await,
        "tidy" => {
            let waited: Result<String, Failure> = ctx.signal("never").await;
            ctx.sleep(seconds(5)).await?;
            waited
        }
        other => {
            ctx.sleep(seconds(other.len() as u64)).await?;
            Ok(other.to_uppercase())
        }
    }
}

#[test]
fn spec_b2_a_group_waits_for_all_and_answers_by_key() {
    // The debate: three agents and a moderator; one agent bears two roles.
    let app = builder().job(&ARGUE, argue).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let mut group = ctx.group("debate").timeout(seconds(30));
        for role in ["advocate", "critic", "analyst"] {
            group.add(role, ctx.job(&ARGUE, role.to_owned()).timeout(seconds(20)));
        }
        let answers = group.all().await?;
        let lines: Vec<String> = answers.values().map(|(role, text)| format!("{role}: {text}")).collect();
        Ok(lines.join(", "))
    });
    assert_eq!(said(app), "advocate: ADVOCATE, critic: CRITIC, analyst: ANALYST");
}

#[test]
fn spec_b8_one_error_cancels_the_others_and_carries_every_outcome() {
    let app = builder().job(&ARGUE, argue).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let mut group = ctx.group("debate");
        for what in ["a", "no", "wait"] {
            group.add(what, ctx.job(&ARGUE, what.to_owned()));
        }
        // The one that completes first is there too.
        group.add("late", ctx.job(&ARGUE, "a while".to_owned()));
        let error = group.all().await.expect_err("one says no");
        let statuses: Vec<_> = error.answers.iter().map(|(name, answer)| (name.to_owned(), answer.status())).collect();
        assert_eq!(error.failure.details()["items"]["no"]["code"], "no");
        Ok(format!("{statuses:?}"))
    });
    let (said, simulation) = run(app);
    assert_eq!(
        said.unwrap(),
        r#"[("a", "cancelled"), ("no", "failed"), ("wait", "cancelled"), ("late", "cancelled")]"#
    );
    for info in runs_of(&simulation, "debater") {
        assert!(info.row.status.is_closed(), "nobody works unseen");
    }
}

#[test]
fn spec_b8_without_cancel_on_error_all_are_collected() {
    let app = builder().job(&ARGUE, argue).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let mut group = ctx.group("debate").cancel_on_error(false);
        for what in ["a", "no", "break"] {
            group.add(what, ctx.job(&ARGUE, what.to_owned()));
        }
        group.add("ghost", ctx.job(&Job::of("ghost"), 1));
        group.add("slow", ctx.job(&ARGUE, "wait".to_owned()).timeout(seconds(3)));
        let answers = group.all().await?;
        Ok(answers.iter().map(|(_, answer)| answer.status()).collect::<Vec<_>>().join(" "))
    });
    assert_eq!(said(app), "completed failed error failed timed-out");
}

#[test]
fn spec_b2_when_the_time_of_a_group_is_up_the_answers_so_far_are_there() {
    let app = builder().job(&ARGUE, argue).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let mut group = ctx.group("debate").timeout(hours(1));
        for what in ["a", "wait"] {
            group.add(what, ctx.job(&ARGUE, what.to_owned()));
        }
        let error = group.all().await.expect_err("one is late");
        let answer = error.answers.get("a").and_then(|answer| answer.value()).cloned().unwrap_or_default();
        Ok(format!("{answer} {}", error.answers.get("wait").map_or("", |answer| answer.status())))
    });
    let (result, simulation) = run(app);
    assert_eq!(result.unwrap(), "A timed-out");
    assert_eq!(runs_of(&simulation, "debater")[1].row.status, RunStatus::Cancelled);
}

#[test]
fn spec_b8_the_first_success_and_a_quorum_cancel_the_rest() {
    let app = |of: usize| {
        builder().job(&ARGUE, argue).workflow(&MAIN, move |ctx: Context, _: u32| async move {
            let mut group = ctx.group("debate");
            for what in ["no", "wait", "aaa", "bbbb", "ccccc"] {
                group.add(what, ctx.job(&ARGUE, what.to_owned()));
            }
            let answers = if of == 0 { group.first().await? } else { group.quorum(of).await? };
            Ok(answers.iter().map(|(_, answer)| answer.status()).collect::<Vec<_>>().join(" "))
        })
    };
    assert_eq!(said(app(0)), "failed cancelled completed cancelled cancelled");
    assert_eq!(said(app(2)), "failed cancelled completed completed cancelled");
    // All of five cannot be reached once one has said no.
    let (result, _) = run(app(5));
    let refusal = failure(result);
    assert_eq!(refusal.code(), "group");
    assert!(refusal.message().contains("0 of 5"), "{refusal}");
}

#[test]
fn spec_b9_a_group_ends_when_the_cleaning_up_of_its_members_has() {
    let app = builder().job(&ARGUE, argue).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let began = ctx.now();
        let mut group = ctx.group("debate");
        group.add("tidy", ctx.job(&ARGUE, "tidy".to_owned()));
        group.add("no", ctx.job(&ARGUE, "no".to_owned()));
        group.all().await.expect_err("one says no");
        Ok(format!("{} s", (ctx.now().0 - began.0) / 1_000_000))
    });
    assert_eq!(said(app), "5 s");
}

#[test]
fn spec_b10_leaving_the_scope_of_a_group_cancels_its_calls() {
    let app = builder().job(&ARGUE, argue).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let mut group = ctx.group("debate");
        group.add("wait", ctx.job(&ARGUE, "wait".to_owned()));
        let settled = rejoin::select(Box::pin(group.all()), ctx.sleep(seconds(1))).await;
        Ok(if matches!(settled, rejoin::Either::Second(_)) { "left" } else { "settled" }.to_owned())
    });
    let (result, simulation) = run(app);
    assert_eq!(result.unwrap(), "left");
    assert_eq!(runs_of(&simulation, "debater")[0].row.status, RunStatus::Cancelled);
}

#[test]
fn spec_b2_what_makes_no_sense_is_refused_before_anything_starts() {
    let app = builder().job(&ARGUE, argue).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let mut codes = Vec::new();
        let mut twice = ctx.group("twice");
        twice.add("a", ctx.job(&ARGUE, "a".to_owned()));
        twice.add("a", ctx.job(&ARGUE, "b".to_owned()));
        codes.push(twice.all().await.expect_err("one name twice").failure.code().to_owned());
        for of in [0, 2] {
            let mut group = ctx.group("quorum");
            group.add("a", ctx.job(&ARGUE, "a".to_owned()));
            codes.push(group.quorum(of).await.expect_err("no such quorum").failure.code().to_owned());
        }
        codes.push(ctx.group::<String>("empty").first().await.expect_err("nobody").failure.code().to_owned());
        assert!(ctx.group::<String>("empty").all().await?.is_empty());
        Ok(codes.join(" "))
    });
    let (result, simulation) = run(app);
    assert_eq!(result.unwrap(), "duplicate-item zero-quorum quorum-too-large quorum-too-large");
    assert!(runs_of(&simulation, "debater").is_empty());
}

#[test]
fn spec_a1_a_group_is_on_the_log() {
    let app = builder().job(&ARGUE, argue).workflow(&MAIN, |ctx: Context, _: u32| async move {
        let mut group = ctx.group("debate");
        group.add("a", ctx.job(&ARGUE, "a".to_owned()));
        group.add("b", ctx.job(&ARGUE, "b".to_owned()));
        group.first().await?;
        Ok(String::new())
    });
    let (result, simulation) = run(app);
    result.unwrap();
    let history = simulation.engine().history(runs_of(&simulation, "main")[0].id).unwrap();
    let events: Vec<&Event> = history.iter().flat_map(|entry| &entry.transition.events).collect();
    let formed = events.iter().find_map(|event| match event {
        Event::GroupFormed { members, .. } => Some(members.clone()),
        _ => None,
    });
    let named: Vec<String> = formed.expect("the group").into_iter().map(|(name, _)| name).collect();
    assert_eq!(named, ["a", "b"]);
    assert!(events.iter().any(|event| matches!(event, Event::CallCancelled { .. })));
}
