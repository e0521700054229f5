//! Secrets that a store gives a node: believed where a trusted signer signed them, never older than what was read before.

use std::collections::BTreeMap;

use converge_model::{Clock, Digest, Error, ErrorKind, Result, Timestamp};
use converge_policy::bind::NodeIdentity as BoundNode;
use converge_protocol::secrets::{NodeRule, NodeSecrets, RecipientNotice, SecretsDocument};
use converge_system::linux::durable::Durability;
use converge_trust::AllowedSigners;
use converge_trust::age::Identity;
use converge_trust::secrets::{JoinSecret, open_value, unwrap, verify};
use serde::{Deserialize, Serialize};

use super::{MachineIdentity, Values, unknown};
use crate::client::StoreClient;
use crate::clock::MachineClock;
use crate::config::ConfigDir;
use crate::run::policy::Purpose;
use crate::state::highest::{Highest, Ran};
use crate::state::{Loaded, StateDir, load, save};

/// What was read last, still encrypted.
const FILE: &str = "secrets.json";

/// A rule that was believed, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    rule: NodeRule,
    /// When it was believed, by this machine's clock. A signer's key that expires later leaves it good.
    at: Timestamp,
}

/// What a node needs to read the secrets that its store has for it.
pub(crate) struct GivenSecrets<'a> {
    pub(crate) client: &'a StoreClient,
    pub(crate) config: &'a ConfigDir,
    pub(crate) state: &'a StateDir,
    pub(crate) signers: &'a AllowedSigners,
    pub(crate) node: &'a BoundNode,
}

/// What came of reading.
pub(crate) struct Read {
    /// The values.
    pub(crate) values: Values,
    /// Whether the store gave something that is not believed.
    pub(crate) is_refused: bool,
}

impl GivenSecrets<'_> {
    /// The values of these secrets. What an operator should know of how they were had is added to `remarks`.
    pub(crate) fn read<'n>(
        &self,
        names: impl Iterator<Item = &'n String>,
        purpose: Purpose,
        remarks: &mut Vec<String>,
    ) -> Read {
        let mut is_refused = false;
        match self.rules(purpose, &mut is_refused, remarks) {
            Ok(rules) => {
                let values = names.map(|name| (name.clone(), value(&rules, name, self.node))).collect();
                Read { values, is_refused }
            }
            Err(error) => Read { values: names.map(|name| (name.clone(), Err(error.clone()))).collect(), is_refused },
        }
    }

    /// The rules that this node reads, each with its key; nothing in place of a key that nobody gave it.
    fn rules(
        &self,
        purpose: Purpose,
        is_refused: &mut bool,
        remarks: &mut Vec<String>,
    ) -> Result<Vec<(SecretsDocument, Option<Identity>)>> {
        let own = MachineIdentity::read_or_make(self.config)?;
        let join = read_join(self.config)?;
        let last = self.last(remarks);
        let rules = match self.ask(&own, join.as_ref()) {
            Ok(answer) => self.believed(answer, &last, purpose, is_refused, remarks)?,
            Err(error) => {
                remarks.push(format!("{error}; this run uses the secrets that the store gave last"));
                self.kept(&last)
            }
        };
        let join = join.map(|join| join.identity()).transpose()?;
        let holders: Vec<&Identity> = own.all().into_iter().chain(&join).collect();
        rules
            .into_iter()
            .map(|(document, keys)| {
                let key = unwrap(&holders, &keys.keys, &document)?;
                Ok((document, key))
            })
            .collect()
    }

    /// Asks the store, which is told this node's recipient where it does not know it.
    fn ask(&self, own: &MachineIdentity, join: Option<&JoinSecret>) -> Result<NodeSecrets> {
        let recipient = own.own()?.to_string();
        let of_join = join.map(JoinSecret::identity).transpose()?.map(|key| key.recipient()).transpose()?;
        let of_join = of_join.map(|recipient| recipient.to_string());
        let answer = self.client.node_secrets(of_join.as_deref())?;
        if answer.recipient.as_deref() == Some(&recipient) {
            return Ok(answer);
        }
        announce(self.client, &self.node.name, own, join)?;
        self.client.node_secrets(of_join.as_deref())
    }

    /// What of an answer this node believes; in place of what it does not, what it believed before.
    fn believed(
        &self,
        answer: NodeSecrets,
        last: &BTreeMap<String, Kept>,
        purpose: Purpose,
        is_refused: &mut bool,
        remarks: &mut Vec<String>,
    ) -> Result<Vec<(SecretsDocument, NodeRule)>> {
        let now = MachineClock.now();
        let highest = Highest::new(self.state, self.config);
        let (mut rules, mut keep) = (BTreeMap::new(), BTreeMap::new());
        for rule in answer.rules {
            match self.believe(&rule, last, &highest, now) {
                Ok(document) => {
                    let ran = Ran { serial: document.serial, manifest: Digest::of(rule.signed.document.as_bytes()) };
                    if purpose == Purpose::Run {
                        highest.raise(&remembered_as(&document.rule), ran, remarks)?;
                    }
                    keep.insert(document.rule.clone(), Kept { rule: rule.clone(), at: now });
                    rules.insert(document.rule.clone(), (document, rule));
                }
                Err((name, cause)) => {
                    *is_refused = true;
                    let subject = format!("the rule of secrets {name}");
                    let error = Error::new(ErrorKind::Denied, "accept", subject, cause)
                        .with_hint("look who had their hands on the store: it gave what nobody signed so");
                    remarks.push(format!("{error}; this run uses what the store gave before"));
                }
            }
        }
        // What is refused may not even say which rule it should be.
        for (name, kept) in last.iter().filter(|_| *is_refused) {
            if let (false, Some(document)) = (rules.contains_key(name), self.kept_one(kept)) {
                keep.insert(name.clone(), kept.clone());
                rules.insert(name.clone(), (document, kept.rule.clone()));
            }
        }
        if purpose == Purpose::Run && keep != *last {
            save(&self.state.path(FILE), &keep, Durability::Soon)?;
        }
        Ok(rules.into_values().collect())
    }

    /// Whether a rule is believed; if not, how it calls itself, and why.
    fn believe(
        &self,
        rule: &NodeRule,
        last: &BTreeMap<String, Kept>,
        highest: &Highest,
        now: Timestamp,
    ) -> std::result::Result<SecretsDocument, (String, String)> {
        let named = converge_trust::secrets::read(&rule.signed.document).map(|document| document.rule);
        let name = named.unwrap_or_else(|_| "that it gave".to_owned());
        let document = verify(&rule.signed, self.signers, now).map_err(|cause| (name.clone(), cause))?;
        let refuse = |cause: String| Err((name.clone(), cause));
        let SecretsDocument { nodes, serial, .. } = &document;
        if !nodes.means(&self.node.policy, self.node.group.as_deref().unwrap_or_default(), &self.node.tags) {
            return refuse(format!("it is for {nodes}, and this node is not"));
        }
        // What is remembered is of runs; that nothing is, is said of policies.
        if let Some(ran) = highest.of(&remembered_as(&name), &mut Vec::new()) {
            if *serial < ran.serial {
                return refuse(format!("it has serial {serial}, and this node read {} already", ran.serial));
            }
            if *serial == ran.serial && ran.manifest != Digest::of(rule.signed.document.as_bytes()) {
                return refuse(format!("it is another one with the serial {serial} than this node read before"));
            }
        }
        // Two operators who were shown different documents may each have signed one.
        if let Some(before) = last.get(&name).and_then(|kept| self.kept_one(kept)) {
            for (secret, before) in &before.secrets {
                if document.secrets.get(secret).is_some_and(|now| now.serial < before.serial) {
                    return refuse(format!("its value of {secret} is older than what this node read before"));
                }
            }
        }
        Ok(document)
    }

    fn last(&self, remarks: &mut Vec<String>) -> BTreeMap<String, Kept> {
        match load(&self.state.path(FILE)) {
            Loaded::Whole(kept) => kept,
            Loaded::Absent => BTreeMap::new(),
            Loaded::Broken(error) => {
                remarks.push(error.to_string());
                BTreeMap::new()
            }
        }
    }

    fn kept(&self, last: &BTreeMap<String, Kept>) -> Vec<(SecretsDocument, NodeRule)> {
        last.values().filter_map(|kept| Some((self.kept_one(kept)?, kept.rule.clone()))).collect()
    }

    /// What was believed before, where its signer is trusted still.
    fn kept_one(&self, kept: &Kept) -> Option<SecretsDocument> {
        verify(&kept.rule.signed, self.signers, kept.at).ok()
    }
}

