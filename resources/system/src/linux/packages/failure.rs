//! What apt and dpkg print when they fail, turned into an error that a tired operator can mend.

use converge_model::{Error, ErrorKind};

/// How many of a script's last lines are shown.
const LINES: usize = 12;

/// Words, what sort of failure they mean, and what to do then.
type Meaning = (&'static str, ErrorKind, &'static str);

/// What counts wherever it is said, by a package's script too.
const ANYWHERE: [Meaning; 3] = [
    ("No space left on device", ErrorKind::NoSpace, FREE_SPACE),
    ("enough free space", ErrorKind::NoSpace, FREE_SPACE),
    ("Read-only file system", ErrorKind::Denied, "remount it writable; dpkg needs to write below /usr and /var"),
];
/// What counts where apt or dpkg themselves complain of it. The first that is found does.
const COMPLAINTS: [Meaning; 14] = [
    ("are you root", ErrorKind::Denied, "run as root"),
    ("Could not get lock", ErrorKind::Busy, ANOTHER),
    ("Unable to acquire the dpkg", ErrorKind::Busy, ANOTHER),
    ("locked by another process", ErrorKind::Busy, ANOTHER),
    ("Unable to locate package", ErrorKind::NotFound, "check the name, and that its repository is among the sources"),
    (
        "no installation candidate",
        ErrorKind::NotFound,
        "it is virtual, or pinned away: name a package that provides it",
    ),
    ("was not found", ErrorKind::NotFound, "apt-cache policy PACKAGE lists the versions there are"),
    (
        "needs to be reinstalled",
        ErrorKind::Failed,
        "offer its package file again, or drop it: dpkg --remove --force-remove-reinstreq PACKAGE",
    ),
    ("unauthenticated packages", ErrorKind::Denied, "install the repository's key where its source says Signed-By"),
    ("Temporary failure resolving", ErrorKind::Unavailable, "check the network and name resolution"),
    ("Failed to fetch", ErrorKind::Unavailable, "check the network, the proxy, and that the repository is whole"),
    ("nmet dependencies", ErrorKind::Failed, DEPENDENCIES),
    ("held broken packages", ErrorKind::Failed, DEPENDENCIES),
    ("generated breaks", ErrorKind::Failed, DEPENDENCIES),
];
const FREE_SPACE: &str = "free space (df -h / /var /boot), for example with apt-get clean";
const ANOTHER: &str = "another package manager is at work; run again when it is done";
const DEPENDENCIES: &str = "another version or repository is needed, or a hold is in the way";

/// A call of apt or dpkg that failed.
pub(super) struct Failure<'a> {
    /// What was attempted: an infinitive.
    pub(super) operation: &'a str,
    /// On what.
    pub(super) subject: &'a str,
    /// How the call ended, for when nothing it printed says more.
    pub(super) ended: &'a str,
    /// In what state packages were left that should be in another one.
    pub(super) state: &'a [String],
    /// What it printed.
    pub(super) output: &'a str,
}

/// Why apt or dpkg failed, from what it printed.
pub(super) fn explain(failure: &Failure<'_>) -> Error {
    let output = failure.output;
    let broken = broken_packages(output);
    let complaints = complaints(output, !broken.is_empty());
    let meaning = ANYWHERE
        .iter()
        .find(|(words, ..)| output.contains(words))
        .or_else(|| COMPLAINTS.iter().find(|(words, ..)| complaints.iter().any(|complaint| complaint.contains(words))));
    let (kind, hint) = meaning.map_or((ErrorKind::Failed, None), |(_, kind, hint)| (*kind, Some(*hint)));
    let mut reasons: Vec<&str> = broken.iter().chain(&complaints).map(String::as_str).collect();
    if reasons.is_empty() {
        reasons.push(failure.ended);
    }
    reasons.extend(failure.state.iter().map(String::as_str));
    let mut cause = reasons.join("; ");
    let lines = match (broken.is_empty(), complaints.is_empty()) {
        (false, _) => script_lines(output),
        (true, false) => dependency_lines(output),
        (true, true) => last_lines(output),
    };
    append_lines(&mut cause, lines);
    let error = Error::new(kind, failure.operation, failure.subject, cause);
    match hint {
        Some(hint) => error.with_hint(hint),
        None if !broken.is_empty() => {
            error.with_hint("mend what its script complains of; the next run finishes the package")
        }
        None => error,
    }
}

/// The last lines that were printed, for a failure that nothing else explains.
pub(super) fn last_lines(output: &str) -> Vec<&str> {
    let lines: Vec<&str> = output.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].to_vec()
}

/// Adds lines to a cause, each on its own and set in.
pub(super) fn append_lines(cause: &mut String, lines: Vec<&str>) {
    if !lines.is_empty() {
        cause.push_str("; it printed:");
    }
    for line in lines {
        cause.push_str("\n    ");
        cause.push_str(line);
    }
}

