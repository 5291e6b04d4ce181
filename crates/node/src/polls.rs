//! Polls: sessions for them, what these are owed, and a place on the thread of the shard that owes it.
//!
//! Anybody may ask from anywhere ([`Node::poll`]), at the price of two switches between threads. A connection that polls
//! again and again is better served on the thread of its session's shard ([`Node::at_shard`]), where there are none.

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use switchboard_core::ClientError;
use switchboard_core::cursor::Cursor;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::node::{Node, stopped};
use crate::opening::Opening;
use crate::shard::mail::Mail;
use crate::shard::poll::{PollBatch, PollRefused};

impl Node {
    /// Opens a poll session; the first [`Node::poll`] with the key gets what it starts with.
    ///
    /// # Errors
    /// `unavailable` when the node stops.
    pub async fn open_poll(
        &self,
        opening: Opening,
        admission: Admission,
    ) -> Result<String, ClientError> {
        let (reply, answer) = oneshot::channel();
        self.mailbox(self.next_shard()).send(Mail::OpenPoll {
            opening: Box::new(opening),
            admission,
            reply,
        });
        answer.await.map_err(|_| stopped())
    }

    /// Waits for frames of a poll session. The cursor acknowledges everything up to its sequence.
    ///
    /// # Errors
    /// [`PollRefused::Gone`] when the session is unknown here: open a new one from the cursor.
    ///
    /// # Cancel safety
    /// Cancel safe: what the answer would have carried stays until a later cursor acknowledges it.
    pub async fn poll(
        &self,
        key: &str,
        cursor: Option<Cursor>,
        wait: Duration,
    ) -> Result<PollBatch, PollRefused> {
        let key = self.local_key(key).ok_or(PollRefused::Gone)?;
        let (reply, answer) = oneshot::channel();
        self.mailbox(key.session.shard).send(Mail::Poll {
            key,
            cursor,
            wait_ms: wait.min(self.limits().poll_wait_max).as_millis() as u64,
            reply,
        });
        answer.await.unwrap_or(Err(PollRefused::Gone))
    }

    /// The shard that has a session of this node, if the key is of one.
    pub fn shard_of(&self, key: &str) -> Option<u16> {
        self.local_key(key).map(|key| key.session.shard)
    }

    /// Runs `errand` on a shard's thread. It must not block: everybody on the shard would wait for it. What it owns is dropped
    /// if the shard has stopped already.
    pub fn at_shard<E, F>(&self, shard: u16, errand: E)
    where
        E: FnOnce(AtShard) -> F + Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        let errand: Errand = Box::new(|at| Box::pin(errand(at)));
        self.mailbox(shard).send(Mail::Errand(errand));
    }
}

/// Work to be done on a shard's thread.
pub(crate) type Errand = Box<dyn FnOnce(AtShard) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// Held by an errand at a shard, which does not end before its errands have.
#[derive(Clone, Debug, Default)]
pub struct AtShard {
    count: Rc<()>,
    stopping: CancellationToken,
}

impl AtShard {
    /// Waits until the shard stops. It then waits for the errand, which should end soon.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// The shard stops.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
    }

    /// Whether it does.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// How many others hold it.
    pub(crate) fn errands(&self) -> usize {
        Rc::strong_count(&self.count) - 1
    }
}
