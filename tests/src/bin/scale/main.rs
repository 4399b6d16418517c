//! What grows and what must not: many runs that wait, many that have ended.
//!
//! ```text
//! cargo run --release -p rejoin-tests --bin scale -- suspended [--runs 1000000] [--index sled] [--folder DIR]
//! cargo run --release -p rejoin-tests --bin scale -- finished  [--runs 5000000] [--index sled] [--folder DIR]
//! ```
//!
//! `suspended` lets runs wait for a signal, kills their process, and starts again with the index as it was left and without
//! it. `finished` compares five-step runs in an empty store with the same in one that is full of runs that have ended.

mod finished;
mod suspended;

use clap::{Parser, Subcommand, ValueEnum};
use rejoin::{Builder, IndexKind};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

/// As other allocators than glibc's are what a program under load should have.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures what grows with the number of runs, and what must not
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// How many runs wait, or have ended.
    #[arg(long, global = true)]
    runs: Option<u32>,
    /// The library of the index.
    #[arg(long, value_enum, default_value = "sled", global = true)]
    index: Index,
    /// Where the data folder is made, and removed again.
    #[arg(long, default_value = ".", global = true)]
    folder: PathBuf,
}

#[derive(Subcommand, Clone, Copy)]
enum What {
    /// Runs that wait for a signal, over a kill.
    Suspended,
    /// Runs that have ended, beside runs that work.
    Finished,
    /// Lets runs wait, and waits to be killed.
    #[command(hide = true)]
    Wait,
    /// Starts again.
    #[command(hide = true)]
    Resume,
}

#[derive(Clone, Copy, ValueEnum)]
enum Index {
    Sled,
    Fjall,
    Memory,
}

impl Index {
    fn of(self, builder: Builder) -> Builder {
        builder.index(match self {
            Index::Sled => IndexKind::Sled,
            Index::Fjall => IndexKind::Fjall,
            Index::Memory => IndexKind::Memory,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Index::Sled => "sled",
            Index::Fjall => "fjall",
            Index::Memory => "memory",
        }
    }
}

/// A line of `/proc/self/status` in MB: `VmRSS` is what the process has now, `VmHWM` the most that it had.
fn memory(line: &str) -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let found = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
    let kilobytes = found.and_then(|found| found.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kilobytes.unwrap_or(0) / 1024)
}

/// What the process has used of the CPU, and has written to disks.
fn used() -> io::Result<(Duration, u64)> {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = Duration::new(cpu.tv_sec.unsigned_abs(), u32::try_from(cpu.tv_nsec).unwrap_or(0));
    let io = std::fs::read_to_string("/proc/self/io")?;
    let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok());
    Ok((cpu, written.unwrap_or(0)))
}

/// This program again, as another process.
fn again(arguments: &Arguments, what: &str, data: &Path) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    let runs = arguments.runs.unwrap_or(0).to_string();
    command.args([what, "--runs", &runs, "--index", arguments.index.name(), "--folder"]).arg(data);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// Shows what a process says until it says `end`, then kills it; or until it ends.
fn watch(mut child: Child, end: Option<&str>) -> io::Result<()> {
    let mut said = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
    let mut line = String::new();
    while said.read_line(&mut line)? > 0 {
        if end == Some(line.trim_end()) {
            break;
        }
        print!("{line}");
        line.clear();
    }
    if end.is_some() {
        child.kill()?;
    }
    io::copy(&mut said.by_ref(), &mut io::sink())?;
    let status = child.wait()?;
    if end.is_none() && !status.success() { Err(io::Error::other(format!("a part failed: {status}"))) } else { Ok(()) }
}

fn run(arguments: &Arguments) -> rejoin::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match arguments.what {
        What::Wait => runtime.block_on(suspended::wait(arguments)),
        What::Resume => runtime.block_on(suspended::resume(arguments)),
        What::Suspended => Ok(suspended::measure(arguments)?),
        What::Finished => runtime.block_on(finished::measure(arguments)),
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
