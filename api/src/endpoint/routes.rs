//! What can be asked, and the answers.

use super::body;
use super::door::Door;
use super::error::Refusal;
use super::holder::{Holder, only_local};
use super::mcp;
use crate::agents::toolbox::divided;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Method, Uri};
use axum::middleware::from_fn;
use axum::routing::{any, get, post};
use axum::{Json, Router};
use rejoin::{Callable, Failure, FailureKind, Participant, Rejection, RunError, join_all};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The longest timeout, in seconds: a year.
pub(super) const LONGEST: u64 = 31_536_000;

pub(super) fn router(door: Door) -> Router {
    Router::new()
        .route("/v1/run", get(run))
        .route("/v1/run/trigger", post(trigger))
        .route("/v1/run/subagents", post(subagents))
        .route("/v1/run/answer", post(answer))
        .route("/v1/run/signal", post(signal))
        .route("/v1/run/mcp", any(mcp::serve))
        .route("/v1/approvals/{token}", post(decide))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .layer(from_fn(only_local))
        .with_state(door)
}

async fn unknown(method: Method, uri: Uri) -> Refusal {
    Refusal::Route(format!("{method} {}", uri.path()))
}

/// The run, as whoever works for it may see it.
#[derive(Serialize)]
struct About {
    id: String,
    /// The workflow or agent.
    name: String,
    depth: u32,
    callable: Vec<Shown>,
    /// Among how many subagents the work may be divided.
    subagents: u32,
}

/// Something that the run may trigger.
#[derive(Serialize)]
struct Shown {
    name: String,
    is_agent: bool,
    description: Option<String>,
    when: Option<String>,
    /// How long it may take, where a trigger does not say.
    timeout_seconds: f64,
    input: Option<Value>,
    jobs: Vec<ShownJob>,
}

#[derive(Serialize)]
struct ShownJob {
    name: String,
    description: Option<String>,
}

impl From<Callable> for Shown {
    fn from(Callable { name, is_agent, description, when, timeout, input, jobs }: Callable) -> Shown {
        let job = |(name, description)| ShownJob { name, description };
        let timeout_seconds = timeout.as_secs_f64();
        Shown { name, is_agent, description, when, timeout_seconds, input, jobs: jobs.into_iter().map(job).collect() }
    }
}

async fn run(Holder { engine, participant, .. }: Holder) -> Result<Json<About>, Refusal> {
    let id = participant.run_id();
    let row = engine.describe(id)?.row;
    let callable = participant.callable()?.into_iter().map(Shown::from).collect();
    let subagents = participant.subagents_allowed()?;
    Ok(Json(About { id: id.to_string(), name: row.workflow, depth: row.depth, callable, subagents }))
}

/// What is to be triggered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    job: Option<String>,
    #[serde(default)]
    input: Value,
    /// Where there is none, it is the digest of name, job and input: the same asked for again, also by a later attempt, finds
    /// what was begun. Whoever wants the same thing twice gives two keys.
    key: Option<String>,
    message: Option<String>,
    timeout_seconds: Option<u64>,
}

/// The key of what is asked for without one.
pub(super) fn digest(name: &str, job: Option<&str>, input: &Value) -> String {
    let whole = json!([name, job, input]).to_string();
    Sha256::digest(whole).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whoever asks may go while it waits: the child goes on, and is found again under its key.
async fn trigger(holder: Holder, body: Body) -> Result<Json<Value>, Refusal> {
    let wanted: Wanted = body::read(body).await?;
    let key = wanted.key.unwrap_or_else(|| digest(&wanted.name, wanted.job.as_deref(), &wanted.input));
    let mut call = holder.participant.call(key, &wanted.name, wanted.job.as_deref(), &wanted.input);
    if let Some(message) = wanted.message {
        call = call.message(message);
    }
    if let Some(limit) = limit(wanted.timeout_seconds)? {
        call = call.timeout(limit);
    }
    Ok(Json(ended(call.await)?))
}

fn limit(seconds: Option<u64>) -> Result<Option<Duration>, Refusal> {
    match seconds {
        Some(seconds) if !(1..=LONGEST).contains(&seconds) => Err(Refusal::Timeout(seconds)),
        seconds => Ok(seconds.map(Duration::from_secs)),
    }
}

/// Parts of the work, for subagents.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    /// In words, by the name under which a part is found again.
    tasks: Value,
    timeout_seconds: Option<u64>,
}

