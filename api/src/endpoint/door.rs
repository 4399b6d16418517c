//! The door: an address that is known at once, and an engine that comes later.

use super::routes;
use rejoin::{Callable, Engine, RunId};
use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The endpoint, open from when it is made. Clones are the same door.
#[derive(Clone)]
pub(crate) struct Door(Arc<Shared>);

struct Shared {
    url: String,
    stands: watch::Sender<Stands>,
    /// What those who work now may trigger.
    working: Mutex<HashMap<RunId, Vec<Callable>>>,
}

#[derive(Clone)]
enum Stands {
    Waiting,
    Open(Engine),
    Closed,
}

impl Door {
    /// Opens it, on a port that is free. To be called inside a tokio runtime.
    pub(crate) async fn open() -> io::Result<Door> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let door = Door(Arc::new(Shared {
            url,
            stands: watch::Sender::new(Stands::Waiting),
            working: Mutex::new(HashMap::new()),
        }));
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

    /// Somebody works for this run, and may trigger this, for as long as what is returned is kept.
    pub(crate) fn working(&self, run: RunId, callable: Vec<Callable>) -> Working {
        self.runs().insert(run, callable);
        Working { door: self.clone(), run }
    }

    /// What a run may trigger that is worked for now.
    pub(super) fn callable(&self, run: RunId) -> Option<Vec<Callable>> {
        self.runs().get(&run).cloned()
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<RunId, Vec<Callable>>> {
        self.0.working.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody works for a run.
pub(crate) struct Working {
    door: Door,
    run: RunId,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.door.runs().remove(&self.run);
    }
}
