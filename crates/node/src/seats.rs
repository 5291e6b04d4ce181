//! Sessions of a user, counted on all nodes: where they are bounded, each is a member of a channel that stands for its user.
//!
//! So the engine does the counting as it counts members: who is one too many is refused in the same step, and the sessions of a node
//! that died are gone when its lease is over. Nobody can see such a channel: no namespace begins with its sign.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use switchboard_core::fnv::fnv1a;
use switchboard_core::policy::RESERVED;
use switchboard_core::{ChannelName, SessionId, UserId};
use switchboard_engine::{EngineError, JoinRequest, Leaving};
use tokio::sync::Notify;

use crate::node::{Inner, Node};
use crate::shared::Shared;

/// Seats given up at once.
const AT_ONCE: usize = 64;

/// How often it is looked whether the node is still there.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// A seat among a user's.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    channel: ChannelName,
    holder: SessionId,
}

/// The seats of a node.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    taken: AtomicU64,
    /// To be given up: as many as there were sessions, at most.
    left: Mutex<Vec<Seat>>,
    leaving: Notify,
}

impl Seats {
    /// Has a seat given up soon.
    pub(crate) fn leave(&self, seat: Seat) {
        self.lock().push(seat);
        self.leaving.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// A seat among a user's, not taken yet.
    pub(crate) fn new_seat(&self, user: &UserId) -> Seat {
        let number = self.seats.taken.fetch_add(1, Ordering::Relaxed);
        Seat {
            channel: channel_of(user),
            // Not the session's own, which there is none of yet.
            holder: SessionId {
                node: self.id,
                shard: u16::MAX,
                slot: (number >> 32) as u32,
                generation: number as u32,
            },
        }
    }

    /// Takes a seat; false when all of the user's are taken.
    ///
    /// # Errors
    /// When the engine does not tell.
    ///
    /// # Cancel safety
    /// It may have been taken: it is to be left.
    pub(crate) async fn take_seat(&self, seat: &Seat) -> Result<bool, EngineError> {
        let join = JoinRequest {
            channel: seat.channel.clone(),
            session: seat.holder,
            user: None,
            info: None,
            members_max: Some(self.limits.sessions_per_user_max as u64),
        };
        match self.engine.join(join).await {
            Ok(()) => Ok(true),
            Err(EngineError::Full) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives up the seats that were left.
    pub(crate) async fn give_up_seats(&self) {
        let left = std::mem::take(&mut *self.seats.lock());
        let leaving = left.into_iter().map(|Seat { channel, holder }| async move {
            // The engine sees to what it cannot do at once.
            let _ = self.engine.leave(&channel, holder, Leaving::Now).await;
        });
        let mut leaving = futures_util::stream::iter(leaving).buffer_unordered(AT_ONCE);
        while leaving.next().await.is_some() {}
    }
}

/// Gives up seats until the node is gone.
pub(crate) async fn give_up(node: Weak<Inner>) {
    loop {
        let Some(node) = Node::upgrade(&node) else {
            return;
        };
        let shared = Arc::clone(node.shared());
        drop(node);
        shared.give_up_seats().await;
        // Not the node itself: whoever waits here must not keep it.
        let _ = tokio::time::timeout(LOOK_INTERVAL, shared.seats.leaving.notified()).await;
    }
}

/// The channel that stands for a user: its id, with what no name may have in hex. One that would be too long is cut and
/// ends with a sum of all of it; two with the same would be counted together.
fn channel_of(user: &str) -> ChannelName {
    /// Leaves room for the prefix and the sum.
    const BYTES_MAX: usize = 200;
    let mut name = format!("{RESERVED}user:");
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@' | b'|') {
            name.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(name, "%{byte:02x}");
        }
    }
    if name.len() > BYTES_MAX {
        name.truncate(BYTES_MAX);
        let _ = write!(name, "%{:016x}", fnv1a(user.bytes()));
    }
    if user.is_empty() {
        name.push('%');
    }
    ChannelName::parse(&name).expect("all of it is allowed in names")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use switchboard_core::Limits;

    use super::*;
    use crate::admission::Admission;
    use crate::shard::tests::engine::Operation;
    use crate::shard::tests::place::Place;

    #[tokio::test]
    async fn a_client_that_does_not_wait_for_its_seat_leaves_none_behind() {
        let place = Place::with_io_uring(
            false,
            Limits {
                sessions_per_user_max: 1,
                ..Limits::default()
            },
        );
        let alice: UserId = "alice".into();
        let _held = place.engine.hold(Operation::Join);
        let mut admission = Admission::take(&place.shared, Some(&alice)).unwrap();
        assert!(futures_util::poll!(std::pin::pin!(admission.take_seat())).is_pending());
        drop(admission);
        place.shared.give_up_seats().await;
        let left = place.engine.left.lock().unwrap();
        assert_eq!(
            left.iter().map(|seat| seat.shard).collect::<Vec<_>>(),
            [u16::MAX]
        );
    }

    #[test]
    fn every_user_has_a_channel_of_its_own() {
        let (a, b) = ("x".repeat(255), "x".repeat(254) + "y");
        let users = [
            "",
            "%",
            "ann",
            "auth0|7",
            "a:b",
            "a b",
            "a%20b",
            "\u{e9}\"\\*,",
            &a,
            &b,
        ];
        let channels: BTreeSet<_> = users.iter().map(|user| channel_of(user)).collect();
        assert_eq!(channels.len(), users.len(), "{channels:?}");
        assert_eq!(channel_of("auth0|7").as_str(), "~user:auth0|7");
        assert_eq!(channel_of("a b").as_str(), "~user:a%20b");
    }
}
