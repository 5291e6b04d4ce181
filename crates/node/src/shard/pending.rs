//! Frames that have been dealt out to sessions and wait for one vectored send each.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use crate::shard::slots::{NONE, Slot};

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
    frames: Vec<Bytes>,
    nodes: Vec<Node>,
    /// Sessions with a list, oldest first.
    pub(super) dirty: VecDeque<u32>,
    /// When the engine accepted what is pending, for the latency metric.
    pub(super) accepted: Vec<Instant>,
}

/// Beyond so many nodes the memory of a burst is given back.
const NODES_KEPT: usize = 256 * 1024;

impl Pending {
    /// Adds a frame for any number of sessions.
    pub(super) fn add(&mut self, frame: Bytes) -> u32 {
        self.frames.push(frame);
        self.frames.len() as u32 - 1
    }

    /// Puts a frame on a session's list.
    pub(super) fn append(&mut self, slot: u32, place: &mut Slot, frame: u32) {
        let node = self.nodes.len() as u32;
        self.nodes.push(Node { frame, next: NONE });
        if place.pending_first == NONE {
            place.pending_first = node;
            self.dirty.push_back(slot);
        } else {
            self.nodes[place.pending_last as usize].next = node;
        }
        place.pending_last = node;
    }

    /// The frames of the list that starts at `first`.
    pub(super) fn list(&self, first: u32) -> impl Iterator<Item = &Bytes> {
        let mut at = first;
        std::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            at = node.next;
            Some(&self.frames[node.frame as usize])
        })
    }

    /// Forgets everything; no list may be in use any more.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.frames.shrink_to(1024);
        self.nodes.clear();
        self.nodes.shrink_to(NODES_KEPT);
    }
}
