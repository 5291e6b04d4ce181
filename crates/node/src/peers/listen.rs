//! Hears what other nodes send: questions, and the answers to questions.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use switchboard_core::NodeId;
use tokio::sync::{Semaphore, mpsc};

use super::Ask;
use super::wire::{self, Message};
use crate::node::{Inner, Node};

/// Messages that wait to be read. What comes on top is dropped, and who asked is told after a while that there was no answer.
pub(crate) const MESSAGES_QUEUED_MAX: usize = 4096;

/// Questions that are worked on at once; the next ones wait.
const ANSWERS_AT_ONCE: usize = 256;

/// Reads messages until the node is gone.
pub(crate) async fn listen(node: Weak<Inner>, mut messages: mpsc::Receiver<Bytes>) {
    let places = Arc::new(Semaphore::new(ANSWERS_AT_ONCE));
    while let Some(message) = messages.recv().await {
        let Some(node) = Node::upgrade(&node) else {
            return;
        };
        match wire::read(message) {
            Ok(Message::Answer { number, answer }) => node.shared().asked.answered(number, answer),
            Ok(Message::Question { from, number, ask }) => {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                tokio::spawn(async move {
                    reply(&node, from, number, ask).await;
                    drop(place);
                });
            }
            // A newer version may ask what this one does not know.
            Err(unreadable) => {
                tracing::warn!(node.id = %node.id(), error = %unreadable, "dropped a node's message");
            }
        }
    }
}

async fn reply(node: &Node, from: NodeId, number: u64, ask: Ask) {
    let answer = wire::answer(number, &node.answer(ask).await);
    if let Err(error) = node.shared().engine.tell(from, answer).await {
        tracing::warn!(node.id = %node.id(), %error, "a node's question was answered in vain");
    }
}
