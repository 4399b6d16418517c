//! Calls: opened once, resolved once, refused before anything starts.

mod common;

use common::*;
use rejoin_machine::cancel::Cause;
use rejoin_machine::{Event, Failure, FailureKind, Outcome, Rejection, Trigger};

const TIMED_OUT: &str = "its caller stopped waiting";
const ENDED: &str = "its caller has ended";

fn refused(rejection: &Rejection) -> Failure {
    Failure::new(FailureKind::Refused, rejection.code(), rejection.to_string())
}

fn at_depth(depth: u32, path: &[&str]) -> Case {
    let path: Vec<String> = path.iter().map(|name| (*name).into()).collect();
    given([Event::Triggered(Box::new(Trigger { depth, path, ..trigger() })), Event::Started])
}

#[test]
fn spec_a4_a_call_takes_the_end_of_its_child() {
    let late = Failure::new(FailureKind::TimedOut, "deadline", "the run's deadline passed");
    let op = op_no(0);
    let ends = [
        (Outcome::Completed(text("out")), child_completed(0, "out")),
        (Outcome::Failed(broken()), Event::ChildFailed { op, failure: broken() }),
        (Outcome::TimedOut(late.clone()), Event::ChildTimedOut { op, failure: late, ended: true }),
        (Outcome::Cancelled(cancelled_by_ada()), Event::ChildCancelled { op, failure: cancelled_by_ada() }),
    ];
    for (outcome, event) in ends {
        let mut run = running();
        run.when(1, call(0).within(5)).then([call(0).within(5).triggered(1)]).is("suspended").due(1, Some(6));
        run.when(2, ended(child(0), outcome)).then([event]).due(1, None);
    }
}

#[test]
fn inv_e3_a_call_is_resolved_once() {
    let mut run = running();
    run.given(1, [call(0).triggered(1), call(1).key("a").triggered(1)]);
    run.given(2, [child_completed(0, "out"), child_completed(1, "out")]);
    run.when(3, ended(child(0), Outcome::Failed(broken()))).refused(Rejection::Stale);
    run.when(3, ended(keyed("a"), Outcome::Failed(broken()))).refused(Rejection::Stale);
    run.illegal(3, child_completed(0, "again")).illegal(3, Event::ResultIgnored { child: keyed("a") });
}

#[test]
fn inv_e3_the_end_of_a_stranger_is_refused() {
    let mut run = running();
    run.given(1, [call(0).triggered(1)]);
    run.when(2, ended(child(1), Outcome::Completed(text("out")))).refused(Rejection::Stale);
}

#[test]
fn inv_e3_a_key_stands_for_one_child() {
    let mut run = running();
    run.given(1, [call(0).key("a").triggered(1), call(1).key("b").detached().triggered(1)]);
    for (op, key) in [(2, "a"), (3, "b")] {
        let again = call(op).key(key);
        let failure = refused(&Rejection::DuplicateKey { key: key.into(), child: keyed(key) });
        run.when(2, again.clone()).then([again.refused(failure)]);
    }
    // A key is used up with its child.
    run.given(3, [child_completed(0, "out"), Event::ResultIgnored { child: keyed("b") }]);
    for (op, key) in [(4, "a"), (5, "b")] {
        let again = call(op).key(key);
        let failure = refused(&Rejection::DuplicateKey { key: key.into(), child: keyed(key) });
        run.when(4, again.clone()).then([again.refused(failure)]);
    }
    run.illegal(5, call(6).key("a").triggered(5));
}

#[test]
fn inv_e3_two_open_calls_never_share_a_child() {
    let mut run = running();
    run.given(1, [call(0).key("a").triggered(1)]);
    run.illegal(2, call(1).key("a").triggered(2));
}

#[test]
fn spec_a4_the_first_resolution_wins_and_the_late_result_is_noted_once() {
    let mut run = running();
    run.given(1, [call(0).within(5).triggered(1), call(1).key("a").within(5).triggered(1)]);
    run.when(6, wake()).then_tells([stopped_waiting(0)], [cancels(child(0), Cause::Parent, TIMED_OUT, None)]);
    run.when(6, wake()).then_tells([stopped_waiting(1)], [cancels(keyed("a"), Cause::Parent, TIMED_OUT, None)]);
    for child in [child(0), keyed("a")] {
        let late = ended(child, Outcome::Completed(text("late")));
        run.when(7, late.clone()).then([Event::ResultIgnored { child }]);
        run.when(8, late).refused(Rejection::Stale);
        run.illegal(8, Event::ResultIgnored { child });
    }
}

