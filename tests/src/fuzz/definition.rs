//! Any bytes as the files of a project.

use rejoin::definition::{Project, Source};

/// What stands between the files.
const BETWEEN: &str = "\n---\n";

/// Reads and checks the bytes as files; what is found is found again, in texts that can be shown. Says whether they are sound.
///
/// # Panics
///
/// If it is not so.
pub fn check(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let read = || {
        let files = text.split(BETWEEN).enumerate().map(|(number, text)| {
            let name =
                if text.contains("workflow:") { format!("workflows/{number}.yaml") } else { "rejoin.yaml".into() };
            Source { name, text: text.to_owned() }
        });
        let (project, found) = Project::read(files.collect());
        (found.text(&project.sources), found.has_errors())
    };
    let first = read();
    assert_eq!(first, read(), "what is found is found again");
    !first.1
}
