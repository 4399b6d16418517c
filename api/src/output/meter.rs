//! How far something is that takes a while.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rejoin_store::journal::Progress;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a line says how far it is where stderr is no terminal.
const NOW_AND_THEN: Duration = Duration::from_secs(5);

/// Shows how far it is: a bar on a terminal, and a line now and then elsewhere.
pub(crate) struct Meter {
    bar: ProgressBar,
    /// What such a line says behind the percentage.
    what: &'static str,
    said: Mutex<Instant>,
}

impl Meter {
    pub(crate) fn new(what: &'static str) -> Meter {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:40} {percent}% of {total_bytes}, {eta} to go");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Meter { bar, what, said: Mutex::new(Instant::now()) }
    }

    /// Nothing of it stays on the terminal.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    pub(crate) fn show(&self, Progress { done, total }: Progress) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        if io::stderr().is_terminal() {
            return;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.elapsed() >= NOW_AND_THEN {
            *said = Instant::now();
            let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
            // With stderr gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "note: {percent} % {}", self.what);
        }
    }
}
