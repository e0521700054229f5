//! What the database says of itself, and of the nodes as a whole.

use converge_model::Timestamp;
use converge_protocol::limits;

use super::Database;
use crate::error::StoreResult;

/// Figures about the store, for whoever watches it.
#[derive(Debug)]
pub(crate) struct Figures {
    /// How many nodes there are of each state. A node may be in several.
    pub(crate) nodes: [(&'static str, u64); 6],
    /// Bytes of the database.
    pub(crate) bytes: u64,
}

impl Database {
    /// Counts.
    pub(crate) fn figures(&self, now: Timestamp) -> StoreResult<Figures> {
        const SQL: &str = "SELECT count(*), total(outcome <> 'succeeded'), total(live.serial IS NOT NULL AND
                   whole_revision IS NOT live.serial), total(drift > 0), total(pending > 0), total(ifnull(last_contact, enrolled) < ?1)
            FROM node LEFT JOIN live ON live.policy = node.policy AND live.node_group = node.node_group";
        const STATES: [&str; 6] = ["all", "failing", "behind", "drifted", "pending", "silent"];
        self.read("count", |db| {
            let silent = now.0 - limits::SILENT_SECONDS * 1_000;
            let nodes = db.prepare_cached(SQL)?.query_row([silent], |row| {
                let mut nodes = [("", 0); 6];
                for (index, name) in STATES.into_iter().enumerate() {
                    // `total` gives a float, and counts of nodes fit in one.
                    nodes[index] = (name, row.get::<_, f64>(index)? as u64);
                }
                Ok(nodes)
            })?;
            let size = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            Ok(Figures { nodes, bytes: (size("page_count")? * size("page_size")?).unsigned_abs() })
        })
    }

    /// Whether the database can be read, and written: that is tried only where the last commit failed.
    ///
    /// # Errors
    /// Where it cannot, with why.
    pub(crate) fn check(&self) -> StoreResult<()> {
        let version: i64 =
            self.read_one("check", |db| db.pragma_query_value(None, "user_version", |row| row.get(0)))?;
        if self.writer.is_ill() {
            // Written with the value that it has: it changes a page all the same.
            self.write("check", |db| Ok(db.pragma_update(None, "user_version", version)?))?;
        }
        Ok(())
    }
}
