//! `converge token`: tokens with which machines enrol, and those of operators.

use std::path::Path;

use converge_model::{Error, ErrorKind, Result};
use converge_protocol::authority::{JoinTokenView, OperatorTokenRequest, OperatorTokenView};
use converge_protocol::{JoinTokenRequest, Scope};
use converge_store::Access;
use converge_system::linux::durable;
use converge_trust::AllowedSigners;
use converge_trust::join_string::{self, JoinString};
use serde::Serialize;
use serde_json::json;

use crate::access;
use crate::cli::{JoinArgs, OperatorArgs, TokenAction, TokenArgs};
use crate::client::StoreClient;
use crate::console::Console;
use crate::console::table::table;
use crate::console::words::moment;
use crate::failure::{Failure, Outcome};
use crate::repository;
use crate::secrets::Keeper;

/// Whose revisions nodes run: the file of a policy repository that says so.
const SIGNERS_FILE: &str = "allowed_signers";

/// A join string, and until when it is good.
#[derive(Debug, Serialize)]
struct Join {
    join: String,
    expires: Option<converge_model::Timestamp>,
}

/// Does what was asked with tokens.
pub(crate) fn run(args: &TokenArgs, console: Console) -> Outcome {
    let store = access::operator(&args.access, None)?;
    match &args.action {
        TokenAction::Create(args) => create(&store, args, console),
        TokenAction::CreateOperator(args) => create_operator(&store, args, console),
        TokenAction::List => list(&store, console),
        TokenAction::Revoke { id: Some(id), .. } => {
            store.revoke_join_token(id)?;
            console.result(&json!({ "revoked": id }), |_| format!("join token {id} is good for nothing now"))
        }
        TokenAction::Revoke { id: None, operator } => {
            let name = operator.clone().unwrap_or_default();
            store.revoke_operator(&name)?;
            console.result(&json!({ "revoked": name }), |_| {
                format!("the token of operator {name} is good for nothing now")
            })
        }
    }
}

/// Makes a join token, and prints the string that `converge enroll` takes.
fn create(store: &StoreClient, args: &JoinArgs, console: Console) -> Outcome {
    let signers = signers(args)?;
    let keeper = Keeper::read(&args.keeper)?;
    let secrets = keeper.as_ref().map(|keeper| keeper.new_join(&args.policy, &args.group, &args.tags)).transpose()?;
    let token = store.join_token(&JoinTokenRequest {
        policy: args.policy.clone(),
        group: args.group.clone(),
        uses: args.uses,
        valid_seconds: Some(args.expires.duration().as_secs()),
        replaces: args.replace.clone(),
        tags: args.tags.clone(),
        secrets: secrets.as_ref().map(|join| join.scope.clone()),
    })?;
    match (&keeper, &secrets) {
        (Some(keeper), Some(join)) => drop(keeper.admit_join(store, &join.scope)?),
        _ => console
            .note("there is no keeper's key here: machines that join with it read no secrets until they are let in"),
    }
    if let Some(expires) = token.expires {
        let (policy, group) = (&args.policy, &args.group);
        console.note(format_args!("good until {} UTC, for nodes of {policy} in group {group}", moment(expires)));
    }
    if signers.is_none() {
        console.note("it names no signers: give them with --signers; a machine that has none of its own runs nothing");
    }
    let threshold = signers.as_ref().map(|_| args.threshold);
    let stores = if args.addresses.is_empty() { token.stores } else { args.addresses.clone() };
    let join = JoinString { stores, authority: store.trust().pin(), token: token.token, signers, threshold, secrets };
    let join = Join { join: join.to_text()?, expires: token.expires };
    console.result(&join, |join| join.join.clone())
}

