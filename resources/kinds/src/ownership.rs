//! Owner, group and mode of what is at a path.

use converge_model::system::files::{Attributes, Metadata};
use converge_model::{AccountName, Change, Changes, Key, Mode, Result, Shown, System, Value};

use crate::{account_lookup, past};

/// Owner, group and mode as declared; what is not declared is not managed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ownership {
    pub(crate) owner: Option<AccountName>,
    pub(crate) group: Option<AccountName>,
    pub(crate) mode: Option<Mode>,
}

/// Which of the declared ones differ, each with what is there instead; all of them where nothing is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Differing {
    owner: Option<Shown>,
    group: Option<Shown>,
    mode: Option<Shown>,
}

impl Ownership {
    /// Looks up what is declared, and the names of what is there instead. A user or group that is not there yet differs:
    /// whether it will be there in time shows when the change is made.
    pub(crate) fn observe(&self, system: &dyn System, there: Option<&Metadata>) -> Result<Differing> {
        let Some(there) = there else {
            return Ok(Differing {
                owner: self.owner.as_ref().map(|_| Shown::Absent),
                group: self.group.as_ref().map(|_| Shown::Absent),
                mode: self.mode.map(|_| Shown::Absent),
            });
        };
        let owner = match &self.owner {
            Some(owner) if account_lookup::uid(system, owner)? != Some(there.uid) => {
                Some(shown(owner, there.uid, |uid| system.accounts().user_name(uid))?)
            }
            _ => None,
        };
        let group = match &self.group {
            Some(group) if account_lookup::gid(system, group)? != Some(there.gid) => {
                Some(shown(group, there.gid, |gid| system.accounts().group_name(gid))?)
            }
            _ => None,
        };
        let mode = self.mode.filter(|mode| mode.0 != there.mode).map(|_| Shown::text(Mode(there.mode)));
        Ok(Differing { owner, group, mode })
    }

    /// Adds a change for each that differs.
    pub(crate) fn compare(&self, differing: &Differing, changes: &mut Changes) {
        let mut add = |property, from: &Option<Shown>, to: Option<Shown>| {
            if let (Some(from), Some(to)) = (from, to) {
                changes.push(Change::new(property, from.clone(), to));
            }
        };
        add("owner", &differing.owner, self.owner.as_ref().map(Shown::text));
        add("group", &differing.group, self.group.as_ref().map(Shown::text));
        add("mode", &differing.mode, self.mode.map(Shown::text));
    }

    /// All that is declared, as numbers: setting one may undo another, as a new owner takes the set-user-ID bit away.
    ///
    /// # Errors
    /// Where a user or group is not there.
    pub(crate) fn attributes(&self, system: &dyn System) -> Result<Attributes> {
        let uid = match &self.owner {
            Some(name) => {
                Some(account_lookup::uid(system, name)?.ok_or_else(|| account_lookup::missing("user", name))?)
            }
            None => None,
        };
        let gid = match &self.group {
            Some(name) => {
                Some(account_lookup::gid(system, name)?.ok_or_else(|| account_lookup::missing("group", name))?)
            }
            None => None,
        };
        Ok(Attributes { uid, gid, mode: self.mode.map(|mode| mode.0) })
    }

    /// All that is declared, as properties.
    pub(crate) fn declared(&self) -> [(&'static str, Option<Value>); 3] {
        [
            ("owner", self.owner.as_ref().map(past::account)),
            ("group", self.group.as_ref().map(past::account)),
            ("mode", self.mode.map(|mode| mode.to_string().into())),
        ]
    }

    /// The users and groups that must be there.
    pub(crate) fn needs(&self) -> Vec<Key> {
        let name = |account: &Option<AccountName>| match account {
            Some(AccountName::Name(name)) => Some(name.clone()),
            _ => None,
        };
        name(&self.owner).map(Key::User).into_iter().chain(name(&self.group).map(Key::Group)).collect()
    }
}

/// Whether some of `changes` is about ownership.
pub(crate) fn is_changed(changes: &Changes) -> bool {
    ["owner", "group", "mode"].iter().any(|property| changes.has(property))
}

/// What is there, as a number beside a declared number, else by name where it has one.
fn shown(declared: &AccountName, id: u32, name: impl Fn(u32) -> Result<Option<String>>) -> Result<Shown> {
    Ok(match declared {
        AccountName::Id(_) => Shown::text(id),
        AccountName::Name(_) => name(id)?.map_or_else(|| Shown::text(id), Shown::text),
    })
}
