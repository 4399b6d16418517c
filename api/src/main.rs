//! The command line of Rejoin.
//!
//! `reindex` makes the index again and `import` adds records. The others read the folder of a stopped process and change
//! nothing there: they start no engine and make no lock file that is not there already. Data goes to stdout, everything else to stderr.

mod agents;
mod chat;
mod cli;
mod endpoint;
mod error;
mod find;
mod graph;
mod heads;
mod history;
mod host;
mod index;
mod live;
mod log;
mod output;
mod outside;
mod play;
mod project;
mod stands;
mod wire;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
