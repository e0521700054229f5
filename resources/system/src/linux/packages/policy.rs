//! What apt's index offers, as `apt-cache policy` prints it.

use converge_model::system::packages::Candidate;

use super::version;

/// What the index knows of one package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    /// The package, with its architecture only where it is a foreign one.
    pub(super) name: String,
    /// The version that apt would choose.
    pub(super) candidate: Option<String>,
    /// Every version that is on offer or installed, newest first.
    pub(super) versions: Vec<String>,
}

impl Policy {
    /// As the port speaks of it.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let preferred = |version: &String| self.candidate.as_ref() == Some(version);
        self.versions.iter().map(|text| Candidate { version: text.clone(), preferred: preferred(text) }).collect()
    }

    /// Whether `version`, or any where none is asked for, can be installed.
    pub(super) fn offers(&self, version: Option<&str>) -> bool {
        match version {
            Some(version) => self.versions.iter().any(|offered| offered == version),
            None => self.candidate.is_some(),
        }
    }
}

/// Reads what `apt-cache policy NAME…` printed, in whatever order. A package that apt does not know is not in it.
pub(super) fn parse(output: &str) -> Vec<Policy> {
    let mut policies: Vec<Policy> = Vec::new();
    for line in output.lines() {
        if let Some(name) = line.strip_suffix(':').filter(|name| is_header(name)) {
            policies.push(Policy { name: name.to_owned(), ..Policy::default() });
            continue;
        }
        let Some(policy) = policies.last_mut() else { continue };
        if let Some(candidate) = line.strip_prefix("  Candidate: ") {
            policy.candidate = Some(candidate.to_owned()).filter(|candidate| candidate != "(none)");
        } else if let Some(rest) = line.strip_prefix("     ").or_else(|| line.strip_prefix(" *** "))
            && !rest.starts_with(' ')
            && let Some(version) = rest.split(' ').next().filter(|version| !version.is_empty())
        {
            policy.versions.push(version.to_owned());
        }
    }
    for policy in &mut policies {
        policy.versions.sort_by(|left, right| version::compare(right, left));
    }
    policies
}

/// The line that begins a package's part: its name and nothing else.
fn is_header(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric()) && !name.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
N: Unable to locate package nosuch
nginx:
  Installed: (none)
  Candidate: 1.22.1-9+deb12u11
  Package pin: 1.22.1-9+deb12u11
  Version table:
     1.22.1-9+deb12u11 1001
       1001 http://deb.debian.org/debian-security bookworm-security/main amd64 Packages
     1.22.1-9+deb12u9 -1
         -1 http://deb.debian.org/debian bookworm/main amd64 Packages
libc6:i386:
  Installed: 2.36-9+deb12u7
  Candidate: 2.36-9+deb12u14
  Version table:
     2.36-9+deb12u14 500
        500 http://deb.debian.org/debian bookworm/main i386 Packages
 *** 2.36-9+deb12u7 100 (phased 10%)
        100 /var/lib/dpkg/status
mail-transport-agent:
  Installed: (none)
  Candidate: (none)
  Version table:
";

    #[test]
    fn versions_and_the_candidate_are_read() {
        let shown: Vec<String> = parse(OUTPUT)
            .iter()
            .map(|policy| format!("{} {:?} {}", policy.name, policy.candidate, policy.versions.join(" ")))
            .collect();
        assert_eq!(
            shown,
            [
                "nginx Some(\"1.22.1-9+deb12u11\") 1.22.1-9+deb12u11 1.22.1-9+deb12u9",
                "libc6:i386 Some(\"2.36-9+deb12u14\") 2.36-9+deb12u14 2.36-9+deb12u7",
                "mail-transport-agent None ",
            ]
        );
        let nginx = &parse(OUTPUT)[0];
        assert_eq!(nginx.candidates().iter().map(|candidate| candidate.preferred).collect::<Vec<_>>(), [true, false]);
        for (version, offered) in [(None, true), (Some("1.22.1-9+deb12u9"), true), (Some("1.22.1"), false)] {
            assert_eq!(nginx.offers(version), offered, "{version:?}");
        }
        assert!(!parse(OUTPUT)[2].offers(None), "a virtual package has nothing to install");
    }
}
