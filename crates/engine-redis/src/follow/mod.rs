//! Hearing what is published: subscriptions, liveness, and the way to the node.
//!
//! Reading order: [`Followed`], the channels that the node follows; [`Ear`], which subscribes to those of one shard and makes itself
//! anew when it is deaf; `canary`, how it knows; [`Deliveries`], the queue between the ears and the node; `compare`, the
//! last line of defence.
//!
//! What is lost on the way is told, never repaired here: the node knows where it stands and reads the rest from history.

mod canary;
mod compare;
mod deliveries;
mod ear;
mod followed;

pub(crate) use compare::{compare_all, keep_comparing};
pub(crate) use deliveries::{Deliveries, deliver};
pub(crate) use ear::{Ear, listen};
pub(crate) use followed::{Begun, Followed, Seen};

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use switchboard_core::{ChannelName, NodeId};
use switchboard_engine::Sink;

use crate::shards::Shards;

/// What the parts of this module work on together.
pub(crate) struct Hearing {
    pub(crate) shards: Arc<Shards>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) followed: Followed,
    pub(crate) deliveries: Deliveries,
    /// Whose engine this is; in the name of its canaries.
    pub(crate) node: NodeId,
    /// Where other nodes' messages come, as if it were a channel.
    pub(crate) inbox: ChannelName,
    /// What came and could not be read. Ever rising.
    pub(crate) garbage: AtomicU64,
}
