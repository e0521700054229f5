//! A few things by name, in ascending order.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A map from names for the handful of things that one resource has: the values of its properties. Ordered by name, as a
/// `BTreeMap` is, which would take nearly a kilobyte for a single entry; a policy has many resources.
///
/// Entering names in ascending order costs nothing, any other order moves what comes after.
#[derive(Clone, PartialEq)]
pub struct ByName<T>(Vec<(String, T)>);

impl<T> ByName<T> {
    /// Nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Nothing yet, with room for so many.
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is called `name`.
    pub fn get(&self, name: &str) -> Option<&T> {
        self.place(name).ok().map(|at| &self.0[at].1)
    }

    /// Whether something is called `name`.
    pub fn contains_key(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Enters `thing` under `name`, and gives back what was called so before.
    pub fn insert(&mut self, name: String, thing: T) -> Option<T> {
        match self.place(&name) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, thing)),
            Err(at) => {
                // Hardly any resource has more than these, and a vector would begin with room for four.
                if self.0.len() < 4 {
                    self.0.reserve_exact(1);
                }
                self.0.insert(at, (name, thing));
                None
            }
        }
    }

    /// Takes out what is called `name`.
    pub fn remove(&mut self, name: &str) -> Option<T> {
        self.place(name).ok().map(|at| self.0.remove(at).1)
    }

    /// Keeps what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &T) -> bool) {
        self.0.retain(|(name, thing)| keep(name, thing));
    }

    /// All of it, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&String, &T)> + Clone {
        self.0.iter().map(|(name, thing)| (name, thing))
    }

    /// The names, ascending.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &String> + Clone {
        self.0.iter().map(|(name, _)| name)
    }

    /// The things, in the order of their names.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &T> + Clone {
        self.0.iter().map(|(_, thing)| thing)
    }

    /// The same, to be changed.
    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut T> {
        self.0.iter_mut().map(|(_, thing)| thing)
    }

    /// Where `name` is, or where it belongs.
    fn place(&self, name: &str) -> Result<usize, usize> {
        match self.0.last() {
            None => Err(0),
            Some((last, _)) if last.as_str() < name => Err(self.0.len()),
            Some(_) => self.0.binary_search_by(|(known, _)| known.as_str().cmp(name)),
        }
    }
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for ByName<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<T> Extend<(String, T)> for ByName<T> {
    fn extend<I: IntoIterator<Item = (String, T)>>(&mut self, entries: I) {
        for (name, thing) in entries {
            self.insert(name, thing);
        }
    }
}

impl<T> FromIterator<(String, T)> for ByName<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        let mut map = Self::with_capacity(entries.size_hint().0);
        map.extend(entries);
        map
    }
}

impl<T, const N: usize> From<[(String, T); N]> for ByName<T> {
    fn from(entries: [(String, T); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<T> IntoIterator for ByName<T> {
    type Item = (String, T);
    type IntoIter = std::vec::IntoIter<(String, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a ByName<T> {
    type Item = (&'a String, &'a T);
    type IntoIter = std::iter::Map<std::slice::Iter<'a, (String, T)>, fn(&'a (String, T)) -> (&'a String, &'a T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(name, thing)| (name, thing))
    }
}

impl<T: Serialize> Serialize for ByName<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByName<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = ByName<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<ByName<T>, A::Error> {
                let mut map = ByName::new();
                while let Some((name, thing)) = access.next_entry()? {
                    map.insert(name, thing);
                }
                Ok(map)
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_is_read_written_and_changed_as_an_ordered_map_is() {
        let text = r#"{"b":1,"a":2,"c":3,"b":4}"#;
        let mut map: ByName<u32> = serde_json::from_str(text).unwrap();
        let mut model: BTreeMap<String, u32> = serde_json::from_str(text).unwrap();
        let same = |map: &ByName<u32>, model: &BTreeMap<String, u32>| {
            assert_eq!(serde_json::to_string(map).unwrap(), serde_json::to_string(model).unwrap());
            assert!(map.iter().eq(model) && map.keys().eq(model.keys()) && map.values().eq(model.values()));
        };
        same(&map, &model);
        for name in ["", "a", "aa", "b", "d"] {
            assert_eq!((map.get(name), map.contains_key(name)), (model.get(name), model.contains_key(name)), "{name}");
            assert_eq!(map.insert(name.to_owned(), 9), model.insert(name.to_owned(), 9), "{name}");
            same(&map, &model);
        }
        map.retain(|name, _| name != "aa");
        model.retain(|name, _| name != "aa");
        assert_eq!((map.remove("b"), map.remove("x")), (model.remove("b"), model.remove("x")));
        same(&map, &model);
        assert_eq!((map.len(), map.is_empty(), ByName::<u32>::new().is_empty()), (4, false, true));
    }
}
