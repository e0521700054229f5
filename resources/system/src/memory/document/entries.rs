//! What a document may say.

use std::collections::BTreeMap;

use converge_model::{AbsPath, Span};
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Document {
    pub(super) base: Base,
    pub(super) capacity: Option<u64>,
    pub(super) offline: bool,
    pub(super) without: Vec<Part>,
    pub(super) index_age: Option<Span>,
    pub(super) package_lock: Option<Lock>,
    pub(super) files: BTreeMap<AbsPath, FileEntry>,
    pub(super) groups: BTreeMap<String, GroupEntry>,
    pub(super) users: BTreeMap<String, UserEntry>,
    pub(super) packages: BTreeMap<String, PackageEntry>,
    pub(super) units: BTreeMap<String, UnitEntry>,
    pub(super) commands: BTreeMap<String, CommandEntry>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Base {
    #[default]
    Debian,
    Empty,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Part {
    Services,
    Packages,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lock {
    pub(super) holder: String,
    pub(super) left: Span,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum FileEntry {
    Text(String),
    Whole(Box<FileTable>),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileTable {
    pub(super) content: Option<String>,
    pub(super) directory: bool,
    pub(super) link: Option<String>,
    pub(super) hard_link: Option<AbsPath>,
    pub(super) special: bool,
    pub(super) absent: bool,
    pub(super) mode: Option<String>,
    pub(super) owner: Option<Account>,
    pub(super) group: Option<Account>,
    pub(super) immutable: bool,
    pub(super) read_only: bool,
    pub(super) mounted: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Account {
    Name(String),
    Number(u32),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupEntry {
    pub(super) gid: u32,
    #[serde(default)]
    pub(super) members: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserEntry {
    pub(super) uid: u32,
    pub(super) group: Option<Account>,
    #[serde(default)]
    pub(super) comment: String,
    pub(super) home: Option<String>,
    pub(super) shell: Option<String>,
    #[serde(default)]
    pub(super) password: String,
    pub(super) locked: Option<bool>,
    pub(super) expires: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PackageEntry {
    pub(super) installed: Option<String>,
    pub(super) state: Option<StateEntry>,
    pub(super) held: bool,
    pub(super) pinned: Option<String>,
    pub(super) versions: BTreeMap<String, VersionEntry>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StateEntry {
    Installed,
    Unfinished,
    Configuration,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct VersionEntry {
    pub(super) depends: Vec<String>,
    pub(super) files: BTreeMap<AbsPath, String>,
    pub(super) units: Vec<String>,
    pub(super) users: Vec<String>,
    pub(super) fails: Option<String>,
    pub(super) unpublished: bool,
    pub(super) archive: Option<AbsPath>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UnitEntry {
    pub(super) text: Option<String>,
    pub(super) running: bool,
    pub(super) enabled: bool,
    pub(super) masked: bool,
    pub(super) failed: bool,
    pub(super) fails: Option<String>,
    pub(super) hangs: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CommandEntry {
    pub(super) code: i32,
    pub(super) output: String,
    pub(super) takes: Option<Span>,
    pub(super) writes: BTreeMap<AbsPath, String>,
    pub(super) removes: Vec<AbsPath>,
}
