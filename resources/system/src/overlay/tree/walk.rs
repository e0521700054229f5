//! The way to a path: components, links, and whom to trust with them.

use std::ffi::{OsStr, OsString};

use converge_model::AbsPath;
use converge_model::error::Result;
use converge_model::system::files::Metadata;

use super::fault::{refuse_loop, refuse_parent, refuse_planted, refuse_root, refuse_way};
use super::{Directory, Found, Passage, Shape, Tree};

const MOST_LINKS: u32 = 40;

/// A name in a directory, which is there; the name itself need not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) directory: Directory,
    /// The directory's path without links.
    pub(crate) directory_path: AbsPath,
    /// Nothing for the root directory itself.
    pub(crate) name: Option<OsString>,
}

impl Place {
    /// The path without links on the way to it.
    pub(crate) fn path(&self) -> AbsPath {
        match &self.name {
            Some(name) => self.directory_path.entry(name),
            None => self.directory_path.clone(),
        }
    }
}

/// Where a walk ended.
enum End {
    At(Place),
    /// This directory is not there.
    Missing(AbsPath),
    /// This is there, and no directory.
    Blocked(AbsPath),
}

/// What the next component is.
enum Step {
    Into(Directory),
    Follow { link: Metadata, target: String },
    Nothing,
    Other,
}

struct Walk {
    /// The directories from the root to here, with their paths.
    stack: Vec<(Directory, AbsPath)>,
    /// The components still to go, the next one last.
    pending: Vec<OsString>,
    links: u32,
}

impl Walk {
    fn here(&self) -> (Directory, AbsPath) {
        // The stack begins with the root and never loses it.
        self.stack.last().cloned().unwrap_or((Directory::Base(AbsPath::root()), AbsPath::root()))
    }

    fn up(&mut self) {
        if self.stack.len() > 1 {
            self.stack.pop();
        }
    }

    fn expand(&mut self, target: &str) {
        if target.starts_with('/') {
            self.stack.truncate(1);
        }
        self.pending
            .extend(target.split('/').rev().filter(|part| !part.is_empty() && *part != ".").map(OsString::from));
    }
}

