//! What a program says: lines on stdout, some of which have a meaning, and the end of its stderr.

use super::super::answer::{Answer, Next};
use super::super::line::{self, Line, Told};
use super::super::progress::Telling;
use super::super::redact::Redactor;
use super::super::trouble::{failure, lasting};
use rejoin::Failure;
use serde_json::Value;
use std::io;
use std::mem;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Exit statuses that say that the program was used wrongly: those of sysexits.
const USAGE: std::ops::RangeInclusive<i32> = 64..=78;

/// What was said on stdout so far.
pub(super) struct Heard {
    redactor: Redactor,
    /// Where progress goes.
    progress: Telling,
    /// How much more may be said.
    left: usize,
    line: Vec<u8>,
    lines: usize,
    /// What has no meaning as a line.
    rest: Vec<u8>,
    answer: Answer,
    has_result: bool,
    told: Option<Told>,
    /// What is wrong with a line that means something.
    bad: Option<String>,
}

/// Why a program is not heard to the end.
#[derive(Debug, Error)]
pub(super) enum Unheard {
    #[error("it says more than it may")]
    TooMuch,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Heard {
    pub(super) fn new(most: usize, redactor: Redactor, progress: Telling) -> Heard {
        Heard {
            redactor,
            progress,
            left: most,
            line: Vec::new(),
            lines: 0,
            rest: Vec::new(),
            answer: Answer::default(),
            has_result: false,
            told: None,
            bad: None,
        }
    }

    /// Hears the program to the end.
    pub(super) async fn read(&mut self, mut from: impl AsyncRead + Unpin) -> Result<(), Unheard> {
        let mut bytes = [0; 8 << 10];
        loop {
            let count = from.read(&mut bytes).await?;
            if count == 0 {
                return Ok(());
            }
            self.left = self.left.checked_sub(count).ok_or(Unheard::TooMuch)?;
            for piece in bytes[..count].split_inclusive(|byte| *byte == b'\n') {
                self.line.extend_from_slice(piece);
                if piece.ends_with(b"\n") {
                    self.end_line();
                }
            }
        }
    }

    fn end_line(&mut self) {
        self.lines += 1;
        let line = mem::take(&mut self.line);
        if !self.take(&line) {
            self.rest.extend_from_slice(&line);
        }
    }

    /// Takes a line that means something.
    fn take(&mut self, line: &[u8]) -> bool {
        let Some(value) = control(line) else { return false };
        match serde_json::from_value(value) {
            Ok(Line::Progress(value)) => {
                self.progress.tell(self.redactor.value(value));
            }
            Ok(Line::Emit(piece)) => self.answer.pieces.push(piece),
            Ok(Line::Artefact(artefact)) => self.answer.artefacts.push(artefact),
            Ok(Line::Usage(spent)) => self.answer.usage = self.answer.usage.plus(spent),
            Ok(Line::Result(result)) => (self.answer.result, self.has_result) = (result, true),
            Ok(Line::Handoff(handoff)) => self.answer.next = Some(Next::Handoff(handoff)),
            Ok(Line::Transfer(transfer)) => self.answer.next = Some(Next::Transfer(transfer)),
            Ok(Line::Error(told)) => self.told = Some(told),
            Err(error) => drop(self.bad.get_or_insert_with(|| format!("line {}: {error}", self.lines))),
        }
        true
    }

    /// The answer of a program that has ended; `last` adds what it said on stderr to a message.
    pub(super) fn answer(mut self, status: ExitStatus, last: impl Fn(String) -> String) -> Result<Answer, Failure> {
        self.end_line();
        // The same, printed over several lines.
        let rest = mem::take(&mut self.rest);
        if !self.take(&rest) {
            self.rest = rest;
        }
        if let Some(told) = self.told {
            return Err(told.failure(&self.redactor));
        }
        if let Some((code, message, retryable)) = broken_off(status) {
            return Err(failure(&code, last(message), retryable));
        }
        if let Some(bad) = self.bad {
            return Err(lasting("bad-output", self.redactor.text(&bad)));
        }
        if !self.has_result {
            self.answer.result = whole(&self.rest);
        }
        Ok(self.answer.redacted(&self.redactor))
    }
}

/// A line that means something.
fn control(line: &[u8]) -> Option<Value> {
    let line = line.trim_ascii();
    if !(line.starts_with(b"{") && line.ends_with(b"}")) {
        return None;
    }
    serde_json::from_slice(line).ok().filter(line::means)
}

/// All that was printed: JSON, or text without the newline at its end, or nothing.
fn whole(output: &[u8]) -> Value {
    if output.trim_ascii().is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(output).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(output);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        text.strip_suffix('\r').unwrap_or(text).into()
    })
}