/// Tells the store to whom to encrypt what is meant for this node.
///
/// # Errors
/// Where the store does not take it.
pub(crate) fn announce(
    client: &StoreClient,
    node: &str,
    own: &MachineIdentity,
    join: Option<&JoinSecret>,
) -> Result<()> {
    let recipient = own.own()?.to_string();
    let voucher = join.map(|join| join.vouch(node, &recipient)).transpose()?;
    client.set_recipient(&RecipientNotice { recipient, voucher })
}

/// What is secret of the join string that this machine came with.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn read_join(config: &ConfigDir) -> Result<Option<JoinSecret>> {
    match load(&config.join_file()) {
        Loaded::Whole(join) => Ok(Some(join)),
        Loaded::Absent => Ok(None),
        // Damaged, it is of no use: with a key of its own, the node may read all the same.
        Loaded::Broken(error) => {
            tracing::warn!(%error, "what is secret of the join string cannot be used");
            Ok(None)
        }
    }
}

/// Keeps what is secret of the join string, for its owner only.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn keep_join(config: &ConfigDir, join: &JoinSecret) -> Result<()> {
    save(&config.join_file(), join, Durability::Now)
}

/// Under which name the highest serial of a rule is remembered, beside those of policies, which have no slash.
fn remembered_as(rule: &str) -> String {
    format!("secrets/{rule}")
}

/// The value of a secret, of the one rule that has it.
fn value(
    rules: &[(SecretsDocument, Option<Identity>)],
    name: &str,
    node: &BoundNode,
) -> Result<zeroize::Zeroizing<String>> {
    let having: Vec<_> = rules.iter().filter(|(document, _)| document.secrets.contains_key(name)).collect();
    match having.as_slice() {
        [(document, Some(key))] => open_value(key, document, name),
        [(document, None)] => {
            let (rule, node) = (&document.rule, &node.name);
            Err(unknown(name, &format!("nobody gave this node the key of the rule {rule}")).with_hint(format!(
                "an operator lets it in: `converge secret grant {rule} {node} --recipient …`, as `converge secret recipient` \
                 shows it here"
            )))
        }
        [] => Err(unknown(name, "no rule that means this node has it")
            .with_hint(format!("set it for a rule that does: `converge secret set {name} --rule RULE`"))),
        [(one, _), (other, _), ..] => {
            Err(unknown(name, &format!("the rules {} and {} both have it", one.rule, other.rule)))
        }
    }
}
