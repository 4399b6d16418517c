//! The command line of Rejoin.
//!
//! `reindex` makes the index again. `verify`, `runs` and `events` read the log of a stopped process and nothing else: no index, no engine, no lock file
//! that is not there already. Data goes to stdout, everything else to stderr.

mod cli;
mod error;
mod history;
mod log;
mod output;
mod wire;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