/// The lines of the file that says whose revisions the nodes will run; nothing where there is none.
fn signers(args: &JoinArgs) -> Outcome<Option<String>> {
    let file = match &args.signers {
        Some(file) => file.clone(),
        None => match repository::root_around(Path::new(".")) {
            Some(root) if root.join(SIGNERS_FILE).is_file() => root.join(SIGNERS_FILE),
            _ => return Ok(None),
        },
    };
    let wrong = |cause: String| Failure::input("read", file.display(), cause);
    let bytes =
        durable::read(&file, join_string::LONGEST as u64)?.ok_or_else(|| wrong("it is not there".to_owned()))?;
    let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    let zone = jiff::tz::TimeZone::UTC;
    let parsed = AllowedSigners::parse(&text, &zone, &file.display().to_string())?;
    let count = parsed.signers().len();
    if count < args.threshold as usize || args.threshold == 0 {
        return Err(wrong(format!("it names {count} signers, and {} must sign", args.threshold))
            .with_hint("give a --threshold from 1 to the number of signers"));
    }
    Ok(Some(text))
}

/// Makes an operator's token, and prints or writes the access file with it.
fn create_operator(store: &StoreClient, args: &OperatorArgs, console: Console) -> Outcome {
    let made = store.operator_token(&OperatorTokenRequest {
        name: args.name.clone(),
        role: args.role,
        scope: Scope { policies: args.policies.clone(), groups: args.groups.clone() },
        valid_seconds: args.expires.map(|expires| expires.duration().as_secs()),
    })?;
    let access = Access { store: made.store, authority: store.trust().pin(), token: made.token };
    let Some(file) = &args.output else { return console.document(&access) };
    write_access(file, &access)?;
    console.result(&json!({ "name": args.name, "file": file }), |_| {
        format!("{} has the access in {}: hand it over, and keep no copy", args.name, file.display())
    })
}

fn write_access(file: &Path, access: &Access) -> Result<()> {
    let text = serde_json::to_vec_pretty(access)
        .map_err(|error| Error::new(ErrorKind::Failed, "write", file.display(), error))?;
    // A file beside the place where the command was typed has a directory too.
    let file = std::path::absolute(file).map_err(|error| Error::io("write", file.display(), &error))?;
    durable::write(&file, &text, 0o600)
}

/// Both kinds of tokens.
#[derive(Debug, Serialize)]
struct Tokens {
    operators: Vec<OperatorTokenView>,
    join: Vec<JoinTokenView>,
}

fn list(store: &StoreClient, console: Console) -> Outcome {
    let operators = match store.operators() {
        Ok(operators) => operators,
        // Who may list join tokens only, sees those.
        Err(error) if error.kind == ErrorKind::Denied => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let tokens = Tokens { operators, join: store.join_tokens()? };
    console.result(&tokens, |tokens| {
        let operators = tokens.operators.iter().map(operator_row);
        let join = tokens.join.iter().map(join_row);
        let mut text = String::new();
        if !tokens.operators.is_empty() {
            text = format!("{}\n\n", table(&["operator", "role", "where", "made by", "good until"], operators));
        }
        if tokens.join.is_empty() {
            return text + "no join tokens";
        }
        text + &table(&["join token", "policy", "group", "uses left", "made by", "good until"], join)
    })
}

fn operator_row(operator: &OperatorTokenView) -> Vec<String> {
    let good = match (operator.revoked, operator.expires) {
        (Some(revoked), _) => format!("revoked {}", moment(revoked)),
        (None, Some(expires)) => moment(expires),
        (None, None) => "it is revoked".to_owned(),
    };
    let names = |what: &str, names: &[String]| (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")));
    let Scope { policies, groups } = &operator.scope;
    let parts: Vec<String> = [names("policy", policies), names("group", groups)].into_iter().flatten().collect();
    let place = if parts.is_empty() { "everywhere".to_owned() } else { parts.join("; ") };
    vec![operator.name.clone(), operator.role.to_string(), place, operator.made_by.clone(), good]
}

fn join_row(token: &JoinTokenView) -> Vec<String> {
    let uses = match (&token.replaces, token.uses_left) {
        (Some(node), Some(uses)) => format!("{uses}, for {node}"),
        (_, Some(uses)) => uses.to_string(),
        (_, None) => "any number".to_owned(),
    };
    vec![
        token.id.clone(),
        token.policy.clone(),
        token.group.clone(),
        uses,
        token.made_by.clone(),
        token.expires.map_or_else(|| "it is revoked".to_owned(), moment),
    ]
}
