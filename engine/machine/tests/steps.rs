//! Steps: retried as their policy says, never longer than their time, never again once they are recorded.

mod common;

use common::*;
use rejoin_machine::{Command, Failure, FailureKind, Rejection, Span, Timestamp};

fn late(attempt: u32, limit: u64) -> Failure {
    let limit = seconds(limit).duration();
    let message = format!("step \"step\": attempt {attempt} took longer than {limit:?}");
    Failure { retryable: true, ..Failure::new(FailureKind::TimedOut, "step-timeout", message) }
}

#[test]
fn inv_e7_a_step_is_owed_from_its_schedule_to_its_end() {
    let mut run = running();
    run.when(1, step(0)).then([step(0).scheduled()]).owes([attempt(0, 1, 1, None)]);
    run.when(2, ends(0, 1, Ok(text("done")))).then([step_completed(0, "done")]).owes([]);
}

#[test]
fn inv_e7_a_completed_step_is_never_owed_again() {
    let mut run = running();
    run.given(1, [step(0).scheduled(), step_completed(0, "done")]).owes([]);
    run.when(2, ends(0, 1, Ok(text("again")))).refused(Rejection::Stale);
    run.when(3, step(0)).refused(Rejection::DuplicateOperation(op_no(0)));
    run.illegal(3, step_completed(0, "again")).illegal(3, step(0).scheduled());
}

#[test]
fn inv_e7_a_failed_attempt_is_followed_by_another_after_its_pause() {
    let mut run = running();
    run.given(1, [step(0).scheduled()]);
    run.when(2, ends(0, 1, Err(busy()))).then([attempt_failed(0, busy(), 3)]).owes([attempt(0, 2, 3, None)]);
    run.when(3, ends(0, 2, Err(busy()))).then([attempt_failed(0, busy(), 5)]).owes([attempt(0, 3, 5, None)]);
    run.when(5, ends(0, 3, Err(busy()))).then([attempt_failed(0, busy(), 9)]).owes([attempt(0, 4, 9, None)]);
    run.when(9, ends(0, 4, Ok(text("done")))).then([step_completed(0, "done")]).owes([]).due(9, None);
}

#[test]
fn inv_e7_a_pause_is_due_until_it_has_passed_and_leaves_nothing_behind() {
    let mut run = running();
    run.given(1, [step(0).scheduled()]).due(1, None);
    run.given(2, [attempt_failed(0, busy(), 10)]).due(2, Some(10)).due(9, Some(10)).due(10, None);
    run.when(10, wake()).refused(Rejection::NothingDue);
    run.given(11, [attempt_failed(0, busy(), 20)]).due(3, Some(20));
    run.given(12, [step_completed(0, "done")]).due(3, None);
}

#[test]
fn inv_e7_the_last_attempt_ends_the_step() {
    let mut run = running();
    let step = step(0).policy(|policy| policy.max_attempts = Some(2));
    run.given(1, [step.scheduled()]);
    run.when(2, ends(0, 1, Err(busy()))).then([attempt_failed(0, busy(), 3)]);
    run.when(4, ends(0, 2, Err(busy()))).then([step_failed(0, busy())]).owes([]);
}

#[test]
fn inv_e7_a_policy_of_no_attempts_still_has_its_first() {
    for attempts in [0, 1] {
        let mut run = running();
        run.given(1, [step(0).policy(|policy| policy.max_attempts = Some(attempts)).scheduled()]);
        run.when(2, ends(0, 1, Err(busy()))).then([step_failed(0, busy())]);
    }
}

#[test]
fn inv_e7_a_failure_that_no_attempt_mends_is_final() {
    let mut run = running();
    run.given(1, [step(0).scheduled()]);
    run.when(2, ends(0, 1, Err(broken()))).then([step_failed(0, broken())]);
}

#[test]
fn inv_e7_a_failure_with_a_final_code_is_final() {
    let mut run = running();
    run.given(1, [step(0).policy(|policy| policy.final_codes = vec!["busy".into()]).scheduled()]);
    run.when(2, ends(0, 1, Err(busy()))).then([step_failed(0, busy())]);
}

