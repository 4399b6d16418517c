//! What the endpoint says no with: `{"error": {"code", "message"}}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rejoin::RunError;
use serde_json::json;
use std::net::Ipv4Addr;
use thiserror::Error;

/// Why a request was not answered.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error("ask with the header Authorization: Bearer and the run's token, which is in REJOIN_RUN_TOKEN")]
    NoToken,
    #[error("the host {0:?} is not this machine; ask {ip}, as REJOIN_URL says", ip = Ipv4Addr::LOCALHOST)]
    Host(String),
    #[error(
        "there is no {0}; there are GET /v1/run, POST /v1/run/trigger, POST /v1/run/subagents, POST /v1/run/answer, POST /v1/run/signal, \
         /v1/run/mcp and POST /v1/approvals/TOKEN"
    )]
    Route(String),
    #[error("the body is longer than {0} bytes; hand over large content as a document")]
    TooLong(usize),
    #[error("the body did not come within {0} seconds")]
    TooSlow(u64),
    #[error("the body broke off: {0}")]
    Broken(String),
    #[error("the body is not what is asked for: {0}")]
    Body(String),
    #[error("timeout_seconds is {0}; give 1 at least and {most} at most", most = super::routes::LONGEST)]
    Timeout(u64),
    #[error("the job may have {most} subagents, has had {known}, and these would be {fresh} more")]
    TooManyParts { most: u32, known: usize, fresh: usize },
    #[error("the engine is going; ask again when it is back")]
    Closed,
    #[error(transparent)]
    Run(#[from] RunError),
}

impl Refusal {
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Refusal::NoToken | Refusal::Run(RunError::BadToken) => (StatusCode::UNAUTHORIZED, "bad-token"),
            Refusal::Host(_) => (StatusCode::FORBIDDEN, "bad-host"),
            Refusal::Route(_) => (StatusCode::NOT_FOUND, "no-route"),
            Refusal::TooLong(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too-long"),
            Refusal::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, "too-slow"),
            Refusal::Broken(_) | Refusal::Body(_) | Refusal::Timeout(_) => (StatusCode::BAD_REQUEST, "bad-request"),
            Refusal::TooManyParts { .. } => (StatusCode::CONFLICT, "too-many-subagents"),
            Refusal::Run(RunError::Payload(_)) => (StatusCode::BAD_REQUEST, "bad-request"),
            Refusal::Run(RunError::NotFound(_)) => (StatusCode::NOT_FOUND, "no-run"),
            Refusal::Run(RunError::Answered(_) | RunError::Rejected(_)) => (StatusCode::CONFLICT, "rejected"),
            Refusal::Closed | Refusal::Run(RunError::Stopped) => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
            Refusal::Run(RunError::Overloaded(_)) => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Refusal::Run(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code) = self.kind();
        (status, Json(json!({ "error": { "code": code, "message": self.to_string() } }))).into_response()
    }
}
