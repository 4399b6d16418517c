//! A thread that writes, so that a slow reader holds up nothing else. Once the reader is gone, what comes is dropped.

use std::io::{self, ErrorKind, Write};
use std::thread;
use tokio::sync::{mpsc, oneshot};

/// How many texts wait to be written.
const WAITING: usize = 256;

/// Where texts go out.
pub(crate) struct Outlet {
    texts: Option<mpsc::Sender<String>>,
    /// How it went.
    done: oneshot::Receiver<io::Result<()>>,
    /// How many there was no room for since the last that there was room for.
    dropped: usize,
}

impl Outlet {
    /// What is given to it is written to `to`.
    pub(crate) fn to(mut to: impl Write + Send + 'static) -> Outlet {
        let (texts, mut waiting) = mpsc::channel::<String>(WAITING);
        let (over, done) = oneshot::channel();
        let write = move || {
            let mut written = Ok(());
            while let Some(text) = waiting.blocking_recv() {
                written = to.write_all(text.as_bytes()).and_then(|()| to.flush());
                if written.is_err() {
                    break;
                }
            }
            // Nobody may wait for it.
            let _ = over.send(written);
        };
        // Without a thread there is no output, and the run goes on.
        let started = thread::Builder::new().name("rejoin-live".to_owned()).spawn(write).is_ok();
        Outlet { texts: Some(texts).filter(|_| started), done, dropped: 0 }
    }

    /// Whether everything that was given to it is written, or about to be: a picture that comes now is not late.
    pub(crate) fn is_idle(&self) -> bool {
        self.texts.as_ref().is_some_and(|texts| texts.capacity() == WAITING)
    }

    /// Writes it, and waits as long as there is no room for it.
    pub(crate) async fn send(&mut self, text: String) {
        if let Some(texts) = &self.texts {
            // The reader is gone: see above.
            let _ = texts.send(text).await;
        }
    }

    /// Writes it if there is room for it; a note says so where something was left out.
    pub(crate) fn offer(&mut self, text: String) {
        let Some(texts) = &self.texts else { return };
        let note = match self.dropped {
            0 => String::new(),
            dropped => format!("note: {dropped} lines were left out, since nobody read them in time\n"),
        };
        match texts.try_send(note + &text) {
            Ok(()) => self.dropped = 0,
            Err(_) => self.dropped += 1,
        }
    }

    /// Waits until everything is written; nothing more is.
    ///
    /// # Errors
    ///
    /// Why the rest could not be written. A reader that has had enough is no error.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        if self.texts.take().is_none() {
            return Ok(());
        }
        // A thread that is gone without a word has no texts.
        match (&mut self.done).await.unwrap_or(Ok(())) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc as channel;
    use std::time::Duration;

    /// Takes a text each time that it is told to.
    struct Slow(channel::Receiver<()>, channel::Sender<String>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            let _ = self.1.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed_and_a_closed_one_ends_quietly() {
        let ((go, told), (written, read)) = (channel::channel(), channel::channel());
        let mut outlet = Outlet::to(Slow(told, written));
        let next = |go: &channel::Sender<()>| {
            go.send(()).unwrap();
            read.recv_timeout(Duration::from_secs(10)).unwrap()
        };
        // The first one is being written: from then on nothing is taken until it is.
        outlet.offer("first\n".to_owned());
        while !outlet.is_idle() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for number in 0..WAITING + 100 {
            outlet.offer(format!("{number}\n"));
        }
        assert!(!outlet.is_idle());
        assert_eq!(next(&go), "first\n");
        for number in 0..WAITING {
            assert_eq!(next(&go), format!("{number}\n"));
        }
        outlet.offer("last\n".to_owned());
        assert_eq!(next(&go), "note: 100 lines were left out, since nobody read them in time\nlast\n");
        drop(go);
        outlet.send("nobody reads this".to_owned()).await;
        outlet.send("nor this".to_owned()).await;
        outlet.finish().await.expect("the reader had enough");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_cannot_be_written_is_told() {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut outlet = Outlet::to(full);
        outlet.send("something".to_owned()).await;
        let error = outlet.finish().await.expect_err("the disk is full");
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
}
