//! A shard without its thread. Its mail waits until the test takes it.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::Bytes;
use socket2::Socket;
use switchboard_core::identity::BoxFuture;
use switchboard_core::{
    ChannelName, ChannelPattern, ErrorCode, Grants, Identity, Limits, NodeId, Payload, Policy,
    PolicyTable, Retention, SlowConsumer, TokenError, TokenVerifier,
};
use switchboard_engine::{Engine, MemoryConfig, MemoryEngine, PublishRequest, Sink};
use switchboard_protocol::wire::Wire;
use tokio::sync::{mpsc, oneshot};

use super::client::Client;
use super::engine::HeldEngine;
use crate::admission::{Admission, Admissions};
use crate::clock::Clock;
use crate::dispatch::{Dispatch, Elsewhere};
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::opening::{Opening, Transport};
use crate::peers::Asked;
use crate::seats::Seats;
use crate::shard::mail::{Adopt, Mail};
use crate::shard::{Local, Shard};
use crate::shared::Shared;

/// What a socket takes that nobody reads: little.
const SEND_BUFFER_BYTES: usize = 8 * 1024;

/// A shard, alone on its node.
pub(crate) struct Place {
    pub(crate) local: Local,
    pub(crate) shared: Arc<Shared>,
    pub(crate) engine: Arc<HeldEngine>,
}

pub(crate) struct NoTokens;

impl TokenVerifier for NoTokens {
    fn verify<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Arc<Identity>, TokenError>> {
        Box::pin(async {
            Err(TokenError {
                code: ErrorCode::Unauthenticated,
                message: "no token is good here".into(),
            })
        })
    }
}

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

pub(crate) fn policies() -> PolicyTable {
    let of = |slow_consumer, presence| Policy {
        slow_consumer,
        presence,
        join_leave: presence,
        ..Policy::default()
    };
    let inbox = Policy {
        durable: true,
        retention: Retention {
            count_max: 20,
            ..Policy::default().retention
        },
        ..Policy::default()
    };
    let named = [
        ("close", of(SlowConsumer::Close, false)),
        ("drop", of(SlowConsumer::DropOldest, false)),
        ("keep", of(SlowConsumer::KeepLatest, false)),
        ("room", of(SlowConsumer::Close, true)),
        ("inbox", inbox),
    ];
    PolicyTable::new(named.map(|(name, policy)| (name.into(), policy)), None)
}

