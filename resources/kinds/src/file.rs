//! `file`: a regular file, its content, owner, group and mode.

use std::time::Duration;

use converge_model::system::files::{Check, FileType, Metadata};
use converge_model::{
    AbsPath, AccountName, AnyResource, BlobRef, Change, Changes, Content, Error, ErrorKind, Footprint, Image, Images,
    Keeper, Kind, KindSchema, Mode, Properties, Resource, ResourceSpec, Result, Shown, System, Value,
};

use crate::ensure::{self, Ensure};
use crate::ownership::{self, Differing, Ownership};
use crate::past::{self, Past};
use crate::validation::{self, ValidationCommand};
use crate::{obstacle, path_keys, text_diff};

/// The row of the registry.
pub(crate) const KIND: Kind = Kind { schema, build, removal: |spec| Some(ensure::absent(spec, &["follow"])) };

/// How long `validate` may take where the recipe says nothing.
const VALIDATION_TIME: Duration = Duration::from_secs(60);

converge_model::properties! {
    /// What a file takes.
    pub(crate) struct FileProperties {
        /// Whether the file is there. With `absent`, whatever is at the path is removed, unless it is a directory.
        pub ensure: Ensure = Ensure::Present,
        /// What the file holds, byte for byte. Written in one step: who reads the file sees the old content or the new.
        /// Without it the content is not managed, and a file that is not there is made empty.
        pub content: Option<Content>,
        /// The user that owns the file, by name or number. A new file belongs to the user converging, which is root.
        pub owner: Option<AccountName>,
        /// The group of the file, by name or number.
        pub group: Option<AccountName>,
        /// The permission bits, as an octal string. A new file has "0644".
        pub mode: Option<Mode>,
        /// A command that accepts new content before it goes live, by exiting with 0. `{path}` stands for a file that holds
        /// the new content. A string is a line for the shell, a list the program and its arguments.
        pub validate: Option<ValidationCommand>,
        /// Manage the file that a symbolic link at this path leads to, unless somebody but root could have put the link there.
        /// Otherwise such a link is replaced by the file, and what it leads to is left as it is.
        pub follow: bool = false,
    }
}

fn schema() -> KindSchema {
    KindSchema {
        name: "file",
        doc: "A regular file: what it holds, and who may do what with it. The name is its absolute path.\n\n\
              The directory it is in must be there; a `directory` of the same policy comes first by itself. A directory, \
              pipe, socket or device in the way is never replaced. The content is given by one of `content`, `template` \
              (with `vars`) and `source`.",
        names: converge_model::schema::NameSchema::PATH,
        properties: FileProperties::schema(),
        judge: FileProperties::judge,
        actions: &[],
        example: r#"[file."/etc/motd"]
content = "Managed by Converge.\n"
owner = "root"
group = "root"
mode = "0644"

[file."/etc/sudoers.d/deploy"]
content = "deploy ALL=(root) NOPASSWD: /usr/bin/systemctl reload nginx\n"
mode = "0440"
validate = "visudo --check --file {path}"
"#,
    }
}

fn build(spec: &ResourceSpec<'_>) -> Result<Box<dyn AnyResource>> {
    let path = spec.id.name().parse().map_err(|cause| spec.invalid(cause))?;
    let properties: FileProperties = spec.decode()?;
    let ownership =
        Ownership { owner: properties.owner.clone(), group: properties.group.clone(), mode: properties.mode };
    let validation_time = spec.timeout.map_or(VALIDATION_TIME, |timeout| timeout.duration());
    Ok(Box::new(FileResource { path, properties, ownership, validation_time }))
}

struct FileResource {
    path: AbsPath,
    properties: FileProperties,
    ownership: Ownership,
    validation_time: Duration,
}

/// What is at the path.
struct State {
    /// The path itself, or where its links lead.
    at: AbsPath,
    there: Option<Metadata>,
    /// The declared content, where a regular file does not hold it.
    content: Option<Compared>,
    differing: Differing,
}

