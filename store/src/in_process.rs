//! A store without a network: whoever has it asks it directly. What answers is all of the API, over the same database and blobs.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use converge_model::{Clock, Error, ErrorKind, Result};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use crate::app::App;
use crate::error::StoreError;
use crate::{Access, access_file, http};

/// Where it says that it is reached.
pub const ADDRESS: &str = "https://store.example:8600";

/// A store that serves whoever has it. Dropped, it leaves what was durable.
pub struct InProcess {
    router: Router,
    access: Access,
}

impl InProcess {
    /// Opens a data directory, as [`crate::Store::open`] does.
    ///
    /// # Errors
    /// Where it cannot be used.
    pub fn open(data: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let app = App::open(data, clock, vec![ADDRESS.to_owned()])?;
        let file = access_file(data);
        app.keep_access(&file, None).map_err(StoreError::into_trouble)?;
        let access = crate::files::read(&file)?.unwrap_or_default();
        let access = serde_json::from_slice(&access)
            .map_err(|error| Error::new(ErrorKind::Invalid, "read", file.display(), error))?;
        Ok(Self { router: http::router(Arc::new(app)), access })
    }

    /// The first operator's access.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
        let service = TowerToHyperService::new(self.router.clone());
        let Ok(response) = service.call(request.map(Body::from)).await;
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.map(Vec::from).unwrap_or_default();
        Response::from_parts(head, body)
    }
}
