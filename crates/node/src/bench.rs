//! What benchmarks need and a hub in service does not have (feature `bench`): the bare loop over the very sockets of the
//! sessions, sessions whose sink takes everything, the count of send calls, and parts of a shard by themselves.

pub mod parts;

use bytes::Bytes;
use switchboard_core::ClientError;

use crate::admission::Admission;
use crate::node::Node;
use crate::opening::Opening;
use crate::shard::mail::{Control, Mail};

/// What a bare loop did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bare {
    /// Sockets written to, all rounds together.
    pub sends: u64,
    /// Sends that the kernel did not take whole: the figure is worthless then.
    pub short: u64,
}

impl Node {
    /// Writes `bytes` to every session's socket, `rounds` times, by a plain loop in each shard: no frame is made, no
    /// subscription looked at.
    pub async fn bare(&self, bytes: Bytes, rounds: u32) -> Bare {
        let done = self.ask_shards(|reply| Control::Bare {
            bytes: bytes.clone(),
            rounds,
            reply,
        });
        let mut total = Bare::default();
        for done in done.await {
            total.sends += done.sends;
            total.short += done.short;
        }
        total
    }

    /// How often the shards have called send since they started.
    pub async fn send_calls(&self) -> u64 {
        let calls = self.ask_shards(|reply| Control::SendCalls { reply });
        calls.await.into_iter().sum()
    }

    /// Opens a session whose socket takes everything and is nowhere. Nothing ends it, so a node that has any is not to be
    /// shut down: it goes with its process.
    ///
    /// # Errors
    /// As [`Node::admit`], but for what the engine counts.
    pub fn open_null(&self, opening: Opening) -> Result<(), ClientError> {
        let admission = Admission::take(self.shared(), opening.identity.user.as_ref())?;
        self.mailbox(self.next_shard()).send(Mail::OpenNull {
            opening: Box::new(opening),
            admission,
        });
        Ok(())
    }
}
