//! What a program that does an agent's job asks the engine for, in the name of its run.

use serde_json::Value;
use std::env;
use std::time::Duration;
use thiserror::Error;

/// How long it may take to reach the endpoint, which is on this machine.
const CONNECT: Duration = Duration::from_secs(5);

/// Why there is no result.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    #[error(
        "{0} is not set: this command is for programs that do an agent's job, which are started with REJOIN_URL and \
         REJOIN_RUN_TOKEN in their environment"
    )]
    Variable(&'static str),
    #[error("nothing works in {folder} ({reason}); go on with it by rejoin resume, and name the project by --project")]
    NobodyThere { folder: String, reason: String },
    #[error("the input cannot be read from {from}: {reason}")]
    Input { from: String, reason: String },
    #[error("{url} cannot be asked ({reason}); it is there while the engine works")]
    Unreachable { url: String, reason: String },
    #[error("{0}")]
    Refused(String),
    #[error("{url} gives an answer that is none: {reason}")]
    Answer { url: String, reason: String },
    #[error(transparent)]
    Output(#[from] crate::error::Trouble),
    /// It did not complete.
    #[error("{message} ({code})")]
    Ended { status: Status, code: String, message: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Failed,
    Refused,
    TimedOut,
}

/// Whom to ask, and by which token.
pub(super) struct Asking {
    url: String,
    token: String,
    client: reqwest::Client,
}

impl Asking {
    /// For a route of the run.
    pub(super) fn new(route: &str) -> Result<Asking, Trouble> {
        let variable = |name: &'static str| env::var(name).map_err(|_| Trouble::Variable(name));
        let (url, token) = (variable("REJOIN_URL")?, variable("REJOIN_RUN_TOKEN")?);
        Asking::at(&url, token, route)
    }

    /// For a route of the run, there.
    pub(super) fn at(url: &str, token: String, route: &str) -> Result<Asking, Trouble> {
        let url = format!("{}/v1/run/{route}", url.trim_end_matches('/'));
        // The endpoint is on this machine: no proxy leads there, and it sends nobody elsewhere.
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        match client.connect_timeout(CONNECT).build() {
            Ok(client) => Ok(Asking { url, token, client }),
            Err(error) => Err(Trouble::Unreachable { url, reason: root(&error) }),
        }
    }

    /// Asks once, and waits for the answer.
    pub(super) fn ask(&self, body: &Value) -> Result<Value, Trouble> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| self.unreachable(error.to_string()))?;
        let (is_good, answer) = runtime.block_on(self.post(body.to_string()))?;
        let answer: Value = serde_json::from_str(&answer)
            .map_err(|error| Trouble::Answer { url: self.url.clone(), reason: error.to_string() })?;
        if is_good { Ok(answer) } else { Err(Trouble::Refused(said(&answer["error"]["message"]))) }
    }

    /// Sends a text of JSON: whether it was taken, and what was answered.
    pub(super) async fn post(&self, body: String) -> Result<(bool, String), Trouble> {
        let request = self.client.post(&self.url).bearer_auth(&self.token).body(body);
        let request =
            request.header("Content-Type", "application/json").header("Accept", "application/json, text/event-stream");
        let answered = async {
            let answer = request.send().await?;
            Ok((answer.status().is_success(), answer.text().await?))
        };
        answered.await.map_err(|error: reqwest::Error| self.unreachable(root(&error)))
    }

    fn unreachable(&self, reason: String) -> Trouble {
        Trouble::Unreachable { url: self.url.clone(), reason }
    }
}

/// What a call came to, as the endpoint says it.
pub(super) fn outcome(mut answer: Value) -> Result<Value, Trouble> {
    let status = match answer["status"].as_str() {
        Some("completed") => return Ok(answer["output"].take()),
        Some("refused") => Status::Refused,
        Some("timed-out") => Status::TimedOut,
        _ => Status::Failed,
    };
    let failure = &answer["failure"];
    Err(Trouble::Ended { status, code: said(&failure["code"]), message: said(&failure["message"]) })
}

fn said(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The innermost cause: what the operating system says, as a rule.
fn root(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}
