//! `link`: a symbolic link, or a further name of a file.

use std::path::{Component, Path, PathBuf};

use converge_model::system::files::FileType;
use converge_model::{
    AbsPath, AnyResource, Change, Changes, Error, ErrorKind, Footprint, Images, Keeper, Key, Kind, KindSchema,
    Properties, PropertyType, Resource, ResourceSpec, Result, Shown, System, TypeSchema, Value,
};

use crate::ensure::{self, Ensure};
use crate::past::{self, Past};
use crate::{obstacle, path_keys};

/// The row of the registry. A hard link is taken away by name: the file it was a name of stays.
pub(crate) const KIND: Kind =
    Kind { schema, build, removal: |spec| Some(ensure::absent(spec, &["to", "type", "force"])) };

converge_model::choice! {
    /// What sort of link it is.
    pub(crate) enum LinkType {
        /// A symbolic link.
        Symbolic = "symbolic",
        /// A hard link.
        Hard = "hard",
    }
}

converge_model::properties! {
    /// What a link takes.
    pub(crate) struct LinkProperties {
        /// Whether the link is there. With `absent`, only a link is removed.
        pub ensure: Ensure = Ensure::Present,
        /// Where it leads. For a symbolic link, exactly what is written in it: an absolute path, or one relative to the
        /// link's own directory; it need not exist. For a hard link, the absolute path of a file that is there.
        pub to: Option<LinkTarget>,
        /// A `symbolic` link, or a `hard` one: a further name of the same file, on the same file system.
        pub r#type: LinkType = LinkType::Symbolic,
        /// Replace a file that is in the way. A hard link needs it where the file it leads to may be written anew, because
        /// that leaves the old file under the other name.
        pub force: bool = false,
    }
    rules { leads_somewhere(to, ensure), leads_to_a_file(to, r#type) }
}

fn leads_somewhere(to: &Option<LinkTarget>, ensure: &Ensure) -> std::result::Result<(), String> {
    match (to, ensure) {
        (None, Ensure::Present) => Err("property `to` is missing: where the link leads".to_owned()),
        _ => Ok(()),
    }
}

fn leads_to_a_file(to: &Option<LinkTarget>, r#type: &LinkType) -> std::result::Result<(), String> {
    match (to, r#type) {
        (Some(LinkTarget(to)), LinkType::Hard) => {
            to.parse::<AbsPath>().map(drop).map_err(|cause| format!("property `to` of a hard link: {cause}"))
        }
        _ => Ok(()),
    }
}

/// What is written in a symbolic link, or the file that a hard one is a name of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkTarget(String);

impl PropertyType for LinkTarget {
    fn schema() -> TypeSchema {
        TypeSchema::Text { what: "path", pattern: Some(".") }
    }

    fn from_value(value: &Value) -> std::result::Result<Self, String> {
        match String::from_value(value)? {
            to if to.is_empty() => Err("it is empty; write where the link leads".to_owned()),
            to if to.len() > 4095 => Err(format!("a path may have 4095 bytes; this one has {}", to.len())),
            to => Ok(Self(to)),
        }
    }
}

fn schema() -> KindSchema {
    KindSchema {
        name: "link",
        doc: "A symbolic or hard link. The name is its absolute path.\n\n\
              A link that leads elsewhere is replaced in one step. A file in the way is replaced only with `force`, a \
              directory never. Who owns a symbolic link is not managed.",
        names: converge_model::schema::NameSchema::PATH,
        properties: LinkProperties::schema(),
        judge: LinkProperties::judge,
        actions: &[],
        example: r#"[link."/srv/www/current"]
to = "releases/2026-11"

[link."/usr/local/bin/python"]
to = "/usr/bin/python3"
"#,
    }
}

fn build(spec: &ResourceSpec<'_>) -> Result<Box<dyn AnyResource>> {
    let path: AbsPath = spec.id.name().parse().map_err(|cause| spec.invalid(cause))?;
    let properties: LinkProperties = spec.decode()?;
    let target = match (&properties.to, properties.r#type) {
        // Only one that is to be absent may lead nowhere.
        (None, _) => Target::Any,
        (Some(LinkTarget(to)), LinkType::Symbolic) => Target::Symbolic(to.clone()),
        (Some(LinkTarget(to)), LinkType::Hard) => Target::Hard(to.parse().map_err(|cause| spec.invalid(cause))?),
    };
    Ok(Box::new(LinkResource { path, properties, target }))
}

/// Where the link is to lead.
enum Target {
    /// Anywhere: it is to be absent.
    Any,
    Symbolic(String),
    Hard(AbsPath),
}

struct LinkResource {
    path: AbsPath,
    properties: LinkProperties,
    target: Target,
}

/// What is at the path.
#[derive(Clone, Debug)]
struct State {
    found: Option<FileType>,
    /// Where the symbolic link there leads.
    leads: Option<String>,
    /// Whether it is the same file as what a hard link is to lead to.
    same: bool,
}

impl LinkResource {
    fn is_right(&self, state: &State) -> bool {
        match &self.target {
            Target::Any => true,
            Target::Symbolic(to) => state.leads.as_ref() == Some(to),
            Target::Hard(_) => state.same,
        }
    }

    /// What a link of this sort is where it is found, and how people call it.
    fn sort(&self) -> (FileType, &'static str) {
        match self.properties.r#type {
            LinkType::Symbolic => (FileType::Symlink, FileType::Symlink.words()),
            LinkType::Hard => (FileType::Regular, "hard link"),
        }
    }

    fn remove(&self, system: &dyn System, state: &State) -> Result<()> {
        match state.found {
            Some(FileType::Directory) => Err(self.obstacle("remove", FileType::Directory)),
            Some(found) if found != FileType::Symlink && !state.same && !self.properties.force => {
                Err(self.obstacle("remove", found))
            }
            _ => system.files().remove(&self.path),
        }
    }

    fn obstacle(&self, operation: &str, found: FileType) -> Error {
        let hint = match found {
            FileType::Directory => {
                "a directory is never replaced by a link; move it away, or declare the link elsewhere"
            }
            _ => "set `force = true` to have it replaced or removed, or declare the link elsewhere",
        };
        obstacle::in_the_way(&format!("{operation} the link"), &self.path, found, hint)
    }
}

impl Resource for LinkResource {
    type State = State;

    fn observe(&self, system: &dyn System) -> Result<State> {
        let files = system.files();
        let there = files.metadata(&self.path)?;
        let leads = match there {
            Some(there) if there.file_type == FileType::Symlink => Some(files.read_link(&self.path)?),
            _ => None,
        };
        let same = match (&self.target, there) {
            (Target::Hard(to), Some(there)) => {
                files.metadata(to)?.is_some_and(|target| target.identity == there.identity)
            }
            _ => false,
        };
        Ok(State { found: there.map(|there| there.file_type), leads, same })
    }

    fn diff(&self, state: &State) -> Changes {
        let mut changes = Changes::none();
        match (self.properties.ensure, state.found) {
            (Ensure::Absent, None) => return changes,
            (Ensure::Absent, Some(found)) => {
                changes.push(ensure::removed(found.words()));
                return changes;
            }
            (Ensure::Present, _) if self.is_right(state) => return changes,
            (Ensure::Present, None) => changes.push(ensure::created()),
            (Ensure::Present, Some(found)) => {
                let (sort, words) = self.sort();
                if found != sort {
                    changes.push(Change::new("type", Shown::text(found.words()), Shown::text(words)));
                }
            }
        }
        let from = match (&state.leads, state.found) {
            (Some(leads), _) => Shown::text(leads),
            (None, Some(FileType::Regular)) => Shown::text("another file"),
            (None, _) => Shown::Absent,
        };
        changes.push(Change::new("to", from, Shown::maybe(self.properties.to.as_ref().map(|to| &to.0))));
        changes
    }

    fn apply(&self, system: &dyn System, state: &State, _changes: &Changes) -> Result<()> {
        let files = system.files();
        match (self.properties.ensure, state.found) {
            (Ensure::Absent, _) => return self.remove(system, state),
            (Ensure::Present, Some(found))
                if found == FileType::Directory || (found != FileType::Symlink && !self.properties.force) =>
            {
                return Err(self.obstacle("make", found));
            }
            (Ensure::Present, _) => {}
        }
        match &self.target {
            Target::Any => Ok(()),
            Target::Symbolic(to) => files.make_symlink(&self.path, to),
            Target::Hard(to) => match files.metadata(to)?.map(|metadata| metadata.file_type) {
                None => {
                    Err(Error::new(ErrorKind::NotFound, "make the hard link", &self.path, format!("{to} is not there"))
                        .with_hint(format!("declare `file[{to}]` before it, or mend `to`")))
                }
                Some(FileType::Directory) => Err(Error::new(
                    ErrorKind::Invalid,
                    "make the hard link",
                    &self.path,
                    format!("{to} is a directory, which can have only one name"),
                )
                .with_hint("make it a symbolic link, or a bind mount")),
                Some(_) => files.make_hard_link(&self.path, to),
            },
        }
        .map_err(|error| obstacle::with_parent_hint(error, &self.path))
    }

    fn images(&self, system: &dyn System, state: &State, _changes: &Changes, keeper: &dyn Keeper) -> Result<Images> {
        let mut past = Past::new(system, keeper);
        let there = if state.found.is_some() { system.files().metadata(&self.path)? } else { None };
        let after = match self.properties.ensure {
            Ensure::Absent => past::nothing_at(&self.path, FileType::Symlink),
            Ensure::Present => {
                let to = self.properties.to.as_ref().map(|LinkTarget(to)| to.as_str().into());
                past::image_at("link", &self.path, [("to", to), ("type", Some(self.properties.r#type.word().into()))])
            }
        };
        past.overwrite(&self.path, there.as_ref(), after)?;
        Ok(past.images)
    }

    fn footprint(&self) -> Footprint {
        let gives = path_keys::given_at(&self.path);
        if self.properties.ensure == Ensure::Absent {
            return Footprint { gives, needs: Vec::new() };
        }
        let target = match &self.target {
            Target::Any => None,
            Target::Symbolic(to) => leads_to(&self.path, to),
            Target::Hard(to) => Some(to.clone()),
        };
        // A link into itself must not wait for itself, nor for what is found only through it.
        let target = target.filter(|target| !target.is_within(&self.path)).map(Key::Path);
        Footprint { gives, needs: path_keys::needed_at(&self.path).into_iter().chain(target).collect() }
    }
}

/// Where a symbolic link at `path` leads as far as its text tells: enough to find the order in which things are made.
fn leads_to(path: &AbsPath, to: &str) -> Option<AbsPath> {
    let directory = path.parent()?;
    let mut clean = PathBuf::new();
    for component in directory.as_path().join(to).components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    Path::to_str(&clean)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(r#type: LinkType, ensure: Ensure) -> LinkResource {
        let target = match r#type {
            LinkType::Symbolic => Target::Symbolic("/to".into()),
            LinkType::Hard => Target::Hard("/to".parse().unwrap()),
        };
        let properties = LinkProperties { ensure, to: Some(LinkTarget("/to".into())), r#type, force: false };
        LinkResource { path: "/link".parse().unwrap(), properties, target }
    }

    #[test]
    fn a_link_differs_where_it_leads_elsewhere_or_is_something_else() {
        let state = |found, leads: Option<&str>, same| State { found, leads: leads.map(str::to_owned), same };
        let nothing = || state(None, None, false);
        let symlink = |leads| state(Some(FileType::Symlink), Some(leads), false);
        let file = |same| state(Some(FileType::Regular), None, same);
        let directory = || state(Some(FileType::Directory), None, false);
        let (symbolic, hard) = (LinkType::Symbolic, LinkType::Hard);
        let (present, absent) = (Ensure::Present, Ensure::Absent);
        for (r#type, ensure, state, shown) in [
            (symbolic, present, symlink("/to"), ""),
            (symbolic, present, symlink("/old"), "to: /old → /to"),
            (symbolic, present, nothing(), "ensure: absent → present, to: absent → /to"),
            (symbolic, present, file(false), "type: file → symbolic link, to: another file → /to"),
            (symbolic, present, directory(), "type: directory → symbolic link, to: absent → /to"),
            (hard, present, file(true), ""),
            (hard, present, file(false), "to: another file → /to"),
            (hard, present, symlink("/to"), "type: symbolic link → hard link, to: /to → /to"),
            (symbolic, absent, nothing(), ""),
            (symbolic, absent, symlink("/x"), "ensure: symbolic link → absent"),
        ] {
            let changes = link(r#type, ensure).diff(&state);
            let text = |change: &Change| format!("{}: {} → {}", change.property, change.from, change.to);
            assert_eq!(changes.iter().map(text).collect::<Vec<_>>().join(", "), shown, "{state:?}");
        }
    }

    #[test]
    fn where_a_link_leads_is_read_from_its_text() {
        let path: AbsPath = "/srv/www/current".parse().unwrap();
        for (to, leads) in [
            ("releases/1", "/srv/www/releases/1"),
            ("../data", "/srv/data"),
            ("../../../../etc", "/etc"),
            ("/opt/x/", "/opt/x"),
        ] {
            assert_eq!(leads_to(&path, to).map(|path| path.to_string()).as_deref(), Some(leads), "{to}");
        }
    }
}
