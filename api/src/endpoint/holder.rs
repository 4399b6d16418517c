//! Who asks: somebody on this machine, with the token of a run.

use super::door::Door;
use super::error::Refusal;
use axum::extract::{FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rejoin::{Engine, Participant, RunToken};

/// Whoever holds the token of a run.
pub(super) struct Holder {
    pub(super) engine: Engine,
    pub(super) participant: Participant,
    /// The token.
    pub(super) token: String,
}

impl FromRequestParts<Door> for Holder {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Holder, Refusal> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = header.and_then(|value| value.split_once(' ')).ok_or(Refusal::NoToken)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::NoToken);
        }
        let said = token.trim().to_owned();
        let token: RunToken = said.parse()?;
        let engine = door.engine().await.ok_or(Refusal::Closed)?;
        let participant = engine.participant(token)?;
        Ok(Holder { engine, participant, token: said })
    }
}

/// Lets in who asks for this machine by name or address: a page in a browser whose name was pointed here asks for that name.
pub(super) async fn only_local(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if is_local(host) { next.run(request).await } else { Refusal::Host(host.to_owned()).into_response() }
}

fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name == "127.0.0.1" || name == "[::1]" || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in ["127.0.0.1", "127.0.0.1:80", "localhost:1", "LocalHost", "[::1]", "[::1]:9"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["", "evil.example:80", "127.0.0.1.evil.example", "localhost.", "127.0.0.1:x", "127.0.0.1:", "::1"]
        {
            assert!(!is_local(host), "{host}");
        }
    }
}
