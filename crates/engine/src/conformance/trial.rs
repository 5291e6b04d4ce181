//! What a check works with.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{
    ChannelName, NodeId, Payload, Position, Publication, Retention, SessionId, UserId,
};

use super::capture::RecordingSink;
use super::outcome::Failure;
use super::{ConformanceHooks, Making};
use crate::engine::{Engine, Sink};
use crate::request::{JoinRequest, PublishRequest, Read, ReadFrom};

/// More than any check publishes.
pub(super) const ROOMY: Retention = Retention {
    count_max: 10_000,
    bytes_max: 1024 * 1024,
    age_max: Duration::from_mins(10),
};

/// One check's engines and names.
pub(super) struct Trial<'a> {
    make: &'a dyn Fn(Arc<dyn Sink>) -> Making<'a>,
    pub(super) hooks: &'a dyn ConformanceHooks,
    /// A namespace that no other check has, nor an earlier run.
    namespace: String,
    made: Mutex<Vec<Arc<dyn Engine>>>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(
        make: &'a dyn Fn(Arc<dyn Sink>) -> Making<'a>,
        hooks: &'a dyn ConformanceHooks,
    ) -> Self {
        let random = getrandom::u64().expect("the system gives randomness");
        Self {
            make,
            hooks,
            namespace: format!("check-{random:x}"),
            made: Mutex::default(),
        }
    }

    /// Makes an engine and the sink that it delivers to.
    pub(super) async fn engine(&self) -> (Arc<dyn Engine>, Arc<RecordingSink>) {
        let sink = RecordingSink::new();
        let engine = (self.make)(sink.clone()).await;
        self.keep(&engine);
        (engine, sink)
    }

    /// Has an engine shut down when the check is over.
    pub(super) fn keep(&self, engine: &Arc<dyn Engine>) {
        self.made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(engine));
    }

    pub(super) async fn end(self) {
        for engine in self
            .made
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
        {
            // An engine that was killed may not come to an end.
            let _ = tokio::time::timeout(Duration::from_secs(5), engine.shutdown()).await;
        }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(super) fn channel(&self, name: &str) -> ChannelName {
        ChannelName::parse(&format!("{}:{name}", self.namespace)).expect("checks use valid names")
    }
}

/// A publication of `text`, kept.
pub(super) fn publication(channel: &ChannelName, text: &str) -> PublishRequest {
    PublishRequest {
        channel: channel.clone(),
        payload: Payload::Json(Bytes::from(format!("\"{text}\""))),
        id: None,
        skip_history: false,
        idempotency_window: Duration::from_mins(1),
        from: None,
        tags: Vec::new(),
        exclude: None,
        expected_position: None,
        retention: ROOMY,
    }
}

/// Publishes the numbers from 1 to `count` and gives the last position.
pub(super) async fn publish_numbers(
    engine: &Arc<dyn Engine>,
    channel: &ChannelName,
    count: u64,
) -> Result<Position, Failure> {
    let mut last = None;
    for number in 1..=count {
        last = Some(
            engine
                .publish(publication(channel, &number.to_string()))
                .await?
                .position,
        );
    }
    last.ok_or_else(|| Failure::new("the check published nothing"))
}

pub(super) fn read(from: ReadFrom, limit: usize) -> Read {
    Read { from, limit }
}

pub(super) fn offsets(publications: &[Arc<Publication>]) -> Vec<u64> {
    publications
        .iter()
        .map(|publication| publication.offset)
        .collect()
}

/// Waits for a channel's publications, all there are: numbered from 1 without a hole, and kept as they were delivered.
pub(super) async fn delivered_and_kept(
    engine: &Arc<dyn Engine>,
    sink: &RecordingSink,
    channel: &ChannelName,
    total: usize,
) -> Result<Vec<Arc<Publication>>, Failure> {
    let seen = sink.wait_for_publications(channel, total).await?;
    ensure_eq!(
        offsets(&seen),
        (1..=total as u64).collect::<Vec<_>>(),
        "delivered offsets"
    );
    let history = engine
        .read(channel, read(ReadFrom::Oldest, total + 1))
        .await?;
    ensure!(
        history.publications == seen,
        "history and deliveries of {channel} differ"
    );
    Ok(seen)
}

pub(super) fn session(number: u32) -> SessionId {
    SessionId {
        node: NodeId(0xc0_ff_ee),
        shard: 0,
        slot: number,
        generation: 1,
    }
}

pub(super) fn join(channel: &ChannelName, number: u32, user: Option<&str>) -> JoinRequest {
    JoinRequest {
        channel: channel.clone(),
        session: session(number),
        user: user.map(UserId::from),
        info: Some(Bytes::from(format!("{{\"tab\":{number}}}"))),
        members_max: None,
    }
}
