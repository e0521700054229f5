//! The files of the project, as git knows them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The project's root directory.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A text file of the project.
pub(crate) struct Source {
    /// Its path relative to the root.
    pub(crate) path: String,
    /// What it holds.
    pub(crate) text: String,
}

/// Every file whose name ends in one of `endings`: those git tracks, and new ones that it does not ignore.
pub(crate) fn files(endings: &[&str]) -> Vec<Source> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let wanted = listed.lines().filter(|path| endings.iter().any(|ending| path.ends_with(ending)));
    let files: Vec<Source> = wanted
        .filter_map(|path| {
            let text = std::fs::read_to_string(root().join(path)).ok()?;
            Some(Source { path: path.to_owned(), text })
        })
        .collect();
    assert!(!files.is_empty(), "no file ends in {endings:?}");
    files
}

/// Fails with all findings at once.
pub(crate) fn none(rule: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{rule}\n  {}", findings.join("\n  "));
}
