//! The text of passwd(5), group(5) and shadow(5), as tables.

use std::collections::HashMap;

use converge_model::system::accounts::{Group, Password, User};

/// The users of one passwd(5).
#[derive(Debug, Default)]
pub(super) struct Users {
    by_name: HashMap<String, User>,
    by_uid: HashMap<u32, String>,
}

impl Users {
    /// Reads passwd(5). Lines that are none (empty, comments, NIS) are passed over; of two for one name, the first counts,
    /// as it does for the C library.
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut users = Self::default();
        for user in lines(text).filter_map(|line| parse_user(&line)) {
            users.by_uid.entry(user.uid).or_insert_with(|| user.name.clone());
            users.by_name.entry(user.name.clone()).or_insert(user);
        }
        users
    }

    pub(super) fn named(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }

    pub(super) fn numbered(&self, uid: u32) -> Option<&User> {
        self.by_uid.get(&uid).and_then(|name| self.by_name.get(name))
    }

    /// The users whose primary group has this number, sorted.
    pub(super) fn with_primary_group(&self, gid: u32) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.by_name.values().filter(|user| user.gid == gid).map(|user| user.name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

/// One line of passwd(5), as the file or getent(1) has it.
pub(super) fn parse_user(line: &str) -> Option<User> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, comment, home, shell] = fields[..] else { return None };
    is_name(name).then_some(User {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        comment: comment.to_owned(),
        home: home.to_owned(),
        shell: shell.to_owned(),
    })
}

/// The groups of one group(5).
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_name: HashMap<String, Group>,
    by_gid: HashMap<u32, String>,
    of_user: HashMap<String, Vec<String>>,
}

impl Groups {
    /// Reads group(5), as [`Users::parse`].
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut groups = Self::default();
        for group in lines(text).filter_map(|line| parse_group(&line)) {
            groups.by_gid.entry(group.gid).or_insert_with(|| group.name.clone());
            if groups.by_name.contains_key(&group.name) {
                continue;
            }
            for member in &group.members {
                groups.of_user.entry(member.clone()).or_default().push(group.name.clone());
            }
            groups.by_name.insert(group.name.clone(), group);
        }
        groups.of_user.values_mut().for_each(|names| names.sort_unstable());
        groups
    }

    pub(super) fn named(&self, name: &str) -> Option<&Group> {
        self.by_name.get(name)
    }

    pub(super) fn numbered(&self, gid: u32) -> Option<&Group> {
        self.by_gid.get(&gid).and_then(|name| self.by_name.get(name))
    }

    /// The names of the groups that list `user`, sorted.
    pub(super) fn of_user(&self, user: &str) -> &[String] {
        self.of_user.get(user).map_or(&[], Vec::as_slice)
    }
}

/// One line of group(5), as the file or getent(1) has it.
pub(super) fn parse_group(line: &str) -> Option<Group> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, gid, members] = fields[..] else { return None };
    let mut members: Vec<String> =
        members.split(',').map(str::trim).filter(|member| !member.is_empty()).map(str::to_owned).collect();
    members.sort_unstable();
    members.dedup();
    is_name(name).then_some(Group { name: name.to_owned(), gid: gid.parse().ok()?, members })
}

/// The passwords of one shadow(5), by user.
#[derive(Default)]
pub(super) struct Passwords(HashMap<String, Password>);

impl Passwords {
    /// Reads shadow(5), as [`Users::parse`].
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut passwords = HashMap::new();
        for line in lines(text) {
            let mut fields = line.split(':');
            let (Some(name), Some(field)) = (fields.next().filter(|name| is_name(name)), fields.next()) else {
                continue;
            };
            // lastchange, min, max, warn, inactive, then expire
            let expires = fields.nth(5).and_then(|days| days.parse().ok()).filter(|days| *days >= 0);
            passwords.entry(name.to_owned()).or_insert_with(|| password(field, expires));
        }
        Self(passwords)
    }

    pub(super) fn of(&self, user: &str) -> Option<&Password> {
        self.0.get(user)
    }
}

/// The password field of shadow(5): marks of a lock, then a hash or a word that no password hashes to.
fn password(field: &str, expires: Option<i64>) -> Password {
    let hash = field.trim_start_matches('!');
    let hash = if hash.starts_with('*') { "" } else { hash };
    Password { hash: hash.to_owned(), locked: field.starts_with(['!', '*']), expires }
}

fn lines(text: &[u8]) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
    text.split(|byte| *byte == b'\n').map(String::from_utf8_lossy)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['+', '-', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_none_are_passed_over_and_the_first_of_two_counts() {
        let users = Users::parse(
            b"root:x:0:0:root:/root:/bin/bash\n\n# a comment\n+::::::\nshort:x:1\ntoor:x:0:0::/root:/bin/sh\n\
              bad:x:minus:0::/:/bin/sh\nroot:x:9:9::/nine:/bin/sh\nlatin:x:7:7:Andr\xe9:/home/a:/bin/sh",
        );
        assert_eq!(users.named("root").unwrap().home, "/root");
        assert_eq!(users.numbered(0).unwrap().name, "root");
        assert_eq!(users.with_primary_group(0), ["root", "toor"]);
        assert_eq!(users.named("latin").unwrap().comment, "Andr\u{fffd}");
        assert!(["short", "bad", "", "+", "# a comment"].iter().all(|name| users.named(name).is_none()));
    }

    #[test]
    fn members_are_sorted_and_known_by_user() {
        let groups = Groups::parse(b"wheel:x:10:zoe,adam,zoe\nadm:x:4:adam\nempty:x:5:\n");
        assert_eq!(groups.named("wheel").unwrap().members, ["adam", "zoe"]);
        assert_eq!(groups.of_user("adam"), ["adm", "wheel"]);
        assert_eq!(groups.numbered(5).unwrap().members, Vec::<String>::new());
        assert!(groups.of_user("nobody").is_empty());
    }

    #[test]
    fn marks_of_a_lock_are_told_from_the_hash() {
        let text = b"a:$y$hash:19000:0:99999:7:::\nb:!$y$hash:19000:0:99999:7::20000:\nc:*:1::::::\nd:!:1::::::\n\
                     e::1::::::\nf:!!:1::::::\ng:!*:1:::::-1:\n";
        let passwords = Passwords::parse(text);
        for (user, hash, locked, expires) in [
            ("a", "$y$hash", false, None),
            ("b", "$y$hash", true, Some(20_000)),
            ("c", "", true, None),
            ("d", "", true, None),
            ("e", "", false, None),
            ("f", "", true, None),
            ("g", "", true, None),
        ] {
            let found = passwords.of(user).unwrap();
            assert_eq!((found.hash.as_str(), found.locked, found.expires), (hash, locked, expires), "{user}");
        }
    }
}
