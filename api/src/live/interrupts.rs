//! Being asked to end: by Ctrl-C, by a terminal that closes, by another process.

use std::future::poll_fn;
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears whoever asks the process to end.
pub(crate) struct Interrupts {
    signals: Vec<Signal>,
    /// Somebody has asked, and nobody has done anything about it.
    kept: bool,
}

impl Interrupts {
    /// Listens from now on. Before, the process ends there and then, so nothing that has to be put away may begin before.
    pub(crate) fn listen() -> Interrupts {
        // With nohup it is not to end when the terminal is closed.
        let hangup = Some(SignalKind::hangup()).filter(|kind| !is_ignored(*kind));
        let kinds = [Some(SignalKind::interrupt()), Some(SignalKind::terminate()), hangup];
        // One that cannot be heard of ends the process by itself.
        let signals = kinds.into_iter().flatten().filter_map(|kind| signal(kind).ok()).collect();
        Interrupts { signals, kept: false }
    }

    /// Comes when somebody asks, or has asked since the last time.
    pub(crate) async fn next(&mut self) {
        if std::mem::take(&mut self.kept) {
            return;
        }
        poll_fn(|context| match self.signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await
    }

    /// What has come is for the next who waits.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }

    /// What has come so far is done with.
    pub(crate) async fn forget(&mut self) {
        self.kept = false;
        poll_fn(|context| {
            self.signals.iter_mut().for_each(|signal| while signal.poll_recv(context).is_ready() {});
            Poll::Ready(())
        })
        .await
    }
}

/// Whether whoever started the process does not want it to hear that; where nobody can tell, they do.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}
