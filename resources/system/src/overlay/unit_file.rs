//! Where systemd finds the files of a unit, and the little that a plan needs to know of what they say.

use converge_model::AbsPath;

/// Where unit files are looked for; the first that has one counts.
const DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The paths at which the file of `unit` may be, the one that counts most first; of an instance, its template's too.
pub(crate) fn paths(unit: &str) -> Vec<AbsPath> {
    names(unit).iter().flat_map(|name| DIRECTORIES.iter().filter_map(move |dir| below(dir, name))).collect()
}

/// The directories that may hold drop-ins of `unit`.
pub(crate) fn drop_in_directories(unit: &str) -> Vec<AbsPath> {
    names(unit)
        .iter()
        .flat_map(|name| DIRECTORIES.iter().filter_map(move |dir| below(dir, &format!("{name}.d"))))
        .collect()
}

fn below(directory: &str, name: &str) -> Option<AbsPath> {
    directory.parse::<AbsPath>().ok()?.join(name).ok()
}

fn names(unit: &str) -> Vec<String> {
    let mut names = vec![unit.to_owned()];
    if let (Some((stem, _)), Some((_, suffix))) = (unit.split_once('@'), unit.rsplit_once('.')) {
        let template = format!("{stem}@.{suffix}");
        if template != unit {
            names.push(template);
        }
    }
    names
}

/// What a unit's files say, drop-ins included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnitFile {
    /// It can be enabled: it has an install section.
    pub(crate) installable: bool,
    /// It can be told to read its configuration anew.
    pub(crate) reloadable: bool,
    /// It runs once, and is inactive afterwards.
    pub(crate) passing: bool,
}

impl UnitFile {
    /// Reads the text of a unit file, followed by its drop-ins.
    pub(crate) fn parse(text: &str) -> Self {
        let mut file = Self::default();
        let (mut oneshot, mut remains) = (false, false);
        for line in text.lines().map(str::trim) {
            let (key, value) = line.split_once('=').map_or((line, ""), |(key, value)| (key.trim(), value.trim()));
            match key {
                "WantedBy" | "RequiredBy" | "Alias" | "Also" => file.installable |= !value.is_empty(),
                "ExecReload" => file.reloadable = !value.is_empty(),
                "Type" => {
                    oneshot = value == "oneshot";
                    file.reloadable |= value == "notify-reload";
                }
                "RemainAfterExit" => remains = matches!(value, "yes" | "true" | "1" | "on"),
                _ => {}
            }
        }
        file.passing = oneshot && !remains;
        file
    }
}
