//! Workflows that are described in files.
//!
//! A **project** is a folder: `rejoin.yaml` declares agents, people, departments and limits, and each file under `workflows/`
//! is a workflow, of **stages** (agents that work side by side) and **nodes** (one thing each). An ordinary handler
//! interprets it, so everything that holds for workflows in Rust holds for these.
//!
//! ```
//! use rejoin::definition::{Project, Source};
//!
//! let text = "
//! workflow: greet
//! input: { name: string }
//! nodes:
//!   greeting: { set: { text: 'Hello {{ input.name }}' }, then: end }
//! output: '= text'
//! ";
//! let source = Source { name: "greet.yaml".into(), text: text.into() };
//! let (project, diagnostics) = Project::read(vec![source]);
//! assert!(diagnostics.all().is_empty(), "{}", diagnostics.text(&project.sources));
//! assert_eq!(project.workflows[0].name.value, "greet");
//! ```

mod check;
mod diagnostic;
mod expression;
mod install;
mod interpret;
pub mod model;
mod pattern;
mod read;
mod source;

pub use diagnostic::{Code, Diagnostic, Diagnostics, Severity};
pub use install::{FlowVersion, Installed, interned};
pub use model::Project;
pub use pattern::Pattern;
pub use read::length;
pub use source::{At, Place, Source};

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The most files of a project.
const FILES: usize = 1000;

impl Project {
    /// Reads the files of a project and checks all of it: what is wrong stands beside what could be read. One with errors is
    /// not to be installed.
    pub fn read(sources: Vec<Source>) -> (Project, Diagnostics) {
        let mut found = Diagnostics::default();
        let project = read::project(sources, &mut found);
        check::check(&project, &mut found);
        found.sort();
        (project, found)
    }

    /// The files of a project: of a folder `rejoin.yaml` and everything in `workflows`; of a file it, what the folder that it
    /// belongs to declares, and the other workflows beside it if that is `workflows`.
    ///
    /// # Errors
    ///
    /// If something cannot be read, with its path.
    pub fn files(path: &Path) -> io::Result<Vec<Source>> {
        Project::files_with(path, &[])
    }

    /// As [`Project::files`], with variants: of each name the file `rejoin.NAME.yaml`, whose agents take the place of those of
    /// the same names.
    ///
    /// # Errors
    ///
    /// If something cannot be read, with its path.
    pub fn files_with(path: &Path, variants: &[String]) -> io::Result<Vec<Source>> {
        let mut sources = Vec::new();
        if !path.is_dir() {
            let folder = path.parent().unwrap_or(Path::new("."));
            let above = folder.parent().filter(|_| folder.ends_with("workflows")).unwrap_or(folder);
            sources.extend(declaration(above)?);
            sources.extend(variants.iter().map(|name| variant(above, name)).collect::<io::Result<Vec<_>>>()?);
            if !sources.iter().any(|known| Path::new(&known.name) == path) {
                sources.push(source(path)?);
            }
            if folder.ends_with("workflows") {
                let others = workflows_in(folder)?.into_iter().filter(|file| file != path);
                sources.extend(others.map(|file| source(&file)).collect::<io::Result<Vec<_>>>()?);
            }
            return Ok(sources);
        }
        sources.extend(declaration(path)?);
        sources.extend(variants.iter().map(|name| variant(path, name)).collect::<io::Result<Vec<_>>>()?);
        let workflows = path.join("workflows");
        if sources.is_empty() && !workflows.is_dir() {
            return Err(io::Error::other(format!("{} has neither rejoin.yaml nor a folder workflows", path.display())));
        }
        let folder = if workflows.is_dir() { &workflows } else { path };
        for file in workflows_in(folder)? {
            sources.push(source(&file)?);
        }
        Ok(sources)
    }
}

/// The definitions in a folder, by their names.
fn workflows_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let listed = fs::read_dir(folder).map_err(|error| named(folder, &error))?;
    let mut files: Vec<_> = listed.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.sort();
    files.retain(|file| is_definition(file) && !read::declares_project(&file.to_string_lossy()));
    if files.len() > FILES {
        return Err(io::Error::other(format!("{} has more than {FILES} files", folder.display())));
    }
    Ok(files)
}

fn is_definition(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "yaml" || it == "yml" || it == "json")
}

fn declaration(folder: &Path) -> io::Result<Option<Source>> {
    let names = ["rejoin.yaml", "rejoin.yml", "rejoin.json"];
    let found = names.map(|name| folder.join(name)).into_iter().find(|path| path.is_file());
    found.map(|path| source(&path)).transpose()
}

fn variant(folder: &Path, name: &str) -> io::Result<Source> {
    let path = folder.join(format!("rejoin.{name}.yaml"));
    source(&path).map_err(|error| io::Error::new(error.kind(), format!("there is no variant {name:?}: {error}")))
}

fn source(path: &Path) -> io::Result<Source> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(source::LARGEST as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| named(path, &error))?;
    // The rest of what is over the limit is not read; whoever parses it reports that.
    let is_cut = bytes.len() > source::LARGEST;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) if is_cut => " ".repeat(source::LARGEST + 1),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let why = io::Error::new(io::ErrorKind::InvalidData, format!("byte {at} is no UTF-8; save it as UTF-8"));
            return Err(named(path, &why));
        }
    };
    Ok(Source { name: path.display().to_string(), text })
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
