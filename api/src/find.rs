//! Finding a run by the beginning of its id.

use crate::error::Trouble;
use crate::history::{self, Fault};
use crate::log;
use rejoin::RunId;
use rejoin::history::Entry;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A run that was found.
pub(crate) struct Found {
    pub(crate) run: RunId,
    /// Its history.
    pub(crate) entries: Vec<Entry>,
    /// Where it cannot be read any further.
    pub(crate) fault: Option<Fault>,
}

/// The history of the only run in a folder whose id begins so.
pub(crate) fn history(folder: &Path, beginning: &Beginning) -> Result<Found, Trouble> {
    let (mut runs, mut entries, mut fault) = (BTreeSet::new(), Vec::new(), None);
    log::read(folder, |seen| {
        let run = RunId(seen.stream.0);
        if !beginning.fits(run) {
            return;
        }
        runs.insert(run);
        if runs.len() > 1 {
            entries = Vec::new();
        } else if fault.is_none() {
            match history::decode(seen) {
                Ok(entry) => entries.push(entry),
                Err(found) => fault = Some(found),
            }
        }
    })?;
    let run = beginning.only(folder, runs)?;
    Ok(Found { run, entries, fault })
}

/// The beginning of a run's id, or all of it.
#[derive(Clone)]
pub(crate) struct Beginning {
    /// Four bits each.
    digits: Vec<u8>,
}

impl Beginning {
    /// The only one of these runs that begins so.
    pub(crate) fn only(&self, folder: &Path, runs: impl IntoIterator<Item = RunId>) -> Result<RunId, Trouble> {
        let given = self.to_string();
        let fitting: Vec<RunId> = runs.into_iter().filter(|run| self.fits(*run)).collect();
        match fitting[..] {
            [run] => Ok(run),
            [] => Err(Trouble::UnknownRun { given, folder: folder.display().to_string() }),
            _ => {
                let mut examples = fitting.clone();
                examples.sort();
                examples.truncate(4);
                Err(Trouble::AmbiguousRun { given, examples, count: fitting.len() })
            }
        }
    }

    pub(crate) fn fits(&self, run: RunId) -> bool {
        let digit = |place: usize| run.0[place / 2] >> (4 * (1 - place % 2)) & 0x0f;
        self.digits.iter().enumerate().all(|(place, wanted)| digit(place) == *wanted)
    }
}

impl FromStr for Beginning {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Beginning, &'static str> {
        const EXPECTED: &str = "a run is given by its id, or the beginning of it: up to 32 hexadecimal digits";
        let digits = text.chars().filter(|character| *character != '-').map(|character| character.to_digit(16));
        let digits: Option<Vec<u8>> = digits.map(|digit| digit.and_then(|digit| u8::try_from(digit).ok())).collect();
        digits.filter(|digits| (1..=32).contains(&digits.len())).map(|digits| Beginning { digits }).ok_or(EXPECTED)
    }
}

impl fmt::Display for Beginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, digit) in self.digits.iter().enumerate() {
            if matches!(place, 8 | 12 | 16 | 20) {
                f.write_str("-")?;
            }
            write!(f, "{digit:x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_fits_the_ids_that_begin_with_it() {
        let run = RunId([0x01, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        let text = run.to_string();
        for end in 1..=text.len() {
            let beginning: Beginning = text[..end].to_uppercase().parse().unwrap();
            assert!(beginning.fits(run), "{}", &text[..end]);
        }
        for other in ["1", "02", "019abcdf", "019abcde-f001-0203-0405-060708090a0c"] {
            assert!(!other.parse::<Beginning>().unwrap().fits(run), "{other}");
        }
        assert_eq!(text.parse::<Beginning>().unwrap().to_string(), text);
    }

    #[test]
    fn what_cannot_begin_an_id_is_refused() {
        for bad in ["", "-", "xyz", "0 1", &"0".repeat(33)] {
            assert!(bad.parse::<Beginning>().is_err(), "{bad:?}");
        }
    }
}
