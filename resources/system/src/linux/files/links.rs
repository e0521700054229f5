//! Symbolic and hard links: made under another name, then renamed.

use std::os::fd::AsFd;

use converge_model::AbsPath;
use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::files::FileType;
use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;

use super::temporary::Temporary;
use super::walk::Place;
use super::{LinuxFiles, metadata_of};

const OPERATION: &str = "make the link";

impl LinuxFiles {
    /// Makes a symbolic link.
    pub(super) fn put_symlink(&self, path: &AbsPath, target: &str) -> Result<()> {
        if target.is_empty() || target.contains('\0') {
            return Err(Error::new(ErrorKind::Invalid, OPERATION, path, "its target is empty or holds a NUL byte"));
        }
        let place = self.place(OPERATION, path)?;
        let failed = |errno| self.place_error(OPERATION, path, &place, errno);
        let device = self.sweep(&place.directory).map_err(failed)?.st_dev;
        self.replaceable(path, &place)?;
        let (temporary, ()) =
            Temporary::make(place.directory.as_fd(), |directory, name| rustix::fs::symlinkat(target, directory, name))
                .map_err(failed)?;
        rustix::fs::renameat(&place.directory, temporary.name(), &place.directory, place.name).map_err(failed)?;
        temporary.forget();
        self.touched.add(device, &place.directory);
        Ok(())
    }

    /// Makes a further name of the file at `existing`.
    pub(super) fn put_hard_link(&self, path: &AbsPath, existing: &AbsPath) -> Result<()> {
        let place = self.place(OPERATION, path)?;
        let failed = |errno| self.place_error(OPERATION, path, &place, errno);
        let source = self.place(OPERATION, existing)?;
        let found = source.stat().map_err(|errno| self.error(OPERATION, existing, errno))?;
        let found = found.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, OPERATION, path, format!("there is nothing at {existing}"))
                .with_hint("declare that file too, before the link")
        })?;
        if metadata_of(&found).file_type == FileType::Directory {
            return Err(Error::new(ErrorKind::Invalid, OPERATION, path, format!("{existing} is a directory"))
                .with_hint("only files have hard links; make a symbolic one"));
        }
        let device = self.sweep(&place.directory).map_err(failed)?.st_dev;
        let before = self.replaceable(path, &place)?;
        if before.is_some_and(|before| metadata_of(&before).identity == metadata_of(&found).identity) {
            // Renaming one name of a file to another of the same does nothing, and leaves both.
            return Ok(());
        }
        let (temporary, ()) = Temporary::make(place.directory.as_fd(), |directory, name| {
            rustix::fs::linkat(&source.directory, source.name, directory, name, AtFlags::empty())
        })
        .map_err(|errno| match errno {
            Errno::XDEV => {
                Error::new(ErrorKind::Failed, OPERATION, path, format!("{existing} is on another file system"))
                    .with_hint("make a symbolic link instead")
            }
            errno => failed(errno),
        })?;
        rustix::fs::renameat(&place.directory, temporary.name(), &place.directory, place.name).map_err(failed)?;
        temporary.forget();
        self.touched.add(device, &place.directory);
        Ok(())
    }

    /// What is there and will be replaced; a directory will not.
    fn replaceable(&self, path: &AbsPath, place: &Place<'_>) -> Result<Option<Stat>> {
        let before = place.stat().map_err(|errno| self.place_error(OPERATION, path, place, errno))?;
        match before {
            Some(stat) if metadata_of(&stat).file_type == FileType::Directory => {
                Err(Error::new(ErrorKind::Failed, OPERATION, path, "a directory is there")
                    .with_hint("remove the directory, or declare a `directory` with `ensure = \"absent\"` before it"))
            }
            before => Ok(before),
        }
    }
}
