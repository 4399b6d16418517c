//! The folder of one attempt: for the program's temporary files, and with the documents that its run was given.

use super::super::trouble::passing;
use rejoin::{Document, Failure};
use serde::Serialize;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The longest name of a file, in bytes.
const NAME: usize = 100;

/// It goes when it is dropped, with everything in it.
pub(super) struct Folder(TempDir);

/// A document, as the program finds it.
#[derive(Serialize)]
pub(super) struct Handed {
    name: String,
    path: PathBuf,
    bytes: u64,
}

impl Folder {
    /// In this place, which is there.
    pub(super) fn new(place: &Path) -> Result<Folder, Failure> {
        tempfile::tempdir_in(place).map(Folder).map_err(|error| not_kept(&error))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a document into the folder, to be read and not to be changed.
    pub(super) fn keep(&self, place: usize, document: &Document) -> Result<Handed, Failure> {
        let content = document.read()?;
        let path = self.path().join(file_name(place, document.name()));
        fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o444)))
            .map_err(|error| not_kept(&error))?;
        Ok(Handed { name: document.name().to_owned(), path, bytes: document.len() })
    }
}

/// A name that leads nowhere else, and that no other document has.
fn file_name(place: usize, name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let mut plain: String = name.chars().map(plain).collect();
    plain.truncate(plain.floor_char_boundary(NAME));
    format!("{}-{plain}", place + 1)
}

fn not_kept(error: &io::Error) -> Failure {
    passing("no-room", format!("the folder for temporary files cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn a_document_stays_in_its_folder() {
        assert_eq!(file_name(0, "../../etc/pass wd"), "1-..-..-etc-pass-wd");
        assert_eq!(file_name(1, ""), "2-");
        assert!(file_name(9, &"é".repeat(200)).len() <= 103);
    }
}
