//! What the kernel's refusals mean, in words that let an operator mend them.

use std::os::fd::AsFd;

use converge_model::AbsPath;
use converge_model::error::{Error, ErrorKind};
use rustix::fs::{IFlags, Mode, OFlags};
use rustix::io::Errno;

use super::LinuxFiles;
use super::walk::{Place, WalkError};

impl LinuxFiles {
    /// A failure on the way to `path`, or at it.
    pub(super) fn walk_error(&self, operation: &str, path: &AbsPath, error: WalkError) -> Error {
        match error {
            WalkError::Errno(errno) => self.error(operation, path, errno),
            WalkError::Planted { link, owner } => {
                let owner = match self.database.user_numbered(owner) {
                    Ok(Some(user)) => format!("user {}", user.name),
                    _ => format!("the user numbered {owner}"),
                };
                let cause = format!(
                    "{} is a symbolic link of {owner} in a directory that others can write to; following it would let \
                     them choose what is changed",
                    link.display()
                );
                Error::new(ErrorKind::Denied, operation, path, cause)
                    .with_hint("remove the link, or declare the path that it points to")
            }
        }
    }

    /// A failure whose code says enough.
    pub(super) fn error(&self, operation: &str, path: &AbsPath, errno: Errno) -> Error {
        let failed = Error::io(operation, path, &errno.into());
        let (cause, hint) = match errno {
            Errno::NOTDIR => {
                ("a part of its path is no directory", "declare that part as a directory, or correct the path")
            }
            Errno::LOOP => ("it is a symbolic link", "declare it as a link, or the path that it points to"),
            Errno::BUSY => ("something is mounted there, or uses it", "unmount it first (findmnt shows it)"),
            Errno::XDEV => ("it is on another file system", "choose a place on the same file system"),
            Errno::TXTBSY => ("it is a program that runs", "stop it first"),
            Errno::NOSYS => ("/proc is not mounted, or the kernel is too old", "mount it (mount -t proc proc /proc)"),
            Errno::IO => ("the disk or the network behind it failed", "look at the kernel's messages (dmesg)"),
            Errno::STALE => ("the network file system behind it lost it", "mount it again"),
            Errno::PERM | Errno::ACCESS if self.euid != 0 => {
                let cause = format!("{}; this is user {}, not root", failed.cause, self.euid);
                return Error { cause, hint: Some("run as root".to_owned()), ..failed };
            }
            _ => return failed,
        };
        Error { cause: cause.to_owned(), hint: Some(hint.to_owned()), ..failed }
    }

    /// A failure to change what is at `place`: looks for flags of the file and its directory that forbid it.
    pub(super) fn place_error(&self, operation: &str, path: &AbsPath, place: &Place<'_>, errno: Errno) -> Error {
        let failed = self.error(operation, path, errno);
        if !matches!(errno, Errno::PERM | Errno::ACCESS) {
            return failed;
        }
        let directory = path.parent().unwrap_or_else(AbsPath::root);
        let found = flags_of(place, place.name.as_encoded_bytes())
            .map(|flag| (flag, path))
            .or_else(|| flags_of(place, b".").map(|flag| (flag, &directory)));
        match found {
            Some((flag, path)) => Error {
                kind: ErrorKind::Denied,
                cause: format!("{path} is {} (chattr +{})", flag.0, flag.1),
                hint: Some(format!(
                    "take the flag away (chattr -{} {path}), or leave the path out of the policy",
                    flag.1
                )),
                ..failed
            },
            None => failed,
        }
    }

    /// That the directory of `path` is not there, which open(2) and its kin say with the same code as anything missing.
    pub(super) fn no_directory(operation: &str, path: &AbsPath) -> Error {
        let cause = match path.parent() {
            Some(parent) => format!("its directory {parent} is not there"),
            None => "it is not there".to_owned(),
        };
        Error::new(ErrorKind::NotFound, operation, path, cause).with_hint("declare the directory too, before it")
    }
}

/// The flag of a file that forbids to change it, with its letter in chattr(1).
fn flags_of(place: &Place<'_>, name: &[u8]) -> Option<(&'static str, char)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let handle = rustix::fs::openat(place.directory.as_fd(), name, flags, Mode::empty()).ok()?;
    let flags = rustix::fs::ioctl_getflags(&handle).ok()?;
    if flags.contains(IFlags::IMMUTABLE) {
        Some(("immutable", 'i'))
    } else if flags.contains(IFlags::APPEND) {
        Some(("only to be appended to", 'a'))
    } else {
        None
    }
}
