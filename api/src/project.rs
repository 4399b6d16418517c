//! A project in a folder, and the versions of its definitions that a store has seen.

use crate::error::Trouble;
use clap::Args;
use rejoin::Builder;
use rejoin::definition::model::Agent;
use rejoin::definition::{Diagnostics, FlowVersion, Installed, Project, Source};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Which variants of a project are meant.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Variants {
    /// Agents of the file rejoin.NAME.yaml take the place of those of the same names: --with model, say.
    #[arg(long = "with", value_name = "NAME")]
    pub(crate) with: Vec<String>,
}

/// Reads and checks a project.
pub(crate) fn read(path: &Path, variants: &Variants) -> Result<(Project, Diagnostics), Trouble> {
    let sources: Vec<Source> =
        Project::files_with(path, &variants.with).map_err(|error| Trouble::NoProject(error.to_string()))?;
    Ok(Project::read(sources))
}

/// The folder that a project's own paths are meant in.
pub(crate) fn folder(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.to_owned();
    }
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let above = folder.parent().filter(|_| folder.ends_with("workflows"));
    above.map(|it| if it.as_os_str().is_empty() { Path::new(".") } else { it }).unwrap_or(folder).to_owned()
}

/// Every version of every definition that runs of a store may have begun under: a file each, in the store's folder.
pub(crate) struct Versions {
    folder: PathBuf,
    /// By name; the texts by version.
    known: BTreeMap<String, BTreeMap<u32, String>>,
}

impl Versions {
    /// Those that a store has.
    pub(crate) fn open(data: &Path) -> Result<Versions, Trouble> {
        let folder = data.join("definitions");
        let unreadable =
            |error: io::Error| Trouble::Folder { folder: folder.display().to_string(), reason: error.to_string() };
        fs::create_dir_all(&folder).map_err(unreadable)?;
        let mut known: BTreeMap<String, BTreeMap<u32, String>> = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let Some((name, version)) = path.file_name().and_then(|name| version_of(name.to_str()?)) else { continue };
            let text = fs::read_to_string(&path).map_err(unreadable)?;
            known.entry(name).or_default().insert(version, text);
        }
        Ok(Versions { folder, known })
    }

    /// Registers a project as it is now, and beside it whatever it was when runs began that may still go on. A text that is
    /// not the last one known of its name is a new version. The steps whose programs and addresses are written down in any of
    /// them are for the caller to register.
    pub(crate) fn install(&mut self, project: &Project, builder: Builder) -> Result<(Builder, Vec<Step>), Trouble> {
        let mut present = BTreeMap::new();
        for workflow in &project.workflows {
            let version = self.version(&workflow.name, &workflow.text)?;
            present.insert(workflow.name.value.clone(), version);
        }
        for agent in &project.agents {
            if let Some(flow) = agent.flow().and_then(|flow| project.workflow(flow)) {
                let name = of_agent(&agent.name);
                let version = self.version(&name, &flow.text)?;
                present.insert(name, version);
            }
        }
        let version = |of: Installed<'_>| match of {
            Installed::Workflow(workflow) => present.get(&workflow.name.value).copied().unwrap_or(1),
            Installed::Flow(agent, _) => flow_version(present.get(&of_agent(agent)).copied().unwrap_or(1)),
        };
        let mut builder = project.install(builder, version);
        let mut steps = Vec::new();
        for workflow in &project.workflows {
            let version = version(Installed::Workflow(workflow));
            steps.extend(workflow.own_agents().into_iter().map(|agent| Step { version, agent: agent.clone() }));
        }
        let earlier = self.known.iter().flat_map(|(name, versions)| versions.iter().map(move |it| (name, it)));
        for (name, (version, text)) in earlier.filter(|(name, (version, _))| present.get(*name) != Some(*version)) {
            let source = Source { name: format!("{name}, version {version}"), text: text.clone() };
            builder = match name.strip_prefix(OF_AGENT) {
                Some(agent) => {
                    let version = FlowVersion { version: flow_version(*version), of: self.version_of_text(text) };
                    project.install_earlier_flow(builder, agent, source, version)
                }
                None => {
                    let (earlier, _) = Project::read(vec![source.clone()]);
                    let own = earlier.workflows.iter().flat_map(|workflow| workflow.own_agents());
                    steps.extend(own.map(|agent| Step { version: *version, agent: agent.clone() }));
                    project.install_earlier(builder, source, *version)
                }
            };
        }
        Ok((builder, steps))
    }

    /// The version of the workflow that has this text; the newest, if several have it.
    fn version_of_text(&self, text: &str) -> u32 {
        let workflows = self.known.iter().filter(|(name, _)| !name.starts_with(OF_AGENT));
        let mut versions = workflows.flat_map(|(_, versions)| versions.iter().rev());
        versions.find(|(_, known)| *known == text).map_or(1, |(version, _)| *version)
    }

    /// The version of a text; a new one is kept before anything can begin under it.
    fn version(&mut self, name: &str, text: &str) -> Result<u32, Trouble> {
        let versions = self.known.entry(name.to_owned()).or_default();
        let last = versions.last_key_value().map(|(version, text)| (*version, text.as_str()));
        if let Some((version, known)) = last
            && known == text
        {
            return Ok(version);
        }
        let version = last.map_or(1, |(version, _)| version + 1);
        let path = self.folder.join(format!("{name}.{version}.yaml"));
        keep(&path, text)
            .map_err(|error| Trouble::Folder { folder: path.display().to_string(), reason: error.to_string() })?;
        versions.insert(version, text.to_owned());
        Ok(version)
    }
}

/// A step of a definition that is a program or an address.
pub(crate) struct Step {
    /// The version of the definition.
    pub(crate) version: u32,
    /// What does it.
    pub(crate) agent: Agent,
}

/// What answers for an agent has versions of its own: it may be another workflow, of which there are few or many.
const OF_AGENT: &str = "@";

fn of_agent(agent: &str) -> String {
    format!("{OF_AGENT}{agent}")
}

/// The version of an agent's job. The first is that of handlers which know of no versions, such as programs.
fn flow_version(version: u32) -> u32 {
    version.saturating_add(1)
}

fn version_of(file: &str) -> Option<(String, u32)> {
    let (name, version) = file.strip_suffix(".yaml")?.rsplit_once('.')?;
    Some((name.to_owned(), version.parse().ok()?))
}

/// Writes a file that is there whole or not at all.
fn keep(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spec_a15_a_changed_definition_is_a_new_version_and_the_old_one_stays() {
        let data = tempfile::tempdir().unwrap();
        let mut versions = Versions::open(data.path()).unwrap();
        assert_eq!(versions.version("review", "one").unwrap(), 1);
        assert_eq!(versions.version("review", "one").unwrap(), 1);
        assert_eq!(versions.version("review", "two").unwrap(), 2);
        let mut versions = Versions::open(data.path()).unwrap();
        assert_eq!(versions.version("review", "two").unwrap(), 2);
        // What it was once is what it is again, and yet a version of its own.
        assert_eq!(versions.version("review", "one").unwrap(), 3);
        assert_eq!(versions.known["review"].len(), 3);
    }

    #[test]
    fn paths_of_a_project_are_meant_in_its_folder() {
        assert_eq!(folder(Path::new("a/workflows/b.yaml")), Path::new("a"));
        assert_eq!(folder(Path::new("workflows/b.yaml")), Path::new("."));
        assert_eq!(folder(Path::new("b.yaml")), Path::new("."));
    }
}
