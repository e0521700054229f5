//! The database's schema: numbered steps forward, and a refusal of what is newer than this software.

use std::path::Path;

use converge_model::{Error, ErrorKind, Result};
use rusqlite::Connection;

/// Step N brings a database from version N to N + 1. A step that was released never changes.
const STEPS: &[&str] = &[
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
    include_str!("schema/6.sql"),
];

/// Brings the database to the newest version, in one transaction a step.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let trouble = |error: rusqlite::Error| Error::new(ErrorKind::Failed, "migrate", path.display(), error);
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(trouble)?;
    let known = STEPS.len();
    let version = usize::try_from(version).ok().filter(|version| *version <= known).ok_or_else(|| {
        let cause = format!("its schema has version {version}, and this software knows versions up to {known}");
        Error::new(ErrorKind::Unavailable, "open", path.display(), cause)
            .with_hint("start the newer converge that wrote it, or restore a backup made before the upgrade")
    })?;
    for (step, sql) in STEPS.iter().enumerate().skip(version) {
        let transaction = connection.transaction().map_err(trouble)?;
        transaction.execute_batch(sql).map_err(trouble)?;
        transaction.pragma_update(None, "user_version", (step + 1) as i64).map_err(trouble)?;
        transaction.commit().map_err(trouble)?;
    }
    Ok(())
}

/// Refuses a database of another version than this software writes.
pub(super) fn check_is_newest(connection: &Connection, path: &Path) -> Result<()> {
    let trouble = |error: rusqlite::Error| Error::new(ErrorKind::Failed, "open", path.display(), error);
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(trouble)?;
    let known = STEPS.len();
    if usize::try_from(version) == Ok(known) {
        return Ok(());
    }
    let cause = format!("its schema has version {version}, and this software writes version {known}");
    Err(Error::new(ErrorKind::Unavailable, "open", path.display(), cause)
        .with_hint("use the converge that the store runs with"))
}

#[cfg(test)]
mod tests {
    use converge_model::{Digest, Timestamp};
    use converge_protocol::Role;

    use super::super::{Database, id_of, samples};
    use super::*;

    /// What a store held while nodes had tokens: its first two versions.
    const OLD: &str = "
        INSERT INTO operator_token VALUES (x'aa', 5);
        INSERT INTO join_token VALUES (x'bb', 'web', 'dev', 3, 99, 6);
        INSERT INTO revision VALUES ('web', 1, zeroblob(32), 7, '{}', 4), ('web', 2, zeroblob(32), 7, '{}', 4);
        INSERT INTO live VALUES ('web', 'dev', 2, 4);
        INSERT INTO node (id, name, token_hash, policy, node_group, tags, enrolled, last_contact)
            VALUES (7, 'web-1', zeroblob(32), 'web', 'dev', '[\"edge\"]', 8, 9);";

    #[test]
    fn what_an_older_store_held_is_there_after_every_step() {
        // Filled at the first or second version, and met at every later one.
        for version in 1..=STEPS.len() {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("store.db");
            let old = Connection::open(&path).unwrap();
            let filled = version.min(2);
            STEPS[..filled].iter().for_each(|step| old.execute_batch(step).unwrap());
            let (operator, join) = (Digest::of(b"operator"), Digest::of(b"join"));
            let hex = |digest: Digest| format!("x'{}'", digest);
            old.execute_batch(&OLD.replace("x'aa'", &hex(operator)).replace("x'bb'", &hex(join))).unwrap();
            STEPS[filled..version].iter().for_each(|step| old.execute_batch(step).unwrap());
            old.pragma_update(None, "user_version", version as i64).unwrap();
            drop(old);

            let database = Database::open(&path).unwrap();
            let (first, hash) = database.operator(&id_of(&operator)).unwrap().unwrap();
            assert_eq!((first.name.as_str(), first.role, hash), ("first", Role::Admin, operator), "from {version}");
            assert!(first.scope.is_everything() && first.revoked.is_none());
            let token = database.join_token(&id_of(&join)).unwrap().unwrap();
            assert_eq!((token.policy.as_str(), token.uses_left, token.expires), ("web", Some(3), Some(Timestamp(99))));
            let node = database.known_node("web-1").unwrap().unwrap();
            assert_eq!((node.id, node.revoked, node.assignment.tags), (7, false, vec!["edge".to_owned()]));
            assert_eq!(node.assignment.revision.map(|revision| revision.serial), Some(2));
            database.add_report(node.id, &samples::report(1_000, 1), Timestamp(10)).unwrap();
            let was_live = database.was_live("web", "dev", None, 9).unwrap();
            assert_eq!((was_live.items[0].serial, was_live.items[0].since), (2, Timestamp(4)));
            let node = database.node("web-1").unwrap().unwrap();
            assert_eq!((node.outcome.as_deref(), node.enrolled), (Some("succeeded"), Timestamp(8)));
            assert_eq!(database.store_identity().unwrap().len(), 32);
        }
    }

    #[test]
    fn revisions_from_before_signatures_stay_and_carry_none() {
        let mut connection = Connection::open_in_memory().unwrap();
        for sql in &STEPS[..3] {
            connection.execute_batch(sql).unwrap();
        }
        connection.pragma_update(None, "user_version", 3).unwrap();
        let digest = "0".repeat(64);
        let manifest = format!(r#"{{"policy":"web","graph":{{"digest":"{digest}","size":5}},"blobs":[]}}"#);
        let row = ("web", 3, [0_u8; 32], 5, manifest, 1_800_000_000_000_i64);
        connection.execute("INSERT INTO revision VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row).unwrap();
        connection.execute("INSERT INTO live VALUES ('web', 'dev', 3, 0)", []).unwrap();
        migrate(&mut connection, Path::new("x")).unwrap();
        let sql = "SELECT manifest, signatures FROM signed_manifest WHERE policy = 'web' AND serial = 3";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let (manifest, signatures) = connection.query_row(sql, [], row).unwrap();
        let manifest = converge_trust::revision::read(&manifest).unwrap();
        assert_eq!((manifest.serial, manifest.published.0, &*signatures), (3, 1_800_000_000_000, "[]"));
    }

    #[test]
    fn a_database_of_newer_software_is_refused_and_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Path::new("x")).unwrap();
        migrate(&mut connection, Path::new("x")).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = migrate(&mut connection, Path::new("x")).unwrap_err();
        assert!(error.to_string().contains("version 99"), "{error}");
    }
}
