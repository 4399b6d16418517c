//! The life of a run: begun once, ended once, wedged and mended, continued as new, within its limits.

mod common;

use common::*;
use rejoin_machine::cancel::Cause;
use rejoin_machine::{
    Boundary, CallKey, Carried, Command, Effect, Event, Failure, FailureKind, Issue, Limits, OpNo, Origin, Outcome,
    Parent, Rejection, RunId, SignalId, Target, Trigger,
};

fn completed() -> Event {
    Event::Completed { output: text("out") }
}

#[test]
fn inv_e2_only_a_trigger_or_a_continuation_begins_a_run() {
    assert!(begins(&triggered()) && begins(&continued(Vec::new(), Vec::new())));
    for event in [Event::Started, completed(), received(1, "review"), Event::Unwedged] {
        assert!(!begins(&event), "{event:?}");
    }
    created().illegal(0, triggered()).illegal(0, continued(Vec::new(), Vec::new()));
}

#[test]
fn inv_e2_a_run_starts_once() {
    let mut run = created();
    run.is("created").owes([Effect::Start]);
    run.when(1, Command::Start).then([Event::Started]).is("suspended").owes([]);
    run.when(2, Command::Start).refused(Rejection::AlreadyStarted);
    run.illegal(2, Event::Started);
}

#[test]
fn inv_e2_a_handler_that_was_not_called_cannot_end_the_run() {
    let mut run = created();
    run.when(1, returns(Ok(text("out")))).refused(Rejection::NotStarted);
    run.when(1, continues()).refused(Rejection::NotStarted);
    run.illegal(1, completed()).illegal(1, Event::Failed { failure: broken() });
}

#[test]
fn spec_a6_a_run_ends_with_what_its_handler_says() {
    running().when(1, returns(Ok(text("out")))).then([completed()]).is("completed");
    running().when(1, returns(Err(broken()))).then([Event::Failed { failure: broken() }]).is("failed");
}

#[test]
fn inv_e2_nothing_happens_after_the_end() {
    let failure = broken();
    let ends = [
        (vec![completed()], "completed"),
        (vec![Event::Failed { failure: failure.clone() }], "failed"),
        (vec![cancel_requested(Cause::Deadline, 0), timed_out()], "timed out"),
        (vec![cancel_requested(Cause::Request, 0), cancelled()], "cancelled"),
    ];
    for (events, state) in ends {
        let mut run = running();
        run.given(1, [step(0).within(5).scheduled(), call(1).triggered(1), timer_set(2, 3), received(1, "review")]);
        run.given(1, [wedged(), Event::Unwedged]).given(2, events).is(state).owes([]).due(0, None);
        assert_eq!(run.run().operations().count(), 0);
        let commands = [
            Command::Start,
            ends_step(),
            ended(child(1), Outcome::Completed(text("late"))),
            signal(2, "review"),
            cancel(Cause::Request, Some(0)),
            wake(),
            wedge(),
            Command::Unwedge,
            step(3).into(),
            drops(0),
            returns(Ok(text("again"))),
            continues(),
            Command::Issue(Issue::Patch { id: "faster".into() }),
        ];
        for command in commands {
            run.when(9, command).refused(Rejection::Closed(state));
        }
        let events = [completed(), Event::Failed { failure: failure.clone() }, timed_out(), cancelled()];
        for event in events.into_iter().chain([wedged(), Event::Unwedged, received(2, "review"), step_completed(0, "")])
        {
            run.illegal(9, event);
        }
        run.illegal(9, Event::ResultIgnored { child: child(1) }).illegal(9, continued(Vec::new(), Vec::new()));
    }
}

fn ends_step() -> Command {
    ends(0, 1, Ok(text("late")))
}

#[test]
fn spec_a9_a_wedged_run_is_parked_and_keeps_everything() {
    let mut run = running();
    run.given(1, [step(0).scheduled(), timer_set(1, 5), wait(2, "review").awaited(1), call(3).triggered(1)]);
    run.when(2, wedge()).then([wedged()]).is("wedged").owes([]);
    assert_eq!(run.run().wedged(), Some("operation 0: expected a step, got a timer"));
    assert!(!run.run().is_suspended());
    run.when(2, wedge()).refused(Rejection::Wedged(""));
    run.illegal(2, wedged());
    // What the world says is recorded.
    run.when(3, ends(0, 1, Ok(text("done")))).then([step_completed(0, "done")]);
    run.when(5, wake()).then([timer_fired(1)]);
    run.when(6, signal(1, "review")).then([received(1, "review"), delivered(2, 1)]);
    run.when(7, ended(child(3), Outcome::Completed(text("out")))).then([child_completed(3, "out")]);
    run.when(8, Command::Unwedge).then([Event::Unwedged]).is("suspended");
    run.when(8, Command::Unwedge).refused(Rejection::Wedged("not "));
    run.illegal(8, Event::Unwedged);
}

