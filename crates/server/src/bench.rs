//! Routes for measurements, on the admin listener of a build for benchmarks (feature `bench`):
//! `POST /bench/bare?rounds=N` writes the body to every session's socket N times by a plain loop, and
//! `GET /bench/sends` tells how often the shards have called send.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use serde::Deserialize;

use crate::admin::Admin;

#[derive(Deserialize)]
struct Rounds {
    rounds: u32,
}

pub(crate) fn router() -> Router<Admin> {
    Router::new()
        .route("/bench/bare", post(bare))
        .route("/bench/sends", get(sends))
}

/// `SENDS SHORT`, in decimal.
async fn bare(State(admin): State<Admin>, Query(how): Query<Rounds>, body: Bytes) -> String {
    let done = admin.node.bare(body, how.rounds).await;
    format!("{} {}", done.sends, done.short)
}

async fn sends(State(admin): State<Admin>) -> String {
    admin.node.send_calls().await.to_string()
}
