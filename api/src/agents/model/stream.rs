//! From the bytes of an answer to the answer: server-sent events, or plain JSON.
//!
//! An answer counts once it is finished. One that breaks off before is none, however much of it came.

use super::wire::{Answer, CallDelta, Chunk, ToolCall};
use std::collections::BTreeMap;
use thiserror::Error;

/// The most bytes that an answer may have.
pub(super) const LARGEST: usize = 4 << 20;

/// Why bytes are no answer. Another attempt may bring one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Broken {
    #[error("the endpoint's answer breaks off before it is finished")]
    Off,
    #[error("the endpoint's answer has more than {LARGEST} bytes")]
    TooLarge,
    #[error("the endpoint's answer is not of the chat completions API: {0}")]
    Strange(String),
    #[error("the endpoint failed while it answered: {0}")]
    Failed(String),
}

/// An answer that is being read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Whether it comes as events; otherwise as one piece of JSON.
    streamed: bool,
    /// What has come of the present line, or of the JSON.
    open: Vec<u8>,
    bytes: usize,
    /// Whether a piece of the answer has come; whether the last has.
    begun: bool,
    done: bool,
    answer: Answer,
    calls: BTreeMap<u64, Partial>,
    last: Option<u64>,
}

/// A call of which pieces have come.
#[derive(Debug, Default)]
struct Partial {
    id: String,
    name: String,
    arguments: String,
}

impl Reading {
    pub(super) fn new(streamed: bool) -> Reading {
        Reading { streamed, ..Reading::default() }
    }

