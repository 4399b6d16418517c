//! The built-in agent that is a language model: any endpoint that speaks the chat completions API.
//!
//! It is an ordinary durable handler. Each turn of the model is one recorded step, so that it is paid for once, and each tool that
//! the model calls is a call like any other, under the agent's grants.

mod client;
mod handler;
mod prompt;
mod stream;
mod tools;
mod wire;

#[cfg(test)]
mod tests;

use super::secret::SecretRef;
use crate::endpoint::Door;
use crate::outside::{self, Refused};
use client::{Endpoint, Transport};
use handler::Desk;
use prompt::Opening;
use rejoin::definition::interned;
use rejoin::{Builder, Context, Job};
use reqwest::Url;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// How many turns a model has for one job, where nothing is said.
pub(crate) const MAX_TURNS: u32 = 16;

/// How long the answer of a person is waited for, where nothing is said.
pub(crate) const WITHIN: Duration = Duration::from_secs(86_400);

/// An agent that is a language model.
#[derive(Clone, Debug)]
pub(crate) struct ModelAgent {
    /// The agent's name; its grants are declared beside it, as for any agent.
    pub(crate) name: String,
    /// The base of the endpoint, such as `https://host/v1`.
    pub(crate) url: String,
    /// The model's name at the endpoint.
    pub(crate) model: String,
    /// Where the endpoint's key is found; it is read for each request, and stands in no event.
    pub(crate) key: Option<SecretRef>,
    /// What it is to do, in words.
    pub(crate) instructions: String,
    /// How free it is in its choice of words.
    pub(crate) temperature: Option<f64>,
    /// The JSON Schema of what its jobs answer, where that is not a text. A task has its own.
    pub(crate) output: Option<Value>,
    /// Whom it may ask questions; nobody, and it is not shown that it could.
    pub(crate) asks: Vec<String>,
    /// How long an answer of theirs is waited for.
    pub(crate) within: Duration,
    /// How often it may be asked for one job; [`MAX_TURNS`] where nothing is said.
    pub(crate) max_turns: u32,
    /// How many tokens one job may cost before it is not asked again.
    pub(crate) token_budget: Option<u64>,
    /// How long one request may take.
    pub(crate) timeout: Duration,
    /// How many attempts each turn gets.
    pub(crate) attempts: u32,
    /// Whether the endpoint may lie on this machine or its network, and be spoken to without encryption.
    pub(crate) allow_inner: bool,
}

/// Why an agent cannot be what it was declared to be.
#[derive(Debug, Error)]
pub(crate) enum AgentError {
    #[error(
        "agent {agent:?} has the endpoint {url:?}, which is no web address; give the base, such as https://host/v1"
    )]
    Url { agent: String, url: String },
    #[error("agent {agent:?} has an endpoint with a name or password in it; give the key as a secret instead")]
    Credentials { agent: String },
    #[error("agent {agent:?} has the endpoint {url}, which is not encrypted; use https, or say allow_inner: true")]
    Plain { agent: String, url: String },
    #[error("agent {agent:?} has the endpoint {url}, and {reason}")]
    Inner { agent: String, url: String, reason: String },
    #[error("agent {agent:?} names no model; give the name that its endpoint knows")]
    NoModel { agent: String },
    #[error("agent {agent:?} cannot speak to any endpoint: {source}")]
    Client { agent: String, source: reqwest::Error },
}

impl ModelAgent {
    /// Whether it can be asked, as far as that can be told without asking. One that cannot is registered all the same, and each of
    /// its jobs fails with the same words.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), AgentError> {
        self.endpoint().map(drop)
    }

    /// Where requests go to.
    fn endpoint(&self) -> Result<Url, AgentError> {
        let agent = || self.name.clone();
        if self.model.is_empty() {
            return Err(AgentError::NoModel { agent: agent() });
        }
        let bad = || AgentError::Url { agent: agent(), url: self.url.clone() };
        let mut url = Url::parse(&self.url).map_err(|_| bad())?;
        let host = url.host_str().ok_or_else(bad)?.to_owned();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AgentError::Credentials { agent: agent() });
        }
        let shown = format!("{}://{host}", url.scheme());
        match url.scheme() {
            "https" => {}
            "http" if self.allow_inner => {}
            "http" => return Err(AgentError::Plain { agent: agent(), url: shown }),
            _ => return Err(bad()),
        }
        let inner = |reason: Refused| AgentError::Inner { agent: agent(), url: shown, reason: reason.to_string() };
        outside::check(&url, self.allow_inner).map_err(inner)?;
        // What follows the path, such as the version of an API, stays.
        let path = format!("{}/chat/completions", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(url)
    }
}

/// Registers an agent for all that an agent can be asked: jobs of any name, tasks, and turns of conversations.
/// What a model says is seen while it comes.
pub(crate) fn register(builder: Builder, agent: ModelAgent, door: Door) -> Builder {
    let endpoint = Arc::new(Endpoint::new(&agent));
    register_with(builder, agent, endpoint, Some(door))
}

/// As [`register`], with somebody else who answers for the model.
fn register_with(builder: Builder, agent: ModelAgent, transport: Arc<dyn Transport>, door: Option<Door>) -> Builder {
    let name = interned(&agent.name);
    let desk = Arc::new(Desk { agent, transport, door });
    let (job, task, turn) = (desk.clone(), desk.clone(), desk);
    builder
        .job(&Job::of(name), move |ctx: Context, input| job.clone().answer(ctx, Opening::Job(input)))
        .job(&Job::tasks(name), move |ctx: Context, given| task.clone().answer(ctx, Opening::Task(given)))
        .job(&Job::turns(name), move |ctx: Context, said| turn.clone().answer(ctx, Opening::Turn(said)))
}
