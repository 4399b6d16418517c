//! `rejoin why`: why one run does not move.

use super::Source;
use crate::error::Trouble;
use crate::find::Beginning;
use crate::output::Console;
use crate::stands::Stands;
use crate::wire::WhyView;
use clap::Args;

pub(super) const FIELDS: &str = "\
  run       the run's id
  workflow  its workflow's name
  state     the name of its state
  since     since when it is in it
  ended     whether it has ended: then it waits for nothing
  stuck     whether nothing will ever move it
  ends_at   when time ends it, whatever it waits for, or null
  waits     what it waits for, a list of objects:
              on       start, step, child, cancellation (of a child), timer, signal, mending (of its handler) or handler
              name     of a step or a signal
              attempt  of a step: which one comes next or is under way
              reason   why the attempt before failed, or why the handler is wedged
              run      a child
              stands   how the child stands: the name of its state, or missing
              since    since when
              until    until when; then the wait ends by itself
              by       who or what can bring it: process (the one that has the folder open, or the next that starts),
                       clock, run, sender (of the signal), code (a program whose handler fits) or nobody
              at       when the clock does
            A field of these that has no value is left out.
Times are RFC 3339 in UTC. Fields may be added.";

const HEAD: &str = "JSON: one object:\n";

fn help() -> String {
    HEAD.to_owned() + FIELDS
}

/// Says why a run does not move: what it waits for, since when, and who or what can still bring that.
#[derive(Args)]
#[command(after_long_help = help())]
pub(crate) struct Why {
    #[command(flatten)]
    source: Source,
    /// The run's id, or enough of its beginning to tell it from all others.
    #[arg(value_name = "RUN")]
    run: Beginning,
}

impl Why {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let stands = Stands::read(&self.source.folder)?;
        let run = self.run.only(&self.source.folder, stands.runs())?;
        let Some(why) = stands.why(run) else {
            let fault = stands.faults.into_iter().find(|fault| fault.run == run);
            return fault.map_or(Ok(()), |fault| Err(fault.into()));
        };
        let view = WhyView::new(&why);
        if self.source.json { console.json(&view) } else { view.lines().iter().try_for_each(|line| console.line(line)) }
    }
}
