//! Where the testbed keeps its things on the test host: all below `target/testbed`.
#![expect(
    clippy::disallowed_methods,
    reason = "the testbed reads the environment cargo gives a test process; there is no agent configuration here"
)]

use std::path::{Path, PathBuf};

/// Cargo's target directory: `CARGO_TARGET_DIR`, else `target` in the workspace this crate was built from.
pub fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || {
            let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            workspace.canonicalize().unwrap_or(workspace).join("target")
        },
        PathBuf::from,
    )
}

/// Cached bases, machines, repositories and locks. Where several worktrees share one by a link, it is the link's target: the
/// kernel's list of mounts, which tells what is to be taken away, knows no other name.
pub(crate) fn testbed() -> PathBuf {
    let directory = target_directory().join("testbed");
    directory.canonicalize().unwrap_or(directory)
}
