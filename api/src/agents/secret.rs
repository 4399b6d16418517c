//! Secrets: where they are kept, never what they are.

use super::trouble::lasting;
use rejoin::Failure;
use std::env;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// The longest secret.
const LONGEST: u64 = 64 << 10;

/// Where a secret is read from, each time that it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretRef {
    /// A variable of this process's environment.
    Environment(String),
    /// A file; a newline at its end does not count.
    File(PathBuf),
}

impl SecretRef {
    /// The secret. Do not log it, and keep nothing that it may stand in without [redacting](super::redact) it.
    pub(crate) fn resolve(&self) -> Result<String, Failure> {
        let missing = |why: String| lasting("no-secret", why);
        let value = match self {
            SecretRef::Environment(name) => env::var(name).map_err(|_| {
                missing(format!("the environment variable {name} is not set, or is no text; set it for this process"))
            })?,
            SecretRef::File(path) => {
                let mut text = String::new();
                let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
                read.map_err(|error| missing(format!("the file {} cannot be read: {error}", path.display())))?;
                if text.len() as u64 > LONGEST {
                    return Err(missing(format!("the file {} is longer than {LONGEST} bytes", path.display())));
                }
                text.truncate(text.trim_end_matches(['\r', '\n']).len());
                text
            }
        };
        if value.is_empty() { Err(missing(format!("{self:?} is empty"))) } else { Ok(value) }
    }
}
