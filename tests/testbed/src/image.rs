//! The base every machine starts from: a minimal Debian of the test host's own release, built once and cached.
#![expect(
    clippy::disallowed_methods,
    reason = "the testbed keeps its cache in the test host's file system; there is no agent here"
)]

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::claim::{Claim, locked, remove_directory, say};
use crate::command::Invocation;
use crate::control_group::ENTER;
use crate::error::{Attempt, Result, TestbedError};
use crate::{apt_sources, digest, places};

/// What a machine has beyond the essential packages: what makes it boot, what the kinds need, what tests look with.
const PACKAGES: &[&str] = &[
    "adduser",
    "apt",
    "attr",
    "dbus",
    "debconf",
    "e2fsprogs",
    "iproute2",
    "iputils-ping",
    "openssh-client",
    "openssh-server",
    "passwd",
    "procps",
    "sudo",
    "systemd",
    "systemd-sysv",
];

/// Runs with the new root as `$1`, after the packages are in. A machine has no package source until a test gives it one;
/// nothing on it happens by the clock, or a timer would take dpkg's lock in the middle of a test; and dpkg does not
/// sync, since no test survives a crash of the test host.
const FINISH: &str = r#"set -eu
rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap
for timer in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim; do
    ln -sf /dev/null "$1/etc/systemd/system/$timer.timer"
done
echo force-unsafe-io > "$1"/etc/dpkg/dpkg.cfg.d/converge-testbed
rm -f "$1"/etc/machine-id "$1"/var/lib/dbus/machine-id
"#;

/// Building downloads some 60 MB and unpacks them; a slow mirror gets this long.
const BUILD_DEADLINE: Duration = Duration::from_secs(900);

/// A root file system that machines lie over. It is never changed, and stays while an `Image` of it is held.
#[derive(Debug, Clone)]
pub struct Image {
    root: PathBuf,
    /// Held shared, so that nobody removes the base as out of date.
    _use: Arc<File>,
}

impl Image {
    /// The cached base; built first where there is none (half a minute, announced on standard error). Processes that
    /// ask at the same time wait for the one that builds.
    ///
    /// # Errors
    ///
    /// mmdebstrap is missing or fails, the package mirror cannot be reached, the disk is full.
    pub fn base() -> Result<Self> {
        static BASE: Mutex<Option<Image>> = Mutex::new(None);
        let mut base = BASE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = &*base {
            return Ok(image.clone());
        }
        let image = Recipe::of_host()?.image()?;
        *base = Some(image.clone());
        Ok(image)
    }

    /// The directory of the root file system; to be read, never written.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// All that decides what a base holds.
struct Recipe {
    suite: String,
    sources: apt_sources::AptSources,
}

impl Recipe {
    fn of_host() -> Result<Self> {
        let suite = suite(Path::new("/etc/os-release"))?;
        let sources = apt_sources::AptSources::of_host(&suite)?;
        Ok(Self { suite, sources })
    }

    /// The name of this recipe's base: the same whenever it would be built the same.
    fn digest(&self) -> String {
        let parts: Vec<&str> =
            [self.suite.as_str(), FINISH, &self.sources.text].into_iter().chain(PACKAGES.iter().copied()).collect();
        digest::hex(parts.join("\0"))[..16].to_owned()
    }

    fn image(&self) -> Result<Image> {
        let bases = places::testbed().join("bases");
        fs::create_dir_all(&bases).attempt(|| format!("cannot make {}", bases.display()))?;
        let name = format!("{}-{}", self.suite, self.digest());
        let root = bases.join(&name);
        let building = locked(&bases.join("building.lock"))?;
        if !root.exists() {
            self.build(&root)?;
            remove_outdated(&bases, &name);
        }
        let in_use = bases.join(format!("{name}.lock"));
        let file = File::create(&in_use).attempt(|| format!("cannot open {}", in_use.display()))?;
        file.lock_shared().attempt(|| format!("cannot lock {}", in_use.display()))?;
        drop(building);
        Ok(Image { root, _use: Arc::new(file) })
    }

    /// Builds in a claim, which is swept when this process is killed, and renames, so that what has the final name is
    /// whole.
    fn build(&self, root: &Path) -> Result<()> {
        let claim = Claim::new("base")?;
        let finish = claim.directory().join("finish");
        fs::write(&finish, FINISH).attempt(|| format!("cannot write {}", finish.display()))?;
        let built = claim.directory().join("root");
        say(&format!("building a base of {} with mmdebstrap; this happens once and takes half a minute", self.suite));
        let started = Instant::now();
        let mut invocation = Invocation::on_host(["sh", "-c", ENTER])
            .argument(claim.control_group().create()?)
            .argument("mmdebstrap")
            .argument("--mode=root")
            .argument("--format=directory")
            .argument("--variant=minbase")
            .argument(format!("--include={}", PACKAGES.join(",")))
            .argument(format!("--customize-hook=sh '{}' \"$1\"", finish.display()));
        for setting in &self.sources.settings {
            invocation = invocation.argument(format!("--aptopt={setting}"));
        }
        invocation = invocation.argument(&self.suite).argument(&built);
        for file in &self.sources.files {
            invocation = invocation.argument(file);
        }
        let output = invocation.deadline(BUILD_DEADLINE).run()?;
        if !output.success() {
            return Err(TestbedError::new(format!(
                "mmdebstrap cannot build a base of {}; is the package mirror reachable?\n{}",
                self.suite,
                output.tail()
            )));
        }
        fs::rename(&built, root).attempt(|| format!("cannot put the base at {}", root.display()))?;
        say(&format!("base built in {:.0} s: {}", started.elapsed().as_secs_f64(), root.display()));
        Ok(())
    }
}

/// Removes the bases of older recipes that nobody uses. What cannot be removed now is removed another time.
fn remove_outdated(bases: &Path, current: &str) {
    let Ok(entries) = fs::read_dir(bases) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let Some(base) = name.strip_suffix(".lock") else {
            continue;
        };
        if base == current || base == "building" {
            continue;
        }
        let Ok(lock) = File::open(&path) else { continue };
        match lock.try_lock() {
            Ok(()) => {
                say(&format!("removing the outdated base {base}"));
                if let Err(error) = remove_directory(&bases.join(base)) {
                    say(&format!("{error:?}"));
                } else {
                    drop(fs::remove_file(&path));
                }
            }
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}

/// The release's code name in an os-release file.
fn suite(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).attempt(|| format!("cannot read {}", path.display()))?;
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_matches('"').to_owned())
    };
    match (value("ID").as_deref(), value("VERSION_CODENAME")) {
        (Some("debian"), Some(suite)) => Ok(suite),
        _ => Err(TestbedError::new(format!(
            "machines are built from the test host's own Debian release, but {} names none; run the system tests on Debian",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_source_makes_another_base() {
        let recipe = |text: &str| Recipe {
            suite: "bookworm".to_owned(),
            sources: apt_sources::AptSources { files: Vec::new(), settings: Vec::new(), text: text.to_owned() },
        };
        assert_eq!(recipe("a").digest(), recipe("a").digest());
        assert_ne!(recipe("a").digest(), recipe("b").digest());
        assert_eq!(recipe("a").digest().len(), 16);
    }
}