#[test]
fn inv_e7_jitter_takes_up_to_a_fifth_off_the_pause() {
    for (jitter, pause) in [(0, 1_000_000), (u32::MAX / 2, 900_001), (u32::MAX, 800_000)] {
        let mut run = running();
        run.given(1, [step(0).scheduled()]);
        let ends = Command::EndAttempt { op: op_no(0), attempt: 1, result: Err(busy()), jitter };
        let failed = rejoin_machine::Event::StepAttemptFailed {
            op: op_no(0),
            failure: busy(),
            retry_at: at(2).after(Span(pause)),
        };
        run.when(2, ends).then([failed]);
    }
}

#[test]
fn inv_e7_pauses_stay_within_the_longest_and_the_end_of_time() {
    let mut run = running();
    let endless = step(0).policy(|policy| {
        (policy.initial, policy.longest, policy.growth_percent) = (Span(u64::MAX), Span(u64::MAX), u32::MAX);
    });
    run.given(1, [endless.within(u64::MAX / 1_000_000).scheduled()]);
    let failed =
        rejoin_machine::Event::StepAttemptFailed { op: op_no(0), failure: busy(), retry_at: Timestamp(i64::MAX) };
    run.when(2, ends(0, 1, Err(busy()))).then([failed]);
}

#[test]
fn inv_e7_attempts_without_time_or_pause_do_not_stop_the_clock() {
    let mut run = running();
    let none = step(0).within(0).policy(|policy| (policy.initial, policy.longest) = (Span(0), Span(0)));
    run.given(1, [none.scheduled()]);
    let op = op_no(0);
    let retry_at = at(2).after(Span(1));
    run.when(2, wake()).then([rejoin_machine::Event::StepAttemptFailed { op, failure: late(1, 0), retry_at }]);
    run.when(2, wake()).refused(Rejection::NothingDue);
}

#[test]
fn inv_e8_a_late_attempt_changes_nothing() {
    let mut run = running();
    run.given(1, [step(0).scheduled(), attempt_failed(0, busy(), 3)]);
    run.when(2, ends(0, 1, Ok(text("late")))).refused(Rejection::Stale);
    run.when(4, ends(0, 3, Ok(text("of the future")))).refused(Rejection::Stale);
    run.when(4, ends(0, 0, Ok(text("of nobody")))).refused(Rejection::Stale);
    run.when(4, ends(1, 1, Ok(text("of another")))).refused(Rejection::Stale);
    run.when(5, ends(0, 2, Ok(text("current")))).then([step_completed(0, "current")]);
}

#[test]
fn inv_e8_an_attempt_cannot_end_what_is_no_step() {
    let mut run = running();
    run.given(1, [timer_set(0, 9)]);
    run.when(2, ends(0, 1, Ok(text("done")))).refused(Rejection::Stale);
    run.illegal(2, step_completed(0, "done")).illegal(2, attempt_failed(0, busy(), 3));
}

#[test]
fn inv_e8_an_attempt_that_ran_out_of_time_cannot_end_its_step() {
    let mut run = running();
    run.given(1, [step(0).within(10).scheduled()]);
    run.when(11, wake()).then([attempt_failed(0, late(1, 10), 12)]);
    run.when(11, ends(0, 1, Ok(text("late")))).refused(Rejection::Stale);
}

#[test]
fn spec_b12_every_attempt_has_an_absolute_deadline_of_its_own() {
    let mut run = running();
    run.given(1, [step(0).within(10).scheduled()]).owes([attempt(0, 1, 1, Some(11))]).due(1, Some(11));
    run.when(10, wake()).refused(Rejection::NothingDue);
    run.when(11, wake()).then([attempt_failed(0, late(1, 10), 12)]).owes([attempt(0, 2, 12, Some(22))]);
    // The pause first, then the deadline of the second attempt; nothing of the first attempt's is left.
    run.due(0, Some(12)).due(12, Some(22));
    run.when(21, wake()).refused(Rejection::NothingDue);
    run.when(22, wake()).then([attempt_failed(0, late(2, 10), 24)]).due(24, Some(34));
    run.when(25, ends(0, 3, Ok(text("done")))).then([step_completed(0, "done")]).due(0, None);
}

