//! `rejoin mcp`: for programs that know tools by the Model Context Protocol.

use super::participant::{Asking, Trouble};
use crate::output::Console;
use clap::Args;
use serde_json::{Value, json};
use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

const ABOUT: &str = "\
Reads the environment variables REJOIN_URL and REJOIN_RUN_TOKEN, which a program has that does an agent's job, and which it has to
hand on to this one. A program that speaks the protocol over HTTP asks $REJOIN_URL/v1/run/mcp itself, with the token as bearer.";

/// What is no JSON.
const PARSE_ERROR: i32 = -32_700;
/// What was not answered.
const INTERNAL_ERROR: i32 = -32_603;

/// Serves what the run may trigger as tools, over stdin and stdout: to be named as a server in a program's settings.
#[derive(Args)]
#[command(after_help = ABOUT)]
pub(crate) struct Mcp {}

impl Mcp {
    pub(crate) fn execute(self, mut console: Console) -> ExitCode {
        if let Err(trouble) = serve(&mut console) {
            console.complain(&trouble);
        }
        console.finish()
    }
}

fn serve(console: &mut Console) -> Result<(), Trouble> {
    let asking = Arc::new(Asking::new("mcp")?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let broken = |error: io::Error| Trouble::Input { from: "stdin".to_owned(), reason: error.to_string() };
    let (said, lines) = unbounded_channel();
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut line = Vec::new();
        while stdin.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            if said.send(std::mem::take(&mut line)).is_err() {
                break;
            }
        }
    });
    runtime.map_err(broken)?.block_on(answer(&asking, lines, console))
}

/// Each line is a message; what is answered to it is a line too. Calls may take long, and others are answered meanwhile.
async fn answer(
    asking: &Arc<Asking>,
    mut lines: UnboundedReceiver<Vec<u8>>,
    console: &mut Console,
) -> Result<(), Trouble> {
    let mut asked = JoinSet::new();
    let mut open = true;
    while open || !asked.is_empty() {
        tokio::select! {
            line = lines.recv(), if open => match line {
                Some(line) if line.trim_ascii().is_empty() => {}
                Some(line) => {
                    let asking = asking.clone();
                    asked.spawn(async move { exchange(&asking, &line).await });
                }
                None => open = false,
            },
            Some(done) = asked.join_next() => {
                // A task that was not cancelled has an answer; a notification has none.
                if let Ok(Some(message)) = done {
                    console.line(message)?;
                    console.flush()?;
                }
            }
        }
    }
    Ok(())
}

/// What is answered to a line, whatever it is.
async fn exchange(asking: &Asking, line: &[u8]) -> Option<String> {
    let message: Value = match serde_json::from_slice(line) {
        Ok(message) => message,
        Err(error) => return Some(refusal(&Value::Null, PARSE_ERROR, &format!("this is no JSON: {error}"))),
    };
    let why = match asking.post(message.to_string()).await {
        Ok((true, answer)) if answer.trim().is_empty() => return None,
        Ok((_, answer)) if is_message(&answer) => return Some(answer.trim().to_owned()),
        Ok((_, answer)) => answer,
        Err(trouble) => trouble.to_string(),
    };
    // A notification expects no answer.
    let is_notification = message.get("method").is_some() && message.get("id").is_none();
    (!is_notification).then(|| refusal(message.get("id").unwrap_or(&Value::Null), INTERNAL_ERROR, why.trim()))
}

fn is_message(answer: &str) -> bool {
    serde_json::from_str::<Value>(answer).is_ok_and(|answer| answer.get("jsonrpc").is_some())
}

fn refusal(id: &Value, code: i32, message: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }).to_string()
}