/// The names that apt lists, set in, below `header`.
pub(super) fn section(output: &str, header: &str) -> Vec<String> {
    let mut lines = output.lines().skip_while(|line| *line != header).skip(1).peekable();
    // Some headers go on for a second line.
    let _ = lines.next_if(|line| !line.starts_with("  "));
    let names = lines.take_while(|line| line.starts_with("  ")).collect::<Vec<_>>().join(" ");
    let mut outside = true;
    let mut kept = Vec::new();
    for word in names.split_whitespace() {
        outside &= !word.starts_with('(');
        if outside {
            kept.push(word.to_owned());
        }
        outside |= word.ends_with(')');
    }
    kept
}

/// What dpkg could not go on with, each with its reason.
fn broken_packages(output: &str) -> Vec<String> {
    let lines: Vec<&str> = output.lines().collect();
    let mut broken = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(rest) = line.strip_prefix("dpkg: error processing ") else { continue };
        let subject = rest.split(" (--").next().unwrap_or(rest);
        let subject = subject.strip_prefix("package ").unwrap_or(subject);
        let reason = lines.get(at + 1).map_or("", |next| next.trim());
        // What fails only because something else did is not the reason.
        if !reason.starts_with("dependency problems") {
            broken.push(format!("{subject}: {reason}"));
        }
    }
    broken.dedup();
    broken
}

/// apt's own errors, without those that only say that dpkg failed when dpkg said why.
fn complaints(output: &str, dpkg_said_why: bool) -> Vec<String> {
    let mut complaints: Vec<String> = Vec::new();
    for line in output.lines() {
        let complaint = line.strip_prefix("E: ").or_else(|| line.strip_prefix("dpkg: error: "));
        let Some(complaint) = complaint.or_else(|| line.strip_prefix("dpkg-deb: error: ")).map(str::trim) else {
            continue;
        };
        let vague = complaint.starts_with("Sub-process ") && dpkg_said_why;
        if !vague && !complaints.iter().any(|known| known == complaint) {
            complaints.push(complaint.to_owned());
        }
    }
    complaints
}

/// What a package's script printed before dpkg gave it up.
fn script_lines(output: &str) -> Vec<&str> {
    let lines: Vec<&str> = output.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let end = lines.iter().position(|line| line.starts_with("dpkg: error processing")).unwrap_or(lines.len());
    let begins = |line: &&str| {
        ["Setting up ", "Preparing to unpack ", "Unpacking ", "Removing ", "Purging ", "Processing triggers "]
            .iter()
            .any(|begin| line.starts_with(begin))
    };
    let start = lines[..end].iter().rposition(begins).map_or(0, |at| at + 1);
    lines[start.max(end.saturating_sub(LINES))..end].to_vec()
}

/// What apt says of dependencies that cannot be met.
fn dependency_lines(output: &str) -> Vec<&str> {
    let after = output.lines().skip_while(|line| *line != "The following packages have unmet dependencies:").skip(1);
    after.take_while(|line| line.starts_with(' ')).take(LINES).map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_why_and_what_to_do() {
        for (output, kind, cause, hint) in [
            (
                "Setting up broken (1.0) ...\nchecking the moon\nthe moon was not found\n\
                 dpkg: error processing package broken (--configure):\n installed broken package post-installation script \
                 subprocess returned error exit status 3\n\
                 dpkg: error processing package leans (--configure):\n dependency problems - leaving unconfigured\n\
                 Errors were encountered while processing:\n broken\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n",
                ErrorKind::Failed,
                "broken: installed broken package post-installation script subprocess returned error exit status 3; it \
                 printed:\n    checking the moon\n    the moon was not found",
                "mend what its script complains of",
            ),
            (
                "Reading package lists...\nThe following packages have unmet dependencies:\n a : Depends: b (>= 2) but 1 is \
                 to be installed\nE: Unable to correct problems, you have held broken packages.\n",
                ErrorKind::Failed,
                "Unable to correct problems, you have held broken packages.; it printed:\n    a : Depends: b (>= 2) but 1 is \
                 to be installed",
                "another version or repository",
            ),
            (
                "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt-get)\nE: Unable to acquire \
                 the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?\n",
                ErrorKind::Busy,
                "Could not get lock",
                "another package manager",
            ),
            (
                "E: You don't have enough free space in /var/cache/apt/archives/.\n",
                ErrorKind::NoSpace,
                "You don't",
                "free space",
            ),
            (
                "E: Failed to fetch http://x/y.deb  404  Not Found\n",
                ErrorKind::Unavailable,
                "Failed to fetch",
                "check the network",
            ),
            ("something else\n", ErrorKind::Failed, "apt-get exited with 100; it printed:\n    something else", ""),
            ("", ErrorKind::Failed, "apt-get exited with 100", ""),
        ] {
            let error = explain(&Failure {
                operation: "install",
                subject: "package broken",
                ended: "apt-get exited with 100",
                state: &[],
                output,
            });
            assert_eq!(error.kind, kind, "{output}");
            assert!(error.cause.starts_with(cause), "{output}\n{}", error.cause);
            assert!(error.hint.unwrap_or_default().starts_with(hint), "{output}");
        }
    }
}
