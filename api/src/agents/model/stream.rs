//! From the bytes of an answer to the answer: server-sent events, or plain JSON, whichever they are.
//!
//! An answer counts once it is finished: when the endpoint has said why it stopped, or that it is done. One that breaks off before is
//! none, however much of it came.

use super::wire::{Answer, CallDelta, Chunk, ToolCall};
use std::collections::BTreeSet;
use thiserror::Error;

/// The most bytes that an answer may have.
pub(super) const LARGEST: usize = 4 << 20;

/// The reason of a model that is cut off at a limit, or by a filter.
pub(super) const CUT: &str = "length";
pub(super) const FILTERED: &str = "content_filter";
/// What some endpoints call a limit.
const LIMITS: [&str; 3] = ["model_length", "max_tokens", "max_output_tokens"];
/// The reasons of a model that had more to say. Others, of which there are many, are those of one that had not.
const BREAKS: [&str; 6] = ["error", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource"];

/// The most lines of one event: each of them may be its last, so each is tried.
const LINES: u32 = 32;

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
    #[error("the endpoint stopped in the middle of its answer, with the reason {0:?}")]
    Stopped(String),
}

/// An answer that is being read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Whether it comes as events; otherwise as one piece of JSON. What has not begun is neither.
    streamed: Option<bool>,
    /// What has come of the present line, or of the JSON.
    open: Vec<u8>,
    /// The data of an event of which another line may come.
    data: Vec<u8>,
    lines: u32,
    bytes: usize,
    /// Whether a piece of the answer has come; whether the last has.
    begun: bool,
    done: bool,
    answer: Answer,
    calls: Vec<Partial>,
}

/// A call of which pieces have come.
#[derive(Debug, Default)]
struct Partial {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

impl Reading {
    /// Takes what has come; whether there is nothing more to wait for.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<bool, Broken> {
        self.bytes += bytes.len();
        if self.bytes > LARGEST {
            return Err(Broken::TooLarge);
        }
        self.open.extend_from_slice(bytes);
        if self.streamed.is_none() {
            self.streamed = is_stream(&self.open);
            if self.streamed.is_some() && self.open.starts_with(MARK) {
                self.open.drain(..MARK.len());
            }
        }
        if self.streamed == Some(true) {
            self.take_lines()?;
        }
        Ok(self.done)
    }

    /// Whether it has all that matters: what may follow is what it has cost.
    pub(super) fn is_finished(&self) -> bool {
        self.answer.finish.is_some()
    }

    /// The text that has come so far.
    pub(super) fn text(&self) -> &str {
        &self.answer.text
    }

    /// The answer, once its last byte has come.
    pub(super) fn finish(mut self) -> Result<Answer, Broken> {
        let rest = std::mem::take(&mut self.open);
        if self.streamed.is_none() {
            return Err(Broken::Off);
        }
        if self.streamed == Some(true) {
            // What breaks off behind the end is missed by nobody.
            let read = self.line(&rest);
            if !self.is_finished() {
                read?;
            }
        } else {
            self.chunk(&rest)?;
            self.done = true;
        }
        match self.answer.finish.as_deref() {
            None if !self.done => return Err(Broken::Off),
            Some(reason) if BREAKS.contains(&reason) => return Err(Broken::Stopped(reason.to_owned())),
            Some(reason) if LIMITS.contains(&reason) => self.answer.finish = Some(CUT.to_owned()),
            _ => {}
        }
        if !self.begun {
            return Err(Broken::Strange("there is no choice in it".to_owned()));
        }
        self.answer.calls = identified(self.calls);
        Ok(self.answer)
    }

