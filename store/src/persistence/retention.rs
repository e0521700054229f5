//! Reports that need not be kept any longer: found without waiting for anybody, and forgotten a few at a time.

use converge_model::Timestamp;
use rusqlite::params;

use super::Database;
use crate::error::StoreResult;

/// Reports of one node that are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 200;

/// Which reports of a node are kept. The last of each is, whatever this says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// Those that came since then.
    pub(crate) since: Timestamp,
    /// The newest so many.
    pub(crate) newest: u32,
}

impl Database {
    /// The numbers of some nodes, those after `after`.
    pub(crate) fn node_numbers(&self, after: i64, most: usize) -> StoreResult<Vec<i64>> {
        self.read_one("list node numbers", |db| {
            let mut statement = db.prepare_cached("SELECT id FROM node WHERE id > ?1 ORDER BY id LIMIT ?2")?;
            statement.query_map(params![after, i64::try_from(most).unwrap_or(i64::MAX)], |row| row.get(0))?.collect()
        })
    }

    /// Forgets some reports of a node that need not be kept, and says how many. Where there are none, nothing is written.
    pub(crate) fn forget_old_reports(&self, node: i64, keep: Keep) -> StoreResult<usize> {
        let due = self.reports_due(node, keep)?;
        if due.is_empty() {
            return Ok(0);
        }
        self.write("forget old reports", |db| {
            let mut delete = db.prepare_cached(
                "DELETE FROM report WHERE run = ?1 AND run IS NOT (SELECT last_run FROM node WHERE id = ?2)",
            )?;
            let mut forgotten = 0;
            for run in &due {
                forgotten += delete.execute(params![run, node])?;
            }
            Ok(forgotten)
        })
    }

    /// The oldest reports of a node, as far as they need not be kept. Those of one node come in the order of their runs.
    fn reports_due(&self, node: i64, keep: Keep) -> StoreResult<Vec<[u8; 16]>> {
        self.read("look for old reports", |db| {
            let sql = "SELECT run FROM report WHERE node = ?1 ORDER BY run DESC LIMIT 1 OFFSET ?2";
            let mut too_many = db.prepare_cached(sql)?;
            let mut too_many = too_many.query(params![node, keep.newest])?;
            let newest_too_many: Option<[u8; 16]> = too_many.next()?.map(|row| row.get(0)).transpose()?;
            let sql = "SELECT report.run, received FROM report JOIN node ON node.id = report.node
                       WHERE node = ?1 AND report.run IS NOT last_run ORDER BY report.run LIMIT ?2";
            let mut oldest = db.prepare_cached(sql)?;
            let mut oldest = oldest.query(params![node, FORGOTTEN_AT_ONCE])?;
            let mut due = Vec::new();
            while let Some(row) = oldest.next()? {
                let (run, received): ([u8; 16], i64) = (row.get(0)?, row.get(1)?);
                // The first that is kept is the last that is looked at.
                if received >= keep.since.0 && newest_too_many.is_none_or(|newest| run > newest) {
                    break;
                }
                due.push(run);
            }
            Ok(due)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn reports_are_kept_by_age_and_count_and_the_last_always() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("store.db")).unwrap();
        let nodes = samples::nodes(&database, 2);
        for number in 0..1_000_i64 {
            let report = samples::report(1_000 + number, number.unsigned_abs().into());
            database.add_report(nodes[0], &report, Timestamp(number)).unwrap();
        }
        database.add_report(nodes[1], &samples::report(5, 9_999), Timestamp(5)).unwrap();
        let left = |node: i64| -> i64 {
            let sql = "SELECT count(*) FROM report WHERE node = ?1";
            database.read_one("count", |db| db.query_row(sql, [node], |row| row.get(0))).unwrap()
        };
        let forget = |since: i64, newest: u32| {
            let keep = Keep { since: Timestamp(since), newest };
            assert_eq!(database.node_numbers(0, 9).unwrap(), nodes);
            for node in &nodes {
                while database.forget_old_reports(*node, keep).unwrap() > 0 {}
            }
            (left(nodes[0]), left(nodes[1]))
        };
        assert_eq!(forget(0, 1_000), (1_000, 1), "all are kept");
        assert_eq!(forget(450, 1_000), (550, 1), "by age");
        assert_eq!(forget(0, 20), (20, 1), "by count");
        assert_eq!(forget(i64::MAX, 1_000), (1, 1), "the last stays, however old");
        let node = database.node("node-0").unwrap().unwrap();
        assert_eq!(node.last_run.map(|run| run.started), Some(Timestamp(1_999)), "and is the one that is shown");
    }
}
