//! An agent that is an endpoint on the network: asked by a signed POST for each piece of work, and heard in the answer.
//!
//! The request is signed as Standard Webhooks say, where there is a secret. An answer of 2xx is the result, as JSON, or an object of
//! one field that means what it means from a program; nothing in its body is none. Another 4xx than 408, 425 and 429 is final, as is
//! a redirection: nobody is sent elsewhere. What another attempt may mend is tried again; an answer that says when to come again
//! (`Retry-After`, in seconds) is waited for within the attempt, up to a minute: the engine's pauses know nothing of answers.
//!
//! An answer of 202 says that the result comes later: by a POST to `/v1/run/answer` at the address in `Rejoin-Url`, with the token
//! in `Rejoin-Run-Token`, which opens everything else that a program may ask there too. Both go over https, or to
//! this machine.
//!
//! Unless it is allowed, no address inside is asked, whatever the name in the URL leads to, see [`outside`].

pub(super) mod signature;

use super::answer::Answer;
use super::assignment::{Work, reading};
use super::elsewhere::{self, Attempting, Elsewhere};
use super::line;
use super::redact::Redactor;
use super::secret::SecretRef;
use super::trouble::{lasting, passing};
use crate::endpoint::Door;
use crate::outside::{self, Refused};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rejoin::{Attempt, Builder, Document, Failure};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::OnceCell;

/// The longest answer, in bytes: a result may be no longer.
const LONGEST: usize = 2 << 20;

/// The most bytes of documents that go along.
const DOCUMENTS: u64 = 8 << 20;

/// How much of an answer that is none goes into a message, in bytes.
const SHOWN: usize = 1 << 10;

/// The longest that an answer may put the next attempt off.
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent that is an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct HttpAgent {
    /// The agent's name.
    pub(crate) name: String,
    /// Of what answers for it, where that is a step of a definition.
    pub(crate) version: u32,
    /// Where it is asked.
    pub(crate) url: String,
    /// What requests are signed with: `whsec_` and base64, or the key itself.
    pub(crate) secret: Option<SecretRef>,
    /// Headers beside those that are always there.
    pub(crate) headers: BTreeMap<String, Header>,
    /// How long one attempt may take.
    pub(crate) timeout: Duration,
    /// How many attempts each piece of work gets.
    pub(crate) attempts: u32,
    /// Whether it may be on this machine, or in a private network.
    pub(crate) allow_inner: bool,
}

/// The value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// As it is.
    Plain(String),
    /// One that nobody is shown.
    Secret(SecretRef),
}

/// Registers what answers for the agent. The agent itself, with its grants, is declared apart from that.
pub(crate) fn register(builder: Builder, agent: HttpAgent, door: Door) -> Builder {
    let (name, version) = (agent.name.clone(), agent.version);
    let headers = agent.headers.values().filter_map(|header| match header {
        Header::Secret(secret) => Some(secret.clone()),
        Header::Plain(_) => None,
    });
    door.keep_quiet(&name, headers.chain(agent.secret.clone()));
    elsewhere::register(builder, &name, version, Asking { agent, client: OnceCell::new(), door })
}

/// The agent, and what it is asked with from the first attempt on.
struct Asking {
    agent: HttpAgent,
    client: OnceCell<Client>,
    /// The way back to the engine.
    door: Door,
}

impl Elsewhere for Asking {
    const STEP: &'static str = "request";

    fn attempts(&self) -> u32 {
        self.agent.attempts
    }

    fn attempt(self: Arc<Self>, work: Arc<Work>, attempt: Attempt) -> Attempting {
        Box::pin(async move {
            let is_last = attempt.number() >= self.agent.attempts;
            match self.ask(work, attempt).await? {
                Heard::Answer(answer) => Ok(answer),
                Heard::Failed { failure, after } => {
                    if !is_last {
                        tokio::time::sleep(after.min(PATIENCE)).await;
                    }
                    Err(failure)
                }
            }
        })
    }
}

/// What came back.
enum Heard {
    Answer(Answer),
    /// Nothing of use, and for how long there is no sense in asking again.
    Failed {
        failure: Failure,
        after: Duration,
    },
}

/// A document, as the endpoint gets it.
#[derive(Serialize)]
struct Enclosed {
    name: String,
    bytes: u64,
    /// Base64.
    content: String,
}

