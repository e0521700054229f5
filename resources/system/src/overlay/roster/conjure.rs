//! Users and groups that are taken to come with something whose effects nobody knows.

use converge_model::error::Result;
use converge_model::system::accounts::{Password, User};

use super::Roster;

impl Roster<'_> {
    /// Whether a user or group that is referred to and not there is taken to be there.
    pub(crate) fn trust(&mut self, trusting: bool) {
        self.trusting = trusting;
    }

    /// Which users and groups were taken to be there, since the last time: `user postgres`.
    pub(crate) fn take_conjured(&mut self) -> Vec<String> {
        std::mem::take(&mut self.conjured)
    }

    /// The number of a user that is not there, where it is to be taken for one that is.
    pub(crate) fn conjure_user(&mut self, name: &str) -> Result<Option<u32>> {
        if !self.trusting {
            return Ok(None);
        }
        let gid = match self.group(name)? {
            Some(group) => group.gid,
            None => match self.conjure_group(name)? {
                Some(gid) => gid,
                None => return Ok(None),
            },
        };
        let Some(uid) = self.free_uid(true) else { return Ok(None) };
        let user = User {
            name: name.to_owned(),
            uid,
            gid,
            comment: String::new(),
            home: "/nonexistent".to_owned(),
            shell: "/usr/sbin/nologin".to_owned(),
        };
        self.insert_user(user, Some(Password { hash: String::new(), locked: true, expires: None }));
        self.conjured.push(format!("user {name}"));
        Ok(Some(uid))
    }

    /// As [`Roster::conjure_user`], for a group.
    pub(crate) fn conjure_group(&mut self, name: &str) -> Result<Option<u32>> {
        if !self.trusting {
            return Ok(None);
        }
        let Some(gid) = self.free_gid(true) else { return Ok(None) };
        self.insert_group(name, gid, []);
        self.conjured.push(format!("group {name}"));
        Ok(Some(gid))
    }
}
