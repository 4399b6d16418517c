//! How every run of a folder stands, and why those do not move that have not ended.

use crate::error::Trouble;
use crate::history::{self, Fault};
use crate::log;
use rejoin::why::{Other, Stand, Why, why};
use rejoin::{RunId, Timestamp};
use rejoin_store::journal::Seen;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

/// Every run of a folder.
#[derive(Default)]
pub(crate) struct Stands {
    runs: BTreeMap<RunId, Known>,
    /// The first fault of each run that has one.
    pub(crate) faults: Vec<Fault>,
}

enum Known {
    Alive(Box<Stand>),
    Ended(Why),
    /// It has a fault; what follows cannot be judged.
    Faulty,
}

impl Stands {
    pub(crate) fn read(folder: &Path) -> Result<Stands, Trouble> {
        let mut stands = Stands::default();
        log::read(folder, |seen| stands.take(seen))?;
        Ok(stands)
    }

    fn take(&mut self, seen: &Seen<'_>) {
        let run = RunId(seen.stream.0);
        let before = match self.runs.remove(&run) {
            Some(Known::Alive(stand)) => Some(*stand),
            Some(known @ (Known::Ended(_) | Known::Faulty)) => {
                self.runs.insert(run, known);
                return;
            }
            None => None,
        };
        let known = history::decode(seen).and_then(|entry| match Stand::after(before, run, &entry) {
            Ok(Some(stand)) if stand.has_ended() => {
                Ok(Known::Ended(why(&stand, Timestamp(seen.time), |_| Other::Missing)))
            }
            Ok(Some(stand)) => Ok(Known::Alive(Box::new(stand))),
            Ok(None) => {
                let reason = "it should trigger the run, and does not".to_owned();
                Err(Fault::impossible(seen, None, reason))
            }
            Err((index, error)) => Err(Fault::impossible(seen, Some(index), error.to_string())),
        });
        let known = known.unwrap_or_else(|fault| {
            self.faults.push(fault);
            Known::Faulty
        });
        self.runs.insert(run, known);
    }

    /// All runs.
    pub(crate) fn runs(&self) -> impl Iterator<Item = RunId> {
        self.runs.keys().copied()
    }

    /// Why a run does not move now; `None` if its history cannot be read.
    pub(crate) fn why(&self, run: RunId) -> Option<Why> {
        match self.runs.get(&run)? {
            Known::Alive(stand) => Some(why(stand, now(), |other| self.other(other))),
            Known::Ended(why) => Some(why.clone()),
            Known::Faulty => None,
        }
    }

    /// Why those do not move that have not ended.
    pub(crate) fn live(&self) -> impl Iterator<Item = Why> {
        self.runs().filter_map(|run| self.why(run)).filter(|why| !why.ended)
    }

    fn other(&self, run: RunId) -> Other {
        match self.runs.get(&run) {
            Some(Known::Alive(stand)) => Other::Alive(stand.run().state_name()),
            Some(Known::Ended(why)) => Other::Ended(why.state),
            // Whether it can end nobody knows; it is named with its fault.
            Some(Known::Faulty) => Other::Alive("unreadable"),
            None => Other::Missing,
        }
    }
}

/// The time.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
