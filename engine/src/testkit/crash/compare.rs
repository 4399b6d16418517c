//! Two lives side by side: what is not the same, and what that means.

use crate::error::RunError;
use crate::testkit::commits::Records;
use crate::testkit::ledger::{By, LedgerEntry};
use crate::testkit::report::Finding;
use crate::testkit::script::{End, Lived};
use crate::testkit::{History, Ledger};
use rejoin_machine::{Event, Payload};
use serde_json::Value;
use std::collections::BTreeMap;

/// What comes of a workflow without a crash.
pub(super) struct Reference {
    pub(super) result: String,
    pub(super) ledger: Ledger,
    pub(super) records: Records,
    pub(super) histories: Vec<History>,
}

/// A result in words.
pub(super) fn in_words(result: &Result<Value, RunError>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(RunError::Failed(failure)) => format!("{}: {failure}", failure.code()),
        Err(error) => error.to_string(),
    }
}

/// What is wrong with a life by itself.
pub(super) fn alone(reference: &Reference) -> Vec<Finding> {
    let entries = reference.ledger.entries();
    let mut findings = conflicts(&entries, &reference.records);
    findings.extend(outside(&entries, &[], &reference.records));
    findings
}

/// Where two lives without a crash part.
pub(super) fn parting(first: &Reference, second: &Reference) -> Option<Finding> {
    let effects = first.ledger.entries().into_iter().zip(second.ledger.entries());
    if let Some((one, other)) = effects.into_iter().find(|(one, other)| one.what != other.what) {
        let place = by(&one, &first.records);
        return Some(Finding::Unrepeatable { place, first: quoted(&one.what), second: quoted(&other.what) });
    }
    let records = first.records.all.iter().zip(&second.records.all);
    for ((_, run, entry), (_, _, other)) in records {
        for (event, other) in entry.transition.events.iter().zip(&other.transition.events) {
            if event != other {
                let described = first.records.event(*run, 0, event);
                let place = match event {
                    Event::StepCompleted { .. } => described.trim_start_matches("StepCompleted, ").to_owned(),
                    _ => format!("workflow {:?}", first.records.workflow(*run)),
                };
                let (first, second) = (content(event, &described), content(other, other.name()));
                return Some(Finding::Unrepeatable { place, first, second });
            }
        }
    }
    let (first, second) = (&first.result, &second.result);
    let place = "the result".to_owned();
    (first != second).then(|| Finding::Unrepeatable { place, first: first.clone(), second: second.clone() })
}

/// What is wrong with a life that began with a crash, the most useful first.
pub(super) fn after_a_crash(reference: &Reference, lived: &Lived, ledger: &Ledger) -> Vec<Finding> {
    let mut findings = match &lived.end {
        End::Ended { result, unended, .. } => {
            let (expected, found) = (reference.result.clone(), in_words(result));
            let mut findings = Finding::still(false, unended);
            findings.extend((expected != found).then_some(Finding::OtherResult { expected, found }));
            findings
        }
        End::Still { endless, unended } => Finding::still(*endless, unended),
        End::Refused(reason) => vec![Finding::Refused { reason: reason.clone() }],
        End::Died => Vec::new(),
    };
    let entries = ledger.entries();
    findings.extend(conflicts(&entries, &lived.records));
    findings.extend(outside(&entries, &reference.ledger.entries(), &reference.records));
    findings.extend(differences(reference, ledger, &lived.records));
    findings.sort_by_key(Finding::rank);
    // What merely follows from something else is not told.
    if findings.first().is_some_and(Finding::is_cause) {
        findings.retain(Finding::is_cause);
    }
    findings
}

/// Keys that were used for two things.
fn conflicts(entries: &[LedgerEntry], records: &Records) -> Vec<Finding> {
    let mut known: BTreeMap<&str, &LedgerEntry> = BTreeMap::new();
    let mut findings = Vec::new();
    for entry in entries {
        let Some(key) = &entry.key else { continue };
        let first = *known.entry(key).or_insert(entry);
        if first.what == entry.what {
            continue;
        }
        let (one, other) = ((by(first, records), first.what.clone()), (by(entry, records), entry.what.clone()));
        findings.push(if first.step() == entry.step() && first.life != entry.life {
            Finding::Changed { step: one.0, before: one.1, after: other.1 }
        } else {
            Finding::KeyConflict { key: key.clone(), first: one, second: other }
        });
    }
    findings
}