    /// Lines end with a line feed, a carriage return, or both: what is empty between those two says nothing.
    fn take_lines(&mut self) -> Result<(), Broken> {
        let open = std::mem::take(&mut self.open);
        let mut rest = open.as_slice();
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.line(&rest[..end])?;
            rest = &rest[end + 1..];
        }
        self.open = rest.to_vec();
        Ok(())
    }

    /// A line of an event; only those with data say anything. Data that is whole is taken at once, whether or not the event is.
    fn line(&mut self, line: &[u8]) -> Result<(), Broken> {
        match line.trim_ascii().strip_prefix(b"data:").map(<[u8]>::trim_ascii) {
            None | Some(b"") => Ok(()),
            Some(b"[DONE]") if !self.data.is_empty() && !self.is_finished() => Err(Broken::Off),
            Some(b"[DONE]") => {
                self.done = true;
                Ok(())
            }
            Some(data) => {
                self.data.extend_from_slice(data);
                let data = std::mem::take(&mut self.data);
                match self.chunk(&data) {
                    Err(Broken::Off) if self.lines < LINES => {
                        self.lines += 1;
                        self.data = data;
                        self.data.push(b'\n');
                        Ok(())
                    }
                    taken => {
                        self.lines = 0;
                        taken
                    }
                }
            }
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
        self.answer.finish = choice.finish().or(self.answer.finish.take());
        let delta = choice.delta.or(choice.message).unwrap_or_default();
        self.answer.text.push_str(&delta.text());
        delta.tool_calls.iter().flatten().for_each(|piece| self.call(piece));
        Ok(())
    }

    /// A piece of a call.
    fn call(&mut self, piece: &CallDelta) {
        let (id, name) = (piece.id(), piece.name());
        let place = self.place(piece.index, &id, name.is_some());
        if place == self.calls.len() {
            self.calls.push(Partial { index: piece.index, ..Partial::default() });
        }
        let call = &mut self.calls[place];
        if call.id.is_empty() {
            call.id = id;
        }
        if let Some(name) = name.filter(|name| *name != call.name) {
            call.name.push_str(name);
        }
        call.arguments.push_str(&piece.arguments());
    }

    /// Which call a piece belongs to. Pieces of one call have one number, and an id in the first of them; where the same number comes
    /// with another id and a name, as some endpoints send it, that is another call. Where there are neither, a piece with a name begins
    /// one.
    fn place(&self, index: Option<u64>, id: &str, is_named: bool) -> usize {
        let next = self.calls.len();
        let fits = |call: &Partial| !is_named || id.is_empty() || call.id.is_empty() || call.id == id;
        match (index, id) {
            (Some(_), _) => self.calls.iter().rposition(|call| call.index == index && fits(call)).unwrap_or(next),
            (None, "") => match self.calls.last() {
                Some(call) if !is_named || call.name.is_empty() => next - 1,
                _ => next,
            },
            (None, id) => self.calls.iter().rposition(|call| call.id == id).unwrap_or(next),
        }
    }
}

/// What some texts begin with that is none of them.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Whether what begins like that is a stream of events; `None` while that cannot be told. What endpoints call it is no guide.
fn is_stream(begins: &[u8]) -> Option<bool> {
    if MARK.starts_with(begins) {
        return None;
    }
    let begins = begins.strip_prefix(MARK).unwrap_or(begins).trim_ascii_start();
    let fields: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
    match () {
        () if fields.iter().any(|field| begins.starts_with(field)) => Some(true),
        () if fields.iter().any(|field| field.starts_with(begins)) => None,
        () => Some(false),
    }
}

