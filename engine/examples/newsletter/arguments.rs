//! The command line, read by hand: it is short.

use rejoin::time::seconds;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
usage: newsletter [CSV] [options]

  CSV                      the figures (the ones beside the example)
  --data DIR               where the engine keeps its log (rejoin-data/newsletter)
  --out FILE               where the newsletter goes (newsletter.md)
  --ledger FILE            where each step leaves a line (steps.ledger)
  --review-after SECONDS   when the review is sent; 0 is before anybody asks for it (1)
  --die-at N               kill the process right after its N-th commit
  --help                   show this

Started again with the same CSV and options, it goes on where it was.
";

/// What the command line asks for.
#[derive(Debug)]
pub struct Arguments {
    pub csv: PathBuf,
    pub data: PathBuf,
    pub out: PathBuf,
    pub ledger: PathBuf,
    pub review_after: Duration,
    pub die_at: Option<u64>,
}

/// Why there is nothing to do.
#[derive(Debug)]
pub enum Stop {
    Help,
    Wrong(String),
}

impl Arguments {
    pub fn parse(given: impl IntoIterator<Item = OsString>) -> Result<Arguments, Stop> {
        let mut arguments = Arguments {
            csv: concat!(env!("CARGO_MANIFEST_DIR"), "/examples/newsletter/engagement.csv").into(),
            data: "rejoin-data/newsletter".into(),
            out: "newsletter.md".into(),
            ledger: "steps.ledger".into(),
            review_after: seconds(1),
            die_at: None,
        };
        let mut csv = None;
        let mut given = given.into_iter();
        while let Some(argument) = given.next() {
            let text = argument.to_string_lossy();
            let mut value = || given.next().ok_or_else(|| Stop::Wrong(format!("{text} needs a value")));
            match &*text {
                "--help" | "-h" => return Err(Stop::Help),
                "--data" => arguments.data = value()?.into(),
                "--out" => arguments.out = value()?.into(),
                "--ledger" => arguments.ledger = value()?.into(),
                "--review-after" => arguments.review_after = duration(&value()?)?,
                "--die-at" => arguments.die_at = Some(commit(&value()?)?),
                option if option.starts_with('-') => return Err(Stop::Wrong(format!("there is no option {option}"))),
                _ if csv.is_some() => return Err(Stop::Wrong(format!("one CSV is enough; what is {text}?"))),
                _ => csv = Some(PathBuf::from(&argument)),
            }
        }
        arguments.csv = csv.unwrap_or(arguments.csv);
        Ok(arguments)
    }
}

fn duration(value: &OsString) -> Result<Duration, Stop> {
    let text = value.to_string_lossy();
    let wrong = || Stop::Wrong(format!("--review-after takes a number of seconds, not {text:?}"));
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

fn commit(value: &OsString) -> Result<u64, Stop> {
    let text = value.to_string_lossy();
    let number: u64 = text.parse().unwrap_or(0);
    if number == 0 { Err(Stop::Wrong(format!("--die-at takes a number from 1 on, not {text:?}"))) } else { Ok(number) }
}
