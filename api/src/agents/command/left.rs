//! Programs that nobody waits for any more: a process that was killed has left them behind, beside those that are started in
//! their place.

use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Kills the programs whose temporary files lie in this folder, but for those in another one within. They are known by their
/// environment, as far as the system shows that.
pub(crate) fn end_programs(within: &Path, but: Option<&Path>) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let environment = id.and_then(|_| fs::read(entry.path().join("environ")).ok()).unwrap_or_default();
        let temporary = environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(b"TMPDIR="));
        let is_one = |path: &Path| path.starts_with(within) && !but.is_some_and(|but| path.starts_with(but));
        if let Some(id) = id.filter(|_| temporary.is_some_and(|path| is_one(Path::new(OsStr::from_bytes(path))))) {
            // It may have ended meanwhile.
            let _ = kill_process(id, Signal::KILL);
        }
    }
}