/// Calls with an id each, by which the model is told what came of them.
fn identified(calls: Vec<Partial>) -> Vec<ToolCall> {
    let mut taken = BTreeSet::new();
    let identify = |(place, call): (usize, Partial)| {
        let is_own = !call.id.is_empty() && taken.insert(call.id.clone());
        let id = if is_own { call.id } else { format!("call-{place}") };
        ToolCall::new(id, call.name, call.arguments)
    };
    calls.into_iter().enumerate().map(identify).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::model::wire::Tokens;

    fn read(text: &str) -> Result<Answer, Broken> {
        // Byte by byte: where the network cuts is nobody's business.
        let mut reading = Reading::default();
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
        let calls = read(numbered).unwrap().calls;
        assert_eq!(calls, [ToolCall::new("a", "x", "{}"), ToolCall::new("b", "y", "{}")]);

        let plain = r#"{"choices":[{"message":{"content":null,"tool_calls":[
            {"function":{"name":"x","arguments":{"n":1}}},{"function":{"name":"x"}}]},"finish_reason":"tool_calls"}]}"#;
        let calls = read(plain).unwrap().calls;
        assert_eq!(calls, [ToolCall::new("call-0", "x", r#"{"n":1}"#), ToolCall::new("call-1", "x", "")]);
    }

    #[test]
    fn calls_are_told_apart_however_they_are_numbered() {
        let one = |piece: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{piece}]}}}}]}}\n\n");
        let done = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n";
        let calls =
            |pieces: &[&str]| read(&(pieces.iter().map(|piece| one(piece)).collect::<String>() + done)).unwrap().calls;
        // Two calls with one number.
        let same = calls(&[
            r#"{"index":0,"id":"a","function":{"name":"x","arguments":"{}"}}"#,
            r#"{"index":0,"id":"b","function":{"name":"x","arguments":"{}"}}"#,
        ]);
        assert_eq!(same, [ToolCall::new("a", "x", "{}"), ToolCall::new("b", "x", "{}")]);
        // Everything in each piece, and no number.
        let piece = |arguments: &str| format!(r#"{{"id":"a","function":{{"name":"x","arguments":"{arguments}"}}}}"#);
        assert_eq!(calls(&[&piece("{"), &piece("}")]), [ToolCall::new("a", "x", "{}")]);
        // The name later, or in parts; an id that is a number.
        let late = calls(&[r#"{"id":7,"function":{"arguments":""}}"#, r#"{"function":{"name":"x","arguments":"{}"}}"#]);
        assert_eq!(late, [ToolCall::new("7", "x", "{}")]);
        let parts = calls(&[
            r#"{"index":0,"id":"a","function":{"name":"look"}}"#,
            r#"{"index":0,"function":{"name":"_up","arguments":"{}"}}"#,
        ]);
        assert_eq!(parts, [ToolCall::new("a", "look_up", "{}")]);
        // An id that changes in the middle of a call.
        let changed = calls(&[
            r#"{"index":0,"id":"a","function":{"name":"x","arguments":""}}"#,
            r#"{"index":0,"id":"b","function":{"arguments":"{}"}}"#,
        ]);
        assert_eq!(changed, [ToolCall::new("a", "x", "{}")]);
        // One id for two.
        let twice = calls(&[
            r#"{"index":0,"id":"a","function":{"name":"x"}}"#,
            r#"{"index":1,"id":"a","function":{"name":"y"}}"#,
        ]);
        assert_eq!(twice, [ToolCall::new("a", "x", ""), ToolCall::new("call-1", "y", "")]);
    }

    #[test]
    fn an_event_may_have_lines_of_any_kind() {
        let whole = "data: {\"choices\":[{\"delta\":{\"content\":\"all\"},\"message\":null,\ndata: \"finish_reason\":\"stop\"}]}\n\n";
        for end in ["\n", "\r\n", "\r"] {
            assert_eq!(read(&whole.replace('\n', end)).unwrap().text, "all", "{end:?}");
        }
        assert_eq!(read(&format!("\u{feff}{whole}")).unwrap().text, "all");
        assert_eq!(read("\u{feff}{\"choices\":[{\"message\":{\"content\":\"all\"}}]}").unwrap().text, "all");
        let long = format!("data: {{\"x\":[\n{}", "data: 1,\n".repeat(40));
        assert_eq!(read(&long), Err(Broken::Off));
    }

    #[test]
    fn half_an_answer_is_none_whatever_reason_comes_with_it() {
        for reason in ["null", "\"\"", "\"null\""] {
            let text =
                format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"half\"}},\"finish_reason\":{reason}}}]}}\n");
            assert_eq!(read(&text), Err(Broken::Off), "{reason}");
        }
        let torn = "data: {\"choices\":[{\"delta\":{\"content\":\"Pay \"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"not\n\ndata: [DONE]\n";
        assert!(matches!(read(torn), Err(Broken::Off | Broken::Strange(_))));
        let cut = "data: {\"choices\":[{\"delta\":{\"content\":\"half\"},\"finish_reason\":\"model_length\"}]}\n";
        assert_eq!(read(cut).unwrap().finish.as_deref(), Some(CUT));
        let text = "data: {\"choices\":[{\"delta\":{\"content\":\"half\"},\"finish_reason\":\"error\"}]}\n";
        assert_eq!(read(text), Err(Broken::Stopped("error".into())));
    }

    #[test]
    fn what_breaks_off_is_no_answer() {
        let whole = "data: {\"choices\":[{\"delta\":{\"content\":\"all\"},\"finish_reason\":\"stop\"}]}\n";
        for end in 0..whole.len() - 2 {
            assert!(matches!(read(&whole[..end]), Err(Broken::Off)), "cut at {end}");
        }
        assert!(read(whole).is_ok());
        assert_eq!(read(r#"{"choices":[{"message":{"content":"half"#), Err(Broken::Off));
        assert_eq!(read(""), Err(Broken::Off));
        // What it has cost may be missing.
        assert!(read(&format!("{whole}\ndata: {{\"choices\":[],\"usa")).is_ok());
    }

    #[test]
    fn what_is_no_answer_is_named() {
        for strange in ["<html>", "{}", "[]"] {
            assert!(matches!(read(strange), Err(Broken::Strange(_))), "{strange}");
        }
        assert!(matches!(read("data: [DONE]\n"), Err(Broken::Strange(_))));
        let told = read(r#"{"detail":"Not authenticated"}"#);
        assert_eq!(told, Err(Broken::Failed("Not authenticated".into())));
        let told = read(r#"{"error":{"code":7}}"#);
        assert_eq!(told, Err(Broken::Failed(r#"{"code":7}"#.into())));
        let failed = read("data: {\"error\":{\"message\":\"overloaded\"}}\n");
        assert_eq!(failed, Err(Broken::Failed("overloaded".into())));
        let mut reading = Reading::default();
        assert_eq!(reading.feed(&vec![b' '; LARGEST]), Ok(false));
        assert_eq!(reading.feed(b" "), Err(Broken::TooLarge));
    }
}