async fn subagents(holder: Holder, body: Body) -> Result<Json<Value>, Refusal> {
    let parts: Parts = body::read(body).await?;
    let tasks = divided(Some(&parts.tasks)).map_err(Refusal::Body)?;
    let results = gathered(&holder.participant, tasks, limit(parts.timeout_seconds)?).await?;
    Ok(Json(json!({ "results": results })))
}

/// Gives parts of the work to subagents, side by side: what came of each, by its name.
pub(super) async fn gathered(
    participant: &Participant,
    tasks: Vec<(String, String)>,
    limit: Option<Duration>,
) -> Result<Map<String, Value>, Refusal> {
    // Whoever asks for too much is told before anything of it begins.
    let (most, known) = (participant.subagents_allowed()?, participant.subagents()?);
    let fresh = tasks.iter().filter(|(name, _)| !known.contains(name)).count();
    if most > 0 && known.len() + fresh > most as usize {
        return Err(Refusal::TooManyParts { most, known: known.len(), fresh });
    }
    let part = |(name, task): (String, String)| {
        let asked = participant.subagent(&name, task);
        let asked = limit.into_iter().fold(asked, |asked, limit| asked.timeout(limit));
        async move {
            match asked.await {
                // The other parts have answers.
                Err(RunError::Rejected(Rejection::DuplicateKey { .. })) => {
                    let message = "the part of this name was given another task before; take another name";
                    let failure = json!({ "code": "another-task", "message": message, "details": null });
                    Ok((name, json!({ "status": "refused", "failure": failure })))
                }
                asked => Ok((name, ended(asked)?)),
            }
        }
    };
    join_all(tasks.into_iter().map(part).collect::<Vec<_>>()).await.into_iter().collect()
}

/// The result of a run whose agent has said that it comes later; or why there is none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Late {
    Result(Value),
    Error(LateError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LateError {
    code: String,
    message: Option<String>,
}

async fn answer(State(door): State<Door>, holder: Holder, body: Body) -> Result<Json<Value>, Refusal> {
    let Holder { engine, participant, token } = holder;
    let agent = engine.describe(participant.run_id())?.row.workflow;
    let redactor = door.redactor(&agent, token);
    let run = engine.run::<Value>(participant.run_id());
    match body::read(body).await? {
        Late::Result(result) => run.answer(&redactor.value(result)).await?,
        Late::Error(LateError { code, message }) => {
            let message = message.map(|message| redactor.text(&message));
            run.refuse(Failure::business(redactor.text(&code), message)).await?;
        }
    }
    Ok(Json(json!({ "status": "answered" })))
}

/// Something that a run waits for, by its name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    name: String,
    #[serde(default)]
    payload: Value,
}

async fn signal(Holder { engine, participant, .. }: Holder, body: Body) -> Result<Json<Value>, Refusal> {
    let Sent { name, payload } = body::read(body).await?;
    if name.is_empty() {
        return Err(Refusal::Body("the name of the signal is empty".to_owned()));
    }
    engine.run::<Value>(participant.run_id()).signal(&name, &payload).await?;
    Ok(Json(json!({ "status": "sent" })))
}

/// The answer to a question. The token in the address is what opens it, and only a POST decides.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    person: String,
    answer: String,
    comment: Option<String>,
}

async fn decide(State(door): State<Door>, Path(token): Path<String>, body: Body) -> Result<Json<Value>, Refusal> {
    let token = token.parse()?;
    let Said { person, answer, comment } = body::read(body).await?;
    let engine = door.engine().await.ok_or(Refusal::Closed)?;
    engine.decide(token, &person, &answer, comment.as_deref()).await?;
    Ok(Json(json!({ "status": "decided" })))
}

/// What came of a call, where it was made.
pub(super) fn ended(result: Result<Value, RunError>) -> Result<Value, RunError> {
    match result {
        Ok(output) => Ok(json!({ "status": "completed", "output": output })),
        Err(RunError::Failed(failure)) => Ok(failed(&failure)),
        Err(error) => Err(error),
    }
}

fn failed(failure: &Failure) -> Value {
    let status = match failure.kind() {
        FailureKind::Refused => "refused",
        FailureKind::TimedOut => "timed-out",
        FailureKind::Cancelled => "cancelled",
        _ => "failed",
    };
    let details = failure.details();
    json!({
        "status": status,
        "failure": { "code": failure.code(), "message": failure.message(), "details": details },
    })
}
