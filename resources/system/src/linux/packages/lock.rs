//! The locks of dpkg and apt: who holds them, and waiting until nobody does.
#![expect(
    clippy::disallowed_methods,
    reason = "lock files are asked about, never written, and /proc tells who holds them"
)]

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use converge_model::{Cancel, Error, ErrorKind, Result};
use rustix::process::{Flock, FlockType, fcntl_getlk};

/// How often a lock is looked at while it is waited for.
const PAUSE: Duration = Duration::from_millis(100);
/// How much of the holder's command line is shown.
const SHOWN: usize = 120;

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    lock: PathBuf,
    /// Its process, where it can be seen from here: one in another namespace cannot.
    process: Option<(u32, String)>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some((id, command)) => write!(f, "process {id} ({command}) holds {}", self.lock.display()),
            None => write!(f, "a process that cannot be seen from here holds {}", self.lock.display()),
        }
    }
}

/// The first of `locks` that somebody holds. A lock whose file is not there yet is free.
pub(super) fn holder(locks: &[PathBuf]) -> Result<Option<Holder>> {
    for lock in locks {
        let file = match File::open(lock) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("look who holds", lock.display(), &error)),
        };
        let held = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock))
            .map_err(|error| Error::io("look who holds", lock.display(), &error.into()))?;
        if let Some(held) = held {
            let process = held.pid.and_then(|pid| u32::try_from(pid.as_raw_pid()).ok());
            return Ok(Some(Holder { lock: lock.clone(), process: process.map(|id| (id, command(id))) }));
        }
    }
    Ok(None)
}

/// Waits until nobody holds any of `locks`. The one who gets in between is met by apt's own waiting.
///
/// # Errors
/// Where the time is up or the run is asked to stop, naming the holder.
pub(super) fn wait(locks: &[PathBuf], deadline: Instant, cancel: &Cancel) -> Result<()> {
    let mut told = None;
    while let Some(holder) = holder(locks)? {
        let failed =
            |kind, because: &str| Error::new(kind, "lock", "the package database", format!("{because}{holder}"));
        if cancel.is_asked() {
            return Err(failed(ErrorKind::Cancelled, "the run was asked to stop while "));
        }
        if Instant::now() >= deadline {
            return Err(failed(ErrorKind::Busy, "").with_hint("let it finish, or end it if it hangs; then run again"));
        }
        if told.as_ref() != Some(&holder) {
            tracing::info!("waiting for the package database: {holder}");
            told = Some(holder);
        }
        std::thread::sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now())));
    }
    Ok(())
}

/// The command line of a process, on one line.
fn command(id: u32) -> String {
    let of = |file: &str| fs::read(Path::new("/proc").join(id.to_string()).join(file)).unwrap_or_default();
    let words = of("cmdline");
    let words = String::from_utf8_lossy(&words);
    let line = words.split('\0').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let line = if line.is_empty() { String::from_utf8_lossy(&of("comm")).trim().to_owned() } else { line };
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    if line.is_empty() { "already gone".to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Another process that holds `lock` until it is killed.
    struct Locker(Child);

    impl Locker {
        fn new(lock: &Path) -> Self {
            let script = "import fcntl,sys,time;f=open(sys.argv[1],'w');fcntl.lockf(f,fcntl.LOCK_EX);print('held',flush=True);time.sleep(60)";
            let mut child = Command::new("python3")
                .args(["-c", script])
                .arg(lock)
                .stdout(Stdio::piped())
                .spawn()
                .expect("python3 starts");
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "held\n");
            Self(child)
        }
    }

    impl Drop for Locker {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn the_holder_of_a_lock_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let locks = [directory.path().join("missing"), directory.path().join("lock")];
        assert_eq!(holder(&locks).unwrap(), None);
        let locker = Locker::new(&locks[1]);
        let id = locker.0.id();
        let soon = Instant::now() + Duration::from_millis(50);
        let error = wait(&locks, soon, &Cancel::new()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Busy);
        assert!(error.cause.starts_with(&format!("process {id} (")), "{error}");
        assert!(error.cause.contains("python3 -c import fcntl"), "{error}");
        let cancel = Cancel::new();
        cancel.after_current();
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(wait(&locks, later, &cancel).unwrap_err().kind, ErrorKind::Cancelled);

        let freed = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(150));
            drop(locker);
        });
        wait(&locks, later, &Cancel::new()).unwrap();
        freed.join().unwrap();
    }
}
