//! The facts of a node, each found out when somebody first asks for it: most policies ask for few of them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::value::Value;

/// Finds facts out.
pub trait FactSource: Debug + Send + Sync {
    /// The names of the facts it has, each once.
    fn names(&self) -> Vec<&'static str>;

    /// One of them. What was there and could not be used is added to `remarks`, one sentence each.
    fn find(&self, name: &str, remarks: &mut Vec<String>) -> Value;
}

/// The facts of a node by name. A fact that was found out stays as it was.
#[derive(Debug, Default)]
pub struct Facts {
    source: Option<Box<dyn FactSource>>,
    table: BTreeMap<String, OnceLock<Value>>,
    remarks: Mutex<Vec<String>>,
}

impl Facts {
    /// The facts of a source, none of them found out yet.
    pub fn of(source: impl FactSource + 'static) -> Self {
        let table = source.names().into_iter().map(|name| (name.to_owned(), OnceLock::new())).collect();
        Self { source: Some(Box::new(source)), table, remarks: Mutex::default() }
    }

    /// The names of all facts, found out or not.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.table.keys().map(String::as_str)
    }

    /// A fact, found out where it was not yet.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let find = || {
            let mut remarks = Vec::new();
            let value = self.source.as_ref().map_or(Value::Null, |source| source.find(name, &mut remarks));
            self.remarks.lock().unwrap_or_else(PoisonError::into_inner).append(&mut remarks);
            value
        };
        self.table.get(name).map(|fact| fact.get_or_init(find))
    }

    /// What `path` (keys joined by dots) leads to.
    pub fn lookup(&self, path: &str) -> Option<&Value> {
        match path.split_once('.') {
            Some((name, rest)) => self.get(name)?.lookup(rest),
            None => self.get(path),
        }
    }

    /// Finds out what is missing.
    pub fn find_all(&self) {
        for name in self.table.keys() {
            self.get(name);
        }
    }

    /// All facts as one map. The missing ones are found out.
    pub fn all(&self) -> Value {
        let fact = |name: &str| self.get(name).map(|value| (name.to_owned(), value.clone()));
        Value::Map(self.names().filter_map(fact).collect())
    }

    /// Whether what was found out here is the same in `later`, which finds it out for that.
    pub fn hold_in(&self, later: &Self) -> bool {
        self.table.iter().all(|(name, fact)| fact.get().is_none_or(|value| later.get(name) == Some(value)))
    }

    /// The remarks on what was found out since the last call.
    pub fn take_remarks(&self) -> Vec<String> {
        std::mem::take(&mut *self.remarks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The facts that a map holds; anything else holds none.
impl From<Value> for Facts {
    fn from(value: Value) -> Self {
        let Value::Map(facts) = value else { return Self::default() };
        let table = facts.into_iter().map(|(name, fact)| (name, OnceLock::from(fact))).collect();
        Self { source: None, table, remarks: Mutex::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// Counts how often it is asked.
    #[derive(Debug, Default)]
    struct Counting(Arc<AtomicI64>);

    impl FactSource for Counting {
        fn names(&self) -> Vec<&'static str> {
            vec!["count", "other"]
        }

        fn find(&self, name: &str, remarks: &mut Vec<String>) -> Value {
            remarks.push(name.to_owned());
            Value::Map([("n".to_owned(), Value::Integer(self.0.fetch_add(1, Ordering::Relaxed)))].into())
        }
    }

    #[test]
    fn a_fact_is_found_out_once_and_only_where_it_is_asked_for() {
        let asked = Arc::new(AtomicI64::new(0));
        let facts = Facts::of(Counting(Arc::clone(&asked)));
        assert_eq!(
            (facts.lookup("count.n"), facts.lookup("count.n")),
            (Some(&Value::Integer(0)), Some(&Value::Integer(0)))
        );
        assert_eq!((facts.get("nothing"), facts.take_remarks()), (None, vec!["count".to_owned()]));
        assert!(!facts.hold_in(&Facts::of(Counting(Arc::clone(&asked)))), "what was found out differs now");
        assert!(facts.hold_in(&Facts::of(Counting::default())), "what was not found out is not compared");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        let all = facts.all();
        assert_eq!(Facts::from(all.clone()).all(), all);
        assert_eq!(facts.names().collect::<Vec<_>>(), ["count", "other"]);
    }
}
