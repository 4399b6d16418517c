//! `rejoin doctor`: every run that has not ended, and whether it ever can.

use super::{Source, why};
use crate::error::Trouble;
use crate::output::{Column, Console, Fit, Table, time};
use crate::stands::Stands;
use crate::wire::WhyView;
use clap::Args;

const HEAD: &str = "\
Exit status 1 if a run is stuck, which is then named, or cannot be read.

JSON: one object a line for each run that has not ended, by id:
";

fn help() -> String {
    HEAD.to_owned() + why::FIELDS
}

/// Looks at every run that has not ended: what it waits for, and whether that can still happen. Conversations in which nothing
/// happens are left out.
#[derive(Args)]
#[command(after_long_help = help())]
pub(crate) struct Doctor {
    #[command(flatten)]
    source: Source,
}

const COLUMNS: [Column; 6] = [
    Column { title: "ID", fit: Fit::Whole },
    Column { title: "WORKFLOW", fit: Fit::Spare },
    Column { title: "STATE", fit: Fit::Whole },
    Column { title: "SINCE", fit: Fit::Spare },
    Column { title: "WAITS FOR", fit: Fit::Wraps },
    Column { title: "MOVED BY", fit: Fit::Wraps },
];

impl Doctor {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let stands = Stands::read(&self.source.folder)?;
        let (mut table, mut live, mut stuck) = (Table::new(&COLUMNS), 0, Vec::new());
        for why in stands.live().filter(|why| !why.is_idle()) {
            live += 1;
            let view = WhyView::new(&why);
            if why.is_stuck() {
                stuck.push(format!("run {} can never move: it waits for {}", why.run, view.waits_for()));
            }
            if self.source.json {
                console.json(&view)?;
            } else {
                let workflow = crate::output::printable(&why.workflow);
                let (state, since) = (why.state.to_owned(), time(why.since));
                table.row([why.run.to_string(), workflow, state, since, view.waits_for(), view.moved_by()]);
            }
        }
        if live == 0 {
            console.note("every run has ended");
        } else if !self.source.json {
            console.table(table)?;
        }
        stuck.iter().for_each(|what| console.complain(what));
        stands.faults.iter().for_each(|fault| console.complain(fault));
        Ok(())
    }
}
