//! Cancellation: leaves first, nothing but compensation after it, and an end in any case.

mod common;

use common::*;
use rejoin_machine::cancel::Cause;
use rejoin_machine::{Carried, Command, Event, Failure, Outcome, Rejection, SignalId, Span};

const LATE: &str = "late";

fn child_cancelled(op: u32) -> Event {
    Event::ChildCancelled { op: op_no(op), failure: cancelled_by_ada() }
}

fn cancelled_child(op: u32) -> Command {
    ended(child(op), Outcome::Cancelled(cancelled_by_ada()))
}

/// A run with a child, a step, a timer and a wait, whose cancellation was asked for at second 2.
fn cancelling() -> Case {
    let mut run = running();
    run.given(1, [call(0).within(5).triggered(1), step(1).within(5).scheduled()]);
    run.given(1, [timer_set(2, 6), wait(3, "review").within(5).awaited(1)]);
    run.given(2, [cancel_requested(Cause::Request, 30)]);
    run
}

/// A run that may compensate until second 30.
fn compensating() -> Case {
    let mut run = running();
    run.given(0, [cancel_requested(Cause::Request, 30), cancel_delivered(30)]);
    run
}

#[test]
fn spec_b10_a_run_without_children_is_told_at_once() {
    let mut run = running();
    run.given(1, [step(0).scheduled(), timer_set(1, 9), wait(2, "review").awaited(1)]);
    run.when(2, cancel(Cause::Request, Some(5)))
        .then([cancel_requested(Cause::Request, 5), cancel_delivered(7)])
        .is("compensating")
        .owes([])
        .due(0, Some(7));
    assert_eq!(run.run().operations().count(), 0);
}

#[test]
fn spec_b10_requester_and_reason_are_recorded_and_bounded() {
    let mut run = running();
    let (by, reason) = ("ü".repeat(2_000), "n".repeat(2_000));
    let long = Command::Cancel { cause: Cause::Request, by, reason, grace: Some(seconds(5)) };
    let cut = Event::CancelRequested {
        cause: Cause::Request,
        by: "ü".repeat(1_024),
        reason: "n".repeat(1_024),
        grace: seconds(5),
    };
    run.when(1, long).then([cut, cancel_delivered(6)]);
}

#[test]
fn spec_b10_leaves_first_the_handler_hears_of_it_when_the_last_child_has_ended() {
    let mut run = running();
    run.given(1, [call(0).triggered(1), call(1).triggered(1), call(2).triggered(1), child_completed(1, "out")]);
    let mut children = [child(0), child(2)];
    children.sort();
    let effects = children.map(|child| cancels(child, Cause::Parent, LATE, Some(30)));
    run.when(2, cancel(Cause::Request, None))
        .then_tells([cancel_requested(Cause::Request, 30)], effects.clone())
        .is("cancelling its children")
        .owes(effects);
    run.when(3, cancelled_child(0)).then([child_cancelled(0)]).is("cancelling its children");
    // The grace counts from the moment at which the handler is told.
    run.when(100, ended(child(2), Outcome::Completed(text("out"))))
        .then([child_completed(2, "out"), cancel_delivered(130)])
        .is("compensating")
        .owes([])
        .due(0, Some(130));
}

#[test]
fn inv_e15_nothing_is_executed_between_request_and_delivery() {
    let mut run = cancelling();
    run.owes([cancels(child(0), Cause::Parent, LATE, Some(30))]).due(0, None).due(99, None);
    run.when(3, ends(1, 1, Ok(text("done")))).refused(Rejection::Stale);
    run.when(3, ends(1, 1, Err(busy()))).refused(Rejection::Stale);
    run.when(99, wake()).refused(Rejection::NothingDue);
    for command in [step(4).into(), call(4).into(), sleep(4, 9), wait(4, "x").into(), drops(0), continues()] {
        run.when(3, command).refused(Rejection::AlreadyCancelling);
    }
    run.when(3, returns(Ok(text("out")))).refused(Rejection::AlreadyCancelling);
    run.when(3, Command::Start).refused(Rejection::AlreadyStarted);
}

