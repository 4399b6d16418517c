//! Timers and deadlines: once, and never early.

mod common;

use common::*;
use rejoin_machine::{Command, Event, Issue, Rejection, Timestamp};

#[test]
fn inv_e9_a_timer_fires_at_its_time_and_not_before() {
    let mut run = running();
    run.when(1, sleep(0, 10)).then([timer_set(0, 10)]).is("suspended").due(1, Some(10));
    run.when(9, wake()).refused(Rejection::NothingDue);
    run.illegal(9, timer_fired(0));
    run.when(10, wake()).then([timer_fired(0)]).due(0, None);
}

#[test]
fn inv_e9_a_timer_fires_once() {
    let mut run = running();
    run.given(1, [timer_set(0, 10)]).given(10, [timer_fired(0)]);
    run.when(11, wake()).refused(Rejection::NothingDue);
    run.illegal(11, timer_fired(0)).illegal(11, timer_set(0, 12));
}

#[test]
fn inv_e9_overdue_timers_fire_in_the_order_of_their_time() {
    let mut run = running();
    run.given(1, [timer_set(0, 30), timer_set(1, 10), timer_set(2, 20)]).due(1, Some(10));
    // Long after all of them, as after a restart.
    run.when(100, wake()).then([timer_fired(1)]).due(100, Some(20));
    run.when(100, wake()).then([timer_fired(2)]);
    run.when(100, wake()).then([timer_fired(0)]);
    run.when(100, wake()).refused(Rejection::NothingDue);
}

#[test]
fn inv_e9_timers_of_one_instant_each_fire() {
    let mut run = running();
    run.given(1, [timer_set(0, 10), timer_set(1, 10)]);
    run.when(10, wake()).then([timer_fired(0)]).due(0, Some(10));
    run.when(10, wake()).then([timer_fired(1)]).due(0, None);
}

#[test]
fn inv_e9_a_dropped_timer_does_not_fire() {
    let mut run = running();
    run.given(1, [timer_set(0, 10), timer_set(1, 10)]);
    run.when(2, drops(0)).then([dropped(0)]);
    run.when(10, wake()).then([timer_fired(1)]);
    run.when(10, wake()).refused(Rejection::NothingDue);
    run.illegal(10, timer_fired(0));
}

#[test]
fn inv_e9_a_time_that_has_passed_is_due_at_once() {
    let mut run = running();
    run.when(10, sleep(0, 3)).then([timer_set(0, 3)]).due(10, Some(3));
    run.when(10, wake()).then([timer_fired(0)]);
}

#[test]
fn inv_e9_the_ends_of_time_are_times_like_others() {
    let mut run = running();
    for (op, until) in [(0, Timestamp(i64::MIN)), (1, Timestamp(i64::MAX))] {
        let op = op_no(op);
        run.when(1, Command::Issue(Issue::Sleep { op, until })).then([Event::TimerSet { op, at: until }]);
    }
    run.when(1, wake()).then([timer_fired(0)]);
    run.when(1_000_000_000, wake()).refused(Rejection::NothingDue);
}

#[test]
fn inv_e9_time_does_not_go_back() {
    let mut run = running();
    run.given(10, [timer_set(0, 20)]);
    run.illegal(9, timer_set(1, 20)).illegal(9, received(1, "review"));
    assert_eq!(run.run().time(), at(10));
}

#[test]
fn spec_b12_the_deadline_of_a_run_cancels_it_and_its_end_says_timed_out() {
    let mut run = given([triggered_until(60), Event::Started]);
    run.due(0, Some(60));
    run.when(59, wake()).refused(Rejection::NothingDue);
    run.when(60, wake()).then([deadline_passed(30), cancel_delivered(90)]).is("compensating").due(60, Some(90));
    run.when(90, wake()).then([timed_out()]).is("timed out").due(90, None);
}

#[test]
fn spec_b12_a_run_that_was_never_started_ends_at_its_deadline() {
    let mut run = given([triggered_until(60)]);
    run.due(0, Some(60));
    run.when(61, wake()).then([deadline_passed(30), timed_out()]).is("timed out").owes([]).due(0, None);
}

#[test]
fn spec_b12_what_is_due_earlier_comes_first() {
    let mut run = given([triggered_until(60), Event::Started]);
    run.given(1, [timer_set(0, 60), timer_set(1, 61)]);
    run.when(99, wake()).then([timer_fired(0)]);
    run.when(99, wake()).then([deadline_passed(30), cancel_delivered(129)]);
    // The later timer is gone with everything else that was pending.
    run.when(100, wake()).refused(Rejection::NothingDue);
}

#[test]
fn spec_b12_a_deadline_is_carried_over() {
    let mut run = given([triggered_until(60), Event::Started]);
    let Event::Triggered(trigger) = triggered_until(60) else { unreachable!() };
    let Event::ContinuedAsNew(mut boundary) = continued(Vec::new(), Vec::new()) else { unreachable!() };
    boundary.trigger = rejoin_machine::Trigger { input: text("next"), seed: 2, ..*trigger };
    run.when(10, continues()).then([Event::ContinuedAsNew(boundary)]).due(10, Some(60));
    run.when(60, wake()).then([deadline_passed(30), timed_out()]);
}
