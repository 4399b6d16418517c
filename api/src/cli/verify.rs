//! `rejoin verify`: whether the log is whole, and every history in it one that could have happened.

use super::Source;
use crate::error::Trouble;
use crate::history::Histories;
use crate::log;
use crate::output::Console;
use crate::wire::VerifyView;
use clap::Args;
use rejoin_store::journal::{Cut, Report};

const FIELDS: &str = "\
JSON: one object, where the folder could be read at all:
  ok         whether nothing is wrong
  segments   how many segments the log has (null where damage ended the reading)
  bytes      how many bytes their files have (null where damage ended the reading)
  records    how many records were found good
  runs       how many runs these belong to
  torn       null, or the torn end of an unacknowledged write, which is cut at the next start: {file, offset, bytes}
  damage     null, or the first damage: {file, offset, what}
  faults     runs whose history cannot be read or applied: [{run, version, index, reason}]; index is null where it
             is about the whole record";

/// Reads the whole log and checks everything that can be checked.
///
/// Checksums, places, versions, hash chains and footers of all records; and that each record can be decoded and
/// applied to its run. A torn end of a write that was never acknowledged is normal after a crash: it is reported, and
/// cut at the next start.
#[derive(Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Verify {
    #[command(flatten)]
    source: Source,
}

impl Verify {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let mut histories = Histories::default();
        let mut records = 0;
        let read = log::read(&self.source.folder, |record| {
            records += 1;
            histories.take(record);
        });
        let (report, damage) = match read {
            Ok(report) => (Some(report), None),
            Err(Trouble::Damaged(damage)) => (None, Some(damage)),
            Err(trouble) => return Err(trouble),
        };
        if self.source.json {
            console.json(&VerifyView::new(records, &histories, report.as_ref(), damage.as_ref()))?;
        } else if let Some(report) = &report {
            print(report, &histories, console)?;
        }
        for fault in &histories.faults {
            console.complain(fault);
        }
        damage.map_or(Ok(()), |damage| Err(Trouble::Damaged(damage)))
    }
}

fn print(report: &Report, histories: &Histories, console: &mut Console) -> Result<(), Trouble> {
    console.line(format_args!("segments   {}", report.segments))?;
    console.line(format_args!("bytes      {}", report.bytes))?;
    console.line(format_args!("records    {}", report.records))?;
    console.line(format_args!("runs       {}", histories.len()))?;
    match &report.torn {
        None => console.line("torn tail  none")?,
        Some(Cut { file, offset, bytes }) => console.line(format_args!(
            "torn tail  {bytes} bytes in {file} from byte {offset} on, of a write that was never acknowledged; the next \
             start cuts them off"
        ))?,
    }
    match histories.faults.len() {
        0 => console.line("histories  all can be applied"),
        faulty => console.line(format_args!("histories  {faulty} cannot be applied")),
    }
}
