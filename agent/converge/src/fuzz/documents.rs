//! JSON documents, whoever wrote them; heads of HTTP; and words that stand for something.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use converge_engine::{Entry, Recovery};
use converge_model::{AbsPath, Digest, Graph, Report, ResourceId, RunId, Span, Value};
use converge_protocol::authority::{Approval, KeyRotation, OperatorTokenRequest};
use converge_protocol::secrets::{NodeSecrets, RecipientNotice, RuleChange};
use converge_protocol::{
    Assignment, EnrollRequest, EnrollResponse, JoinTokenRequest, Manifest, MissingBlobs, NodeChange, NodeView, Page,
    Problem, ReportSummary, RevisionView, SignedManifest,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Target;
use crate::client::Head;
use crate::config::{AgentConfig, NodeIdentity};
use crate::state::assignment::Remembered;
use crate::state::contact::Contact;
use crate::state::daemon::DaemonState;
use crate::state::highest::Ran;
use crate::state::reports::Gist;
use crate::state::spool::Dropped;

const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const RUN: &str = "01a318b1f2a928bbc7d4b7fa30d3c695";

pub(super) fn targets() -> Vec<Target> {
    let blob = format!("{{\"digest\":\"{DIGEST}\",\"size\":12}}");
    let manifest = format!(
        "{{\"format\":1,\"policy\":\"web\",\"serial\":7,\"groups\":[\"prod\"],\"graph\":{blob},\"blobs\":[{blob}],\"commit\":\"abc\",\"published\":1800000000000}}"
    );
    let signed = serde_json::json!({ "manifest": manifest, "signatures": ["-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n"] });
    let signed = signed.to_string();
    let assignment = format!(
        "{{\"name\":\"a\",\"policy\":\"web\",\"group\":\"prod\",\"tags\":[\"x\"],\"attributes\":{{\"nginx\":{{\"port\":80}}}},\"revision\":{{\"serial\":7,\"manifest\":\"{DIGEST}\",\"signatures\":1}}}}"
    );
    let remembered = format!(
        "{{\"store\":\"https://s\",\"assignment\":{assignment},\"accepted\":{{\"signed\":{signed},\"at\":1}},\"etag\":\"\\\"x\\\"\",\"facts\":null}}"
    );
    let report = format!(
        "{{\"format\":1,\"run\":\"{RUN}\",\"node\":\"a\",\"policy\":\"web\",\"revision\":3,\"mode\":\"apply\",\"started\":1795462808390,\"millis\":0,\"conclusion\":{{\"kind\":\"succeeded\"}},\"passes\":1,\"counts\":{{\"updated\":1}},\"resources\":[]}}"
    );
    let revision = format!(
        "{{\"items\":[{{\"policy\":\"web\",\"serial\":1,\"published\":1,\"manifest\":{manifest},\"signatures\":1}}]}}"
    );
    let mut targets = vec![
        document::<Report>("report", &[&report]),
        document::<Manifest>("manifest", &[&manifest]),
        document::<SignedManifest>("signed manifest", &[&signed]),
        document::<Assignment>("assignment", &[&assignment]),
        document::<Remembered>("assignment.json", &[&remembered]),
        document::<Gist>("gist of a report", &[&report]),
        document::<Contact>(
            "contact.json",
            &["{\"store\":\"s\",\"trouble\":{\"since\":1,\"at\":2,\"message\":\"m\"},\"leave_alone_until\":5}"],
        ),
        document::<DaemonState>(
            "daemon.json",
            &["{\"pid\":1,\"since\":2,\"interval\":\"30m\",\"began\":3,\"next\":4,\"why\":\"news\"}"],
        ),
        document::<std::collections::BTreeMap<String, Ran>>(
            "highest.json",
            &[&format!("{{\"web\":{{\"serial\":3,\"manifest\":\"{DIGEST}\"}}}}")],
        ),
        document::<Dropped>("spool.dropped", &["{\"reports\":3,\"going\":[\"a.json\"]}"]),
        document::<Value>("facts", &["{\"a\":[1,-2,\"x\",null,true,{\"b\":{}}],\"c\":0.5}"]),
        document::<NodeView>(
            "node",
            &["{\"name\":\"a\",\"policy\":\"web\",\"group\":\"prod\",\"tags\":[],\"enrolled\":1,\"conditions\":[]}"],
        ),
        document::<Page<ReportSummary>>("page of reports", &["{\"items\":[],\"next\":\"x\"}"]),
        document::<Page<RevisionView>>("page of revisions", &[&revision]),
        document::<Problem>(
            "problem",
            &["{\"type\":\"wrong-clock\",\"title\":\"t\",\"status\":401,\"time\":5,\"retry_after\":3}"],
        ),
    ];
    targets.extend(requests());
    targets.extend(files());
    targets.extend([
        word::<Digest>("digest", DIGEST),
        word::<RunId>("run", RUN),
        word::<ResourceId>("resource", "file[/etc/motd]"),
        word::<Span>("span", "1h 30m"),
        word::<AbsPath>("path", "/etc/x/y"),
    ]);
    targets
}

/// What is sent to a store, and what it says of secrets.
fn requests() -> Vec<Target> {
    vec![
        document::<EnrollRequest>("enrolment", &["{\"token\":\"t\",\"name\":\"a\",\"key\":\"k\",\"proof\":\"p\"}"]),
        document::<EnrollResponse>(
            "enrolled",
            &["{\"store\":\"s\",\"name\":\"a\",\"policy\":\"web\",\"group\":\"prod\",\"waiting\":false}"],
        ),
        document::<JoinTokenRequest>(
            "join token",
            &["{\"policy\":\"web\",\"group\":\"prod\",\"uses\":1,\"valid_seconds\":60,\"tags\":[\"a\"]}"],
        ),
        document::<OperatorTokenRequest>(
            "operator token",
            &["{\"name\":\"o\",\"role\":\"viewer\",\"scope\":{\"policies\":[\"web\"],\"groups\":[\"prod\"]}}"],
        ),
        document::<KeyRotation>("key rotation", &["{\"next\":\"k\",\"proof\":\"p\"}"]),
        document::<Approval>("approval", &["{\"fingerprint\":\"SHA256:x\"}"]),
        document::<MissingBlobs>("missing blobs", &[&format!("{{\"digests\":[\"{DIGEST}\"]}}")]),
        document::<NodeChange>(
            "node change",
            &["{\"group\":\"dev\",\"tags\":[\"x\"],\"attributes\":{\"a\":{\"b\":1}}}"],
        ),
        document::<RuleChange>(
            "rule of secrets",
            &["{\"signed\":{\"document\":\"{}\",\"signature\":\"s\"},\"keys\":[]}"],
        ),
        document::<NodeSecrets>("secrets of a node", &["{\"rules\":[]}"]),
        document::<RecipientNotice>("recipient", &["{\"recipient\":\"age1x\"}"]),
    ]
}

/// What is not JSON alone.
fn files() -> Vec<Target> {
    vec![
        Target::new("journal", &[JOURNAL], |bytes| {
            let (entries, unreadable) = Entry::decode_all(bytes);
            let again: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
            let (same, none) = Entry::decode_all(&again);
            assert_eq!((format!("{entries:?}"), 0), (format!("{same:?}"), none), "{unreadable} were unreadable");
            let _ = (Entry::decode_due(bytes).len(), Recovery::replay(&entries).reports.len());
        }),
        Target::new("graph", &[&graph()], |bytes| {
            if let Ok(graph) = Graph::from_bytes(bytes) {
                let again = graph.to_bytes().unwrap();
                assert_eq!(Graph::from_bytes(&again).unwrap().to_bytes().unwrap(), again);
            }
        }),
        Target::new(
            "head of an answer",
            &["HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 12\r\nConnection: close\r\n\r\n"],
            |bytes| {
                drop(Head::parse(bytes));
            },
        ),
        Target::of_text(
            "agent.toml",
            &["interval = \"5m\"\ndeadline = \"1h\"\nspool_bytes = 5\nsignatures = 2\ngroup = \"a\"\n"],
            |text| {
                drop(toml::from_str::<AgentConfig>(text));
            },
        ),
        Target::of_text("node.toml", &[NODE], |text| {
            if let Ok(node) = toml::from_str::<NodeIdentity>(text) {
                assert_eq!(toml::from_str::<NodeIdentity>(&toml::to_string(&node).unwrap()).unwrap(), node);
            }
        }),
    ]
}

const NODE: &str = "store = \"https://s\"\nname = \"a\"\npolicy = \"web\"\nstore_identity = \"x\"\nthreshold = 2\n";
const JOURNAL: &str = "\n{\"entry\":\"started\",\"format\":1,\"run\":\"01a318b1f2a928bbc7d4b7fa30d3c695\",\"at\":1,\"node\":\"a\",\"policy\":\"web\",\"revision\":1,\"resources\":2}\
    \n{\"entry\":\"done\",\"target\":\"service[x]\",\"action\":\"restart\"}\n{\"entry\":\"released\",\"target\":\"service[x]\",\"action\":\"restart\",\"reason\":\"r\"}\
    \n{\"entry\":\"ended\",\"conclusion\":{\"kind\":\"succeeded\"}}";

/// A graph, as an author publishes it.
fn graph() -> String {
    let compiled = super::policies::compiled(super::policies::RECIPE.as_bytes()).expect("the sample is a recipe");
    String::from_utf8(compiled.graph.to_bytes().unwrap()).unwrap()
}

/// A document that is read and written.
fn document<T: DeserializeOwned + Serialize + Debug>(name: &'static str, samples: &[&str]) -> Target {
    Target::new(name, samples, |bytes| {
        if let Ok(document) = serde_json::from_slice::<T>(bytes) {
            let again = serde_json::to_vec(&document).unwrap();
            let same: T = serde_json::from_slice(&again).expect("what was written is read");
            assert_eq!(format!("{document:?}"), format!("{same:?}"));
        }
    })
}

/// A word that stands for something.
fn word<T: FromStr + Display>(name: &'static str, sample: &str) -> Target
where
    T::Err: Debug,
{
    Target::of_text(name, &[sample], |text| {
        if let Ok(word) = text.parse::<T>() {
            let said = word.to_string();
            let Ok(same) = said.parse::<T>() else { panic!("{said:?} is not read again") };
            assert_eq!(same.to_string(), said);
        }
    })
}
