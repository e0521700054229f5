//! `converge secret`: values that nobody but the nodes they are for gets to see.

mod list;
mod value;

use std::path::Path;

use converge_model::{Clock, Error, ErrorKind, Result};
use converge_policy::expression::check_secret_name;
use converge_protocol::limits::check_name;
use converge_protocol::secrets::{
    JoinScope, RuleKey, RuleNode, RuleView, SECRETS_FORMAT, SealedSecret, SecretsDocument, Selector,
};
use converge_trust::SigningKey;
use converge_trust::age::Recipient;
use converge_trust::secrets::{NAMESPACE, seal_value};
use serde_json::json;

use crate::access;
use crate::cli::{CommonArgs, SecretAction, SecretArgs};
use crate::client::StoreClient;
use crate::clock::MachineClock;
use crate::config::ConfigDir;
use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::repository;
use crate::secrets::{Keeper, MachineIdentity, Standing};
use crate::signing_key;

/// Does what was asked with secrets.
pub(crate) fn run(args: &SecretArgs, common: &CommonArgs, console: Console) -> Outcome {
    match &args.action {
        SecretAction::Recipient => {
            let recipient = MachineIdentity::read_or_make(&ConfigDir::new(&common.config_dir))?.own()?;
            return console.result(&json!({ "recipient": recipient.to_string() }), |_| recipient.to_string());
        }
        SecretAction::Init => {
            let file = Keeper::make(&args.keeper)?;
            return console.result(&json!({ "keeper": file }), |_| {
                format!(
                    "the operators' key to all secrets is in {}: keep a copy where it cannot be lost, and show it to nobody else",
                    file.display()
                )
            });
        }
        _ => {}
    }
    let desk = KeepersDesk::open(args)?;
    match &args.action {
        SecretAction::Init | SecretAction::Recipient => Ok(()),
        SecretAction::List => list::list(&desk.store, &desk.keeper, console),
        SecretAction::Rule { rule, policy, group, tag } => {
            let nodes = Selector { policy: policy.clone(), group: group.clone(), tag: tag.clone() };
            desk.make_rule(rule, nodes, console)
        }
        SecretAction::Set { name, rule, file } => {
            check_secret_name(name).map_err(|cause| Failure::input("set", format!("the secret {name}"), cause))?;
            let (document, view) = desk.rule(rule)?;
            let value = value::read(name, file.as_deref())?;
            desk.set(document, &view, name, &value, console)
        }
        SecretAction::Rm { rule, name: Some(name), .. } => desk.remove(rule, name, console),
        SecretAction::Rm { rule, name: None, .. } => {
            desk.store.forget_secret_rule(rule)?;
            console.result(&json!({ "removed": rule }), |_| format!("the rule {rule} is gone, with its secrets"))
        }
        SecretAction::Rotate { rule, without, join } => desk.rotate(rule, without, join, console),
        SecretAction::Grant { rule, node, recipient } => desk.grant(rule, node, recipient, console),
    }
}

/// Where an operator works with secrets.
struct KeepersDesk {
    keeper: Keeper,
    store: StoreClient,
    /// The file of the key to sign with, as it was named.
    key: Option<std::path::PathBuf>,
}

impl KeepersDesk {
    fn open(args: &SecretArgs) -> Outcome<Self> {
        let keeper = Keeper::required(&args.keeper)?;
        let store = access::operator(&args.access, None)?;
        Ok(Self { keeper, store, key: args.key.clone() })
    }

    /// The key that signs what nodes believe.
    fn signing_key(&self) -> Outcome<SigningKey> {
        let root = repository::root_around(Path::new("."));
        let configured = || -> Result<Option<std::path::PathBuf>> {
            let settings = repository::settings_around(Path::new("."))?;
            Ok(settings.signing_key.map(|key| root.as_deref().unwrap_or(Path::new(".")).join(key)))
        };
        let named = match &self.key {
            Some(key) => Some(key.clone()),
            None => configured()?,
        };
        Ok(signing_key::find(named.as_deref())?)
    }

    /// A rule that somebody with this keeper's key made.
    fn rule(&self, rule: &str) -> Outcome<(SecretsDocument, RuleView)> {
        let view = self.store.secret_rule(rule)?;
        let document = self.keeper.open(&view)?;
        if document.rule != rule {
            let cause = format!("the store gave the rule {:?} in its place", document.rule);
            return Err(Error::new(ErrorKind::Denied, "build on", format!("the rule {rule}"), cause).into());
        }
        Ok((document, view))
    }

