//! The guide to definitions says what is so.

use super::read;
use std::path::Path;

/// The blocks of YAML in a page.
fn blocks(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let text = std::fs::read_to_string(path).expect("the page");
    let parts = text.split("```yaml\n").skip(1);
    parts.map(|part| part.split("```").next().unwrap_or("").to_owned()).collect()
}

#[test]
fn the_project_of_the_guide_is_sound() {
    let blocks = blocks("definitions.md");
    let files: Vec<&str> = blocks.iter().map(String::as_str).collect();
    assert_eq!(files.len(), 5);
    let (project, found) = read(&files);
    assert!(found.all().is_empty(), "{}", found.text(&project.sources));
    assert_eq!((project.workflows.len(), project.agents.len()), (4, 4));
}
