//! What benchmarks need and a hub in service does not have (feature `bench`): the bare loop over the very sockets of the
//! sessions, sessions whose sink takes everything, and the count of send calls.

use bytes::Bytes;
use switchboard_core::ClientError;
use tokio::sync::oneshot;

use crate::node::Node;
use crate::opening::Opening;
use crate::shard::mail::Mail;

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
        let mut total = Bare::default();
        for done in self.mail_shards(|reply| Mail::Bare {
            bytes: bytes.clone(),
            rounds,
            reply,
        }) {
            let done = done.await.unwrap_or_default();
            total.sends += done.sends;
            total.short += done.short;
        }
        total
    }

    /// How often the shards have called send since they started.
    pub async fn send_calls(&self) -> u64 {
        let mut total = 0;
        for calls in self.mail_shards(|reply| Mail::SendCalls { reply }) {
            total += calls.await.unwrap_or_default();
        }
        total
    }

    /// Opens a session whose socket takes everything and is nowhere.
    ///
    /// # Errors
    /// As [`Node::admit`].
    pub fn open_null(&self, opening: Opening) -> Result<(), ClientError> {
        let admission = self.admit(&opening.identity)?;
        self.mailbox(self.next_shard()).send(Mail::OpenNull {
            opening: Box::new(opening),
            admission,
        });
        Ok(())
    }

    fn mail_shards<T>(
        &self,
        mail: impl Fn(oneshot::Sender<T>) -> Mail,
    ) -> Vec<oneshot::Receiver<T>> {
        let ask = |shard| {
            let (reply, answer) = oneshot::channel();
            self.mailbox(shard).send(mail(reply));
            answer
        };
        (0..self.shards()).map(ask).collect()
    }
}
