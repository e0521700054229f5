//! `group`: a group of users.

use converge_model::system::accounts::{Group, GroupSettings};
use converge_model::{
    AnyResource, Changes, Error, ErrorKind, Footprint, Image, Images, Keeper, Key, Kind, KindSchema, Properties,
    Resource, ResourceSpec, Result, System, Value, property,
};

use crate::account_property::{AccountNames, AccountNumber};
use crate::ensure::{self, Ensure};
use crate::membership::{self, Membership};
use crate::past;

/// The row of the registry.
pub(crate) const KIND: Kind = Kind { schema, build, removal: |spec| Some(ensure::absent(spec, &[])) };

converge_model::properties! {
    /// What a group takes.
    pub(crate) struct GroupProperties {
        /// Whether the group is there.
        pub ensure: Ensure = Ensure::Present,
        /// Its number. Without it, a new group gets the next free one. Files of a group whose number changes keep the old one.
        pub gid: Option<AccountNumber>,
        /// The users that have it as a supplementary group, by name. They must be there. Say it here, or by a user's
        /// `groups`, not both: each would wait for the other.
        pub members: Option<AccountNames>,
        /// What becomes of other members: with `add` they stay, with `exact` they go.
        pub members_mode: Membership = Membership::Add,
        /// Whether a new group gets its number from the system's range.
        pub system: bool = false,
    }
}

fn schema() -> KindSchema {
    KindSchema {
        name: "group",
        doc: "A group of users. The name is the group's name.",
        names: converge_model::schema::NameSchema {
            what: "group name",
            check: property::check_account_name,
            is_path: false,
        },
        properties: GroupProperties::schema(),
        judge: GroupProperties::judge,
        actions: &[],
        example: r#"[group.deploy]
system = true

[group.adm]
members = ["syslog"]
members_mode = "exact"
"#,
    }
}

fn build(spec: &ResourceSpec<'_>) -> Result<Box<dyn AnyResource>> {
    let name = spec.id.name();
    property::check_account_name(name).map_err(|cause| spec.invalid(cause))?;
    let properties: GroupProperties = spec.decode()?;
    Ok(Box::new(GroupResource { name: name.to_owned(), properties }))
}

struct GroupResource {
    name: String,
    properties: GroupProperties,
}

impl GroupResource {
    /// All members there should be, where they are declared.
    fn members(&self, group: Option<&Group>) -> Option<Vec<String>> {
        let observed = group.map(|group| group.members.as_slice()).unwrap_or_default();
        let declared = self.properties.members.as_ref()?;
        Some(membership::wanted(observed, declared, self.properties.members_mode))
    }

    fn check_members(&self, system: &dyn System, members: &[String]) -> Result<()> {
        for member in members {
            if system.accounts().uid_of(member)?.is_none() {
                let subject = format!("the members of the group {}", self.name);
                return Err(Error::new(ErrorKind::NotFound, "set", subject, format!("there is no user {member}"))
                    .with_hint(format!("declare `user[{member}]` before it, or mend the name")));
            }
        }
        Ok(())
    }
}

impl Resource for GroupResource {
    type State = Option<Group>;

    fn observe(&self, system: &dyn System) -> Result<Option<Group>> {
        system.accounts().group(&self.name)
    }

    fn diff(&self, group: &Option<Group>) -> Changes {
        let mut changes = Changes::none();
        match (self.properties.ensure, group) {
            (Ensure::Absent, None) => return changes,
            (Ensure::Absent, Some(_)) => {
                changes.push(ensure::removed("present"));
                return changes;
            }
            (Ensure::Present, None) => changes.push(ensure::created()),
            (Ensure::Present, Some(_)) => {}
        }
        if let Some(gid) = self.properties.gid {
            changes.compare("gid", group.as_ref().map(|group| group.gid), gid.0);
        }
        if let Some(members) = &self.properties.members {
            let observed = group.as_ref().map(|group| group.members.as_slice());
            membership::compare("members", observed, members, self.properties.members_mode, &mut changes);
        }
        changes
    }

    fn apply(&self, system: &dyn System, group: &Option<Group>, changes: &Changes) -> Result<()> {
        let accounts = system.accounts();
        if self.properties.ensure == Ensure::Absent {
            // A user that was removed meanwhile took its own group along.
            if accounts.group(&self.name)?.is_none() {
                return Ok(());
            }
            return accounts.remove_group(&self.name);
        }
        let members = self.members(group.as_ref()).filter(|_| changes.has("members"));
        self.check_members(system, members.as_deref().unwrap_or_default())?;
        let settings = GroupSettings {
            gid: self.properties.gid.filter(|_| changes.has("gid")).map(|gid| gid.0),
            members,
            system: self.properties.system,
        };
        match group {
            None => accounts.add_group(&self.name, &settings),
            Some(_) => accounts.modify_group(&self.name, &settings),
        }
    }

    fn images(&self, _: &dyn System, group: &Option<Group>, changes: &Changes, _: &dyn Keeper) -> Result<Images> {
        let image = |properties| Image::new("group", &self.name, properties);
        let number = |gid: u32| Value::Integer(i64::from(gid));
        let nothing = || image([("ensure", past::absent()), ("gid", None), ("members", None), ("members_mode", None)]);
        let is_removed = self.properties.ensure == Ensure::Absent;
        let touched = |property: &str| is_removed || changes.has(property);
        let exact = || Some(Value::from(Membership::Exact.word())).filter(|_| touched("members"));
        let declared = || {
            let members = self.members(group.as_ref()).filter(|_| touched("members"));
            let gid = self.properties.gid.filter(|_| touched("gid")).map(|gid| number(gid.0));
            image([("ensure", None), ("gid", gid), ("members", members.map(Value::from)), ("members_mode", exact())])
        };
        let Some(there) = group else { return Ok(Images::of(nothing(), declared())) };
        let before = image([
            ("ensure", None),
            ("gid", Some(number(there.gid)).filter(|_| touched("gid"))),
            ("members", Some(Value::from(there.members.clone())).filter(|_| touched("members"))),
            ("members_mode", exact()),
        ]);
        Ok(Images::of(before, if is_removed { nothing() } else { declared() }))
    }

    fn footprint(&self) -> Footprint {
        let gives = vec![Key::Group(self.name.clone())];
        if self.properties.ensure == Ensure::Absent {
            return Footprint { gives, needs: Vec::new() };
        }
        Footprint {
            gives,
            needs: self.properties.members.iter().flat_map(|names| names.iter()).cloned().map(Key::User).collect(),
        }
    }
}
