//! The task that empties an outbox when its socket turns writable. It exists only while there is an outbox.

use std::future::poll_fn;
use std::rc::Weak;
use std::task::Poll;

use crate::shard::session::Session;
use crate::shard::{Local, ShardCell};

/// Starts the task; the session has just been given an outbox. It ends with the outbox, or is aborted with the session.
pub(super) fn start(me: &Weak<ShardCell>, slot: u32, session: &mut Session) {
    let Some(local) = me.upgrade() else { return };
    let generation = session.id.generation;
    let task = tokio::task::spawn_local(async move { flush(&local, slot, generation).await });
    session.flush = Some(task.abort_handle());
}

async fn flush(local: &Local, slot: u32, generation: u32) {
    let current = |shard: &mut crate::shard::Shard| shard.slots.find(slot, generation).is_some();
    loop {
        // Sends by the fan-out bypass the reactor, so its word may be stale: then the write blocks, and it waits anew.
        let writable = poll_fn(|context| {
            let mut shard = local.borrow_mut();
            if !current(&mut shard) {
                return Poll::Ready(false);
            }
            match &shard.slots.hot[slot as usize].stream {
                Some(stream) => stream.poll_write_ready(context).map(|ready| ready.is_ok()),
                None => Poll::Ready(false),
            }
        });
        if !writable.await {
            return;
        }
        let mut shard = local.borrow_mut();
        if !current(&mut shard) || shard.flush_outbox(slot) {
            return;
        }
    }
}
