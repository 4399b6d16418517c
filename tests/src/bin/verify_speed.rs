//! How long `rejoin verify` takes, beside reading and hashing the same bytes with BLAKE3 on one core.
//!
//! ```text
//! cargo build --release -p rejoin-api -p rejoin-tests --bins
//! mkdir w1 && target/release/load --one w1 --runs 80000 --folder w1       # a million events
//! target/release/verify_speed w1/data
//! ```
//!
//! Both are done in turn, each a few times, over files that the operating system has in memory; the fastest counts. The
//! command is taken from beside this program. Its index is checked too where there is one; remove the folder `index` of a
//! copy to see the log alone.

use clap::Parser;
use rejoin_store::disk::Folder;
use rejoin_store::journal::{Seen, audit};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Times the verification of a data folder beside the hashing of its log.
#[derive(Parser)]
struct Arguments {
    /// The data folder; no engine may have it open.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// How often each is done.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> io::Result<()> {
    let (mut hashed, mut each, mut followed, mut verified) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut bytes = 0;
    let payloads = payloads(&arguments.folder)?;
    for _ in 0..arguments.rounds.max(1) {
        hashed.push(timed(|| hash(&arguments.folder).map(|length| bytes = length))?);
        each.push(timed(|| hash_each(&arguments.folder, &payloads))?);
        followed.push(timed(|| follow(&arguments.folder))?);
        verified.push(timed(|| verify(&arguments.folder))?);
    }
    let least = |times: &[Duration]| times.iter().min().copied().unwrap_or_default().as_secs_f64();
    let (hashed, each, followed, verified) = (least(&hashed), least(&each), least(&followed), least(&verified));
    let ratio =
        |time: f64| format!("{:.0} ms, ratio {:.2}, {:.2} to record by record", time * 1e3, time / hashed, time / each);
    println!("bytes of the log           {bytes}");
    println!("read and hash, one core    {:.0} ms", hashed * 1e3);
    println!("record by record           {:.0} ms, {} records", each * 1e3, payloads.len());
    println!("checksums and chains only  {}", ratio(followed));
    println!("rejoin verify              {}", ratio(verified));
    Ok(())
}

fn timed(action: impl FnOnce() -> io::Result<()>) -> io::Result<Duration> {
    let began = Instant::now();
    action()?;
    Ok(began.elapsed())
}

/// Reads and hashes all segments.
fn hash(folder: &Path) -> io::Result<u64> {
    let mut hasher = blake3::Hasher::new();
    let length = read(folder, |bytes| {
        hasher.update(bytes);
    })?;
    std::hint::black_box(hasher.finalize());
    Ok(length)
}

/// Reads all segments; how many bytes they have.
fn read(folder: &Path, mut take: impl FnMut(&[u8])) -> io::Result<u64> {
    let (mut length, mut buffer) = (0, vec![0; 1 << 20]);
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "seg") {
            continue;
        }
        let mut file = File::open(path)?;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            take(&buffer[..read]);
            length += read as u64;
        }
    }
    Ok(length)
}

/// Reads all segments, and hashes the content of each record by itself, as its chain does.
fn hash_each(folder: &Path, payloads: &[Vec<u8>]) -> io::Result<()> {
    read(folder, |_| {})?;
    for payload in payloads {
        std::hint::black_box(blake3::hash(payload));
    }
    Ok(())
}

fn payloads(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut payloads = Vec::new();
    let mut parts = [|seen: &Seen<'_>| payloads.push(seen.payload.to_vec())];
    audit(&Folder::existing(folder)?, &mut parts[..], |_| {}).map_err(io::Error::other)?;
    Ok(payloads)
}

/// What the store itself checks, without what records mean.
fn follow(folder: &Path) -> io::Result<()> {
    let mut parts: [fn(&Seen<'_>); 2] = [|_| {}, |_| {}];
    audit(&Folder::existing(folder)?, &mut parts[..], |_| {}).map(drop).map_err(io::Error::other)
}

fn verify(folder: &Path) -> io::Result<()> {
    let command = std::env::current_exe()?.with_file_name("rejoin");
    let done = Command::new(command).arg("verify").arg(folder).stdout(Stdio::null()).status()?;
    if done.success() { Ok(()) } else { Err(io::Error::other("rejoin verify found something wrong, or did not start")) }
}