#[test]
fn inv_e15_nothing_is_handed_over_between_request_and_delivery() {
    let mut run = cancelling();
    assert!(run.run().holds_answers());
    run.when(3, signal(1, "review")).then([received(1, "review")]);
    run.illegal(9, delivered(3, 1)).illegal(9, step_completed(1, "done")).illegal(9, step_failed(1, broken()));
    run.illegal(9, attempt_failed(1, busy(), 10)).illegal(9, timer_fired(2)).illegal(9, stopped_waiting(0));
    run.illegal(9, Event::SignalTimedOut { op: op_no(3) }).illegal(9, dropped(1)).illegal(9, step(4).scheduled());
    run.illegal(9, cancel_delivered(39));
}

#[test]
fn inv_e15_what_was_pending_is_gone_with_the_delivery() {
    let mut run = cancelling();
    run.when(4, cancelled_child(0)).then([child_cancelled(0), cancel_delivered(34)]).owes([]).due(0, Some(34));
    run.when(5, ends(1, 1, Ok(text("late")))).refused(Rejection::Stale);
    run.when(33, wake()).refused(Rejection::NothingDue);
    run.when(5, signal(1, "review")).then([received(1, "review")]);
    run.when(5, step(3)).refused(Rejection::DuplicateOperation(op_no(3)));
}

#[test]
fn inv_e15_compensation_runs_until_the_grace_ends() {
    let mut run = compensating();
    run.when(1, step(0)).then([step(0).scheduled()]).owes([attempt(0, 1, 1, None)]).is("compensating");
    run.when(2, ends(0, 1, Ok(text("undone")))).then([step_completed(0, "undone")]);
    run.when(3, call(1)).then([call(1).triggered(3)]);
    run.when(3, sleep(2, 10)).then([timer_set(2, 10)]).due(3, Some(10));
    run.when(10, wake()).then([timer_fired(2)]);
    run.given(11, [step(3).scheduled()]);
    run.when(29, wake()).refused(Rejection::NothingDue);
    let effects = [cancels(child(1), Cause::Parent, "its caller has ended", None)];
    run.when(30, wake()).then_tells([cancelled()], effects).is("cancelled").owes([]).due(0, None);
    run.when(31, ends(3, 1, Ok(text("late")))).refused(Rejection::Closed("cancelled"));
}

#[test]
fn inv_e15_signals_that_came_meanwhile_reach_the_compensation() {
    let mut run = cancelling();
    run.given(3, [received(1, "review"), child_cancelled(0), cancel_delivered(33)]);
    assert_eq!(run.run().signal(SignalId([1; 16])), Some(&text("signal 1")));
    run.when(4, wait(4, "review")).then([wait(4, "review").awaited(4), delivered(4, 1)]);
    run.when(5, wait(5, "review")).then([wait(5, "review").awaited(5)]).is("compensating");
    assert!(run.run().is_suspended());
    run.when(6, signal(2, "review")).then([received(2, "review"), delivered(5, 2)]);
}

#[test]
fn spec_a6_a_cancelled_run_ends_cancelled_whatever_its_handler_says() {
    let failure = |message: &str| Failure { message: message.into(), ..cancelled_by_ada() };
    let ends = [
        (Ok(text("out")), cancelled_by_ada()),
        (Err(broken()), broken()),
        (Err(failure("in other words")), cancelled_by_ada()),
    ];
    for (result, failure) in ends {
        compensating().when(1, returns(result)).then([Event::Cancelled { failure }]).is("cancelled");
    }
    compensating().when(1, continues()).then([cancelled()]);
}

#[test]
fn inv_e2_the_terminal_event_fits_the_cause() {
    let end = Event::Completed { output: text("out") };
    let failed = Event::Failed { failure: broken() };
    let mut run = compensating();
    for event in [end.clone(), failed.clone(), timed_out(), continued(Vec::new(), Vec::new())] {
        run.illegal(1, event);
    }
    let mut run = running();
    run.given(0, [cancel_requested(Cause::Deadline, 30), cancel_delivered(30)]);
    for event in [end, failed, cancelled(), cancel_requested(Cause::Request, 1), cancel_delivered(40)] {
        run.illegal(1, event);
    }
    run.given(1, [timed_out()]);
    running().illegal(1, cancelled()).illegal(1, timed_out()).illegal(1, cancel_delivered(30));
}

#[test]
fn spec_b10_a_second_request_changes_nothing() {
    for mut run in [cancelling(), compensating()] {
        for cause in [Cause::Request, Cause::Deadline, Cause::Parent, Cause::Tree] {
            run.when(3, cancel(cause, Some(99))).refused(Rejection::AlreadyCancelling);
            run.when(3, cancel(cause, None)).refused(Rejection::AlreadyCancelling);
        }
    }
}

