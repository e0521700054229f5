//! Where the test host gets its Debian packages from; machines are built from the same place.
#![expect(
    clippy::disallowed_methods,
    reason = "the testbed reads the test host's apt configuration; there is no agent here"
)]

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::Invocation;
use crate::error::Result;

/// What of apt's `Acquire` settings decides whether a mirror can be used: proxies, checks of dates, certificates.
const SETTINGS: &[&str] = &["Acquire::http::", "Acquire::https::", "Acquire::Check-", "Acquire::Retries"];

/// The test host's sources of one Debian release.
#[derive(Debug)]
pub(crate) struct AptSources {
    /// Source files that hold the release and nothing foreign; none means Debian's own default mirror.
    pub(crate) files: Vec<PathBuf>,
    /// Lines of apt's configuration.
    pub(crate) settings: Vec<String>,
    /// The text of `files`, for the digest.
    pub(crate) text: String,
}

impl AptSources {
    /// Reads `/etc/apt` for the sources of `suite`.
    pub(crate) fn of_host(suite: &str) -> Result<Self> {
        let mut candidates = vec![PathBuf::from("/etc/apt/sources.list")];
        if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
            candidates.extend(entries.flatten().map(|entry| entry.path()));
        }
        candidates.sort();
        let mut files = Vec::new();
        let mut text = String::new();
        for path in candidates {
            let Ok(content) = fs::read_to_string(&path) else {
                continue;
            };
            if is_for(&path, &content, suite) {
                text.push_str(&content);
                files.push(path);
            }
        }
        let dump = Invocation::on_host(["apt-config", "dump"]).run()?;
        let settings = dump
            .stdout
            .lines()
            .filter(|line| SETTINGS.iter().any(|setting| line.starts_with(setting)))
            .map(str::to_owned)
            .collect();
        Ok(Self { files, settings, text })
    }
}

/// Whether a source file, one-line or deb822, is about `suite` itself. Third parties name their own suites
/// (`nodistro`, `cloud-sdk-bookworm`) or come without one of Debian's components.
fn is_for(path: &Path, content: &str, suite: &str) -> bool {
    let lines = content.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("sources") => {
            let has = |key: &str, word: &str| {
                lines.clone().any(|line| {
                    line.split_once(':').is_some_and(|(name, words)| {
                        name.eq_ignore_ascii_case(key) && words.split_whitespace().any(|found| found == word)
                    })
                })
            };
            has("Suites", suite) && has("Components", "main")
        }
        Some("list") => lines.clone().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.first() == Some(&"deb") && words.contains(&suite) && words.contains(&"main")
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debians_own_sources_are_taken() {
        let table = [
            ("debian.sources", "Types: deb\nSuites: bookworm bookworm-updates\nComponents: main\n", true),
            ("debian.sources", "Types: deb\nSuites: trixie\nComponents: main\n", false),
            ("node.sources", "Types: deb\nSuites: nodistro\nComponents: main\n", false),
            ("sources.list", "# deb http://a bookworm main\n", false),
            ("sources.list", "deb [signed-by=/k] http://a bookworm main contrib\n", true),
            ("cloud.list", "deb https://p cloud-sdk-bookworm main\n", false),
            ("docker.list", "deb https://p bookworm stable\n", false),
            ("sources.list.save", "deb http://a bookworm main\n", false),
        ];
        for (name, content, wanted) in table {
            assert_eq!(is_for(Path::new(name), content, "bookworm"), wanted, "{name}: {content}");
        }
    }
}
