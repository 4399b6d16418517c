//! The command line of Rejoin.
//!
//! `reindex` makes the index again and `import` adds records. The others read the folder of a stopped process and change
//! nothing there: they start no engine and make no lock file that is not there already. Data goes to stdout, everything else to stderr.

#[expect(dead_code, reason = "registered by the project that declares them, which is not read yet")]
mod agents;
mod cli;
#[expect(dead_code, reason = "opened for agents that are programs")]
mod endpoint;
mod error;
mod find;
mod heads;
mod history;
mod index;
mod live;
mod log;
mod models;
mod output;
mod project;
mod stands;
mod wire;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
