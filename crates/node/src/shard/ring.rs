//! A slice's sends in a system call for all of them, where the kernel lets the node use io_uring.
//!
//! To a session it makes no difference: its sends keep their order, since a batch is done before anything else is sent, and
//! what a socket did not take is seen and treated as after a `send`.

use switchboard_uring::Sender;

use crate::shard::fan_out::{Job, Trouble, note};
use crate::shard::slots::Slot;

/// From so many sends on a batch costs less than they do one by one.
pub(super) const SENDS_MIN: usize = 4;
/// A batch: one slice, as it is by default. Larger ones save nothing more.
const SENDS_MAX: u32 = 256;

/// What a shard sends its batches with.
pub(super) struct Ring {
    sender: Sender,
    /// Slot and length of each send in the batch.
    sends: Vec<(u32, usize)>,
}

impl Ring {
    /// Sets one up for a shard; `None` where the kernel refuses, which the node's first shard tells.
    pub(super) fn set_up(shard: u16) -> Option<Self> {
        match Sender::new(SENDS_MAX) {
            Ok(sender) => Some(Self {
                sender,
                sends: Vec::new(),
            }),
            Err(error) => {
                if shard == 0 {
                    tracing::info!(%error, "the kernel refuses io_uring: sends are made one by one");
                }
                None
            }
        }
    }

    /// Sends a job's bytes to the sessions that take them straight; false once the kernel refuses to go on. What was not
    /// sent by then is in `trouble`, as if those sockets had been full.
    pub(super) fn send(
        &mut self,
        live: &[u32],
        hot: &[Slot],
        job: &Job,
        trouble: &mut Vec<(u32, Trouble)>,
    ) -> bool {
        for live in live.chunks(self.sender.sends_max()) {
            self.sends.clear();
            let mut batch = self.sender.batch();
            for &slot in live {
                match job.straight(slot, &hot[slot as usize]) {
                    Some((stream, bytes)) => {
                        batch.push(stream.descriptor(), bytes);
                        self.sends.push((slot, bytes.len()));
                    }
                    None => trouble.push((slot, Trouble::Look)),
                }
            }
            for (&(slot, len), sent) in self.sends.iter().zip(batch.send()) {
                note(slot, sent, len, trouble);
            }
        }
        if self.sender.is_broken() {
            tracing::warn!(
                "the kernel has refused a batch: a shard makes its sends one by one from here on"
            );
        }
        !self.sender.is_broken()
    }
}
