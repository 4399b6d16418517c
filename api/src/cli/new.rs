//! `rejoin new`: a project to begin with.

use crate::error::Trouble;
use crate::output::Console;
use clap::Args;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What is in it, by its path.
const FILES: [(&str, &str); 7] = [
    ("rejoin.yaml", include_str!("../new/rejoin.yaml")),
    ("workflows/note.yaml", include_str!("../new/workflows/note.yaml")),
    ("agents/writer.sh", include_str!("../new/agents/writer.sh")),
    ("agents/publisher.sh", include_str!("../new/agents/publisher.sh")),
    ("tests/note.yaml", include_str!("../new/tests/note.yaml")),
    ("README.md", include_str!("../new/README.md")),
    // Under its own name it would hold for this repository.
    (".gitignore", include_str!("../new/gitignore")),
];

/// Makes a project that runs: a workflow with an agent, a question to a person, and something that is published.
#[derive(Args)]
pub(crate) struct New {
    /// The folder, which is not there yet, or empty.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl New {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let folder = &self.folder;
        fs::create_dir_all(folder).map_err(|error| cannot(folder, &error))?;
        let mut there = fs::read_dir(folder).map_err(|error| cannot(folder, &error))?;
        if there.next().is_some() {
            return Err(Trouble::NotEmpty { folder: folder.display().to_string() });
        }
        for (name, text) in FILES {
            let path = folder.join(name);
            write(&path, text).map_err(|error| cannot(&path, &error))?;
            console.line(path.display())?;
        }
        let shown = quoted(folder);
        console
            .line(format_args!("\nNext:\n  rejoin check {shown}\n  rejoin run {shown}\nWhat it is: {shown}/README.md"))
    }
}

fn cannot(path: &Path, error: &io::Error) -> Trouble {
    Trouble::Write { path: path.display().to_string(), reason: error.to_string() }
}

/// Writes a file that is not there yet.
fn write(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    File::create_new(path)?.write_all(text.as_bytes())
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let safe = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+');
    if path.chars().all(safe) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}
