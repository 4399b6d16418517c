//! Histories as JSON Lines: what a log holds, for people, other programs and other folders.
//!
//! The first line says what the file is; each line after it is one record; the last one says how many there were, so that a
//! file that was cut off shows. A record has the exact bytes that the log has (`payload`, in hexadecimal digits) and its
//! link of the run's hash chain. `events` says the same for reading, and is not read back.
//!
//! ```text
//! {"rejoin":"export","format":1}
//! {"run":"0199...","version":1,"time":1767225600000000,"events":["Triggered","Started"],"format":1,"chain":"..","payload":".."}
//! {"end":true,"records":1}
//! ```
//!
//! [`Reader`] takes such a file line by line and refuses, by line, run and version, whatever does not follow: a line that was
//! removed, swapped or changed breaks the versions or the chain of its run, and what could not have happened is not taken
//! either. The records of a run stand in their order, from the first one on; those of several runs may be mixed.
//!
//! ```
//! use rejoin::export::{Reader, Writer};
//!
//! let mut file = Vec::new();
//! Writer::new(&mut file)?.finish()?;
//! assert_eq!(Reader::new(&file[..]).count(), 0); // no records, and no complaint
//! assert!(Reader::new(&file[..file.len() / 2]).next().expect("a complaint").is_err());
//! # Ok::<(), std::io::Error>(())
//! ```

use crate::codec::{self, CodecError};
use crate::history::Entry;
use rejoin_machine::{Event, Run, RunId, Status, Timestamp};
use rejoin_store::{Chain, GENESIS, StreamId, Version, link};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};
use thiserror::Error;

/// The version of the lines.
const FORMAT: u32 = 1;

/// The longest line in bytes: the largest record in digits, and room for what is said beside it.
pub const LONGEST_LINE: usize = 256 << 20;

/// A record of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The run.
    pub run: RunId,
    /// Its number in the run, from 1.
    pub version: u64,
    /// When it happened, in microseconds since 1970.
    pub time: i64,
    /// What the payload is encoded as: see [`codec::TRANSITION`].
    pub format: u16,
    /// The run's hash chain up to and including this record.
    pub chain: Chain,
    /// The content, as the log has it.
    pub payload: Vec<u8>,
}

/// What is wrong with a file of lines, and where.
#[derive(Debug, Error)]
#[error("line {line}{}: {problem}", place(self))]
pub struct BadLine {
    /// The number of the line, from 1.
    pub line: u64,
    /// The run that it is about, where that can be told.
    pub run: Option<RunId>,
    /// The record of the run.
    pub version: Option<u64>,
    /// What is wrong.
    pub problem: Problem,
}

fn place(bad: &BadLine) -> String {
    let run = bad.run.map(|run| format!(", run {run}")).unwrap_or_default();
    run + &bad.version.map(|version| format!(", version {version}")).unwrap_or_default()
}