    /// Takes what has come; whether there is nothing more to wait for.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<bool, Broken> {
        self.bytes += bytes.len();
        if self.bytes > LARGEST {
            return Err(Broken::TooLarge);
        }
        self.open.extend_from_slice(bytes);
        if self.streamed {
            self.take_lines()?;
        }
        Ok(self.done)
    }

    /// The text that has come so far.
    pub(super) fn text(&self) -> &str {
        &self.answer.text
    }

    /// The answer, once its last byte has come.
    pub(super) fn finish(mut self) -> Result<Answer, Broken> {
        let rest = std::mem::take(&mut self.open);
        if self.streamed {
            self.line(&rest)?;
        } else {
            self.chunk(&rest)?;
            self.done = true;
        }
        if !self.done && self.answer.finish.is_none() {
            return Err(Broken::Off);
        }
        if !self.begun {
            return Err(Broken::Strange("there is no choice in it".to_owned()));
        }
        let called = |(place, (_, call)): (usize, (u64, Partial))| {
            let id = if call.id.is_empty() { format!("call-{place}") } else { call.id };
            ToolCall::new(id, call.name, call.arguments)
        };
        self.answer.calls = self.calls.into_iter().enumerate().map(called).collect();
        Ok(self.answer)
    }

    fn take_lines(&mut self) -> Result<(), Broken> {
        let open = std::mem::take(&mut self.open);
        let mut rest = open.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line(&rest[..end])?;
            rest = &rest[end + 1..];
        }
        self.open = rest.to_vec();
        Ok(())
    }

    /// A line of an event; only those with data say anything.
    fn line(&mut self, line: &[u8]) -> Result<(), Broken> {
        match line.trim_ascii().strip_prefix(b"data:").map(<[u8]>::trim_ascii) {
            None | Some(b"") => Ok(()),
            Some(b"[DONE]") => {
                self.done = true;
                Ok(())
            }
            Some(data) => self.chunk(data),
        }
    }

    fn chunk(&mut self, json: &[u8]) -> Result<(), Broken> {
        let chunk: Chunk = serde_json::from_slice(json).map_err(|error| match error.is_eof() {
            true => Broken::Off,
            false => Broken::Strange(error.to_string()),
        })?;
        if let Some(trouble) = chunk.trouble() {
            return Err(Broken::Failed(trouble));
        }
        self.answer.tokens = chunk.tokens().or(self.answer.tokens);
        let Some(choice) = chunk.choices.into_iter().flatten().next() else { return Ok(()) };
        self.begun = true;
        self.answer.finish = choice.finish_reason.or(self.answer.finish.take());
        let delta = choice.delta.unwrap_or_default();
        self.answer.text.push_str(&delta.text());
        delta.tool_calls.iter().flatten().for_each(|piece| self.call(piece));
        Ok(())
    }

    /// Pieces of one call have one number; where there are no numbers, a piece with a name begins a call.
    fn call(&mut self, piece: &CallDelta) {
        let next = self.last.map_or(0, |last| last.saturating_add(1));
        let place = match (piece.index, piece.name(), self.last) {
            (Some(index), _, _) => index,
            (None, None, Some(last)) => last,
            (None, _, _) => next,
        };
        self.last = Some(place);
        let call = self.calls.entry(place).or_default();
        if let (Some(id), true) = (&piece.id, call.id.is_empty()) {
            call.id.clone_from(id);
        }
        if let (Some(name), true) = (piece.name(), call.name.is_empty()) {
            name.clone_into(&mut call.name);
        }
        call.arguments.push_str(&piece.arguments());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::model::wire::Tokens;

    fn read(streamed: bool, text: &str) -> Result<Answer, Broken> {
        // Byte by byte: where the network cuts is nobody's business.
        let mut reading = Reading::new(streamed);
        for byte in text.as_bytes() {
            if reading.feed(&[*byte])? {
                break;
            }
        }
        reading.finish()
    }

    #[test]
    fn a_stream_is_put_together() {
        let answer = read(
            true,
            ": hello\r\n\r\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"Grü\"}}]}\r\n\r\n\
             event: message\ndata:{\"choices\":[{\"delta\":{\"content\":\"ße\"},\"finish_reason\":\"stop\"}]}\n\n\
             data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
        );
        let tokens = Some(Tokens { read: 3, written: 2 });
        let expected = Answer { text: "Grüße".into(), finish: Some("stop".into()), tokens, ..Answer::default() };
        assert_eq!(answer, Ok(expected));
    }

    #[test]
    fn calls_are_put_together_with_and_without_numbers() {
        let numbered = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"x\",\"arguments\":\"{\"}},\
             {\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"y\",\"arguments\":\"{}\"}}]}}]}\n\
             data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n";
        let calls = read(true, numbered).unwrap().calls;
        assert_eq!(calls, [ToolCall::new("a", "x", "{}"), ToolCall::new("b", "y", "{}")]);

        let plain = r#"{"choices":[{"message":{"content":null,"tool_calls":[
            {"function":{"name":"x","arguments":{"n":1}}},{"function":{"name":"x"}}]},"finish_reason":"tool_calls"}]}"#;
        let calls = read(false, plain).unwrap().calls;
        assert_eq!(calls, [ToolCall::new("call-0", "x", r#"{"n":1}"#), ToolCall::new("call-1", "x", "")]);
    }

    #[test]
    fn what_breaks_off_is_no_answer() {
        let whole = "data: {\"choices\":[{\"delta\":{\"content\":\"all\"},\"finish_reason\":\"stop\"}]}\n";
        for end in 0..whole.len() - 2 {
            assert!(matches!(read(true, &whole[..end]), Err(Broken::Off)), "cut at {end}");
        }
        assert!(read(true, whole).is_ok());
        assert_eq!(read(false, r#"{"choices":[{"message":{"content":"half"#), Err(Broken::Off));
        assert_eq!(read(false, ""), Err(Broken::Off));
    }

    #[test]
    fn what_is_no_answer_is_named() {
        for strange in ["<html>", "{}", "[]"] {
            assert!(matches!(read(false, strange), Err(Broken::Strange(_))), "{strange}");
        }
        assert!(matches!(read(true, "data: [DONE]\n"), Err(Broken::Strange(_))));
        let failed = read(true, "data: {\"error\":{\"message\":\"overloaded\"}}\n");
        assert_eq!(failed, Err(Broken::Failed("overloaded".into())));
        let mut reading = Reading::new(true);
        assert_eq!(reading.feed(&vec![b' '; LARGEST]), Ok(false));
        assert_eq!(reading.feed(b" "), Err(Broken::TooLarge));
    }
}
