//! Home directories: made, moved and handed over as useradd(8) and usermod(8) do.

use converge_model::AbsPath;
use converge_model::error::Result;
use converge_model::system::files::{Attributes, FileType};

use super::{Data, Found, Node, Shape, Tree};

/// What a new home directory is filled with.
const SKELETON: &str = "/etc/skel";

impl Tree<'_> {
    /// Makes a home directory with the files of the skeleton, and the directories that lead to it. What is there already
    /// stays as it is.
    pub(crate) fn make_home(&mut self, home: &AbsPath, uid: u32, gid: u32) -> Result<()> {
        let operation = "make the home directory";
        let mut missing = Vec::new();
        for path in std::iter::successors(Some(home.clone()), AbsPath::parent) {
            if self.metadata(operation, &path)?.is_some() {
                break;
            }
            missing.push(path);
        }
        if missing.is_empty() {
            return Ok(());
        }
        for path in missing.iter().rev() {
            let owner = if path == home { (uid, gid) } else { (0, 0) };
            self.make_directory(path, Attributes { uid: Some(owner.0), gid: Some(owner.1), mode: None })?;
        }
        self.copy_skeleton(home, Attributes { uid: Some(uid), gid: Some(gid), mode: None })
    }

    fn copy_skeleton(&mut self, home: &AbsPath, owner: Attributes) -> Result<()> {
        let operation = "copy the skeleton";
        let Ok(skeleton) = SKELETON.parse::<AbsPath>() else { return Ok(()) };
        if self.metadata(operation, &skeleton)?.is_none_or(|there| there.file_type != FileType::Directory) {
            return Ok(());
        }
        for entry in self.list(&skeleton)? {
            let found = self.find(operation, &skeleton.entry(&entry.name))?;
            let Some(metadata) = self.metadata_of(&found)? else { continue };
            let data = match &found {
                Found::Base(path) if metadata.file_type == FileType::Regular => Data::Base(path.clone()),
                Found::Own(id) => match self.node(*id) {
                    Some(Node { shape: Shape::Regular(data), .. }) => data.clone(),
                    _ => continue,
                },
                _ => continue,
            };
            let attributes = Attributes { mode: Some(metadata.mode), ..owner };
            self.write(&home.entry(&entry.name), data, metadata.size, attributes)?;
        }
        Ok(())
    }

    /// What is `from`'s at `home` and below becomes `to`'s; says whether that was done, which is not where there is more
    /// than `limit`.
    pub(crate) fn hand_over(&mut self, home: &AbsPath, from: (u32, u32), to: (u32, u32), limit: usize) -> Result<bool> {
        let Some(paths) = self.below(home, limit)? else { return Ok(false) };
        for path in paths {
            let Some(metadata) = self.metadata("hand over", &path)? else { continue };
            let uid = (metadata.uid == from.0).then_some(to.0);
            let gid = (metadata.gid == from.1).then_some(to.1);
            if uid.is_some() || gid.is_some() {
                self.set_attributes(&path, Attributes { uid, gid, mode: None })?;
            }
        }
        Ok(true)
    }

    /// Moves what is at `from` to `to`, where nothing is. What is not there is not moved, and nothing is overwritten.
    pub(crate) fn rename(&mut self, from: &AbsPath, to: &AbsPath) -> Result<()> {
        let operation = "move";
        if self.metadata(operation, from)?.is_none() || self.metadata(operation, to)?.is_some() {
            return Ok(());
        }
        let (place, name) = self.entry(operation, to)?;
        let (source, old_name) = self.entry(operation, from)?;
        let id = self.own(from, operation)?;
        let parent = self.own_directory(&place, operation)?;
        self.put(parent, name, id);
        let old_parent = self.own_directory(&source, operation)?;
        self.drop_name(old_parent, &old_name);
        Ok(())
    }
}