/// What is wrong with a line.
#[derive(Debug, Error)]
pub enum Problem {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is longer than any line that an export writes.
    #[error("it is longer than {LONGEST_LINE} bytes; no export writes such a line")]
    TooLong,
    /// The file does not begin as an export does.
    #[error(
        "it should be the head of an export, {{\"rejoin\":\"export\",\"format\":1}}; give a file that `rejoin export` wrote"
    )]
    NoHead,
    /// The file is of a newer format.
    #[error("the file has format {0}, and this program reads up to {FORMAT}; use a newer rejoin")]
    Newer(u32),
    /// It is no record.
    #[error("it is no record of an export: {0}")]
    NoRecord(String),
    /// The records of a run do not follow each other.
    #[error("version {expected} of the run should stand here; a line was removed, repeated or moved")]
    OutOfOrder {
        /// The version that comes next.
        expected: u64,
    },
    /// It does not follow from the records before it.
    #[error("it breaks the run's hash chain: this line, or one of the run before it, was changed")]
    Chain,
    /// Its content cannot be read.
    #[error("{0}")]
    Payload(#[from] CodecError),
    /// It cannot have happened.
    #[error("it cannot have happened: {0}")]
    Impossible(String),
    /// The file ends early.
    #[error("the file ends here, without the line that says how many records it has: its end was cut off")]
    CutOff,
    /// The file has more or fewer records than its last line says.
    #[error("the last line says that there are {said} records, and there are {found}: lines were removed or added")]
    Count {
        /// What it says.
        said: u64,
        /// How many there are.
        found: u64,
    },
    /// Something stands behind the last line.
    #[error("it stands behind the end of the export")]
    BehindTheEnd,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    rejoin: String,
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    end: bool,
    records: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<E, T> {
    run: T,
    version: u64,
    time: i64,
    events: E,
    format: u16,
    chain: T,
    payload: T,
}

/// Writes an export.
pub struct Writer<W> {
    out: W,
    records: u64,
}

impl<W: Write> Writer<W> {
    /// Begins the file.
    ///
    /// # Errors
    ///
    /// What writing to `out` says; as with all calls.
    pub fn new(mut out: W) -> io::Result<Writer<W>> {
        write_json(&mut out, &Head { rejoin: "export".to_owned(), format: FORMAT })?;
        Ok(Writer { out, records: 0 })
    }

    /// Writes a record; `events` says for reading what happened, in whatever form is of use.
    ///
    /// # Errors
    ///
    /// What writing says.
    pub fn record(&mut self, line: &Line, events: &impl Serialize) -> io::Result<()> {
        let Line { run, version, time, format, chain, payload } = line;
        let (run, chain, payload) = (run.to_string(), hex(chain), hex(payload));
        let raw = Raw { run, version: *version, time: *time, events, format: *format, chain, payload };
        write_json(&mut self.out, &raw)?;
        self.records += 1;
        Ok(())
    }

    /// Ends the file: without its last line it counts as cut off.
    ///
    /// # Errors
    ///
    /// What writing says.
    pub fn finish(mut self) -> io::Result<W> {
        write_json(&mut self.out, &End { end: true, records: self.records })?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn write_json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Reads an export, and ends with the first line that does not follow from those before it.
///
/// What it has shown is a whole export only if no error came. In memory it keeps one line, and how each run stands.
pub struct Reader<R> {
    lines: R,
    line: u64,
    records: u64,
    runs: HashMap<RunId, Stand>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Records,
    Ended,
    Over,
}

/// How a run stands.
struct Stand {
    version: u64,
    chain: Chain,
    /// `None`: it has ended, and nothing can happen to it any more.
    run: Option<Box<Run>>,
}

impl<R: BufRead> Reader<R> {
    /// Reads from `lines`, which may be any bytes.
    pub fn new(lines: R) -> Reader<R> {
        Reader { lines, line: 0, records: 0, runs: HashMap::new(), state: State::Head }
    }

    /// The number of the line that was read last.
    pub fn line(&self) -> u64 {
        self.line
    }

    fn bad(&self, problem: impl Into<Problem>) -> BadLine {
        BadLine { line: self.line, run: None, version: None, problem: problem.into() }
    }

    /// The bytes of the next line; `None` at the end of the file.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, BadLine> {
        let mut bytes = Vec::new();
        self.line += 1;
        let most = LONGEST_LINE as u64 + 1;
        let read = (&mut self.lines).take(most).read_until(b'\n', &mut bytes);
        match read {
            Err(error) => Err(self.bad(error)),
            Ok(_) if bytes.len() as u64 == most => Err(self.bad(Problem::TooLong)),
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(bytes)),
        }
    }

    fn advance(&mut self) -> Result<Option<Line>, BadLine> {
        if self.state == State::Head {
            let bytes = self.next_line()?.unwrap_or_default();
            match serde_json::from_slice::<Head>(&bytes) {
                Ok(Head { rejoin, format }) if rejoin == "export" && format == FORMAT => self.state = State::Records,
                Ok(Head { rejoin, format }) if rejoin == "export" && format > FORMAT => {
                    return Err(self.bad(Problem::Newer(format)));
                }
                Ok(_) | Err(_) => return Err(self.bad(Problem::NoHead)),
            }
        }
        let Some(bytes) = self.next_line()? else {
            let over = if self.state == State::Ended { Ok(None) } else { Err(self.bad(Problem::CutOff)) };
            self.state = State::Over;
            return over;
        };
        if self.state == State::Ended {
            return Err(self.bad(Problem::BehindTheEnd));
        }
        if let Ok(End { end: true, records: said }) = serde_json::from_slice(&bytes) {
            let found = self.records;
            self.state = State::Ended;
            return if said == found { self.advance() } else { Err(self.bad(Problem::Count { said, found })) };
        }
        let line = Line::parse(&bytes).map_err(|reason| self.bad(Problem::NoRecord(reason)))?;
        let (run, version) = (Some(line.run), Some(line.version));
        self.follow(&line).map_err(|problem| BadLine { line: self.line, run, version, problem })?;
        self.records += 1;
        Ok(Some(line))
    }

    /// Holds a record against those of its run before it.
    fn follow(&mut self, line: &Line) -> Result<(), Problem> {
        let Line { run: id, version, time, format, chain, payload } = line;
        let (stood, before) = self.runs.get(id).map_or((0, GENESIS), |stand| (stand.version, stand.chain));
        if Some(*version) != stood.checked_add(1) {
            return Err(Problem::OutOfOrder { expected: stood.saturating_add(1) });
        }
        if link(&before, StreamId(id.0), Version(*version), *time, *format, payload) != *chain {
            return Err(Problem::Chain);
        }
        let transition = codec::decode(*format, payload)?;
        let entry = Entry { version: *version, time: Timestamp(*time), transition };
        let run = match self.runs.remove(id) {
            Some(Stand { run: None, .. }) => return Err(Problem::Impossible("the run has ended".to_owned())),
            Some(Stand { run, .. }) => run,
            None => None,
        };
        let run = happened(*id, run, &entry).map_err(Problem::Impossible)?;
        let run = Some(run).filter(|run| !matches!(run.status(), Status::Closed(_)));
        self.runs.insert(*id, Stand { version: *version, chain: *chain, run });
        Ok(())
    }
}

/// A run after one more record.
fn happened(id: RunId, mut run: Option<Box<Run>>, entry: &Entry) -> Result<Box<Run>, String> {
    for event in &entry.transition.events {
        match &mut run {
            Some(run) => run.apply(event, entry.time).map_err(|error| error.to_string())?,
            None if matches!(event, Event::Triggered(_)) => {
                let begun = Run::begin(id, event, entry.time).map_err(|error| error.to_string())?;
                run = Some(Box::new(begun));
            }
            None => return Err(format!("{} cannot happen to a run that is not triggered", event.name())),
        }
    }
    run.ok_or_else(|| "it should trigger the run, and has no event".to_owned())
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Line, BadLine>;

    fn next(&mut self) -> Option<Result<Line, BadLine>> {
        if self.state == State::Over {
            return None;
        }
        let next = self.advance();
        if next.is_err() {
            self.state = State::Over;
        }
        next.transpose()
    }
}

impl Line {
    /// Reads a record from its line. That it follows from others is for [`Reader`] to check.
    ///
    /// # Errors
    ///
    /// Why it is no record.
    pub fn parse(line: &[u8]) -> Result<Line, String> {
        let raw: Raw<IgnoredAny, std::borrow::Cow<'_, str>> =
            serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let Raw { run, version, time, events: _, format, chain, payload } = raw;
        let run = run.parse().map_err(str::to_owned)?;
        let chain = unhex(&chain).and_then(|chain| chain.try_into().ok());
        let chain = chain.ok_or("its chain is not 64 hexadecimal digits")?;
        let payload = unhex(&payload).ok_or("its payload is not in pairs of hexadecimal digits")?;
        Ok(Line { run, version, time, format, chain, payload })
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 0x0f)]));
    }
    text
}

