//! What sh(1) does on a machine before the agent is there: looks for it, takes it, becomes it.
//!
//! Every script is one line without single quotes, because the login shell that hands it to sh(1) may be any: sh, fish, csh. It
//! needs what POSIX has, `sha256sum`, and sudo where the user is not root.

use std::io::BufRead;

use converge_model::{BlobRef, Digest, Error, ErrorKind, Result};

use super::ssh::MOST_NOISE;

/// How one becomes root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sudo {
    /// By being root, or by a sudo that asks nothing.
    Free,
    /// By a sudo that reads a password from the first line of the input.
    Password,
}

/// What the first script found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The agent: it speaks from now on.
    Here,
    /// No agent, but a directory for one, on such a system (`Linux x86_64`), with so many bytes of it.
    Missing { directory: String, system: String, there: u64 },
    /// The agent, and a sudo that wants a password.
    NeedsPassword,
}

/// Looks for the agent in the directories that only this user (root, as far as possible) can write to, and becomes it. `$c` is
/// a directory, `$u` who one is.
pub(super) fn begin(mark: &str, agent: &BlobRef, sudo: Sudo) -> String {
    let (agent, size) = (agent.digest, agent.size);
    let become_root = match sudo {
        Sudo::Free => {
            "if [ \"$u\" = 0 ]; then s=; elif ! command -v sudo >/dev/null; then say no-sudo; exit 1; \
             elif sudo -n true 2>/dev/null; then s=\"sudo -n --\"; else say needs-password; exit 0; fi"
        }
        Sudo::Password => "s=\"sudo -k -S --prompt= --\"",
    };
    let places = places();
    [
        "umask 077",
        &format!("say() {{ printf \"\\n%s %s\\n\" {mark} \"$*\"; }}"),
        places,
        &format!(
            "for c in \"$@\"; do if [ ! -L \"$c\" ] && [ -O \"$c\" ] && [ -x \"$c/{agent}\" ] && [ -O \"$c/{agent}\" ] && [ $(wc -c <\"$c/{agent}\") -eq {size} ]; then {become_root}; \
             exec $s \"$c/{agent}\" pushed --json --mark {mark}; fi; done"
        ),
        &format!(
            "for c in \"$@\"; do if mkdir -p \"$c\" 2>/dev/null && [ ! -L \"$c\" ] && [ -O \"$c\" ] && [ -d \"$c\" ] && chmod 700 \"$c\" && \
             printf \"\\043\\041/bin/sh\\nexit 0\\n\" >\"$c/try\" && chmod 700 \"$c/try\" && \"$c/try\"; then rm -f \"$c/try\"; \
             n=$(wc -c 2>/dev/null <\"$c/{agent}.part\"); say missing $((n)) \"$(uname -sm)\" in \"$c\"; exit 0; fi; \
             done 2>/dev/null"
        ),
        "say nowhere \"$@\"",
    ]
    .join("; ")
}

/// The directories in which an agent may be, as arguments of the script: root's own, or the user's.
fn places() -> &'static str {
    "u=$(id -u); if [ \"$u\" = 0 ]; then set -- /var/lib/converge/push /run/converge/push; \
     else set -- \"$HOME/.cache/converge/push\" \"/var/tmp/converge-push-$u\" \"/tmp/converge-push-$u\"; fi"
}

/// Whether sudo takes the password that is the first line of the input.
pub(super) fn check_password(mark: &str) -> String {
    format!(
        "if sudo -k -S --prompt= true; then printf \"\\n%s right\\n\" {mark}; else printf \"\\n%s wrong\\n\" {mark}; fi"
    )
}

/// Takes the rest of the agent from the input, and puts it in place if it is whole and starts.
pub(super) fn bring(mark: &str, directory: &str, agent: &Digest) -> String {
    let directory = quoted(directory);
    [
        "umask 077",
        &format!("c={directory}"),
        &format!("say() {{ printf \"\\n%s %s\\n\" {mark} \"$*\"; }}"),
        "say ready",
        &format!("cat >>\"$c/{agent}.part\" || exit 1"),
        &format!("set -- $(sha256sum \"$c/{agent}.part\")"),
        &format!(
            "if [ \"$1\" != {agent} ]; then n=$(wc -c <\"$c/{agent}.part\"); rm -f \"$c/{agent}.part\"; \
             echo \"of the agent $n bytes arrived, and they are not it\" >&2; exit 1; fi"
        ),
        &format!("chmod 700 \"$c/{agent}.part\""),
        &format!("if ! \"$c/{agent}.part\" --version >/dev/null 2>&1; then rm -f \"$c/{agent}.part\"; say foreign; exit 1; fi"),
        // What has its name must be whole, after a power cut too.
        "sync",
        &format!("mv -f \"$c/{agent}.part\" \"$c/{agent}\" && say whole"),
        // Other versions that nobody brought or replaced for a month.
        &format!("find \"$c\" -maxdepth 1 -type f -mtime +30 ! -name {agent} -exec rm -f {{}} + 2>/dev/null"),
    ]
    .join("; ")
}

