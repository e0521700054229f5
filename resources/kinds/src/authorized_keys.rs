//! `~/.ssh/authorized_keys` of a user.

use converge_model::system::accounts::User;
use converge_model::system::files::{Attributes, FileType, Metadata};
use converge_model::{
    AbsPath, BlobRef, Change, Changes, Content, Error, ErrorKind, Mode, PropertyType, Result, Shown, System,
    TypeSchema, Value,
};

use crate::past::{self, Past};
use crate::{obstacle, text_diff};

/// What sshd takes: nobody else may write there, or it ignores the keys.
const DIRECTORY_MODE: Mode = Mode(0o700);
const FILE_MODE: Mode = Mode(0o600);

/// All keys that a user has: the lines of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthorizedKeys(Vec<String>);

impl PropertyType for AuthorizedKeys {
    fn schema() -> TypeSchema {
        TypeSchema::List(Box::new(TypeSchema::Text { what: "line of sshd(8)'s authorized_keys", pattern: None }))
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let lines = Vec::<String>::from_value(value)?;
        for (index, line) in lines.iter().enumerate() {
            if line.trim().is_empty() || line.chars().any(char::is_control) {
                return Err(format!("item {}: {line:?} is not a key on one line", index + 1));
            }
        }
        Ok(Self(lines))
    }
}

/// What is in the way to the keys of one user.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    directory: Option<Metadata>,
    file: Option<Metadata>,
    /// Whether the file holds the keys.
    same: bool,
    /// What it holds instead.
    text: String,
    uid: u32,
}

impl Observed {
    /// That of a user that is not there yet.
    pub(crate) fn nothing() -> Self {
        Self { directory: None, file: None, same: false, text: String::new(), uid: 0 }
    }
}

struct Place {
    directory: AbsPath,
    file: AbsPath,
}

impl Place {
    fn of(user: &User) -> Result<Self> {
        let join = |directory: &AbsPath, name: &str| directory.join(name);
        let place = user.home.parse::<AbsPath>().and_then(|home| join(&home, ".ssh")).and_then(|directory| {
            let file = join(&directory, "authorized_keys")?;
            Ok(Self { directory, file })
        });
        place.map_err(|cause| {
            Error::new(ErrorKind::Invalid, "find", format!("the home directory of {}", user.name), cause)
                .with_hint("declare `home`")
        })
    }
}

impl AuthorizedKeys {
    fn content(&self) -> Content {
        let text: String = self.0.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        Content::Bytes(text.into_bytes().into())
    }

    /// No keys are wanted, and no file is there. A link where `.ssh` belongs may lead to one.
    fn has_nothing_to_do(&self, observed: &Observed) -> bool {
        let plain = observed.directory.is_none_or(|directory| directory.file_type == FileType::Directory);
        self.0.is_empty() && observed.file.is_none() && plain
    }

    /// Looks at the keys of `user`, who is there.
    pub(crate) fn observe(&self, system: &dyn System, user: &User) -> Result<Observed> {
        let (files, place) = (system.files(), Place::of(user)?);
        let directory = files.metadata(&place.directory)?;
        let mut observed = Observed { directory, uid: user.uid, ..Observed::nothing() };
        if directory.is_none_or(|directory| directory.file_type != FileType::Directory) {
            return Ok(observed);
        }
        if let Some(probe) = files.probe(&place.file, Some(&self.content()))? {
            observed.file = Some(probe.metadata);
            observed.same = probe.same == Some(true);
            if !observed.same && probe.metadata.file_type == FileType::Regular {
                let bytes = files.read(&place.file, text_diff::LIMIT)?;
                observed.text = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        Ok(observed)
    }

    /// Adds what differs: the keys, or who may change them.
    pub(crate) fn compare(&self, observed: &Observed, changes: &mut Changes) {
        let property = "authorized_keys";
        if self.has_nothing_to_do(observed) {
            return;
        }
        if !observed.same {
            let count = observed.text.lines().filter(|line| !line.trim().is_empty()).count();
            let from = observed.file.map_or(Shown::Absent, |_| Shown::text(keys(count)));
            let new: String = self.0.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            changes.push(
                Change::new(property, from, Shown::text(keys(self.0.len())))
                    .with_diff(Some(text_diff::unified(&observed.text, &new))),
            );
        }
        let mut guard = |what: &str, found: Option<Metadata>, file_type: FileType, mode: Mode| {
            let Some(found) = found else { return };
            let from = if found.file_type == file_type {
                format!("{what} of {}, {}", found.uid, Mode(found.mode))
            } else {
                format!("{what} is a {}", found.file_type.words())
            };
            let to = format!("{what} of {}, {mode}", observed.uid);
            if from != to {
                changes.push(Change::new(property, Shown::text(from), Shown::text(to)));
            }
        };
        guard("directory", observed.directory, FileType::Directory, DIRECTORY_MODE);
        guard("file", observed.file, FileType::Regular, FILE_MODE);
    }

    /// What making the keys of `user` right overwrites.
    pub(crate) fn images(&self, user: &User, observed: &Observed, past: &mut Past<'_>) -> Result<()> {
        let place = Place::of(user)?;
        if observed.directory.is_none() {
            past.overwrite(&place.directory, None, past::image_at("directory", &place.directory, []))?;
        }
        let content = self.content();
        let blob = Value::Blob(BlobRef { digest: content.digest(), size: content.size() });
        let after = past::image_at("file", &place.file, [("content", Some(blob))]);
        past.overwrite(&place.file, observed.file.as_ref(), after)
    }

    /// Makes the keys of `user` right, whatever is there.
    ///
    /// # Errors
    /// Where there is no home directory, or something else is where `.ssh` belongs: what a user planted there could lead
    /// root anywhere.
    pub(crate) fn apply(&self, system: &dyn System, user: &User) -> Result<()> {
        let observed = self.observe(system, user)?;
        let (files, place) = (system.files(), Place::of(user)?);
        let attributes = |mode: Mode| Attributes { uid: Some(user.uid), gid: Some(user.gid), mode: Some(mode.0) };
        let right = |found: Metadata, mode: Mode| found.uid == user.uid && found.mode == mode.0;
        if self.has_nothing_to_do(&observed) {
            return Ok(());
        }
        match observed.directory {
            None => files.make_directory(&place.directory, attributes(DIRECTORY_MODE)).map_err(|error| {
                if error.kind == ErrorKind::NotFound {
                    error.with_hint("the user has no home directory; set `create_home = true`, or declare it before")
                } else {
                    error
                }
            })?,
            Some(found) if found.file_type != FileType::Directory => {
                let hint = "look who put it there, and remove it";
                return Err(obstacle::in_the_way("write keys below", &place.directory, found.file_type, hint));
            }
            Some(found) if !right(found, DIRECTORY_MODE) => {
                files.set_attributes(&place.directory, attributes(DIRECTORY_MODE))?;
            }
            Some(_) => {}
        }
        match observed.file {
            Some(found) if observed.same && right(found, FILE_MODE) => Ok(()),
            Some(_) if observed.same => files.set_attributes(&place.file, attributes(FILE_MODE)),
            _ => files.write(&place.file, &self.content(), attributes(FILE_MODE), None),
        }
    }
}

fn keys(count: usize) -> String {
    if count == 1 { "1 key".to_owned() } else { format!("{count} keys") }
}