/// The bytes that hexadecimal digits stand for; `None` if they are not pairs of such.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_machine::{Origin, Payload, Target, Transition, Trigger};

    fn line(before: Option<&Line>, run: u8, events: Vec<Event>) -> Line {
        let payload = codec::encode(&Transition { events, ..Transition::default() }).expect("a transition");
        let (version, chain) = before.map_or((1, GENESIS), |line| (line.version + 1, line.chain));
        let chain = link(&chain, StreamId([run; 16]), Version(version), 7, 1, &payload);
        Line { run: RunId([run; 16]), version, time: 7, format: 1, chain, payload }
    }

    /// The records of two runs, mixed.
    fn lines() -> Vec<Line> {
        let trigger = Trigger {
            project: "default".to_owned(),
            target: Target { name: "report".to_owned(), version: 1 },
            input: Payload::from(&b"21"[..]),
            origin: Origin::Api,
            key: None,
            parent: None,
            depth: 0,
            path: Vec::new(),
            deadline: None,
            labels: Vec::new(),
            seed: 0,
        };
        let triggered = || Event::Triggered(Box::new(trigger.clone()));
        let (one, two) = (line(None, 1, vec![triggered()]), line(None, 2, vec![triggered(), Event::Started]));
        let started = line(Some(&one), 1, vec![Event::Started]);
        let ended = line(Some(&started), 1, vec![Event::Completed { output: Payload::from(vec![0xff]) }]);
        vec![one, two, started, ended]
    }

    fn written(lines: &[Line]) -> String {
        let mut writer = Writer::new(Vec::new()).expect("memory");
        lines.iter().for_each(|line| writer.record(line, &["for reading"]).expect("memory"));
        String::from_utf8(writer.finish().expect("memory")).expect("text")
    }

    fn read(text: &str) -> Result<Vec<Line>, String> {
        Reader::new(text.as_bytes()).collect::<Result<_, _>>().map_err(|bad: BadLine| bad.to_string())
    }

    #[track_caller]
    fn refused(text: &str, parts: &[&str]) {
        let said = read(text).expect_err("a complaint");
        parts.iter().for_each(|part| assert!(said.contains(part), "{part:?} is not in {said:?}"));
    }

    #[test]
    fn spec_a11_what_is_written_reads_back_byte_by_byte() {
        assert_eq!(read(&written(&lines())).expect("a good file"), lines());
        assert_eq!(written(&read(&written(&lines())).expect("a good file")), written(&lines()));
    }

    #[test]
    fn spec_a11_a_line_that_is_removed_swapped_or_repeated_is_named() {
        let text = written(&lines());
        let rows: Vec<&str> = text.lines().collect();
        let with = |order: &[usize]| order.iter().map(|row| rows[*row].to_owned() + "\n").collect::<String>();
        let run = RunId([1; 16]).to_string();
        refused(&with(&[0, 1, 2, 4, 5]), &["line 4, run ", &run, "version 3: version 2 of the run should stand here"]);
        refused(&with(&[0, 1, 2, 4, 3, 5]), &["line 4", &run, "removed, repeated or moved"]);
        refused(&with(&[0, 1, 1, 2, 3, 4, 5]), &["line 3", &run, "version 2 of the run should"]);
        refused(&with(&[0, 1, 2, 3, 5]), &["line 5: the last line says that there are 4 records, and there are 3"]);
        refused(&with(&[0, 1, 2, 3, 4]), &["line 6: the file ends here"]);
        refused(&with(&[0, 1, 2, 3, 4, 5, 5]), &["line 7: it stands behind the end"]);
        refused(&with(&[1, 2, 3, 4, 5]), &["line 1: it should be the head"]);
        assert!(read(&with(&[0, 2, 1, 3, 4, 5])).is_ok(), "runs may be mixed in any way");
    }

    #[test]
    fn spec_a11_every_changed_character_of_a_record_shows() {
        let text = written(&lines());
        let begin = text.find("\"run\"").expect("a record");
        let end = begin + text[begin..].find('\n').expect("its end");
        let reading = text[begin..end].find("\"for reading\"").expect("events") + begin;
        for at in (begin..end).filter(|at| !(reading..reading + 13).contains(at)) {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
            let changed = String::from_utf8(changed).expect("text");
            assert!(read(&changed).is_err(), "character {at}: {}", &changed[begin..end]);
        }
    }

    #[test]
    fn what_cannot_have_happened_or_is_of_another_format_is_refused() {
        let mut all = lines();
        all.push(line(Some(&all[3]), 1, vec![Event::Unwedged]));
        refused(&written(&all), &["line 6", "version 4: it cannot have happened: the run has ended"]);
        refused(&written(&[line(None, 3, vec![Event::Started])]), &["line 2", "not triggered"]);
        refused(&written(&[line(None, 3, Vec::new())]), &["line 2", "has no event"]);
        let payload = vec![1, 2, 3];
        let chain = link(&GENESIS, StreamId([3; 16]), Version(1), 7, 9, &payload);
        let odd = Line { run: RunId([3; 16]), version: 1, time: 7, format: 9, chain, payload };
        refused(&written(&[odd]), &["line 2", "format 9 is not known"]);
        refused("{\"rejoin\":\"export\",\"format\":2}\n", &["line 1", "format 2", "newer rejoin"]);
        refused("{\"rejoin\":\"export\",\"format\":1}\n{\"run\":1}\n", &["line 2: it is no record of an export"]);
        refused("", &["line 1"]);
    }

    #[test]
    fn digits_read_back() {
        assert_eq!(unhex(&hex(&[0, 0x9a, 0xff])), Some(vec![0, 0x9a, 0xff]));
        assert_eq!((unhex("0"), unhex("0x"), unhex("+1"), unhex("é")), (None, None, None, None));
    }
}
