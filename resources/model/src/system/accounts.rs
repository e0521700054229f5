//! Users and groups.

use crate::error::Result;

/// A user, as passwd(5) has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its primary group.
    pub gid: u32,
    /// The comment field, whole.
    pub comment: String,
    /// Its home directory.
    pub home: String,
    /// Its login shell.
    pub shell: String,
}

/// A group, as group(5) has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its number.
    pub gid: u32,
    /// The users that have it as a supplementary group, sorted.
    pub members: Vec<String>,
}

/// A user's password, as shadow(5) has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// The hash without the marks of a lock; empty where none is set.
    pub hash: String,
    /// Whether password login is locked (`!` before the hash), or was never possible (`*`, `!`).
    pub locked: bool,
    /// The day the account expires, counted from 1970-01-01.
    pub expires: Option<i64>,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Password").field("locked", &self.locked).field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// What to set of a user; what is `None` stays, or is what useradd(8) chooses for a new one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserSettings {
    /// The number.
    pub uid: Option<u32>,
    /// The primary group, by name or number.
    pub group: Option<String>,
    /// All supplementary groups, by name.
    pub groups: Option<Vec<String>>,
    /// The comment field.
    pub comment: Option<String>,
    /// The home directory.
    pub home: Option<String>,
    /// Make the home directory (new users), or move it (changed ones).
    pub manage_home: bool,
    /// The login shell.
    pub shell: Option<String>,
    /// The password's hash, as crypt(5) writes it. Never in an argument list.
    pub password: Option<String>,
    /// Whether password login is locked.
    pub locked: Option<bool>,
    /// The day the account expires, counted from 1970-01-01; `Some(None)` for never.
    pub expires: Option<Option<i64>>,
    /// A new user with a number from the system's range, and no aging.
    pub system: bool,
}

impl std::fmt::Debug for UserSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserSettings")
            .field("uid", &self.uid)
            .field("group", &self.group)
            .field("groups", &self.groups)
            .field("home", &self.home)
            .field("shell", &self.shell)
            .field("password", &self.password.as_ref().map(|_| "(sensitive)"))
            .finish_non_exhaustive()
    }
}

/// What to set of a group; what is `None` stays, or is what groupadd(8) chooses for a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSettings {
    /// The number.
    pub gid: Option<u32>,
    /// All members, by name.
    pub members: Option<Vec<String>>,
    /// A new group with a number from the system's range.
    pub system: bool,
}

/// The users and groups of a machine, from its files and, for a name not found there, from its name service.
pub trait Accounts: Send + Sync {
    /// The user called `name`.
    fn user(&self, name: &str) -> Result<Option<User>>;
    /// The name of the user numbered `uid`.
    fn user_name(&self, uid: u32) -> Result<Option<String>>;
    /// The group called `name`.
    fn group(&self, name: &str) -> Result<Option<Group>>;
    /// The name of the group numbered `gid`.
    fn group_name(&self, gid: u32) -> Result<Option<String>>;
    /// The names of the groups that have `user` as a member, sorted; not its primary group.
    fn supplementary_groups(&self, user: &str) -> Result<Vec<String>>;
    /// The number that files of the user called `name` have. A plan also answers for a user that it takes to come with a
    /// package, where [`Accounts::user`] knows nothing: ask here to give something to somebody.
    fn uid_of(&self, name: &str) -> Result<Option<u32>> {
        Ok(self.user(name)?.map(|user| user.uid))
    }
    /// As [`Accounts::uid_of`], for a group.
    fn gid_of(&self, name: &str) -> Result<Option<u32>> {
        Ok(self.group(name)?.map(|group| group.gid))
    }
    /// The user's password; nothing where it has no entry in shadow(5). Needs root.
    fn password(&self, user: &str) -> Result<Option<Password>>;

    /// Makes a user.
    fn add_user(&self, name: &str, settings: &UserSettings) -> Result<()>;
    /// Changes a user.
    fn modify_user(&self, name: &str, settings: &UserSettings) -> Result<()>;
    /// Removes a user, and its home directory and mail where `remove_home`.
    fn remove_user(&self, name: &str, remove_home: bool) -> Result<()>;
    /// Makes a group.
    fn add_group(&self, name: &str, settings: &GroupSettings) -> Result<()>;
    /// Changes a group.
    fn modify_group(&self, name: &str, settings: &GroupSettings) -> Result<()>;
    /// Removes a group.
    fn remove_group(&self, name: &str) -> Result<()>;
}
