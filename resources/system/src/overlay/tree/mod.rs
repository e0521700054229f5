//! A file tree kept in memory: a whole one, or the changes on top of the files of another machine.
//!
//! Nodes are numbered like inodes, so that hard links are two names of one node. A directory that lies over one of the
//! base holds only the names that changed; a name without a node is a whiteout. A node of the base is adopted (copied
//! without its content) the moment something of it changes, and its identity is kept, so that its other hard links
//! change along with it.

mod change;
mod fault;
mod home;
mod walk;

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::sync::{PoisonError, RwLock};

use converge_model::error::Result;
use converge_model::system::Files;
use converge_model::system::files::{Entry, FileType, Metadata};
use converge_model::{AbsPath, Content};

pub(crate) use fault::{refuse_directory, refuse_missing, refuse_type};
pub(crate) use walk::Place;

/// The number of a node that this tree holds.
pub(crate) type NodeId = u64;

/// The root directory, once the tree holds it.
pub(crate) const ROOT: NodeId = 0;

/// The devices of the identities that nodes get: of a whole tree, and of changes, which no base's identity may equal.
const WHOLE_DEVICE: u64 = 1;
const CHANGES_DEVICE: u64 = u64::MAX;

/// Where a regular file's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// Written into this tree.
    Known(Content),
    /// Still those of the base's file at this path.
    Base(AbsPath),
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// A regular file.
    Regular(Data),
    /// A directory: over one of the base, or whole. A name without a node was removed from the base's directory.
    Directory { base: Option<AbsPath>, entries: BTreeMap<OsString, Option<NodeId>> },
    /// A symbolic link, with what is written in it.
    Symlink(String),
    /// A pipe, socket or device.
    Special,
    /// Nobody knows what: something is taken to have made it. A directory to whoever looks into it or writes below it.
    Unknown {
        /// Its permissions, once somebody set them.
        mode: Option<u32>,
    },
}

/// A node that this tree holds.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) metadata: Metadata,
    pub(crate) shape: Shape,
    /// How many names it has in this tree. Names in the base are not counted.
    pub(crate) names: u32,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A node of this tree.
    Own(NodeId),
    /// Whatever the base has at this path, which may be nothing.
    Base(AbsPath),
}

/// A directory on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Directory {
    /// A node of this tree.
    Own(NodeId),
    /// A directory of the base in which nothing changed, at this path without links.
    Base(AbsPath),
}

/// What the base has on the way to somewhere. It does not change while a tree lies over it.
#[derive(Clone, Debug)]
enum Passage {
    Directory(Metadata),
    Symlink(Metadata, String),
}

/// The tree.
pub(crate) struct Tree<'a> {
    base: Option<&'a dyn Files>,
    nodes: HashMap<NodeId, Node>,
    next: NodeId,
    /// The base's files that were adopted, by their identity there.
    adopted: HashMap<(u64, u64), NodeId>,
    passages: RwLock<HashMap<AbsPath, Passage>>,
    /// Whose the new nodes are, and who is trusted with links besides root.
    user: (u32, u32),
}

impl Clone for Tree<'_> {
    fn clone(&self) -> Self {
        Self {
            base: self.base,
            nodes: self.nodes.clone(),
            next: self.next,
            adopted: self.adopted.clone(),
            passages: RwLock::default(),
            user: self.user,
        }
    }
}

impl<'a> Tree<'a> {
    /// A tree that holds nothing but an empty root directory.
    pub(crate) fn whole() -> Self {
        let mut tree = Self::with(None, (0, 0));
        let metadata = tree.fresh(FileType::Directory, 0o755, 0, 0, 4096);
        tree.nodes.insert(ROOT, Node { metadata, shape: empty_directory(), names: 1 });
        tree
    }

    /// No change yet, on top of `base`.
    pub(crate) fn over(base: &'a dyn Files, user: (u32, u32)) -> Self {
        Self::with(Some(base), user)
    }

