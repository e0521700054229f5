//! The API: requests to calls, results to documents.

mod audit;
mod authority;
mod body;
mod document;
mod health;
mod nodes;
mod operators;
mod policies;
mod problems;
mod reports;
mod requests;
mod routes;
mod secrets;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;

pub use authority::Need;
use authority::{Gate, admit};
pub use document::openapi;

use crate::app::App;

/// The API over `app`.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in routes::table() {
        let gate = Gate { app: app.clone(), need: route.need, recorded: route.recorded };
        router = router.route(route.path, route.handler.route_layer(from_fn_with_state(gate, admit)));
    }
    router
        .fallback(problems::no_such_route)
        .method_not_allowed_fallback(problems::wrong_method)
        .layer(from_fn_with_state(app.clone(), requests::attend))
        .with_state(app)
}

/// Every route: its method, its path, and what it needs of who asks.
pub fn routes() -> Vec<(String, &'static str, Need)> {
    routes::table().into_iter().map(|route| (route.method.to_string(), route.path, route.need)).collect()
}
