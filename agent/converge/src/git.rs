//! What git knows of a policy repository.
#![expect(clippy::disallowed_methods, reason = "which commit something came from, only git knows")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use converge_model::Timestamp;
use serde::Serialize;

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Commit {
    /// Its digits.
    pub commit: String,
    /// When it was made.
    pub at: Timestamp,
    /// The first line of its message.
    pub subject: String,
}

/// When something was last changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LastChange {
    /// In this commit.
    In(Commit),
    /// After the last commit.
    NotCommitted,
}

/// The commit that a repository is at, with `-dirty` where that is not all; nothing where it is not under git.
pub(crate) fn commit_of(root: &Path) -> Option<String> {
    let commit = git(root, ["rev-parse", "HEAD"])?.trim().to_owned();
    let dirty = git(root, ["status", "--porcelain", "--", "."]).is_none_or(|changes| !changes.trim().is_empty());
    Some(if dirty { format!("{commit}-dirty") } else { commit })
}

/// When any of these lines of files below `root` was last changed; for a file without lines, when any of it was. Nothing where
/// git does not know.
pub(crate) fn last_change(root: &Path, places: &BTreeMap<&str, BTreeSet<u32>>) -> Option<LastChange> {
    let mut commits: BTreeSet<String> = BTreeSet::new();
    for (file, lines) in places {
        if git(root, ["ls-files", "--error-unmatch", "--", file]).is_none() {
            // A file that git does not have yet, in a repository that it has.
            return git(root, ["rev-parse", "--verify", "HEAD"]).map(|_| LastChange::NotCommitted);
        }
        let is_changed = lines.is_empty() && !git(root, ["status", "--porcelain", "--", file])?.trim().is_empty();
        let of_file = if lines.is_empty() {
            git(root, ["log", "-1", "--format=%H", "HEAD", "--", file])?.lines().map(str::to_owned).collect()
        } else {
            blamed(root, file, lines)?
        };
        if is_changed || of_file.iter().any(|commit| commit.bytes().all(|digit| digit == b'0')) {
            return Some(LastChange::NotCommitted);
        }
        commits.extend(of_file);
    }
    if commits.is_empty() {
        return None;
    }
    // A clock may be wrong, and two commits of one second: the newest is the one that none of the others comes after.
    let newest = ["-1".to_owned(), "--topo-order".to_owned()].into_iter().chain(commits);
    commit(root, newest).map(LastChange::In)
}

/// The commits that lines of a file are from; zeros for a line that is in none.
fn blamed(root: &Path, file: &str, lines: &BTreeSet<u32>) -> Option<Vec<String>> {
    let ranges = lines.iter().flat_map(|line| ["-L".to_owned(), format!("{line},{line}")]);
    let arguments = ["blame".to_owned(), "--porcelain".to_owned()].into_iter().chain(ranges);
    let blame = git(root, arguments.chain(["--".to_owned(), file.to_owned()]))?;
    let commit_of_line = |line: &str| {
        let mut words = line.split(' ');
        let commit = words.next().filter(|word| word.len() >= 40 && word.bytes().all(|c| c.is_ascii_hexdigit()))?;
        words.next().is_some_and(|word| word.parse::<u32>().is_ok()).then(|| commit.to_owned())
    };
    Some(blame.lines().filter_map(commit_of_line).collect())
}

fn commit(root: &Path, which: impl Iterator<Item = String>) -> Option<Commit> {
    let log = ["log".to_owned(), "--format=%H%x09%ct%x09%s".to_owned()];
    let text = git(root, log.into_iter().chain(which))?;
    let mut fields = text.lines().next()?.splitn(3, '\t');
    Some(Commit {
        commit: fields.next()?.to_owned(),
        at: Timestamp(fields.next()?.parse::<i64>().ok()?.checked_mul(1_000)?),
        subject: fields.next()?.to_owned(),
    })
}

/// The first lines of the messages of those of these commits that a repository has.
pub(crate) fn subjects<'a>(root: &Path, commits: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let commits: BTreeSet<&str> =
        commits.filter(|commit| commit.len() >= 40 && commit.bytes().all(|c| c.is_ascii_hexdigit())).collect();
    if commits.is_empty() {
        return BTreeMap::new();
    }
    let asked = ["log", "--no-walk", "--ignore-missing", "--format=%H%x09%s"];
    let log = git(root, asked.into_iter().chain(commits)).unwrap_or_default();
    log.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(commit, subject)| (commit.into(), subject.into()))
        .collect()
}

/// What git says; nothing where it is not here, or fails.
fn git<S: AsRef<std::ffi::OsStr>>(root: &Path, arguments: impl IntoIterator<Item = S>) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
