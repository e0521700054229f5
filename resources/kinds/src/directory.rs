//! `directory`: a directory, its owner, group and mode, and what may be in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path};
use std::sync::Arc;

use converge_model::system::files::{Attributes, FileType, Metadata};
use converge_model::{
    AbsPath, AccountName, AnyResource, Change, Changes, Declared, DeclaredPaths, Error, ErrorKind, Footprint, Images,
    Keeper, Kind, KindSchema, Mode, Properties, Resource, ResourceSpec, Result, Shown, System,
};

use crate::ensure::{self, Ensure};
use crate::ownership::{self, Differing, Ownership};
use crate::past::{self, Past};
use crate::{obstacle, path_keys};

/// The row of the registry. What left the policy is removed only when it is empty: what else is in it is not ours.
pub(crate) const KIND: Kind = Kind { schema, build, removal: |spec| Some(ensure::absent(spec, &["follow"])) };

/// What nobody means to empty: a policy that declares a few files in one of them would take the machine with the rest.
const SYSTEM_DIRECTORIES: [&str; 17] = [
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/tmp",
    "/usr", "/usr/bin", "/var",
];

converge_model::properties! {
    /// What a directory takes.
    pub(crate) struct DirectoryProperties {
        /// Whether the directory is there. With `absent`, it is removed if it is empty.
        pub ensure: Ensure = Ensure::Present,
        /// The user that owns the directory, by name or number. A new one belongs to the user converging, which is root.
        pub owner: Option<AccountName>,
        /// The group of the directory, by name or number.
        pub group: Option<AccountName>,
        /// The permission bits, as an octal string. A new directory has "0755".
        pub mode: Option<Mode>,
        /// Make the directories on the way to this one where they are missing, with mode "0755".
        pub parents: bool = false,
        /// Remove every entry that the policy does not declare, with all that is in it. The plan lists them. A declared
        /// directory in this one is left to its own `purge`. Refused for the directories of the system itself, as /etc.
        pub purge: bool = false,
        /// With `ensure = "absent"`: remove the directory with all that is in it.
        pub force: bool = false,
        /// Manage the directory that a symbolic link at this path leads to. Otherwise such a link is an error, and so is one
        /// that somebody but root could have put there.
        pub follow: bool = false,
    }
    rules with name { spares_the_system(force, purge, ensure) }
}

/// Nobody means to empty a directory of the system itself.
fn spares_the_system(name: &str, force: &bool, purge: &bool, ensure: &Ensure) -> std::result::Result<(), String> {
    let absent = *ensure == Ensure::Absent;
    let empties = if absent { *force } else { *purge };
    let is_one = |path: AbsPath| SYSTEM_DIRECTORIES.iter().any(|directory| path.as_path() == Path::new(directory));
    if empties && name.parse().is_ok_and(is_one) {
        let what = if absent { "force" } else { "purge" };
        return Err(format!("`{what}` would remove the system itself; declare a directory below {name}"));
    }
    Ok(())
}

fn schema() -> KindSchema {
    KindSchema {
        name: "directory",
        doc: "A directory, and who may do what with it. The name is its absolute path.\n\n\
              The directory it is in must be there, unless `parents` says to make it. Anything else in the way is never \
              replaced.",
        names: converge_model::schema::NameSchema::PATH,
        properties: DirectoryProperties::schema(),
        judge: DirectoryProperties::judge,
        actions: &[],
        example: r#"[directory."/srv/www"]
owner = "www-data"
group = "www-data"
mode = "2775"
parents = true

[directory."/etc/nginx/sites-enabled"]
purge = true

[file."/etc/nginx/sites-enabled/shop.conf"]
content = "server { listen 80; }\n"
"#,
    }
}

fn build(spec: &ResourceSpec<'_>) -> Result<Box<dyn AnyResource>> {
    let path: AbsPath = spec.id.name().parse().map_err(|cause| spec.invalid(cause))?;
    let properties: DirectoryProperties = spec.decode()?;
    let absent = properties.ensure == Ensure::Absent;
    let keep = if properties.purge && !absent { declared_below(&path, spec.declared) } else { BTreeMap::new() };
    let declared = if keep.is_empty() { Arc::default() } else { spec.declared.all() };
    let ownership =
        Ownership { owner: properties.owner.clone(), group: properties.group.clone(), mode: properties.mode };
    Ok(Box::new(DirectoryResource { path, properties, ownership, keep, declared }))
}

