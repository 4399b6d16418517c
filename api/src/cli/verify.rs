//! `rejoin verify`: whether the log is whole, every history in it one that could have happened, and the index what the log
//! gives.

use super::Source;
use crate::error::Trouble;
use crate::heads::{Claims, Heads, Judged};
use crate::history::{self, Fault, Histories};
use crate::index::{self, Rows};
use crate::log;
use crate::output::{Console, Meter};
use crate::wire::{Found, VerifyView};
use clap::Args;
use rejoin::{RunId, RunRow};
use rejoin_store::index::Examined;
use rejoin_store::journal::{Cut, Report, Seen, Visit};
use std::collections::HashMap;
use std::path::PathBuf;

const FIELDS: &str = "\
JSON: one object, where the folder could be read at all:
  ok         whether nothing is wrong
  segments   how many segments the log has (null where damage ended the reading)
  bytes      how many bytes their files have (null where damage ended the reading)
  records    how many records were found good
  runs       how many runs these belong to
  torn       null, or the torn end of an unacknowledged write, which is cut at the next start: {file, offset, bytes}
  damage     null, or the first damage: {file, offset, what}
  faults     runs whose history cannot be read or applied: [{run, version, index, file, offset, reason}]; index is
             null where it is about the whole record
  index      null where the reading ended early, or what the index is: {state, rows, keys, reason, differences}; state
             is absent, made-again (at the next start, for the reason), behind (the next start adds the rest), ahead (of
             the log: records are missing), same or differs: then there are differences, [{run, what}], at most 100
  heads      null, or what came of --head: {checked, missing, notes}, how many heads were checked, and [{run, version,
             reason}] of what is not there: missing, or, in notes, what was deleted since";

/// Reads the whole log and checks everything that can be checked.
///
/// Checksums, places, versions, hash chains and footers of all records; that each record can be decoded and applied to
/// its run; and that the index, where the next start would trust it, holds what the log gives: a copy of it is looked at,
/// in a temporary folder. A torn end of a write that was never acknowledged is normal after a crash: it is reported, and
/// cut at the next start.
///
/// What is whole in itself may still be too short: a log that lost its end, or a folder that was put back from an older
/// copy, shows where it is held against heads that were kept elsewhere, see `rejoin head`. Every run that they name must be
/// there, at that version or a later one, with that very chain at that version. A run that was deleted since is noted and
/// not wrong; where deleted runs have been cleaned away since, the log cannot tell any more whether one that is not there
/// was among them, and that is noted too.
#[derive(Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Verify {
    #[command(flatten)]
    source: Source,
    /// Holds the log against the heads in this file, which `rejoin head` printed earlier.
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
}

/// What one thread follows.
struct Part<'a> {
    histories: Histories,
    /// The row of each run, where there is an index to hold them against.
    rows: Option<Rows>,
    claims: Option<Claims<'a>>,
    records: u64,
}

impl Visit for Part<'_> {
    fn record(&mut self, seen: &Seen<'_>) {
        self.records += 1;
        let entry = history::decode(seen);
        if let (Some(rows), Ok(entry)) = (&mut self.rows, &entry) {
            let run = RunId(seen.stream.0);
            let row = rows.entry(run).or_default();
            *row = RunRow::fold(row.take(), entry, seen.lsn.0);
        }
        if let Some(claims) = &mut self.claims {
            claims.record(seen);
        }
        match entry {
            Ok(entry) => self.histories.take(seen, Ok(&entry)),
            Err(fault) => self.histories.take(seen, Err(fault)),
        }
    }

    fn dead(&mut self, seen: &Seen<'_>) {
        if let Some(claims) = &mut self.claims {
            claims.dead(seen);
        }
    }
}

