//! A machine's own root file system: the base, with the machine's changes kept apart from it.
#![expect(
    clippy::disallowed_methods,
    reason = "the testbed prepares roots in the test host's file system; there is no agent here"
)]

use std::fs;
use std::path::{Path, PathBuf};

use crate::claim::{Claim, say};
use crate::command::Invocation;
use crate::digest;
use crate::error::{Attempt, Result, TestbedError};
use crate::image::Image;
use crate::mounts;

/// Lays a root for a machine into its claim: an overlay on the base, or a copy of it where the test host's file system
/// cannot hold an overlay.
pub(crate) fn lay(claim: &Claim, image: &Image, host_name: &str) -> Result<PathBuf> {
    let [root, upper, work] = ["root", "upper", "work"].map(|name| claim.directory().join(name));
    for directory in [&root, &upper, &work] {
        make(directory)?;
    }
    if let Err(error) = mounts::overlay(image.root(), &upper, &work, &root) {
        say(&format!("{error:?}; copying the base instead"));
        let output = Invocation::on_host(["cp", "--archive", "--reflink=auto", "--"])
            .argument(image.root().join("."))
            .argument(&root)
            .run()?;
        if !output.success() {
            return Err(TestbedError::new(format!("cannot copy the base to {}:\n{}", root.display(), output.tail())));
        }
    }
    write(&root.join("etc/hostname"), &format!("{host_name}\n"))?;
    let hosts = format!("127.0.0.1 localhost\n127.0.1.1 {host_name}\n::1 localhost ip6-localhost\n");
    write(&root.join("etc/hosts"), &hosts)?;
    // Without one systemd takes this for the first boot ever and applies presets, which no installed Debian does.
    let machine_id = &digest::hex(claim.id())[..32];
    write(&root.join("etc/machine-id"), &format!("{machine_id}\n"))?;
    Ok(root)
}

fn make(directory: &Path) -> Result<()> {
    fs::create_dir(directory).attempt(|| format!("cannot make {}", directory.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).attempt(|| format!("cannot write {}", path.display()))
}
