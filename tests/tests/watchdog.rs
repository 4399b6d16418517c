//! A handler that holds its thread is named, since it holds up all others.

use rejoin::{Context, Engine, Failure, Settings, Workflow};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the log").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;
    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

#[tokio::test]
async fn a_handler_that_holds_its_thread_is_named() {
    const GREEDY: Workflow<u64, u64> = Workflow::named("greedy");
    let log = Log::default();
    tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).init();
    let folder = tempfile::tempdir().expect("a folder");
    let settings = Settings { watchdog: Duration::from_millis(100), ..Settings::default() };
    let greedy = |_: Context, millis: u64| async move {
        std::thread::sleep(Duration::from_millis(millis));
        Ok::<u64, Failure>(millis)
    };
    let engine =
        Engine::open(folder.path()).settings(settings).workflow(&GREEDY, greedy).start().await.expect("it starts");
    let run = engine.trigger(&GREEDY, 1500).await.expect("a run");
    assert_eq!(run.result().await.expect("it ends"), 1500);
    engine.shutdown().await;
    let text = String::from_utf8(log.0.lock().expect("the log").clone()).expect("text");
    assert!(text.contains("holds its thread") && text.contains("greedy"), "{text}");
    assert!(text.contains(&run.id().to_string()), "{text}");
}
