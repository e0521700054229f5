//! Users and groups: read from the files and the name service, changed by the tools of shadow-utils.

mod database;
mod name_service;
mod tables;
mod tools;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use converge_model::Cancel;
use converge_model::error::{Error, ErrorKind, Result};
use converge_model::property::check_account_name;
use converge_model::system::Accounts;
use converge_model::system::accounts::{Group, GroupSettings, Password, User, UserSettings};

pub(crate) use database::Database;
use tools::Tool;

/// How long a tool may take that changes a few lines.
const SHORT: Duration = Duration::from_secs(60);

/// How long a tool may take that moves or removes a home directory.
const LONG: Duration = Duration::from_secs(60 * 60);

/// The accounts of a real machine.
pub struct LinuxAccounts {
    database: Arc<Database>,
    root: PathBuf,
    cancel: Cancel,
}

impl LinuxAccounts {
    pub(super) fn new(database: Arc<Database>, root: PathBuf, cancel: Cancel) -> Self {
        Self { database, root, cancel }
    }

    /// Lets all accounts be looked at again, because something else may have changed them.
    pub fn invalidate(&self) {
        self.database.invalidate();
    }

    fn tool<'a>(&'a self, program: &'a str, operation: &'static str, subject: &'a str) -> Tool<'a> {
        Tool::new(&self.database, &self.root, &self.cancel, program, operation, subject)
    }

    /// Sets password and lock in one step, as one field of shadow(5).
    fn set_password(&self, name: &str, subject: &str, settings: &UserSettings) -> Result<()> {
        if settings.password.is_none() && settings.locked.is_none() {
            return Ok(());
        }
        let now = self.database.password(name)?;
        let field = password_field(now.as_ref(), settings).map_err(|cause| {
            Error::new(ErrorKind::Invalid, "set the password of", subject, cause)
                .with_hint("give the password's hash, as `mkpasswd` or `openssl passwd -6` prints it")
        })?;
        // On standard input, where no other process can see it.
        let line = format!("{name}:{field}\n");
        self.tool("chpasswd", "set the password of", subject).option("--encrypted").input(line.as_bytes()).run(SHORT)
    }

    fn set_members(&self, name: &str, subject: &str, members: &[String]) -> Result<()> {
        check_names(subject, members)?;
        let members = members.join(",");
        self.tool("gpasswd", "set the members of", subject).value("--members", &members).name(name).run(SHORT)
    }
}

/// The field of shadow(5) that `settings` ask for, where it was `now`.
///
/// Who was locked stays so, unless told otherwise; but who could not log in only for want of a password can, once there
/// is one.
fn password_field(now: Option<&Password>, settings: &UserSettings) -> Result<String, &'static str> {
    let known = now.map_or("", |password| password.hash.as_str());
    let hash = settings.password.as_deref().unwrap_or(known);
    if hash.contains([':', '\n', '\0']) {
        return Err("the hash holds a colon, a line break or a NUL");
    }
    let stays_locked =
        now.is_some_and(|password| password.locked) && (settings.password.is_none() || !known.is_empty());
    let locked = settings.locked.unwrap_or(stays_locked);
    match (locked, hash) {
        (false, "") => Err("it has no password; unlocked, it would let anybody in"),
        (false, hash) => Ok(hash.to_owned()),
        (true, hash) if hash.starts_with(['!', '*']) => Ok(hash.to_owned()),
        (true, hash) => Ok(format!("!{hash}")),
    }
}

fn check_names<'a>(subject: &str, names: impl IntoIterator<Item = &'a String>) -> Result<()> {
    names.into_iter().try_for_each(|name| {
        check_account_name(name).map_err(|cause| Error::new(ErrorKind::Invalid, "change", subject, cause))
    })
}

/// Options that useradd(8) and usermod(8) share.
fn shared_options<'a>(tool: Tool<'a>, settings: &'a UserSettings) -> Tool<'a> {
    tool.owned_value("--uid", settings.uid.map(|uid| uid.to_string()))
        .maybe("--gid", settings.group.as_deref())
        .owned_value("--groups", settings.groups.as_ref().map(|groups| groups.join(",")))
        .maybe("--comment", settings.comment.as_deref())
        .maybe("--shell", settings.shell.as_deref())
        // No date is how both write "never".
        .owned_value("--expiredate", settings.expires.map(|day| day.map(|day| day.to_string()).unwrap_or_default()))
}

impl Accounts for LinuxAccounts {
    fn user(&self, name: &str) -> Result<Option<User>> {
        self.database.user(name)
    }

    fn user_name(&self, uid: u32) -> Result<Option<String>> {
        Ok(self.database.user_numbered(uid)?.map(|user| user.name))
    }

    fn group(&self, name: &str) -> Result<Option<Group>> {
        self.database.group(name)
    }

    fn group_name(&self, gid: u32) -> Result<Option<String>> {
        Ok(self.database.group_numbered(gid)?.map(|group| group.name))
    }

    fn supplementary_groups(&self, user: &str) -> Result<Vec<String>> {
        self.database.groups_of(user)
    }

    fn password(&self, user: &str) -> Result<Option<Password>> {
        self.database.password(user)
    }

