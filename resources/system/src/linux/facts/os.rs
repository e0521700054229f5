//! The distribution and the kernel.

use std::collections::BTreeMap;

use converge_model::Value;
use rustix::system::uname;

use super::{Source, integer, map, text};

/// What os-release(5) says, with the family that the distribution belongs to and its own name for the processor.
pub(super) fn os(source: &Source<'_>) -> Value {
    let release = source.text("etc/os-release").or_else(|| source.text("usr/lib/os-release")).unwrap_or_default();
    let fields = fields(&release);
    let field = |name: &str| fields.get(name).filter(|value| !value.is_empty()).cloned();
    let id = field("ID").unwrap_or_else(|| "linux".to_owned());
    let like: Vec<String> = field("ID_LIKE").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let version = field("VERSION_ID");
    let major =
        version.as_deref().and_then(|version| version.split('.').next()).and_then(|major| major.parse::<i64>().ok());
    let family = family(&id, &like);
    map([
        ("family", Value::String(family.clone())),
        ("architecture", Value::String(architecture(&family, &machine()))),
        ("name", text(field("NAME"))),
        ("pretty_name", text(field("PRETTY_NAME").or_else(|| field("NAME")).or_else(|| Some(id.clone())))),
        ("version", text(field("VERSION"))),
        ("version_id", text(version)),
        ("major", integer(major)),
        ("codename", text(field("VERSION_CODENAME"))),
        ("variant", text(field("VARIANT_ID"))),
        ("id_like", Value::from(like)),
        ("id", Value::String(id)),
    ])
}

/// Release, version and machine, as uname(2) gives them.
pub(super) fn kernel() -> Value {
    let uname = uname();
    map([
        ("name", Value::String(uname.sysname().to_string_lossy().into_owned())),
        ("release", Value::String(uname.release().to_string_lossy().into_owned())),
        ("version", Value::String(uname.version().to_string_lossy().into_owned())),
        ("machine", Value::String(machine())),
    ])
}

/// machine-id(5), once there is one.
pub(super) fn machine_id(source: &Source<'_>) -> Value {
    text(source.text("etc/machine-id").filter(|id| id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit())))
}

fn machine() -> String {
    uname().machine().to_string_lossy().into_owned()
}

/// The assignments of os-release(5), quotes and escapes resolved.
fn fields(release: &str) -> BTreeMap<&str, String> {
    let mut fields = BTreeMap::new();
    for (name, value) in
        release.lines().map(str::trim).filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='))
    {
        let quoted = |quote: char| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
        let value = match quoted('\'').map(str::to_owned) {
            Some(verbatim) => verbatim,
            None => {
                let mut resolved = String::new();
                let mut letters = quoted('"').unwrap_or(value).chars();
                while let Some(letter) = letters.next() {
                    resolved.extend(if letter == '\\' { letters.next() } else { Some(letter) });
                }
                resolved
            }
        };
        fields.insert(name, value);
    }
    fields
}

/// The family: what a recipe asks when it means "apt and /etc/default" or "dnf and /etc/sysconfig".
fn family(id: &str, like: &[String]) -> String {
    let ids = || [id].into_iter().chain(like.iter().map(String::as_str));
    for (family, members) in [
        ("debian", &["debian", "ubuntu"][..]),
        ("redhat", &["rhel", "fedora", "centos", "rocky", "almalinux", "amzn", "ol"]),
        ("suse", &["suse", "opensuse", "sles"]),
        ("arch", &["arch"]),
        ("alpine", &["alpine"]),
    ] {
        if ids().any(|id| members.contains(&id) || (family == "suse" && id.starts_with("opensuse"))) {
            return family.to_owned();
        }
    }
    id.to_owned()
}

/// The processor as the distribution's packages name it.
fn architecture(family: &str, machine: &str) -> String {
    let name = match (family, machine) {
        ("debian", "x86_64") => "amd64",
        ("debian", "aarch64") => "arm64",
        ("debian", "armv7l" | "armv8l") => "armhf",
        ("debian", "armv6l") => "armel",
        ("debian", "i386" | "i486" | "i586" | "i686") => "i386",
        ("debian", "ppc64le") => "ppc64el",
        ("debian", "loongarch64") => "loong64",
        (_, machine) => machine,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_fields_are_read_as_distributions_write_them() {
        for (release, id, family, version) in [
            (
                "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n",
                "debian",
                "debian",
                Some("12"),
            ),
            ("ID=ubuntu\nID_LIKE=debian\nVERSION_ID='22.04'", "ubuntu", "debian", Some("22.04")),
            ("# x\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.3\"", "rocky", "redhat", Some("9.3")),
            ("ID=opensuse-leap\nID_LIKE=\"suse opensuse\"", "opensuse-leap", "suse", None),
            ("ID=gentoo", "gentoo", "gentoo", None),
        ] {
            let fields = fields(release);
            let like: Vec<String> =
                fields.get("ID_LIKE").map_or("", String::as_str).split_whitespace().map(str::to_owned).collect();
            assert_eq!((fields["ID"].as_str(), fields.get("VERSION_ID").map(String::as_str)), (id, version));
            assert_eq!(super::family(id, &like), family);
        }
        assert_eq!(super::fields("NAME=\"a \\\"b\\\" \\$c\"")["NAME"], "a \"b\" $c");
    }
}
