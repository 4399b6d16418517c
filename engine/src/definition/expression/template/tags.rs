//! What may stand between the braces of a template.
//!
//! The library bounds how many instructions are taken, not how much one of them makes. So what could make much out of little is
//! refused before: variables that are set, blocks that are captured, values that are repeated or joined, and tags that are too
//! long. A tag is found here as the library finds it, byte by byte, so that nothing hides in a string or in a comment.

use super::super::Flaw;
use std::ops::Range;

/// How long a tag may be, and so how much can be chained in it.
const LENGTH: usize = 512;

/// How many tags there may be.
const COUNT: usize = 1000;

/// The tags that there are.
const KNOWN: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];

const REPEATS: &str = "a template does not repeat or join values: use `+`, or compute it in an expression";

/// The library does not see what they read.
const SLICES: &str = "a template takes no slices: use the filters first, last and truncate";

/// Looks at all tags of a template. What is no Jinja is left for the library to find.
pub(super) fn check(text: &str) -> Result<(), Flaw> {
    let mut from = 0;
    let mut count = 0;
    while let Some((start, sort)) = opener(text, from) {
        let inside = start + 2;
        if sort == b'#' {
            let Some(end) = text[inside..].find("#}") else { return Ok(()) };
            from = inside + end + 2;
            continue;
        }
        count += 1;
        if count > COUNT {
            return flaw(start..text.len(), format!("a template has at most {COUNT} tags"));
        }
        let end = tag(text, inside, if sort == b'{' { "}}" } else { "%}" })?;
        if end - start > LENGTH {
            return flaw(start..end, format!("a tag has at most {LENGTH} bytes: compute it in an expression"));
        }
        if sort == b'%' {
            block(text, inside..end)?;
        }
        from = (end + 2).min(text.len());
    }
    Ok(())
}

/// Where the next tag or comment opens, and which of them it is.
fn opener(text: &str, from: usize) -> Option<(usize, u8)> {
    let bytes = &text.as_bytes()[from..];
    let start = bytes.windows(2).position(|two| two[0] == b'{' && matches!(two[1], b'{' | b'%' | b'#'))?;
    Some((from + start, bytes[start + 1]))
}

/// Where the tag closes, as the library sees it: not in a string, and not within brackets.
fn tag(text: &str, from: usize, closer: &str) -> Result<usize, Flaw> {
    let bytes = text.as_bytes();
    let mut brackets = Vec::new();
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'"' | b'\'') => at = string(bytes, at + 1, quote),
            b'*' | b'~' => return flaw(at..at + 1, REPEATS),
            b':' if brackets.last() == Some(&b'[') => return flaw(at..at + 1, SLICES),
            _ if brackets.is_empty() && bytes[at..].starts_with(closer.as_bytes()) => return Ok(at),
            opening @ (b'(' | b'[' | b'{') => brackets.push(opening),
            b')' | b']' | b'}' if brackets.pop().is_none() => return flaw(at..at + 1, "this bracket was not opened"),
            _ => {}
        }
        at += 1;
    }
    flaw(from - 2..text.len(), format!("this tag is not closed by `{closer}`"))
}

/// Where a string ends: at its quote, or with the text.
fn string(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut at = from;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at
}

/// A tag between `{%` and `%}`.
fn block(text: &str, inside: Range<usize>) -> Result<(), Flaw> {
    let words = text[inside.clone()].trim_matches(['-', '+']).trim();
    let name = words.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    if !KNOWN.contains(&name) {
        let message = format!("there is no tag `{name}` here: a template has if, elif, else and for");
        return flaw(inside, message);
    }
    if words.ends_with("recursive") {
        return flaw(inside, "a loop of a template is not recursive");
    }
    Ok(())
}

fn flaw<T>(span: Range<usize>, message: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw { message: message.into(), span })
}
