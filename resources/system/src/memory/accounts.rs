//! The users and groups of a machine in memory.

use converge_model::AbsPath;
use converge_model::error::Result;
use converge_model::system::Accounts;
use converge_model::system::accounts::{Group, GroupSettings, Password, User, UserSettings};

use super::MemoryMachine;

/// No home directory of a test is larger.
const MOST_FILES: usize = 100_000;

impl Accounts for MemoryMachine {
    fn user(&self, name: &str) -> Result<Option<User>> {
        self.operation("look up", format!("user {name}"))?;
        self.state().roster.user(name)
    }

    fn user_name(&self, uid: u32) -> Result<Option<String>> {
        self.operation("look up", format!("user {uid}"))?;
        self.state().roster.user_name(uid)
    }

    fn group(&self, name: &str) -> Result<Option<Group>> {
        self.operation("look up", format!("group {name}"))?;
        self.state().roster.group(name)
    }

    fn group_name(&self, gid: u32) -> Result<Option<String>> {
        self.operation("look up", format!("group {gid}"))?;
        self.state().roster.group_name(gid)
    }

    fn supplementary_groups(&self, user: &str) -> Result<Vec<String>> {
        self.operation("look up", format!("groups of user {user}"))?;
        self.state().roster.supplementary_groups(user)
    }

    fn password(&self, user: &str) -> Result<Option<Password>> {
        self.operation("look up", format!("password of user {user}"))?;
        self.state().roster.password(user)
    }

    fn add_user(&self, name: &str, settings: &UserSettings) -> Result<()> {
        self.operation("add", format!("user {name}"))?;
        let user = self.state().roster.add_user(name, settings)?;
        if settings.manage_home {
            self.operation("make", format!("home directory of user {name}"))?;
            if let Ok(home) = user.home.parse() {
                self.state().tree.make_home(&home, user.uid, user.gid)?;
            }
        }
        Ok(())
    }

    fn modify_user(&self, name: &str, settings: &UserSettings) -> Result<()> {
        self.operation("modify", format!("user {name}"))?;
        let (before, after) = self.state().roster.modify_user(name, settings)?;
        if settings.manage_home && before.home != after.home {
            self.operation("move", format!("home directory of user {name}"))?;
            let (Ok(from), Ok(to)) = (before.home.parse::<AbsPath>(), after.home.parse::<AbsPath>()) else {
                return Ok(());
            };
            self.state().tree.rename(&from, &to)?;
        }
        if before.uid != after.uid {
            self.operation("hand over", format!("home directory of user {name}"))?;
            if let Ok(home) = after.home.parse() {
                let (from, to) = ((before.uid, before.gid), (after.uid, after.gid));
                self.state().tree.hand_over(&home, from, to, MOST_FILES)?;
            }
        }
        Ok(())
    }

    fn remove_user(&self, name: &str, remove_home: bool) -> Result<()> {
        self.operation("remove", format!("user {name}"))?;
        let user = self.state().roster.remove_user(name)?;
        if remove_home {
            self.operation("remove", format!("home directory of user {name}"))?;
            let mail = format!("/var/mail/{name}");
            for path in [user.home.as_str(), mail.as_str()] {
                if let Ok(path) = path.parse::<AbsPath>() {
                    self.state().tree.remove_tree(&path)?;
                }
            }
        }
        Ok(())
    }

    fn add_group(&self, name: &str, settings: &GroupSettings) -> Result<()> {
        self.operation("add", format!("group {name}"))?;
        self.state().roster.add_group(name, settings)
    }

    fn modify_group(&self, name: &str, settings: &GroupSettings) -> Result<()> {
        self.operation("modify", format!("group {name}"))?;
        self.state().roster.modify_group(name, settings)
    }

    fn remove_group(&self, name: &str) -> Result<()> {
        self.operation("remove", format!("group {name}"))?;
        self.state().roster.remove_group(name)
    }
}
