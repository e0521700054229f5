//! Users and groups kept in memory: all of a machine, or the changes on top of those of another one.

mod change;
mod conjure;
mod numbers;

use std::collections::{BTreeMap, BTreeSet};

use converge_model::error::Result;
use converge_model::system::Accounts;
use converge_model::system::accounts::{Group, Password, User};

#[cfg(test)]
pub(crate) use numbers::FIRST_SYNTHETIC;
pub(crate) use numbers::Numbers;

/// A user that this roster holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserEntry {
    pub(crate) user: User,
    pub(crate) password: PasswordEntry,
}

/// Where a user's password is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PasswordEntry {
    /// Here.
    Own(Option<Password>),
    /// Still in the base, which may need root to tell.
    Base,
}

/// A group that this roster holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupEntry {
    pub(crate) gid: u32,
    pub(crate) members: BTreeSet<String>,
}

/// The users and groups. A name without an entry was removed from the base.
#[derive(Clone)]
pub(crate) struct Roster<'a> {
    base: Option<&'a dyn Accounts>,
    users: BTreeMap<String, Option<UserEntry>>,
    groups: BTreeMap<String, Option<GroupEntry>>,
    /// Numbers of groups that changed: the base's users that have the left one as primary group have the right one.
    moved: BTreeMap<u32, u32>,
    numbers: Numbers,
    /// Whether who is referred to and not there is taken to be there, and who was.
    trusting: bool,
    conjured: Vec<String>,
}

impl<'a> Roster<'a> {
    /// A roster of nobody, not even root.
    pub(crate) fn whole() -> Self {
        Self::with(None, Numbers::debian())
    }

    /// No change yet, on top of `base`.
    pub(crate) fn over(base: &'a dyn Accounts) -> Self {
        Self::with(Some(base), Numbers::synthetic())
    }

    fn with(base: Option<&'a dyn Accounts>, numbers: Numbers) -> Self {
        Self {
            base,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            moved: BTreeMap::new(),
            numbers,
            trusting: false,
            conjured: Vec::new(),
        }
    }

    /// Whether anything differs from the base.
    pub(crate) fn is_changed(&self) -> bool {
        !self.users.is_empty() || !self.groups.is_empty()
    }

    /// The users that this roster holds.
    pub(crate) fn users(&self) -> impl Iterator<Item = &UserEntry> {
        self.users.values().flatten()
    }

    /// The groups that this roster holds.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&String, &GroupEntry)> {
        self.groups.iter().filter_map(|(name, entry)| entry.as_ref().map(|entry| (name, entry)))
    }

    /// Takes in a user as it is, its groups untouched.
    pub(crate) fn insert_user(&mut self, user: User, password: Option<Password>) {
        let entry = UserEntry { password: PasswordEntry::Own(password), user };
        self.users.insert(entry.user.name.clone(), Some(entry));
    }

    /// Takes in a group as it is.
    pub(crate) fn insert_group(&mut self, name: &str, gid: u32, members: impl IntoIterator<Item = String>) {
        let members = members.into_iter().collect();
        self.groups.insert(name.to_owned(), Some(GroupEntry { gid, members }));
    }

    pub(crate) fn user(&self, name: &str) -> Result<Option<User>> {
        match (self.users.get(name), self.base) {
            (Some(entry), _) => Ok(entry.as_ref().map(|entry| entry.user.clone())),
            (None, Some(base)) => Ok(base.user(name)?.map(|mut user| {
                user.gid = self.moved.get(&user.gid).copied().unwrap_or(user.gid);
                user
            })),
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn user_name(&self, uid: u32) -> Result<Option<String>> {
        if let Some(own) = self.users().find(|entry| entry.user.uid == uid) {
            return Ok(Some(own.user.name.clone()));
        }
        let Some(base) = self.base else { return Ok(None) };
        Ok(base.user_name(uid)?.filter(|name| !self.users.contains_key(name)))
    }

    pub(crate) fn group(&self, name: &str) -> Result<Option<Group>> {
        match (self.groups.get(name), self.base) {
            (Some(entry), _) => Ok(entry.as_ref().map(|entry| Group {
                name: name.to_owned(),
                gid: entry.gid,
                members: entry.members.iter().cloned().collect(),
            })),
            (None, Some(base)) => base.group(name),
            (None, None) => Ok(None),
        }
    }

    pub(crate) fn group_name(&self, gid: u32) -> Result<Option<String>> {
        if let Some((name, _)) = self.groups().find(|(_, entry)| entry.gid == gid) {
            return Ok(Some(name.clone()));
        }
        let Some(base) = self.base else { return Ok(None) };
        Ok(base.group_name(gid)?.filter(|name| !self.groups.contains_key(name)))
    }

    pub(crate) fn supplementary_groups(&self, user: &str) -> Result<Vec<String>> {
        let mut names: BTreeSet<String> =
            self.groups().filter(|(_, entry)| entry.members.contains(user)).map(|(name, _)| name.clone()).collect();
        if let Some(base) = self.base {
            names.extend(base.supplementary_groups(user)?.into_iter().filter(|name| !self.groups.contains_key(name)));
        }
        Ok(names.into_iter().collect())
    }

    pub(crate) fn password(&self, user: &str) -> Result<Option<Password>> {
        match (self.users.get(user), self.base) {
            (Some(Some(UserEntry { password: PasswordEntry::Own(password), .. })), _) => Ok(password.clone()),
            (Some(None), _) | (_, None) => Ok(None),
            (_, Some(base)) => base.password(user),
        }
    }
}
