//! Users and groups as they are now: from the files, kept until those change, and from the name service.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use converge_model::Cancel;
use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::accounts::{Group, Password, User};
use rustix::fs::Stat;

use super::name_service::NameService;
use super::tables::{Groups, Passwords, Users, parse_group, parse_user};
use crate::linux::epoch::Epoch;
use crate::linux::process::Identity;
use crate::linux::small_file;

/// The largest passwd, group or shadow that is read: a million users.
const LARGEST: usize = 256 * 1024 * 1024;

/// How long a table is believed without a look at its file, while nothing of ours ran.
const BELIEVED: Duration = Duration::from_millis(100);

/// Reads users, groups and passwords.
pub(crate) struct Database {
    users: Cached<Users>,
    groups: Cached<Groups>,
    passwords: Cached<Passwords>,
    name_service: NameService,
    epoch: Epoch,
}

impl Database {
    /// The accounts of the tree below `root`.
    pub(crate) fn new(root: &Path, epoch: Epoch, cancel: Cancel) -> Self {
        Self {
            users: Cached::new(root.join("etc/passwd"), Users::parse),
            groups: Cached::new(root.join("etc/group"), Groups::parse),
            passwords: Cached::new(root.join("etc/shadow"), Passwords::parse),
            name_service: NameService::new(root, epoch.clone(), cancel),
            epoch,
        }
    }

    /// Lets everything be looked at again.
    pub(crate) fn invalidate(&self) {
        self.epoch.advance();
    }

    pub(crate) fn user(&self, name: &str) -> Result<Option<User>> {
        if let Some(user) = self.users.get(&self.epoch)?.named(name) {
            return Ok(Some(user.clone()));
        }
        // getent(1) takes a name of digits for a number.
        Ok(self.name_service.entry("passwd", name)?.and_then(|line| parse_user(&line)).filter(|user| user.name == name))
    }

    pub(crate) fn user_numbered(&self, uid: u32) -> Result<Option<User>> {
        if let Some(user) = self.users.get(&self.epoch)?.numbered(uid) {
            return Ok(Some(user.clone()));
        }
        let line = self.name_service.entry("passwd", &uid.to_string())?;
        Ok(line.and_then(|line| parse_user(&line)).filter(|user| user.uid == uid))
    }

    /// Whether `name` is a user of the files, which the account tools can change.
    pub(crate) fn is_local_user(&self, name: &str) -> Result<bool> {
        Ok(self.users.get(&self.epoch)?.named(name).is_some())
    }

    pub(crate) fn group(&self, name: &str) -> Result<Option<Group>> {
        if let Some(group) = self.groups.get(&self.epoch)?.named(name) {
            return Ok(Some(group.clone()));
        }
        let line = self.name_service.entry("group", name)?;
        Ok(line.and_then(|line| parse_group(&line)).filter(|group| group.name == name))
    }

    pub(crate) fn group_numbered(&self, gid: u32) -> Result<Option<Group>> {
        if let Some(group) = self.groups.get(&self.epoch)?.numbered(gid) {
            return Ok(Some(group.clone()));
        }
        let line = self.name_service.entry("group", &gid.to_string())?;
        Ok(line.and_then(|line| parse_group(&line)).filter(|group| group.gid == gid))
    }

    /// The names of the groups in the files that list `user`, sorted.
    pub(crate) fn groups_of(&self, user: &str) -> Result<Vec<String>> {
        Ok(self.groups.get(&self.epoch)?.of_user(user).to_vec())
    }

    /// The users in the files whose primary group has the number `gid`, sorted.
    pub(crate) fn users_with_primary_group(&self, gid: u32) -> Result<Vec<String>> {
        Ok(self.users.get(&self.epoch)?.with_primary_group(gid).into_iter().map(str::to_owned).collect())
    }

    pub(crate) fn password(&self, user: &str) -> Result<Option<Password>> {
        Ok(self.passwords.get(&self.epoch)?.of(user).cloned())
    }

    /// As whom a process of `user` runs: what initgroups(3) would find.
    pub(crate) fn identity(&self, user: &User) -> Result<Identity> {
        let mut groups = vec![user.gid];
        {
            let table = self.groups.get(&self.epoch)?;
            groups.extend(table.of_user(&user.name).iter().filter_map(|name| table.named(name)).map(|group| group.gid));
        }
        groups.extend(self.name_service.groups_of(&user.name)?);
        groups.sort_unstable();
        groups.dedup();
        Ok(Identity { uid: user.uid, gid: user.gid, groups })
    }
}

/// A file's table, kept until the file changes.
struct Cached<T> {
    path: PathBuf,
    parse: fn(&[u8]) -> T,
    slot: Mutex<Option<Slot<T>>>,
}

struct Slot<T> {
    table: Arc<T>,
    stamp: Option<Stamp>,
    epoch: u64,
    looked: Instant,
}

/// What tells one version of a file from the next. The tools replace their files, so the number of the file changes.
#[derive(PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: i64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        // The width of the time fields differs between architectures.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
        Self {
            file: (stat.st_dev, stat.st_ino),
            size: stat.st_size,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        }
    }
}

impl<T> Cached<T> {
    fn new(path: PathBuf, parse: fn(&[u8]) -> T) -> Self {
        Self { path, parse, slot: Mutex::new(None) }
    }

    fn get(&self, epoch: &Epoch) -> Result<Arc<T>> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, looked) = (epoch.now(), Instant::now());
        if let Some(slot) = &mut *slot {
            if slot.epoch == now && looked.saturating_duration_since(slot.looked) < BELIEVED {
                return Ok(Arc::clone(&slot.table));
            }
            let stamp = match rustix::fs::stat(&self.path) {
                Ok(stat) => Some(Stamp::of(&stat)),
                Err(rustix::io::Errno::NOENT) => None,
                Err(errno) => return Err(self.error(&errno.into())),
            };
            if stamp == slot.stamp {
                (slot.epoch, slot.looked) = (now, looked);
                return Ok(Arc::clone(&slot.table));
            }
        }
        let (bytes, stamp) = match small_file::read_with_stat(&self.path, LARGEST) {
            Ok((bytes, stat)) => (bytes, Some(Stamp::of(&stat))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (Vec::new(), None),
            Err(error) => return Err(self.error(&error)),
        };
        let table = Arc::new((self.parse)(&bytes));
        *slot = Some(Slot { table: Arc::clone(&table), stamp, epoch: now, looked });
        Ok(table)
    }

    fn error(&self, error: &std::io::Error) -> Error {
        let error = Error::io("read", self.path.display(), error);
        match error.kind {
            ErrorKind::Denied => error.with_hint("run as root: only root may read passwords"),
            _ => error,
        }
    }
}
