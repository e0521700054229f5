//! Users and groups as they would be.

use converge_model::AbsPath;
use converge_model::error::Result;
use converge_model::system::Accounts;
use converge_model::system::accounts::{Group, GroupSettings, Password, User, UserSettings};

use super::Overlay;

/// Of a home directory with more files than this, it is not followed which of them are handed over.
const MOST_FILES: usize = 10_000;

impl Overlay<'_> {
    /// Says that something looked up is doubtful where it was not found.
    fn or_doubt<T>(&self, found: Option<T>) -> Option<T> {
        if found.is_none() {
            self.assumptions.doubt();
        }
        found
    }

    /// Carries out a change of accounts, in which users and groups that nobody knows are taken to come with what is
    /// opaque.
    fn change<T>(&self, change: impl FnOnce(&mut super::Roster<'_>) -> Result<T>) -> Result<T> {
        let mut roster = self.roster_mut();
        roster.trust(self.assumptions.is_opaque());
        let done = change(&mut roster)?;
        let conjured = roster.take_conjured();
        drop(roster);
        self.say_conjured(conjured);
        Ok(done)
    }

    fn say_conjured(&self, conjured: Vec<String>) {
        if let Some(causes) = self.assumptions.causes() {
            for account in conjured {
                self.assumptions.assume(format!("the {account} is taken to come with {causes}"));
            }
        }
    }
}

impl Accounts for Overlay<'_> {
    fn user(&self, name: &str) -> Result<Option<User>> {
        Ok(self.or_doubt(self.roster().user(name)?))
    }

    fn user_name(&self, uid: u32) -> Result<Option<String>> {
        self.roster().user_name(uid)
    }

    fn group(&self, name: &str) -> Result<Option<Group>> {
        Ok(self.or_doubt(self.roster().group(name)?))
    }

    fn group_name(&self, gid: u32) -> Result<Option<String>> {
        self.roster().group_name(gid)
    }

    fn supplementary_groups(&self, user: &str) -> Result<Vec<String>> {
        self.roster().supplementary_groups(user)
    }

    fn uid_of(&self, name: &str) -> Result<Option<u32>> {
        if let Some(user) = self.roster().user(name)? {
            return Ok(Some(user.uid));
        }
        self.change(|roster| roster.conjure_user(name))
    }

    fn gid_of(&self, name: &str) -> Result<Option<u32>> {
        if let Some(group) = self.roster().group(name)? {
            return Ok(Some(group.gid));
        }
        self.change(|roster| roster.conjure_group(name))
    }

    fn password(&self, user: &str) -> Result<Option<Password>> {
        self.roster().password(user)
    }

    fn add_user(&self, name: &str, settings: &UserSettings) -> Result<()> {
        let user = self.change(|roster| roster.add_user(name, settings))?;
        match user.home.parse::<AbsPath>() {
            Ok(home) if settings.manage_home => self.tree_mut().make_home(&home, user.uid, user.gid),
            _ => Ok(()),
        }
    }

    fn modify_user(&self, name: &str, settings: &UserSettings) -> Result<()> {
        let (before, after) = self.change(|roster| roster.modify_user(name, settings))?;
        let (Ok(from), Ok(to)) = (before.home.parse::<AbsPath>(), after.home.parse::<AbsPath>()) else { return Ok(()) };
        let mut tree = self.tree_mut();
        if settings.manage_home && from != to {
            tree.rename(&from, &to)?;
        }
        if before.uid != after.uid
            && !tree.hand_over(&to, (before.uid, before.gid), (after.uid, after.gid), MOST_FILES)?
        {
            self.assumptions.assume(format!("which files in {to} are handed over to {name} was not followed"));
        }
        Ok(())
    }

    fn remove_user(&self, name: &str, remove_home: bool) -> Result<()> {
        let user = self.change(|roster| roster.remove_user(name))?;
        if remove_home {
            for path in [user.home, format!("/var/mail/{name}")] {
                if let Ok(path) = path.parse::<AbsPath>() {
                    self.tree_mut().remove_tree(&path)?;
                }
            }
        }
        Ok(())
    }

    fn add_group(&self, name: &str, settings: &GroupSettings) -> Result<()> {
        self.change(|roster| roster.add_group(name, settings))
    }

    fn modify_group(&self, name: &str, settings: &GroupSettings) -> Result<()> {
        self.change(|roster| roster.modify_group(name, settings))
    }

    fn remove_group(&self, name: &str) -> Result<()> {
        self.change(|roster| roster.remove_group(name))
    }
}