impl Verify {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let heads = self.head.as_deref().map(Heads::read).transpose()?;
        let folder = &self.source.folder;
        let indexed = index::path(folder).exists();
        let part = || Part {
            histories: Histories::default(),
            rows: indexed.then(Rows::default),
            claims: heads.as_ref().map(|heads| Claims { heads, met: HashMap::new() }),
            records: 0,
        };
        let mut parts: Vec<Part<'_>> = (0..log::PARTS).map(|_| part()).collect();
        let meter = Meter::new("of the log are verified");
        let read = log::read_in_parts(folder, &mut parts, |progress| meter.show(progress));
        meter.finish();
        let (report, damage) = match read {
            Ok(report) => (Some(report), None),
            Err(Trouble::Damaged(damage)) => (None, Some(damage)),
            Err(trouble) => return Err(trouble),
        };
        let mut found = Found { report, damage, ..Found::default() };
        found.join(parts.iter_mut().map(|part| (part.records, std::mem::take(&mut part.histories))));
        if let Some(report) = &found.report {
            let rows = parts.iter_mut().flat_map(|part| part.rows.take().unwrap_or_default()).collect();
            found.index = Some(index::check(folder, report, &rows)?);
            let met = parts.into_iter().filter_map(|part| part.claims).flat_map(|claims| claims.met).collect();
            found.heads = heads.as_ref().map(|heads| (heads.len(), heads.judge(report, &met)));
        }
        if self.source.json {
            console.json(&VerifyView::new(&found))?;
        } else if let Some(report) = &found.report {
            print(report, &found, console)?;
        }
        complain(found, console)
    }
}

fn complain(found: Found, console: &mut Console) -> Result<(), Trouble> {
    for fault in &found.faults {
        console.complain(fault);
    }
    if let Some((_, Judged { missing, notes })) = &found.heads {
        notes.iter().for_each(|note| console.note(note));
        missing.iter().for_each(|missing| console.complain(missing));
    }
    match found.index {
        Some(Examined::Differs(differences)) => {
            for difference in differences {
                let run = difference.stream.map(|stream| RunId(stream.0));
                console.complain(&Trouble::IndexDiffers { run, what: difference.what });
            }
        }
        Some(Examined::Ahead(index)) => {
            let log = found.report.map_or(index, |report| report.durable);
            console.complain(&Trouble::IndexAhead { index, log });
        }
        _ => {}
    }
    found.damage.map_or(Ok(()), |damage| Err(Trouble::Damaged(damage)))
}

fn print(report: &Report, found: &Found, console: &mut Console) -> Result<(), Trouble> {
    console.line(format_args!("segments   {}", report.segments))?;
    console.line(format_args!("bytes      {}", report.bytes))?;
    console.line(format_args!("records    {}", report.records))?;
    console.line(format_args!("runs       {}", found.runs))?;
    match &report.torn {
        None => console.line("torn tail  none")?,
        Some(Cut { file, offset, bytes }) => console.line(format_args!(
            "torn tail  {bytes} bytes in {file} from byte {offset} on, of a write that was never acknowledged; the next \
             start cuts them off"
        ))?,
    }
    match found.faults.len() {
        0 => console.line("histories  all can be applied")?,
        faulty => console.line(format_args!("histories  {faulty} cannot be applied"))?,
    }
    match &found.index {
        None | Some(Examined::Absent) => console.line("index      none; the next start makes it")?,
        Some(Examined::MadeAgain(reason)) => {
            console.line(format_args!("index      not trusted ({reason}); the next start makes it again"))?;
        }
        Some(Examined::Behind(lsn)) => {
            console.line(format_args!("index      up to record {lsn}; the next start adds the rest"))?;
        }
        Some(Examined::Ahead(lsn)) => console.line(format_args!("index      up to record {lsn}, ahead of the log"))?,
        Some(Examined::Same { rows, keys }) => {
            console.line(format_args!("index      {rows} live rows and {keys} keys, as the log gives them"))?;
        }
        Some(Examined::Differs(_)) => console.line("index      not what the log gives")?,
    }
    match &found.heads {
        None => Ok(()),
        Some((checked, Judged { missing, notes })) => {
            let gone = missing.iter().chain(notes).filter(|missing| missing.run.is_some()).count();
            console.line(format_args!("heads      {} of {checked} are there", checked - gone))
        }
    }
}

impl Found {
    /// Puts together what several threads found.
    fn join(&mut self, parts: impl Iterator<Item = (u64, Histories)>) {
        for (records, mut histories) in parts {
            self.records += records;
            self.runs += histories.len();
            self.faults.append(&mut histories.faults);
        }
        // In the order of the log, as far as the files tell.
        self.faults.sort_by(|one, two| order(one).cmp(&order(two)));
    }
}

fn order(fault: &Fault) -> (&str, u64) {
    (&fault.file, fault.offset)
}
