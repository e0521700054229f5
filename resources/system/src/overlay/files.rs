//! Files as they would be.

use converge_model::error::Result;
use converge_model::system::Files;
use converge_model::system::files::{Attributes, Check, Entry, FileType, Metadata, Probe};
use converge_model::{AbsPath, Content};

use super::Overlay;
use super::tree::{Data, Found, Node, Shape, Tree, refuse_missing, refuse_type};

/// What a file that a command is taken to have made is assumed to allow.
const UNKNOWN_MODE: u32 = 0o644;

impl Overlay<'_> {
    /// Whether a regular file holds `content`.
    fn holds(&self, data: &Data, content: &Content) -> Result<Option<bool>> {
        Ok(match data {
            Data::Base(path) => self.base.files().probe(path, Some(content))?.and_then(|probe| probe.same),
            Data::Known(own) if own.size() != content.size() => Some(false),
            Data::Known(own) => Some(match (own, content) {
                (Content::Bytes(own), Content::Bytes(content)) => own == content,
                (own, content) => own.digest() == content.digest(),
            }),
        })
    }

    fn probe_own(&self, path: &AbsPath, node: &Node, content: Option<&Content>) -> Result<Probe> {
        let same = match (&node.shape, content) {
            (Shape::Regular(data), Some(content)) => self.holds(data, content)?,
            (Shape::Unknown { mode }, content) => {
                self.assumptions.assume(format!("{path} is taken for a file whose content is not known"));
                let metadata = Metadata {
                    file_type: FileType::Regular,
                    mode: mode.unwrap_or(UNKNOWN_MODE),
                    size: 0,
                    ..node.metadata
                };
                return Ok(Probe { metadata, same: content.map(|_| false) });
            }
            _ => None,
        };
        Ok(Probe { metadata: node.metadata, same })
    }

    /// What is found, said to be doubtful where it is the machine's below.
    fn seek(&self, tree: &Tree<'_>, operation: &str, path: &AbsPath) -> Result<Found> {
        let found = tree.find(operation, path)?;
        if matches!(found, Found::Base(_)) {
            self.assumptions.doubt();
        }
        Ok(found)
    }

    /// The node that stands for what is in the base, where it was adopted under another name.
    fn adopted<'t>(&self, tree: &'t Tree<'_>, metadata: &Metadata) -> Option<&'t Node> {
        tree.adopted(metadata.identity).and_then(|id| tree.node(id))
    }
}

impl Files for Overlay<'_> {
    fn metadata(&self, path: &AbsPath) -> Result<Option<Metadata>> {
        let tree = self.tree();
        let found = self.seek(&tree, "look at", path)?;
        tree.metadata_of(&found)
    }

    fn probe(&self, path: &AbsPath, content: Option<&Content>) -> Result<Option<Probe>> {
        let tree = self.tree();
        match self.seek(&tree, "look at", path)? {
            Found::Nothing => Ok(None),
            Found::Own(id) => tree.node(id).map(|node| self.probe_own(path, node, content)).transpose(),
            Found::Base(below) => {
                let Some(probe) = self.base.files().probe(&below, content)? else { return Ok(None) };
                match self.adopted(&tree, &probe.metadata) {
                    Some(node) => self.probe_own(path, node, content).map(Some),
                    None => Ok(Some(probe)),
                }
            }
        }
    }

    fn read(&self, path: &AbsPath, limit: u64) -> Result<Vec<u8>> {
        let tree = self.tree();
        let id = match tree.find_below("read", path)? {
            Found::Nothing => return Err(refuse_missing("read", path)),
            Found::Base(below) => {
                self.assumptions.doubt();
                return self.base.files().read(&below, limit);
            }
            Found::Own(id) => id,
        };
        match tree.node(id).map(|node| (&node.shape, node.metadata.file_type)) {
            Some((Shape::Regular(Data::Known(content)), _)) => self.base.files().read_content(content, limit),
            Some((Shape::Regular(Data::Base(below)), _)) => self.base.files().read(below, limit),
            Some((Shape::Unknown { .. }, _)) => {
                self.assumptions.assume(format!("what {path} will hold is not known"));
                Ok(Vec::new())
            }
            Some((_, file_type)) => Err(refuse_type("read", path, file_type, "file")),
            None => Err(refuse_missing("read", path)),
        }
    }

    fn read_content(&self, content: &Content, limit: u64) -> Result<Vec<u8>> {
        self.base.files().read_content(content, limit)
    }

    fn read_link(&self, path: &AbsPath) -> Result<String> {
        let operation = "read the link";
        let tree = self.tree();
        let id = match self.seek(&tree, operation, path)? {
            Found::Nothing => return Err(refuse_missing(operation, path)),
            Found::Base(below) => return self.base.files().read_link(&below),
            Found::Own(id) => id,
        };
        match tree.node(id) {
            Some(Node { shape: Shape::Symlink(target), .. }) => Ok(target.clone()),
            Some(node) => Err(refuse_type(operation, path, node.metadata.file_type, "symbolic link")),
            None => Err(refuse_missing(operation, path)),
        }
    }

    fn resolve(&self, path: &AbsPath) -> Result<AbsPath> {
        let tree = self.tree();
        self.assumptions.doubt();
        if tree.is_changed() { tree.resolve(path) } else { self.base.files().resolve(path) }
    }

    fn list(&self, directory: &AbsPath) -> Result<Vec<Entry>> {
        let tree = self.tree();
        let found = self.seek(&tree, "list", directory)?;
        if tree.is_unknown(&found) {
            self.assumptions.assume(format!("what will be in {directory} is not known"));
        }
        tree.list(directory)
    }

    fn write(&self, path: &AbsPath, content: &Content, attributes: Attributes, check: Option<Check<'_>>) -> Result<()> {
        self.tree_mut().write(path, Data::Known(content.clone()), content.size(), attributes)?;
        if check.is_some() {
            self.assumptions.assume(format!("the new content of {path} is taken to be valid: `validate` was not run"));
        }
        Ok(())
    }

    fn set_attributes(&self, path: &AbsPath, attributes: Attributes) -> Result<()> {
        self.tree_mut().set_attributes(path, attributes)
    }

    fn make_directory(&self, path: &AbsPath, attributes: Attributes) -> Result<()> {
        self.tree_mut().make_directory(path, attributes).map(drop)
    }

    fn make_symlink(&self, path: &AbsPath, target: &str) -> Result<()> {
        self.tree_mut().make_symlink(path, target)
    }

    fn make_hard_link(&self, path: &AbsPath, existing: &AbsPath) -> Result<()> {
        self.tree_mut().make_hard_link(path, existing)
    }

    fn remove(&self, path: &AbsPath) -> Result<()> {
        self.tree_mut().remove(path)
    }

    fn remove_tree(&self, path: &AbsPath) -> Result<()> {
        self.tree_mut().remove_tree(path)
    }
}
