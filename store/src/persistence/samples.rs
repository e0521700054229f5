//! What the tests of this folder keep in a database.

use std::collections::BTreeMap;

use converge_model::report::{Conclusion, Mode, REPORT_FORMAT};
use converge_model::{Outcome, Report, RunId, Timestamp};

use super::Database;

/// The report of a run in which 120 resources were up to date.
pub(super) fn report(millis: i64, random: u128) -> Report {
    Report {
        format: REPORT_FORMAT,
        run: RunId::new(millis, random),
        node: String::new(),
        policy: "webserver".into(),
        revision: Some(300),
        undoes: None,
        mode: Mode::Apply,
        started: Timestamp(millis),
        millis: 1234,
        conclusion: Conclusion::Succeeded,
        passes: 1,
        counts: BTreeMap::from([(Outcome::UpToDate, 120)]),
        resources: vec![],
        notifications: vec![],
        remarks: vec![],
    }
}

/// Makes nodes, and says by which numbers the database knows them.
pub(super) fn nodes(database: &Database, count: u32) -> Vec<i64> {
    let sql = "INSERT INTO node (name, key, policy, node_group, enrolled) VALUES (?1, CAST(?1 AS BLOB), 'webserver', 'dev', 0)";
    let made = database.write("make nodes", |db| {
        (0..count)
            .map(|number| {
                db.execute(sql, [format!("node-{number}")])?;
                Ok(db.last_insert_rowid())
            })
            .collect()
    });
    made.unwrap()
}
