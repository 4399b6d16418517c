//! A picture in the language of Mermaid.

use super::{Picture, Shape};
use std::fmt::Write;

/// Writes it.
pub(crate) fn mermaid(picture: &Picture) -> String {
    let mut out = String::from("flowchart TD\n");
    for (number, item) in picture.boxes.iter().enumerate() {
        let (open, close) = brackets(item.shape);
        let text = item.lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("<br>");
        let _ = writeln!(out, "    n{number}{open}\"{text}\"{close}");
    }
    for arrow in &picture.arrows {
        let line = if arrow.dashed { "-.->" } else { "-->" };
        let label = arrow.label.iter().map(|label| format!("|\"{}\"|", escaped(label))).collect::<String>();
        let _ = writeln!(out, "    n{} {line}{label} n{}", arrow.from, arrow.to);
    }
    out
}

fn brackets(shape: Shape) -> (&'static str, &'static str) {
    match shape {
        Shape::Terminal => ("([", "])"),
        Shape::Stage => ("[", "]"),
        Shape::Node => ("(", ")"),
        Shape::Choice => ("{{", "}}"),
        Shape::Person => ("[/", "/]"),
        Shape::Workflow => ("[[", "]]"),
        Shape::Failure => (">", "]"),
    }
}

/// Everything that Mermaid, Markdown or HTML could take for something else, by its number.
fn escaped(text: &str) -> String {
    let letter = |c: char| match c {
        '"' | '#' | '&' | '<' | '>' | '\\' | '`' | '|' | '*' | '_' | '[' | ']' | '{' | '}' | ';' | '%' => {
            format!("#{};", u32::from(c))
        }
        other => other.to_string(),
    };
    text.chars().map(letter).collect()
}
