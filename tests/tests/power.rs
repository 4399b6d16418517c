//! The power goes under load, over and over: a real file system on a file of its own is shut down in the middle of its work,
//! so that everything that was not synced is gone, and mounted again.
//!
//! `REJOIN_POWER_CUTS` says how often (20), `REJOIN_SEED` under which seed, `REJOIN_INDEX` with which library for the index
//! (sled and fjall take turns). After a real loss of power the index can see that the machine was started since; here it
//! is told so. With `REJOIN_POWER_SAME_BOOT=1` it is not: the file system went down, and the machine did not. Where file
//! systems cannot be mounted nothing is tried, and that is said.

use rejoin_tests::chance::{Random, setting};
use rejoin_tests::client::Client;
use rejoin_tests::life::How;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// How large the file system is, in bytes; the file is sparse.
const SIZE: u64 = 300 << 20;
/// When the power goes, in milliseconds after a life began.
const LIFE: std::ops::Range<u64> = 50..600;
/// For how long runs are kept that have ended, in the lives that delete them.
const KEEP: Duration = Duration::from_millis(300);
/// Shuts a file system down without writing anything more: EXT4_IOC_SHUTDOWN, without a flush of the log.
const SHUTDOWN: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

/// A file system whose power can go. It is unmounted at the end, whatever happened.
struct Power {
    folder: TempDir,
    mounted: bool,
}

fn does(command: &mut Command) -> Result<(), String> {
    let done = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    if done.status.success() { Ok(()) } else { Err(format!("{command:?}: {}: {said}", done.status)) }
}

impl Power {
    fn new() -> Result<Power, String> {
        let mut power = Power { folder: TempDir::new().expect("a folder for the test"), mounted: false };
        let image = File::create(power.image()).and_then(|image| image.set_len(SIZE));
        image.map_err(|error| error.to_string())?;
        fs::create_dir(power.place()).expect("a folder to mount on");
        does(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(power.image()))?;
        power.on()?;
        // Nothing is lost yet; this shows that it can be.
        power.off()?;
        power.on()?;
        Ok(power)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn place(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn on(&mut self) -> Result<(), String> {
        does(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.place()))?;
        self.mounted = true;
        Ok(())
    }

    /// The system begins to write what is not synced, as it does by itself now and then: some of it will be there.
    fn write_back(&self) -> Option<Child> {
        Command::new("sync").arg("-f").arg(self.place()).stderr(Stdio::null()).spawn().ok()
    }

    /// The power goes. What uses the file system gets errors from now on.
    fn cut(&self) -> Result<(), String> {
        let mut tool = Command::new("xfs_io");
        let with_tool = does(tool.args(["-x", "-c", "shutdown"]).arg(self.place()));
        with_tool.or_else(|_| does(Command::new("python3").args(["-c", SHUTDOWN]).arg(self.place())))
    }

    /// Nobody uses the file system any more.
    fn unmount(&mut self) -> Result<(), String> {
        let mut tries = 0;
        while let Err(error) = does(Command::new("umount").arg(self.place())) {
            tries += 1;
            if tries == 50 {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.mounted = false;
        Ok(())
    }

    fn off(&mut self) -> Result<(), String> {
        self.cut()?;
        self.unmount()
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        if self.mounted && self.unmount().is_err() {
            let _ = Command::new("umount").arg("-l").arg(self.place()).stderr(Stdio::null()).status();
        }
    }
}

/// Makes an index that was in use one of an earlier run of the machine.
fn forget_boot(data: &Path) {
    let file = data.join("index/STATE");
    let Ok(state) = fs::read_to_string(&file) else { return };
    let lines = state.lines().map(|line| if line.starts_with("in use") { "in use since boot another" } else { line });
    let state: String = lines.map(|line| format!("{line}\n")).collect();
    fs::write(&file, state).expect("the state can be written");
}

/// The libraries take turns, each for two lives: the second finds what was left of the first one's index.
fn how(cut: u64) -> How {
    let index = match env::var("REJOIN_INDEX").as_deref() {
        Ok("sled") => "sled",
        Ok("fjall") => "fjall",
        Ok(_) | Err(_) if (cut / 2).is_multiple_of(2) => "sled",
        Ok(_) | Err(_) => "fjall",
    };
    How { index, keep: (cut % 3 == 1).then_some(KEEP) }
}

#[test]
fn inv_s1_twenty_power_cuts_lose_nothing_acknowledged() {
    let mut power = match Power::new() {
        Ok(power) => power,
        Err(why) => return eprintln!("SKIPPED: the power cannot be cut here: {why}"),
    };
    let mut random = Random::new();
    let seed = random.seed;
    let same_boot = setting("REJOIN_POWER_SAME_BOOT") == Some(1);
    let data = power.place().join("data");
    let mut client = Client::new(env!("CARGO_BIN_EXE_loaded"), data.clone(), power.folder.path().to_owned());
    for cut in 0..setting("REJOIN_POWER_CUTS").unwrap_or(20) {
        let how = how(cut);
        // Without that the index's files are what the machine is said to have kept, and are not.
        if !same_boot && random.below(2) == 0 {
            forget_boot(&data);
        }
        if random.below(4) == 0 {
            client.list(how.index);
        }
        let length = random.millis(LIFE);
        let mut life = client.start(how, None);
        let written = random.millis(0..2 * LIFE.end);
        thread::sleep(length.min(written));
        let writing = if written < length { power.write_back() } else { None };
        thread::sleep(length.saturating_sub(written));
        assert!(life.is_alive(), "seed {seed}: {}", client.complaints());
        power.cut().expect("the power goes");
        let dead = life.kill();
        drop(writing.map(|mut writing| writing.wait()));
        power.unmount().and_then(|()| power.on()).expect("it comes back");
        let log = client.look(dead);
        let (records, gone, torn) = (log.report.records, client.gone.len(), log.report.torn);
        println!("cut {cut} after {length:?}, {how:?}: {records} records, {gone} runs gone, torn: {torn:?}");
        assert!(client.wrong.is_empty(), "seed {seed}: {:#?}", &client.wrong[..client.wrong.len().min(20)]);
    }
    client.list("sled");
    client.finish("fjall");
    client.list("fjall");
    let (acknowledged, repeated) = (client.acknowledged.len(), client.repeated);
    println!("acknowledged {acknowledged}, steps repeated {repeated}, wrong {}", client.wrong.len());
    assert!(client.wrong.is_empty(), "seed {seed}: {:#?}", &client.wrong[..client.wrong.len().min(20)]);
    assert!(acknowledged > 0 && repeated > 0, "no cut hit anything");
}
