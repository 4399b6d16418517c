//! `rejoin import`: histories from JSON Lines.

use crate::error::Trouble;
use crate::log;
use crate::output::{Console, Meter};
use crate::wire::ImportView;
use clap::Args;
use rejoin::export::{Line, Reader};
use rejoin::{Projection, RunId};
use rejoin_store::disk::Folder;
use rejoin_store::journal::{Journal, Options, Progress, Upkeep};
use rejoin_store::{Chain, Failure, Log, NewRecord, OpenError, StreamId, Version};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FIELDS: &str = "\
The whole file is checked before anything is written: a line that was removed, swapped or changed is refused with its
number, its run and its version, and so is a history that the folder has in another form. An import that was interrupted
while it wrote is gone on with by giving the same file again; start no engine on the folder before that.

JSON: one object:
  records  how many records were imported
  skipped  how many the folder had already
  runs     how many runs the file has
Fields may be added.";

/// How much is appended at a time: records, and bytes of payload; and after how many bytes it is made durable.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
const COMMIT_BYTES: usize = 16 << 20;

/// Reads an export from stdin into a new or an existing data folder.
///
/// Records that the folder has already, with the same chain, are skipped. What is imported has the same states and the same
/// chains; the store keeps its own id, and records get new places in its log.
#[derive(Args)]
#[command(after_long_help = FIELDS)]
pub(crate) struct Import {
    /// The data folder, which is made if it is not there; no engine may have it open.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Prints JSON, for programs; --help lists the fields.
    #[arg(long)]
    json: bool,
}

/// How far a run reaches, in the file or in the folder.
#[derive(Clone, Copy)]
struct Reach {
    version: u64,
    chain: Chain,
    line: u64,
}

type Reaches = HashMap<RunId, Reach>;

impl Import {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let mut spool = tempfile::tempfile().map_err(Trouble::Spool)?;
        let given = check(io::stdin().lock(), &mut spool)?;
        let stood = stood(&self.folder, &given)?;
        hold_against(&mut spool, &stood)?;
        let done = write(&self.folder, &mut spool, &stood, given.len())?;
        if self.json {
            return console.json(&done);
        }
        console.line(format_args!("records  {}", done.records))?;
        console.line(format_args!("skipped  {}", done.skipped))?;
        console.line(format_args!("runs     {}", done.runs))
    }
}

/// Checks all lines, and keeps them.
fn check(lines: impl Read, spool: &mut File) -> Result<Reaches, Trouble> {
    let mut kept = BufWriter::new(spool);
    let mut reader = Reader::new(BufReader::new(Tee { from: lines, to: &mut kept }));
    let mut given = Reaches::new();
    while let Some(line) = reader.next() {
        let Line { run, version, chain, .. } = line?;
        given.insert(run, Reach { version, chain, line: reader.line() });
    }
    drop(reader);
    kept.flush().map_err(Trouble::Spool)?;
    Ok(given)
}

/// What is read, and written on.
struct Tee<R, W> {
    from: R,
    to: W,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.to.write_all(&buffer[..read])?;
        Ok(read)
    }
}

/// The lines again.
fn again(spool: &mut File) -> Result<Reader<BufReader<&mut File>>, Trouble> {
    spool.rewind().map_err(Trouble::Spool)?;
    Ok(Reader::new(BufReader::new(spool)))
}

/// How far the runs of the file reach in the folder; refused where one that goes as far there has another chain.
fn stood(folder: &Path, given: &Reaches) -> Result<Reaches, Trouble> {
    let mut stood = Reaches::new();
    if !folder.join("MANIFEST").exists() {
        return Ok(stood);
    }
    let mut conflict = None;
    log::read(folder, |seen| {
        let run = RunId(seen.stream.0);
        let Some(given) = given.get(&run) else { return };
        let version = seen.version.0;
        if version == given.version && seen.chain != given.chain {
            conflict.get_or_insert(Trouble::Conflict { line: given.line, run, version });
        }
        stood.insert(run, Reach { version, chain: seen.chain, line: 0 });
    })?;
    conflict.map_or(Ok(stood), Err)
}

/// Refuses lines that go on from another history than the folder has.
fn hold_against(spool: &mut File, stood: &Reaches) -> Result<(), Trouble> {
    if stood.is_empty() {
        return Ok(());
    }
    let mut reader = again(spool)?;
    while let Some(line) = reader.next() {
        let Line { run, version, chain, .. } = line?;
        if stood.get(&run).is_some_and(|stood| stood.version == version && stood.chain != chain) {
            return Err(Trouble::Conflict { line: reader.line(), run, version });
        }
    }
    Ok(())
}

fn write(folder: &Path, spool: &mut File, stood: &Reaches, runs: usize) -> Result<ImportView, Trouble> {
    let total = spool.metadata().map_err(Trouble::Spool)?.len();
    let unwritable = |source| OpenError::NotWritable { folder: folder.display().to_string(), source: Arc::new(source) };
    let disk = Folder::create(folder).map_err(unwritable)?;
    // The index is left as it is: behind the log, so that the next start adds what came.
    let options = Options { upkeep: Upkeep::Inline, fold: Arc::new(Projection), ..Options::default() };
    let journal = Journal::open(disk, options)?;
    let meter = Meter::new("of the file are imported");
    let mut out = Appending { journal: &journal, batch: Vec::new(), bytes: 0, uncommitted: 0, written: 0 };
    let (mut skipped, mut done) = (0, 0);
    for line in again(spool)? {
        let line = line?;
        done += 2 * line.payload.len() as u64;
        if stood.get(&line.run).is_some_and(|stood| line.version <= stood.version) {
            skipped += 1;
            continue;
        }
        out.take(line).map_err(|reason| out.interrupted(reason))?;
        meter.show(Progress { done: done.min(total), total });
    }
    out.flush(true).map_err(|reason| out.interrupted(reason))?;
    meter.finish();
    Ok(ImportView { records: out.written, skipped, runs })
}

/// Records on their way into the log.
struct Appending<'a> {
    journal: &'a Journal,
    batch: Vec<NewRecord>,
    bytes: usize,
    uncommitted: usize,
    written: u64,
}

impl Appending<'_> {
    fn take(&mut self, line: Line) -> Result<(), String> {
        let Line { run, version, time, format, payload, .. } = line;
        let stream = StreamId(run.0);
        let shard = |stream: StreamId| stream.shard(self.journal.shards());
        let other = self.batch.last().is_some_and(|last| shard(last.stream) != shard(stream));
        if other || self.batch.len() == BATCH || self.bytes + payload.len() > BATCH_BYTES {
            self.flush(false)?;
        }
        self.bytes += payload.len();
        self.batch.push(NewRecord { stream, expected: Version(version - 1), time, format, payload });
        Ok(())
    }

    fn flush(&mut self, last: bool) -> Result<(), String> {
        let words = |failure: Failure| failure.to_string();
        if !self.batch.is_empty() {
            self.journal.append(&self.batch).map_err(words)?.map_err(|conflict| conflict.to_string())?;
            self.written += self.batch.len() as u64;
            self.uncommitted += self.bytes;
            self.batch.clear();
            self.bytes = 0;
        }
        if last || self.uncommitted >= COMMIT_BYTES {
            self.journal.commit().map_err(words)?;
            self.uncommitted = 0;
        }
        Ok(())
    }

    fn interrupted(&self, reason: String) -> Trouble {
        Trouble::Interrupted { written: self.written, reason }
    }
}
