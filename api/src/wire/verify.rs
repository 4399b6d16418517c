//! What a verification found.

use crate::history::{Fault, Histories};
use rejoin_store::Damage;
use rejoin_store::journal::{Cut, Report};
use serde::Serialize;

/// What a verification found.
#[derive(Serialize)]
pub(crate) struct VerifyView<'a> {
    ok: bool,
    segments: Option<usize>,
    bytes: Option<u64>,
    records: u64,
    runs: usize,
    torn: Option<TornView<'a>>,
    damage: Option<DamageView<'a>>,
    faults: Vec<FaultView<'a>>,
}

#[derive(Serialize)]
struct TornView<'a> {
    file: &'a str,
    offset: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct DamageView<'a> {
    file: &'a str,
    offset: u64,
    what: &'a str,
}

#[derive(Serialize)]
struct FaultView<'a> {
    run: String,
    version: u64,
    index: Option<usize>,
    reason: &'a str,
}

impl<'a> VerifyView<'a> {
    pub(crate) fn new(
        records: u64,
        histories: &'a Histories,
        report: Option<&'a Report>,
        damage: Option<&'a Damage>,
    ) -> VerifyView<'a> {
        let torn = |Cut { file, offset, bytes }: &'a Cut| TornView { file, offset: *offset, bytes: *bytes };
        let damaged = |Damage { file, offset, what }: &'a Damage| DamageView { file, offset: *offset, what };
        let fault = |Fault { run, version, index, reason, .. }: &'a Fault| FaultView {
            run: run.to_string(),
            version: *version,
            index: *index,
            reason,
        };
        VerifyView {
            ok: damage.is_none() && histories.faults.is_empty(),
            segments: report.map(|report| report.segments),
            bytes: report.map(|report| report.bytes),
            records,
            runs: histories.len(),
            torn: report.and_then(|report| report.torn.as_ref()).map(torn),
            damage: damage.map(damaged),
            faults: histories.faults.iter().map(fault).collect(),
        }
    }
}
