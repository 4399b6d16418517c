//! The load tool: what the bare log can do on this disk, and how near the journal and the engine come to it.
//!
//! ```text
//! cargo run --release -p rejoin-tests --bin load [-- --scale S] [--only w1,w2] [--index sled,fjall] [--json FILE]
//! ```
//!
//! It measures and judges nothing but speed: a missed goal is marked, and is no failure. A wrong result, a lost run or one
//! that came twice is one. Every measurement has a process of its own, so that its memory and CPU are its own too.

mod arguments;
mod bare;
mod campaign;
mod client;
mod described;
mod error;
mod figures;
mod goals;
mod index;
mod log;
mod meter;
mod one;
mod plan;
mod process;
mod quiet;
mod recording;
mod recovery;
mod report;
mod table;
mod throughput;
mod timers;
mod workflows;

use arguments::Arguments;
use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.one.part {
        Some(part) => one::measure(part, &arguments),
        None => campaign::run(&arguments),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
