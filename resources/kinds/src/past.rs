//! What a change is about to overwrite, as the declarations that bring it back.

use converge_model::system::files::{FileType, Metadata};
use converge_model::{AbsPath, AccountName, Changes, Image, Images, Keeper, Kept, Mode, Result, System, Value};

use crate::ensure::Ensure;
use crate::ownership::Ownership;

/// How many things one change may overwrite and still be put back: a directory of a million files is no place for undoing.
const MOST: usize = 10_000;

/// Who everybody is in the permission bits: what they may not read is not shown either.
const OTHERS_READ: u32 = 0o004;

/// The number or name of an account, as a property has it.
pub(crate) fn account(account: &AccountName) -> Value {
    match account {
        AccountName::Id(id) => Value::Integer(i64::from(*id)),
        AccountName::Name(name) => name.as_str().into(),
    }
}

pub(crate) fn number(id: u32) -> Option<Value> {
    Some(Value::Integer(i64::from(id)))
}

fn mode(mode: u32) -> Option<Value> {
    Some(Mode(mode).to_string().into())
}

/// The property `ensure` of what is not there.
pub(crate) fn absent() -> Option<Value> {
    Some(Ensure::Absent.word().into())
}

/// That nothing is at `path`, where something of this type comes and goes.
pub(crate) fn nothing_at(path: &AbsPath, file_type: FileType) -> Option<Image> {
    let kind = if file_type == FileType::Directory { "directory" } else { "file" };
    image_at(kind, path, [("ensure", absent())])
}

/// The thing at `path`; nothing where a declaration cannot name it.
pub(crate) fn image_at<const N: usize>(
    kind: &str,
    path: &AbsPath,
    properties: [(&str, Option<Value>); N],
) -> Option<Image> {
    Image::new(kind, path.as_path().to_str()?, properties)
}

/// The things that one change overwrites, as they are found.
pub(crate) struct Past<'a> {
    system: &'a dyn System,
    keeper: &'a dyn Keeper,
    pub(crate) images: Images,
}

impl<'a> Past<'a> {
    pub(crate) fn new(system: &'a dyn System, keeper: &'a dyn Keeper) -> Self {
        Self { system, keeper, images: Images::default() }
    }

    /// What is `there` at `path` is to become what `after` says.
    pub(crate) fn overwrite(&mut self, path: &AbsPath, there: Option<&Metadata>, after: Option<Image>) -> Result<()> {
        let Some(there) = there else {
            let file_type = match after.as_ref().map(|after| after.id.kind()) {
                Some("directory") => FileType::Directory,
                _ => FileType::Regular,
            };
            self.images.push(nothing_at(path, file_type), after);
            return Ok(());
        };
        let (owner, group) = (number(there.uid), number(there.gid));
        let before = match there.file_type {
            FileType::Directory => {
                image_at("directory", path, [("owner", owner), ("group", group), ("mode", mode(there.mode))])
            }
            FileType::Symlink => {
                let to = self.system.files().read_link(path)?;
                image_at("link", path, [("to", Some(to.into())), ("force", Some(true.into()))])
            }
            FileType::Special => {
                self.lost(format!("the {} {path} is not put back", there.file_type.words()));
                return Ok(());
            }
            FileType::Regular => match self.keeper.keep(self.system, path, there.size)? {
                Kept::Whole(blob) => image_at(
                    "file",
                    path,
                    [
                        ("content", Some(Value::Blob(blob))),
                        ("owner", owner),
                        ("group", group),
                        ("mode", mode(there.mode)),
                    ],
                ),
                Kept::Not(why) => {
                    self.lost(format!("the file {path} is not put back: {why}"));
                    return Ok(());
                }
            },
        };
        self.images.push(before, after);
        let is_private = there.file_type == FileType::Regular && there.mode & OTHERS_READ == 0;
        if let Some(last) = self.images.overwritten.last_mut().filter(|_| is_private) {
            last.secret.insert("content".to_owned());
        }
        Ok(())
    }

    /// What is at `path` is to be removed, with all in it.
    pub(crate) fn remove_tree(&mut self, path: &AbsPath) -> Result<()> {
        let mut open = vec![path.clone()];
        while let Some(path) = open.pop() {
            let Some(there) = self.system.files().metadata(&path)? else { continue };
            if self.images.overwritten.len() >= MOST {
                self.lost(format!(
                    "{path} and what comes after it is not put back: more than {MOST} things are removed"
                ));
                break;
            }
            self.overwrite(&path, Some(&there), nothing_at(&path, there.file_type))?;
            if there.file_type == FileType::Directory {
                let entries = self.system.files().list(&path)?;
                open.extend(entries.iter().rev().map(|entry| path.entry(&entry.name)));
            }
        }
        Ok(())
    }

    /// Of what is `there` at `path`, only `changes` of owner, group and mode are made.
    pub(crate) fn set_attributes(
        &mut self,
        kind: &str,
        path: &AbsPath,
        there: &Metadata,
        changes: &Changes,
        ownership: &Ownership,
    ) {
        // A new owner takes the set-user-ID bit away.
        let has_mode = changes.has("mode") || there.mode & 0o6000 != 0;
        let before = [
            ("owner", number(there.uid).filter(|_| changes.has("owner"))),
            ("group", number(there.gid).filter(|_| changes.has("group"))),
            ("mode", mode(there.mode).filter(|_| has_mode)),
        ];
        let after = ownership.declared().map(|(name, value)| (name, value.filter(|_| changes.has(name))));
        self.images.push(image_at(kind, path, before), image_at(kind, path, after));
    }

    /// Something cannot be put back, and why.
    pub(crate) fn lost(&mut self, why: String) {
        self.images.lost.push(why);
    }
}
