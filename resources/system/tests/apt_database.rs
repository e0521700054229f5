//! What is read from the dpkg database and from apt's index, held against dpkg-query and apt-cache on this very machine.
//! Nothing is changed.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    reason = "dpkg and apt themselves are what the answers are held against, and a test that cannot run says so"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use converge_model::system::packages::{PackageState, Transaction};
use converge_model::{Cancel, ErrorKind, System};
use converge_system::NoBlobs;
use converge_system::linux::{LinuxSystem, Options};

/// This machine; nothing where it has no apt.
fn machine() -> Option<LinuxSystem> {
    let options = Options { root: "/".into(), blobs: Arc::new(NoBlobs), cancel: Cancel::new(), stat_cache: None };
    let system = LinuxSystem::new(options).unwrap();
    if system.packages().provider() != Some("apt") {
        eprintln!("DID NOT RUN: this machine has no apt");
        return None;
    }
    Some(system)
}

fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C.UTF-8").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_package_is_as_dpkg_says() {
    let Some(system) = machine() else { return };
    let format = "${Package}:${Architecture}\t${Version}\t${db:Status-Want}\t${db:Status-Status}\n";
    let mut counted = 0;
    for line in printed("dpkg-query", &["-W", "-f", format]).lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, version, want, status] = fields[..] else { panic!("{line}") };
        let expected = match status {
            "not-installed" => None,
            "installed" => Some(PackageState::Installed),
            "config-files" => Some(PackageState::ConfigFiles),
            _ => Some(PackageState::Unfinished),
        };
        let installed = system.packages().installed(name).unwrap();
        assert_eq!(installed.as_ref().map(|installed| installed.state), expected, "{line}");
        if let Some(installed) = installed {
            assert_eq!((installed.version.as_str(), installed.held), (version, want == "hold"), "{line}");
        }
        counted += 1;
    }
    assert!(counted > 50, "dpkg-query lists {counted} packages");
    assert_eq!(system.packages().installed("no-such-package").unwrap(), None);
    assert_eq!(system.packages().installed("--version").unwrap_err().kind, ErrorKind::Invalid);
}

#[test]
fn candidates_are_those_of_apt() {
    let Some(system) = machine() else { return };
    if !Path::new("/usr/bin/apt-cache").exists() {
        eprintln!("DID NOT RUN: this machine has no apt-cache");
        return;
    }
    for name in ["dpkg", "libc6", "libstdc++6"] {
        let policy = printed("apt-cache", &["policy", name]);
        let wanted = policy.lines().find_map(|line| line.strip_prefix("  Candidate: ")).unwrap();
        let candidates = system.packages().candidates(name).unwrap();
        let preferred: Vec<&str> = candidates
            .iter()
            .filter(|candidate| candidate.preferred)
            .map(|candidate| candidate.version.as_str())
            .collect();
        assert_eq!(preferred, [wanted], "{name}");
        let madison = printed("apt-cache", &["madison", name]);
        for line in madison.lines() {
            let version = line.split('|').nth(1).unwrap().trim();
            assert!(candidates.iter().any(|candidate| candidate.version == version), "{name} {version}");
        }
    }
    // A name that is no package is not taken for a pattern.
    assert_eq!(system.packages().candidates("libstdc.+").map(|found| found.len()).unwrap_or(0), 0);
    assert_eq!(system.packages().candidates("no-such-package").unwrap(), []);
}

#[test]
fn a_tree_without_apt_says_so() {
    let root = tempfile::tempdir().unwrap();
    let options =
        Options { root: root.path().to_owned(), blobs: Arc::new(NoBlobs), cancel: Cancel::new(), stat_cache: None };
    let system = LinuxSystem::new(options).unwrap();
    assert_eq!((system.packages().provider(), system.services().provider()), (None, None));
    for error in [
        system.packages().installed("nginx").unwrap_err(),
        system.packages().transact(&Transaction::default()).unwrap_err(),
        system.services().status("nginx.service").unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(error.hint.is_some(), "{error}");
    }
}
