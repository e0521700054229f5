//! Files of the test host that go into a machine.
#![expect(clippy::disallowed_methods, reason = "the testbed copies files from the test host; there is no agent here")]

use std::fs;
use std::path::Path;

use crate::error::{Attempt, Result};

/// The content of a file of the test host.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).attempt(|| format!("cannot read {}", path.display()))
}
