//! The page that explains the codes: each has a section, and its examples are what they are said to be.

use super::read;
use rejoin::definition::{Code, Severity};

const PAGE: &str = include_str!("../../../docs/diagnostics.md");

/// The blocks of the page with what is said of each, in words.
fn blocks() -> Vec<(Vec<&'static str>, &'static str)> {
    let fenced = PAGE.split("\n```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).map(|(head, text)| (head.split(' ').collect(), text)).collect()
}

/// The codes of what is wrong with an example, each once, and all of it in words. It stands beside the common declaration
/// where it has none of its own.
fn found(example: &str) -> (Vec<&'static str>, String) {
    let blocks = blocks();
    let common = blocks.iter().find(|(head, _)| head[..] == ["yaml", "common"]).expect("a common declaration").1;
    let mut files: Vec<&str> = example.split("\n---\n").collect();
    if files.iter().all(|text| text.starts_with("workflow:")) {
        files.insert(0, common);
    }
    let (project, found) = read(&files);
    let mut codes: Vec<_> = found.all().iter().map(|it| it.code.text()).collect();
    codes.sort_unstable();
    codes.dedup();
    (codes, found.text(&project.sources))
}

/// The examples of a code of one sort.
fn examples(sort: &str, code: &str) -> Vec<&'static str> {
    blocks().into_iter().filter(|(head, _)| head[..] == ["yaml", sort, code]).map(|(_, text)| text).collect()
}

#[test]
fn spec_e5_each_code_has_a_section_with_its_severity() {
    for code in Code::ALL {
        let severity = if code.severity() == Severity::Error { "Error." } else { "Warning." };
        let head = format!("\n### {}: {}\n\n{severity} ", code.text(), code.what());
        assert!(PAGE.contains(&head), "the page does not have {head:?}");
    }
    let sections = PAGE.lines().filter(|line| line.starts_with("### R")).count();
    assert_eq!(sections, Code::ALL.len(), "the page has sections of what is no code");
}

#[test]
fn spec_e5_each_example_is_what_it_is_said_to_be() {
    for code in Code::ALL.iter().map(|code| code.text()) {
        let (bad, good) = (examples("bad", code), examples("good", code));
        assert!(!bad.is_empty() && !good.is_empty(), "{code} has no examples");
        for example in bad {
            let (codes, text) = found(example);
            assert_eq!(codes, [code], "{text}\n{example}");
        }
        for example in good {
            let (codes, text) = found(example);
            assert!(codes.is_empty(), "the good example of {code}:\n{text}\n{example}");
        }
    }
}
