//! The time of a test: the system's, and what has been passed over. That stands in a file, so that it never goes back from one
//! process to the next.

use rejoin::{Clock, SystemClock, Timestamp};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// How long the engine sleeps at most: it has to see that time has passed.
const NAP: Duration = Duration::from_millis(10);

/// See the head of this file.
pub(super) struct TestClock {
    /// How far it is ahead of the system's, in microseconds.
    ahead: AtomicI64,
    file: PathBuf,
}

impl TestClock {
    pub(super) fn open(file: &Path) -> io::Result<TestClock> {
        let ahead = match fs::read_to_string(file) {
            Ok(text) => text.trim().parse().map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(TestClock { ahead: AtomicI64::new(ahead), file: file.to_owned() })
    }

    /// Lets time pass until then.
    pub(super) fn pass_until(&self, then: Timestamp) -> io::Result<()> {
        let left = i64::try_from(then.since(self.now()).0).unwrap_or(i64::MAX);
        let ahead = self.ahead.load(Ordering::SeqCst).saturating_add(left);
        let new = self.file.with_extension("new");
        fs::write(&new, ahead.to_string())?;
        fs::rename(new, &self.file)?;
        self.ahead.store(ahead, Ordering::SeqCst);
        Ok(())
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0.saturating_add(self.ahead.load(Ordering::SeqCst)))
    }

    fn until(&self, due: Timestamp) -> Duration {
        due.since(self.now()).duration().min(NAP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_machine::Span;

    #[test]
    fn it_never_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("time");
        let clock = TestClock::open(&path).unwrap();
        let day = Span::from(Duration::from_secs(86_400));
        let then = clock.now().after(day);
        clock.pass_until(then).unwrap();
        assert!(clock.now() >= then && clock.now() < then.after(day));
        assert!(TestClock::open(&path).unwrap().now() >= then);
        clock.pass_until(then).unwrap();
        assert!(clock.now() < then.after(day), "what has passed does not pass again");
    }
}
