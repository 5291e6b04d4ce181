//! The nodes that are in rotation, as a balancer knows them: whoever comes is given one, and tries the next when that fails.

use std::sync::{Arc, Mutex, PoisonError};

use crate::door::Door;

/// The doors of the nodes. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Rotation(Arc<Mutex<Vec<Door>>>);

impl Rotation {
    /// So many nodes, as they are.
    pub(super) fn of<'a>(nodes: impl Iterator<Item = &'a crate::Hub>) -> Self {
        Self(Arc::new(Mutex::new(nodes.map(Door::from).collect())))
    }

    /// The door of a turn: turns go round.
    pub(super) fn door(&self, turn: usize) -> Door {
        let doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        doors[turn % doors.len()].clone()
    }

    /// A node has another in its place.
    pub(super) fn replace(&self, index: usize, door: Door) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[index] = door;
    }
}
