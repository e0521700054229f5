//! Changes to users and groups, as useradd(8) and its family make them.

use std::collections::BTreeSet;

use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::accounts::{GroupSettings, Password, User, UserSettings};

use super::{GroupEntry, PasswordEntry, Roster, UserEntry};

fn refuse(kind: ErrorKind, operation: &str, what: &str, name: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(kind, operation, format!("{what} {name}"), cause)
}

impl Roster<'_> {
    /// Makes a user, and a group of the same name where no primary group is given. Gives the user as it is then.
    pub(crate) fn add_user(&mut self, name: &str, settings: &UserSettings) -> Result<User> {
        let operation = "add";
        if self.user(name)?.is_some() {
            return Err(refuse(ErrorKind::Failed, operation, "user", name, "it exists already"));
        }
        let groups = self.known_groups(operation, "user", name, settings.groups.as_deref().unwrap_or_default())?;
        let primary = match &settings.group {
            Some(group) => Some(self.gid_of(operation, name, group)?),
            None => self.group(name)?.map(|group| group.gid),
        };
        let fresh = Password { hash: String::new(), locked: true, expires: None };
        let password = match (&settings.password, settings.locked) {
            (None, None) => Password { expires: settings.expires.flatten(), ..fresh },
            _ => new_password(name, &fresh, settings)?,
        };
        let uid = self.new_uid(operation, name, settings.uid, settings.system)?;
        let gid = match primary {
            Some(gid) => gid,
            None => {
                let gid = self.private_gid(operation, name, uid, settings.system)?;
                self.insert_group(name, gid, []);
                gid
            }
        };
        let user = User {
            name: name.to_owned(),
            uid,
            gid,
            comment: settings.comment.clone().unwrap_or_default(),
            home: settings.home.clone().unwrap_or_else(|| format!("/home/{name}")),
            shell: settings.shell.clone().unwrap_or_else(|| "/bin/sh".to_owned()),
        };
        self.insert_user(user.clone(), Some(password));
        self.join(name, &groups)?;
        Ok(user)
    }

    /// Changes a user. Gives it as it was and as it is then.
    pub(crate) fn modify_user(&mut self, name: &str, settings: &UserSettings) -> Result<(User, User)> {
        let operation = "modify";
        let before = self.existing_user(operation, name)?;
        let groups = match &settings.groups {
            Some(groups) => Some(self.known_groups(operation, "user", name, groups)?),
            None => None,
        };
        let mut user = before.clone();
        if let Some(group) = &settings.group {
            user.gid = self.gid_of(operation, name, group)?;
        }
        if let Some(uid) = settings.uid.filter(|uid| *uid != user.uid) {
            user.uid = self.new_uid(operation, name, Some(uid), false)?;
        }
        let set = |field: &mut String, new: &Option<String>| {
            if let Some(new) = new {
                field.clone_from(new);
            }
        };
        set(&mut user.comment, &settings.comment);
        set(&mut user.home, &settings.home);
        set(&mut user.shell, &settings.shell);
        let password = if settings.password.is_some() || settings.locked.is_some() || settings.expires.is_some() {
            let none = Password { hash: String::new(), locked: true, expires: None };
            let now = self.password(name)?.unwrap_or(none);
            PasswordEntry::Own(Some(new_password(name, &now, settings)?))
        } else {
            match self.users.get(name) {
                Some(Some(entry)) => entry.password.clone(),
                _ => PasswordEntry::Base,
            }
        };
        self.users.insert(name.to_owned(), Some(UserEntry { user: user.clone(), password }));
        if let Some(groups) = groups {
            self.join(name, &groups)?;
        }
        Ok((before, user))
    }

    /// Removes a user from everywhere, and the group that was its own. Gives the user as it was.
    pub(crate) fn remove_user(&mut self, name: &str) -> Result<User> {
        let operation = "remove";
        let user = self.existing_user(operation, name)?;
        self.join(name, &BTreeSet::new())?;
        self.users.insert(name.to_owned(), None);
        let shared = self.users().any(|entry| entry.user.gid == user.gid);
        if self.group(name)?.is_some_and(|group| group.gid == user.gid && group.members.is_empty()) && !shared {
            self.groups.insert(name.to_owned(), None);
        }
        Ok(user)
    }

    /// Makes a group.
    pub(crate) fn add_group(&mut self, name: &str, settings: &GroupSettings) -> Result<()> {
        let operation = "add";
        if self.group(name)?.is_some() {
            return Err(refuse(ErrorKind::Failed, operation, "group", name, "it exists already"));
        }
        self.known_users(operation, name, settings.members.as_deref().unwrap_or_default())?;
        let gid = self.new_gid(operation, name, settings.gid, settings.system)?;
        self.insert_group(name, gid, settings.members.clone().unwrap_or_default());
        Ok(())
    }

    /// Changes a group. A new number becomes that of the users who have it as primary group.
    pub(crate) fn modify_group(&mut self, name: &str, settings: &GroupSettings) -> Result<()> {
        let operation = "modify";
        let group = self.existing_group(operation, name)?;
        let mut entry = GroupEntry { gid: group.gid, members: group.members.into_iter().collect() };
        if let Some(members) = &settings.members {
            self.known_users(operation, name, members)?;
            entry.members = members.iter().cloned().collect();
        }
        if let Some(gid) = settings.gid.filter(|gid| *gid != group.gid) {
            entry.gid = self.new_gid(operation, name, Some(gid), false)?;
            for user in self.users.values_mut().flatten().filter(|entry| entry.user.gid == group.gid) {
                user.user.gid = gid;
            }
            for moved in self.moved.values_mut().filter(|to| **to == group.gid) {
                *moved = gid;
            }
            self.moved.entry(group.gid).or_insert(gid);
        }
        self.groups.insert(name.to_owned(), Some(entry));
        Ok(())
    }

    /// Removes a group that is nobody's primary one.
    pub(crate) fn remove_group(&mut self, name: &str) -> Result<()> {
        let operation = "remove";
        let group = self.existing_group(operation, name)?;
        if let Some(user) = self.users().find(|entry| entry.user.gid == group.gid) {
            let cause = format!("it is the primary group of the user {}", user.user.name);
            return Err(refuse(ErrorKind::Busy, operation, "group", name, cause));
        }
        self.groups.insert(name.to_owned(), None);
        Ok(())
    }

    fn existing_user(&self, operation: &str, name: &str) -> Result<User> {
        self.user(name)?.ok_or_else(|| refuse(ErrorKind::NotFound, operation, "user", name, "there is no such user"))
    }

    fn existing_group(&self, operation: &str, name: &str) -> Result<converge_model::system::accounts::Group> {
        self.group(name)?.ok_or_else(|| refuse(ErrorKind::NotFound, operation, "group", name, "there is no such group"))
    }

    fn gid_of(&mut self, operation: &str, user: &str, group: &str) -> Result<u32> {
        if let Some(group) = self.group(group)? {
            return Ok(group.gid);
        }
        match group.parse::<u32>() {
            Ok(gid) if self.group_name(gid)?.is_some() => Ok(gid),
            Ok(_) => Err(refuse(ErrorKind::Failed, operation, "user", user, format!("there is no group {group}"))),
            Err(_) => self.conjure_group(group)?.ok_or_else(|| {
                refuse(ErrorKind::Failed, operation, "user", user, format!("there is no group {group}"))
            }),
        }
    }

    fn known_groups(&mut self, operation: &str, what: &str, name: &str, groups: &[String]) -> Result<BTreeSet<String>> {
        for group in groups {
            if self.group(group)?.is_none() && self.conjure_group(group)?.is_none() {
                return Err(refuse(ErrorKind::Failed, operation, what, name, format!("there is no group {group}")));
            }
        }
        Ok(groups.iter().cloned().collect())
    }

    fn known_users(&mut self, operation: &str, group: &str, users: &[String]) -> Result<()> {
        for user in users {
            if self.user(user)?.is_none() && self.conjure_user(user)?.is_none() {
                let cause = format!("there is no user {user}");
                return Err(refuse(ErrorKind::Failed, operation, "group", group, cause));
            }
        }
        Ok(())
    }

    /// Makes `groups` all the supplementary groups of `user`.
    fn join(&mut self, user: &str, groups: &BTreeSet<String>) -> Result<()> {
        let before: BTreeSet<String> = self.supplementary_groups(user)?.into_iter().collect();
        for name in before.symmetric_difference(groups) {
            let Some(group) = self.group(name)? else { continue };
            let mut members: BTreeSet<String> = group.members.into_iter().collect();
            if !members.remove(user) {
                members.insert(user.to_owned());
            }
            self.groups.insert(name.clone(), Some(GroupEntry { gid: group.gid, members }));
        }
        Ok(())
    }

    fn new_uid(&mut self, operation: &str, name: &str, given: Option<u32>, system: bool) -> Result<u32> {
        if let Some(uid) = given {
            return match self.user_name(uid)? {
                Some(other) => {
                    let cause = format!("the number {uid} is that of the user {other}");
                    Err(refuse(ErrorKind::Failed, operation, "user", name, cause))
                }
                None => Ok(uid),
            };
        }
        self.free_uid(system).ok_or_else(|| refuse(ErrorKind::Failed, operation, "user", name, "no number is free"))
    }

    fn new_gid(&mut self, operation: &str, name: &str, given: Option<u32>, system: bool) -> Result<u32> {
        if let Some(gid) = given {
            return match self.group_name(gid)? {
                Some(other) => {
                    let cause = format!("the number {gid} is that of the group {other}");
                    Err(refuse(ErrorKind::Failed, operation, "group", name, cause))
                }
                None => Ok(gid),
            };
        }
        self.free_gid(system).ok_or_else(|| refuse(ErrorKind::Failed, operation, "group", name, "no number is free"))
    }

    pub(super) fn free_uid(&mut self, system: bool) -> Option<u32> {
        let mut numbers = self.numbers.clone();
        let chosen = numbers.choose(system, |uid| !matches!(self.user_name(uid), Ok(None)));
        self.numbers = numbers;
        chosen
    }

    pub(super) fn free_gid(&mut self, system: bool) -> Option<u32> {
        let mut numbers = self.numbers.clone();
        let chosen = numbers.choose(system, |gid| !matches!(self.group_name(gid), Ok(None)));
        self.numbers = numbers;
        chosen
    }

    fn private_gid(&mut self, operation: &str, name: &str, uid: u32, system: bool) -> Result<u32> {
        if self.group_name(uid)?.is_none() { Ok(uid) } else { self.new_gid(operation, name, None, system) }
    }
}

/// The password as `settings` ask for it. Who was locked stays so, unless told otherwise; but who could not log in only
/// for want of a password can, once there is one.
fn new_password(name: &str, now: &Password, settings: &UserSettings) -> Result<Password> {
    let invalid = |cause| Err(refuse(ErrorKind::Invalid, "set the password of", "user", name, cause));
    let hash = settings.password.as_deref().unwrap_or(&now.hash);
    if hash.contains([':', '\n', '\0']) {
        return invalid("the hash holds a colon, a line break or a NUL");
    }
    let locked = settings.locked.unwrap_or(now.locked && (settings.password.is_none() || !now.hash.is_empty()));
    if hash.is_empty() && !locked {
        return invalid("it has no password; unlocked, it would let anybody in");
    }
    let bare = hash.trim_start_matches('!');
    Ok(Password {
        hash: if bare.starts_with('*') { String::new() } else { bare.to_owned() },
        locked: locked || hash.starts_with(['!', '*']),
        expires: settings.expires.unwrap_or(now.expires),
    })
}
