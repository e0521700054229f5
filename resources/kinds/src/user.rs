//! `user`: a user of the machine, its password, groups, home directory and keys.

use converge_model::system::accounts::{Password, User, UserSettings};
use converge_model::system::files::FileType;
use converge_model::{
    AccountName, AnyResource, Change, Changes, Error, ErrorKind, Footprint, Image, Images, Keeper, Key, Kind,
    KindSchema, Properties, Resource, ResourceSpec, Result, Shown, System, Value, property,
};

use crate::account_property::{AccountNames, AccountNumber, PasswdPath, PasswdText};
use crate::authorized_keys::{self, AuthorizedKeys};
use crate::day::Expiry;
use crate::ensure::{self, Ensure};
use crate::membership::{self, Membership};
use crate::password_hash::PasswordHash;
use crate::past::{self, Past};
use crate::{account_lookup, home_directory};

/// The row of the registry. The home directory of a user that left the policy stays, whatever was declared of it.
pub(crate) const KIND: Kind = Kind { schema, build, removal: |spec| Some(ensure::absent(spec, &[])) };

converge_model::properties! {
    /// What a user takes.
    pub(crate) struct UserProperties {
        /// Whether the user is there.
        pub ensure: Ensure = Ensure::Present,
        /// Its number. Without it, a new user gets the next free one.
        pub uid: Option<AccountNumber>,
        /// The primary group, by name or number. Without it, a new user gets the group of its own name, which is made where
        /// it is missing, if the distribution does that.
        pub group: Option<AccountName>,
        /// The supplementary groups, by name. They must be there.
        pub groups: Option<AccountNames>,
        /// What becomes of other supplementary groups: with `add` they stay, with `exact` they go.
        pub groups_mode: Membership = Membership::Add,
        /// The home directory as passwd(5) has it. It need not exist.
        pub home: Option<PasswdPath>,
        /// Make the home directory where it is missing: for a new user with what /etc/skel holds, else empty.
        pub create_home: bool = false,
        /// Where `home` differs, move what is in the old home directory to the new one.
        pub move_home: bool = false,
        /// The login shell, an absolute path.
        pub shell: Option<PasswdPath>,
        /// The comment field: the full name.
        pub comment: Option<PasswdText>,
        /// The hash of the password, as crypt(5) writes it and `mkpasswd` makes it, or "*" for no password. Plain text is
        /// refused.
        #[sensitive = true]
        pub password: Option<PasswordHash>,
        /// Whether login by password is locked. Keys still open the door.
        pub locked: Option<bool>,
        /// The first day on which the account cannot be used, as "YYYY-MM-DD", or "never".
        pub expires: Option<Expiry>,
        /// Whether a new user gets its number from the system's range.
        pub system: bool = false,
        /// The lines of ~/.ssh/authorized_keys: these and no others. The home directory must be there.
        pub authorized_keys: Option<AuthorizedKeys>,
        /// With `ensure = "absent"`: remove the home directory, if it belongs to the user, and the mail.
        pub remove_home: bool = false,
    }
    rules { unlocks_a_password(locked, password) }
    rules with name { spares_root(ensure, uid) }
}

fn unlocks_a_password(locked: &Option<bool>, password: &Option<PasswordHash>) -> std::result::Result<(), String> {
    if password.as_ref().is_some_and(PasswordHash::is_none) && *locked == Some(false) {
        return Err("`locked = false` needs a password; this one is none".to_owned());
    }
    Ok(())
}

fn spares_root(name: &str, ensure: &Ensure, uid: &Option<AccountNumber>) -> std::result::Result<(), String> {
    if *ensure == Ensure::Absent && (name == "root" || *uid == Some(AccountNumber(0))) {
        return Err("root cannot be removed".to_owned());
    }
    Ok(())
}

fn schema() -> KindSchema {
    KindSchema {
        name: "user",
        doc: "A user. The name is the login name.\n\n\
              What is not declared is not managed, and is for a new user what useradd(8) makes it.",
        names: converge_model::schema::NameSchema {
            what: "user name",
            check: property::check_account_name,
            is_path: false,
        },
        properties: UserProperties::schema(),
        judge: UserProperties::judge,
        actions: &[],
        example: r#"[group.developers]

[user.alice]
comment = "Alice Example"
groups = ["developers"]
shell = "/bin/bash"
create_home = true
password = "*"
authorized_keys = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1fP0c0yR6vV0K5k8m0m4v5b0Hq2o2Yy3mE1m0x7Qdr alice@laptop",
]

[user.mallory]
ensure = "absent"
remove_home = true
"#,
    }
}

