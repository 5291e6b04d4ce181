//! A shard: a thread with a single-threaded runtime that owns its sessions, their sockets, its own registry of channels
//! and its own timers. Nothing of it is behind a lock, and everything from outside reaches it through its mailbox.
//!
//! Reading order: [`mail`] (what comes in), this file (the loop), `slots` and `session` (what a session is), `channels`,
//! `fan_out`, `ring` and `pending` (deliveries), `write`, `identify`, `queue` and `flush` (to one session), `subscribe` and `refill`
//! (history), `marks` (durable subscriptions), `socket`, `poll` and `command` (what clients say), `control` (what services say), `timers`, `ending`.
//!
//! State lives in one cell. It is borrowed for a moment at a time and never across an await; what a task remembers of a session is its
//! slot and generation.

#[cfg(feature = "bench")]
mod bench;
pub(crate) mod channels;
mod command;
mod control;
mod ending;
mod fan_out;
mod flush;
mod identify;
pub(crate) mod mail;
mod marks;
mod opened;
mod pending;
pub(crate) mod poll;
mod queue;
mod refill;
mod ring;
pub(crate) mod session;
pub(crate) mod slots;
mod socket;
pub(crate) mod stream;
mod subscribe;
#[cfg(test)]
pub(crate) mod tests;
mod timers;
mod unsubscribe;
mod write;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use switchboard_core::wheel::{TICK_MS, Wheel};
use switchboard_core::{ChannelName, Close, CloseCode, UserId};
use switchboard_protocol::websocket::deflate::Inflater;
use tokio::sync::{Notify, oneshot};
use tokio::task::LocalSet;

use crate::mailbox::Mailbox;
use crate::polls::AtShard;
use crate::shard::channels::Channels;
use crate::shard::mail::{Delivery, Mail};
use crate::shard::slots::Slots;
use crate::shared::Shared;

/// The buffer that all sessions of a shard read into.
const SCRATCH_BYTES: usize = 64 * 1024;

/// A shard's state, as its tasks share it.
pub(crate) type ShardCell = RefCell<Shard>;
/// A task's hold on it.
pub(crate) type Local = Rc<ShardCell>;

/// A shard's state.
pub(crate) struct Shard {
    index: u16,
    shared: Arc<Shared>,
    me: Weak<ShardCell>,
    slots: Slots,
    channels: Channels,
    users: HashMap<UserId, Vec<u32>>,
    wheel: Wheel<(u32, u32)>,
    due: Vec<(u32, u32)>,
    work: fan_out::Work,
    pending: pending::Pending,
    id_line: identify::IdLine,
    /// Poll sessions that are owed an answer when the batch is done.
    polls_due: Vec<u32>,
    /// Closed poll sessions that hold no place.
    placeless: u32,
    /// Wakes the loop for the polls.
    wake: Rc<Notify>,
    /// Channels without subscribers, and until when they are kept.
    unused: VecDeque<(u64, ChannelName)>,
    markings: marks::Markings,
    scratch: Vec<u8>,
    inflater: Inflater,
    random: u32,
    /// The number of the last attempt to subscribe.
    attempts: u32,
    /// A drain has begun, and everybody is to have left by then.
    drained_by_ms: Option<u64>,
    /// What errands hold a copy of.
    at_shard: AtShard,
}

/// A shard's thread.
pub(crate) struct ShardThread {
    ended: oneshot::Receiver<()>,
    thread: std::thread::JoinHandle<()>,
}

impl ShardThread {
    /// Waits until the thread has ended.
    pub(crate) async fn ended(self) {
        let _ = self.ended.await;
        if self.thread.join().is_err() {
            tracing::error!("a shard's thread has panicked");
        }
    }
}

/// Starts a shard's thread.
pub(crate) fn start(index: u16, shared: Arc<Shared>) -> io::Result<ShardThread> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name(format!("shard-{index}"))
        .spawn(move || {
            let mailbox = Arc::clone(&shared.dispatch.mailboxes[usize::from(index)]);
            let tasks = LocalSet::new();
            let closing = Closing(Arc::clone(&mailbox));
            tasks.block_on(&runtime, run(index, shared, mailbox));
            drop(closing);
            // Tasks hold the cell and the cell their sockets: both go here, while the runtime still stands.
            drop(tasks);
            let _ = done.send(());
        })?;
    Ok(ShardThread { ended, thread })
}