#[test]
fn spec_a9_the_handler_of_a_wedged_run_is_not_heard() {
    let mut run = running();
    run.given(1, [step(0).scheduled(), wedged()]);
    let patch = Command::Issue(Issue::Patch { id: "faster".into() });
    for command in [step(1).into(), call(1).into(), sleep(1, 9), wait(1, "x").into(), drops(0), patch, continues()] {
        run.when(2, command).refused(Rejection::Wedged(""));
    }
    run.when(2, returns(Ok(text("out")))).refused(Rejection::Wedged(""));
    run.illegal(2, completed()).illegal(2, step(1).scheduled()).illegal(2, dropped(0));
    run.illegal(2, continued(Vec::new(), Vec::new()));
}

#[test]
fn spec_a9_a_wedged_run_that_was_not_started_waits_to_be_mended() {
    let mut run = created();
    run.when(1, wedge()).then([wedged()]).owes([]);
    run.when(2, Command::Start).refused(Rejection::Wedged(""));
    run.illegal(2, Event::Started);
    run.when(3, Command::Unwedge).then([Event::Unwedged]).owes([Effect::Start]);
    run.when(3, Command::Start).then([Event::Started]);
}

#[test]
fn spec_a9_steps_that_a_wedged_run_does_not_execute_lose_no_attempts() {
    let mut run = running();
    run.given(1, [step(0).within(10).scheduled(), step(1).scheduled(), attempt_failed(1, busy(), 50), wedged()]);
    run.due(1, None).owes([]);
    run.when(99, wake()).refused(Rejection::NothingDue);
    run.given(100, [Event::Unwedged]).due(100, Some(11));
    run.owes([attempt(0, 1, 1, Some(11)), attempt(1, 2, 50, None)]);
}

#[test]
fn spec_a9_a_deadline_holds_for_a_wedged_run() {
    let mut run = given([triggered_until(60), Event::Started]);
    run.given(1, [step(0).within(10).scheduled(), wedged()]).due(1, Some(60));
    run.when(60, wake()).then([deadline_passed(30), cancel_delivered(90)]).is("wedged").due(60, Some(90));
    run.when(90, wake()).then([timed_out()]).is("timed out");
}

#[test]
fn spec_a13_continue_as_new_carries_caller_key_deadline_and_labels() {
    let parent = Parent { run: RunId([1; 16]), incarnation: 3, op: OpNo(4), awaited: true };
    let trigger = Trigger {
        parent: Some(parent),
        origin: Origin::Workflow,
        depth: 1,
        path: vec!["root".into(), "parent".into()],
        deadline: Some(at(60)),
        labels: vec![("team".into(), "news".into())],
        ..trigger()
    };
    let mut run = given([Event::Triggered(Box::new(trigger.clone())), Event::Started]);
    let boundary = Boundary {
        incarnation: 1,
        trigger: Trigger { input: text("next"), seed: 2, ..trigger },
        triggered_at: at(0),
        children: Vec::new(),
        signals: Vec::new(),
        signals_seen: Vec::new(),
    };
    run.when(1, continues())
        .then([Event::ContinuedAsNew(Box::new(boundary))])
        .is("created")
        .due(1, Some(60))
        .owes([Effect::Start]);
    assert_eq!((run.run().id(), run.run().incarnation(), run.run().history()), (RUN, 1, 1));
    run.when(2, Command::Start).then([Event::Started]);
    // Operations are counted from the beginning.
    run.when(3, step(0)).then([step(0).scheduled()]);
}