fn build(spec: &ResourceSpec<'_>) -> Result<Box<dyn AnyResource>> {
    let name = spec.id.name();
    property::check_account_name(name).map_err(|cause| spec.invalid(cause))?;
    let properties: UserProperties = spec.decode()?;
    Ok(Box::new(UserResource { name: name.to_owned(), properties }))
}

struct UserResource {
    name: String,
    properties: UserProperties,
}

/// What is there of the user.
struct State {
    user: Option<User>,
    /// The name of its primary group, or its number.
    group: Option<String>,
    /// Whether that is the declared one.
    group_is_right: bool,
    /// Its supplementary groups.
    groups: Vec<String>,
    password: Option<Password>,
    /// What is where the home directory belongs; only where it is to be made.
    home: Option<FileType>,
    keys: authorized_keys::Observed,
}

impl UserResource {
    fn image<const N: usize>(&self, properties: [(&str, Option<Value>); N]) -> Option<Image> {
        Image::new("user", &self.name, properties)
    }

    /// What brings back a user that is to be removed, but for what only it could give back.
    fn removed(&self, system: &dyn System, user: &User, past: &mut Past<'_>) -> Result<()> {
        let accounts = system.accounts();
        let own_group = accounts.group_name(user.gid)?.filter(|group| *group == self.name);
        if own_group.is_some() {
            let image = |gid, ensure| Image::new("group", &self.name, [("ensure", ensure), ("gid", gid)]);
            past.images.push(image(past::number(user.gid), None), image(None, past::absent()));
        }
        let before = self.image([
            ("uid", past::number(user.uid)),
            ("group", own_group.map(Value::from).or_else(|| past::number(user.gid))),
            ("groups", Some(accounts.supplementary_groups(&self.name)?.into())),
            ("home", Some(user.home.clone().into())),
            ("shell", Some(user.shell.clone().into()).filter(|_| !user.shell.is_empty())),
            ("comment", Some(user.comment.clone().into())),
        ]);
        past.images.push(before, self.image([("ensure", past::absent())]));
        past.lost(format!("the password of {} is not put back", self.name));
        if self.properties.remove_home {
            past.lost(format!("what was in the home directory {} is not put back", user.home));
        }
        Ok(())
    }

