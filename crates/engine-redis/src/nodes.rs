//! The nodes that share the Redis: who is alive, and messages from one to another.
//!
//! A node has its place among the nodes as long as it renews its lease, and hears its inbox, a channel of its own that it follows as
//! it does every other.

use std::time::Duration;

use bytes::Bytes;
use switchboard_core::NodeId;
use switchboard_engine::EngineError;

use crate::deadline::unavailable;
use crate::keys::{LEASES, inbox};
use crate::reply::CallError;
use crate::scripts;
use crate::shards::Shards;

/// How long a goodbye may hold up the end of a node: without one the node stays among the others until its lease is over.
const DEPART_TIMEOUT: Duration = Duration::from_secs(1);

/// The nodes that are alive, but for `me`.
pub(crate) async fn others(shards: &Shards, me: NodeId) -> Result<Vec<NodeId>, EngineError> {
    let alive = async {
        let keys = [shards.keys.nodes()];
        let alive = shards.run(LEASES, &scripts::NODES, &keys, &[]).await?;
        alive
            .array()?
            .into_iter()
            .map(|node| {
                let node = u32::from_str_radix(&node.text()?, 16);
                node.map(NodeId).map_err(|_| CallError::Garbled)
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let mut alive = alive.await.map_err(unavailable)?;
    alive.retain(|&node| node != me);
    Ok(alive)
}

/// Hands a message to a node, and tells whether it was heard.
pub(crate) async fn tell(
    shards: &Shards,
    node: NodeId,
    message: Bytes,
) -> Result<bool, EngineError> {
    let inbox = inbox(node);
    let keys = [Bytes::from(shards.keys.pub_sub(&inbox))];
    let partition = shards.keys.partition(inbox.as_str());
    let heard = shards
        .run(partition, &scripts::TELL, &keys, &[message])
        .await;
    let heard = heard.and_then(|heard| heard.number());
    heard.map(|heard| heard > 0).map_err(unavailable)
}

/// Gives up the node's place among the nodes.
pub(crate) async fn depart(shards: &Shards, me: NodeId) {
    let keys = [shards.keys.nodes()];
    let arguments = [Bytes::from(me.to_string())];
    let departed = shards.run(LEASES, &scripts::DEPART, &keys, &arguments);
    // Without an answer its lease ends by itself.
    let _ = tokio::time::timeout(DEPART_TIMEOUT, departed).await;
}
