//! The two tasks that let time have its way.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;

use super::Core;
use super::channel::Swept;
use super::stripes::STRIPES;

/// A round of all stripes takes this many ticks.
const TICKS_A_ROUND: usize = 16;

/// Announces the leaves of members whose grace is out, each on time.
pub(super) async fn end_graces(core: Arc<Core>) {
    loop {
        let (key, channel, member) = core.graces.next().await;
        core.grace_is_out(key, &channel, member);
        // Many at once must not keep the thread from its other tasks.
        tokio::task::coop::consume_budget().await;
    }
}

/// Drops what has aged out of histories, ids whose window is out, marks and channels that nobody uses.
pub(super) async fn sweep(core: Arc<Core>) {
    let mut ticks = tokio::time::interval(core.config.sweep_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut indices = (0..STRIPES).cycle();
    loop {
        ticks.tick().await;
        for index in indices.by_ref().take(STRIPES / TICKS_A_ROUND) {
            sweep_stripe(&core, index);
            tokio::task::yield_now().await;
        }
    }
}

fn sweep_stripe(core: &Core, index: usize) {
    let now = core.clock.now();
    let mut swept = Swept::default();
    let idle_ttl = core.config.idle_channel_ttl;
    let mut stripe = core.stripes.lock_at(index);
    stripe.expire_marks(now, &core.marks);
    stripe.retain(
        |channel| channel.sweep(now, idle_ttl, &core.budget, &mut swept),
        || core.epochs.next(),
    );
    drop(stripe);
    drop(swept);
}
