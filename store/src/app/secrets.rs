//! Secrets: rules that operators set, and that nodes read. The store can decrypt none of it.

use converge_protocol::limits;
use converge_protocol::secrets::{MoreKeys, NodeSecrets, RecipientNotice, RuleChange, RuleKey, RuleView};
use converge_trust::age::Recipient;
use converge_trust::{secrets, sshsig};

use super::App;
use super::identity::{Node, Operator};
use crate::error::{StoreError, StoreResult};

/// Bytes of one encrypted key, as text.
const KEY_BYTES: usize = 1 << 10;
/// Bytes of a voucher.
const VOUCHER_BYTES: usize = 16 << 10;

impl App {
    /// The rules that an operator may look at, or one of them.
    pub(crate) fn secret_rules(&self, by: &Operator, name: Option<&str>) -> StoreResult<Vec<RuleView>> {
        let rules = self.database.secret_rules(name)?;
        let scope = &by.0.scope;
        let shown = rules.into_iter().filter(|rule| scope.has(&rule.policy, rule.group.as_deref())).map(|rule| {
            let mut view = rule.view;
            if rule.group.is_none() && !scope.groups.is_empty() {
                // Of a rule for every group, they see what they may see of its nodes.
                let nodes = view.nodes.into_iter().zip(&rule.groups);
                view.nodes = nodes.filter(|(_, group)| scope.groups.contains(group)).map(|(node, _)| node).collect();
                view.left.clear();
            }
            view
        });
        Ok(shown.collect())
    }

    /// Keeps what an operator signed of a rule, and gives its serial and the names of its secrets.
    pub(crate) fn set_secret_rule(&self, by: &Operator, rule: &str, change: &RuleChange) -> StoreResult<String> {
        let RuleChange { after: _, signed, keys } = change;
        if signed.document.len() > limits::SECRETS_BYTES {
            return Err(StoreError::too_large(format!("a rule's document may have {} bytes", limits::SECRETS_BYTES)));
        }
        let document = secrets::read(&signed.document).map_err(StoreError::invalid)?;
        if document.rule != rule {
            return Err(StoreError::invalid(format!("the document is of rule {:?}, not {rule:?}", document.rule)));
        }
        self.may_set(by, &document.nodes.policy, document.nodes.group.as_deref())?;
        // Whether nodes trust who signed it, they judge themselves.
        let is_signed =
            |signature: &String| sshsig::check(signature, secrets::NAMESPACE, signed.document.as_bytes()).is_ok();
        if signed.signatures.is_empty() || signed.signatures.len() > limits::SIGNATURES {
            return Err(StoreError::invalid("the document carries no signature, and no node would take it"));
        }
        if !signed.signatures.iter().all(is_signed) {
            return Err(StoreError::invalid("a signature is none over this document"));
        }
        check_keys(keys)?;
        self.database.set_secret_rule(&document, change, &by.who(), self.now())?;
        let names: Vec<&str> = document.secrets.keys().map(String::as_str).collect();
        tracing::info!(rule, serial = document.serial, epoch = document.epoch, "rule of secrets set");
        let (nodes, serial, count) = (&document.nodes, document.serial, keys.len());
        Ok(format!("serial {serial} for {nodes}: {} ({count} keys)", names.join(", ")))
    }

    /// Adds keys of a rule: for nodes and join strings that came later.
    pub(crate) fn add_secret_keys(&self, by: &Operator, rule: &str, more: &MoreKeys) -> StoreResult<()> {
        self.may_change(by, rule)?;
        check_keys(&more.keys)?;
        self.database.add_secret_keys(rule, more.epoch, &more.keys)
    }

    /// Forgets a rule, with its secrets.
    pub(crate) fn forget_secret_rule(&self, by: &Operator, rule: &str) -> StoreResult<()> {
        self.may_change(by, rule)?;
        self.database.forget_secret_rule(rule)?;
        tracing::info!(rule, "rule of secrets forgotten");
        Ok(())
    }

    /// To whom to encrypt what is meant for the node that asks.
    pub(crate) fn set_recipient(&self, node: &Node, notice: &RecipientNotice) -> StoreResult<()> {
        notice.recipient.parse::<Recipient>().map_err(StoreError::invalid)?;
        let voucher = notice.voucher.as_ref().map(serde_json::to_string).transpose();
        if voucher.is_ok_and(|voucher| voucher.is_some_and(|voucher| voucher.len() > VOUCHER_BYTES)) {
            return Err(StoreError::too_large(format!("a voucher may have {VOUCHER_BYTES} bytes")));
        }
        self.database.set_recipient(node.0.id, notice)?;
        tracing::info!(node = node.0.assignment.name, recipient = notice.recipient, "recipient set");
        Ok(())
    }

    /// What the node that asks may read. `join` is the recipient of the join string that it came with.
    pub(crate) fn secrets_of(&self, node: &Node, join: Option<&str>) -> StoreResult<NodeSecrets> {
        let recipient = self.database.recipient(node.0.id)?;
        let rules = match &recipient {
            Some(recipient) => self.database.secrets_of(node.0.id, recipient, join, self.now())?,
            None => Vec::new(),
        };
        Ok(NodeSecrets { recipient, rules })
    }

    fn may_change(&self, by: &Operator, rule: &str) -> StoreResult<()> {
        let found = self.database.secret_rules(Some(rule))?.pop();
        let found = found.ok_or_else(|| StoreError::unknown("rule", rule))?;
        self.may_set(by, &found.policy, found.group.as_deref())
    }

    /// A rule for every group of a policy is for those who may do what they want in all of them.
    fn may_set(&self, by: &Operator, policy: &str, group: Option<&str>) -> StoreResult<()> {
        by.may(policy, group)?;
        if group.is_none() && !by.0.scope.groups.is_empty() {
            let who = by.who();
            return Err(StoreError::forbidden(format!(
                "the token of {who} is good for some groups alone; name one of them with --group"
            )));
        }
        Ok(())
    }
}

fn check_keys(keys: &[RuleKey]) -> StoreResult<()> {
    for RuleKey { holder, sealed } in keys {
        holder.parse::<Recipient>().map_err(StoreError::invalid)?;
        if sealed.len() > KEY_BYTES {
            return Err(StoreError::too_large(format!("an encrypted key may have {KEY_BYTES} bytes")));
        }
    }
    Ok(())
}
