//! Where a key is found. The key itself is read when it is needed, and kept nowhere.

use std::path::PathBuf;
use std::{env, fs, io};
use thiserror::Error;

/// Where a key is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretRef {
    /// In the environment variable of this name.
    Variable(String),
    /// In this file, of which white space at the ends does not count.
    File(PathBuf),
}

/// Why there is no key.
#[derive(Debug, Error)]
pub(crate) enum NoSecret {
    #[error(
        "the key is to be in the environment variable {0:?}, which is not set or is empty; set it and retry the run"
    )]
    Variable(String),
    #[error("the key is to be in the file {path}, which cannot be read ({source}); put it there and retry the run")]
    File { path: PathBuf, source: io::Error },
    #[error("the key is to be in the file {0}, which is empty; put it there and retry the run")]
    Empty(PathBuf),
}

impl SecretRef {
    /// The key, as it is now.
    pub(super) fn read(&self) -> Result<String, NoSecret> {
        match self {
            SecretRef::Variable(name) => {
                let key = env::var(name).ok().map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
                key.ok_or_else(|| NoSecret::Variable(name.clone()))
            }
            SecretRef::File(path) => {
                let key = fs::read_to_string(path).map_err(|source| NoSecret::File { path: path.clone(), source })?;
                let key = key.trim();
                if key.is_empty() { Err(NoSecret::Empty(path.clone())) } else { Ok(key.to_owned()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_from_a_file_and_what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let missing = SecretRef::File(path.clone()).read().unwrap_err().to_string();
        assert!(missing.contains("cannot be read"), "{missing}");
        fs::write(&path, " \n").unwrap();
        assert!(SecretRef::File(path.clone()).read().unwrap_err().to_string().contains("empty"));
        fs::write(&path, "secret\n").unwrap();
        assert_eq!(SecretRef::File(path).read().unwrap(), "secret");
        let unset = SecretRef::Variable("REJOIN_NO_SUCH_KEY".into()).read().unwrap_err().to_string();
        assert!(unset.contains("REJOIN_NO_SUCH_KEY"), "{unset}");
    }
}
