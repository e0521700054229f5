//! Whoever has a store, or the way to it, under control: what was valid once, what was signed for somebody else, what nobody
//! signed, and lies about everything that is not signed.

use converge_model::{Digest, Report};
use converge_protocol::problem::{WRONG_CLOCK, WRONG_KEY};
use http::header::{ETAG, RETRY_AFTER};
use http::{Method, Response, StatusCode};
use serde_json::{Value as Json, json};

use super::authors::{BEGIN, SERIALS};
use super::store::Message;
use super::world::{World, other, path_of};

/// Whether a request does not come to the store at all.
pub(super) fn is_kept_from_store(world: &World, message: &Message) -> bool {
    message.method != Method::GET || world.percent(50)
}

/// What comes in place of the store's answer.
pub(super) fn answer(world: &World, message: &Message, honest: Option<Response<Vec<u8>>>) -> Response<Vec<u8>> {
    let path = path_of(&message.target);
    if message.method == Method::POST && path == "/v1/reports" {
        withhold(world, message);
        let status = [StatusCode::NO_CONTENT, StatusCode::UNPROCESSABLE_ENTITY];
        return with_status(*world.chance.borrow_mut().one_of(&status), Vec::new());
    }
    if message.method != Method::GET || world.percent(25) {
        return refusal(world);
    }
    if path == "/v1/node" {
        return assignment(world, honest);
    }
    let body = if path.ends_with("/signed") { manifest(world) } else { blob(world, message) };
    with_status(StatusCode::OK, body)
}

/// The report is gone, and that is no fault of the node's.
fn withhold(world: &World, message: &Message) {
    if let Ok(report) = serde_json::from_slice::<Report>(&message.body) {
        world.withheld.borrow_mut().push(report.run.to_string());
    }
}

/// A refusal of any kind, with any lie in it.
fn refusal(world: &World) -> Response<Vec<u8>> {
    let time = BEGIN + world.below(800_000_000_000).cast_signed() - 400_000_000_000;
    let problem =
        |kind: &str| json!({ "type": kind, "title": "No", "status": 401, "time": time }).to_string().into_bytes();
    match world.below(6) {
        0 | 1 => with_status(StatusCode::UNAUTHORIZED, problem(WRONG_CLOCK)),
        2 => with_status(StatusCode::UNAUTHORIZED, problem(WRONG_KEY)),
        3 => {
            let mut answer = with_status(StatusCode::SERVICE_UNAVAILABLE, Vec::new());
            answer.headers_mut().insert(RETRY_AFTER, world.below(u64::MAX).into());
            answer
        }
        4 => with_status(StatusCode::NOT_MODIFIED, Vec::new()),
        _ => with_status(StatusCode::OK, b"{\"rubbish\":[".to_vec()),
    }
}

/// An assignment that was given earlier, to whomever; or one that lies.
fn assignment(world: &World, honest: Option<Response<Vec<u8>>>) -> Response<Vec<u8>> {
    let given: Vec<Vec<u8>> =
        world.past.borrow().iter().filter(|(path, _)| path == "/v1/node").map(|(_, body)| body.clone()).collect();
    let mut body = match honest.filter(|honest| !honest.body().is_empty()) {
        Some(honest) if world.percent(60) || given.is_empty() => honest.into_body(),
        _ if given.is_empty() => return refusal(world),
        _ => world.chance.borrow_mut().one_of(&given).clone(),
    };
    if let Ok(mut document) = serde_json::from_slice::<Json>(&body)
        && document["revision"].is_object()
        && world.percent(70)
    {
        lie(world, &mut document);
        body = document.to_string().into_bytes();
    }
    let mut answer = with_status(StatusCode::OK, body);
    let tag = format!("\"evil-{}\"", world.below(1_000));
    answer.headers_mut().insert(ETAG, tag.parse().unwrap());
    answer
}

fn lie(world: &World, document: &mut Json) {
    let policy = document["policy"].as_str().unwrap_or_default().to_owned();
    let mut revisions = world.authors.revisions.clone();
    revisions.push(world.authors.foreign.clone());
    let revision = world.chance.borrow_mut().one_of(&revisions).clone();
    let digest = Digest::of(revision.signed.manifest.as_bytes()).to_string();
    match world.below(6) {
        0 | 1 => document["revision"] = json!({ "serial": revision.serial, "manifest": digest, "signatures": 1 }),
        2 => document["revision"]["serial"] = json!(1 + world.below(SERIALS + 2)),
        3 => document["policy"] = json!(other(&policy)),
        4 => document["group"] = json!(*world.chance.borrow_mut().one_of(&["prod", "dev", "else", "../x"])),
        _ => document["attributes"] = json!({ "sim": { "nothing": 1 } }),
    }
}

/// A signed manifest that was not asked for, or one that was changed.
fn manifest(world: &World) -> Vec<u8> {
    let mut revisions = world.authors.revisions.clone();
    revisions.push(world.authors.foreign.clone());
    let mut signed = world.chance.borrow_mut().one_of(&revisions).signed.clone();
    match world.below(4) {
        0 => signed.signatures.clear(),
        1 => signed.manifest = signed.manifest.replace("\"serial\":", "\"serial\":1"),
        2 => signed.signatures = world.authors.foreign.signed.signatures.clone(),
        _ => {}
    }
    serde_json::to_vec(&signed).unwrap()
}

/// A blob that was not asked for, or one that was changed.
fn blob(world: &World, message: &Message) -> Vec<u8> {
    let digest = message.target.rsplit('/').next().and_then(|digest| digest.parse::<Digest>().ok());
    let asked = digest.and_then(|digest| world.authors.blobs.get(&digest).cloned());
    match asked {
        Some(mut bytes) if world.percent(60) && !bytes.is_empty() => {
            let place = usize::try_from(world.below(bytes.len() as u64)).unwrap();
            bytes[place] ^= 1;
            bytes
        }
        _ => {
            let all: Vec<&Vec<u8>> = world.authors.blobs.values().collect();
            (*world.chance.borrow_mut().one_of(&all)).clone()
        }
    }
}

fn with_status(status: StatusCode, body: Vec<u8>) -> Response<Vec<u8>> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}