#[test]
fn spec_b12_a_wait_ends_at_its_deadline_and_not_before() {
    let mut run = running();
    run.given(1, [call(0).within(5).triggered(1)]);
    run.when(5, wake()).refused(Rejection::NothingDue);
    run.illegal(5, stopped_waiting(0));
    run.when(100, wake()).then_tells([stopped_waiting(0)], [cancels(child(0), Cause::Parent, TIMED_OUT, None)]);
    run.due(0, None);
    run.when(101, wake()).refused(Rejection::NothingDue);
}

#[test]
fn spec_b13_a_wait_that_times_out_cancels_the_child() {
    let mut run = running();
    run.given(1, [call(0).within(5).triggered(1)]);
    run.when(6, wake()).then_tells([stopped_waiting(0)], [cancels(child(0), Cause::Parent, TIMED_OUT, None)]);
}

#[test]
fn spec_b13_a_wait_that_times_out_leaves_the_child_alone_if_the_call_says_so() {
    let mut run = running();
    run.given(1, [call(0).within(5).or_detach().triggered(1)]);
    run.when(6, wake()).then([stopped_waiting(0)]);
    run.when(7, returns(Ok(text("out")))).then([Event::Completed { output: text("out") }]);
}

#[test]
fn spec_b13_the_callers_end_cancels_the_children_that_it_awaits_and_no_others() {
    for result in [Ok(text("out")), Err(broken())] {
        let mut run = running();
        run.given(1, [call(0).triggered(1), call(1).detached().triggered(1), call(2).triggered(1)]);
        run.given(2, [call(3).triggered(2), child_completed(2, "out"), dropped(3)]);
        let end = match result.clone() {
            Ok(output) => Event::Completed { output },
            Err(failure) => Event::Failed { failure },
        };
        run.when(3, returns(result)).then_tells([end], [cancels(child(0), Cause::Parent, ENDED, None)]);
    }
}

#[test]
fn spec_b10_a_dropped_call_cancels_its_child() {
    let mut run = running();
    run.given(1, [call(0).within(5).triggered(1)]);
    let reason = "its caller dropped the call";
    run.when(2, drops(0)).then_tells([dropped(0)], [cancels(child(0), Cause::Parent, reason, None)]).due(0, None);
    run.when(3, drops(0)).then([dropped(0)]);
    run.when(4, ended(child(0), Outcome::Cancelled(cancelled_by_ada())))
        .then([Event::ResultIgnored { child: child(0) }]);
}

#[test]
fn spec_b4_a_detached_child_is_not_waited_for() {
    let mut run = running();
    run.when(1, call(0).detached().within(5)).then([call(0).detached().within(5).triggered(1)]).due(1, None);
    assert_eq!(run.run().operations().count(), 0);
    assert_eq!(run.run().call_of(child(0)), None);
    run.when(2, ended(child(0), Outcome::Completed(text("out")))).then([Event::ResultIgnored { child: child(0) }]);
}

#[test]
fn spec_f10_depths_0_to_2_run_and_a_trigger_at_depth_3_is_refused_with_its_path() {
    let mut root = at_depth(0, &["parent"]);
    root.when(1, call(0)).then([call(0).triggered(1)]);
    let mut second = at_depth(1, &["root", "parent"]);
    second.when(1, call(0)).then([call(0).triggered(1)]);
    let mut third = at_depth(2, &["root", "middle", "parent"]);
    let message = "call chain deeper than the limit of 3: root -> middle -> parent -> child";
    let failure = Failure::new(FailureKind::Refused, "depth-limit", message);
    third.when(1, call(0)).then([call(0).refused(failure.clone())]);
    // Whether the caller waits makes no difference.
    third.when(1, call(1).detached()).then([call(1).refused(failure)]);
}

