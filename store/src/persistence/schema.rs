//! The database's schema: numbered steps forward, and a refusal of what is newer than this software.

use std::path::Path;

use converge_model::{Error, ErrorKind, Result};
use rusqlite::Connection;

/// Step N brings a database from version N to N + 1. A step that was released never changes.
const STEPS: &[&str] = &[include_str!("schema/1.sql"), include_str!("schema/2.sql"), include_str!("schema/3.sql")];

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

#[cfg(test)]
mod tests {
    use super::*;

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
