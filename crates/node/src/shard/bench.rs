//! A shard's part in benchmarks: see [`crate::bench`].

use std::cell::Cell;

use crate::admission::Admission;
use crate::bench::Bare;
use crate::opening::Opening;
use crate::shard::stream::Stream;
use crate::shard::{Shard, opened, socket};

thread_local! {
    static SEND_CALLS: Cell<u64> = const { Cell::new(0) };
}

/// Counts a send of this thread's shard.
pub(super) fn count_send() {
    SEND_CALLS.set(SEND_CALLS.get() + 1);
}

/// The sends of this thread's shard so far.
pub(super) fn send_calls() -> u64 {
    SEND_CALLS.get()
}

impl Shard {
    /// The bare loop: one send a socket, in the order of the slots.
    pub(super) fn bare(&self, bytes: &[u8], rounds: u32) -> Bare {
        let mut done = Bare::default();
        for _ in 0..rounds {
            for stream in self
                .slots
                .hot
                .iter()
                .filter_map(|slot| slot.stream.as_ref())
            {
                done.sends += 1;
                if !matches!(stream.send(bytes), Ok(written) if written == bytes.len()) {
                    done.short += 1;
                }
            }
        }
        done
    }

    /// A session whose sink takes everything; nothing ever comes from it.
    pub(super) fn open_null(&mut self, opening: Opening, admission: Admission) {
        let Some(local) = self.me.upgrade() else {
            return;
        };
        let (wire, begin) = (opening.wire, opened::begin(&opening));
        let (slot, generation) = self.make(opening, admission, Some(Stream::Null), wire);
        self.update_direct(slot);
        self.greet(slot);
        tokio::task::spawn_local(async move {
            socket::begin_session(&local, slot, generation, begin).await;
        });
    }
}
