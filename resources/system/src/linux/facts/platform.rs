//! What the machine runs in, what runs it, and what installs its packages.

use converge_model::Value;
use rustix::system::uname;

use super::{Source, map, text};

/// Whether it is a container or a virtual machine, and which: `system` is what systemd-detect-virt(1) would call it.
pub(super) fn virtualisation(source: &Source<'_>) -> Value {
    let (kind, system) = match (container(source), machine(source)) {
        (Some(container), _) => ("container", Some(container)),
        (None, Some(machine)) => ("vm", Some(machine)),
        (None, None) => ("none", None),
    };
    map([("type", Value::from(kind)), ("system", text(system))])
}

fn container(source: &Source<'_>) -> Option<String> {
    if let Some(name) = source.text("run/systemd/container") {
        return Some(name);
    }
    for (mark, name) in [("run/.containerenv", "podman"), (".dockerenv", "docker"), ("proc/vz/veinfo", "openvz")] {
        if source.exists(mark) && !source.exists("proc/bc/0") {
            return Some(name.to_owned());
        }
    }
    let environment = source.bytes("proc/1/environ").unwrap_or_default();
    let named = environment.split(|byte| *byte == 0).find_map(|variable| variable.strip_prefix(b"container="));
    if let Some(name) = named.filter(|name| !name.is_empty()) {
        return Some(String::from_utf8_lossy(name).into_owned());
    }
    let release = uname().release().to_string_lossy().to_ascii_lowercase();
    release.contains("microsoft").then(|| "wsl".to_owned())
}

fn machine(source: &Source<'_>) -> Option<String> {
    const MARKS: [(&str, &str); 17] = [
        ("Amazon EC2", "amazon"),
        ("Google Compute Engine", "google"),
        ("KVM", "kvm"),
        ("OpenStack", "kvm"),
        ("DigitalOcean", "kvm"),
        ("QEMU", "qemu"),
        ("VMware", "vmware"),
        ("VMW", "vmware"),
        ("innotek GmbH", "oracle"),
        ("VirtualBox", "oracle"),
        ("Oracle Corporation", "oracle"),
        ("Xen", "xen"),
        ("Bochs", "bochs"),
        ("Parallels", "parallels"),
        ("BHYVE", "bhyve"),
        ("Hyper-V", "microsoft"),
        ("Apple Virtualization", "apple"),
    ];
    let dmi = ["product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version"]
        .map(|name| source.text(&format!("sys/class/dmi/id/{name}")));
    let mut said = dmi.iter().flatten();
    let named = said
        .find_map(|value| MARKS.iter().find(|(mark, _)| value.starts_with(mark)).map(|(_, name)| (*name).to_owned()));
    if let [Some(product), Some(vendor), ..] = &dmi
        && vendor == "Microsoft Corporation"
        && product == "Virtual Machine"
    {
        return Some("microsoft".to_owned());
    }
    // A processor that says it is not a real one; without a name where nothing tells one, as Firecracker does.
    let is_virtual = || {
        source
            .processor()
            .lines()
            .any(|line| line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "hypervisor"))
    };
    named
        .or_else(|| source.text("sys/hypervisor/type"))
        .or_else(|| source.exists("proc/xen").then(|| "xen".to_owned()))
        .or_else(|| is_virtual().then(|| "vm-other".to_owned()))
}

/// What started everything else: `systemd` only where it really runs.
pub(super) fn init(source: &Source<'_>) -> Value {
    if source.exists("run/systemd/system") {
        return Value::from("systemd");
    }
    if source.exists("run/openrc") {
        return Value::from("openrc");
    }
    text(source.text("proc/1/comm").filter(|name| name != "systemd"))
}

/// The package manager: `apt`, `dnf`, …
pub(super) fn package_provider(source: &Source<'_>) -> Value {
    let known = [
        ("usr/bin/apt-get", "apt"),
        ("usr/bin/dnf5", "dnf"),
        ("usr/bin/dnf", "dnf"),
        ("usr/bin/yum", "yum"),
        ("usr/bin/zypper", "zypper"),
        ("usr/bin/pacman", "pacman"),
        ("sbin/apk", "apk"),
    ];
    text(known.into_iter().find(|(program, _)| source.exists(program)).map(|(_, name)| name))
}
