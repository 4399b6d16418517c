//! An endpoint of the tests: it speaks the chat completions API over TCP, and says what it was told to say.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What the endpoint answers to one request.
pub(super) enum Reply {
    /// Plain JSON.
    Plain(Value),
    /// Events, as data lines.
    Stream(Vec<String>),
    /// The first of a stream, and the rest when that has been seen.
    Halting(Vec<String>, Arc<Notify>),
    /// As much of a stream, and then the connection breaks.
    Cut(Vec<String>),
    /// Another status, with a header and a body.
    Status(u16, &'static str, Value),
    /// Nothing, ever.
    Silence,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) head: String,
    pub(super) body: Value,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&str| line.split_once(':').is_some_and(|(known, _)| known.eq_ignore_ascii_case(name));
        self.head.lines().find(named)?.split_once(':').map(|(_, value)| value.trim())
    }

    pub(super) fn messages(&self) -> &[Value] {
        self.body["messages"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// The last message, and of what role it is.
    pub(super) fn last(&self) -> (&str, &str) {
        let last = &self.messages()[self.messages().len() - 1];
        (last["role"].as_str().unwrap_or_default(), last["content"].as_str().unwrap_or_default())
    }
}

/// What is answered to a request.
type Answering = dyn Fn(&Seen) -> Reply + Send + Sync;

/// An endpoint that is there.
pub(super) struct Server {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// Answers the first request with the first reply, and so on.
    pub(super) async fn saying(replies: impl IntoIterator<Item = Reply>) -> Server {
        let replies = Mutex::new(VecDeque::from_iter(replies));
        let over = || Reply::Status(400, "X-Why: over", json!({ "error": "nothing more was planned" }));
        Server::answering(move |_| replies.lock().unwrap().pop_front().unwrap_or_else(over)).await
    }

    /// Answers each request by what it says.
    pub(super) async fn answering(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (seen, answer): (_, Arc<Answering>) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let noted = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, noted.clone(), answer.clone()));
            }
        });
        Server { url, seen }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Seen>>>, answer: Arc<Answering>) {
    let Some(request) = request(&mut stream).await else { return };
    assert!(request.head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", request.head);
    let reply = answer(&request);
    seen.lock().unwrap().push(request);
    let bytes = match reply {
        Reply::Plain(value) => whole(200, "X-Plain: yes", &value),
        Reply::Status(status, header, value) => whole(status, header, &value),
        Reply::Stream(lines) => chunked(&lines) + "0\r\n\r\n",
        Reply::Halting(lines, seen) => {
            let (whole, first) = (chunked(&lines) + "0\r\n\r\n", chunked(&lines[..1]));
            let _ = stream.write_all(first.as_bytes()).await;
            seen.notified().await;
            whole[first.len()..].to_owned()
        }
        Reply::Cut(lines) => chunked(&lines),
        Reply::Silence => std::future::pending().await,
    };
    let _ = stream.write_all(bytes.as_bytes()).await;
}

async fn request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let mut seen = Seen { head: String::from_utf8_lossy(&bytes[..end]).into_owned(), body: Value::Null };
        let length: usize = seen.header("content-length")?.parse().ok()?;
        if let Some(body) = bytes.get(end + 4..end + 4 + length) {
            seen.body = serde_json::from_slice(body).ok()?;
            return Some(seen);
        }
    }
}

fn whole(status: u16, header: &str, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n{header}\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn chunked(lines: &[String]) -> String {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let event = |line: &String| format!("data: {line}\n\n");
    let chunk = |text: String| format!("{:x}\r\n{text}\r\n", text.len());
    head.to_owned() + &lines.iter().map(event).map(chunk).collect::<String>()
}

/// A text, as plain JSON.
pub(super) fn plain(text: &str) -> Reply {
    Reply::Plain(json!({
        "choices": [{ "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 5 },
    }))
}

/// The lines of a streamed text, in two pieces.
pub(super) fn text_lines(text: &str) -> Vec<String> {
    let (first, second) = text.split_at(text.len() / 2);
    let piece = |content: &str| json!({ "choices": [{ "index": 0, "delta": { "content": content } }] }).to_string();
    let end = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] }).to_string();
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 10, "completion_tokens": 5 } }).to_string();
    vec![piece(first), piece(second), end, usage, "[DONE]".to_owned()]
}

/// Calls of tools with their arguments, streamed.
pub(super) fn calls(calls: &[(&str, &str)]) -> Reply {
    named_calls("id", calls)
}

/// That, with names of the calls which begin so.
pub(super) fn named_calls(names: &str, calls: &[(&str, &str)]) -> Reply {
    let delta = |index: usize, more: Value| {
        let mut call = json!({ "index": index });
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "choices": [{ "delta": { "tool_calls": [call] } }] }).to_string()
    };
    let mut lines = Vec::new();
    for (index, (name, arguments)) in calls.iter().enumerate() {
        let id = format!("{names}-{index}");
        lines
            .push(delta(index, json!({ "id": id, "type": "function", "function": { "name": name, "arguments": "" } })));
        lines.push(delta(index, json!({ "function": { "arguments": arguments } })));
    }
    lines.push(json!({ "choices": [{ "delta": {}, "finish_reason": "tool_calls" }] }).to_string());
    lines.push(json!({ "choices": [], "usage": { "prompt_tokens": 20, "completion_tokens": 10 } }).to_string());
    lines.push("[DONE]".to_owned());
    Reply::Stream(lines)
}