#[test]
fn spec_b10_a_second_request_without_grace_ends_the_run_and_its_children_now() {
    let effects = [cancels(child(0), Cause::Parent, "its caller has ended", Some(0))];
    cancelling().when(3, cancel(Cause::Request, Some(0))).then_tells([cancelled()], effects).is("cancelled").owes([]);
    compensating().when(3, cancel(Cause::Deadline, Some(0))).then([cancelled()]).due(0, None);
}

#[test]
fn spec_b10_without_grace_the_run_and_its_children_end_now() {
    let mut run = running();
    run.given(1, [call(0).triggered(1), call(1).detached().triggered(1)]);
    // Told twice: by the request and by the end.
    let reasons = [LATE, "its caller has ended"];
    let effects = reasons.map(|reason| cancels(child(0), Cause::Parent, reason, Some(0)));
    run.when(2, cancel(Cause::Request, Some(0)))
        .then_tells([cancel_requested(Cause::Request, 0), cancelled()], effects)
        .is("cancelled")
        .owes([])
        .due(0, None);
}

#[test]
fn spec_b10_grace_is_what_the_limits_say_where_the_request_does_not() {
    let mut run = running().limited(|limits| limits.cancel_grace = seconds(7));
    run.when(1, cancel(Cause::Request, None)).then([cancel_requested(Cause::Request, 7), cancel_delivered(8)]);
    let mut run = running().limited(|limits| limits.cancel_grace = Span(0));
    run.when(1, cancel(Cause::Request, None)).then([cancel_requested(Cause::Request, 0), cancelled()]);
}

#[test]
fn spec_b10_a_grace_without_end_ends_at_the_end_of_time() {
    let mut run = running();
    let grace = Span(u64::MAX);
    let (by, reason) = ("Ada".to_string(), "late".to_string());
    let endless = Command::Cancel { cause: Cause::Request, by: by.clone(), reason: reason.clone(), grace: Some(grace) };
    let until = rejoin_machine::Timestamp(i64::MAX);
    let requested = Event::CancelRequested { cause: Cause::Request, by, reason, grace };
    run.when(1, endless).then([requested, Event::CancelDelivered { until }]);
}

#[test]
fn spec_b13_a_cancel_reaches_awaited_children_and_a_tree_cancel_all() {
    for (cause, told) in [(Cause::Request, 1), (Cause::Deadline, 1), (Cause::Parent, 1), (Cause::Tree, 2)] {
        let mut run = running();
        run.given(1, [call(0).triggered(1), call(1).detached().triggered(1)]);
        let as_what = if cause == Cause::Tree { Cause::Tree } else { Cause::Parent };
        let mut children = vec![child(0), child(1)];
        children.truncate(told);
        children.sort();
        let effects: Vec<_> = children.into_iter().map(|child| cancels(child, as_what, LATE, Some(30))).collect();
        run.when(2, cancel(cause, None)).then_tells([cancel_requested(cause, 30)], effects.clone()).owes(effects);
        // Only the awaited child is waited for.
        run.when(3, cancelled_child(0)).then([child_cancelled(0), cancel_delivered(33)]);
        run.when(4, cancelled_child(1)).then([Event::ResultIgnored { child: child(1) }]);
    }
}

#[test]
fn spec_b13_a_tree_cancel_of_a_run_that_awaits_nobody_tells_the_others_and_goes_on() {
    let mut run = running();
    run.given(1, [call(0).detached().triggered(1)]);
    let effects = [cancels(child(0), Cause::Tree, LATE, Some(30))];
    let events = [cancel_requested(Cause::Tree, 30), cancel_delivered(32)];
    run.when(2, cancel(Cause::Tree, None)).then_tells(events, effects).is("compensating");
}

#[test]
fn spec_b13_a_tree_cancel_gives_detached_children_their_grace_when_its_root_needs_none() {
    let loose = Carried { awaited: false, ..carried("a", None) };
    let mut run = given([continued(vec![loose], Vec::new())]);
    let effects = [cancels(keyed("a"), Cause::Tree, LATE, Some(30))];
    run.when(2, cancel(Cause::Tree, None)).then_tells([cancel_requested(Cause::Tree, 30), cancelled()], effects);
}

