//! One command or script on a machine over SSH: run, its output taken to the last part of it, its exit code told.

use std::io::{BufRead as _, Read as _, Write as _};
use std::time::Duration;

use converge_model::{Error, ErrorKind, Result};

use super::script::quoted;
use super::ssh::{Input, Ssh};
use super::token;

/// How much of what a machine prints is kept, in bytes: the last part.
const MOST_OUTPUT: usize = 1 << 20;

/// What is to be run.
pub(crate) enum Work<'a> {
    /// A program with its arguments.
    Command(&'a [String]),
    /// The bytes of a script.
    Script(&'a [u8]),
}

/// How it is to be run.
pub(crate) struct Exec<'a> {
    /// How machines are reached.
    pub ssh: &'a Ssh,
    /// What.
    pub work: Work<'a>,
    /// As root.
    pub sudo: bool,
    /// For how long at most.
    pub timeout: Duration,
}

/// How it ended on a machine.
pub(crate) struct Ended {
    /// Its exit code; 124 where its time was up, as timeout(1) has it.
    pub code: i32,
    /// What it printed, standard error too, as it came.
    pub output: String,
    /// Whether the first part of that is missing.
    pub is_cut: bool,
}

impl Exec<'_> {
    /// Runs it on `host`.
    ///
    /// # Errors
    /// Where the machine cannot be reached, or the connection breaks before it ended.
    pub(crate) fn on(&self, host: &str) -> Result<Ended> {
        let ended = self.run(host);
        self.ssh.end(host);
        ended
    }

    fn run(&self, host: &str) -> Result<Ended> {
        let mark = token()?;
        let (mut session, _) = self.ssh.session(host, &self.script(&mark)?, &mark, Input::Open(b""))?;
        if let (Work::Script(script), Some(say)) = (&self.work, &mut session.say) {
            // A machine that takes none of it ends the session, and says why.
            let _ = say.write_all(script);
        }
        session.say = None;
        let mut output = Vec::new();
        let mut is_cut = false;
        let code = loop {
            let mut line = Vec::new();
            let read = session.hear.by_ref().take(MOST_OUTPUT as u64).read_until(b'\n', &mut line);
            if !matches!(read, Ok(1..)) {
                break None;
            }
            if let Some(code) = line.strip_prefix(mark.as_bytes()) {
                break String::from_utf8_lossy(code).trim().parse().ok();
            }
            output.extend_from_slice(&line);
            let over = output.len().saturating_sub(MOST_OUTPUT);
            is_cut |= over > 0;
            output.drain(..over);
        };
        match code {
            Some(code) => {
                session.finish();
                // The line that ends before the mark is not the command's.
                output.pop_if(|byte| *byte == b'\n');
                Ok(Ended { code, output: String::from_utf8_lossy(&output).into_owned(), is_cut })
            }
            None => Err(session.failed("hear from")),
        }
    }

    /// What sh(1) does there. Its exit code comes behind the mark, because ssh's own 255 would look the same.
    fn script(&self, mark: &str) -> Result<String> {
        let seconds = self.timeout.as_secs().max(1);
        let sudo = if self.sudo { "sudo -n -- " } else { "" };
        let runs = match &self.work {
            Work::Command(words) => {
                if let Some(word) = words.iter().find(|word| word.contains(['\'', '\0'])) {
                    let cause = "a single quote cannot be handed through every login shell";
                    return Err(Error::new(ErrorKind::Invalid, "run", format!("{word:?}"), cause)
                        .with_hint("put it into a file, and say --script FILE"));
                }
                let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                format!("{sudo}timeout -k 10 {seconds} {} </dev/null 2>&1", words.join(" "))
            }
            Work::Script(_) => format!(
                "f=$(mktemp) && cat >\"$f\" && chmod 700 \"$f\" && case $(head -c 2 \"$f\") in \
                 \"$(printf \"\\043\\041\")\") {sudo}timeout -k 10 {seconds} \"$f\" </dev/null 2>&1;; \
                 *) {sudo}timeout -k 10 {seconds} sh \"$f\" </dev/null 2>&1;; esac"
            ),
        };
        let tidy = if matches!(self.work, Work::Script(_)) { "rm -f \"$f\"; " } else { "" };
        Ok(format!("umask 077; printf \"\\n%s ready\\n\" {mark}; {runs}; c=$?; {tidy}printf \"\\n%s %s\\n\" {mark} $c"))
    }
}