#[test]
fn spec_f10_the_depth_limit_is_a_setting() {
    let mut run = at_depth(2, &["root", "middle", "parent"]).limited(|limits| limits.depth = 4);
    run.when(1, call(0)).then([call(0).triggered(1)]);
    let mut run = running().limited(|limits| limits.depth = 0);
    let rejection = Rejection::TooDeep { limit: 0, path: vec!["parent".into(), "child".into()] };
    run.when(1, call(0)).then([call(0).refused(refused(&rejection))]);
}

#[test]
fn spec_f10_a_depth_without_end_is_refused_and_does_not_overflow() {
    let mut run = at_depth(u32::MAX, &["parent"]).limited(|limits| limits.depth = u32::MAX);
    let rejection = Rejection::TooDeep { limit: u32::MAX, path: vec!["parent".into(), "child".into()] };
    run.when(1, call(0)).then([call(0).refused(refused(&rejection))]);
}

#[test]
fn spec_f10_direct_recursion_is_refused_unless_it_is_re_entrant() {
    let mut run = running();
    let message = "parent may not trigger itself (parent -> parent); mark it re-entrant if that is meant";
    let failure = Failure::new(FailureKind::Refused, "recursion", message);
    run.when(1, call(0).to("parent")).then([call(0).to("parent").refused(failure)]);
    let reentrant = call(1).to("parent").on(|terms| terms.callee.reentrant = true);
    run.when(2, reentrant.clone()).then([reentrant.triggered(2)]);
}

#[test]
fn spec_f10_a_to_b_to_a_is_bounded_by_depth_alone() {
    let mut run = at_depth(1, &["child", "parent"]);
    run.when(1, call(0).to("child")).then([call(0).triggered(1)]);
}

#[test]
fn spec_f10_a_call_refused_before_it_starts_is_no_child() {
    let mut run = running();
    let unknown = Failure::new(FailureKind::Refused, "unknown-target", "there is no \"child\"");
    let call = Call { target: Err(unknown.clone()), ..call(0) };
    run.when(1, call.clone()).then([call.refused(unknown)]);
    assert_eq!(run.run().children().count(), 0);
    run.when(2, call).refused(Rejection::DuplicateOperation(op_no(0)));
}

#[test]
fn spec_a13_input_and_key_over_the_limit_are_refused_to_the_handler() {
    let mut run = running().limited(|limits| (limits.payload_bytes, limits.name_bytes) = (8, 5));
    let large = Call { input: text("nine byte"), ..call(0) };
    let failure = refused(&Rejection::TooLarge { what: "the input", size: 9, limit: 8 });
    run.when(1, large.clone()).then([large.refused(failure)]);
    let failure = refused(&Rejection::TooLarge { what: "a call key", size: 6, limit: 5 });
    run.when(1, call(1).key("monday")).then([call(1).refused(failure)]);
    run.when(1, call(2).key("today")).then([call(2).key("today").triggered(1)]);
}

#[test]
fn spec_a13_a_name_over_the_limit_never_reaches_the_log() {
    let mut run = running().limited(|limits| limits.name_bytes = 5);
    let rejection = Rejection::TooLarge { what: "a name", size: 6, limit: 5 };
    run.when(1, call(0).to("editor")).refused(rejection.clone());
    let unknown = Failure::new(FailureKind::Refused, "unknown-target", "there is no such workflow");
    run.when(1, Call { target: Err(unknown), ..call(0).to("editor") }).refused(rejection);
}

#[test]
fn spec_a13_children_over_the_limit_are_refused_to_the_handler() {
    let mut run = running().limited(|limits| limits.children = 2);
    run.given(1, [call(0).triggered(1), call(1).detached().triggered(1), child_completed(0, "out")]);
    let failure = refused(&Rejection::TooMany { what: "children", limit: 2 });
    run.when(2, call(2)).then([call(2).refused(failure)]);
}

#[test]
fn spec_a13_a_carried_child_is_called_again_by_its_key() {
    let mut run = given([continued(vec![carried("a", None)], Vec::new()), Event::Started]);
    run.when(1, call(0).key("a").within(5)).then([call(0).key("a").within(5).triggered(1)]).due(1, Some(6));
    assert_eq!(run.run().call_of(keyed("a")), Some(op_no(0)));
    run.when(2, ended(keyed("a"), Outcome::Completed(text("out")))).then([child_completed(0, "out")]);
}

