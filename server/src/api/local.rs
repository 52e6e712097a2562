//! The same questions without a network: for the command line, which asks a folder as it would ask a server.

use std::io;

use axum::{Router, body::Body, http::Request};
use futures_util::StreamExt;
use store::query::Queries;
use tower::ServiceExt;

use super::{Settings, router};

/// Answers out of this process.
#[derive(Clone, Debug)]
pub struct Local(Router);

impl Local {
    /// Asks `queries`.
    pub fn new(queries: Queries) -> Self {
        Self(router(queries, Settings::default()))
    }

    /// Asks for a path with its query.
    pub async fn get(&self, path: &str, to: &mut dyn Taker) -> io::Result<()> {
        let request = Request::get(path).body(Body::empty()).map_err(io::Error::other)?;
        let answered = self.0.clone().oneshot(request).await;
        let response = answered.unwrap_or_else(|never| match never {});
        to.status(response.status().as_u16());
        let mut pieces = response.into_body().into_data_stream();
        while let Some(piece) = pieces.next().await {
            to.piece(&piece.map_err(io::Error::other)?)?;
        }
        Ok(())
    }
}

/// Takes an answer as it comes.
pub trait Taker {
    /// The status, first.
    fn status(&mut self, status: u16);
    /// The next piece of the body.
    fn piece(&mut self, piece: &[u8]) -> io::Result<()>;
}
