//! Where systemd finds the files of a unit, and the little that a plan needs to know of what they say.

use std::ffi::OsString;

use converge_model::error::Result;
use converge_model::{AbsPath, Digest};

/// Where unit files are looked for; the first that has one counts.
const DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The directories that hold unit files, of the administrator first.
pub(crate) fn directories() -> impl Iterator<Item = AbsPath> {
    DIRECTORIES.iter().filter_map(|directory| directory.parse().ok())
}

/// Where the administrator's file of `unit` is, or the link that masks it.
pub(crate) fn own_path(unit: &str) -> Option<AbsPath> {
    below(DIRECTORIES[0], unit)
}

/// The paths at which the file of `unit` may be, the one that counts most first; of an instance, its template's too.
pub(crate) fn paths(unit: &str) -> Vec<AbsPath> {
    names(unit).iter().flat_map(|name| DIRECTORIES.iter().filter_map(move |dir| below(dir, name))).collect()
}

/// The directories that may hold drop-ins of `unit`.
fn drop_in_directories(unit: &str) -> Vec<AbsPath> {
    names(unit)
        .iter()
        .flat_map(|name| DIRECTORIES.iter().filter_map(move |dir| below(dir, &format!("{name}.d"))))
        .collect()
}

fn below(directory: &str, name: &str) -> Option<AbsPath> {
    directory.parse::<AbsPath>().ok()?.join(name).ok()
}

/// The unit itself, and of an instance its template.
pub(crate) fn names(unit: &str) -> Vec<String> {
    let mut names = vec![unit.to_owned()];
    if let (Some((stem, _)), Some((_, suffix))) = (unit.split_once('@'), unit.rsplit_once('.')) {
        let template = format!("{stem}@.{suffix}");
        if template != unit {
            names.push(template);
        }
    }
    names
}

/// What is needed of files to find those of a unit.
pub(crate) trait UnitFiles {
    /// Where a path leads.
    fn resolve(&self, path: &AbsPath) -> Result<AbsPath>;
    /// The text of the regular file at a path without links; nothing where none is.
    fn text(&self, path: &AbsPath) -> Result<Option<String>>;
    /// The names in a directory; none where it is not there.
    fn names(&self, directory: &AbsPath) -> Result<Vec<OsString>>;
}

/// The files of a unit, as they are at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    /// Of all their text.
    pub(crate) digest: Digest,
    /// What they say.
    pub(crate) file: UnitFile,
    /// Whether a link to `/dev/null` masks it.
    pub(crate) masked: bool,
}

/// Finds the files of `unit`; nothing where it has none.
pub(crate) fn find(unit: &str, files: &dyn UnitFiles) -> Result<Option<Definition>> {
    let mut found = None;
    for path in paths(unit) {
        let real = files.resolve(&path)?;
        if real.as_path() == std::path::Path::new("/dev/null") {
            return Ok(Some(Definition { digest: Digest::of(b""), file: UnitFile::default(), masked: true }));
        }
        found = files.text(&real)?;
        if found.is_some() {
            break;
        }
    }
    let Some(mut text) = found else { return Ok(None) };
    for directory in drop_in_directories(unit) {
        for name in files.names(&directory)? {
            if name.as_encoded_bytes().ends_with(b".conf")
                && let Some(more) = files.text(&files.resolve(&directory.entry(&name))?)?
            {
                text.push('\n');
                text.push_str(&more);
            }
        }
    }
    Ok(Some(Definition { digest: Digest::of(text.as_bytes()), file: UnitFile::parse(&text), masked: false }))
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
