//! Histories in files, so that tomorrow's code can be held against what yesterday's recorded.

use super::{Ledger, replay};
use crate::codec;
use crate::engine::{Builder, RunHandle};
use crate::error::RunError;
use crate::history::Entry;
use rejoin_machine::{Run, RunId, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The history of a run, to be kept and replayed.
///
/// In a file it is JSON Lines: first the run, then its records, each with the names of its events, for readers, and its
/// exact bytes, for the replay.
///
/// ```
/// use rejoin::testkit::{History, RunTest};
/// use rejoin::{Context, Engine, Failure, Workflow, time::days};
///
/// const NAP: Workflow<u64, ()> = Workflow::named("nap");
/// async fn nap(ctx: Context, length: u64) -> Result<(), Failure> {
///     ctx.sleep(days(length)).await
/// }
///
/// let app = || Engine::open("simulated").workflow(&NAP, nap);
/// let history = RunTest::new(move |_| app(), &NAP, 30).run().history;
/// # let folder = std::env::temp_dir().join(format!("rejoin-history-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let file = folder.join("nap.jsonl");
/// history.save(&file)?;
/// History::load(&file)?.replay(app())?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The run.
    pub run: RunId,
    /// Its records.
    pub entries: Vec<Entry>,
}

/// A history cannot be used.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A record is too large to be encoded.
    #[error("record {version} cannot be encoded: {reason}")]
    Record {
        /// Its number in the run.
        version: u64,
        /// Why not.
        reason: String,
    },
    /// The handlers ask for something else than the history says they asked for.
    #[error("{0}")]
    Diverged(String),
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct Head {
    run: String,
}

/// Every other line.
#[derive(Serialize, Deserialize)]
struct Line {
    version: u64,
    time: i64,
    events: Vec<String>,
    format: u16,
    record: String,
}

impl History {
    /// The history of a run of any engine.
    ///
    /// # Errors
    ///
    /// As [`RunHandle::history`].
    pub fn of<O>(run: &RunHandle<O>) -> Result<History, RunError> {
        Ok(History { run: run.id(), entries: run.history()? })
    }

    /// Writes it to a file.
    ///
    /// # Errors
    ///
    /// [`HistoryError::File`] if that cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), HistoryError> {
        let mut text = line(&Head { run: self.run.to_string() });
        for Entry { version, time, transition } in &self.entries {
            let bytes = codec::encode(transition)
                .map_err(|error| HistoryError::Record { version: *version, reason: error.to_string() })?;
            let events = transition.events.iter().map(|event| event.name().to_owned()).collect();
            let (format, record) = (codec::TRANSITION, to_hex(&bytes));
            text += &line(&Line { version: *version, time: time.0, events, format, record });
        }
        std::fs::write(path.as_ref(), text).map_err(in_file(path.as_ref()))
    }

    /// Reads it from a file.
    ///
    /// # Errors
    ///
    /// [`HistoryError`]: the file, or the line, and what is wrong with it.
    pub fn load(path: impl AsRef<Path>) -> Result<History, HistoryError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(in_file(path))?;
        let wrong =
            |index: usize, reason: String| HistoryError::Line { path: path.to_owned(), line: index + 1, reason };
        let mut lines = text.lines().enumerate();
        let (index, first) = lines.next().ok_or_else(|| wrong(0, "the file is empty".to_owned()))?;
        let head: Head = serde_json::from_str(first).map_err(|error| wrong(index, error.to_string()))?;
        let run = head.run.parse().map_err(|reason: &str| wrong(index, reason.to_owned()))?;
        let entry = |(index, text)| {
            let line: Line = serde_json::from_str(text).map_err(|error| wrong(index, error.to_string()))?;
            let bytes =
                from_hex(&line.record).ok_or_else(|| wrong(index, "the record is not hexadecimal".to_owned()))?;
            let transition = codec::decode(line.format, &bytes).map_err(|error| wrong(index, error.to_string()))?;
            Ok(Entry { version: line.version, time: Timestamp(line.time), transition })
        };
        Ok(History { run, entries: lines.map(entry).collect::<Result<_, HistoryError>>()? })
    }

    /// Replays it against the handlers of `builder`, without executing a step; the run's state at its end.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Diverged`]: where they part, what the history has, what the handler asks for.
    pub fn replay(&self, builder: Builder) -> Result<Run, HistoryError> {
        replay(builder, self.run, &self.entries).map_err(HistoryError::Diverged)
    }
}

/// Replays every history (`*.jsonl`) of a folder; returns how many there are. Kept for ever and only added to, they hold
/// each change of the code to the runs that began before it.
///
/// ```no_run
/// # fn app(_: &rejoin::testkit::Ledger) -> rejoin::Builder { rejoin::Engine::open("simulated") }
/// #[test]
/// fn todays_code_fits_the_histories_of_yesterday() {
///     rejoin::testkit::golden("tests/histories", app);
/// }
/// ```
///
/// # Panics
///
/// If one cannot be read or diverges, with all that do; and if there is none.
#[track_caller]
pub fn golden(folder: impl AsRef<Path>, app: impl Fn(&Ledger) -> Builder) -> usize {
    let folder = folder.as_ref();
    let files = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>());
    let mut files = files.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    assert!(!files.is_empty(), "{}: there is no history (*.jsonl) in it", folder.display());
    let trouble = |path: &PathBuf| {
        let replayed = History::load(path).and_then(|history| history.replay(app(&Ledger::new())));
        replayed.err().map(|error| match error {
            HistoryError::Diverged(reason) => format!("{}: {reason}", path.display()),
            other => other.to_string(),
        })
    };
    let troubles: Vec<String> = files.iter().filter_map(trouble).collect();
    assert!(
        troubles.is_empty(),
        "{} of {} histories do not fit the handlers; keep the old way beside the new one with ctx.patched(..), or \
         register the change as another version\n  {}",
        troubles.len(),
        files.len(),
        troubles.join("\n  "),
    );
    files.len()
}

fn in_file(path: &Path) -> impl FnOnce(std::io::Error) -> HistoryError {
    move |source| HistoryError::File { path: path.to_owned(), source }
}

fn line<T: Serialize>(value: &T) -> String {
    // Structs of numbers and strings always are JSON.
    serde_json::to_string(value).unwrap_or_default() + "\n"
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some((digit(high)? << 4 | digit(low)?) as u8),
        _ => None,
    };
    text.as_bytes().chunks(2).map(byte).collect()
}
