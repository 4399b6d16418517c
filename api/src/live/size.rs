//! How large the terminal is.

use std::fs::File;
use std::process::Stdio;
use tokio::process::Command;

/// Columns and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// What a terminal has that does not say how large it is.
pub(crate) const USUAL: Size = Size { width: 80, height: 24 };

/// The terminal's size now. `stty` is asked: the system's own call is unsafe, and this is a rare question.
pub(crate) async fn size() -> Size {
    let Ok(terminal) = File::open("/dev/tty") else { return USUAL };
    let mut stty = Command::new("stty");
    stty.arg("size").stdin(terminal).stderr(Stdio::null());
    let said = stty.output().await.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    said.ok().and_then(|said| parse(&said)).unwrap_or(USUAL)
}

/// Lines and columns, as `stty size` says them; a terminal that does not know says 0.
fn parse(said: &str) -> Option<Size> {
    let mut numbers = said.split_whitespace().map(|number| number.parse().ok().filter(|number| *number > 0));
    let (height, width) = (numbers.next()??, numbers.next()??);
    Some(Size { width, height })
}

/// Tells when the size has changed.
#[cfg(unix)]
pub(crate) struct Resized(Option<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Resized {
    pub(crate) fn new() -> Resized {
        use tokio::signal::unix::{SignalKind, signal};
        // Without the signal the picture keeps the size that it has.
        Resized(signal(SignalKind::window_change()).ok())
    }

    /// Waits until it changes.
    pub(crate) async fn next(&mut self) {
        let changed = match &mut self.0 {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if changed.is_none() {
            std::future::pending().await
        }
    }
}

/// Tells when the size has changed: there is no signal for it here.
#[cfg(not(unix))]
pub(crate) struct Resized;

#[cfg(not(unix))]
impl Resized {
    pub(crate) fn new() -> Resized {
        Resized
    }

    /// Waits for ever.
    pub(crate) async fn next(&mut self) {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_two_numbers_that_are_not_0() {
        assert_eq!(parse("24 132\n"), Some(Size { width: 132, height: 24 }));
        assert_eq!(parse("0 0\n"), None);
        assert_eq!(parse("stty: not a tty"), None);
        assert_eq!(parse(""), None);
    }
}
