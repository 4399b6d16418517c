//! What a verification found.

use crate::heads::{Judged, Missing};
use crate::history::Fault;
use rejoin::RunId;
use rejoin_store::Damage;
use rejoin_store::index::{Difference, Examined};
use rejoin_store::journal::{Cut, Report};
use serde::Serialize;

/// What a verification found.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) report: Option<Report>,
    pub(crate) damage: Option<Damage>,
    pub(crate) records: u64,
    pub(crate) runs: usize,
    pub(crate) faults: Vec<Fault>,
    pub(crate) index: Option<Examined>,
    /// How many heads there were, and what came of them.
    pub(crate) heads: Option<(usize, Judged)>,
}

/// The same for programs.
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
    index: Option<IndexView<'a>>,
    heads: Option<HeadsView<'a>>,
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
    file: &'a str,
    offset: u64,
    reason: &'a str,
}

#[derive(Serialize)]
struct IndexView<'a> {
    state: &'static str,
    rows: Option<u64>,
    keys: Option<u64>,
    reason: Option<&'a str>,
    differences: Vec<DifferenceView<'a>>,
}

#[derive(Serialize)]
struct DifferenceView<'a> {
    run: Option<String>,
    what: &'a str,
}

#[derive(Serialize)]
struct HeadsView<'a> {
    checked: usize,
    missing: Vec<MissingView<'a>>,
    notes: Vec<MissingView<'a>>,
}

#[derive(Serialize)]
struct MissingView<'a> {
    run: Option<String>,
    version: Option<u64>,
    reason: &'a str,
}

impl<'a> IndexView<'a> {
    fn new(examined: &'a Examined) -> IndexView<'a> {
        let plain = |state| IndexView { state, rows: None, keys: None, reason: None, differences: Vec::new() };
        let difference = |Difference { stream, what }: &'a Difference| {
            let run = stream.map(|stream| RunId(stream.0).to_string());
            DifferenceView { run, what }
        };
        match examined {
            Examined::Absent => plain("absent"),
            Examined::MadeAgain(reason) => IndexView { reason: Some(reason), ..plain("made-again") },
            Examined::Behind(_) => plain("behind"),
            Examined::Ahead(_) => plain("ahead"),
            Examined::Same { rows, keys } => IndexView { rows: Some(*rows), keys: Some(*keys), ..plain("same") },
            Examined::Differs(differences) => {
                IndexView { differences: differences.iter().map(difference).collect(), ..plain("differs") }
            }
        }
    }
}

impl<'a> VerifyView<'a> {
    pub(crate) fn new(found: &'a Found) -> VerifyView<'a> {
        let Found { report, damage, records, runs, faults, index, heads } = found;
        let torn = |Cut { file, offset, bytes }: &'a Cut| TornView { file, offset: *offset, bytes: *bytes };
        let damaged = |Damage { file, offset, what }: &'a Damage| DamageView { file, offset: *offset, what };
        let fault = |Fault { run, version, index, file, offset, reason, .. }: &'a Fault| FaultView {
            run: run.to_string(),
            version: *version,
            index: *index,
            file,
            offset: *offset,
            reason,
        };
        let missing = |Missing { run, version, reason }: &'a Missing| MissingView {
            run: run.map(|run| run.to_string()),
            version: *version,
            reason,
        };
        let indexed = !matches!(index, Some(Examined::Differs(_) | Examined::Ahead(_)));
        let headed = heads.as_ref().is_none_or(|(_, judged)| judged.missing.is_empty());
        VerifyView {
            ok: damage.is_none() && faults.is_empty() && indexed && headed,
            segments: report.as_ref().map(|report| report.segments),
            bytes: report.as_ref().map(|report| report.bytes),
            records: *records,
            runs: *runs,
            torn: report.as_ref().and_then(|report| report.torn.as_ref()).map(torn),
            damage: damage.as_ref().map(damaged),
            faults: faults.iter().map(fault).collect(),
            index: index.as_ref().map(IndexView::new),
            heads: heads.as_ref().map(|(checked, judged)| HeadsView {
                checked: *checked,
                missing: judged.missing.iter().map(missing).collect(),
                notes: judged.notes.iter().map(missing).collect(),
            }),
        }
    }
}