/// What handlers did themselves, more often than `expected`.
fn outside(entries: &[LedgerEntry], expected: &[LedgerEntry], records: &Records) -> Vec<Finding> {
    let times = |entries: &[LedgerEntry], what: &str| {
        entries.iter().filter(|entry| entry.by == By::Handler && entry.what == what).count()
    };
    let mut findings: Vec<Finding> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.by == By::Handler) {
        let what = &entry.what;
        let count = times(entries, what);
        let told = |known: &Finding| matches!(known, Finding::OutsideStep { effect, .. } if effect == what);
        if count > times(expected, what) && !findings.iter().any(told) {
            // Where it is done first, and not where a crash made it happen again.
            let first = expected.iter().find(|known| known.by == By::Handler && known.what == *what).unwrap_or(entry);
            let place = format!("on the way to {}", records.commit(first.commits + 1));
            findings.push(Finding::OutsideStep { effect: what.clone(), times: count, place });
        }
    }
    findings
}

/// What happened more or less often than without a crash.
fn differences(reference: &Reference, ledger: &Ledger, records: &Records) -> Vec<Finding> {
    let mut balance: BTreeMap<String, i64> = BTreeMap::new();
    ledger.effects().into_iter().for_each(|what| *balance.entry(what).or_insert(0) += 1);
    reference.ledger.effects().into_iter().for_each(|what| *balance.entry(what).or_insert(0) -= 1);
    let entries = ledger.entries();
    let expected = reference.ledger.entries();
    let mut findings = Vec::new();
    for (what, balance) in balance {
        let made = |entry: &&LedgerEntry| entry.what == what && matches!(entry.by, By::Step(_));
        if balance > 0 {
            findings.extend(entries.iter().rev().find(made).map(|entry| extra(entry, &entries, &expected, records)));
        } else if balance < 0 {
            let missing =
                |entry: &LedgerEntry| Finding::Missing { by: by(entry, &reference.records), effect: what.clone() };
            findings.extend(expected.iter().find(made).map(missing));
        }
    }
    findings
}

/// Why something was done that is not done without a crash: the last entry of it, among all, and what is expected.
fn extra(last: &LedgerEntry, all: &[LedgerEntry], expected: &[LedgerEntry], records: &Records) -> Finding {
    let of_step: Vec<&LedgerEntry> = all.iter().filter(|entry| entry.step() == last.step()).collect();
    let same: Vec<&LedgerEntry> = of_step.iter().copied().filter(|entry| entry.what == last.what).collect();
    let earlier = of_step.iter().copied().find(|entry| entry.life < last.life);
    let otherwise = || {
        let other = expected.iter().find(|entry| entry.step() == last.step());
        other.filter(|entry| of_step.iter().all(|made| made.what != entry.what))
    };
    match earlier.or_else(otherwise) {
        Some(_) if same.iter().any(|entry| entry.life < last.life) => {
            let mut executions: Vec<(Option<String>, u32)> = Vec::new();
            for entry in same {
                if entry.key.is_none() || executions.iter().all(|(key, _)| *key != entry.key) {
                    executions.push((entry.key.clone(), entry.life));
                }
            }
            Finding::Repeated { step: by(last, records), effect: last.what.clone(), executions }
        }
        Some(before) => {
            Finding::Changed { step: by(last, records), before: before.what.clone(), after: last.what.clone() }
        }
        None => Finding::Extra { by: by(last, records), effect: last.what.clone() },
    }
}

/// Who did something, in words.
fn by(entry: &LedgerEntry, records: &Records) -> String {
    match (entry.step(), &entry.by) {
        (Some(step), _) => records.operation(step),
        (None, By::Client) => "the client".to_owned(),
        (None, _) => "the handler itself".to_owned(),
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// What an event says that may differ.
fn content(event: &Event, otherwise: &str) -> String {
    let text = |payload: &Payload| String::from_utf8_lossy(payload.bytes()).into_owned();
    match event {
        Event::StepCompleted { output, .. } | Event::ChildCompleted { output, .. } | Event::Completed { output } => {
            text(output)
        }
        Event::Failed { failure } | Event::StepFailed { failure, .. } | Event::StepAttemptFailed { failure, .. } => {
            failure.message.clone()
        }
        _ => otherwise.to_owned(),
    }
}