    fn make_rule(&self, rule: &str, nodes: Selector, console: Console) -> Outcome {
        let wrong = |cause: String| Failure::input("make", format!("the rule {rule}"), cause);
        check_name("rule", rule).map_err(wrong)?;
        let epoch = Keeper::next(0);
        let (_, to) = self.keeper.key_of(rule, epoch)?;
        let mut document = SecretsDocument {
            format: SECRETS_FORMAT,
            rule: rule.to_owned(),
            nodes,
            serial: 0,
            epoch,
            recipient: to.to_string(),
            secrets: Default::default(),
            granted: Default::default(),
            excluded: Default::default(),
            made: MachineClock.now(),
        };
        let joins = self.joins(|_| true)?;
        let keys = self.keeper.keys_for_joins(&document, joins.iter().map(|(_, join)| join))?;
        let after = Keeper::begin_next(&mut document);
        self.publish(&mut document, after, keys, console)?;
        // The nodes that it means are known to the store only now.
        let view = self.store.secret_rule(rule)?;
        let keys = self.keeper.keys_for_nodes(&document, &view, true, &[])?;
        let count = keys.len();
        self.store.add_secret_keys(rule, &converge_protocol::secrets::MoreKeys { epoch: document.epoch, keys })?;
        let waiting = self.say_who_waits(&document, &view, console);
        let result = json!({ "rule": rule, "nodes": document.nodes, "keys": count, "waiting": waiting });
        console.result(&result, |_| format!("the rule {rule} is for {}: {count} nodes have its key", document.nodes))
    }

    fn set(
        &self,
        mut document: SecretsDocument,
        view: &RuleView,
        name: &str,
        value: &str,
        console: Console,
    ) -> Outcome {
        let after = Keeper::begin_next(&mut document);
        let (_, to) = self.keeper.key_of(&document.rule, document.epoch)?;
        let sealed = seal_value(to, &document.rule, name, document.serial, value)?;
        document.secrets.insert(name.to_owned(), SealedSecret { serial: document.serial, sealed });
        let keys = self.keeper.keys_for_nodes(&document, view, false, &[])?;
        self.publish(&mut document, after, keys, console)?;
        let waiting = self.say_who_waits(&document, view, console);
        say_who_left(view, &document, console);
        let (rule, serial, left) = (&document.rule, document.serial, &view.left);
        let result = json!({ "set": name, "rule": rule, "serial": serial, "waiting": waiting, "left": left });
        console.result(&result, |_| format!("{name} is set for {}", document.nodes))
    }

    fn remove(&self, rule: &str, name: &str, console: Console) -> Outcome {
        let (mut document, _) = self.rule(rule)?;
        if document.secrets.remove(name).is_none() {
            let error = Error::new(
                ErrorKind::NotFound,
                "remove",
                format!("the secret {name}"),
                format!("the rule {rule} has none"),
            );
            return Err(error.into());
        }
        let after = Keeper::begin_next(&mut document);
        self.publish(&mut document, after, Vec::new(), console)?;
        console.result(&json!({ "removed": name, "rule": rule }), |_| format!("{name} is gone from the rule {rule}"))
    }

    fn rotate(&self, rule: &str, without: &[String], join: &[String], console: Console) -> Outcome {
        let (mut document, view) = self.rule(rule)?;
        let known = |name: &&String| !view.nodes.iter().any(|node| node.node == **name) && !view.left.contains(name);
        if let Some(unknown) = without.iter().find(known) {
            return Err(Failure::input("rotate", format!("the rule {rule}"), format!("it means no node {unknown}")));
        }
        let after = Keeper::begin_next(&mut document);
        for node in view.nodes.iter().filter(|node| without.contains(&node.node)) {
            document.excluded.extend(node.recipient.clone());
        }
        document.granted.retain(|name, _| view.nodes.iter().any(|node| node.node == *name) && !without.contains(name));
        self.keeper.rotate(&mut document)?;
        let mut keys = self.keeper.keys_for_nodes(&document, &view, true, without)?;
        let nodes = keys.len();
        let joins = self.joins(|id| join.iter().any(|named| named == id))?;
        if let Some(unknown) = join.iter().find(|named| !joins.iter().any(|(id, _)| id == *named)) {
            return Err(Failure::input("keep", format!("the join token {unknown}"), "there is none that has secrets"));
        }
        keys.extend(self.keeper.keys_for_joins(&document, joins.iter().map(|(_, join)| join))?);
        self.publish(&mut document, after, keys, console)?;
        let waiting = self.say_who_waits(&document, &view, console);
        let has_leavers = !view.left.is_empty() || !without.is_empty();
        let known: Vec<&str> = document.secrets.keys().filter(|_| has_leavers).map(String::as_str).collect();
        if !known.is_empty() {
            console.note(format_args!(
                "whoever left may have kept the values until now: set new ones for {}",
                known.join(", ")
            ));
        }
        if join.is_empty() {
            console.note("join strings made before read nothing of this rule any more: make new ones");
        }
        let epoch = document.epoch;
        let result =
            json!({ "rule": rule, "epoch": epoch, "nodes": nodes, "waiting": waiting, "known_to_leavers": known });
        console.result(&result, |_| format!("the rule {rule} has another key, and {nodes} nodes have it"))
    }