impl Asking {
    async fn ask(&self, work: Arc<Work>, attempt: Attempt) -> Result<Heard, Failure> {
        let agent = &self.agent;
        let url = target(agent)?;
        let (mut headers, mut secrets) = headers(&agent.headers)?;
        let id = attempt.idempotency_key();
        if url.scheme() == "https" || is_here(&url) {
            let stopped = || passing("stopped", "the engine is going");
            let token = attempt.token(&self.door.engine().await.ok_or_else(stopped)?).to_string();
            headers.insert("rejoin-url", header("Rejoin-Url", self.door.url())?);
            let mut content = header("Rejoin-Run-Token", &token)?;
            content.set_sensitive(true);
            headers.insert("rejoin-run-token", content);
            secrets.push(token);
        }
        let body = reading(move || body(&work, &attempt)).await?;
        let secret = agent.secret.as_ref().map(SecretRef::resolve).transpose()?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        for (name, value) in signature::headers(&id, now, &body, secret.as_deref())? {
            headers.insert(name, header(name, &value)?);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        secrets.extend(secret);
        let client = self.client.get_or_try_init(|| async { client(agent) }).await?;
        let asked = async {
            let response =
                client.post(url).headers(headers).body(body).send().await.map_err(|error| unanswered(&error))?;
            heard(response, &Redactor::new(secrets)).await
        };
        let limit = tokio::time::timeout(agent.timeout, asked).await;
        limit.unwrap_or_else(|_| {
            Err(passing("timeout", format!("{} took longer than {} s", agent.name, agent.timeout.as_secs_f64())))
        })
    }
}

fn body(work: &Work, attempt: &Attempt) -> Result<Vec<u8>, Failure> {
    let mut left = DOCUMENTS;
    let enclose = |(_, document): (usize, &Document)| {
        let too_large =
            || lasting("documents-too-large", format!("documents of more than {DOCUMENTS} bytes cannot go along"));
        left = left.checked_sub(document.len()).ok_or_else(too_large)?;
        let content = STANDARD.encode(document.read()?);
        Ok(Enclosed { name: document.name().to_owned(), bytes: document.len(), content })
    };
    Ok(serde_json::to_vec(&work.assignment(attempt, enclose)?)?)
}

/// The URL, if it may be asked as far as it tells by itself.
fn target(agent: &HttpAgent) -> Result<Url, Failure> {
    let bad = |why: &str| lasting("bad-url", format!("the URL of agent {:?} {why}", agent.name));
    let url = Url::parse(&agent.url).map_err(|error| bad(&format!("cannot be read: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("is neither of http nor of https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("has a password in it; give that in a header, as a secret"));
    }
    outside::check(&url, agent.allow_inner).map_err(|refused| inner(&refused))?;
    Ok(url)
}

/// Whether it is on this machine, and what goes there on no network.
fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn client(agent: &HttpAgent) -> Result<Client, Failure> {
    let client = outside::client(agent.allow_inner).build();
    client.map_err(|error| passing("no-client", format!("no requests can be made: {error}")))
}

/// The declared headers, and the secrets that are in them.
fn headers(declared: &BTreeMap<String, Header>) -> Result<(HeaderMap, Vec<String>), Failure> {
    let (mut headers, mut secrets) = (HeaderMap::new(), Vec::new());
    for (name, value) in declared {
        let text = match value {
            Header::Plain(text) => text.clone(),
            Header::Secret(secret) => secret.resolve()?,
        };
        let mut content = header(name, &text)?;
        if let Header::Secret(_) = value {
            content.set_sensitive(true);
            secrets.push(text);
        }
        let name: HeaderName =
            name.parse().map_err(|_| lasting("bad-header", format!("{name:?} is no name of a header")))?;
        headers.insert(name, content);
    }
    Ok((headers, secrets))
}

fn header(name: &str, value: &str) -> Result<HeaderValue, Failure> {
    value.parse().map_err(|_| lasting("bad-header", format!("the value of the header {name} cannot stand in one")))
}

fn inner(refused: &Refused) -> Failure {
    lasting("address-refused", refused.to_string())
}

/// Why there is no answer at all. The error's own words have the URL in them, which is nobody's concern.
fn unanswered(error: &reqwest::Error) -> Failure {
    if let Some(refused) = outside::refusal(error) {
        return inner(refused);
    }
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    passing("unreachable", format!("the endpoint cannot be asked: {cause}"))
}

async fn heard(mut response: Response, redactor: &Redactor) -> Result<Heard, Failure> {
    let (status, after) = (response.status(), retry_after(response.headers()));
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| unanswered(&error))? {
        if body.len() + piece.len() > LONGEST {
            return Err(lasting("output-limit", format!("the answer is longer than {LONGEST} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    if status == StatusCode::ACCEPTED {
        return Ok(Heard::Answer(Answer::later()));
    }
    if status.is_success() {
        let result = if body.trim_ascii().is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body) };
        let result = result.map_err(|error| lasting("bad-answer", format!("the answer is no JSON: {error}")))?;
        return line::at_once(result, redactor).map(Heard::Answer);
    }
    let said = redactor.text(&String::from_utf8_lossy(&body));
    let said = said[..said.floor_char_boundary(SHOWN)].trim();
    let (code, message) = (format!("http-{}", status.as_u16()), format!("the endpoint answers {status}: {said}"));
    if may_mend(status) {
        Ok(Heard::Failed { failure: passing(&code, message), after: after.unwrap_or_default() })
    } else {
        Err(lasting(&code, message))
    }
}

fn may_mend(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429)
}

/// When to ask again. Dates are not read: clocks differ, and the engine's own pauses grow.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
