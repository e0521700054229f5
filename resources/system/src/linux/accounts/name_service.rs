//! Accounts that are in no file: from directories, asked through getent(1), and only where there are any.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use converge_model::Cancel;
use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::commands::Exit;

use crate::linux::epoch::Epoch;
use crate::linux::process::{Finished, Process};
use crate::linux::small_file;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long an answer is believed, while nothing of ours ran.
const BELIEVED: Duration = Duration::from_secs(2);

/// What getent(1) exits with where there is no such entry.
const NOT_FOUND: i32 = 2;

/// The sources of nsswitch.conf(5) that hold nothing but what the files hold, or names that nobody declares.
const LOCAL: [&str; 4] = ["files", "compat", "systemd", "db"];

/// Asks the name service, where nsswitch.conf(5) names a source other than the files.
pub(super) struct NameService {
    /// Whether this is the running system: of any other, nothing can be asked.
    is_running: bool,
    elsewhere: OnceLock<Elsewhere>,
    answers: Mutex<HashMap<(&'static str, String), Answer>>,
    epoch: Epoch,
    cancel: Cancel,
}

/// What may be in other sources than the files.
struct Elsewhere {
    users: bool,
    groups: bool,
}

#[derive(Clone)]
struct Answer {
    line: Option<String>,
    epoch: u64,
    asked: Instant,
}

impl NameService {
    /// The name service of the tree below `root`; of any but the running one, nothing can be asked.
    pub(super) fn new(root: &Path, epoch: Epoch, cancel: Cancel) -> Self {
        let (elsewhere, answers) = Default::default();
        Self { is_running: root == Path::new("/"), elsewhere, answers, epoch, cancel }
    }

    /// Read once: programs that run have read it, too.
    fn elsewhere(&self) -> &Elsewhere {
        self.elsewhere.get_or_init(|| {
            let read = || small_file::read(Path::new("/etc/nsswitch.conf"), 1 << 16).ok();
            let text = self.is_running.then(read).flatten().unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            Elsewhere {
                users: has_other_sources(&text, "passwd"),
                groups: has_other_sources(&text, "group") || has_other_sources(&text, "initgroups"),
            }
        })
    }

    /// The line for `key`, a name or a number, in `database`: `passwd` or `group`.
    pub(super) fn entry(&self, database: &'static str, key: &str) -> Result<Option<String>> {
        let elsewhere = if database == "passwd" { self.elsewhere().users } else { self.elsewhere().groups };
        if !elsewhere {
            return Ok(None);
        }
        let question = (database, key.to_owned());
        let now = self.epoch.now();
        let known = self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(&question).cloned();
        if let Some(answer) = known.filter(|answer| answer.epoch == now && answer.asked.elapsed() < BELIEVED) {
            return Ok(answer.line);
        }
        let line = self.ask(database, key)?;
        let answer = Answer { line: line.clone(), epoch: now, asked: Instant::now() };
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(question, answer);
        Ok(line)
    }

    /// The numbers of the groups that the name service has for `user`.
    pub(super) fn groups_of(&self, user: &str) -> Result<Vec<u32>> {
        if !self.elsewhere().groups {
            return Ok(Vec::new());
        }
        let line = self.ask("initgroups", user)?.unwrap_or_default();
        Ok(line.split_whitespace().skip(1).filter_map(|gid| gid.parse().ok()).collect())
    }

    fn ask(&self, database: &str, key: &str) -> Result<Option<String>> {
        let answer = Process::new("getent", TIMEOUT, &self.cancel).arguments([database, "--", key]).run_apart()?;
        match &answer {
            Finished { exit: Exit::Code(0), output, .. } => Ok(output.text.lines().next().map(str::to_owned)),
            Finished { exit: Exit::Code(NOT_FOUND), .. } => Ok(None),
            other => {
                let kind = match other.exit {
                    Exit::TimedOut => ErrorKind::TimedOut,
                    Exit::Cancelled => ErrorKind::Cancelled,
                    _ => ErrorKind::Failed,
                };
                Err(Error::new(
                    kind,
                    "look up",
                    format!("{key} in the name service"),
                    format!("getent: {}", other.cause()),
                )
                .with_hint("see whether the sources that /etc/nsswitch.conf names answer (sssd, LDAP)"))
            }
        }
    }
}

/// Whether nsswitch.conf(5) names a source for `database` that is not local.
fn has_other_sources(text: &str, database: &str) -> bool {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.trim() == database)
        .any(|(_, sources)| {
            // What to do after an answer stands in brackets: [NOTFOUND=return].
            sources
                .replace('[', " [")
                .replace(']', "] ")
                .split_whitespace()
                .any(|source| !source.starts_with('[') && !source.ends_with(']') && !LOCAL.contains(&source))
        })
}

#[cfg(test)]
mod tests {
    use super::has_other_sources;

    #[test]
    fn only_sources_beyond_the_files_are_asked() {
        for (text, elsewhere) in [
            ("", false),
            ("passwd: files systemd\n", false),
            ("passwd:\tcompat [NOTFOUND=return] files\n", false),
            ("passwd: files [SUCCESS=merge UNAVAIL=return] systemd", false),
            ("passwd: files sss\n", true),
            ("passwd: files # sss\n", false),
            ("#passwd: sss\ngroup: sss\n", false),
            (" passwd : files[NOTFOUND=continue]ldap", true),
        ] {
            assert_eq!(has_other_sources(text, "passwd"), elsewhere, "{text:?}");
        }
    }
}
