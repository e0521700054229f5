//! The users and groups of a machine in memory.

use converge_model::AbsPath;
use converge_model::error::Result;
use converge_model::system::Accounts;
use converge_model::system::accounts::{Group, GroupSettings, Password, User, UserSettings};
use converge_model::system::files::Attributes;

use super::{MemoryMachine, State};

impl State {
    /// Makes the home directory of a new user, where nothing is yet.
    fn make_home(&mut self, user: &User) -> Result<()> {
        let Ok(home) = user.home.parse::<AbsPath>() else { return Ok(()) };
        let mut missing = Vec::new();
        for path in std::iter::successors(Some(home.clone()), AbsPath::parent) {
            if self.tree.metadata("make the home directory", &path)?.is_some() {
                break;
            }
            missing.push(path);
        }
        for path in missing.into_iter().rev() {
            let owner = if path == home { (user.uid, user.gid) } else { (0, 0) };
            self.make_directory(&path, Attributes { uid: Some(owner.0), gid: Some(owner.1), mode: None })?;
        }
        Ok(())
    }

    /// What was `before`'s below its home becomes `after`'s.
    fn hand_over(&mut self, before: &User, after: &User) -> Result<()> {
        let Ok(home) = after.home.parse::<AbsPath>() else { return Ok(()) };
        for path in self.below(&home)? {
            let Some(metadata) = self.tree.metadata("hand over", &path)? else { continue };
            let uid = (metadata.uid == before.uid).then_some(after.uid);
            let gid = (metadata.gid == before.gid).then_some(after.gid);
            self.tree.set_attributes(&path, Attributes { uid, gid, mode: None })?;
        }
        Ok(())
    }
}

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
            self.state().make_home(&user)?;
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
            self.state().hand_over(&before, &after)?;
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
