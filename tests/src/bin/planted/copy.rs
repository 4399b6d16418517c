//! A copy of the sources, in which bugs are planted and mended again.

use super::Bug;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A copy of the sources.
pub struct Copy {
    pub folder: PathBuf,
    planted: Option<PathBuf>,
}

/// What is copied: all that a build of the tests needs.
const PARTS: [&str; 8] = ["Cargo.toml", "Cargo.lock", "clippy.toml", "README.md", "docs", "engine", "store", "tests"];

impl Copy {
    /// Copies the sources in `root` into `work`, over an earlier copy: files that are the same stay as they are, so that little
    /// has to be built again.
    pub fn of(root: &Path, work: &Path) -> Result<Copy, String> {
        let folder = work.join("sources");
        let wrong = |error: std::io::Error| format!("the sources cannot be copied to {}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(wrong)?;
        for part in PARTS.into_iter().chain(["api"]) {
            copy(&root.join(part), &folder.join(part)).map_err(wrong)?;
        }
        Ok(Copy { folder, planted: None })
    }

    /// Applies the bug's patch.
    pub fn plant(&mut self, bug: &Bug) -> Result<(), String> {
        self.patch(&bug.patch, false)?;
        self.planted = Some(bug.patch.clone());
        Ok(())
    }

    /// Takes the bug out again.
    pub fn mend(&mut self) -> Result<(), String> {
        match self.planted.take() {
            Some(patch) => self.patch(&patch, true),
            None => Ok(()),
        }
    }

    fn patch(&self, patch: &Path, reverse: bool) -> Result<(), String> {
        let mut command = Command::new("git");
        // The copy is no repository, and may lie within one.
        command.env("GIT_CEILING_DIRECTORIES", self.folder.parent().unwrap_or(&self.folder));
        command.current_dir(&self.folder).arg("apply").args(reverse.then_some("--reverse")).arg(patch);
        let Output { status, stderr, .. } =
            command.output().map_err(|error| format!("git cannot be executed: {error}"))?;
        if status.success() {
            return Ok(());
        }
        Err(format!("{} does not apply: {}", patch.display(), String::from_utf8_lossy(&stderr).trim()))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // The next copy would mend it too; a failure has been told.
        let _ = self.mend();
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        let content = fs::read(from)?;
        return if fs::read(to).is_ok_and(|there| there == content) { Ok(()) } else { fs::write(to, content) };
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != "target" {
            copy(&entry.path(), &to.join(name))?;
        }
    }
    // What is not in the sources any more goes.
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !from.join(entry.file_name()).exists() {
            if entry.path().is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
        }
    }
    Ok(())
}
