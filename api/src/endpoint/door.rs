//! The door: an address that is known at once, and an engine that comes later.

use super::routes;
use crate::agents::redact::Redactor;
use crate::agents::secret::SecretRef;
use rejoin::Engine;
use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The endpoint, open from when it is made. Clones are the same door.
#[derive(Clone)]
pub(crate) struct Door(Arc<Shared>);

struct Shared {
    url: String,
    /// The secrets that agents are given, which no late answer of theirs may bring into the log.
    secrets: Mutex<BTreeMap<String, Vec<SecretRef>>>,
    stands: watch::Sender<Stands>,
}

#[derive(Clone)]
enum Stands {
    Waiting,
    Open(Engine),
    Closed,
}

impl Door {
    /// Opens it on a port of this machine; 0 is one that is free. To be called inside a tokio runtime.
    pub(crate) async fn open(port: u16) -> io::Result<Door> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let door =
            Door(Arc::new(Shared { url, secrets: Mutex::default(), stands: watch::Sender::new(Stands::Waiting) }));
        let mut stands = door.0.stands.subscribe();
        let served = axum::serve(listener, routes::router(door.clone())).with_graceful_shutdown(async move {
            // The door cannot go before its server does: that has a clone of it.
            let _ = stands.wait_for(|stands| matches!(stands, Stands::Closed)).await;
        });
        tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "the endpoint for runs has ended");
            }
        });
        Ok(door)
    }

    /// Its address, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    /// What an agent is given that is secret.
    pub(crate) fn keep_quiet(&self, agent: &str, secrets: impl Iterator<Item = SecretRef>) {
        let mut known = self.0.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(agent.to_owned()).or_default().extend(secrets);
    }

    /// Takes out of what an agent says what it was given that is secret, and this.
    pub(super) fn redactor(&self, agent: &str, this: String) -> Redactor {
        let known = self.0.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets = known.get(agent).into_iter().flatten().filter_map(|secret| secret.resolve().ok());
        Redactor::new(secrets.chain([this]))
    }

    /// From now on it leads to this engine. The engine has handlers that know the door, and the door now keeps the engine: call
    /// [`Door::close`] when that is shut down, or neither of them ever goes.
    pub(crate) fn serve(&self, engine: Engine) {
        self.0.stands.send_replace(Stands::Open(engine));
    }

    /// Closes it. Requests that are being answered are answered.
    pub(crate) fn close(&self) {
        self.0.stands.send_replace(Stands::Closed);
    }

    /// The engine, as soon as there is one; `None` if the door was closed.
    pub(crate) async fn engine(&self) -> Option<Engine> {
        let mut stands = self.0.stands.subscribe();
        let now = stands.wait_for(|stands| !matches!(stands, Stands::Waiting)).await;
        match &*now.ok()? {
            Stands::Open(engine) => Some(engine.clone()),
            Stands::Waiting | Stands::Closed => None,
        }
    }
}
