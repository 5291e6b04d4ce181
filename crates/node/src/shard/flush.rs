//! The task that empties an outbox when its socket turns writable. It exists only while there is an outbox.

use std::rc::{Rc, Weak};

use crate::shard::session::Session;
use crate::shard::{Local, ShardCell, ending};

/// Starts the task; the session has just been given an outbox.
pub(super) fn start(me: &Weak<ShardCell>, slot: u32, session: &mut Session) {
    let (Some(local), Some(readiness)) = (me.upgrade(), session.readiness.clone()) else { return };
    session.tasks += 1;
    let generation = session.id.generation;
    tokio::task::spawn_local(async move {
        flush(&local, slot, generation, &readiness).await;
        drop(readiness);
        ending::task_ended(&local, slot);
    });
}

async fn flush(local: &Local, slot: u32, generation: u32, readiness: &Rc<crate::shard::readiness::Readiness>) {
    loop {
        // Sends by others bypass the reactor, so its word may be stale: then the flush blocks and clears it.
        let Ok(mut guard) = readiness.writable().await else { return };
        let mut shard = local.borrow_mut();
        if shard.slots.find(slot, generation).is_none_or(|session| session.ended && session.closing_ms.is_none()) {
            return;
        }
        if shard.flush_outbox(slot) {
            return;
        }
        guard.clear_ready();
    }
}