/// The names to keep in each directory. One that is not among them is somebody else's, with all that is in it.
type Keep = BTreeMap<AbsPath, BTreeSet<OsString>>;

/// What to keep: the names declared in the directory, and in each directory below it that is there only because of what is
/// declared further down.
fn declared_below(path: &AbsPath, declared: &dyn Declared) -> Keep {
    let mut keep = BTreeMap::new();
    let mut open = vec![path.clone()];
    while let Some(directory) = open.pop() {
        let names = declared.children(&directory);
        open.extend(names.iter().map(|name| directory.entry(name)).filter(|child| !declared.is_declared(child)));
        keep.insert(directory, names);
    }
    keep
}

/// Keeps the entry that `names` lead to from `directory` on, and the directories on the way.
fn add<'n>(keep: &mut Keep, directory: AbsPath, names: impl Iterator<Item = &'n OsStr>) {
    let mut directory = directory;
    let mut names = names.peekable();
    while let Some(name) = names.next() {
        let Some(kept) = keep.get_mut(&directory) else { return };
        let is_new = kept.insert(name.to_owned());
        directory = directory.entry(name);
        // A directory that is declared itself, or by another, is no way to this one only.
        if names.peek().is_some() && is_new {
            keep.insert(directory.clone(), BTreeSet::new());
        }
    }
}

/// Where paths lead once every link on the way is followed.
struct Ways<'a> {
    system: &'a dyn System,
    known: BTreeMap<AbsPath, AbsPath>,
}

impl Ways<'_> {
    fn of(&mut self, path: &AbsPath) -> Result<AbsPath> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(path.clone()) };
        if let Some(known) = self.known.get(path) {
            return Ok(known.clone());
        }
        let mut leads = self.of(&parent)?.entry(name);
        let files = self.system.files();
        if files.metadata(&leads)?.is_some_and(|metadata| metadata.file_type == FileType::Symlink) {
            leads = files.resolve(&leads)?;
        }
        self.known.insert(path.clone(), leads.clone());
        Ok(leads)
    }
}

struct DirectoryResource {
    path: AbsPath,
    properties: DirectoryProperties,
    ownership: Ownership,
    keep: Keep,
    /// All that is declared, where the directory purges.
    declared: Arc<DeclaredPaths>,
}

/// What is at the path.
struct State {
    /// The path itself, or where its links lead.
    at: AbsPath,
    there: Option<Metadata>,
    differing: Differing,
    /// Missing directories on the way, outermost first; only where they are to be made.
    missing: Vec<AbsPath>,
    /// What is to be purged.
    undeclared: Vec<(AbsPath, FileType)>,
    /// How many entries it has, and the first few of them; only where it is to be removed.
    entries: (usize, Vec<String>),
}

impl State {
    fn file_type(&self) -> Option<FileType> {
        self.there.map(|metadata| metadata.file_type)
    }
}

impl DirectoryResource {
    fn is_wanted(&self) -> bool {
        self.properties.ensure == Ensure::Present
    }

    /// The directories on the way to `at` that are missing, outermost first.
    fn missing(&self, system: &dyn System, at: &AbsPath) -> Result<Vec<AbsPath>> {
        let mut missing = Vec::new();
        let mut next = at.parent();
        while let Some(directory) = next {
            if system.files().metadata(&directory)?.is_some() {
                break;
            }
            next = directory.parent();
            missing.push(directory);
        }
        missing.reverse();
        Ok(missing)
    }

    /// The entries that nobody declares. `at` differs from the declared path where a link was followed.
    fn undeclared(&self, system: &dyn System, at: &AbsPath) -> Result<Vec<(AbsPath, FileType)>> {
        let undeclared = self.not_in(&self.keep, system, at)?;
        if undeclared.is_empty() {
            return Ok(undeclared);
        }
        match self.keep_through_links(system, at)? {
            Some(keep) => self.not_in(&keep, system, at),
            None => Ok(undeclared),
        }
    }

