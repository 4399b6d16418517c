//! `rejoin graph`: a workflow's definition as a picture.

use super::run::chosen;
use crate::error::Trouble;
use crate::graph::{self, Picture};
use crate::output::Console;
use crate::project::{self, Variants};
use clap::Args;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

const HELP: &str = "\
Boxes are stages and nodes, arrows are routes with their outcomes; what a workflow triggers by a route stands between bars.
A definition with errors is drawn as far as it can be read.
Exit status: 0 it is drawn; 1 something is wrong.";

/// Draws a workflow's definition: SVG, or Mermaid.
#[derive(Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Graph {
    /// The folder with rejoin.yaml and workflows, or one file.
    #[arg(value_name = "PATH", default_value = ".")]
    path: PathBuf,
    /// Which workflow, where there are several.
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Writes it in the language of Mermaid, which many pages draw.
    #[arg(long)]
    mermaid: bool,
    /// Where it is written; stdout where nothing is said.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Graph {
    pub(crate) fn execute(self, console: &mut Console) -> Result<(), Trouble> {
        let (project, found) = project::read(&self.path, &Variants::default())?;
        if found.has_errors() {
            console.note(
                "something is wrong with these definitions, and perhaps not all of them is drawn; see rejoin check",
            );
        }
        let workflow = chosen(&project, &self.path, self.workflow.as_deref())?;
        let picture = Picture::of(workflow);
        let text = if self.mermaid { graph::mermaid(&picture) } else { graph::svg(&picture) };
        match &self.output {
            None => console.raw().write_all(text.as_bytes()).map_err(Trouble::Output),
            Some(path) => fs::write(path, text)
                .map_err(|error| Trouble::Write { path: path.display().to_string(), reason: error.to_string() }),
        }
    }
}