#[test]
fn spec_a13_a_carried_child_that_has_ended_in_between_answers_at_once() {
    let ends = [(Ok(text("out")), child_completed(0, "out"))];
    let fails = [(Err(broken()), Event::ChildFailed { op: op_no(0), failure: broken() })];
    for (result, event) in ends.into_iter().chain(fails) {
        let mut run = given([continued(vec![carried("a", None)], Vec::new())]);
        let outcome = result.clone().map_or_else(Outcome::Failed, Outcome::Completed);
        run.when(1, ended(keyed("a"), outcome)).then([Event::CarriedChildEnded { child: keyed("a"), result }]);
        run.when(2, ended(keyed("a"), Outcome::Failed(broken()))).refused(Rejection::Stale);
        run.given(3, [Event::Started]);
        let again = call(0).key("a").within(5);
        run.when(4, again.clone()).then([again.triggered(4), event]).is("suspended").due(0, None);
        // Once it is taken, the key is used up.
        let failure = refused(&Rejection::DuplicateKey { key: "a".into(), child: keyed("a") });
        run.when(5, call(1).key("a")).then([call(1).refused(failure)]);
    }
}

#[test]
fn spec_a13_a_carried_child_can_be_let_go_by_a_detached_call() {
    let carried = vec![carried("a", None), carried("b", Some(Ok(text("out"))))];
    let mut run = given([continued(carried, Vec::new()), Event::Started]);
    for (op, key) in [(0, "a"), (1, "b")] {
        let again = call(op).key(key).detached();
        run.when(1, again.clone()).then([again.triggered(1)]);
    }
    // One may be alive, the other has ended.
    assert_eq!(run.run().children().collect::<Vec<_>>(), [keyed("a")]);
    run.when(2, ended(keyed("a"), Outcome::Failed(broken()))).then([Event::ResultIgnored { child: keyed("a") }]);
    run.when(2, ended(keyed("b"), Outcome::Failed(broken()))).refused(Rejection::Stale);
    run.when(3, returns(Ok(text("out")))).then([Event::Completed { output: text("out") }]);
}

#[test]
fn spec_a13_calling_a_carried_child_again_starts_nothing_and_meets_no_limit() {
    let start = || given([continued(vec![carried("a", None)], Vec::new()), Event::Started]);
    let mut run = start().limited(|limits| (limits.children, limits.depth) = (1, 1));
    run.when(1, call(0).key("a")).then([call(0).key("a").triggered(1)]);
    // It does not count as started either.
    let mut run = start().limited(|limits| limits.children = 1);
    run.given(1, [call(0).key("a").triggered(1)]);
    run.when(1, call(1)).then([call(1).triggered_in(1, 1)]);
}

#[test]
fn spec_a13_the_result_of_a_carried_child_that_nobody_can_ask_for_is_not_kept() {
    let mut run = running();
    run.given(1, [call(0).triggered(1)]);
    run.when(2, continues()).then([next(vec![rejoin_machine::Carried {
        child: child(0),
        key: rejoin_machine::CallKey::Numbered { incarnation: 0, op: op_no(0) },
        awaited: true,
        result: None,
    }])]);
    let result = Ok(text("out"));
    run.when(3, ended(child(0), Outcome::Completed(text("out"))))
        .then([Event::CarriedChildEnded { child: child(0), result }]);
    assert_eq!(run.run().children().count(), 0);
    run.when(4, ended(child(0), Outcome::Completed(text("out")))).refused(Rejection::Stale);
}

/// Incarnation 1 of the run that the tests begin with, as it was asked for.
fn next(children: Vec<rejoin_machine::Carried>) -> Event {
    let Event::ContinuedAsNew(mut boundary) = continued(children, Vec::new()) else { unreachable!() };
    (boundary.trigger.input, boundary.trigger.seed) = (text("next"), 2);
    Event::ContinuedAsNew(boundary)
}

#[test]
fn spec_b13_the_end_cancels_carried_children_that_live() {
    let carried = vec![carried("a", None), carried("b", Some(Ok(text("out"))))];
    let mut run = given([continued(carried, Vec::new()), Event::Started]);
    let effects = [cancels(keyed("a"), Cause::Parent, ENDED, None)];
    run.when(1, returns(Ok(text("out")))).then_tells([Event::Completed { output: text("out") }], effects);
}