#[test]
fn spec_a13_continue_as_new_carries_children_and_signals() {
    let mut run = running();
    run.given(1, [call(0).key("live").triggered(1), call(1).key("loose").detached().triggered(1)]);
    run.given(1, [call(2).key("done").triggered(1), call(3).triggered(1), child_completed(2, "out")]);
    run.given(1, [call(4).triggered(1), child_completed(3, "out"), step(5).scheduled(), timer_set(6, 9)]);
    run.given(2, [wait(7, "a").awaited(2), received(1, "a"), delivered(7, 1), received(2, "b"), received(3, "b")]);
    let named =
        |key: &str, awaited| Carried { child: keyed(key), key: CallKey::Named(key.into()), awaited, result: None };
    let numbered = CallKey::Numbered { incarnation: 0, op: OpNo(4) };
    let unnamed = Carried { child: child(4), key: numbered, awaited: true, result: None };
    // The key of a child that has ended is used up in later incarnations too, since its child exists.
    let mut children = vec![named("live", true), named("loose", false), named("done", false), unnamed];
    children.sort_by_key(|carried| carried.child);
    let boundary = Boundary {
        incarnation: 1,
        trigger: Trigger { input: text("next"), seed: 2, ..trigger() },
        triggered_at: at(0),
        children,
        signals: vec![buffered(2, "b"), buffered(3, "b")],
        signals_seen: [1, 2, 3].map(|id| SignalId([id; 16])).to_vec(),
    };
    run.when(3, continues()).then([Event::ContinuedAsNew(Box::new(boundary))]).owes([Effect::Start]).due(0, None);
    assert_eq!(run.run().operations().count(), 0);
    run.given(4, [Event::Started]);
    run.when(5, signal(1, "a")).refused(Rejection::DuplicateSignal);
    run.when(5, wait(0, "b")).then([wait(0, "b").awaited(5), delivered(0, 2)]);
    for (op, key) in [(1, "done"), (2, "loose")] {
        let again = call(op).key(key);
        let rejection = Rejection::DuplicateKey { key: key.into(), child: keyed(key) };
        let failure = Failure::new(FailureKind::Refused, rejection.code(), rejection.to_string());
        run.when(5, again.clone()).then([again.refused(failure)]);
    }
    run.when(6, call(3).key("live")).then([call(3).key("live").triggered(6)]);
    run.when(7, ended(keyed("loose"), Outcome::Completed(text("out"))))
        .then([Event::ResultIgnored { child: keyed("loose") }]);
    // A carried result is kept for the incarnation after this one.
    run.given(8, [Event::ChildCompleted { op: op_no(3), output: text("out") }]);
    run.when(9, ended(child(4), Outcome::Failed(broken())))
        .then([Event::CarriedChildEnded { child: child(4), result: Err(broken()) }]);
}

#[test]
fn spec_a13_a_result_that_nobody_asked_for_is_carried_on() {
    let kept = carried("a", Some(Err(broken())));
    let mut run = given([continued(vec![kept.clone()], Vec::new()), Event::Started]);
    let Event::ContinuedAsNew(mut boundary) = continued(vec![kept], Vec::new()) else { unreachable!() };
    (boundary.incarnation, boundary.trigger.input, boundary.trigger.seed) = (2, text("next"), 2);
    run.when(1, continues()).then([Event::ContinuedAsNew(boundary)]);
}

#[test]
fn spec_a13_an_incarnation_follows_the_one_before_it_until_numbers_end() {
    running().illegal(1, {
        let Event::ContinuedAsNew(mut boundary) = continued(Vec::new(), Vec::new()) else { unreachable!() };
        boundary.incarnation = 2;
        Event::ContinuedAsNew(boundary)
    });
    let Event::ContinuedAsNew(mut boundary) = continued(Vec::new(), Vec::new()) else { unreachable!() };
    boundary.incarnation = u32::MAX;
    let mut run = given([Event::ContinuedAsNew(boundary), Event::Started]);
    run.illegal(1, continued(Vec::new(), Vec::new()));
    let message = format!("the run has reached its limit of {} incarnations", u32::MAX);
    let failure = Failure::new(FailureKind::Limit, "too-many", message);
    run.when(1, continues()).then([Event::Failed { failure }]);
}

#[test]
fn spec_a13_input_and_output_over_the_limit_fail_the_run() {
    let failed = |what: &str, size: usize| {
        let message = format!("{what} of {size} bytes is over the limit of 3");
        Event::Failed { failure: Failure::new(FailureKind::Limit, "too-large", message) }
    };
    let start = || running().limited(|limits| limits.payload_bytes = 3);
    start().when(1, returns(Ok(text("four")))).then([failed("the output", 4)]);
    start().when(1, continues()).then([failed("the input", 4)]);
    let (details, message) = (Some(text("four")), "four".to_string());
    let cut = Failure { message: "fou".into(), ..broken() };
    start().when(1, returns(Err(Failure { details, message, ..broken() }))).then([Event::Failed { failure: cut }]);
}

