//! Heads that were kept elsewhere, and whether a folder still leads to them.
//!
//! A file of heads is JSON Lines: the store, then each run with its version and its link of the hash chain. A chain says
//! everything about what is before it, so a folder that has the same link at the same version has the same history.

use crate::error::Trouble;
use crate::log;
use rejoin::RunId;
use rejoin::export::{hex, unhex};
use rejoin_store::journal::{Report, Seen, Visit};
use rejoin_store::{Chain, Lsn, TOMBSTONE};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The first line.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoreLine {
    pub(crate) store: String,
    pub(crate) durable: u64,
    pub(crate) runs: usize,
}

/// Every other line.
#[derive(Serialize, Deserialize)]
pub(crate) struct RunLine {
    pub(crate) run: String,
    pub(crate) version: u64,
    pub(crate) chain: String,
}

/// The heads of a store.
pub(crate) struct Heads {
    store: String,
    durable: Lsn,
    runs: BTreeMap<RunId, Head>,
}

/// Where a run stood.
#[derive(Clone, Copy)]
struct Head {
    version: u64,
    chain: Chain,
}

/// The heads of a folder, as lines.
pub(crate) fn of(folder: &Path) -> Result<(StoreLine, Vec<RunLine>), Trouble> {
    let mut runs: BTreeMap<RunId, Head> = BTreeMap::new();
    let report = log::read(folder, |seen| {
        runs.insert(RunId(seen.stream.0), Head { version: seen.version.0, chain: seen.chain });
    })?;
    let first = StoreLine { store: hex(&report.store), durable: report.durable.0, runs: runs.len() };
    let line =
        |(run, Head { version, chain }): (RunId, Head)| RunLine { run: run.to_string(), version, chain: hex(&chain) };
    Ok((first, runs.into_iter().map(line).collect()))
}

impl Heads {
    pub(crate) fn read(path: &Path) -> Result<Heads, Trouble> {
        let bad = |line: usize, reason: String| Trouble::Heads { path: path.display().to_string(), line, reason };
        let file = File::open(path).map_err(|error| bad(0, error.to_string()))?;
        let mut lines = (1..).zip(BufReader::new(file).lines());
        let mut next = || match lines.next() {
            None => Ok(None),
            Some((number, Ok(text))) => Ok(Some((number, text))),
            Some((number, Err(error))) => Err(bad(number, error.to_string())),
        };
        let (_, first) = next()?.ok_or_else(|| bad(1, "it is empty".to_owned()))?;
        let first: StoreLine = serde_json::from_str(&first).map_err(|error| bad(1, error.to_string()))?;
        let mut heads = Heads { store: first.store, durable: Lsn(first.durable), runs: BTreeMap::new() };
        while let Some((number, text)) = next()? {
            let line: RunLine = serde_json::from_str(&text).map_err(|error| bad(number, error.to_string()))?;
            let run = line.run.parse().map_err(|reason: &str| bad(number, reason.to_owned()))?;
            let chain = unhex(&line.chain).and_then(|chain| chain.try_into().ok());
            let chain = chain.ok_or_else(|| bad(number, "a chain is 64 hexadecimal digits".to_owned()))?;
            heads.runs.insert(run, Head { version: line.version, chain });
        }
        if heads.runs.len() != first.runs {
            let reason = format!("its first line names {} runs, and it has {}", first.runs, heads.runs.len());
            return Err(bad(1, reason));
        }
        Ok(heads)
    }

    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    /// What a folder lacks of this, and what there is to know; `met` is what was met of these runs.
    pub(crate) fn judge(&self, report: &Report, met: &HashMap<RunId, Met>) -> Judged {
        let mut judged = Judged::default();
        let found = hex(&report.store);
        let same = found == self.store;
        if !same {
            let reason = format!("the folder holds store {found}, and the heads are those of store {}", self.store);
            judged.missing.push(Missing { run: None, version: None, reason });
        } else if report.durable < self.durable {
            let (now, was) = (report.durable, self.durable);
            let reason = format!(
                "the log ends at record {now}, and reached record {was}: its tail was cut off, or the folder was rolled back"
            );
            judged.missing.push(Missing { run: None, version: None, reason });
        }
        for (run, head) in &self.runs {
            let met = met.get(run).copied().unwrap_or_default();
            let (is_gone, reason) = match self.fate(*head, met, report, same) {
                Fate::There => continue,
                Fate::Deleted(reason) => (false, reason),
                Fate::Lost(reason) => (true, reason),
            };
            let missing = Missing { run: Some(*run), version: Some(head.version), reason };
            if is_gone { judged.missing.push(missing) } else { judged.notes.push(missing) }
        }
        judged
    }

