//! The order of the operating system's calls, as strace sees it: nothing is done, and nothing is said, before the record that
//! it rests on is durable.
//!
//! With `REJOIN_REQUIRE_TOOLS=1` a missing strace is a failure.

use rejoin::RunId;
use rejoin_tests::process;
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A call, with its place in the trace: the lines where it began and where it was completed.
#[derive(Debug)]
struct Call {
    name: String,
    /// What its first argument is open on.
    file: String,
    data: Vec<u8>,
    began: usize,
    ended: usize,
}

/// Whether strace is there and may be used.
fn strace_works() -> bool {
    let tried = Command::new("strace").args(["-e", "trace=write", "true"]).output();
    let why = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => format!("strace does not work here: {}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => "strace is not installed".to_owned(),
    };
    assert!(std::env::var_os("REJOIN_REQUIRE_TOOLS").is_none_or(|required| required != "1"), "{why}");
    eprintln!("SKIPPED: {why}");
    false
}

/// The calls of an undisturbed run of the example.
fn trace(folder: &Path) -> Vec<Call> {
    let trace = folder.join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-s", "16384", "-e", "trace=write,pwrite64,fdatasync,fsync", "-o"]).arg(&trace);
    command.arg(process::example("newsletter")).args(["--data", "data", "--review-after", "0.1"]).current_dir(folder);
    let output = command.output().expect("strace starts");
    assert!(output.status.success(), "{output:?}");
    calls(&std::fs::read_to_string(&trace).expect("strace writes its trace"))
}

/// Reads lines like `17 write(1</dev/null>, "x\n", 2) = 2`, and those of calls that others came between.
fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (place, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("<... ") {
            if let Some(call) = unfinished.remove(thread) {
                calls[call].ended = place;
            }
        } else if let Some((name, arguments)) = rest.split_once('(')
            && let Some((file, data)) = arguments.split_once('>')
        {
            let file = file.split_once('<').map_or("", |(_, file)| file).to_owned();
            let is_unfinished = rest.ends_with("<unfinished ...>");
            if is_unfinished {
                unfinished.insert(thread, calls.len());
            }
            let ended = if is_unfinished { usize::MAX } else { place };
            calls.push(Call { name: name.to_owned(), file, data: text(data), began: place, ended });
        }
    }
    calls
}

/// The bytes of the first string among these arguments.
fn text(arguments: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = arguments.split_once('"').map_or("", |(_, text)| text).bytes().peekable();
    while let Some(byte) = rest.next().filter(|byte| *byte != b'"') {
        bytes.push(match (byte, if byte == b'\\' { rest.next() } else { None }) {
            (b'\\', Some(b'n')) => b'\n',
            (b'\\', Some(b't')) => b'\t',
            (b'\\', Some(b'r')) => b'\r',
            (b'\\', Some(b'v')) => 0x0b,
            (b'\\', Some(b'f')) => 0x0c,
            (b'\\', Some(digit @ b'0'..=b'7')) => {
                let mut number = digit - b'0';
                for _ in 0..2 {
                    let Some(digit) = rest.next_if(|next| (b'0'..=b'7').contains(next)) else { break };
                    number = number * 8 + (digit - b'0');
                }
                number
            }
            (b'\\', Some(other)) => other,
            (other, _) => other,
        });
    }
    bytes
}

/// When the record with these bytes was durable: when the sync after its write was completed.
fn durable(calls: &[Call], record: &[u8]) -> Option<usize> {
    let holds = |call: &&Call| call.data.windows(record.len()).any(|bytes| bytes == record);
    let of_log = |call: &&Call| call.file.ends_with(".seg");
    let written = calls.iter().filter(of_log).find(|call| call.name == "pwrite64" && holds(call))?.ended;
    let synced = calls.iter().filter(of_log).find(|call| call.name == "fdatasync" && call.began > written)?;
    Some(synced.ended)
}

/// A text as the log has it: its length, its bytes.
fn stored(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

#[test]
fn spec_a2_effects_and_acknowledgements_come_after_the_sync() {
    if !strace_works() {
        return;
    }
    let folder = TempDir::new().expect("a folder for the test");
    let calls = trace(folder.path());
    let writes = |file: fn(&str) -> bool| calls.iter().filter(move |call| call.name == "write" && file(&call.file));
    let mut steps = 0;
    for call in writes(|file| file.ends_with("steps.ledger")) {
        let line = String::from_utf8_lossy(&call.data);
        let (step, _) = line.rsplit_once(", ").expect("a line of the ledger");
        let scheduled = durable(&calls, &stored(step)).unwrap_or_else(|| panic!("{step:?} was never scheduled"));
        assert!(scheduled < call.began, "step {step:?} was executed before its record was durable");
        steps += 1;
    }
    assert_eq!(steps, 7, "each step leaves a line");

    let mut said = 0;
    for call in writes(|file| file.starts_with("pipe:")) {
        for line in String::from_utf8_lossy(&call.data).lines() {
            let record = match line.strip_prefix("triggered run ") {
                Some(run) => run.parse::<RunId>().expect("a run id").0.to_vec(),
                // Only the signal itself has this content.
                None if line == "review sent" => b"{\"approved\":true,".to_vec(),
                None => continue,
            };
            let durable = durable(&calls, &record).unwrap_or_else(|| panic!("{line:?} has no record"));
            assert!(durable < call.began, "{line:?} was said before its record was durable");
            said += 1;
        }
    }
    assert_eq!(said, 2, "the trigger and the review are acknowledged");
}

#[test]
fn calls_that_others_come_between_are_put_together() {
    let trace = "7 pwrite64(3</d/1.seg>, \"a\\0\\12\\\"b\"..., 5, 0 <unfinished ...>\n\
                 8 write(1<pipe:[5]>, \"x\\n\", 2)  = 2\n\
                 7 <... pwrite64 resumed>) = 5\n\
                 7 fdatasync(3</d/1.seg>) = 0\n";
    let calls = calls(trace);
    assert_eq!((calls[0].began, calls[0].ended, calls[0].data.as_slice()), (0, 2, b"a\0\n\"b".as_slice()));
    assert_eq!((calls[1].file.as_str(), calls[1].data.as_slice()), ("pipe:[5]", b"x\n".as_slice()));
    assert_eq!(durable(&calls, b"a\0"), Some(3));
}
