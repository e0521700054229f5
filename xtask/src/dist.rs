//! `cargo xtask dist`: everything that is handed to operators, in one folder: Debian packages, a tarball with an install
//! script, and their digests.
//!
//! The same commit gives the same bytes: all times are those of the commit, all owners root, all names sorted.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "xtask is a program of its own on the developer's terminal, and packs this project's own files"
)]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use converge_testbed::target_directory;

use crate::process::{answer, run, workspace};
use crate::release;

/// The units, each with the package that has it.
const UNITS: [(&str, &str); 5] = [
    ("converge", "converge.service"),
    ("converge", "converge-once.service"),
    ("converge", "converge-run.service"),
    ("converge", "converge.timer"),
    ("converge-store", "converge-store.service"),
];

/// The completions: the shell, and where its own package looks for them.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/converge"),
    ("zsh", "usr/share/zsh/vendor-completions/_converge"),
    ("fish", "usr/share/fish/vendor_completions.d/converge.fish"),
];

/// Builds the agent, unless `CONVERGE_BINARY` names one, and packs it.
pub(crate) fn dist() -> ExitCode {
    match release::given_or_built().and_then(|agent| build(&agent)) {
        Some(folder) => {
            println!("{}", folder.display());
            ExitCode::SUCCESS
        }
        None => ExitCode::FAILURE,
    }
}

/// Packs the agent at `agent`, and gives the folder that everything is in; nothing where that failed.
pub(crate) fn build(agent: &Path) -> Option<PathBuf> {
    let dist = Dist::of(agent)?;
    match dist.pack() {
        Ok(true) => Some(dist.folder),
        Ok(false) => None,
        Err(error) => {
            println!("could not pack {}: {error}", agent.display());
            None
        }
    }
}

struct Dist<'a> {
    agent: &'a Path,
    version: String,
    /// As Debian calls it: `amd64`.
    architecture: String,
    /// When the commit was made, in seconds since 1970.
    epoch: String,
    folder: PathBuf,
}

impl<'a> Dist<'a> {
    fn of(agent: &'a Path) -> Option<Self> {
        let said = answer(&[agent.to_str()?, "--version"])?;
        Some(Self {
            agent,
            version: said.split_whitespace().last()?.to_owned(),
            architecture: answer(&["dpkg", "--print-architecture"])?,
            epoch: answer(&["git", "log", "-1", "--format=%ct"]).unwrap_or_else(|| "0".to_owned()),
            folder: target_directory().join("dist"),
        })
    }

    fn pack(&self) -> io::Result<bool> {
        // Directories have the same mode whoever packs.
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        let stage = self.folder.join("stage");
        self.stage_agent(&stage.join("converge"))?;
        self.stage_units(&stage)?;
        let packed = self.debian(&stage, "converge", &self.architecture)?
            && self.debian(&stage, "converge-store", "all")?
            && self.tarball(&stage)?;
        fs::remove_dir_all(&stage)?;
        Ok(packed && self.digests()?)
    }

    /// The agent with its manual, its completions and the example of its configuration.
    fn stage_agent(&self, root: &Path) -> io::Result<()> {
        place(self.agent, &root.join("usr/bin/converge"), 0o755)?;
        place(&workspace().join("packaging/etc/agent.toml"), &root.join("etc/converge/agent.toml"), 0o644)?;
        for (shell, path) in COMPLETIONS {
            let script = self.ask(&["completions", shell])?;
            write(&root.join(path), &format!("{script}\n"), 0o644)?;
        }
        let manual = root.join("usr/share/man/man1");
        fs::create_dir_all(&manual)?;
        self.ask(&["manual", &manual.to_string_lossy()])?;
        Ok(())
    }

    fn stage_units(&self, stage: &Path) -> io::Result<()> {
        for (package, unit) in UNITS {
            let to = stage.join(package).join("usr/lib/systemd/system").join(unit);
            place(&workspace().join("packaging/systemd").join(unit), &to, 0o644)?;
        }
        Ok(())
    }