/// Closes the mailbox when the shard's thread ends, however it ends: nobody waits for room or for an answer then.
struct Closing(Arc<Mailbox<Mail>>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn run(index: u16, shared: Arc<Shared>, mailbox: Arc<Mailbox<Mail>>) {
    let local = Shard::make_cell(index, shared);
    let wake = Rc::clone(&local.borrow().wake);
    let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let (mut batch, mut deliveries) = (Vec::new(), Vec::new());
    let mut alone = false;
    loop {
        let (busy, full) = {
            let shard = local.borrow();
            (shard.has_work(), shard.is_full())
        };
        tokio::select! {
            biased;
            _ = tick.tick() => local.borrow_mut().tick(),
            // What waits behind a large fan-out counts as well, so that the pressure reaches publishers.
            () = mailbox.filled(), if !full => {
                if !busy && !alone {
                    // Publishers that are about to send get the chance: what comes together leaves together.
                    std::thread::yield_now();
                }
                mailbox.take(&mut batch);
                // Where one thing came the last time nobody is kept waiting for more: whoever was woken meanwhile would go first.
                alone = batch.len() == 1;
                let mut shard = local.borrow_mut();
                shard.shared.metrics.shard_batch.observe(batch.len() as f64);
                shard.take(&mut batch, &mut deliveries);
            }
            () = wake.notified() => {}
            () = tokio::task::yield_now(), if busy => {}
        }
        {
            let mut shard = local.borrow_mut();
            shard.work();
            shard.answer_polls();
            let none_left = shard.slots.in_use(0).next().is_none();
            let no_errands = shard.at_shard.errands() == 0;
            // The last acknowledgements of sessions that have gone are written first, and the last answers.
            if shard.is_stopping() && none_left && no_errands && !shard.markings.are_written() {
                return;
            }
        }
        // Tasks of sessions that have input get their turn between batches.
        tokio::task::yield_now().await;
    }
}

impl Shard {
    fn make_cell(index: u16, shared: Arc<Shared>) -> Local {
        let mut seed = [0; 4];
        if let Err(error) = getrandom::fill(&mut seed) {
            tracing::warn!(%error, "no randomness: jitter starts the same everywhere");
        }
        let now = shared.clock.now_ms();
        let ring = shared.io_uring.then(|| ring::Ring::set_up(index)).flatten();
        Rc::new_cyclic(|me| {
            RefCell::new(Self {
                index,
                shared,
                me: Weak::clone(me),
                slots: Slots::default(),
                channels: Channels::default(),
                users: HashMap::new(),
                wheel: Wheel::new(now),
                due: Vec::new(),
                work: fan_out::Work::new(ring),
                pending: pending::Pending::default(),
                id_line: identify::IdLine::default(),
                polls_due: Vec::new(),
                placeless: 0,
                wake: Rc::new(Notify::new()),
                unused: VecDeque::new(),
                markings: marks::Markings::default(),
                scratch: vec![0; SCRATCH_BYTES],
                inflater: Inflater::default(),
                random: u32::from_le_bytes(seed) | 1,
                attempts: 0,
                drained_by_ms: None,
                at_shard: AtShard::default(),
            })
        })
    }

    /// Works off a batch of mail.
    fn take(&mut self, batch: &mut Vec<Mail>, deliveries: &mut Vec<Delivery>) {
        for mail in batch.drain(..) {
            match mail {
                Mail::Deliver(delivery) => deliveries.push(delivery),
                Mail::Adopt(adopt) => self.adopt(*adopt),
                Mail::OpenPoll {
                    opening,
                    admission,
                    reply,
                } => self.open_poll(*opening, admission, reply),
                Mail::Poll {
                    key,
                    cursor,
                    wait_ms,
                    reply,
                } => self.poll(key, cursor, wait_ms, reply),
                Mail::Errand(errand) => {
                    tokio::task::spawn_local(errand(self.at_shard.clone()));
                }
                Mail::Commands { key, body, reply } => self.post(key, body, reply),
                Mail::Control(control) => self.control(control),
                Mail::Interrupted(channels) => self.interrupted(channels.as_deref()),
                Mail::Drain { window_ms } => self.drain(window_ms),
                Mail::Stop => self.stop(),
                #[cfg(feature = "bench")]
                Mail::OpenNull { opening, admission } => self.open_null(*opening, admission),
            }
        }
        if !deliveries.is_empty() {
            self.deliver(deliveries);
        }
    }

    fn is_stopping(&self) -> bool {
        self.at_shard.is_stopping()
    }

    fn stop(&mut self) {
        self.at_shard.stop();
        for slot in self.slots.in_use(0).collect::<Vec<_>>() {
            self.close(
                slot,
                Close::new(CloseCode::GOING_AWAY, "this node is stopping"),
            );
            // A poll that waits takes the close with it.
            self.answer_poll(slot);
            self.gone(slot, ending::Went::Clean);
        }
    }

    /// Milliseconds on the node's clock.
    fn now(&self) -> u64 {
        self.shared.clock.now_ms()
    }

    /// A cheap random number, for jitter (xorshift32).
    fn random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }
}
