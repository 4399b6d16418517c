//! Signals: each id is taken once and handed on once, in the order of arrival.

mod common;

use common::*;
use rejoin_machine::{Command, Event, Rejection, SignalId};

fn no_signal(op: u32) -> Event {
    Event::SignalTimedOut { op: op_no(op) }
}

#[test]
fn inv_e10_a_signal_goes_to_the_wait_of_its_name() {
    let mut run = running();
    run.when(1, wait(0, "review")).then([wait(0, "review").awaited(1)]).is("suspended");
    run.when(2, signal(1, "other")).then([received(1, "other")]);
    run.when(3, signal(2, "review")).then([received(2, "review"), delivered(0, 2)]);
    assert_eq!(run.run().operations().count(), 0);
}

#[test]
fn inv_e10_an_early_signal_is_kept_until_it_is_asked_for() {
    let mut run = created();
    run.when(1, signal(1, "review")).then([received(1, "review")]);
    run.given(2, [Event::Started]);
    assert_eq!(run.run().signal(SignalId([1; 16])), Some(&text("signal 1")));
    run.when(3, wait(0, "review").within(5)).then([wait(0, "review").within(5).awaited(3), delivered(0, 1)]);
    assert_eq!(run.run().signal(SignalId([1; 16])), None);
    run.due(0, None);
}

#[test]
fn inv_e10_early_signals_are_handed_on_in_the_order_of_arrival() {
    let mut run = running();
    run.given(1, [received(2, "review"), received(3, "other"), received(1, "review")]);
    run.when(2, wait(0, "review")).then([wait(0, "review").awaited(2), delivered(0, 2)]);
    run.when(2, wait(1, "review")).then([wait(1, "review").awaited(2), delivered(1, 1)]);
    run.when(2, wait(2, "other")).then([wait(2, "other").awaited(2), delivered(2, 3)]);
    run.when(2, wait(3, "review")).then([wait(3, "review").awaited(2)]);
}

#[test]
fn inv_e10_the_older_of_two_waits_is_served_first() {
    let mut run = running();
    run.given(1, [wait(0, "review").awaited(1), wait(1, "review").awaited(1)]);
    run.when(2, signal(1, "review")).then([received(1, "review"), delivered(0, 1)]);
    run.when(3, signal(2, "review")).then([received(2, "review"), delivered(1, 2)]);
    run.when(4, signal(3, "review")).then([received(3, "review")]);
}

#[test]
fn inv_e10_a_wait_that_is_gone_is_passed_over() {
    let mut run = running();
    run.given(1, [wait(0, "review").within(1).awaited(1), wait(1, "review").awaited(1), wait(2, "review").awaited(1)]);
    run.given(2, [no_signal(0), dropped(1)]);
    run.when(3, signal(1, "review")).then([received(1, "review"), delivered(2, 1)]);
}

#[test]
fn inv_e10_a_duplicate_is_refused_whether_its_first_was_handed_on_or_not() {
    let mut run = running();
    run.given(1, [received(1, "review"), wait(0, "other").awaited(1), received(2, "other"), delivered(0, 2)]);
    run.when(2, signal(1, "review")).refused(Rejection::DuplicateSignal);
    run.when(2, signal(2, "other")).refused(Rejection::DuplicateSignal);
    run.when(2, signal(1, "another name")).refused(Rejection::DuplicateSignal);
    run.illegal(2, received(1, "review")).illegal(2, delivered(0, 2));
}

#[test]
fn inv_e10_a_signal_is_never_handed_to_a_wait_of_another_name() {
    let mut run = running();
    run.given(1, [received(1, "review"), wait(0, "other").awaited(1), timer_set(1, 9)]);
    run.illegal(1, delivered(0, 1)).illegal(1, delivered(1, 1)).illegal(1, delivered(2, 1));
}

#[test]
fn inv_e10_a_late_signal_is_refused() {
    let mut run = running();
    run.given(1, [Event::Completed { output: text("out") }]);
    run.when(2, signal(1, "review")).refused(Rejection::Closed("completed"));
    run.illegal(2, received(1, "review"));
}

#[test]
fn spec_b12_a_wait_ends_at_its_deadline_and_not_before() {
    let mut run = running();
    run.when(1, wait(0, "review").within(5)).then([wait(0, "review").within(5).awaited(1)]).due(1, Some(6));
    run.when(5, wake()).refused(Rejection::NothingDue);
    run.illegal(5, no_signal(0));
    run.when(6, wake()).then([no_signal(0)]).due(0, None);
    run.when(7, signal(1, "review")).then([received(1, "review")]);
    run.illegal(8, no_signal(0));
}

#[test]
fn spec_b12_a_wait_without_a_limit_has_no_deadline() {
    let mut run = running();
    run.given(1, [wait(0, "review").awaited(1)]).due(1, None);
    run.when(1_000_000_000, wake()).refused(Rejection::NothingDue);
    run.illegal(1_000_000_000, no_signal(0));
}

#[test]
fn spec_b12_a_signal_in_time_beats_a_deadline_that_nobody_has_acted_on() {
    let mut run = running();
    run.given(1, [wait(0, "review").within(5).awaited(1)]);
    run.when(7, signal(1, "review")).then([received(1, "review"), delivered(0, 1)]);
    run.when(8, wake()).refused(Rejection::NothingDue);
}

#[test]
fn spec_b12_a_wait_of_no_time_takes_what_is_there_or_ends() {
    let mut run = running();
    run.given(1, [received(1, "review")]);
    run.when(2, wait(0, "review").within(0)).then([wait(0, "review").within(0).awaited(2), delivered(0, 1)]);
    run.when(2, wait(1, "review").within(0)).then([wait(1, "review").within(0).awaited(2)]);
    run.when(2, wake()).then([no_signal(1)]);
}

#[test]
fn spec_a13_signals_over_the_limits_are_refused() {
    let mut run = running().limited(|limits| {
        (limits.name_bytes, limits.payload_bytes, limits.buffered_signals) = (4, 8, 1);
    });
    let name = |size| Rejection::TooLarge { what: "a signal's name", size, limit: 4 };
    run.when(1, signal(1, "review")).refused(name(6));
    run.when(1, wait(0, "review")).refused(name(6));
    let large = Command::Signal { id: SignalId([1; 16]), name: "news".into(), payload: text("nine byte") };
    run.when(1, large).refused(Rejection::TooLarge { what: "a signal", size: 9, limit: 8 });
    run.when(1, signal(1, "news")).then([received(1, "news")]);
    run.when(1, signal(2, "more")).refused(Rejection::TooMany { what: "buffered signals", limit: 1 });
    // One that somebody waits for is not kept, so the limit does not concern it.
    run.given(2, [wait(0, "more").awaited(2)]);
    run.when(3, signal(2, "more")).then([received(2, "more"), delivered(0, 2)]);
}

#[test]
fn spec_a13_signals_and_their_ids_are_carried_over() {
    let mut run = given([continued(Vec::new(), vec![buffered(1, "review"), buffered(2, "review")]), Event::Started]);
    run.when(1, signal(2, "review")).refused(Rejection::DuplicateSignal);
    run.when(2, wait(0, "review")).then([wait(0, "review").awaited(2), delivered(0, 1)]);
    run.when(3, signal(1, "review")).refused(Rejection::DuplicateSignal);
}
