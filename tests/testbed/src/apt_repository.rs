//! A local package repository, built out of packages that a test describes.
#![expect(
    clippy::disallowed_methods,
    reason = "the testbed builds packages in the test host's file system; there is no agent here"
)]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::claim::{Claim, remove_directory};
use crate::command::Invocation;
use crate::digest;
use crate::error::{Attempt, Result, TestbedError};
use crate::host_files;
use crate::package::Package;

/// A flat, unsigned repository: packages and their index in one directory. It may hold several versions of a package.
#[derive(Debug)]
pub struct AptRepository {
    claim: Claim,
    /// The index, in the order of adding.
    index: String,
    debs: Vec<String>,
}

impl AptRepository {
    /// An empty repository.
    ///
    /// # Errors
    ///
    /// The test host's disk refuses its directory.
    pub fn new() -> Result<Self> {
        Ok(Self { claim: Claim::new("repository")?, index: String::new(), debs: Vec::new() })
    }

    /// Builds a package and adds it to the index. Gives the path of the built `.deb` on the test host.
    ///
    /// # Errors
    ///
    /// dpkg-deb refuses the package, or the repository has this version of it already.
    pub fn add(&mut self, package: &Package) -> Result<PathBuf> {
        let name = package.deb_name();
        if self.debs.contains(&name) {
            return Err(TestbedError::new(format!(
                "cannot add {name}: the repository has it already; give it another version"
            )));
        }
        let path = self.claim.directory().join(&name);
        let tree = self.claim.directory().join("tree");
        lay_out(package, &tree)?;
        Invocation::on_host(["dpkg-deb", "--root-owner-group", "-Znone", "--build"])
            .argument(&tree)
            .argument(&path)
            .run()?
            .succeeded(&format!("build {name}"))?;
        remove_directory(&tree)?;
        let bytes = host_files::read(&path)?;
        // Writing to a String cannot fail.
        let _ = writeln!(
            self.index,
            "{}Filename: ./{name}\nSize: {}\nSHA256: {}\n",
            package.control(),
            bytes.len(),
            digest::hex(&bytes)
        );
        self.debs.push(name);
        Ok(path)
    }

    /// All files of the repository: name and content.
    pub(crate) fn files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = vec![("Packages".to_owned(), self.index.clone().into_bytes())];
        for name in &self.debs {
            files.push((name.clone(), host_files::read(&self.claim.directory().join(name))?));
        }
        Ok(files)
    }
}

/// Writes the package's files and control files as dpkg-deb wants them.
fn lay_out(package: &Package, tree: &Path) -> Result<()> {
    let control = tree.join("DEBIAN");
    write(&control.join("control"), package.control().as_bytes(), 0o644)?;
    for (name, text, mode) in package.control_files() {
        write(&control.join(name), text.as_bytes(), mode)?;
    }
    for file in &package.files {
        let path = tree.join(file.path.trim_start_matches('/'));
        write(&path, &file.content, file.mode)?;
    }
    Ok(())
}

fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let failed = || format!("cannot write {}", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).attempt(failed)?;
    }
    fs::write(path, content).attempt(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).attempt(failed)
}
