//! How far an agent is that works elsewhere, on its way to whoever watches: it holds up nothing, and what comes too fast is left out.

use rejoin::{Attempt, Engine, Participant, RunError};
use serde_json::Value;
use tokio::sync::watch;

/// Where an attempt says how far it is. The last of them is told in any case.
pub(super) struct Telling(watch::Sender<Value>);

impl Telling {
    /// To those who watch the run of this attempt. To be called inside a tokio runtime.
    pub(super) fn of(engine: &Engine, attempt: &Attempt) -> Telling {
        let (sender, receiver) = watch::channel(Value::Null);
        // A token that was just made is good.
        if let Ok(participant) = engine.participant(attempt.token(engine)) {
            tokio::spawn(tell(participant, receiver));
        }
        Telling(sender)
    }

    pub(super) fn tell(&self, progress: Value) {
        self.0.send_replace(progress);
    }
}

async fn tell(participant: Participant, mut progress: watch::Receiver<Value>) {
    while progress.changed().await.is_ok() {
        let said = progress.borrow_and_update().clone();
        match participant.progress(&said).await {
            Ok(_) => {}
            // Nobody watches what is that large.
            Err(RunError::Payload(_)) => {}
            Err(_) => break,
        }
    }
}
