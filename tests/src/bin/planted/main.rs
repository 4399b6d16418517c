//! Planted bugs: each is a small patch in `tests/planted`, applied to a copy of the sources, which must then be found out.
//!
//! ```sh
//! cargo run --release -p rejoin-tests --bin planted                       # all of them, as a table
//! cargo run --release -p rejoin-tests --bin planted -- wake-twice         # those whose names contain this
//! cargo run --release -p rejoin-tests --bin planted -- --check            # only whether they still apply
//! cargo run --release -p rejoin-tests --bin planted -- --table FILE       # writes the table as Markdown
//! ```
//!
//! Lines in front of a patch say what it does. Another bug is another file.

mod copy;
mod hunt;
mod table;

use clap::Parser;
use copy::Copy;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Plants bugs and looks for them.
#[derive(Parser)]
struct Args {
    /// Only patches whose names contain this.
    names: Vec<String>,
    /// Only checks that every patch applies.
    #[arg(long)]
    check: bool,
    /// How many seeds the simulator gets for each.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// Leaves out the tests that come behind the simulator: they take minutes to build.
    #[arg(long)]
    simulator_only: bool,
    /// Where patches are.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/planted"))]
    patches: PathBuf,
    /// Where copies are built; kept from call to call, since building takes longest.
    #[arg(long)]
    work: Option<PathBuf>,
    /// Writes the table there, too.
    #[arg(long)]
    table: Option<PathBuf>,
}

/// A bug.
pub struct Bug {
    /// The name of its file.
    pub name: String,
    /// What it does wrong.
    pub what: String,
    /// Its file.
    pub patch: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match execute(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn execute(args: &Args) -> Result<bool, String> {
    let bugs = bugs(&args.patches, &args.names)?;
    let work = args.work.clone().unwrap_or_else(|| std::env::temp_dir().join("rejoin-planted"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut copy = Copy::of(&root, &work)?;
    if args.check {
        for bug in &bugs {
            copy.plant(bug)?;
            copy.mend()?;
        }
        println!("{} patches apply", bugs.len());
        return Ok(true);
    }
    println!("building without a bug, which must pass");
    let clean = hunt::hunt(&copy, args.seeds, false)?;
    if let Some(found) = clean {
        return Err(format!("without any bug there is a finding: {found}"));
    }
    let mut rows = Vec::new();
    for (number, bug) in (1..).zip(&bugs) {
        copy.plant(bug)?;
        let found = hunt::hunt(&copy, args.seeds, !args.simulator_only)?;
        copy.mend()?;
        let said = found.as_ref().map_or_else(|| "NOT FOUND".to_owned(), ToString::to_string);
        println!("{number:>3} of {}  {:<42} {said}", bugs.len(), bug.name);
        rows.push((bug, found));
    }
    let table = table::markdown(&rows, args.seeds);
    println!("\n{table}");
    if let Some(path) = &args.table {
        std::fs::write(path, &table).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    Ok(rows.iter().all(|(_, found)| found.is_some()))
}

/// The patches, by name.
fn bugs(folder: &Path, names: &[String]) -> Result<Vec<Bug>, String> {
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", folder.display());
    let mut bugs = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let patch = entry.map_err(unreadable)?.path();
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let wanted = names.is_empty() || names.iter().any(|part| name.contains(part.as_str()));
        if wanted && patch.extension().is_some_and(|extension| extension == "patch") {
            let text = std::fs::read_to_string(&patch).map_err(unreadable)?;
            let head = text.lines().take_while(|line| !line.starts_with("diff ") && !line.starts_with("---"));
            bugs.push(Bug { name, what: head.collect::<Vec<_>>().join(" ").trim().to_owned(), patch });
        }
    }
    bugs.sort_by(|a, b| a.name.cmp(&b.name));
    if bugs.is_empty() { Err(format!("{} has no such patch", folder.display())) } else { Ok(bugs) }
}