    fn properties_before(&self, state: &State, user: &User) -> [(&'static str, Option<Value>); 8] {
        let password = state.password.as_ref();
        [
            ("uid", past::number(user.uid)),
            ("group", past::number(user.gid)),
            ("groups", Some(state.groups.clone().into())),
            ("home", Some(user.home.clone().into())),
            ("shell", Some(user.shell.clone().into()).filter(|_| !user.shell.is_empty())),
            ("comment", Some(user.comment.clone().into())),
            ("locked", password.map(|password| password.locked.into())),
            ("expires", password.map(|password| Expiry(password.expires).to_string().into())),
        ]
    }

    fn properties_after(&self) -> [(&'static str, Option<Value>); 8] {
        let properties = &self.properties;
        [
            ("uid", properties.uid.and_then(|uid| past::number(uid.0))),
            ("group", properties.group.as_ref().map(past::account)),
            ("groups", properties.groups.as_ref().map(|groups| groups.to_vec().into())),
            ("home", properties.home.as_ref().map(|home| home.to_string().into())),
            ("shell", properties.shell.as_ref().map(|shell| shell.to_string().into())),
            ("comment", properties.comment.as_deref().map(|comment| comment.clone().into())),
            ("locked", properties.locked.map(Value::from)),
            ("expires", properties.expires.map(|expires| expires.to_string().into())),
        ]
    }

    fn has_secrets(&self) -> bool {
        self.properties.password.is_some() || self.properties.locked.is_some() || self.properties.expires.is_some()
    }

    /// The supplementary groups that are declared, without the primary one: having that twice changes nothing.
    fn declared_groups(&self, primary: Option<&str>) -> Option<Vec<String>> {
        let groups = self.properties.groups.as_ref()?;
        Some(groups.iter().filter(|group| Some(group.as_str()) != primary).cloned().collect())
    }

    fn observe_user(&self, system: &dyn System, user: User) -> Result<State> {
        let accounts = system.accounts();
        let group_is_right = match &self.properties.group {
            Some(group) => account_lookup::gid(system, group)? == Some(user.gid),
            None => true,
        };
        let group = match (&self.properties.group, self.properties.groups.is_some() || !group_is_right) {
            (Some(AccountName::Id(_)), _) if !group_is_right => Some(user.gid.to_string()),
            (_, true) => Some(accounts.group_name(user.gid)?.unwrap_or_else(|| user.gid.to_string())),
            _ => None,
        };
        let groups = match self.properties.groups {
            Some(_) => accounts.supplementary_groups(&self.name)?,
            None => Vec::new(),
        };
        let password = if self.has_secrets() { accounts.password(&self.name)? } else { None };
        let home = if self.properties.create_home {
            home_directory::observe(system, &user, self.properties.home.as_deref())?
        } else {
            None
        };
        let keys = match &self.properties.authorized_keys {
            Some(keys) => keys.observe(system, &user)?,
            None => authorized_keys::Observed::nothing(),
        };
        Ok(State { user: Some(user), group, group_is_right, groups, password, home, keys })
    }

    fn compare_account(&self, state: &State, changes: &mut Changes) {
        let (properties, user) = (&self.properties, state.user.as_ref());
        if let Some(uid) = properties.uid {
            changes.compare("uid", user.map(|user| user.uid), uid.0);
        }
        if let (Some(group), false) = (&properties.group, state.group_is_right) {
            changes.push(Change::new("group", Shown::maybe(state.group.as_ref()), Shown::text(group)));
        }
        if let Some(declared) = self.declared_groups(state.group.as_deref()) {
            let observed = user.map(|_| state.groups.as_slice());
            membership::compare("groups", observed, &declared, properties.groups_mode, changes);
        }
        if let Some(home) = &properties.home {
            changes.compare("home", user.map(|user| &user.home), &**home);
        }
        if let Some(shell) = &properties.shell {
            changes.compare("shell", user.map(|user| &user.shell), &**shell);
        }
        if let Some(comment) = &properties.comment {
            changes.compare("comment", user.map(|user| &user.comment), &**comment);
        }
    }

    fn compare_secrets(&self, state: &State, changes: &mut Changes) {
        let (properties, password) = (&self.properties, state.password.as_ref());
        if let Some(hash) = &properties.password
            && !password.is_some_and(|password| hash.is(password))
        {
            let from = if password.is_some() { Shown::Sensitive } else { Shown::Absent };
            changes.push(Change::new("password", from, Shown::Sensitive));
        }
        if let Some(locked) = properties.locked {
            changes.compare("locked", password.map(|password| password.locked), locked);
        }
        if let Some(expires) = properties.expires {
            changes.compare("expires", password.map(|password| Expiry(password.expires)), expires);
        }
    }

    /// The settings that differ.
    fn settings(&self, system: &dyn System, state: &State, changes: &Changes) -> Result<UserSettings> {
        let (properties, accounts) = (&self.properties, system.accounts());
        let group = match &properties.group {
            Some(name) if changes.has("group") => {
                account_lookup::gid(system, name)?.ok_or_else(|| account_lookup::missing("group", name))?;
                Some(name.to_string())
            }
            // Without being told, useradd would not take the group of that name that is there already.
            None if state.user.is_none() && accounts.group(&self.name)?.is_some() => Some(self.name.clone()),
            _ => None,
        };
        let groups = match self.declared_groups(state.group.as_deref()) {
            Some(declared) if changes.has("groups") => {
                for group in &declared {
                    accounts.gid_of(group)?.ok_or_else(|| account_lookup::missing("group", group))?;
                }
                Some(membership::wanted(&state.groups, &declared, properties.groups_mode))
            }
            _ => None,
        };
        let text = |property: &str, value: Option<String>| value.filter(|_| changes.has(property));
        Ok(UserSettings {
            uid: properties.uid.filter(|_| changes.has("uid")).map(|uid| uid.0),
            group,
            groups,
            comment: text("comment", properties.comment.as_deref().cloned()),
            home: text("home", properties.home.as_deref().map(ToString::to_string)),
            manage_home: if state.user.is_some() { properties.move_home } else { properties.create_home },
            shell: text("shell", properties.shell.as_deref().map(ToString::to_string)),
            password: text("password", properties.password.as_ref().map(|hash| hash.secret().to_owned())),
            locked: self.lock(state, changes)?,
            expires: properties.expires.filter(|_| changes.has("expires")).map(|expires| expires.0),
            system: properties.system,
        })
    }

    /// Whether to lock or unlock. A new hash opens what an administrator locked, unless that is said again.
    fn lock(&self, state: &State, changes: &Changes) -> Result<Option<bool>> {
        let old = state.password.as_ref();
        let locked_by_hand = old.is_some_and(|password| password.locked && !password.hash.is_empty());
        let hash = self.properties.password.as_ref().filter(|hash| !hash.is_none());
        match self.properties.locked {
            Some(false) if hash.is_none() && old.is_none_or(|password| password.hash.is_empty()) => {
                let cause = "it has no password, and unlocked it could be used without one";
                Err(Error::new(ErrorKind::Invalid, "unlock", format!("the user {}", self.name), cause)
                    .with_hint("declare `password`, or leave out `locked`"))
            }
            Some(locked) => Ok((changes.has("locked") || changes.has("password")).then_some(locked)),
            None => Ok((changes.has("password") && hash.is_some() && locked_by_hand).then_some(true)),
        }
    }

    fn remove(&self, system: &dyn System, state: &State) -> Result<()> {
        // Without the user, nobody could tell any more whose home it was: a run that was cut off between the two would
        // leave it behind.
        let remove_home = match &state.user {
            Some(user) if self.properties.remove_home => home_directory::remove(system, user)?,
            _ => false,
        };
        system.accounts().remove_user(&self.name, remove_home)
    }
}

impl Resource for UserResource {
    type State = State;

    fn observe(&self, system: &dyn System) -> Result<State> {
        match system.accounts().user(&self.name)? {
            Some(user) if self.properties.ensure == Ensure::Present => self.observe_user(system, user),
            user => Ok(State {
                user,
                group: None,
                group_is_right: self.properties.group.is_none(),
                groups: Vec::new(),
                password: None,
                home: None,
                keys: authorized_keys::Observed::nothing(),
            }),
        }
    }

    fn diff(&self, state: &State) -> Changes {
        let mut changes = Changes::none();
        match (self.properties.ensure, &state.user) {
            (Ensure::Absent, None) => return changes,
            (Ensure::Absent, Some(_)) => {
                changes.push(ensure::removed("present"));
                return changes;
            }
            (Ensure::Present, None) => changes.push(ensure::created()),
            (Ensure::Present, Some(_)) => {}
        }
        self.compare_account(state, &mut changes);
        self.compare_secrets(state, &mut changes);
        if self.properties.create_home && !state.home.is_some_and(home_directory::is_one) {
            let from = state.home.map(FileType::words);
            changes.push(Change::new("create_home", Shown::maybe(from), Shown::text(FileType::Directory.words())));
        }
        if let Some(keys) = &self.properties.authorized_keys {
            keys.compare(&state.keys, &mut changes);
        }
        changes
    }

    fn apply(&self, system: &dyn System, state: &State, changes: &Changes) -> Result<()> {
        let (properties, accounts) = (&self.properties, system.accounts());
        if properties.ensure == Ensure::Absent {
            return self.remove(system, state);
        }
        let settings = self.settings(system, state, changes)?;
        if state.user.is_none() {
            accounts.add_user(&self.name, &settings)?;
        } else if changes.iter().any(|change| !matches!(change.property.as_str(), "create_home" | "authorized_keys")) {
            accounts.modify_user(&self.name, &settings)?;
        }
        // What follows needs its numbers and its home directory, as they are now.
        let user = accounts.user(&self.name)?.ok_or_else(|| account_lookup::missing("user", &self.name))?;
        if properties.create_home {
            home_directory::make(system, &user, properties.home.as_deref())?;
        }
        match &properties.authorized_keys {
            Some(keys) => keys.apply(system, &user),
            None => Ok(()),
        }
    }

    fn images(&self, system: &dyn System, state: &State, changes: &Changes, keeper: &dyn Keeper) -> Result<Images> {
        let mut past = Past::new(system, keeper);
        match (&state.user, self.properties.ensure) {
            (None, _) => {
                past.images.push(self.image([("ensure", past::absent())]), self.image([]));
                past.lost(format!("the home directory of {} stays, where one was made with it", self.name));
            }
            (Some(user), Ensure::Absent) => self.removed(system, user, &mut past)?,
            (Some(user), Ensure::Present) => {
                let touched =
                    |(name, value): (&'static str, Option<Value>)| (name, value.filter(|_| changes.has(name)));
                let (before, after) = (self.properties_before(state, user), self.properties_after());
                if before.iter().any(|(name, _)| changes.has(name)) {
                    let exact = Some(Membership::Exact.word().into()).filter(|_| changes.has("groups"));
                    let mut before = self.image(before.map(touched));
                    if let (Some(image), Some(exact)) = (&mut before, exact) {
                        image.properties.insert("groups_mode".to_owned(), exact);
                    }
                    past.images.push(before, self.image(after.map(touched)));
                }
                if changes.has("password") {
                    past.lost(format!("the password that {} had is not kept", self.name));
                }
                if changes.has("create_home") {
                    past.lost(format!("the home directory that was made for {} stays", self.name));
                }
                if let Some(keys) = self.properties.authorized_keys.as_ref().filter(|_| changes.has("authorized_keys"))
                {
                    keys.images(user, &state.keys, &mut past)?;
                }
            }
        }
        Ok(past.images)
    }

    fn footprint(&self) -> Footprint {
        let properties = &self.properties;
        let mut footprint = Footprint { gives: vec![Key::User(self.name.clone())], needs: Vec::new() };
        if properties.ensure == Ensure::Absent {
            return footprint;
        }
        match &properties.group {
            Some(AccountName::Name(group)) => footprint.needs.push(Key::Group(group.clone())),
            Some(AccountName::Id(_)) => {}
            None => footprint.gives.push(Key::Group(self.name.clone())),
        }
        footprint.needs.extend(properties.groups.iter().flat_map(|names| names.iter()).cloned().map(Key::Group));
        if let (Some(home), true) = (&properties.home, properties.create_home) {
            footprint.gives.push(Key::Path((**home).clone()));
            footprint.needs.extend(home.parent().map(Key::Path));
        }
        footprint
    }
}

#[cfg(test)]
mod tests {
    use converge_model::{ByName, Value};

    use super::*;

    fn resource(properties: &[(&str, Value)]) -> UserResource {
        let values: ByName<Value> =
            properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let properties = UserProperties::decode("alice", &values).unwrap();
        UserResource { name: "alice".into(), properties }
    }

    fn alice(password: Option<Password>) -> State {
        let user = User {
            name: "alice".into(),
            uid: 1000,
            gid: 1000,
            comment: "Alice".into(),
            home: "/home/alice".into(),
            shell: "/bin/sh".into(),
        };
        State {
            user: Some(user),
            group: Some("alice".into()),
            group_is_right: true,
            groups: vec!["adm".into(), "www".into()],
            password,
            home: Some(FileType::Directory),
            keys: authorized_keys::Observed::nothing(),
        }
    }

    #[test]
    fn a_user_differs_only_in_what_is_declared() {
        const HASH: &str =
            "$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy";
        let password = |hash: &str, locked, expires| Some(Password { hash: hash.into(), locked, expires });
        let groups = |names: &[&str]| Value::from(names.to_vec());
        for (properties, password, shown) in [
            (vec![], None, ""),
            (vec![("uid", Value::Integer(1001))], None, "uid: 1000 → 1001"),
            (vec![("comment", "Alice".into()), ("shell", "/bin/bash".into())], None, "shell: /bin/sh → /bin/bash"),
            (vec![("groups", groups(&["www"]))], None, ""),
            (
                vec![("groups", groups(&["www", "alice"])), ("groups_mode", "exact".into())],
                None,
                "groups: adm, www → www",
            ),
            (vec![("password", HASH.into())], password(HASH, true, None), ""),
            (vec![("password", HASH.into())], password("x", false, None), "password: (sensitive) → (sensitive)"),
            (vec![("password", HASH.into())], None, "password: absent → (sensitive)"),
            (vec![("password", "*".into())], password("", true, None), ""),
            (vec![("locked", true.into())], password(HASH, false, None), "locked: false → true"),
            (vec![("expires", "1970-01-11".into())], password(HASH, false, None), "expires: never → 1970-01-11"),
            (vec![("expires", "never".into())], password(HASH, false, Some(10)), "expires: 1970-01-11 → never"),
            (vec![("create_home", true.into())], None, ""),
        ] {
            let changes = resource(&properties).diff(&alice(password));
            let text = |change: &Change| format!("{}: {} → {}", change.property, change.from, change.to);
            assert_eq!(changes.iter().map(text).collect::<Vec<_>>().join(", "), shown, "{properties:?}");
        }
    }
}