    /// What became of a run. Places are given once, so a tombstone, or a first record, behind the place up to which the heads
    /// reach came after them; and what was cleaned away since is known by the last of its places.
    fn fate(&self, Head { version, .. }: Head, met: Met, report: &Report, same: bool) -> Fate {
        let since = |lsn: Lsn| same && lsn > self.durable;
        match met {
            Met { chain: Some(true), .. } => Fate::There,
            Met { buried, .. } if since(buried) => Fate::Deleted("it was deleted since".to_owned()),
            Met { first, .. } if since(first) => {
                Fate::Deleted("it was deleted since, and another run has its id now".to_owned())
            }
            Met { chain: Some(false), .. } => {
                Fate::Lost("the run has another history up to this version: it was replaced".to_owned())
            }
            Met { top: 0, .. } if since(report.forgotten) => Fate::Deleted(
                "it is not there: it was deleted and cleaned away since, or lost; the log does not say any more which"
                    .to_owned(),
            ),
            Met { top: 0, .. } => {
                Fate::Lost("it is not there, and nothing in the log says that it was deleted".to_owned())
            }
            Met { top, .. } => Fate::Lost(format!(
                "the run ends at version {top}, and had {version}: its tail was cut off, or the folder was rolled back"
            )),
        }
    }
}

enum Fate {
    There,
    Deleted(String),
    Lost(String),
}

/// What was met of a run whose head is known.
#[derive(Clone, Copy, Default)]
pub(crate) struct Met {
    /// The place of its first record.
    first: Lsn,
    /// Its version.
    top: u64,
    /// Whether its chain is the one that the head has, at the head's version.
    chain: Option<bool>,
    /// The place of the last tombstone.
    buried: Lsn,
}

/// Meets the runs of which heads are known.
pub(crate) struct Claims<'a> {
    pub(crate) heads: &'a Heads,
    pub(crate) met: HashMap<RunId, Met>,
}

impl Visit for Claims<'_> {
    fn record(&mut self, seen: &Seen<'_>) {
        let run = RunId(seen.stream.0);
        let Some(head) = self.heads.runs.get(&run) else { return };
        let met = self.met.entry(run).or_default();
        met.top = seen.version.0;
        if seen.version.0 == 1 {
            met.first = seen.lsn;
        }
        if seen.version.0 == head.version {
            met.chain = Some(seen.chain == head.chain);
        }
    }

    fn dead(&mut self, seen: &Seen<'_>) {
        let run = RunId(seen.stream.0);
        if seen.format == TOMBSTONE && self.heads.runs.contains_key(&run) {
            self.met.entry(run).or_default().buried = seen.lsn;
        }
    }
}

/// What came of holding a folder against heads.
#[derive(Default)]
pub(crate) struct Judged {
    /// What should be there and is not.
    pub(crate) missing: Vec<Missing>,
    /// What is not there, and need not be.
    pub(crate) notes: Vec<Missing>,
}

/// Something that is not as the heads have it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}{reason}", self.of())]
pub(crate) struct Missing {
    pub(crate) run: Option<RunId>,
    pub(crate) version: Option<u64>,
    pub(crate) reason: String,
}

impl Missing {
    fn of(&self) -> String {
        let run = self.run.map(|run| format!("run {run}")).unwrap_or_default();
        let version = self.version.map(|version| format!(", version {version}: ")).unwrap_or_default();
        run + &version
    }
}
