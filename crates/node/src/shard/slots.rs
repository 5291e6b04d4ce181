//! A shard's sessions. What the fan-out touches lies dense in one array; everything else lies beside it.

use std::cell::Cell;

use switchboard_protocol::wire::Wire;

use crate::shard::session::Session;
use crate::shard::stream::Stream;

/// No pending frame.
pub(crate) const NONE: u32 = u32::MAX;

/// The hot part of a session: all that a delivery reads and writes, less than a cache line.
pub(crate) struct Slot {
    /// The session's socket; polls and free slots have none.
    pub(crate) stream: Option<Stream>,
    pub(crate) wire: Wire,
    /// May be written to by the fan-out without a look at the session: it has a socket, nothing queued, and takes the
    /// bytes that everybody on its wire takes.
    pub(crate) direct: bool,
    /// Something was sent since the bits were last cleared; see `SENT_PING` and `SENT_HEARTBEAT`.
    pub(crate) sent: Cell<u8>,
    /// First and last of its frames in the shard's pending list.
    pub(crate) pending_first: u32,
    pub(crate) pending_last: u32,
}

/// Cleared by the sign-of-life timer.
pub(crate) const SENT_PING: u8 = 1;
/// Cleared by the heartbeat timer.
pub(crate) const SENT_HEARTBEAT: u8 = 2;
/// What a send sets.
pub(crate) const SENT: u8 = SENT_PING | SENT_HEARTBEAT;

/// All slots of a shard.
#[derive(Default)]
pub(crate) struct Slots {
    pub(crate) hot: Vec<Slot>,
    cold: Vec<Option<Box<Session>>>,
    /// The generation of each slot's present or next session.
    generations: Vec<u32>,
    free: Vec<u32>,
}

impl Slots {
    /// Finds a place; the session is made with its slot and generation.
    pub(crate) fn insert(
        &mut self,
        stream: Option<Stream>,
        wire: Wire,
        make: impl FnOnce(u32, u32) -> Box<Session>,
    ) -> (u32, u32) {
        let hot = Slot {
            stream,
            wire,
            direct: false,
            sent: Cell::new(0),
            pending_first: NONE,
            pending_last: NONE,
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.cold.push(None);
            self.generations.push(0);
            self.cold.len() as u32 - 1
        });
        let at = slot as usize;
        if at == self.hot.len() {
            self.hot.push(hot);
        } else {
            self.hot[at] = hot;
        }
        let generation = self.generations[at];
        self.cold[at] = Some(make(slot, generation));
        (slot, generation)
    }

    /// Frees a slot and closes its socket.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Box<Session>> {
        let at = slot as usize;
        let session = self.cold[at].take()?;
        self.hot[at].stream = None;
        self.hot[at].direct = false;
        self.hot[at].pending_first = NONE;
        self.hot[at].pending_last = NONE;
        self.generations[at] = self.generations[at].wrapping_add(1);
        self.free.push(slot);
        Some(session)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Session> {
        self.cold.get(slot as usize)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Session> {
        self.cold.get_mut(slot as usize)?.as_deref_mut()
    }

    /// The hot and the cold part together.
    pub(crate) fn both(&mut self, slot: u32) -> Option<(&mut Slot, &mut Session)> {
        let session = self.cold.get_mut(slot as usize)?.as_deref_mut()?;
        Some((&mut self.hot[slot as usize], session))
    }

    /// The slot's session, if it still is the one meant.
    pub(crate) fn find(&mut self, slot: u32, generation: u32) -> Option<&mut Session> {
        self.get_mut(slot)
            .filter(|session| session.id.generation == generation)
    }

    /// All slots in use, from `first` on.
    pub(crate) fn in_use(&self, first: u32) -> impl Iterator<Item = u32> {
        (first..self.cold.len() as u32).filter(|&slot| self.cold[slot as usize].is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hot_part_stays_small() {
        assert!(size_of::<Slot>() <= 64, "{}", size_of::<Slot>());
    }
}
