//! The files of a machine in memory.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use converge_model::error::{Error, Result};
use converge_model::system::Files;
use converge_model::system::files::{Attributes, Check, Entry, FileType, Metadata, Probe};
use converge_model::{AbsPath, Content, Digest};

use super::{MemoryMachine, State};
use crate::blobs::read_content;
use crate::overlay::tree::{Data, Found, Node, Shape, refuse_missing, refuse_type};

/// Where a change is refused, and how much fits.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    pub(super) read_only: BTreeSet<AbsPath>,
    pub(super) immutable: BTreeSet<AbsPath>,
    pub(super) mounted: BTreeSet<AbsPath>,
    /// How many bytes all regular files together may have.
    pub(super) capacity: Option<u64>,
}

impl State {
    /// The regular file at `path`.
    pub(super) fn bytes(&self, operation: &str, path: &AbsPath) -> Result<Arc<[u8]>> {
        let Found::Own(id) = self.tree.find_below(operation, path)? else {
            return Err(refuse_missing(operation, path));
        };
        match self.tree.node(id) {
            Some(Node { shape: Shape::Regular(Data::Known(Content::Bytes(bytes))), .. }) => Ok(Arc::clone(bytes)),
            Some(node) => Err(refuse_type(operation, path, node.metadata.file_type, "file")),
            None => Err(refuse_missing(operation, path)),
        }
    }

    /// Whether what is at `path` may be changed, or come and go.
    fn guard(&self, operation: &str, path: &AbsPath) -> Result<()> {
        let Some(place) = self.tree.locate(operation, path)? else { return Ok(()) };
        let real = place.path();
        if self.places.read_only.iter().any(|directory| real.is_within(directory)) {
            return Err(Error::io(operation, path, &io::Error::from(io::ErrorKind::ReadOnlyFilesystem)));
        }
        if self.places.immutable.contains(&real) || self.places.immutable.contains(&place.directory_path) {
            return Err(Error::io(operation, path, &io::Error::from(io::ErrorKind::PermissionDenied)));
        }
        Ok(())
    }

    /// As [`State::guard`], for what takes the name at `path` away or gives it to something else.
    fn guard_name(&self, operation: &str, path: &AbsPath) -> Result<()> {
        self.guard(operation, path)?;
        if self.is_mounted(operation, path)? {
            return Err(Error::io(operation, path, &io::Error::from(io::ErrorKind::ResourceBusy)));
        }
        Ok(())
    }

    fn is_mounted(&self, operation: &str, path: &AbsPath) -> Result<bool> {
        let place = self.tree.locate(operation, path)?;
        Ok(place.is_some_and(|place| self.places.mounted.contains(&place.path())))
    }

    fn reserve(&self, operation: &str, path: &AbsPath, size: u64) -> Result<()> {
        let Some(capacity) = self.places.capacity else { return Ok(()) };
        let regular = |node: &&Node| node.metadata.file_type == FileType::Regular;
        let used: u64 = self.tree.nodes().filter(regular).map(|node| node.metadata.size).sum();
        if used.saturating_add(size) > capacity {
            return Err(Error::io(operation, path, &io::Error::from(io::ErrorKind::StorageFull)));
        }
        Ok(())
    }

    /// Puts a file in place, whatever check it had.
    pub(super) fn write(&mut self, path: &AbsPath, bytes: Arc<[u8]>, attributes: Attributes) -> Result<()> {
        self.guard("write", path)?;
        let size = bytes.len() as u64;
        self.reserve("write", path, size)?;
        let data = Data::Known(Content::Bytes(bytes));
        let regular = self.tree.metadata("write", path)?.is_some_and(|old| old.file_type == FileType::Regular);
        if regular && self.is_mounted("write", path)? {
            return self.tree.rewrite(path, data, size, attributes);
        }
        self.tree.write(path, data, size, attributes).map(drop)
    }

    pub(super) fn remove(&mut self, path: &AbsPath) -> Result<()> {
        if self.tree.metadata("remove", path)?.is_none() {
            return Ok(());
        }
        self.guard_name("remove", path)?;
        self.tree.remove(path)
    }

    pub(super) fn make_directory(&mut self, path: &AbsPath, attributes: Attributes) -> Result<()> {
        self.guard("make the directory", path)?;
        self.tree.make_directory(path, attributes).map(drop)
    }

    /// `path` with all below it, the deepest first.
    pub(super) fn below(&self, path: &AbsPath) -> Result<Vec<AbsPath>> {
        let mut paths = vec![path.clone()];
        if let Some(place) = self.tree.locate("list", path)?
            && let Found::Own(id) = self.tree.at(&place)
        {
            self.tree.visit(id, &place.path(), &mut |path, _, _| paths.push(path.clone()));
        }
        paths.reverse();
        Ok(paths)
    }
}

