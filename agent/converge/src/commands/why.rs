//! `converge why`: where a resource and its values come from.

mod since;

use std::sync::Arc;

use converge_model::{Error, ErrorKind};
use converge_policy::attribute::LevelName;
use converge_policy::bind::BindInput;
use converge_policy::why::{Place, SetBy, Use, Why, WhyLine, WhyProperty, why, why_line};
use converge_system::linux::facts;
use serde::Serialize;
use since::Since;

use crate::cli::{CommonArgs, WhyArgs};
use crate::console::{Console, DIM, STRONG, styled};
use crate::failure::Outcome;
use crate::run::policy::PolicyChoice;
use crate::run::{Agent, PolicyBlobs, bind_to_node};

/// The answer, with the revision that it holds for.
#[derive(Debug, Serialize)]
struct Answer {
    policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    since: Since,
    #[serde(flatten)]
    why: Why,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<WhyLine>,
}

/// Answers for the policy that this node would converge now.
pub(crate) fn run(args: &WhyArgs, common: &CommonArgs, console: Console) -> Outcome {
    let agent = Agent::open(common, console)?;
    let mut remarks = Vec::new();
    let prepared = agent.prepare(PolicyChoice::new(&args.policy, console)?, &mut remarks)?;
    for remark in remarks {
        console.note(remark);
    }
    let facts = Arc::new(facts::of_machine(&agent.config_dir.facts_directory()));
    let bound = bind_to_node(&prepared, &facts)?;
    let blobs = PolicyBlobs(&*prepared.blobs);
    let kinds = converge_kinds::registry();
    let property = args.property.as_deref();
    let explain = |cause: String| Error::new(ErrorKind::Invalid, "explain", &args.resource, cause);
    let found = why(&prepared.graph, &bound, &blobs, kinds, &args.resource, property).map_err(explain)?;
    let line = match args.line {
        None => None,
        Some(line) => {
            let (node, node_attributes) = (prepared.node.clone(), prepared.attributes.clone());
            let input =
                BindInput { facts: Arc::clone(&facts), node, node_attributes, secrets: prepared.secrets.clone() };
            let line = why_line(&prepared.graph, &bound, &input, &blobs, kinds, &args.resource, line);
            Some(line.map_err(explain)?)
        }
    };
    let since = match (&prepared.store, &args.policy.policy) {
        (Some(store), _) => Since::of_store(&prepared, store, &facts, (&found, property), console),
        (None, Some(path)) => Since::of_repository(path, &found),
        (None, None) => Since::Unknown { reason: "no store".to_owned() },
    };
    let policy = prepared.graph.policy.clone();
    let answer = Answer { policy, revision: prepared.revision, since, why: found, line };
    console.result(&answer, text)
}

fn text(answer: &Answer) -> String {
    if let Some(line) = &answer.line {
        return line_text(answer, line);
    }
    let why = &answer.why;
    let revision = answer.revision.map(|serial| format!(" revision {serial}")).unwrap_or_default();
    let mut lines = vec![
        styled(STRONG, &why.resource),
        format!("  policy {}{revision}, cookbook {}, recipe {}", answer.policy, why.cookbook, why.recipe),
        format!("  declared at {}", place(&why.declared)),
        format!("  {}", answer.since.words()),
    ];
    lines.extend(
        why.within.iter().map(|outer| format!("  part of {}, declared at {}", outer.resource, place(&outer.declared))),
    );
    lines.extend(why.members.iter().map(|member| format!("  consists of {member}")));
    lines.extend(why.skipped.iter().map(|reason| format!("  skipped: {reason}")));
    for property in &why.properties {
        property_lines(property, &mut lines);
    }
    lines.join("\n")
}

/// The answer to where one line comes from.
fn line_text(answer: &Answer, line: &WhyLine) -> String {
    let text = line.text.as_deref().map_or_else(|| "(sensitive)".to_owned(), short);
    let mut lines = vec![format!("{} line {}: {text}", styled(STRONG, &answer.why.resource), line.line)];
    lines.extend(line.from.iter().map(|from| format!("  from {}", place(from))));
    use_lines(&line.uses, 4, &mut lines);
    lines.push(format!("  the resource: {}", answer.since.words()));
    lines.join("\n")
}

fn property_lines(property: &WhyProperty, lines: &mut Vec<String>) {
    let shown = match (&property.value, &property.written, property.hidden) {
        (_, _, true) => "(sensitive)".to_owned(),
        (Some(value), _, false) => short(&value.to_string()),
        (None, Some(written), false) => short(written),
        (None, None, false) => String::new(),
    };
    lines.push(format!("\n  {} = {shown}  {}", styled(STRONG, &property.name), styled(DIM, place(&property.place))));
    use_lines(&property.uses, 4, lines);
}

fn use_lines(uses: &[Use], indent: usize, lines: &mut Vec<String>) {
    let pad = " ".repeat(indent);
    for each in uses {
        let (line, inner): (String, &[Use]) = match each {
            Use::Attribute { cookbook, name, value, secret, set_by } => {
                let value = if *secret { "(sensitive)".to_owned() } else { shown(value.as_ref()) };
                lines.push(format!("{pad}attr.{cookbook}.{name} = {value}"));
                lines.extend(set_by.iter().map(|setter| format!("{pad}  {}", set_line(setter))));
                continue;
            }
            Use::Given { path } => (path.clone(), &[]),
            Use::Parameter { name, of, place: at, default, uses } => {
                let what = if *default { "default of" } else { "given to" };
                (format!("param.{name}, {what} {of} at {}", place(at)), uses)
            }
            Use::Each { place: at, uses } => (format!("the turn of for_each at {}", place(at)), uses),
            Use::Content { file, uses } => (file.clone(), uses),
        };
        lines.push(format!("{pad}{line}"));
        use_lines(inner, indent + 2, lines);
    }
}

fn set_line(setter: &SetBy) -> String {
    let level = match &setter.level {
        LevelName::Default => "cookbook's default".to_owned(),
        LevelName::Policy { policy } => format!("policy {policy}"),
        LevelName::Group { policy, group } => format!("group {group} of policy {policy}"),
        LevelName::Node => "this node, in the store".to_owned(),
    };
    let at = setter.place.as_ref().map(|at| format!("  {}", styled(DIM, place(at)))).unwrap_or_default();
    format!("{level}: {}{at}", shown(setter.value.as_ref()))
}

fn shown(value: Option<&converge_model::Value>) -> String {
    value.map_or_else(|| "(not shown)".to_owned(), |value| short(&value.to_string()))
}

/// The first line of a value, of bearable length.
fn short(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut lines = text.lines();
    let first: String = lines.next().unwrap_or_default().chars().take(LONGEST).collect();
    if lines.next().is_some() || text.chars().count() > LONGEST { format!("{first}…") } else { first }
}

fn place(place: &Place) -> String {
    format!("{}:{}", place.file, place.line)
}
