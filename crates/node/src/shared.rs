//! What every part of a node sees: its configuration, engine, clocks and counters. Nothing in it belongs to a session.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use switchboard_core::Frame;
use switchboard_core::{
    ChannelName, ClientError, ErrorCode, Identity, Limits, NodeId, Policy, PolicyTable,
    TokenVerifier,
};
use switchboard_engine::{Engine, EngineError};
use switchboard_protocol::broadcast::Broadcast;
use switchboard_protocol::cursor;

use crate::admission::Admissions;
use crate::clock::Clock;
use crate::dispatch::Dispatch;
use crate::metrics::Metrics;
use crate::peers::Asked;
use crate::revoked::Revoked;
use crate::seats::Seats;

/// A node's insides, shared by its verbs and its shards.
pub(crate) struct Shared {
    pub(crate) id: NodeId,
    pub(crate) version: &'static str,
    pub(crate) limits: Limits,
    pub(crate) policies: PolicyTable,
    pub(crate) io_uring: bool,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) verifier: Arc<dyn TokenVerifier>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) revoked: Arc<Revoked>,
    pub(crate) asked: Asked,
    pub(crate) admissions: Admissions,
    pub(crate) seats: Seats,
    pub(crate) clock: Clock,
    pub(crate) started_ms: u64,
    pub(crate) draining: AtomicBool,
}

impl Shared {
    /// The policy that the channel is under.
    ///
    /// # Errors
    /// `unknown_namespace`.
    pub(crate) fn policy(&self, channel: &ChannelName) -> Result<&Arc<Policy>, ClientError> {
        self.policies.policy(channel).ok_or_else(|| {
            let message = format!(
                "no namespace `{}` is configured (channel {channel})",
                channel.namespace()
            );
            ClientError::new(ErrorCode::UnknownNamespace, message)
        })
    }

    /// Checks that a session in these channels can be resumed, whatever their positions come to be.
    ///
    /// # Errors
    /// `limit_exceeded`.
    pub(crate) fn check_cursor<'a>(
        &self,
        channels: impl IntoIterator<Item = &'a ChannelName>,
    ) -> Result<(), ClientError> {
        let max = self.limits.cursor_bytes_max;
        if cursor::bytes_max(channels) <= max {
            return Ok(());
        }
        let message = format!(
            "the names of all channels together are too long to resume from: a cursor has at most {max} bytes"
        );
        Err(ClientError::new(ErrorCode::LimitExceeded, message))
    }

    /// Checks that the identity's token has not been revoked.
    ///
    /// # Errors
    /// `unauthenticated`; `unavailable` while the node has not heard yet what is revoked.
    pub(crate) fn check_revoked(&self, identity: &Identity) -> Result<(), ClientError> {
        self.revoked.check(identity, self.clock.wall_ms())
    }

    /// Wraps a frame for many.
    pub(crate) fn broadcast(&self, frame: Frame) -> Arc<Broadcast> {
        Arc::new(Broadcast::new(frame, self.limits.deflate_bytes_min))
    }
}

/// What an engine's error is to a client or a service.
pub(crate) fn engine_error(error: EngineError) -> ClientError {
    match error {
        EngineError::PositionMismatch { current } => ClientError::new(
            ErrorCode::PositionUnavailable,
            format!(
                "the channel stands at epoch {} offset {}: nothing was published",
                current.epoch, current.offset
            ),
        ),
        EngineError::Full => ClientError::new(
            ErrorCode::LimitExceeded,
            "the channel has as many members as allowed",
        ),
        EngineError::UnknownPage => ClientError::new(
            ErrorCode::BadRequest,
            "unknown page: start again without one",
        ),
        EngineError::Unavailable {
            reason,
            may_have_happened,
        } => {
            tracing::warn!(error = %reason, may_have_happened, "engine unavailable");
            let message = if may_have_happened {
                "the engine did not answer: the write may have happened; retry with the same id"
            } else {
                "the engine is unavailable: nothing was written"
            };
            ClientError::new(ErrorCode::Unavailable, message)
        }
    }
}
