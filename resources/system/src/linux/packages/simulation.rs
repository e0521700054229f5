//! What apt says it would do, before it does it.

use super::failure;

/// What `apt-get -s` says would happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Simulation {
    /// What would be unpacked: the package, and the version it would have then.
    pub(super) installs: Vec<(String, String)>,
    /// What would be removed.
    pub(super) removes: Vec<String>,
    /// What is held, and would be changed nevertheless.
    pub(super) held: Vec<String>,
    /// What is essential, and would be removed.
    pub(super) essential: Vec<String>,
    /// Whether anything at all would be done.
    pub(super) changes: bool,
}

impl Simulation {
    /// The version that `name` would have then; nothing where it would not be unpacked.
    pub(super) fn version_of(&self, name: &str) -> Option<&str> {
        self.installs.iter().find(|(installed, _)| installed == name).map(|(_, version)| version.as_str())
    }
}

/// Reads what `apt-get -s -q …` printed, in English.
pub(super) fn parse(output: &str) -> Simulation {
    let mut simulation = Simulation {
        held: failure::section(output, "The following held packages will be changed:"),
        essential: failure::section(output, "WARNING: The following essential packages will be removed."),
        ..Simulation::default()
    };
    for line in output.lines() {
        let mut words = line.split(' ');
        let (Some(verb), Some(name)) = (words.next(), words.next()) else { continue };
        match verb {
            "Inst" => {
                let version = words.find_map(|word| word.strip_prefix('(')).unwrap_or_default();
                simulation.installs.push((name.to_owned(), version.trim_end_matches(')').to_owned()));
            }
            "Remv" | "Purg" if !simulation.removes.iter().any(|removed| removed == name) => {
                simulation.removes.push(name.to_owned());
            }
            "Remv" | "Purg" | "Conf" => {}
            _ => continue,
        }
        simulation.changes = true;
    }
    simulation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_happen_is_read() {
        let output = "\
Reading package lists...
The following packages will be REMOVED:
  bash less
WARNING: The following essential packages will be removed.
This should NOT be done unless you know exactly what you are doing!
  bash sysvinit-core (due to bash)
The following held packages will be changed:
  nginx libc6:i386
2 upgraded, 1 newly installed, 1 to remove and 121 not upgraded.
Purg less [590-2.1~deb12u2]
Remv bash [5.2] [dash:amd64 ]
Inst nginx-common (1.22.1-9+deb12u11 Debian-Security:12/oldstable-security [all])
Inst nginx [1.18] (1.22.1-9+deb12u11 Debian-Security:12/oldstable-security [amd64]) []
Inst libc6:i386 [2.1] (2.2 house [i386])
Conf nginx (1.22.1-9+deb12u11 Debian-Security:12/oldstable-security [amd64])
Instead of this, nothing.
";
        let pair = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(
            parse(output),
            Simulation {
                installs: vec![
                    pair("nginx-common", "1.22.1-9+deb12u11"),
                    pair("nginx", "1.22.1-9+deb12u11"),
                    pair("libc6:i386", "2.2"),
                ],
                removes: vec!["less".to_owned(), "bash".to_owned()],
                held: vec!["nginx".to_owned(), "libc6:i386".to_owned()],
                essential: vec!["bash".to_owned(), "sysvinit-core".to_owned()],
                changes: true,
            }
        );
        assert_eq!(parse("Reading package lists...\n0 upgraded.\n"), Simulation::default());
    }
}