    /// What the agent says when it is called so.
    fn ask(&self, arguments: &[&str]) -> io::Result<String> {
        let agent = self.agent.to_string_lossy();
        let line: Vec<&str> = [&*agent].into_iter().chain(arguments.iter().copied()).collect();
        answer(&line).ok_or_else(|| io::Error::other(format!("`{}` failed", line.join(" "))))
    }

    /// A Debian package of what is staged for it, and of `packaging/debian/NAME`.
    fn debian(&self, stage: &Path, name: &str, architecture: &str) -> io::Result<bool> {
        let root = stage.join(name);
        write(
            &root.join("usr/share/doc").join(name).join("copyright"),
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: The \
             Converge authors\nLicense: Apache-2.0\n On Debian systems, the full text of the Apache License is in\n \
             /usr/share/common-licenses/Apache-2.0.\n",
            0o644,
        )?;
        let size = sizes(&root)?.div_ceil(1024).to_string();
        for entry in fs::read_dir(workspace().join("packaging/debian").join(name))? {
            let entry = entry?;
            let text = fs::read_to_string(entry.path())?
                .replace("@VERSION@", &self.version)
                .replace("@ARCHITECTURE@", architecture)
                .replace("@SIZE@", &size);
            let is_script = text.starts_with("#!");
            write(&root.join("DEBIAN").join(entry.file_name()), &text, if is_script { 0o755 } else { 0o644 })?;
        }
        let package = self.folder.join(format!("{name}_{}_{architecture}.deb", self.version));
        let (root, package) = (root.to_string_lossy(), package.to_string_lossy());
        let line = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", &root, &package];
        Ok(run(&line, &[("SOURCE_DATE_EPOCH", self.epoch.clone())]))
    }

    /// A tarball for every other system, with an install script.
    fn tarball(&self, stage: &Path) -> io::Result<bool> {
        let name = format!("converge-{}-{}", self.version, std::env::consts::ARCH);
        let root = stage.join(&name);
        place(self.agent, &root.join("converge"), 0o755)?;
        place(&workspace().join("packaging/install.sh"), &root.join("install.sh"), 0o755)?;
        place(&workspace().join("packaging/etc/agent.toml"), &root.join("agent.toml"), 0o644)?;
        for (_, unit) in UNITS {
            place(&workspace().join("packaging/systemd").join(unit), &root.join("systemd").join(unit), 0o644)?;
        }
        let manual = root.join("man");
        fs::create_dir_all(&manual)?;
        self.ask(&["manual", &manual.to_string_lossy()])?;
        let archive = self.folder.join(format!("{name}.tar.xz"));
        let (archive, stage) = (archive.to_string_lossy(), stage.to_string_lossy());
        let time = format!("--mtime=@{}", self.epoch);
        Ok(run(
            &[
                "tar",
                "--create",
                "--xz",
                "--sort=name",
                &time,
                "--owner=0",
                "--group=0",
                "--numeric-owner",
                "--file",
                &archive,
                "--directory",
                &stage,
                &name,
            ],
            &[],
        ))
    }

    /// The digests of all of it, in a file that sha256sum(1) checks.
    fn digests(&self) -> io::Result<bool> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        let mut digests = String::new();
        for name in names {
            let Some(line) = answer(&["sha256sum", &self.folder.join(&name).to_string_lossy()]) else {
                return Ok(false);
            };
            let digest = line.split_whitespace().next().unwrap_or_default();
            digests.push_str(&format!("{digest}  {name}\n"));
        }
        write(&self.folder.join("SHA256SUMS"), &digests, 0o644)?;
        print!("{digests}");
        Ok(true)
    }
}

/// Copies a file to where directories may have to be made for it.
fn place(from: &Path, to: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    fs::copy(from, to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// How many bytes the files below a directory have.
fn sizes(directory: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let (path, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        sum += if metadata.is_dir() { sizes(&path)? } else { metadata.len() };
    }
    Ok(sum)
}
