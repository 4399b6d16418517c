//! One process that plays a script: to its end, or until it dies.

use super::dying::{Death, Dying};
use super::memory::Memory;
use super::player::{Departure, Player};
use super::scene::{Scene, Seen};
use super::script::Script;
use super::time::TestClock;
use crate::error::Trouble;
use crate::host::{self, Host};
use crate::live::interrupts::Interrupts;
use rejoin::definition::Project;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The moment at which the process is to die.
pub(super) const DEATH: &str = "REJOIN_TEST_DEATH";

/// How a script was played, as the process says it that did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Lived {
    pub(crate) seen: Seen,
    /// Where it went another way: the step, and why.
    pub(crate) departure: Option<(usize, String)>,
}

/// Plays a script with a project whose folder may be written to.
pub(crate) fn live(project: &Project, folder: &Path, script: &Script, patience: Duration) -> Result<Lived, Trouble> {
    let death: Option<Death> =
        std::env::var(DEATH).ok().map(|text| text.parse()).transpose().map_err(Trouble::Start)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Trouble::Start(error.to_string()))?;
    let data = folder.join(".rejoin");
    let lived: Result<_, Trouble> = runtime.block_on(async {
        let mut interrupts = Interrupts::listen();
        let unread = |error: std::io::Error| unread(&data, &error);
        fs::create_dir_all(&data).map_err(unread)?;
        let clock = Arc::new(TestClock::open(&data.join("time")).map_err(unread)?);
        let host = Host::open_with(project, folder, &data, 0, |builder| match (builder.clock(clock.clone()), death) {
            (builder, Some(death)) => builder.wrap_disk(move |folder| Dying::new(folder, death)),
            (builder, None) => builder,
        });
        let host = host.await?;
        let (lived, programs) = (played(&host, &clock, &data, script, patience), host.programs());
        tokio::select! {
            biased;
            // Nobody waits for how it goes on.
            () = interrupts.next() => Ok((Err(Trouble::Refused("it was interrupted".to_owned())), programs)),
            lived = lived => {
                host.close().await;
                Ok((lived, programs))
            }
        }
    });
    let (lived, programs) = lived?;
    host::end(runtime, &programs);
    lived
}

async fn played(
    host: &Host,
    clock: &TestClock,
    data: &Path,
    script: &Script,
    patience: Duration,
) -> Result<Lived, Trouble> {
    let memory = Memory::open(&data.join("played")).map_err(|error| unread(data, &error))?;
    let scene = Scene::begin(&host.engine, script).await?;
    let player = Player { scene: &scene, memory, clock, patience, calls: BTreeMap::new(), replies: 0 };
    let departure = player.play(script).await.err().map(|Departure { step, why }| (step, why));
    let seen = scene.seen().await.map_err(|error| Trouble::Refused(error.to_string()))?;
    Ok(Lived { seen, departure })
}

fn unread(data: &Path, error: &std::io::Error) -> Trouble {
    Trouble::Write { path: data.display().to_string(), reason: error.to_string() }
}