impl Place {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::with_io_uring(true, limits)
    }

    /// A place that sends in batches if it may, or one that never does.
    pub(crate) fn with_io_uring(io_uring: bool, limits: Limits) -> Self {
        let alone = |sink| -> Arc<dyn Engine> { MemoryEngine::new(sink, MemoryConfig::default()) };
        Self::on(1, io_uring, limits, |sink| HeldEngine::new(alone(sink)))
    }

    /// A place on a node of this number, with an engine of the test's own.
    pub(crate) fn on(
        id: u32,
        io_uring: bool,
        limits: Limits,
        engine: impl FnOnce(Arc<dyn Sink>) -> HeldEngine,
    ) -> Self {
        let metrics = Arc::new(Metrics::default());
        let dispatch = Arc::new(Dispatch::new(
            vec![Arc::new(Mailbox::new(limits.mailbox_len_max))],
            Arc::clone(&metrics),
            limits.deflate_bytes_min,
            Elsewhere {
                messages: mpsc::channel(1).0,
                revoked: Arc::default(),
            },
        ));
        let sink: Arc<dyn Sink> = Arc::<Dispatch>::clone(&dispatch);
        let engine = Arc::new(engine(sink));
        let clock = Clock::new();
        let shared = Arc::new(Shared {
            id: NodeId(id),
            version: "0",
            limits,
            policies: policies(),
            io_uring,
            engine: Arc::<HeldEngine>::clone(&engine),
            verifier: Arc::new(NoTokens),
            metrics,
            dispatch,
            revoked: Arc::default(),
            asked: Asked::default(),
            admissions: Admissions::default(),
            seats: Seats::default(),
            clock,
            started_ms: clock.wall_ms(),
            draining: AtomicBool::new(false),
        });
        Self {
            local: Shard::make_cell(0, Arc::clone(&shared)),
            shared,
            engine,
        }
    }

    /// Everything that may be asked for, with these channels to begin with.
    pub(crate) fn opening(transport: Transport, wire: Wire, channels: &[&str]) -> Opening {
        let all: Vec<_> = ["close:*", "drop:*", "keep:*", "room:*", "inbox:*"]
            .map(|pattern| ChannelPattern::parse(pattern).unwrap())
            .into();
        Opening {
            identity: Arc::new(Identity {
                user: Some("alice".into()),
                info: None,
                grants: Arc::new(Grants {
                    subscribe: all.clone(),
                    publish: all,
                    ..Grants::default()
                }),
                expires_at_ms: None,
                token_id: None,
                issued_at_ms: None,
            }),
            transport,
            wire,
            channels: channels.iter().map(|name| channel(name)).collect(),
            rewind: 0,
            cursor: None,
            heartbeat: None,
            client_ip: None,
        }
    }

    pub(crate) fn admit(&self) -> Admission {
        Admission::take(&self.shared, None).unwrap()
    }

    /// Adopts a socket; what the client does is the test's.
    pub(crate) fn adopt(&self, opening: Opening) -> Client {
        let (near, far) = UnixStream::pair().unwrap();
        let socket = Socket::from(near);
        socket.set_send_buffer_size(SEND_BUFFER_BYTES).unwrap();
        let sse = opening.wire.is_sse();
        self.send(Mail::Adopt(Box::new(Adopt {
            opening,
            admission: self.admit(),
            socket,
            leftover: Bytes::new(),
        })));
        self.work();
        Client::new(far, sse)
    }

    /// A WebSocket that is subscribed to channels, and what it has been sent.
    pub(crate) async fn websocket(&self, channels: &[&str]) -> (Client, Vec<serde_json::Value>) {
        let wire = Wire::WebSocketJson;
        let mut client = self.adopt(Self::opening(Transport::WebSocket, wire, channels));
        let frames = self.read_until(&mut client, |frames| frames.len() > channels.len());
        let frames = frames.await;
        (client, frames)
    }

    /// An event stream that is subscribed to channels, and what it has been sent.
    pub(crate) async fn stream(&self, channels: &[&str]) -> (Client, Vec<serde_json::Value>) {
        let mut client = self.adopt(Self::opening(Transport::Sse, Wire::SseRaw, channels));
        // The last is the cursor.
        let frames = self.read_until(&mut client, |frames| frames.len() > channels.len() + 1);
        let frames = frames.await;
        (client, frames)
    }

    pub(crate) fn send(&self, mail: Mail) {
        self.shared.dispatch.mailboxes[0].send(mail);
    }

    /// Asks the shard something, and has it work until the answer is there.
    pub(crate) async fn ask<T>(&self, mail: impl FnOnce(oneshot::Sender<T>) -> Mail) -> T {
        let (reply, mut answer) = oneshot::channel();
        self.send(mail(reply));
        let mut answered = None;
        self.until("an answer", || {
            answered = answer.try_recv().ok();
            answered.is_some()
        })
        .await;
        answered.expect("it was awaited")
    }

    /// Publishes; the shard hears of it with its next batch of mail.
    pub(crate) async fn publish(&self, name: &str, payload: String) {
        let channel = channel(name);
        let retention = self.shared.policy(&channel).unwrap().retention;
        let request = PublishRequest {
            channel,
            payload: Payload::Json(payload.into()),
            id: None,
            idempotency_window: Duration::ZERO,
            from: None,
            tags: Vec::new(),
            exclude: None,
            expected_position: None,
            retention,
            skip_history: false,
        };
        self.engine.publish(request).await.unwrap();
    }

    /// Publishes, and the shard never hears of it.
    pub(crate) async fn publish_unheard(&self, name: &str, payload: String) {
        self.publish(name, payload).await;
        self.shared.dispatch.mailboxes[0].take(&mut Vec::new());
    }

    /// Takes all mail as one batch, and works it off.
    pub(crate) fn work(&self) {
        while self.work_a_slice() {}
    }

    /// Takes all mail as one batch and works a slice off; true while there is more.
    pub(crate) fn work_a_slice(&self) -> bool {
        let mut batch = Vec::new();
        self.shared.dispatch.mailboxes[0].take(&mut batch);
        let mut shard = self.local.borrow_mut();
        shard.take(&mut batch, &mut Vec::new());
        let more = shard.work();
        shard.answer_polls();
        more
    }

    /// Lets the shard and its tasks go on until something is so.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{what} never came"
            );
            tokio::task::yield_now().await;
            self.work();
        }
    }

    /// Has a client read until what it got is enough; gives that.
    pub(crate) async fn read_until(
        &self,
        client: &mut Client,
        enough: impl Fn(&[serde_json::Value]) -> bool,
    ) -> Vec<serde_json::Value> {
        let mut frames = Vec::new();
        self.until("what a client waits for", || {
            frames.extend(client.read());
            enough(&frames)
        })
        .await;
        frames
    }

    /// Has a client read until the end of its stream.
    pub(crate) async fn read_to_end(&self, client: &mut Client) -> Vec<serde_json::Value> {
        let mut frames = Vec::new();
        self.until("the end of a stream", || {
            frames.extend(client.read());
            client.ended
        })
        .await;
        frames
    }

    /// Bytes waiting for all sessions.
    pub(crate) fn outbox_bytes(&self) -> usize {
        let bytes = self.shared.metrics.outbox_bytes.get();
        usize::try_from(bytes).expect("less than nothing waits")
    }

    /// Publications dropped so far.
    pub(crate) fn drops(&self) -> u64 {
        self.shared.metrics.drops.get()
    }

    /// Sessions in slots.
    pub(crate) fn slots_in_use(&self) -> usize {
        let shard = self.local.borrow();
        shard.slots.in_use(0).count()
    }
}

/// Runs a test where a shard's tasks can run.
pub(crate) async fn on_shard<T>(test: impl Future<Output = T>) -> T {
    let tasks = tokio::task::LocalSet::new();
    tasks.run_until(test).await
}