#[test]
fn spec_b12_time_running_out_counts_as_an_attempt() {
    let mut run = running();
    run.given(1, [step(0).within(10).policy(|policy| policy.max_attempts = Some(1)).scheduled()]);
    run.when(11, wake()).then([step_failed(0, late(1, 10))]).due(0, None);
}

#[test]
fn spec_b12_running_out_of_time_can_be_made_final() {
    let mut run = running();
    run.given(1, [step(0).within(10).policy(|policy| policy.final_codes = vec!["step-timeout".into()]).scheduled()]);
    run.when(11, wake()).then([step_failed(0, late(1, 10))]);
}

#[test]
fn spec_a7_a_run_with_a_step_pending_is_not_suspended() {
    let mut run = running();
    run.given(1, [timer_set(0, 9)]).is("suspended");
    run.given(2, [step(1).scheduled(), step(2).scheduled()]).is("running");
    run.given(3, [step_completed(1, "done")]).is("running");
    run.given(4, [dropped(2)]).is("suspended");
}

#[test]
fn spec_b10_a_dropped_step_is_not_owed_and_its_result_comes_late() {
    let mut run = running();
    run.given(1, [step(0).within(10).scheduled(), attempt_failed(0, busy(), 5)]);
    run.when(2, drops(0)).then([dropped(0)]).owes([]).due(0, None);
    run.when(3, ends(0, 2, Ok(text("late")))).refused(Rejection::Stale);
}

#[test]
fn spec_b10_an_operation_that_has_ended_may_be_dropped_and_one_to_come_may_not() {
    let mut run = running();
    run.given(1, [step(0).scheduled(), step_completed(0, "done")]);
    run.when(2, drops(0)).then([dropped(0)]);
    run.when(2, drops(1)).refused(Rejection::Stale);
    run.illegal(2, dropped(1));
}

#[test]
fn spec_a13_an_output_over_the_limit_fails_the_step() {
    let mut run = running().limited(|limits| limits.payload_bytes = 3);
    run.given(1, [step(0).scheduled(), step(1).scheduled()]);
    let failure = Failure::new(FailureKind::Limit, "too-large", "the output of 4 bytes is over the limit of 3");
    run.when(2, ends(0, 1, Ok(text("four")))).then([step_failed(0, failure)]);
    run.when(2, ends(1, 1, Ok(text("ten")))).then([step_completed(1, "ten")]);
}

#[test]
fn spec_a13_a_failure_over_the_limits_is_cut() {
    let mut run = running().limited(|limits| (limits.payload_bytes, limits.name_bytes) = (5, 4));
    run.given(1, [step(0).scheduled()]);
    let mut failure = Failure { details: Some(text("detail")), ..busy() };
    (failure.code, failure.message) = ("umlaü".into(), "no änswer".into());
    let mut cut = busy();
    (cut.code, cut.message) = ("umla".into(), "no ä".into());
    run.when(2, ends(0, 1, Err(failure))).then([attempt_failed(0, cut, 3)]);
}

#[test]
fn spec_a13_a_name_over_the_limit_is_refused() {
    let mut run = running().limited(|limits| limits.name_bytes = 3);
    let rejection = Rejection::TooLarge { what: "a step's name", size: 4, limit: 3 };
    run.when(1, step(0)).refused(rejection);
    run.when(1, step(0).named("ok")).then([step(0).named("ok").scheduled()]);
}

#[test]
fn inv_e2_a_run_that_was_not_started_has_no_steps() {
    let mut run = created();
    run.when(1, step(0)).refused(Rejection::NotStarted);
    run.when(1, ends(0, 1, Ok(text("done")))).refused(Rejection::Stale);
    run.illegal(1, step(0).scheduled()).illegal(1, step_completed(0, "done"));
}

#[test]
fn inv_e2_operation_numbers_end_before_they_overflow() {
    let mut run = running();
    run.when(1, step(u32::MAX)).refused(Rejection::TooMany { what: "operations", limit: u32::MAX as usize });
    run.when(1, step(u32::MAX - 1)).then([step(u32::MAX - 1).scheduled()]);
    run.illegal(1, step(u32::MAX).scheduled());
    run.when(2, step(0)).refused(Rejection::DuplicateOperation(op_no(0)));
}