    fn add_user(&self, name: &str, settings: &UserSettings) -> Result<()> {
        let subject = format!("user {name}");
        check_names(&subject, [&name.to_owned()].into_iter().chain(settings.groups.iter().flatten()))?;
        let mut tool = shared_options(self.tool("useradd", "add", &subject), settings)
            .maybe("--home-dir", settings.home.as_deref())
            .option(if settings.manage_home { "--create-home" } else { "--no-create-home" });
        if settings.system {
            tool = tool.option("--system");
        }
        // useradd makes a group of the user's name, and refuses where there is one.
        if settings.group.is_none() && self.database.group(name)?.is_some() {
            tool = tool.value("--gid", name);
        }
        tool.name(name).run(SHORT)?;
        self.set_password(name, &subject, settings)
    }

    fn modify_user(&self, name: &str, settings: &UserSettings) -> Result<()> {
        let subject = format!("user {name}");
        check_names(&subject, [&name.to_owned()].into_iter().chain(settings.groups.iter().flatten()))?;
        if !self.database.is_local_user(name)? {
            return Err(not_local("change", &subject));
        }
        let mut tool = shared_options(self.tool("usermod", "change", &subject), settings)
            .maybe("--home", settings.home.as_deref());
        if settings.manage_home && settings.home.is_some() {
            tool = tool.option("--move-home");
        }
        if tool.has_options() {
            tool.name(name).run(if settings.manage_home || settings.uid.is_some() { LONG } else { SHORT })?;
        }
        self.set_password(name, &subject, settings)
    }

    fn remove_user(&self, name: &str, remove_home: bool) -> Result<()> {
        let subject = format!("user {name}");
        check_names(&subject, [&name.to_owned()])?;
        if !self.database.is_local_user(name)? {
            return Err(not_local("remove", &subject));
        }
        let tool = self.tool("userdel", "remove", &subject);
        let tool = if remove_home { tool.option("--remove") } else { tool };
        tool.name(name).run(LONG)
    }

    fn add_group(&self, name: &str, settings: &GroupSettings) -> Result<()> {
        let subject = format!("group {name}");
        check_names(&subject, [&name.to_owned()].into_iter().chain(settings.members.iter().flatten()))?;
        let tool = self.tool("groupadd", "add", &subject).owned_value("--gid", settings.gid.map(|gid| gid.to_string()));
        let tool = if settings.system { tool.option("--system") } else { tool };
        tool.name(name).run(SHORT)?;
        match settings.members.as_deref() {
            Some(members) if !members.is_empty() => self.set_members(name, &subject, members),
            _ => Ok(()),
        }
    }

    fn modify_group(&self, name: &str, settings: &GroupSettings) -> Result<()> {
        let subject = format!("group {name}");
        check_names(&subject, [&name.to_owned()].into_iter().chain(settings.members.iter().flatten()))?;
        if let Some(gid) = settings.gid {
            self.tool("groupmod", "change", &subject)
                .owned_value("--gid", Some(gid.to_string()))
                .name(name)
                .run(SHORT)?;
        }
        match settings.members.as_deref() {
            Some(members) => self.set_members(name, &subject, members),
            None => Ok(()),
        }
    }

    fn remove_group(&self, name: &str) -> Result<()> {
        let subject = format!("group {name}");
        check_names(&subject, [&name.to_owned()])?;
        if let Some(group) = self.database.group(name)?
            && let Some(user) = self.database.users_with_primary_group(group.gid)?.first()
        {
            return Err(Error::new(
                ErrorKind::Busy,
                "remove",
                &subject,
                format!("it is the primary group of user {user}"),
            )
            .with_hint("remove that user first, or give it another primary group"));
        }
        self.tool("groupdel", "remove", &subject).name(name).run(SHORT)
    }
}

fn not_local(operation: &str, subject: &str) -> Error {
    Error::new(ErrorKind::NotFound, operation, subject, "it is not in /etc/passwd")
        .with_hint("a user of a directory (LDAP, sssd) is changed there")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_and_its_lock_are_one_field() {
        let now = |hash: &str, locked| Some(Password { hash: hash.to_owned(), locked, expires: None });
        let none = None::<Password>;
        for (now, password, locked, field) in [
            (&none, Some("$6$a"), None, Ok("$6$a")),
            (&none, Some("$6$a"), Some(true), Ok("!$6$a")),
            (&none, None, Some(true), Ok("!")),
            (&none, None, Some(false), Err("let anybody in")),
            (&now("$6$a", false), None, Some(true), Ok("!$6$a")),
            (&now("$6$a", true), None, Some(false), Ok("$6$a")),
            (&now("$6$a", true), Some("$6$b"), None, Ok("!$6$b")),
            (&now("", true), Some("$6$b"), None, Ok("$6$b")),
            (&none, Some("*"), Some(true), Ok("*")),
            (&none, Some("a:b"), None, Err("colon")),
            (&none, Some("a\nroot:x"), None, Err("line break")),
        ] {
            let settings = UserSettings { password: password.map(str::to_owned), locked, ..UserSettings::default() };
            match (password_field(now.as_ref(), &settings), field) {
                (Ok(found), Ok(field)) => assert_eq!(found, field),
                (Err(cause), Err(part)) => assert!(cause.contains(part), "{cause}"),
                (found, field) => panic!("{found:?} instead of {field:?}"),
            }
        }
    }
}