#[test]
fn spec_a13_history_over_the_limit_refuses_operations_and_says_what_to_do() {
    let mut run = running().limited(|limits| limits.history = 3);
    run.when(1, step(0)).then([step(0).scheduled()]);
    let what = "events of history; continue as new before that";
    let full = Rejection::TooMany { what, limit: 3 };
    for command in [step(1).into(), call(1).into(), sleep(1, 9), wait(1, "x").into()] {
        run.when(2, command).refused(full.clone());
    }
    // What is under way can end, and so can the run.
    run.when(2, ends(0, 1, Ok(text("done")))).then([step_completed(0, "done")]);
    run.when(3, returns(Ok(text("out")))).then([completed()]);
}

#[test]
fn spec_a13_pending_operations_over_the_limit_are_refused() {
    let mut run = running().limited(|limits| limits.open_operations = 2);
    run.given(1, [timer_set(0, 9), step(1).scheduled()]);
    run.when(2, step(2)).refused(Rejection::TooMany { what: "pending operations", limit: 2 });
    run.given(3, [dropped(0)]);
    run.when(4, step(2)).then([step(2).scheduled()]);
}

#[test]
fn spec_a13_a_patch_is_marked_within_the_limit() {
    let patch = |id: &str| Command::Issue(Issue::Patch { id: id.into() });
    let mut run = running().limited(|limits| limits.name_bytes = 4);
    run.when(1, patch("fast")).then([Event::PatchMarked { id: "fast".into() }]);
    run.when(1, patch("faster")).refused(Rejection::TooLarge { what: "a patch's name", size: 6, limit: 4 });
    created().when(1, patch("fast")).refused(Rejection::NotStarted);
    created().illegal(1, Event::PatchMarked { id: "fast".into() });
}

#[test]
fn spec_a13_a_trigger_over_the_limits_is_refused() {
    let limits = Limits { name_bytes: 8, payload_bytes: 8, ..Limits::default() };
    assert_eq!(trigger().check(&limits), Ok(()));
    let name = Rejection::TooLarge { what: "a name, key or label", size: 9, limit: 8 };
    let long = || "nine byte".to_string();
    let large = [
        Trigger { project: long(), ..trigger() },
        Trigger { target: Target { name: long(), version: 1 }, ..trigger() },
        Trigger { key: Some(long()), ..trigger() },
        Trigger { labels: vec![(long(), String::new())], ..trigger() },
        Trigger { labels: vec![(String::new(), long())], ..trigger() },
    ];
    for trigger in large {
        assert_eq!(trigger.check(&limits), Err(name.clone()));
    }
    let input = Rejection::TooLarge { what: "the input", size: 9, limit: 8 };
    assert_eq!(Trigger { input: text("nine byte"), ..trigger() }.check(&limits), Err(input));
}

#[test]
fn spec_a8_each_answer_that_the_handler_gets_is_told_by_one_event() {
    use rejoin_machine::Answer;
    let op = op_no(0);
    assert_eq!(Event::Started.answer(), Some(Answer::Start));
    assert_eq!(step_completed(0, "out").answer(), Some(Answer::Resolved { op, result: Ok(text("out")) }));
    assert_eq!(timer_fired(0).answer(), Some(Answer::Resolved { op, result: Ok(text("")) }));
    assert_eq!(step_failed(0, broken()).answer(), Some(Answer::Resolved { op, result: Err(broken()) }));
    assert_eq!(attempt_failed(0, busy(), 1).answer(), None);
    assert_eq!(call(0).triggered(0).answer(), None);
    assert_eq!(call(0).detached().triggered(0).answer(), Some(Answer::Spawned { op, child: child(0) }));
    assert_eq!(call(0).refused(broken()).answer(), Some(Answer::Resolved { op, result: Err(broken()) }));
    assert_eq!(delivered(0, 1).answer(), Some(Answer::Signal { op, id: SignalId([1; 16]) }));
    assert_eq!(received(1, "review").answer(), None);
    assert_eq!(cancel_delivered(1).answer(), Some(Answer::Cancel));
}