impl Tree<'_> {
    /// The place that `path` names; nothing where its directory is not there.
    pub(crate) fn locate(&self, operation: &str, path: &AbsPath) -> Result<Option<Place>> {
        match self.walk(operation, path)? {
            End::At(place) => Ok(Some(place)),
            End::Missing(_) | End::Blocked(_) => Ok(None),
        }
    }

    /// The place that `path` names, to change what is there.
    pub(crate) fn place(&self, operation: &str, path: &AbsPath) -> Result<Place> {
        match self.walk(operation, path)? {
            End::At(place) => Ok(place),
            End::Missing(directory) => Err(refuse_parent(operation, path, directory)),
            End::Blocked(ancestor) => Err(refuse_way(operation, path, &ancestor)),
        }
    }

    /// As [`Tree::place`], refusing the root directory.
    pub(crate) fn entry(&self, operation: &str, path: &AbsPath) -> Result<(Place, OsString)> {
        let place = self.place(operation, path)?;
        match place.name.clone() {
            Some(name) => Ok((place, name)),
            None => Err(refuse_root(operation)),
        }
    }

    /// The path that `path` stands for once every link in it is followed. From the first component on that is not there,
    /// the rest is taken as written.
    pub(crate) fn resolve(&self, path: &AbsPath) -> Result<AbsPath> {
        let operation = "resolve";
        let mut walk = self.start(path.as_path());
        let mut lost: Option<AbsPath> = None;
        while let Some(name) = walk.pending.pop() {
            if let Some(at) = lost {
                let next = if name == ".." { at.parent().unwrap_or(at) } else { at.entry(&name) };
                lost = Some(next);
            } else if name == ".." {
                walk.up();
            } else {
                let (directory, at) = walk.here();
                let next = at.entry(&name);
                match self.step(&directory, &name)? {
                    Step::Into(directory) => walk.stack.push((directory, next)),
                    Step::Follow { link, target } => self.follow(operation, path, &mut walk, &next, &link, &target)?,
                    Step::Other if !walk.pending.is_empty() => return Err(refuse_way(operation, path, &next)),
                    Step::Nothing | Step::Other => lost = Some(next),
                }
            }
        }
        Ok(lost.unwrap_or_else(|| walk.here().1))
    }

    fn start(&self, path: &std::path::Path) -> Walk {
        let mut pending: Vec<OsString> = path.iter().skip(1).map(OsStr::to_owned).collect();
        pending.reverse();
        Walk { stack: vec![(self.root(), AbsPath::root())], pending, links: 0 }
    }

    fn walk(&self, operation: &str, path: &AbsPath) -> Result<End> {
        let (Some(parent), Some(last)) = (path.parent(), path.file_name()) else {
            let root = AbsPath::root();
            return Ok(End::At(Place { directory: self.root(), directory_path: root, name: None }));
        };
        let mut walk = self.start(parent.as_path());
        while let Some(name) = walk.pending.pop() {
            if name == ".." {
                walk.up();
                continue;
            }
            let (directory, at) = walk.here();
            let next = at.entry(&name);
            match self.step(&directory, &name)? {
                Step::Into(directory) => walk.stack.push((directory, next)),
                Step::Follow { link, target } => self.follow(operation, path, &mut walk, &next, &link, &target)?,
                Step::Nothing => return Ok(End::Missing(next)),
                Step::Other => return Ok(End::Blocked(next)),
            }
        }
        let (directory, directory_path) = walk.here();
        Ok(End::At(Place { directory, directory_path, name: Some(last.to_owned()) }))
    }

    fn step(&self, directory: &Directory, name: &OsStr) -> Result<Step> {
        Ok(match self.child(directory, name) {
            Found::Nothing => Step::Nothing,
            Found::Own(id) => match self.nodes.get(&id) {
                None => Step::Nothing,
                Some(node) => match &node.shape {
                    Shape::Directory { .. } | Shape::Unknown { .. } => Step::Into(Directory::Own(id)),
                    Shape::Symlink(target) => Step::Follow { link: node.metadata, target: target.clone() },
                    Shape::Regular(_) | Shape::Special => Step::Other,
                },
            },
            Found::Base(path) => match self.passage(&path)? {
                Some(Passage::Directory(_)) => Step::Into(Directory::Base(path)),
                Some(Passage::Symlink(link, target)) => {
                    let link =
                        self.adopted(link.identity).and_then(|id| self.nodes.get(&id)).map_or(link, |n| n.metadata);
                    Step::Follow { link, target }
                }
                None => match self.metadata_of(&Found::Base(path))? {
                    Some(_) => Step::Other,
                    None => Step::Nothing,
                },
            },
        })
    }

    fn follow(
        &self,
        operation: &str,
        path: &AbsPath,
        walk: &mut Walk,
        link_path: &AbsPath,
        link: &Metadata,
        target: &str,
    ) -> Result<()> {
        walk.links += 1;
        if walk.links > MOST_LINKS {
            return Err(refuse_loop(operation, path));
        }
        let (directory, _) = walk.here();
        if !self.trusts(&self.directory_metadata(&directory)?, link) {
            return Err(refuse_planted(operation, path, link_path));
        }
        walk.expand(target);
        Ok(())
    }

    pub(super) fn directory_metadata(&self, directory: &Directory) -> Result<Option<Metadata>> {
        match directory {
            Directory::Own(id) => self.metadata_of(&Found::Own(*id)),
            Directory::Base(path) => Ok(match self.passage(path)? {
                Some(Passage::Directory(metadata)) => Some(metadata),
                _ => None,
            }),
        }
    }

    /// Whether nobody but root or the user converging can have made `link` in `directory`.
    fn trusts(&self, directory: &Option<Metadata>, link: &Metadata) -> bool {
        let trusted = |uid: u32| uid == 0 || uid == self.user.0;
        let guarded = |directory: &Metadata| trusted(directory.uid) && directory.mode & 0o022 == 0;
        trusted(link.uid) || directory.as_ref().is_some_and(guarded)
    }
}
