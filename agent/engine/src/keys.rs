//! Keys as they are looked up, and which of them a run changed, and when.

use std::os::unix::ffi::OsStrExt;

use converge_model::{Footprint, Key};
use foldhash::HashMap;

/// A key without its allocation. A path is its bytes, so that its ancestors are slices of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyRef<'a> {
    /// The bytes of a path.
    Path(&'a [u8]),
    /// Anything else.
    Other(&'a Key),
}

impl<'a> KeyRef<'a> {
    /// The key; nothing for [`Key::Everything`], which nobody can look up.
    pub(crate) fn of(key: &'a Key) -> Option<Self> {
        match key {
            Key::Path(path) => Some(KeyRef::Path(path.as_path().as_os_str().as_bytes())),
            Key::Everything => None,
            other => Some(KeyRef::Other(other)),
        }
    }

    /// Whether it is a path.
    pub(crate) fn is_path(&self) -> bool {
        matches!(self, KeyRef::Path(_))
    }

    /// The key itself and, where it is a path, its parent and so on up to the root directory.
    pub(crate) fn with_ancestors(self) -> impl Iterator<Item = KeyRef<'a>> {
        std::iter::successors(Some(self), |key| match key {
            KeyRef::Path(path) if path.len() > 1 => {
                let slash = path.iter().rposition(|byte| *byte == b'/')?;
                Some(KeyRef::Path(&path[..slash.max(1)]))
            }
            _ => None,
        })
    }
}

/// A moment of a run: how many changes came before it.
pub(crate) type Moment = u64;

/// Which keys were changed, and when last. Costs nothing as long as nothing was.
#[derive(Debug, Default)]
pub(crate) struct ChangedKeys<'a> {
    now: Moment,
    everything: Moment,
    last: HashMap<KeyRef<'a>, Moment>,
    /// The directories in which, at any depth, something was changed.
    within: HashMap<KeyRef<'a>, Moment>,
}

impl<'a> ChangedKeys<'a> {
    /// The moment at which an observation that is made now is made.
    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// What `footprint` gives was changed, or may have been.
    pub(crate) fn mark(&mut self, footprint: &'a Footprint) {
        self.mark_named(footprint);
        if footprint.gives.contains(&Key::Everything) {
            self.everything = self.now;
        }
    }

    /// As [`ChangedKeys::mark`], but only what `footprint` names: [`Key::Everything`] is left as it was.
    pub(crate) fn mark_named(&mut self, footprint: &'a Footprint) {
        self.now += 1;
        for key in footprint.gives.iter().filter_map(KeyRef::of) {
            self.last.insert(key, self.now);
            self.within.extend(key.with_ancestors().skip(1).map(|outer| (outer, self.now)));
        }
    }

    /// The moment of the last change to anything that `footprint` leans on, as [`ChangedKeys::since`] has it; 0 where nothing
    /// of it was changed.
    pub(crate) fn last(&self, footprint: &'a Footprint) -> Moment {
        let gives = || footprint.gives.iter().filter_map(KeyRef::of);
        let needs = footprint.needs.iter().filter_map(KeyRef::of);
        let outer = gives().chain(needs).flat_map(KeyRef::with_ancestors).filter_map(|key| self.last.get(&key));
        let inner = gives().filter_map(|key| self.within.get(&key));
        outer.chain(inner).copied().fold(self.everything, Moment::max)
    }

    /// Whether anything that `footprint` leans on was changed after `moment`: a key it needs or gives, a path on the way
    /// to one, or something in a directory that it gives.
    pub(crate) fn since(&self, moment: Moment, footprint: &'a Footprint) -> bool {
        if self.now == moment {
            return false;
        }
        let later = |changed: Option<&Moment>| changed.is_some_and(|changed| *changed > moment);
        let gives = || footprint.gives.iter().filter_map(KeyRef::of);
        let needs = footprint.needs.iter().filter_map(KeyRef::of);
        self.everything > moment
            || gives().chain(needs).any(|key| key.with_ancestors().any(|key| later(self.last.get(&key))))
            || gives().any(|key| later(self.within.get(&key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Key {
        Key::Path(text.parse().unwrap())
    }

    #[test]
    fn a_key_is_stale_where_it_or_an_ancestor_or_everything_was_changed_since() {
        let gives = |key| Footprint { gives: vec![key], needs: vec![] };
        let needs = |key| Footprint { gives: vec![], needs: vec![key] };
        let user = || Key::User("app".into());
        let everything = gives(Key::Everything);
        let (srv, app) = (gives(path("/srv")), gives(user()));
        let readers =
            [needs(path("/srv/a/b")), needs(path("/srvx")), needs(user()), needs(path("/")), gives(path("/"))];
        let stale = |changed: &ChangedKeys<'_>, moment| {
            readers.each_ref().map(|reader| changed.since(moment, reader)).map(u8::from)
        };
        let mut changed = ChangedKeys::default();
        assert_eq!(stale(&changed, 0), [0, 0, 0, 0, 0]);
        changed.mark(&srv);
        let after_srv = changed.now();
        assert_eq!(stale(&changed, 0), [1, 0, 0, 0, 1]);
        changed.mark(&app);
        assert_eq!(stale(&changed, 0), [1, 0, 1, 0, 1]);
        assert_eq!(stale(&changed, after_srv), [0, 0, 1, 0, 0]);
        changed.mark(&everything);
        assert_eq!(stale(&changed, after_srv), [1, 1, 1, 1, 1]);
        assert_eq!(stale(&changed, changed.now()), [0, 0, 0, 0, 0]);
        let mut changed = ChangedKeys::default();
        changed.mark(&srv);
        changed.mark(&app);
        assert_eq!(readers.each_ref().map(|reader| changed.last(reader)), [1, 0, 2, 0, 1]);
    }
}