    fn grant(&self, rule: &str, node: &str, recipient: &str, console: Console) -> Outcome {
        let wrong = |cause: String| Failure::input("let in", format!("node {node} to the rule {rule}"), cause);
        recipient.parse::<Recipient>().map_err(wrong)?;
        let (mut document, view) = self.rule(rule)?;
        let found = view.nodes.iter().find(|found| found.node == node);
        let found = found.ok_or_else(|| wrong(format!("the rule is for {}, and this node is not", document.nodes)))?;
        if let Some(other) = found.recipient.as_ref().filter(|other| *other != recipient) {
            return Err(wrong(format!("the store says that its recipient is {other}"))
                .with_hint("look on the node itself: `converge secret recipient`"));
        }
        let after = Keeper::begin_next(&mut document);
        document.granted.insert(node.to_owned(), recipient.to_owned());
        document.excluded.remove(recipient);
        let named = RuleNode { recipient: Some(recipient.to_owned()), has_key: false, ..found.clone() };
        let only = RuleView { nodes: vec![named], ..view };
        let keys = self.keeper.keys_for_nodes(&document, &only, true, &[])?;
        self.publish(&mut document, after, keys, console)?;
        console.result(&json!({ "granted": node, "rule": rule }), |_| {
            format!("{node} reads the secrets of the rule {rule}")
        })
    }

    fn publish(&self, document: &mut SecretsDocument, after: u64, keys: Vec<RuleKey>, console: Console) -> Outcome {
        let key = self.signing_key()?;
        let root = repository::root_around(Path::new("."));
        let signers =
            root.map(|root| crate::config::read_signers(&root.join(repository::SIGNERS))).transpose()?.flatten();
        let now = MachineClock.now();
        if signers.is_some_and(|signers| signers.who(&key.public(), NAMESPACE, now).is_err()) {
            console.note(format_args!(
                "the key is not one that allowed_signers trusts for {NAMESPACE}: nodes that have that file refuse this"
            ));
        }
        Ok(self.keeper.publish(&self.store, (document, after), keys, &key)?)
    }

    /// The open join tokens whose strings have secrets, with their names.
    fn joins(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, JoinScope)>> {
        let tokens = self.store.join_tokens()?.into_iter().filter(|token| wanted(&token.id));
        let open = tokens.filter(|token| {
            token.uses_left != Some(0) && token.expires.is_none_or(|expires| expires > MachineClock.now())
        });
        Ok(open.filter_map(|token| Some((token.id, token.secrets?))).collect())
    }

    /// Says which nodes get no key although the store says that the rule means them, and gives their names.
    fn say_who_waits(&self, document: &SecretsDocument, view: &RuleView, console: Console) -> Vec<String> {
        let waits = |node: &&RuleNode| self.keeper.standing(document, &[], node) == Standing::Unproven;
        let waiting = view.nodes.iter().filter(waits).map(|node| {
            let (rule, name) = (&document.rule, &node.node);
            let recipient = node.recipient.as_deref().unwrap_or_default();
            console.note(format_args!(
                "{name} gets no key: only the store says that it is {name}, for {}. If `converge secret recipient` shows \
                 {recipient} on it: `converge secret grant {rule} {name} --recipient {recipient}`",
                document.nodes
            ));
            name.clone()
        });
        waiting.collect()
    }
}

/// Says that nodes have the rule's key that it means no more.
fn say_who_left(view: &RuleView, document: &SecretsDocument, console: Console) {
    if !view.left.is_empty() {
        console.note(format_args!(
            "{} left the rule and still have its key: `converge secret rotate {}` first, then set the value again",
            view.left.join(", "),
            document.rule
        ));
    }
}