    /// The entries that are not to be kept.
    fn not_in(&self, keep: &Keep, system: &dyn System, at: &AbsPath) -> Result<Vec<(AbsPath, FileType)>> {
        let mut undeclared = Vec::new();
        let mut open = vec![(at.clone(), self.path.clone())];
        while let Some((directory, path)) = open.pop() {
            let Some(keep) = keep.get(&path) else { continue };
            for entry in system.files().list(&directory)? {
                let (found, declared) = (directory.entry(&entry.name), path.entry(&entry.name));
                if !keep.contains(&entry.name) {
                    undeclared.push((found, entry.file_type));
                } else if entry.file_type == FileType::Directory {
                    open.push((found, declared));
                }
            }
        }
        undeclared.sort_by(|(left, _), (right, _)| left.cmp(right));
        Ok(undeclared)
    }

    /// What to keep, with what is declared below a link that leads into the directory; nothing where that is no more.
    fn keep_through_links(&self, system: &dyn System, at: &AbsPath) -> Result<Option<Keep>> {
        let mut ways = Ways { system, known: BTreeMap::new() };
        let at = ways.of(at)?;
        let mut keep: Option<Keep> = None;
        for path in self.declared.iter() {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let leads = ways.of(&parent)?;
            if leads == parent || !leads.is_within(&at) {
                continue;
            }
            let below = leads.as_path().strip_prefix(at.as_path()).unwrap_or(Path::new(""));
            let names = below.components().map(Component::as_os_str).chain([name]);
            add(keep.get_or_insert_with(|| self.keep.clone()), self.path.clone(), names);
        }
        Ok(keep.filter(|keep| *keep != self.keep))
    }

    fn remove(&self, system: &dyn System, state: &State) -> Result<()> {
        match state.file_type() {
            None => Ok(()),
            Some(FileType::Directory) if self.properties.force => system.files().remove_tree(&state.at),
            Some(FileType::Directory) if state.entries.0 == 0 => system.files().remove(&state.at),
            Some(FileType::Directory) => {
                let (count, first) = &state.entries;
                let more = if *count > first.len() { ", …" } else { "" };
                let cause = format!("it holds {count} entries: {}{more}", first.join(", "));
                Err(Error::new(ErrorKind::Invalid, "remove the directory", &state.at, cause)
                    .with_hint("take away what is in it first, or set `force = true` to remove all of it"))
            }
            Some(found) => Err(obstacle::in_the_way(
                "remove the directory",
                &state.at,
                found,
                format!("declare `file[{}]` with `ensure = \"absent\"` to remove it", state.at),
            )),
        }
    }

    fn make(&self, system: &dyn System, state: &State) -> Result<()> {
        let attributes = self.ownership.attributes(system)?;
        for directory in &state.missing {
            system.files().make_directory(directory, Attributes { mode: Some(0o755), ..Attributes::default() })?;
        }
        system.files().make_directory(&state.at, attributes).map_err(|error| match error.kind {
            ErrorKind::NotFound if !self.properties.parents => error.with_hint(
                "declare the directory it is in before it, or set `parents = true` to make what is missing on the way",
            ),
            _ => error,
        })
    }

    fn purge(&self, system: &dyn System, state: &State) -> Result<()> {
        for (path, file_type) in &state.undeclared {
            match file_type {
                FileType::Directory => system.files().remove_tree(path)?,
                _ => system.files().remove(path)?,
            }
        }
        Ok(())
    }
}

impl Resource for DirectoryResource {
    type State = State;

    fn observe(&self, system: &dyn System) -> Result<State> {
        let files = system.files();
        let mut at = self.path.clone();
        let mut there = files.metadata(&at)?;
        if self.properties.follow && there.is_some_and(|metadata| metadata.file_type == FileType::Symlink) {
            at = files.resolve(&at)?;
            there = files.metadata(&at)?;
        }
        let directory = there.as_ref().filter(|metadata| metadata.file_type == FileType::Directory);
        let mut state = State {
            differing: Differing::default(),
            missing: Vec::new(),
            undeclared: Vec::new(),
            entries: (0, Vec::new()),
            there,
            at,
        };
        if self.is_wanted() {
            state.differing = self.ownership.observe(system, directory)?;
            if there.is_none() && self.properties.parents {
                state.missing = self.missing(system, &state.at)?;
            }
            if directory.is_some() {
                state.undeclared = self.undeclared(system, &state.at)?;
            }
        } else if directory.is_some() && !self.properties.force {
            let entries = files.list(&state.at)?;
            let first = entries.iter().take(3).map(|entry| entry.name.to_string_lossy().into_owned()).collect();
            state.entries = (entries.len(), first);
        }
        Ok(state)
    }

