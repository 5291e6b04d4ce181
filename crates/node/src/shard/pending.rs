//! Frames that have been dealt out to sessions and wait for one vectored send each.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use switchboard_protocol::wire::Wire;

use crate::shard::mail::Delivery;
use crate::shard::slots::{NONE, Slot};

/// Joined deliveries of one channel, on one wire.
struct Joined {
    bytes: Bytes,
    wire: Wire,
    /// What was joined, for sockets that take only a part.
    items: Range<usize>,
}

/// One frame on one session's list.
#[derive(Clone, Copy)]
struct Node {
    frame: u32,
    next: u32,
}

/// The pending lists of all sessions of a shard: linked through one array, so that dealing out does not allocate once it
/// has grown to the size of the work.
#[derive(Default)]
pub(super) struct Pending {
    frames: Vec<Joined>,
    nodes: Vec<Node>,
    /// Sessions with a list, in the order of their flushes.
    pub(super) dirty: VecDeque<u32>,
    /// What the frames were joined from.
    pub(super) items: Vec<Delivery>,
}

/// Beyond so many nodes the memory of a burst is given back.
const NODES_KEPT: usize = 256 * 1024;
/// From so many nodes on no more mail is taken, until all sessions have been flushed: sessions that are dealt to anew
/// before the last is flushed would keep the array growing. It is 8 MiB, and five times as many sends as a second has.
const NODES_MAX: usize = 1024 * 1024;

impl Pending {
    /// Adds a frame for any number of sessions, joined from `items`, which may be yet to come.
    pub(super) fn add(&mut self, bytes: Bytes, wire: Wire, items: Range<usize>) -> u32 {
        self.frames.push(Joined { bytes, wire, items });
        self.frames.len() as u32 - 1
    }

    /// Whether dealing out has to wait for what is pending.
    pub(super) fn is_full(&self) -> bool {
        self.nodes.len() >= NODES_MAX
    }

    /// Puts a frame on a session's list. With `ahead`, a session that had nothing pending is flushed before all others.
    // Once a delivery, as `list` is: the call must not be one.
    #[inline]
    pub(super) fn append(&mut self, slot: u32, place: &mut Slot, frame: u32, ahead: bool) {
        let node = self.nodes.len() as u32;
        self.nodes.push(Node { frame, next: NONE });
        if place.pending_first == NONE {
            place.pending_first = node;
            if ahead {
                self.dirty.push_front(slot);
            } else {
                self.dirty.push_back(slot);
            }
        } else {
            self.nodes[place.pending_last as usize].next = node;
        }
        place.pending_last = node;
    }

    /// The bytes of the list that starts at `first`.
    #[inline]
    pub(super) fn list(&self, first: u32) -> impl Iterator<Item = &Bytes> {
        self.joined(first).map(|joined| &joined.bytes)
    }

    /// What the list that starts at `first` was joined from, and the wire it was joined for.
    pub(super) fn deliveries(&self, first: u32) -> impl Iterator<Item = (Wire, &Delivery)> {
        self.joined(first).flat_map(|joined| {
            let items = self.items[joined.items.clone()].iter();
            items.map(|item| (joined.wire, item))
        })
    }

    #[inline]
    fn joined(&self, first: u32) -> impl Iterator<Item = &Joined> {
        let mut at = first;
        std::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            at = node.next;
            Some(&self.frames[node.frame as usize])
        })
    }

    /// Forgets everything; no list may be in use any more.
    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.frames.clear();
        self.frames.shrink_to(1024);
        self.nodes.clear();
        self.nodes.shrink_to(NODES_KEPT);
    }
}
