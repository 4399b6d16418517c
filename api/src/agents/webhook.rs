//! A channel that is an endpoint on the network: told of each question by a signed POST, as Standard Webhooks say. What comes
//! back is not looked at, apart from whether it was taken; the answer comes by the address that stands in the message, or by
//! whoever has the token.

use super::http::signature;
use super::secret::SecretRef;
use super::trouble::{lasting, passing};
use crate::endpoint::Door;
use crate::outside;
use rejoin::{Announcement, Channel, Failure};
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long a delivery may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where people are told.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    /// The address.
    pub(crate) url: String,
    /// What requests are signed with.
    pub(crate) secret: Option<SecretRef>,
    /// Whether it may be on this machine, or in a private network.
    pub(crate) allow_inner: bool,
}

/// The channel. Answers come in by the door.
pub(crate) fn channel(webhook: Webhook, door: Door) -> Channel {
    let webhook = Arc::new(webhook);
    Channel::of(move |announcement| {
        let (webhook, door) = (webhook.clone(), door.clone());
        async move { webhook.tell(&announcement, &door).await }
    })
}

impl Webhook {
    async fn tell(&self, announcement: &Announcement, door: &Door) -> Result<(), Failure> {
        let bad = |why: &str| lasting("bad-url", format!("the address of the webhook {why}"));
        let url = Url::parse(&self.url).map_err(|error| bad(&error.to_string()))?;
        let refused = |refused: outside::Refused| lasting("address-refused", refused.to_string());
        outside::check(&url, self.allow_inner).map_err(refused)?;
        let body = body(announcement, door);
        let secret = self.secret.as_ref().map(SecretRef::resolve).transpose()?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let client = outside::client(self.allow_inner).timeout(PATIENCE).build();
        let client = client.map_err(|error| passing("no-client", error.to_string()))?;
        let mut request = client.post(url).header(CONTENT_TYPE, "application/json");
        for (name, value) in signature::headers(&announcement.key, now, &body, secret.as_deref())? {
            request = request.header(name, value);
        }
        let response = request.body(body).send().await;
        let response = response.map_err(|error| passing("unreachable", error.without_url().to_string()))?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(passing("refused", format!("the webhook answered {status}"))) }
    }
}

fn body(announcement: &Announcement, door: &Door) -> Vec<u8> {
    let Announcement { key, run, token, question, answers, persons, expires_at } = announcement;
    let told = json!({
        "type": "approval.requested",
        "id": key,
        "run": run.to_string(),
        "question": question,
        "answers": answers,
        "persons": persons,
        "expires_at": expires_at.and_then(|it| chrono::DateTime::from_timestamp_micros(it.0)).map(|it| it.to_rfc3339()),
        "token": token.to_string(),
        "answer_url": format!("{}/v1/approvals/{token}", door.url()),
    });
    told.to_string().into_bytes()
}