/// The code and message of a program that did not end well, and whether another attempt may help.
fn broken_off(status: ExitStatus) -> Option<(String, String, bool)> {
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => {
            Some((format!("exit-{code}"), format!("the program ended with exit status {code}"), !USAGE.contains(&code)))
        }
        (None, signal) => {
            let signal = signal.unwrap_or_default();
            Some((format!("signal-{signal}"), format!("the program was killed by signal {signal}"), true))
        }
    }
}

/// The end of what is said on stderr.
pub(super) struct Tail {
    redactor: Redactor,
    run: String,
    most: usize,
    bytes: Vec<u8>,
    /// Whether something came before that.
    is_cut: bool,
    /// Where the line begins that has not ended.
    line: usize,
}

impl Tail {
    pub(super) fn new(most: usize, redactor: Redactor, run: String) -> Tail {
        Tail { redactor, run, most, bytes: Vec::new(), is_cut: false, line: 0 }
    }

    /// Hears it to the end. What cannot be read is not missed.
    pub(super) async fn read(&mut self, mut from: impl AsyncRead + Unpin) {
        let mut bytes = [0; 4 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            self.push(&bytes[..count]);
        }
        if self.line < self.bytes.len() {
            self.show(self.bytes.len());
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.bytes.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.show(self.bytes.len() - 1);
                self.line = self.bytes.len();
            }
        }
        // A secret that is cut would not be found: so much more is kept, and cut when secrets are out.
        let over = self.bytes.len().saturating_sub(self.most + self.redactor.longest());
        self.bytes.drain(..over);
        self.is_cut |= over > 0;
        self.line = self.line.saturating_sub(over);
    }

    fn show(&self, end: usize) {
        if tracing::enabled!(tracing::Level::DEBUG) {
            tracing::debug!(run = self.run, line = self.clean(self.line, end), "stderr");
        }
    }

    fn clean(&self, from: usize, end: usize) -> String {
        let text = String::from_utf8_lossy(&self.bytes[from..end]);
        if from == 0 && self.is_cut { self.redactor.cut_text(&text) } else { self.redactor.text(&text) }
    }

    /// A message, and what was said last.
    pub(super) fn after(&self, message: String) -> String {
        let text = self.clean(0, self.bytes.len());
        let first = text.ceil_char_boundary(text.len().saturating_sub(self.most));
        match text[first..].trim() {
            "" => message,
            said => format!("{message}: {said}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_an_object_of_one_known_field_is_a_control_line() {
        for line in [r#"{"result": 1}"#, " {\"emit\":\"x\"}\r\n", r#"{"progress":null}"#] {
            assert!(control(line.as_bytes()).is_some(), "{line}");
        }
        for line in ["", "{}", "{", r#"{"answer":1}"#, r#"{"error":1,"result":2}"#, r#"["result"]"#, r#""result""#] {
            assert!(control(line.as_bytes()).is_none(), "{line}");
        }
    }

    #[test]
    fn the_whole_output_is_json_or_text() {
        assert_eq!(whole(b"{\n \"a\": 1\n}\n"), json!({ "a": 1 }));
        assert_eq!(whole(b"two\nlines\n\n"), json!("two\nlines\n"));
        assert_eq!(whole(b" \n"), Value::Null);
        assert_eq!(whole(b"\xff"), json!("\u{fffd}"));
    }

    #[test]
    fn the_tail_is_the_end_without_secrets() {
        let secret = "s3cret-s3cret".to_owned();
        let mut tail = Tail::new(16, Redactor::new([secret.clone()]), "run".to_owned());
        for _ in 0..100 {
            tail.push(format!("{secret}\n").as_bytes());
        }
        tail.push(b"the end");
        let said = tail.after("it failed".to_owned());
        assert!(said.starts_with("it failed: ") && said.ends_with("\nthe end"), "{said}");
        assert!(!said.contains("cret") && said.len() < 40, "{said}");
    }
}