/// Two contents that are not the same; their bytes where neither side is too long to be shown.
struct Compared {
    sizes: (Option<u64>, u64),
    bytes: Option<(Vec<u8>, Vec<u8>)>,
}

impl FileResource {
    fn is_wanted(&self) -> bool {
        self.properties.ensure == Ensure::Present
    }

    /// Both contents, for a diff.
    fn compared(&self, system: &dyn System, at: &AbsPath, old: Option<&Metadata>, new: &Content) -> Result<Compared> {
        let sizes = (old.map(|metadata| metadata.size), new.size());
        let short = sizes.0.unwrap_or(0) <= text_diff::LIMIT && sizes.1 <= text_diff::LIMIT;
        let bytes = if short {
            let old = match old {
                Some(_) => system.files().read(at, text_diff::LIMIT)?,
                None => Vec::new(),
            };
            Some((old, system.files().read_content(new, text_diff::LIMIT)?))
        } else {
            None
        };
        Ok(Compared { sizes, bytes })
    }

    /// The file as it is to be.
    fn image(&self, at: &AbsPath) -> Option<Image> {
        if !self.is_wanted() {
            return past::nothing_at(at, FileType::Regular);
        }
        let blob = |content: &Content| Value::Blob(BlobRef { digest: content.digest(), size: content.size() });
        let [owner, group, mode] = self.ownership.declared();
        past::image_at("file", at, [("content", self.properties.content.as_ref().map(blob)), owner, group, mode])
    }

    fn remove(&self, system: &dyn System, state: &State) -> Result<()> {
        match &state.there {
            Some(there) if there.file_type == FileType::Directory => Err(obstacle::in_the_way(
                "remove the file",
                &state.at,
                there.file_type,
                format!("declare `directory[{}]` with `ensure = \"absent\"`, or leave the file out", state.at),
            )),
            _ => system.files().remove(&state.at),
        }
    }

    fn write(&self, system: &dyn System, state: &State) -> Result<()> {
        let attributes = self.ownership.attributes(system)?;
        let validate = self.properties.validate.as_ref().map(|line| {
            move |candidate: &AbsPath| validation::run(system, line, candidate, &state.at, self.validation_time)
        });
        let check = validate.as_ref().map(|check| -> Check<'_> { check });
        let empty = Content::Bytes([].into());
        let content = self.properties.content.as_ref().unwrap_or(&empty);
        system
            .files()
            .write(&state.at, content, attributes, check)
            .map_err(|error| obstacle::with_parent_hint(error, &state.at))
    }
}

impl Resource for FileResource {
    type State = State;

    fn observe(&self, system: &dyn System) -> Result<State> {
        let files = system.files();
        let wanted = self.properties.content.as_ref().filter(|_| self.is_wanted());
        let mut at = self.path.clone();
        let mut probe = files.probe(&at, wanted)?;
        if self.properties.follow && probe.is_some_and(|probe| probe.metadata.file_type == FileType::Symlink) {
            at = files.resolve(&at)?;
            probe = files.probe(&at, wanted)?;
        }
        let there = probe.map(|probe| probe.metadata);
        // What is in the way says nothing about the file that is to be there.
        let file = there.as_ref().filter(|metadata| metadata.file_type == FileType::Regular);
        let content = match wanted {
            Some(new) if probe.and_then(|probe| probe.same) != Some(true) => {
                Some(self.compared(system, &at, file, new)?)
            }
            _ => None,
        };
        let differing = if self.is_wanted() { self.ownership.observe(system, file)? } else { Differing::default() };
        Ok(State { at, there, content, differing })
    }

    fn diff(&self, state: &State) -> Changes {
        let mut changes = Changes::none();
        let found = state.there.map(|metadata| metadata.file_type);
        match (self.properties.ensure, found) {
            (Ensure::Absent, None) => return changes,
            (Ensure::Absent, Some(found)) => {
                changes.push(ensure::removed(found.words()));
                return changes;
            }
            (Ensure::Present, None) => changes.push(ensure::created()),
            (Ensure::Present, Some(FileType::Regular)) => {}
            (Ensure::Present, Some(found)) => {
                changes.push(Change::new("type", Shown::text(found.words()), Shown::text(FileType::Regular.words())));
            }
        }
        if let Some(compared) = &state.content {
            changes.push(content_change(compared));
        }
        self.ownership.compare(&state.differing, &mut changes);
        changes
    }