/// What became of the agent that was brought: the last thing said.
pub(super) fn brought(hear: impl BufRead, mark: &str) -> Option<String> {
    let said = hear.take(MOST_NOISE).lines().map_while(std::result::Result::ok);
    said.filter_map(|line| line.strip_prefix(mark).map(|word| word.trim().to_owned())).last()
}

/// `text` in double quotes for sh(1).
pub(super) fn quoted(text: &str) -> String {
    let special = |c: char| matches!(c, '"' | '$' | '`' | '\\');
    let escaped: String = text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect();
    format!("\"{escaped}\"")
}

impl Found {
    /// What the word behind the mark says of `host`.
    ///
    /// # Errors
    /// Where nothing can be pushed there.
    pub(super) fn parse(word: &str, host: &str) -> Result<Self> {
        let cannot =
            |cause: String, hint: &str| Err(Error::new(ErrorKind::Denied, "push to", host, cause).with_hint(hint));
        match word.split_once(' ').unwrap_or((word, "")) {
            ("here", _) => Ok(Found::Here),
            ("needs-password", _) => Ok(Found::NeedsPassword),
            ("no-sudo", _) => cannot(
                "this user is not root there, and there is no sudo".to_owned(),
                "log in as root (`root@HOST`), or install sudo there",
            ),
            ("nowhere", places) => cannot(
                format!("no directory takes a program and lets it run: {places}"),
                "they are full, read-only, mounted noexec, or another user's; make one of them usable",
            ),
            ("missing", rest) => match (rest.split_once(' '), rest.split_once(" in ")) {
                (Some((there, _)), Some((system, directory))) if !directory.contains('\'') => Ok(Found::Missing {
                    directory: directory.to_owned(),
                    system: system.split_once(' ').map_or(system, |(_, system)| system).to_owned(),
                    there: there.parse().unwrap_or(0),
                }),
                _ => cannot(format!("it says {word:?}"), "its home directory has a name that a push cannot handle"),
            },
            _ => cannot(format!("it says {word:?}"), "is that a Linux machine with a POSIX shell?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_fit_between_the_single_quotes_of_any_shell() {
        let agent = Digest::of(b"agent");
        for script in [
            begin("mark", &BlobRef::of(b"agent"), Sudo::Free),
            begin("mark", &BlobRef::of(b"agent"), Sudo::Password),
            bring("mark", "/home/a \"b\" $c", &agent),
            check_password("mark"),
        ] {
            assert!(!script.contains(['\'', '\n']), "{script}");
        }
    }

    #[test]
    fn what_a_machine_says_is_understood_or_refused_with_a_reason() {
        let missing = Found::Missing {
            directory: "/home/a b/.cache/converge/push".to_owned(),
            system: "Linux x86_64".to_owned(),
            there: 12,
        };
        for (word, found) in [
            ("here", Ok(Found::Here)),
            ("needs-password", Ok(Found::NeedsPassword)),
            ("missing 12 Linux x86_64 in /home/a b/.cache/converge/push", Ok(missing)),
            ("no-sudo", Err("no sudo")),
            ("nowhere /var/lib/converge/push /run/converge/push", Err("/run/converge/push")),
            ("missing", Err("missing")),
            ("ok", Err("\"ok\"")),
        ] {
            match (Found::parse(word, "web-1"), found) {
                (Ok(said), Ok(found)) => assert_eq!(said, found),
                (Err(error), Err(cause)) => assert!(error.cause.contains(cause) && error.hint.is_some(), "{error}"),
                (said, found) => panic!("{word}: {said:?}, not {found:?}"),
            }
        }
    }
}