    fn with(base: Option<&'a dyn Files>, user: (u32, u32)) -> Self {
        Self { base, nodes: HashMap::new(), next: ROOT + 1, adopted: HashMap::new(), passages: RwLock::default(), user }
    }

    /// Whether the directory at `path` is held by this tree: because something in it changed, or it did itself.
    pub(crate) fn holds(&self, operation: &str, path: &AbsPath) -> Result<bool> {
        Ok(self.is_changed() && matches!(self.find(operation, path)?, Found::Own(_)))
    }

    /// Whether anything differs from the base.
    pub(crate) fn is_changed(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// The node numbered `id`.
    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// All nodes, in no order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// The node of this tree that stands for the base's file of this identity, where it was adopted under another name.
    pub(crate) fn adopted(&self, identity: (u64, u64)) -> Option<NodeId> {
        if self.adopted.is_empty() { None } else { self.adopted.get(&identity).copied() }
    }

    /// What is at `path`, its last component not followed.
    pub(crate) fn find(&self, operation: &str, path: &AbsPath) -> Result<Found> {
        if !self.is_changed() {
            return Ok(Found::Base(path.clone()));
        }
        Ok(match self.locate(operation, path)? {
            Some(place) => self.at(&place),
            None => Found::Nothing,
        })
    }

    /// As [`Tree::find`], for what cannot be where its directory is not there, or is none.
    pub(crate) fn find_below(&self, operation: &str, path: &AbsPath) -> Result<Found> {
        if !self.is_changed() {
            return Ok(Found::Base(path.clone()));
        }
        Ok(self.at(&self.place(operation, path)?))
    }

    /// What is at a place.
    pub(crate) fn at(&self, place: &Place) -> Found {
        match &place.name {
            None => match self.root() {
                Directory::Own(id) => Found::Own(id),
                Directory::Base(path) => Found::Base(path),
            },
            Some(name) => self.child(&place.directory, name),
        }
    }

    /// What is at `path`, as stat(2) has it.
    pub(crate) fn metadata(&self, operation: &str, path: &AbsPath) -> Result<Option<Metadata>> {
        let found = self.find(operation, path)?;
        self.metadata_of(&found)
    }

    pub(crate) fn metadata_of(&self, found: &Found) -> Result<Option<Metadata>> {
        match found {
            Found::Nothing => Ok(None),
            Found::Own(id) => Ok(self.nodes.get(id).map(|node| node.metadata)),
            Found::Base(path) => {
                let Some(base) = self.base else { return Ok(None) };
                let metadata = base.metadata(path)?;
                Ok(metadata.map(|metadata| match self.adopted(metadata.identity).and_then(|id| self.nodes.get(&id)) {
                    Some(node) => node.metadata,
                    None => metadata,
                }))
            }
        }
    }

    /// The names and types in a directory that this tree holds, those of the base included.
    pub(crate) fn entries(&self, id: NodeId) -> Result<BTreeMap<OsString, FileType>> {
        let mut all = BTreeMap::new();
        let Some(Node { shape: Shape::Directory { base, entries }, .. }) = self.nodes.get(&id) else {
            return Ok(all);
        };
        if let (Some(path), Some(files)) = (base, self.base) {
            all.extend(files.list(path)?.into_iter().map(|entry| (entry.name, entry.file_type)));
        }
        for (name, entry) in entries {
            match entry.and_then(|id| self.nodes.get(&id)) {
                Some(node) => all.insert(name.clone(), node.metadata.file_type),
                None => all.remove(name),
            };
        }
        Ok(all)
    }

    /// The entries of a directory, by name.
    pub(crate) fn list(&self, directory: &AbsPath) -> Result<Vec<Entry>> {
        let operation = "list";
        match self.find_below(operation, directory)? {
            Found::Nothing => Err(refuse_missing(operation, directory)),
            Found::Base(path) => match self.base {
                Some(base) => base.list(&path),
                None => Err(refuse_missing(operation, directory)),
            },
            Found::Own(id) => match self.nodes.get(&id) {
                Some(Node { shape: Shape::Directory { .. } | Shape::Unknown { .. }, .. }) => {
                    let entries = self.entries(id)?;
                    Ok(entries.into_iter().map(|(name, file_type)| Entry { name, file_type }).collect())
                }
                Some(node) => Err(refuse_type(operation, directory, node.metadata.file_type, "directory")),
                None => Err(refuse_missing(operation, directory)),
            },
        }
    }

    /// The path of a node, for dumps: `visit` is called for each name below `directory`, in order.
    pub(crate) fn visit(&self, directory: NodeId, path: &AbsPath, visit: &mut dyn FnMut(&AbsPath, NodeId, &Node)) {
        let Some(Node { shape: Shape::Directory { entries, .. }, .. }) = self.nodes.get(&directory) else { return };
        for (name, id) in entries {
            if let Some((id, node)) = id.and_then(|id| self.nodes.get(&id).map(|node| (id, node))) {
                let path = path.entry(name);
                visit(&path, id, node);
                self.visit(id, &path, visit);
            }
        }
    }

    /// `path` and all below it, in this tree and in the base, each before what is in it; nothing where it is more than
    /// `limit` names. Links are not followed.
    pub(crate) fn below(&self, path: &AbsPath, limit: usize) -> Result<Option<Vec<AbsPath>>> {
        let operation = "list";
        let Some(metadata) = self.metadata(operation, path)? else { return Ok(Some(Vec::new())) };
        let mut paths = vec![path.clone()];
        let mut open = if metadata.file_type == FileType::Directory { vec![path.clone()] } else { Vec::new() };
        while let Some(directory) = open.pop() {
            for entry in self.list(&directory)? {
                let path = directory.entry(&entry.name);
                if entry.file_type == FileType::Directory {
                    open.push(path.clone());
                }
                paths.push(path);
            }
            if paths.len() > limit {
                return Ok(None);
            }
        }
        Ok(Some(paths))
    }

    fn root(&self) -> Directory {
        if self.nodes.contains_key(&ROOT) { Directory::Own(ROOT) } else { Directory::Base(AbsPath::root()) }
    }

    fn child(&self, directory: &Directory, name: &OsStr) -> Found {
        match directory {
            Directory::Base(path) => Found::Base(path.entry(name)),
            Directory::Own(id) => match self.nodes.get(id).map(|node| &node.shape) {
                Some(Shape::Directory { base, entries }) => match (entries.get(name), base) {
                    (Some(Some(id)), _) => Found::Own(*id),
                    (Some(None), _) | (None, None) => Found::Nothing,
                    (None, Some(path)) => Found::Base(path.entry(name)),
                },
                _ => Found::Nothing,
            },
        }
    }

    fn passage(&self, path: &AbsPath) -> Result<Option<Passage>> {
        if let Some(known) = self.passages.read().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Ok(Some(known.clone()));
        }
        let Some(base) = self.base else { return Ok(None) };
        let passage = match base.metadata(path)? {
            Some(metadata) if metadata.file_type == FileType::Directory => Passage::Directory(metadata),
            Some(metadata) if metadata.file_type == FileType::Symlink => {
                Passage::Symlink(metadata, base.read_link(path)?)
            }
            _ => return Ok(None),
        };
        self.passages.write().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), passage.clone());
        Ok(Some(passage))
    }

    fn fresh(&self, file_type: FileType, mode: u32, uid: u32, gid: u32, size: u64) -> Metadata {
        let device = if self.base.is_some() { CHANGES_DEVICE } else { WHOLE_DEVICE };
        Metadata { file_type, mode, uid, gid, size, identity: (device, self.next) }
    }
}

fn empty_directory() -> Shape {
    Shape::Directory { base: None, entries: BTreeMap::new() }
}