    fn apply(&self, system: &dyn System, state: &State, changes: &Changes) -> Result<()> {
        if !self.is_wanted() {
            return self.remove(system, state);
        }
        match state.there.map(|metadata| metadata.file_type) {
            Some(FileType::Regular) if !changes.has("content") => {
                if ownership::is_changed(changes) {
                    system.files().set_attributes(&state.at, self.ownership.attributes(system)?)?;
                }
                Ok(())
            }
            None | Some(FileType::Regular) => self.write(system, state),
            Some(FileType::Symlink) if self.properties.content.is_some() => self.write(system, state),
            Some(FileType::Symlink) => Err(Error::new(
                ErrorKind::Invalid,
                "make the file",
                &state.at,
                "a symbolic link is there, and the recipe does not say what a file in its place should hold",
            )
            .with_hint("set `follow = true` to manage the file it leads to, or declare the content")),
            Some(found) => Err(obstacle::in_the_way(
                "make the file",
                &state.at,
                found,
                "remove it if it is not needed, or declare the file elsewhere",
            )),
        }
    }

    fn images(&self, system: &dyn System, state: &State, changes: &Changes, keeper: &dyn Keeper) -> Result<Images> {
        let mut past = Past::new(system, keeper);
        match &state.there {
            Some(there) if there.file_type == FileType::Regular && self.is_wanted() && !changes.has("content") => {
                past.set_attributes("file", &state.at, there, changes, &self.ownership);
            }
            there => past.overwrite(&state.at, there.as_ref(), self.image(&state.at))?,
        }
        Ok(past.images)
    }

    fn is_absent(&self, state: &State) -> Option<bool> {
        Some(state.there.is_none() && state.at == self.path)
    }

    fn footprint(&self) -> Footprint {
        let gives = path_keys::given_at(&self.path);
        if !self.is_wanted() {
            return Footprint { gives, needs: Vec::new() };
        }
        Footprint { gives, needs: path_keys::needed_at(&self.path).into_iter().chain(self.ownership.needs()).collect() }
    }
}

/// The change of content: line by line for text, else in sizes.
fn content_change(compared: &Compared) -> Change {
    let texts = compared.bytes.as_ref().and_then(|(old, new)| Some((text_diff::text(old)?, text_diff::text(new)?)));
    let what = match (&compared.bytes, &texts) {
        (Some(_), None) => "binary, ",
        _ => "",
    };
    let size = |bytes: u64| Shown::text(format!("{what}{bytes} bytes"));
    let (old, new) = compared.sizes;
    Change::new("content", old.map_or(Shown::Absent, size), size(new))
        .with_diff(texts.map(|(old, new)| text_diff::unified(old, new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(old: Option<&[u8]>, new: &[u8]) -> Compared {
        Compared {
            sizes: (old.map(|old| old.len() as u64), new.len() as u64),
            bytes: Some((old.unwrap_or_default().to_vec(), new.to_vec())),
        }
    }

    #[test]
    fn content_is_shown_as_what_it_is() {
        for (change, from, to, diff) in [
            (content_change(&compared(None, b"a\n")), "absent", "2 bytes", Some("@@ -0,0 +1 @@\n+a\n")),
            (content_change(&compared(Some(b"b\n"), b"a\n")), "2 bytes", "2 bytes", Some("@@ -1 +1 @@\n-b\n+a\n")),
            (content_change(&compared(Some(b"\0"), b"a\n")), "binary, 1 bytes", "binary, 2 bytes", None),
            (content_change(&Compared { sizes: (Some(9), 1 << 30), bytes: None }), "9 bytes", "1073741824 bytes", None),
        ] {
            assert_eq!((change.from.to_string().as_str(), change.to.to_string().as_str()), (from, to));
            assert_eq!(change.diff.as_deref(), diff);
        }
    }
}