impl MemoryMachine {
    /// Lets `check` see the new file under another name, as it will be.
    fn try_out(&self, path: &AbsPath, bytes: Arc<[u8]>, attributes: Attributes, check: Check<'_>) -> Result<()> {
        let mut state = self.state();
        let (place, name) = state.tree.entry("write", path)?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(&name);
        hidden.push(".converge");
        let candidate = place.directory_path.entry(&hidden);
        let old = state.tree.forebear(&place)?;
        let attributes = Attributes {
            uid: attributes.uid.or(old.map(|old| old.uid)),
            gid: attributes.gid.or(old.map(|old| old.gid)),
            mode: attributes.mode.or(old.map(|old| old.mode)),
        };
        state.write(&candidate, bytes, attributes)?;
        drop(state);
        let verdict = check(&candidate);
        self.state().tree.remove(&candidate)?;
        verdict
    }
}

impl Files for MemoryMachine {
    fn metadata(&self, path: &AbsPath) -> Result<Option<Metadata>> {
        self.operation("look at", path)?;
        self.state().tree.metadata("look at", path)
    }

    fn probe(&self, path: &AbsPath, content: Option<&Content>) -> Result<Option<Probe>> {
        self.operation("look at", path)?;
        let state = self.state();
        let Some(metadata) = state.tree.metadata("look at", path)? else { return Ok(None) };
        let same = match content {
            Some(content) if metadata.file_type == FileType::Regular => {
                let bytes = state.bytes("read", path)?;
                Some(match content {
                    Content::Bytes(wanted) => **wanted == *bytes,
                    Content::Blob(wanted) => wanted.size == metadata.size && wanted.digest == Digest::of(&bytes),
                })
            }
            _ => None,
        };
        Ok(Some(Probe { metadata, same }))
    }

    fn read(&self, path: &AbsPath, limit: u64) -> Result<Vec<u8>> {
        self.operation("read", path)?;
        let bytes = self.state().bytes("read", path)?;
        read_content(&self.blobs, &Content::Bytes(bytes), limit)
    }

    fn read_content(&self, content: &Content, limit: u64) -> Result<Vec<u8>> {
        read_content(&self.blobs, content, limit)
    }

    fn read_link(&self, path: &AbsPath) -> Result<String> {
        let operation = "read the link";
        self.operation(operation, path)?;
        let state = self.state();
        let node = match state.tree.find(operation, path)? {
            Found::Own(id) => state.tree.node(id),
            Found::Base(_) | Found::Nothing => None,
        };
        match node {
            Some(Node { shape: Shape::Symlink(target), .. }) => Ok(target.clone()),
            Some(node) => Err(refuse_type(operation, path, node.metadata.file_type, "symbolic link")),
            None => Err(refuse_missing(operation, path)),
        }
    }

    fn resolve(&self, path: &AbsPath) -> Result<AbsPath> {
        self.operation("resolve", path)?;
        self.state().tree.resolve(path)
    }

    fn list(&self, directory: &AbsPath) -> Result<Vec<Entry>> {
        self.operation("list", directory)?;
        self.state().tree.list(directory)
    }

    fn write(&self, path: &AbsPath, content: &Content, attributes: Attributes, check: Option<Check<'_>>) -> Result<()> {
        self.operation("write", path)?;
        let bytes = self.blobs.bytes(content)?;
        if let Some(check) = check {
            self.try_out(path, Arc::clone(&bytes), attributes, check)?;
        }
        self.state().write(path, bytes, attributes)
    }

    fn set_attributes(&self, path: &AbsPath, attributes: Attributes) -> Result<()> {
        self.operation("set the attributes of", path)?;
        let mut state = self.state();
        state.guard("set the attributes of", path)?;
        state.tree.set_attributes(path, attributes)
    }

    fn make_directory(&self, path: &AbsPath, attributes: Attributes) -> Result<()> {
        self.operation("make the directory", path)?;
        self.state().make_directory(path, attributes)
    }

    fn make_symlink(&self, path: &AbsPath, target: &str) -> Result<()> {
        self.operation("make the symbolic link", path)?;
        let mut state = self.state();
        state.guard_name("make the symbolic link", path)?;
        state.tree.make_symlink(path, target)
    }

    fn make_hard_link(&self, path: &AbsPath, existing: &AbsPath) -> Result<()> {
        self.operation("make the hard link", path)?;
        let mut state = self.state();
        state.tree.entry("make the hard link", path)?;
        state.guard_name("make the hard link", path)?;
        state.guard("make the hard link", existing)?;
        state.tree.make_hard_link(path, existing)
    }

    fn remove(&self, path: &AbsPath) -> Result<()> {
        self.operation("remove", path)?;
        self.state().remove(path)
    }

    fn remove_tree(&self, path: &AbsPath) -> Result<()> {
        let paths = self.state().below(path)?;
        for path in paths {
            Files::remove(self, &path)?;
        }
        Ok(())
    }
}
