//! Requests of operators about nodes.

use converge_model::{Cancel, Result};
use converge_protocol::{NodeChange, NodeFilter, NodePage, NodeView};
use reqwest::Method;

use super::{ANSWER, StoreClient, node_path};

impl StoreClient {
    /// All nodes that a filter means, and for how many that could not be told.
    pub(crate) fn nodes(&self, filter: &NodeFilter) -> Result<NodePage> {
        let operation = "list nodes at";
        let mut filter = filter.clone();
        let mut all = NodePage { items: Vec::new(), next: None, undecided: 0, reason: None };
        loop {
            let request = self.request(Method::GET, "/v1/nodes").query(&filter).timeout(ANSWER);
            let page: NodePage = self.unless(Cancel::is_now, operation, async {
                let response = self.send(operation, request).await?;
                self.document(operation, response).await
            })?;
            all.items.extend(page.items);
            all.undecided += page.undecided;
            all.reason = all.reason.or(page.reason);
            match page.next {
                None => return Ok(all),
                // A filter may let through nothing of a page; but each leads further, by name.
                Some(next) if next > filter.after => filter.after = next,
                Some(_) => return Err(self.rubbish(operation, "its pages lead nowhere".to_owned())),
            }
        }
    }

    /// One node.
    pub(crate) fn node(&self, name: &str) -> Result<NodeView> {
        self.exchange::<(), _>("get a node from", Method::GET, &node_path(name)?, None)
    }

    /// Changes what is kept of a node.
    pub(crate) fn change_node(&self, name: &str, change: &NodeChange) -> Result<NodeView> {
        self.exchange("change a node at", Method::PATCH, &node_path(name)?, Some(change))
    }

    /// Forgets a node.
    pub(crate) fn forget_node(&self, name: &str) -> Result<()> {
        self.command("forget a node at", Method::DELETE, &node_path(name)?, &())
    }
}
