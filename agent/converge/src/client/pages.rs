//! Lists that the store hands out a page at a time.

use std::collections::BTreeSet;

use converge_model::Result;
use converge_protocol::Page;

use super::StoreClient;

/// No list is longer than this many items: one that goes on is no list.
const LONGEST: usize = 10_000_000;

/// A list, as far as it was asked for. What holds a store to an end: a page that is not the last holds something, and none is
/// named twice.
pub(crate) struct Pages<'a, F> {
    client: &'a StoreClient,
    operation: &'static str,
    page: F,
    after: Option<String>,
    named: BTreeSet<String>,
    come: usize,
    ended: bool,
}

impl StoreClient {
    /// The list of which `page` gets the page after the given place, or the first.
    pub(super) fn pages<T, F: FnMut(Option<&str>) -> Result<Page<T>>>(
        &self,
        operation: &'static str,
        page: F,
    ) -> Pages<'_, F> {
        Pages { client: self, operation, page, after: None, named: BTreeSet::new(), come: 0, ended: false }
    }
}

impl<F> Pages<'_, F> {
    /// The items of the next page; nothing after the last.
    ///
    /// # Errors
    /// Where the store does not give it, or its pages lead nowhere.
    pub(crate) fn next_page<T>(&mut self) -> Result<Option<Vec<T>>>
    where
        F: FnMut(Option<&str>) -> Result<Page<T>>,
    {
        if self.ended {
            return Ok(None);
        }
        let found = (self.page)(self.after.as_deref())?;
        self.come += found.items.len();
        let leads_on = !found.items.is_empty() && self.come <= LONGEST;
        match found.next {
            None => self.ended = true,
            Some(next) if leads_on && self.named.insert(next.clone()) => self.after = Some(next),
            Some(_) => return Err(self.client.rubbish(self.operation, "its pages lead nowhere".to_owned())),
        }
        Ok(Some(found.items))
    }

    /// The first `wanted` items, or all where there are fewer.
    ///
    /// # Errors
    /// As [`Pages::next_page`].
    pub(crate) fn gather<T>(mut self, wanted: usize) -> Result<Vec<T>>
    where
        F: FnMut(Option<&str>) -> Result<Page<T>>,
    {
        let mut items = Vec::new();
        while items.len() < wanted
            && let Some(more) = self.next_page()?
        {
            items.extend(more);
        }
        items.truncate(wanted);
        Ok(items)
    }
}
