//! Asking an endpoint: one request, one whole answer, or why there is none.

use super::stream::{Broken, Reading};
use super::wire::{Answer, Request, error_text};
use super::{AgentError, ModelAgent};
use crate::agents::redact::Redactor;
use crate::agents::secret::SecretRef;
use crate::agents::trouble::passing;
use crate::outside;
use rejoin::Failure;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Whoever answers for a model: an endpoint, or what a test puts in its place.
pub(super) trait Transport: Send + Sync {
    /// Asks. The same key is the same request, sent again; `hear` is told of the text while it comes.
    fn ask(&self, key: String, request: Request, hear: Hear) -> Asking;
}

/// Who hears the end of a text while it comes.
pub(super) type Hear = Arc<dyn Fn(&str) + Send + Sync>;

/// An answer that is on its way.
pub(super) type Asking = Pin<Box<dyn Future<Output = Result<Answer, Denied>> + Send>>;

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Denied {
    pub(super) failure: Failure,
    /// How long the endpoint wants to be left alone.
    pub(super) after: Option<Duration>,
}

impl From<Failure> for Denied {
    fn from(failure: Failure) -> Denied {
        Denied { failure, after: None }
    }
}

/// How much of what an endpoint says about a failure is read, and kept.
const LARGEST_COMPLAINT: usize = 64 << 10;
const KEPT_COMPLAINT: usize = 1 << 10;

/// An endpoint on the network. Cheap to clone.
#[derive(Clone)]
pub(super) struct Endpoint {
    parts: Arc<Result<Parts, AgentError>>,
}

struct Parts {
    client: Client,
    url: Url,
    secret: Option<SecretRef>,
}

impl Endpoint {
    /// The endpoint of an agent. What is wrong with it is told to whoever asks.
    pub(super) fn new(agent: &ModelAgent) -> Endpoint {
        Endpoint { parts: Arc::new(Parts::new(agent)) }
    }
}

impl Transport for Endpoint {
    fn ask(&self, key: String, request: Request, hear: Hear) -> Asking {
        let parts = self.parts.clone();
        Box::pin(async move {
            match &*parts {
                Ok(parts) => parts.ask(&key, &request, &*hear).await,
                Err(error) => Err(Failure::business("model-endpoint", error.to_string()).into()),
            }
        })
    }
}

impl Parts {
    fn new(agent: &ModelAgent) -> Result<Parts, AgentError> {
        let url = agent.endpoint()?;
        let client = outside::client(agent.allow_inner).timeout(agent.timeout).build();
        let client = client.map_err(|source| AgentError::Client { agent: agent.name.clone(), source })?;
        Ok(Parts { client, url, secret: agent.key.clone() })
    }

    async fn ask(&self, key: &str, request: &Request, hear: &(dyn Fn(&str) + Send + Sync)) -> Result<Answer, Denied> {
        let secret = self.secret.as_ref().map(SecretRef::resolve).transpose()?;
        let asking = self.client.post(self.url.clone()).header("Idempotency-Key", key).json(request);
        let asking = match &secret {
            Some(secret) => asking.bearer_auth(secret),
            None => asking,
        };
        let response = asking.send().await.map_err(unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(refused(response, secret.as_deref()).await);
        }
        // What is shorter is no secret, and may be a word.
        let redactor = Redactor::new(secret.clone().filter(|secret| secret.len() >= LEAST_SECRET));
        let clean = |text: &str| {
            let first = text.floor_char_boundary(text.len().saturating_sub(HEARD + redactor.longest()));
            let end = &text[first..];
            let end = if first > 0 { redactor.cut_text(end) } else { redactor.text(end) };
            hear(redactor.certain(&end));
        };
        let answer = read(response, &clean).await.map_err(|failure| redacted(failure, secret.as_deref()))?;
        Ok(answer.redacted(&redactor))
    }
}

/// How much of a text is heard while it comes, in bytes.
const HEARD: usize = 256;

/// How long a key is at least that may stand in no answer.
const LEAST_SECRET: usize = 8;

/// How long what an answer has cost is waited for, once it is there.
const COST: Duration = Duration::from_secs(3);

/// The answer, or a failure that another attempt may mend.
async fn read(mut response: Response, hear: &(dyn Fn(&str) + Send + Sync)) -> Result<Answer, Failure> {
    let mut reading = Reading::default();
    loop {
        let bytes = if reading.is_finished() {
            // What is paid for is not asked for again because of how the connection ends.
            timeout(COST, response.chunk()).await.unwrap_or(Ok(None)).unwrap_or(None)
        } else {
            response.chunk().await.map_err(unreachable)?
        };
        let Some(bytes) = bytes else { break };
        let ends = match reading.feed(&bytes) {
            Err(_) if reading.is_finished() => break,
            fed => fed.map_err(|error| broken(&error))?,
        };
        hear(reading.text());
        if ends {
            break;
        }
    }
    reading.finish().map_err(|error| broken(&error))
}

/// Why an endpoint could not be reached, or went away: transient, unless it lies where it must not.
fn unreachable(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    if let Some(refused) = outside::refusal(&error) {
        return Failure::business("model-endpoint", refused.to_string());
    }
    if error.is_timeout() {
        return passing("timeout", "the endpoint has not answered in time");
    }
    if error.is_body() || error.is_decode() {
        return broken(&Broken::Off);
    }
    let mut cause: &dyn Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    passing("unreachable", format!("the endpoint cannot be asked: {cause}"))
}

/// What came is no answer, or not all of one.
fn broken(broken: &Broken) -> Failure {
    passing("model-broken", broken.to_string())
}

/// What an endpoint says in place of an answer. Final, unless it is busy or broken.
async fn refused(response: Response, secret: Option<&str>) -> Denied {
    let status = response.status();
    let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.trim().parse().ok());
    let complaint = redact(complaint(response).await, secret);
    let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    let code = format!("model-{}", status.as_u16());
    if status.is_server_error() || busy.contains(&status) {
        let failure = Failure::transient(format!("{code}: {complaint}"));
        return Denied { failure, after: after.map(Duration::from_secs) };
    }
    let hint = if status.is_redirection() { "give the address that it redirects to; " } else { "" };
    Failure::business(code, format!("{hint}the endpoint says: {complaint}")).into()
}

/// What an endpoint says about a failure, in a few words.
async fn complaint(mut response: Response) -> String {
    let mut said = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        said.extend_from_slice(&bytes);
        if said.len() > LARGEST_COMPLAINT {
            break;
        }
    }
    let text = serde_json::from_slice::<Value>(&said).ok().as_ref().and_then(error_text);
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(&said).trim().to_owned());
    if text.is_empty() { "nothing".to_owned() } else { text }
}

/// A text in which the key does not stand, cut to what is kept.
fn redact(text: String, secret: Option<&str>) -> String {
    let mut text = secret.map_or_else(|| text.clone(), |secret| text.replace(secret, "[key]"));
    text.truncate(text.floor_char_boundary(KEPT_COMPLAINT));
    text
}

/// As [`redact`], of a failure that is transient.
fn redacted(failure: Failure, secret: Option<&str>) -> Failure {
    match failure.is_transient() {
        true => Failure::transient(redact(failure.message().to_owned(), secret)),
        false => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_out_of_what_is_kept() {
        let said = "Incorrect API key provided: sk-1234.".to_owned();
        assert_eq!(redact(said, Some("sk-1234")), "Incorrect API key provided: [key].");
        assert_eq!(redact("é".repeat(KEPT_COMPLAINT), None).len(), KEPT_COMPLAINT);
    }
}
