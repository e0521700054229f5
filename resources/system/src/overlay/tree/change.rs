//! Changes to a file tree, each in one step.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use converge_model::AbsPath;
use converge_model::error::Result;
use converge_model::system::files::{Attributes, FileType, Metadata};

use super::fault::{refuse_existing, refuse_full, refuse_link_mode, refuse_linked_directory, refuse_target};
use super::{
    Data, Directory, Found, Node, NodeId, Place, ROOT, Shape, Tree, empty_directory, refuse_directory, refuse_missing,
};

/// The mode bits of a directory in which everybody may make files, and nobody remove another's.
const EVERYBODYS: u32 = 0o1002;

impl Tree<'_> {
    /// A regular file in place of whatever non-directory is there, with the attributes of the regular file it replaces
    /// unless given.
    pub(crate) fn write(&mut self, path: &AbsPath, data: Data, size: u64, attributes: Attributes) -> Result<NodeId> {
        let operation = "write";
        let (place, name) = self.entry(operation, path)?;
        self.replaceable(operation, path, &place)?;
        let old = self.forebear(&place)?;
        let (mode, uid, gid) = old.map_or((0o644, self.user.0, self.user.1), |old| (old.mode, old.uid, old.gid));
        let metadata = self.new_metadata(FileType::Regular, attributes, (mode, uid, gid), size);
        self.put_new(&place, name, metadata, Shape::Regular(data))
    }

    /// The regular file at a place, where a new one inherits its owner and mode. In a directory such as /tmp anybody may
    /// have put it there, and what root writes must not become theirs.
    pub(crate) fn forebear(&self, place: &Place) -> Result<Option<Metadata>> {
        let old = self.metadata_of(&self.at(place))?.filter(|old| old.file_type == FileType::Regular);
        let Some(old) = old else { return Ok(None) };
        let Some(directory) = self.directory_metadata(&place.directory)? else { return Ok(None) };
        let shared = directory.mode & EVERYBODYS == EVERYBODYS;
        Ok(Some(old).filter(|old| !shared || [0, self.user.0, directory.uid].contains(&old.uid)))
    }

    /// Rewrites the regular file at `path` where it is: it keeps its other names.
    pub(crate) fn rewrite(&mut self, path: &AbsPath, data: Data, size: u64, attributes: Attributes) -> Result<()> {
        let id = self.own(path, "write")?;
        if let Some(node) = self.nodes.get_mut(&id) {
            node.shape = Shape::Regular(data);
            node.metadata.size = size;
        }
        self.set(id, attributes);
        Ok(())
    }

    /// One new directory.
    pub(crate) fn make_directory(&mut self, path: &AbsPath, attributes: Attributes) -> Result<NodeId> {
        let operation = "make the directory";
        let (place, name) = self.entry(operation, path)?;
        if self.metadata_of(&self.at(&place))?.is_some() {
            return Err(refuse_existing(operation, path));
        }
        let defaults = (0o755, self.user.0, self.user.1);
        let metadata = self.new_metadata(FileType::Directory, attributes, defaults, 4096);
        self.put_new(&place, name, metadata, empty_directory())
    }

    /// A symbolic link in place of whatever non-directory is there.
    pub(crate) fn make_symlink(&mut self, path: &AbsPath, target: &str) -> Result<()> {
        let operation = "make the symbolic link";
        if target.is_empty() || target.contains('\0') {
            return Err(refuse_target(operation, path));
        }
        let (place, name) = self.entry(operation, path)?;
        self.replaceable(operation, path, &place)?;
        let defaults = (0o777, self.user.0, self.user.1);
        let metadata = self.new_metadata(FileType::Symlink, Attributes::default(), defaults, target.len() as u64);
        self.put_new(&place, name, metadata, Shape::Symlink(target.to_owned())).map(drop)
    }

    /// A pipe, socket or device. No port makes one; machines to start from have them.
    pub(crate) fn make_special(&mut self, path: &AbsPath) -> Result<()> {
        let operation = "make";
        let (place, name) = self.entry(operation, path)?;
        self.replaceable(operation, path, &place)?;
        let defaults = (0o644, self.user.0, self.user.1);
        let metadata = self.new_metadata(FileType::Special, Attributes::default(), defaults, 0);
        self.put_new(&place, name, metadata, Shape::Special).map(drop)
    }

    /// Something that nobody knows is at `path`, with the directories that lead to it, unless something is there already.
    pub(crate) fn make_unknown(&mut self, path: &AbsPath) -> Result<()> {
        let operation = "make";
        let mut missing = Vec::new();
        for ancestor in std::iter::successors(Some(path.clone()), AbsPath::parent) {
            if self.metadata(operation, &ancestor)?.is_some() {
                break;
            }
            missing.push(ancestor);
        }
        for path in missing.iter().rev() {
            let (place, name) = self.entry(operation, path)?;
            let defaults = (0o755, self.user.0, self.user.1);
            let metadata = self.new_metadata(FileType::Directory, Attributes::default(), defaults, 4096);
            self.put_new(&place, name, metadata, Shape::Unknown { mode: None })?;
        }
        Ok(())
    }

    /// Whether nobody knows what was found.
    pub(crate) fn is_unknown(&self, found: &Found) -> bool {
        match found {
            Found::Own(id) => matches!(self.nodes.get(id).map(|node| &node.shape), Some(Shape::Unknown { .. })),
            Found::Base(_) | Found::Nothing => false,
        }
    }

    /// A further name of the file at `existing`, in place of whatever non-directory is there.
    pub(crate) fn make_hard_link(&mut self, path: &AbsPath, existing: &AbsPath) -> Result<()> {
        let operation = "make the hard link";
        let (place, name) = self.entry(operation, path)?;
        let (source, _) = self.entry(operation, existing)?;
        match self.metadata_of(&self.at(&source))? {
            None => return Err(refuse_missing(operation, existing)),
            Some(metadata) if metadata.file_type == FileType::Directory => {
                return Err(refuse_linked_directory(operation, existing));
            }
            Some(_) => {}
        }
        self.replaceable(operation, path, &place)?;
        let id = self.own(existing, operation)?;
        let parent = self.own_directory(&place, operation)?;
        self.put(parent, name, id);
        Ok(())
    }

    /// Sets attributes of what is at `path`.
    pub(crate) fn set_attributes(&mut self, path: &AbsPath, attributes: Attributes) -> Result<()> {
        let operation = "set the attributes of";
        match self.metadata(operation, path)? {
            None => return Err(refuse_missing(operation, path)),
            Some(metadata) if metadata.file_type == FileType::Symlink && attributes.mode.is_some() => {
                return Err(refuse_link_mode(operation, path));
            }
            Some(_) => {}
        }
        let id = self.own(path, operation)?;
        self.set(id, attributes);
        Ok(())
    }

    /// Removes a file, a link, or an empty directory. Nothing there is fine.
    pub(crate) fn remove(&mut self, path: &AbsPath) -> Result<()> {
        let operation = "remove";
        let Some(place) = self.locate(operation, path)? else { return Ok(()) };
        let found = self.at(&place);
        let Some(metadata) = self.metadata_of(&found)? else { return Ok(()) };
        let (place, name) = self.entry(operation, path)?;
        if metadata.file_type == FileType::Directory {
            let id = self.own(path, operation)?;
            if !self.entries(id)?.is_empty() {
                return Err(refuse_full(operation, path));
            }
        }
        let parent = self.own_directory(&place, operation)?;
        self.drop_name(parent, &name);
        Ok(())
    }

    /// Removes a directory and all in it, or whatever else is there. Nothing there is fine.
    pub(crate) fn remove_tree(&mut self, path: &AbsPath) -> Result<()> {
        let operation = "remove";
        let Some(place) = self.locate(operation, path)? else { return Ok(()) };
        if self.metadata_of(&self.at(&place))?.is_none() {
            return Ok(());
        }
        let (place, name) = self.entry(operation, path)?;
        let parent = self.own_directory(&place, operation)?;
        self.drop_name(parent, &name);
        Ok(())
    }

    /// The node of what is at `path`, adopted from the base if need be.
    pub(super) fn own(&mut self, path: &AbsPath, operation: &str) -> Result<NodeId> {
        let place = self.place(operation, path)?;
        let parent = self.own_directory(&place, operation)?;
        match &place.name {
            None => Ok(parent),
            Some(name) => self.own_child(parent, name)?.ok_or_else(|| refuse_missing(operation, path)),
        }
    }

    /// The node of a place's directory, with every directory on the way to it.
    pub(super) fn own_directory(&mut self, place: &Place, operation: &str) -> Result<NodeId> {
        if let Directory::Own(id) = place.directory {
            // What nobody knew is a directory, now that something is put into it.
            if let Some(node) = self.nodes.get_mut(&id)
                && matches!(node.shape, Shape::Unknown { .. })
            {
                node.shape = empty_directory();
            }
            return Ok(id);
        }
        let mut id = self.own_root(operation)?;
        let names: Vec<OsString> = place.directory_path.as_path().iter().skip(1).map(OsStr::to_owned).collect();
        for name in names {
            id = self.own_child(id, &name)?.ok_or_else(|| refuse_missing(operation, &place.directory_path))?;
        }
        Ok(id)
    }

    fn own_root(&mut self, operation: &str) -> Result<NodeId> {
        if !self.nodes.contains_key(&ROOT) {
            let root = AbsPath::root();
            let metadata = self.metadata_of(&Found::Base(root.clone()))?;
            let metadata = metadata.ok_or_else(|| refuse_missing(operation, &root))?;
            let shape = Shape::Directory { base: Some(root), entries: BTreeMap::new() };
            self.nodes.insert(ROOT, Node { metadata, shape, names: 1 });
        }
        Ok(ROOT)
    }

    fn own_child(&mut self, parent: NodeId, name: &OsStr) -> Result<Option<NodeId>> {
        let path = match self.child(&Directory::Own(parent), name) {
            Found::Nothing => return Ok(None),
            Found::Own(id) => return Ok(Some(id)),
            Found::Base(path) => path,
        };
        let Some(base) = self.base else { return Ok(None) };
        let Some(metadata) = base.metadata(&path)? else { return Ok(None) };
        let id = match self.adopted(metadata.identity) {
            Some(id) => id,
            None => {
                let shape = match metadata.file_type {
                    FileType::Regular => Shape::Regular(Data::Base(path)),
                    FileType::Directory => Shape::Directory { base: Some(path), entries: BTreeMap::new() },
                    FileType::Symlink => Shape::Symlink(base.read_link(&path)?),
                    FileType::Special => Shape::Special,
                };
                let id = self.insert(metadata, shape);
                if metadata.file_type != FileType::Directory {
                    self.adopted.insert(metadata.identity, id);
                }
                id
            }
        };
        self.put(parent, name.to_owned(), id);
        Ok(Some(id))
    }

    /// What is at a place where something other than a directory shall be.
    fn replaceable(&self, operation: &str, path: &AbsPath, place: &Place) -> Result<Option<Metadata>> {
        let found = self.at(place);
        match self.metadata_of(&found)? {
            Some(_) if self.is_unknown(&found) => Ok(None),
            Some(metadata) if metadata.file_type == FileType::Directory => Err(refuse_directory(operation, path)),
            other => Ok(other),
        }
    }

    fn new_metadata(&self, kind: FileType, given: Attributes, defaults: (u32, u32, u32), size: u64) -> Metadata {
        let (mode, uid, gid) = defaults;
        self.fresh(kind, given.mode.unwrap_or(mode), given.uid.unwrap_or(uid), given.gid.unwrap_or(gid), size)
    }

    fn put_new(&mut self, place: &Place, name: OsString, metadata: Metadata, shape: Shape) -> Result<NodeId> {
        let parent = self.own_directory(place, "write")?;
        // Adopting the directories took numbers: the identity is that of the number the node gets.
        let identity = self.fresh(metadata.file_type, 0, 0, 0, 0).identity;
        let id = self.insert(Metadata { identity, ..metadata }, shape);
        self.put(parent, name, id);
        Ok(id)
    }

    fn insert(&mut self, metadata: Metadata, shape: Shape) -> NodeId {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, Node { metadata, shape, names: 0 });
        id
    }

    /// Sets attributes as chown(2) and chmod(2) do: a new owner or group takes the set-id bits of a file away.
    fn set(&mut self, id: NodeId, attributes: Attributes) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let metadata = &mut node.metadata;
        let (uid, gid) = (attributes.uid.unwrap_or(metadata.uid), attributes.gid.unwrap_or(metadata.gid));
        if (uid, gid) != (metadata.uid, metadata.gid) && metadata.file_type != FileType::Directory {
            let shared = if metadata.mode & 0o010 == 0 { 0 } else { 0o2000 };
            metadata.mode &= !(0o4000 | shared);
        }
        (metadata.uid, metadata.gid) = (uid, gid);
        metadata.mode = attributes.mode.unwrap_or(metadata.mode);
        if let Shape::Unknown { mode } = &mut node.shape {
            *mode = attributes.mode.or(*mode);
        }
    }

    pub(super) fn put(&mut self, parent: NodeId, name: OsString, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.names += 1;
        }
        let old = match self.nodes.get_mut(&parent).map(|node| &mut node.shape) {
            Some(Shape::Directory { entries, .. }) => entries.insert(name, Some(id)),
            _ => None,
        };
        self.unname(old.flatten());
    }

    pub(super) fn drop_name(&mut self, parent: NodeId, name: &OsStr) {
        let old = match self.nodes.get_mut(&parent).map(|node| &mut node.shape) {
            Some(Shape::Directory { base: None, entries }) => entries.remove(name),
            Some(Shape::Directory { base: Some(_), entries }) => entries.insert(name.to_owned(), None),
            _ => None,
        };
        self.unname(old.flatten());
    }

    /// Forgets a node that lost its last name. One that the base has too may have further names there.
    fn unname(&mut self, id: Option<NodeId>) {
        let Some(id) = id else { return };
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.names = node.names.saturating_sub(1);
        if node.names > 0 || self.adopted(node_identity(&self.nodes, id)) == Some(id) {
            return;
        }
        if let Some(Node { shape: Shape::Directory { entries, .. }, .. }) = self.nodes.remove(&id) {
            for child in entries.into_values().flatten() {
                self.unname(Some(child));
            }
        }
    }
}

fn node_identity(nodes: &std::collections::HashMap<NodeId, Node>, id: NodeId) -> (u64, u64) {
    nodes.get(&id).map_or((0, 0), |node| node.metadata.identity)
}
