//! How far a long campaign has come.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Every seed below this one was executed.
pub struct State {
    pub reached: u64,
}

impl State {
    /// Reads it; nothing was executed where there is no file.
    pub fn read(path: &Path, size: u64) -> Result<State, String> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(State { reached: 0 }),
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        };
        let wrong = || format!("{} is no state of this tool; name another file", path.display());
        let (of, reached) = text.trim().split_once(' ').ok_or_else(wrong)?;
        if of != format!("size-{size}") {
            return Err(format!("{} belongs to programs of another size ({of}); name another file", path.display()));
        }
        Ok(State { reached: reached.parse().map_err(|_| wrong())? })
    }

    pub fn write(&self, path: &Path, size: u64) -> Result<(), String> {
        fs::write(path, format!("size-{size} {}\n", self.reached))
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }
}