#[test]
fn spec_b13_the_end_of_a_detached_child_does_not_end_the_wait_for_the_others() {
    let mut run = running();
    run.given(1, [call(0).triggered(1), call(1).detached().triggered(1), cancel_requested(Cause::Tree, 30)]);
    run.when(2, cancelled_child(1)).then([Event::ResultIgnored { child: child(1) }]).is("cancelling its children");
    run.when(3, cancelled_child(0)).then([child_cancelled(0), cancel_delivered(33)]);
}

#[test]
fn spec_b10_a_run_that_never_started_ends_at_once() {
    let mut run = created();
    run.when(1, cancel(Cause::Request, None))
        .then([cancel_requested(Cause::Request, 30), cancelled()])
        .is("cancelled")
        .owes([])
        .due(0, None);
    run.when(2, Command::Start).refused(Rejection::Closed("cancelled"));
}

#[test]
fn spec_b10_carried_children_end_first() {
    let effects = [cancels(keyed("a"), Cause::Parent, LATE, Some(30))];
    let children = || vec![carried("a", None), carried("b", Some(Ok(text("out"))))];
    let child_ended = Event::CarriedChildEnded { child: keyed("a"), result: Err(cancelled_by_ada()) };
    let ends = ended(keyed("a"), Outcome::Cancelled(cancelled_by_ada()));

    let mut run = given([continued(children(), Vec::new()), Event::Started]);
    run.when(1, cancel(Cause::Request, None))
        .then_tells([cancel_requested(Cause::Request, 30)], effects.clone())
        .is("cancelling its children")
        .owes(effects.clone());
    run.when(2, ends.clone()).then([child_ended.clone(), cancel_delivered(32)]).is("compensating");

    // An incarnation whose handler was not called has nobody to tell, and ends with its last child.
    let mut run = given([continued(children(), Vec::new())]);
    run.when(1, cancel(Cause::Request, None))
        .then_tells([cancel_requested(Cause::Request, 30)], effects.clone())
        .is("cancelling its children")
        .owes(effects);
    run.when(2, Command::Start).refused(Rejection::AlreadyCancelling);
    run.illegal(2, Event::Started);
    given([triggered(), cancel_requested(Cause::Request, 30)]).illegal(2, cancel_delivered(32));
    run.when(2, ends).then([child_ended, cancelled()]).is("cancelled");
}

#[test]
fn spec_b12_a_deadline_cancels_the_children_first() {
    let mut run = given([triggered_until(60), Event::Started]);
    run.given(1, [call(0).triggered(1)]);
    let effects = [cancels(child(0), Cause::Parent, "its deadline passed", Some(30))];
    run.when(61, wake()).then_tells([deadline_passed(30)], effects).due(61, None);
    run.when(62, wake()).refused(Rejection::NothingDue);
    run.when(70, cancelled_child(0)).then([child_cancelled(0), cancel_delivered(100)]);
    run.when(71, returns(Err(broken()))).then([Event::TimedOut { failure: broken() }]).is("timed out");
}

#[test]
fn spec_a9_a_wedged_run_can_be_cancelled_and_terminated() {
    let mut run = running();
    run.given(1, [step(0).scheduled(), call(1).triggered(1), wedged()]);
    let effects = [cancels(child(1), Cause::Parent, LATE, Some(30))];
    run.when(2, cancel(Cause::Request, None)).then_tells([cancel_requested(Cause::Request, 30)], effects);
    run.when(3, cancelled_child(1)).then([child_cancelled(1), cancel_delivered(33)]).is("wedged").due(0, Some(33));
    run.when(33, wake()).then([cancelled()]).is("cancelled");

    let mut run = running();
    run.given(1, [wedged()]);
    run.when(2, cancel(Cause::Request, Some(0))).then([cancel_requested(Cause::Request, 0), cancelled()]);
}

#[test]
fn spec_a9_a_wedged_run_whose_code_is_mended_in_time_compensates() {
    let mut run = compensating();
    run.given(1, [wedged()]);
    run.when(2, Command::Unwedge).then([Event::Unwedged]).is("compensating").due(0, Some(30));
    run.when(3, step(0)).then([step(0).scheduled()]).owes([attempt(0, 1, 3, None)]);
}

#[test]
fn inv_e2_a_run_that_has_ended_is_not_cancelled() {
    let mut run = running();
    run.given(1, [Event::Completed { output: text("out") }]);
    run.when(2, cancel(Cause::Tree, Some(0))).refused(Rejection::Closed("completed"));
    run.illegal(2, cancel_requested(Cause::Request, 1));
}
