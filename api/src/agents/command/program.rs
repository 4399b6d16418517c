//! The program: where it is, what its environment is, and how it is kept within its memory.

use super::super::trouble::lasting;
use super::CommandAgent;
use rejoin::Failure;
use std::collections::BTreeMap;
use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// What a program has of this process's environment.
const KEPT: [&str; 3] = ["PATH", "HOME", "LANG"];

/// Where programs are looked for where the environment does not say.
const USUAL: &str = "/usr/local/bin:/usr/bin:/bin";

/// Sets the limit and becomes the program. A limit that is set on a process from outside comes after the program has begun; this
/// one is there before, and holds for all that the program starts. What the shell adds to the environment goes again.
const LIMITED: &str = r#"ulimit -v "$0" || exit 71; unset PWD OLDPWD SHLVL; exec "$@""#;

/// A program that can be started.
pub(super) struct Program {
    path: PathBuf,
    folder: PathBuf,
    secrets: BTreeMap<String, String>,
    search: String,
}

impl Program {
    /// Finds it, and reads its secrets.
    pub(super) fn prepare(agent: &CommandAgent) -> Result<Program, Failure> {
        let named = agent.program.first().filter(|program| !program.is_empty());
        let named = named.ok_or_else(|| lasting("no-program", format!("agent {:?} has no program", agent.name)))?;
        let folder = std::path::absolute(&agent.folder).unwrap_or_else(|_| agent.folder.clone());
        if !folder.is_dir() {
            return Err(lasting(
                "no-folder",
                format!("agent {:?} works in {}, which is no folder", agent.name, folder.display()),
            ));
        }
        let declared = agent.environment.get("PATH").cloned();
        let search = declared.or_else(|| env::var("PATH").ok()).unwrap_or_else(|| USUAL.to_owned());
        let missing = || {
            let message = match folder.join(named) {
                file if file.is_file() => format!("{} cannot be executed; chmod +x mends that", file.display()),
                _ => {
                    format!("there is no program {named:?} that can be started, in {} or in {search}", folder.display())
                }
            };
            lasting("no-program", message)
        };
        let path = find(named, &folder, &search).ok_or_else(missing)?;
        let secrets = agent.secrets.iter().map(|(name, secret)| Ok((name.clone(), secret.resolve()?)));
        let secrets = secrets.collect::<Result<_, Failure>>()?;
        Ok(Program { path, folder, secrets, search })
    }

    /// The values of its secrets.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &String> {
        self.secrets.values()
    }

    /// How it is started: in a group of its own, and with nothing of this process but its pipes.
    pub(super) fn command(&self, agent: &CommandAgent, run: Vec<(&'static str, String)>, temporary: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(LIMITED).arg((agent.memory_bytes >> 10).max(1).to_string());
        command.arg(&self.path).args(&agent.program[1..]);
        command.env_clear();
        command.envs(KEPT.iter().filter_map(|name| Some((name, env::var_os(name)?))));
        command.env("PATH", &self.search).env("TMPDIR", temporary);
        command.envs(&agent.environment).envs(&self.secrets).envs(run);
        command.current_dir(&self.folder).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn find(named: &str, folder: &Path, search: &str) -> Option<PathBuf> {
    if named.contains('/') {
        return Some(folder.join(named)).filter(|path| can_be_started(path));
    }
    env::split_paths(search).map(|place| folder.join(place).join(named)).find(|path| can_be_started(path))
}

fn can_be_started(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