    fn diff(&self, state: &State) -> Changes {
        let mut changes = Changes::none();
        match (self.properties.ensure, state.file_type()) {
            (Ensure::Absent, None) => return changes,
            (Ensure::Absent, Some(FileType::Directory)) if self.properties.force => {
                changes.push(ensure::removed("directory, with all that is in it"));
                return changes;
            }
            (Ensure::Absent, Some(found)) => {
                changes.push(ensure::removed(found.words()));
                return changes;
            }
            (Ensure::Present, None) => changes.push(ensure::created()),
            (Ensure::Present, Some(FileType::Directory)) => {}
            (Ensure::Present, Some(found)) => {
                changes.push(Change::new("type", Shown::text(found.words()), Shown::text(FileType::Directory.words())));
            }
        }
        for directory in &state.missing {
            changes.push(Change::new("parents", Shown::Absent, Shown::text(directory)));
        }
        self.ownership.compare(&state.differing, &mut changes);
        for (path, file_type) in &state.undeclared {
            changes.push(Change::new("purge", Shown::text(format!("{} {path}", file_type.words())), Shown::Absent));
        }
        changes
    }

    fn apply(&self, system: &dyn System, state: &State, changes: &Changes) -> Result<()> {
        if !self.is_wanted() {
            return self.remove(system, state);
        }
        match state.file_type() {
            None => self.make(system, state),
            Some(FileType::Directory) => {
                if ownership::is_changed(changes) {
                    system.files().set_attributes(&state.at, self.ownership.attributes(system)?)?;
                }
                self.purge(system, state)
            }
            Some(FileType::Symlink) => Err(obstacle::in_the_way(
                "make the directory",
                &state.at,
                FileType::Symlink,
                "set `follow = true` to manage the directory it leads to, or remove the link",
            )),
            Some(found) => Err(obstacle::in_the_way(
                "make the directory",
                &state.at,
                found,
                "remove it if it is not needed, or declare the directory elsewhere",
            )),
        }
    }

    fn images(&self, system: &dyn System, state: &State, changes: &Changes, keeper: &dyn Keeper) -> Result<Images> {
        let mut past = Past::new(system, keeper);
        match (&state.there, state.file_type()) {
            (None, _) => {
                for directory in &state.missing {
                    past.overwrite(directory, None, past::image_at("directory", directory, []))?;
                }
                past.overwrite(&state.at, None, past::image_at("directory", &state.at, self.ownership.declared()))?;
            }
            (Some(there), Some(FileType::Directory)) if self.is_wanted() => {
                if ownership::is_changed(changes) {
                    past.set_attributes("directory", &state.at, there, changes, &self.ownership);
                }
                for (path, _) in &state.undeclared {
                    past.remove_tree(path)?;
                }
            }
            (Some(_), Some(FileType::Directory)) => past.remove_tree(&state.at)?,
            // Anything else in the way is never replaced.
            _ => {}
        }
        Ok(past.images)
    }

    fn footprint(&self) -> Footprint {
        let gives = path_keys::given_at(&self.path);
        if !self.is_wanted() {
            return Footprint { gives, needs: Vec::new() };
        }
        Footprint { gives, needs: path_keys::needed_at(&self.path).into_iter().chain(self.ownership.needs()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_reaches_down_to_what_is_declared_and_stops_there() {
        let path = |text: &str| text.parse::<AbsPath>().unwrap();
        let declared: DeclaredPaths =
            ["/d", "/d/file", "/d/on/the/way", "/d/own", "/d/own/below"].into_iter().map(path).collect();
        let keep = declared_below(&path("/d"), &declared);
        let names = |directory: &str| keep.get(&path(directory)).map(|names| names.iter().cloned().collect::<Vec<_>>());
        assert_eq!(names("/d"), Some(vec!["file".into(), "on".into(), "own".into()]));
        assert_eq!(names("/d/on/the"), Some(vec!["way".into()]));
        assert_eq!((names("/d/own"), names("/d/on/the/way")), (None, None));
    }
}
