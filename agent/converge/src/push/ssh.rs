//! ssh(1), as a push uses it: one connection to a machine, over which several sessions go.
//!
//! The system's own ssh connects, so that its configuration, agent, jump hosts, hardware keys and checks of host keys are what
//! they always are. What a login shell prints before a session begins is skipped up to a mark.
#![expect(
    clippy::disallowed_methods,
    reason = "ssh is a person's own program, at the desk of that person, not a node's"
)]

use std::fs::DirBuilder;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use converge_model::{Error, ErrorKind, Result};

use super::token;
use crate::cli::SshArgs;

/// How much a login shell, or a script, may print before the session begins, in bytes.
pub(super) const MOST_NOISE: u64 = 1 << 20;

/// How much of what ssh complains about is kept, in bytes.
const MOST_COMPLAINTS: usize = 16 << 10;

/// How long a session that failed may take to end by itself.
const ENDING: Duration = Duration::from_secs(5);

/// What a session is told before anything is heard of it.
pub(crate) enum Input<'a> {
    /// This, and more will follow.
    Open(&'a [u8]),
    /// This, and nothing else ever.
    Whole(&'a [u8]),
}

/// How ssh(1) is to be called.
#[derive(Debug)]
pub(crate) struct Ssh {
    options: Vec<String>,
    /// Where the sockets of connections are; nobody else may enter it.
    sockets: PathBuf,
}

impl Ssh {
    /// ssh with a person's own options. `asks` says whether it may ask that person something.
    ///
    /// # Errors
    /// Where no private directory can be made.
    pub(crate) fn new(args: &SshArgs, asks: bool) -> Result<Self> {
        let sockets = std::env::temp_dir().join(format!("converge-{}", &token()?[..16]));
        DirBuilder::new().mode(0o700).create(&sockets).map_err(|error| {
            Error::io("make", sockets.display(), &error).with_hint("set TMPDIR to a directory of yours")
        })?;
        let mut options: Vec<String> = Vec::new();
        if let Some(config) = &args.config {
            options.extend(["-F".to_owned(), config.display().to_string()]);
        }
        let batch = if asks { "no" } else { "yes" };
        // The first value of an option counts: what a person says stands above what is set here.
        let own = [
            format!("BatchMode={batch}"),
            "ControlMaster=auto".to_owned(),
            format!("ControlPath={}/%C", sockets.display()),
            "ControlPersist=60".to_owned(),
            "ServerAliveInterval=15".to_owned(),
            "ConnectTimeout=30".to_owned(),
        ];
        options.extend(args.options.iter().cloned().chain(own).flat_map(|option| ["-o".to_owned(), option]));
        Ok(Self { options, sockets })
    }

    /// Begins a session in which sh(1) runs `script` on `host`. The script has no quotes ' in it, and ends its own noise by
    /// printing `mark` at the beginning of a line. `input` is what it is told before that.
    ///
    /// # Errors
    /// Where there is no ssh, or the session ended before it began.
    pub(crate) fn session(&self, host: &str, script: &str, mark: &str, input: Input<'_>) -> Result<(Session, String)> {
        let mut child = Command::new("ssh")
            .args(&self.options)
            .args(["-T", "--", host, &format!("exec /bin/sh -c '{script}'")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Error::io("start", "ssh", &error).with_hint("install OpenSSH's client"))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut say), Some(hear), Some(complain)) = pipes else {
            return Err(Error::new(ErrorKind::Failed, "talk to", "ssh", "it has no pipes"));
        };
        // Where ssh has ended already, what it complained about says why.
        let say = match input {
            Input::Open(first) => {
                let _ = say.write_all(first);
                Some(say)
            }
            Input::Whole(all) => {
                let _ = say.write_all(all);
                drop(say);
                None
            }
        };
        let complaints = Complaints::of(complain);
        let mut session = Session { host: host.to_owned(), child, say, hear: BufReader::new(hear), complaints };
        match skip_to(&mut session.hear, mark) {
            Some(word) => Ok((session, word)),
            None => Err(session.failed("reach")),
        }
    }

    /// Ends the connection to `host`, if there is one.
    pub(crate) fn end(&self, host: &str) {
        // Another name of the same machine may share the connection: it stays for sessions that go on.
        let line = ["-q", "-O", "stop", "--", host];
        let ended =
            Command::new("ssh").args(&self.options).args(line).stdin(Stdio::null()).stderr(Stdio::null()).status();
        if let Err(error) = ended {
            tracing::debug!(%host, %error, "the connection is left to end by itself");
        }
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.sockets);
    }
}

/// What stands behind `mark` on the first line that begins with it; nothing where none does.
fn skip_to(hear: &mut impl BufRead, mark: &str) -> Option<String> {
    let mut heard = hear.take(MOST_NOISE);
    let mut line = Vec::new();
    loop {
        line.clear();
        if heard.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&line);
        if let Some(word) = text.strip_prefix(mark) {
            return Some(word.trim().to_owned());
        }
    }
}

/// A program on a machine.
pub(crate) struct Session {
    host: String,
    child: Child,
    /// Its standard input.
    pub(crate) say: Option<ChildStdin>,
    /// Its standard output.
    pub(crate) hear: BufReader<ChildStdout>,
    complaints: Complaints,
}

impl Session {
    /// Closes its input, and waits for it to end. Says whether it ended well.
    pub(crate) fn finish(&mut self) -> bool {
        self.say = None;
        self.child.wait().is_ok_and(|status| status.success())
    }

    /// Waits a while for it to end by itself, and then ends it: nobody reads what it still prints.
    fn end(&mut self) -> std::io::Result<ExitStatus> {
        let deadline = Instant::now() + ENDING;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill()?;
        self.child.wait()
    }

    /// The error of a session that did not go as it should: with what ssh or the program complained about.
    pub(crate) fn failed(&mut self, operation: &str) -> Error {
        self.say = None;
        let status = self.end();
        let said = self.complaints.text();
        let cause = match (said.as_str(), status) {
            ("", Ok(status)) => format!("ssh ended with {status} and said nothing"),
            ("", Err(error)) => error.to_string(),
            (said, _) => said.to_owned(),
        };
        let hint = format!("`ssh {}` shows how it goes by hand", self.host);
        Error::new(ErrorKind::Unavailable, operation, format!("{} over SSH", self.host), cause).with_hint(hint)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.say = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What comes over standard error, read as it comes so that nobody waits for it to be read.
struct Complaints {
    kept: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Complaints {
    fn of(mut from: impl Read + Send + 'static) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        let read = move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..count]);
                let over = kept.len().saturating_sub(MOST_COMPLAINTS);
                kept.drain(..over);
            }
        };
        Self { kept, reader: std::thread::Builder::new().name("complaints".to_owned()).spawn(read).ok() }
    }

    /// The last lines of it. The connection that stays behind keeps standard error open: it is not waited for its end.
    fn text(&self) -> String {
        for _ in 0..20 {
            if self.reader.as_ref().is_none_or(JoinHandle::is_finished) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_login_shell_prints_is_skipped() {
        let said = b"Welcome!\r\n\xff\xfe no mark\nsee mark here\nmark here\n{\"wanted\":[]}\n";
        let mut hear = &said[..];
        assert_eq!(skip_to(&mut hear, "mark").as_deref(), Some("here"));
        assert_eq!(hear, b"{\"wanted\":[]}\n");
        assert_eq!(skip_to(&mut &b"Permission denied\n"[..], "mark"), None);
    }
}
