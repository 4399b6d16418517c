//! `rejoin graph`, against pictures that somebody has looked at. UPDATE_GOLDEN=1 writes them anew.

mod common;

use common::{Said, rejoin};
use std::fs;
use std::path::{Path, PathBuf};

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graph").join(name)
}

fn newsletter() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/newsletter").to_owned()
}

#[track_caller]
fn assert_golden(said: &Said, name: &str) {
    assert_eq!((said.status, &*said.err), (0, ""), "{said:?}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(kept(name), &said.out).unwrap();
    }
    let golden = fs::read_to_string(kept(name)).unwrap_or_default();
    assert!(golden == said.out, "{name} is drawn otherwise:\n{}", said.out);
}

#[test]
fn the_newsletter_is_drawn() {
    assert_golden(&rejoin(["graph", &newsletter()]), "newsletter.svg");
    assert_golden(&rejoin(["graph", &newsletter(), "--mermaid"]), "newsletter.mmd");
}

#[test]
fn loops_choices_people_and_workflows_on_the_way_are_drawn() {
    let path = kept("review");
    let path = path.to_str().unwrap();
    assert_golden(&rejoin(["graph", path, "--workflow", "review"]), "review.svg");
    assert_golden(&rejoin(["graph", path, "--workflow", "review", "--mermaid"]), "review.mmd");
}

#[test]
fn a_picture_goes_into_a_file_and_what_cannot_be_drawn_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("it.svg");
    let said = rejoin(["graph", &newsletter(), "--workflow", "analyze-engagement", "-o", file.to_str().unwrap()]);
    assert_eq!((said.status, &*said.out), (0, ""), "{said:?}");
    assert!(fs::read_to_string(&file).unwrap().contains("<title id=\"title\">analyze-engagement</title>"));
    rejoin(["graph", &newsletter(), "--workflow", "nothing"])
        .refused(1, &["no workflow \"nothing\"", "write-newsletter"]);
    let nowhere = folder.path().join("no/where.svg");
    rejoin(["graph", &newsletter(), "-o", nowhere.to_str().unwrap()]).refused(1, &["where.svg cannot be written"]);
}
