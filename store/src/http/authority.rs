//! Who may ask what: every route states what it needs, and nothing is answered before that was looked at.
//!
//! What changes something is written to the audit log before it is done, and so is every try that is denied.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use converge_model::Digest;
use converge_protocol::Role;
use converge_trust::request_token::{RequestToken, SCHEME};

use super::document::Told;
use super::problems::{Answer, Said};
use super::requests::{RequestId, carry_on};
use crate::app::App;
pub(crate) use crate::app::identity::{Asker, Node, Operator};
use crate::error::{StoreError, StoreResult};
use crate::persistence::Deed;
use crate::server::Peer;

/// Letters that the audit log keeps of a path, and of what was answered.
const MOST_SAID: usize = 512;

/// What a route needs of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: anybody who can connect.
    Nothing,
    /// A join token, which is in the body.
    JoinToken,
    /// The key of a node.
    NodeKey,
    /// The key of a node, or an operator of this role.
    NodeKeyOr(Role),
    /// An operator of this role.
    Role(Role),
}

/// A route, with what it needs.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) need: Need,
    /// Whether it is written to the audit log.
    pub(super) recorded: bool,
    pub(super) handler: MethodRouter<Arc<App>>,
    /// What the API's document says of it.
    pub(super) told: Told,
}

/// What stands before a route.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) app: Arc<App>,
    pub(super) need: Need,
    pub(super) recorded: bool,
}

/// The digest that the body must have: that is what was signed.
#[derive(Clone, Copy)]
pub(super) struct SignedBody(pub(super) Digest);

/// Who asks, as far as it is known.
enum Caller {
    Anybody,
    Node(Node, Digest),
    Operator(Operator),
}

/// Lets a request through to its route, or refuses it.
pub(super) async fn admit(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map_or_else(|| "unknown".to_owned(), |peer| peer.0.ip().to_string());
    let what = format!("{} {}", request.method(), request.uri().path()).chars().take(MOST_SAID).collect();
    let mut deed = Deed { who: "nobody".to_owned(), peer, what, request: RequestId::current() };
    let asked = (request.method().to_string(), target(&request).to_owned());
    match gate.caller(request.headers(), asked, &mut deed).await {
        Ok(Caller::Anybody) => {}
        Ok(Caller::Node(node, body)) => {
            request.extensions_mut().insert(SignedBody(body));
            request.extensions_mut().insert(node);
        }
        Ok(Caller::Operator(operator)) => {
            request.extensions_mut().insert(operator);
        }
        Err(error) => return gate.remember_denied(deed, Answer::from(error).into_response()).await,
    }
    request.extensions_mut().insert(deed.clone());
    if !gate.recorded {
        let response = next.run(request).await;
        return gate.remember_denied(deed, response).await;
    }
    // Carried on though the client goes away: what is done is written down.
    let done = carry_on(async move { gate.recorded(deed, request, next).await }).await;
    done.unwrap_or_else(|error| Answer::from(StoreError::trouble("do", "what was asked", error)).into_response())
}

impl Gate {
    /// Who asks; an error where that is not who may.
    async fn caller(&self, headers: &HeaderMap, asked: (String, String), deed: &mut Deed) -> StoreResult<Caller> {
        let (node, role) = match self.need {
            Need::Nothing | Need::JoinToken => return Ok(Caller::Anybody),
            Need::NodeKey => (true, None),
            Need::NodeKeyOr(role) => (true, Some(role)),
            Need::Role(role) => (false, Some(role)),
        };
        let header = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok()).unwrap_or_default();
        if let Some(token) = header.strip_prefix("Bearer ") {
            let token = token.to_owned();
            let view = self.app.blocking(move |app| app.operator_of(&token)).await?;
            let operator = Operator(Arc::new(view));
            deed.who = operator.who();
            let role = role.ok_or_else(|| StoreError::forbidden("this is for nodes only, with their keys"))?;
            operator.must_be(role)?;
            return Ok(Caller::Operator(operator));
        }
        if header.starts_with(SCHEME) {
            let token = RequestToken::parse(header)
                .map_err(|_| StoreError::unauthorized("the request's signature is none, or was cut"))?;
            let body = token.body;
            deed.who = format!("who calls itself node {}", token.node);
            let name = token.node.clone();
            let found = self.app.node_of(token, asked.0, asked.1).await?;
            deed.who = format!("node {name}");
            if !node {
                return Err(StoreError::forbidden("this is for operators only, with their tokens"));
            }
            return Ok(Caller::Node(found, body));
        }
        Err(StoreError::unauthorized(if node {
            "the request is not signed by a node's key"
        } else {
            "the request carries no operator's token"
        }))
    }

    /// Answers, with an entry in the audit log before and its outcome after.
    async fn recorded(&self, deed: Deed, request: Request, next: Next) -> Response {
        let noted = self.app.blocking(move |app| app.note_deed(&deed)).await;
        let id = match noted {
            Ok(id) => id,
            // What cannot be written down is not done.
            Err(error) => return Answer::from(error).into_response(),
        };
        let response = next.run(request).await;
        let (status, said) = (response.status().as_u16(), said(&response));
        let noted = self.app.blocking(move |app| app.note_outcome(id, status, said.as_deref())).await;
        if let Err(StoreError::Trouble(error)) = noted {
            tracing::error!("{error}; audit entry {id} stays without an outcome, which was {status}");
        }
        response
    }

    /// Writes down an answer that is a denial.
    async fn remember_denied(&self, deed: Deed, response: Response) -> Response {
        let status = response.status().as_u16();
        if matches!(status, 401 | 403) {
            let said = said(&response).unwrap_or_default();
            let noted = self.app.blocking(move |app| app.note_denied(&deed, status, &said)).await;
            if let Err(StoreError::Trouble(error)) = noted {
                tracing::error!("{error}; a denied try is in no audit entry");
            }
        }
        response
    }
}

/// What the audit log keeps of an answer. An answer may repeat what was asked, and whoever reads the log reads it on a
/// terminal: nothing in it can act on one.
fn said(response: &Response) -> Option<String> {
    let said = response.extensions().get::<Said>()?;
    let harmless = |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    Some(said.0.chars().map(harmless).take(MOST_SAID).collect())
}

/// The path and query that were asked for, as they were sent.
fn target(request: &Request) -> &str {
    request.uri().path_and_query().map_or("/", |target| target.as_str())
}

/// A handler takes who asks from what the gate found out.
fn found<T: Clone + Send + Sync + 'static>(parts: &Parts) -> Result<T, Answer> {
    let found = parts.extensions.get::<T>().cloned();
    found.ok_or_else(|| StoreError::trouble("find", "who asks", "the route's need does not fit its handler").into())
}

impl FromRequestParts<Arc<App>> for Node {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Self, Answer> {
        found(parts)
    }
}

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Self, Answer> {
        found(parts)
    }
}

impl FromRequestParts<Arc<App>> for Asker {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Self, Answer> {
        found(parts).map(Asker::Node).or_else(|_| found(parts).map(Asker::Operator))
    }
}

impl FromRequestParts<Arc<App>> for Deed {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Self, Answer> {
        found(parts)
    }
}
