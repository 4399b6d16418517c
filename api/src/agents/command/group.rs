//! A program and all that it has started: one process group, of which nothing outlives the attempt.

use super::super::trouble::{lasting, passing};
use super::documents::Folder;
use super::output::{Heard, Tail, Unheard};
use rejoin::Failure;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::future::pending;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, copy};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

/// How long it has to end by itself, once it is asked to.
const GRACE: Duration = Duration::from_secs(2);

/// How often it is looked whether it has.
const PAUSE: Duration = Duration::from_millis(20);

/// A process group. Dropped, it is asked to end, and then made to.
pub(super) struct Group(Option<Running>);

impl Group {
    /// Starts the program; the folder is kept as long as any of it works.
    pub(super) fn start(mut command: Command, folder: Folder) -> Result<Group, Failure> {
        let mut child = command.spawn().map_err(|error| not_started(&error))?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(not_started(&io::Error::other("it has no pipes")));
        };
        Ok(Group(Some(Running { child, stdout, stderr, id, _folder: folder })))
    }

    /// Tells it what to do, and hears it until it has ended. Whoever is told that it was not heard to the end ends it.
    pub(super) async fn attend(
        &mut self,
        input: Vec<u8>,
        heard: &mut Heard,
        tail: &mut Tail,
    ) -> Result<ExitStatus, Unheard> {
        let Running { child, stdout, stderr, id, .. } =
            self.0.as_mut().ok_or_else(|| io::Error::other("it was heard before"))?;
        let stdin = child.stdin.take();
        let mut talk = pin!(async {
            let others = async {
                tokio::join!(tell(stdin, input), tail.read(stderr));
                Ok(())
            };
            tokio::try_join!(heard.read(stdout), others).map(drop)
        });
        let status = tokio::select! {
            said = &mut talk => {
                said?;
                child.wait().await?
            }
            status = child.wait() => {
                end_rest(id);
                // What has left the group may hold the pipes for as long as it likes.
                timeout(GRACE, talk).await.unwrap_or(Ok(()))?;
                status?
            }
        };
        end_rest(id);
        Ok(status)
    }

    /// Asks what still works of it to end, makes it, and waits until it has.
    pub(super) async fn end(&mut self) {
        if let Some(running) = self.0.take() {
            running.end().await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(running) = self.0.take().filter(|running| running.id.is_some()) else { return };
        // Where nothing can wait for it any more, it is killed at once: by what is dropped here.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(running.end());
        }
    }
}

/// What works and has not been waited for. Dropped, it is killed.
struct Running {
    child: Child,
    stdout: ChildStdout,
    stderr: ChildStderr,
    /// The group has the number of its first process; none once that was waited for and the group is gone.
    id: Option<Pid>,
    _folder: Folder,
}

impl Running {
    async fn end(mut self) {
        kill(self.id, Signal::TERM);
        let going = async {
            let _ = self.child.wait().await;
            while self.id.is_some_and(|id| test_kill_process_group(id).is_ok()) {
                sleep(PAUSE).await;
            }
        };
        // Whoever tidies up must not be killed for saying so.
        let has_gone = tokio::select! {
            gone = timeout(GRACE, going) => gone.is_ok(),
            () = ignore(&mut self.stdout, &mut self.stderr) => false,
        };
        if !has_gone {
            kill(self.id, Signal::KILL);
            // It cannot put that off; what went wrong with the waiting is nobody's concern here.
            let _ = self.child.wait().await;
        }
        self.id = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill(self.id, Signal::KILL);
    }
}

/// The first process was waited for; the others go with it. Its number stays the group's as long as there is one of them, and
/// just after that it would be the last to be given out again.
fn end_rest(id: &mut Option<Pid>) {
    kill(id.take(), Signal::KILL);
}

fn kill(id: Option<Pid>, signal: Signal) {
    if let Some(id) = id {
        // There may be nothing left to kill.
        let _ = kill_process_group(id, signal);
    }
}

async fn tell(stdin: Option<ChildStdin>, input: Vec<u8>) {
    if let Some(mut stdin) = stdin {
        // A program need not read it.
        let _ = stdin.write_all(&input).await;
    }
}

/// Reads what nobody wants to hear, for as long as it is asked to.
async fn ignore(stdout: &mut ChildStdout, stderr: &mut ChildStderr) {
    let (mut no_output, mut no_complaint) = (tokio::io::sink(), tokio::io::sink());
    let _ = tokio::join!(copy(stdout, &mut no_output), copy(stderr, &mut no_complaint));
    pending().await
}

fn not_started(error: &io::Error) -> Failure {
    let message = format!("the program cannot be started: {error}");
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::PermissionDenied
        | ErrorKind::ArgumentListTooLong
        | ErrorKind::InvalidInput => lasting("not-started", message),
        _ => passing("not-started", message),
    }
}
