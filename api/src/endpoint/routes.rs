//! What can be asked, and the answers.

use super::body;
use super::door::Door;
use super::error::Refusal;
use super::holder::{Holder, only_local};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Method, Uri};
use axum::middleware::from_fn;
use axum::routing::{get, post};
use axum::{Json, Router};
use rejoin::{Callable, Failure, FailureKind, RunError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The longest timeout, in seconds: a year.
pub(super) const LONGEST: u64 = 31_536_000;

pub(super) fn router(door: Door) -> Router {
    Router::new()
        .route("/v1/run", get(run))
        .route("/v1/run/trigger", post(trigger))
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
    /// Of a run that nobody works for now it is not known.
    callable: Option<Vec<Shown>>,
}

/// Something that the run may trigger.
#[derive(Serialize)]
struct Shown {
    name: String,
    is_agent: bool,
    description: Option<String>,
    when: Option<String>,
    jobs: Vec<ShownJob>,
}

#[derive(Serialize)]
struct ShownJob {
    name: String,
    description: Option<String>,
}

impl From<Callable> for Shown {
    fn from(Callable { name, is_agent, description, when, jobs }: Callable) -> Shown {
        let job = |(name, description)| ShownJob { name, description };
        Shown { name, is_agent, description, when, jobs: jobs.into_iter().map(job).collect() }
    }
}

async fn run(State(door): State<Door>, Holder { engine, participant }: Holder) -> Result<Json<About>, Refusal> {
    let id = participant.run_id();
    let row = engine.describe(id)?.row;
    let callable = door.callable(id).map(|all| all.into_iter().map(Shown::from).collect());
    Ok(Json(About { id: id.to_string(), name: row.workflow, depth: row.depth, callable }))
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

impl Wanted {
    fn digest(&self) -> String {
        let whole = json!([self.name, self.job, self.input]).to_string();
        Sha256::digest(whole).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Whoever asks may go while it waits: the child goes on, and is found again under its key.
async fn trigger(holder: Holder, body: Body) -> Result<Json<Value>, Refusal> {
    let wanted: Wanted = body::read(body).await?;
    let key = wanted.key.clone().unwrap_or_else(|| wanted.digest());
    let mut call = holder.participant.call(key, &wanted.name, wanted.job.as_deref(), &wanted.input);
    if let Some(message) = wanted.message {
        call = call.message(message);
    }
    if let Some(seconds) = wanted.timeout_seconds {
        if !(1..=LONGEST).contains(&seconds) {
            return Err(Refusal::Timeout(seconds));
        }
        call = call.timeout(Duration::from_secs(seconds));
    }
    match call.await {
        Ok(output) => Ok(Json(json!({ "status": "completed", "output": output }))),
        Err(RunError::Failed(failure)) => Ok(Json(ended(&failure))),
        Err(error) => Err(error.into()),
    }
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

fn ended(failure: &Failure) -> Value {
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
