//! A node: its making, its end, and what transports ask of it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use socket2::Socket;
use switchboard_core::{ClientError, ErrorCode, Limits, NodeId, PolicyTable, TokenVerifier};
use switchboard_engine::{Engine, EngineError, Sink};
use tokio::sync::{mpsc, oneshot};

use crate::admission::{Admission, Admissions};
use crate::clock::Clock;
use crate::dispatch::{Dispatch, Elsewhere, SHARDS_MAX};
use crate::key::Key;
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::opening::Opening;
use crate::peers::{self, Answer, Ask, Asked, MESSAGES_QUEUED_MAX, Silence};
use crate::revoked::{self, Revoked};
use crate::seats::{self, Seats};
use crate::shard::mail::Mail;
use crate::shard::poll::PollRefused;
use crate::shard::{self, ShardThread};
use crate::shared::Shared;

/// What a node is made with.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Its bounds. `sessions_max` 0 is no bound here: the server works it out from the descriptor limit.
    pub limits: Limits,
    /// Its namespaces.
    pub policies: PolicyTable,
    /// Shards, 1 to 64; most often one a core.
    pub shards: u16,
    /// Whether the shards send in batches by io_uring, as far as the kernel lets them.
    pub io_uring: bool,
    /// The program's version.
    pub version: &'static str,
}

/// Why a node could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The number of shards is out of range.
    #[error("{0} shards: a node has 1 to {SHARDS_MAX}")]
    Shards(u16),
    /// The system gave no randomness.
    #[error("no randomness from the system")]
    Random(#[source] getrandom::Error),
    /// A shard's thread could not start.
    #[error("could not start a shard")]
    Thread(#[source] std::io::Error),
}

/// Why new sessions are not welcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The node drains.
    #[error("draining")]
    Draining,
    /// The engine does not work.
    #[error("engine: {0}")]
    Engine(#[source] EngineError),
    /// The engine did not answer in time.
    #[error("engine: no answer")]
    Silent,
    /// The engine has not told yet which tokens are revoked.
    #[error("engine: it is not known yet which tokens are revoked")]
    Revocations,
}

/// Why the commands of a POST were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandsRefused {
    /// The session has ended, or the key is wrong.
    #[error("the session is gone: open a new one from the cursor")]
    Gone,
    /// The session is on another node, and that one did not answer.
    #[error("the session's node did not answer: the commands may have been executed")]
    Unreached,
}

/// What a node tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its id.
    pub id: NodeId,
    /// The program's version.
    pub version: Box<str>,
    /// When it started, milliseconds since 1970.
    pub started_ms: u64,
    /// Live sessions.
    pub sessions: u64,
    /// Live subscriptions.
    pub subscriptions: u64,
    /// Channels with subscribers, counted once a shard.
    pub channels: u64,
    /// Whether it drains.
    pub draining: bool,
}

pub(crate) struct Inner {
    shared: Arc<Shared>,
    threads: std::sync::Mutex<Vec<ShardThread>>,
}

/// One hub process's core. Cloning is a reference count.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

impl Node {
    /// Starts a node: its shards run when this returns. `make_engine` is given the node's id and the sink to deliver to.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        config: NodeConfig,
        verifier: Arc<dyn TokenVerifier>,
        make_engine: impl FnOnce(NodeId, Arc<dyn Sink>) -> Arc<dyn Engine>,
    ) -> Result<Self, StartError> {
        if config.shards == 0 || usize::from(config.shards) > SHARDS_MAX {
            return Err(StartError::Shards(config.shards));
        }
        let mut id = [0; 4];
        getrandom::fill(&mut id).map_err(StartError::Random)?;
        let id = NodeId(u32::from_le_bytes(id));
        let metrics = Arc::new(Metrics::default());
        let mailboxes = (0..config.shards)
            .map(|_| Arc::new(Mailbox::new(config.limits.mailbox_len_max)))
            .collect();
        let (messages, to_read) = mpsc::channel(MESSAGES_QUEUED_MAX);
        let revoked = Arc::new(Revoked::default());
        let dispatch = Arc::new(Dispatch::new(
            mailboxes,
            Arc::clone(&metrics),
            config.limits.deflate_bytes_min,
            Elsewhere {
                messages,
                revoked: Arc::clone(&revoked),
            },
        ));
        let clock = Clock::new();
        let sink: Arc<dyn Sink> = Arc::<Dispatch>::clone(&dispatch);
        let shared = Arc::new(Shared {
            id,
            version: config.version,
            limits: config.limits,
            policies: config.policies,
            io_uring: config.io_uring,
            engine: make_engine(id, sink),
            verifier,
            metrics,
            dispatch,
            revoked,
            asked: Asked::default(),
            admissions: Admissions::default(),
            seats: Seats::default(),
            clock,
            started_ms: clock.wall_ms(),
            draining: AtomicBool::new(false),
        });
        let threads = (0..config.shards)
            .map(|index| shard::start(index, Arc::clone(&shared)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(StartError::Thread)?;
        let node = Self {
            inner: Arc::new(Inner {
                shared,
                threads: std::sync::Mutex::new(threads),
            }),
        };
        tokio::spawn(peers::listen(Arc::downgrade(&node.inner), to_read));
        tokio::spawn(revoked::follow(Arc::downgrade(&node.inner)));
        tokio::spawn(seats::give_up(Arc::downgrade(&node.inner)));
        Ok(node)
    }

    /// The node, if it is still there.
    pub(crate) fn upgrade(inner: &Weak<Inner>) -> Option<Self> {
        inner.upgrade().map(|inner| Self { inner })
    }

    /// Ends every session at once, then the shards and the engine; waits for them.
    pub async fn shutdown(&self) {
        self.refuse_sessions();
        for shard in 0..self.shards() {
            self.mailbox(shard).send(Mail::Stop);
        }
        let threads = {
            let mut threads = self
                .inner
                .threads
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::take(&mut *threads)
        };
        for thread in threads {
            thread.ended().await;
        }
        self.shared().give_up_seats().await;
        self.shared().engine.shutdown().await;
    }

    /// This node's id.
    pub fn id(&self) -> NodeId {
        self.shared().id
    }

    /// Its bounds.
    pub fn limits(&self) -> &Limits {
        &self.shared().limits
    }

    /// Its counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared().metrics
    }

    /// Checks whether new sessions are welcome: what `/readyz` asks.
    ///
    /// # Errors
    /// See [`NotReady`].
    pub async fn ready(&self) -> Result<(), NotReady> {
        if self.is_draining() {
            return Err(NotReady::Draining);
        }
        let check = self.shared().engine.check();
        let check = tokio::time::timeout(self.limits().engine_timeout, check).await;
        check
            .map_err(|_| NotReady::Silent)?
            .map_err(NotReady::Engine)?;
        if self.shared().revoked.is_known() {
            Ok(())
        } else {
            Err(NotReady::Revocations)
        }
    }

    /// Its engine, for tests of what stands on a node.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.shared().engine
    }

    /// Sessions that are open or opening.
    pub fn sessions(&self) -> usize {
        self.shared().admissions.sessions()
    }

    /// What it tells of itself.
    pub fn info(&self) -> NodeInfo {
        let shared = self.shared();
        NodeInfo {
            id: shared.id,
            version: shared.version.into(),
            started_ms: shared.started_ms,
            sessions: self.sessions() as u64,
            subscriptions: u64::try_from(shared.metrics.subscriptions.get()).unwrap_or(0),
            channels: u64::try_from(shared.metrics.channels.get()).unwrap_or(0),
            draining: self.is_draining(),
        }
    }

    /// Checks what a handshake asks for, before anything is accepted.
    ///
    /// # Errors
    /// `unauthenticated` for a revoked token, `permission_denied` or `unknown_namespace` for a channel, `limit_exceeded` for too
    /// many.
    pub fn check_opening(&self, opening: &Opening) -> Result<(), ClientError> {
        let (shared, grants) = (self.shared(), &opening.identity.grants);
        shared.check_revoked(&opening.identity)?;
        let max = shared
            .limits
            .opening_channels_max
            .min(shared.limits.subscriptions_per_session_max);
        if opening.channels.len() + grants.channels.len() > max {
            let message = format!(
                "{} channels at once: at most {max}",
                opening.channels.len() + grants.channels.len()
            );
            return Err(ClientError::new(ErrorCode::LimitExceeded, message));
        }
        if opening.transport.resumes_by_cursor() {
            let named = opening.channels.iter();
            let granted = grants.channels.iter();
            let granted = granted.filter(|name| !opening.channels.contains(name));
            shared.check_cursor(named.chain(granted))?;
        }
        for channel in opening.channels.iter().chain(&grants.channels) {
            let policy = shared.policy(channel)?;
            if !policy.public && !grants.may_subscribe(channel) {
                let message = format!("the token does not grant `subscribe` on {channel}");
                return Err(ClientError::new(ErrorCode::PermissionDenied, message));
            }
        }
        Ok(())
    }

    /// Takes a place for a session.
    ///
    /// # Errors
    /// `unavailable` when the node is full or draining, `rate_limited` when its user or address opens too many,
    /// `limit_exceeded` when the user has too many; all with `retry_after`.
    pub async fn admit(&self, opening: &Opening) -> Result<Admission, ClientError> {
        let shared = self.shared();
        let mut admission = Admission::take(shared, opening.identity.user.as_ref())?;
        shared.count_opening(opening).await?;
        admission.take_seat().await?;
        Ok(admission)
    }

    /// Hands over an accepted connection: a TCP socket past its upgrade or its response head, or the near end of a
    /// socket pair whose far end is pumped into something that cannot be adopted (TLS, HTTP/2). `leftover` is what was read
    /// past the request's head. The socket is used as non-blocking.
    pub fn adopt(&self, opening: Opening, admission: Admission, socket: Socket, leftover: Bytes) {
        let shard = self.next_shard();
        self.mailbox(shard)
            .send(Mail::Adopt(Box::new(shard::mail::Adopt {
                opening,
                admission,
                socket,
                leftover,
            })));
    }

    /// Executes a POST's commands, a JSON command a line, for an SSE or poll session on any node; gives the replies, a line each.
    ///
    /// # Errors
    /// See [`CommandsRefused`].
    pub async fn commands(&self, key: &str, body: Bytes) -> Result<Bytes, CommandsRefused> {
        let node = Key::parse(key).ok_or(CommandsRefused::Gone)?.session.node;
        let key = key.into();
        match self.ask(node, Ask::Commands { key, body }).await {
            Ok(Answer::Commands(replies)) => {
                replies.map_err(|PollRefused::Gone| CommandsRefused::Gone)
            }
            Err(Silence::Gone) => Err(CommandsRefused::Gone),
            Ok(_) | Err(Silence::Unreached | Silence::Engine(_)) => Err(CommandsRefused::Unreached),
        }
    }

    /// Executes a POST's commands for a session of this node.
    pub(crate) async fn commands_here(&self, key: &str, body: Bytes) -> Result<Bytes, PollRefused> {
        let key = self.local_key(key).ok_or(PollRefused::Gone)?;
        let (reply, answer) = oneshot::channel();
        self.mailbox(key.session.shard)
            .send(Mail::Commands { key, body, reply });
        answer.await.unwrap_or(Err(PollRefused::Gone))
    }

    /// How many shards it has.
    pub(crate) fn shards(&self) -> u16 {
        self.shared().dispatch.mailboxes.len() as u16
    }

    pub(crate) fn mailbox(&self, shard: u16) -> &Mailbox<Mail> {
        &self.shared().dispatch.mailboxes[usize::from(shard)]
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    pub(crate) fn local_key(&self, text: &str) -> Option<Key> {
        Key::parse(text)
            .filter(|key| key.session.node == self.id() && key.session.shard < self.shards())
    }

    /// Sessions are dealt out in turn: they live long, so the counts stay even.
    pub(crate) fn next_shard(&self) -> u16 {
        let turn = self.shared().admissions.turn();
        (turn % usize::from(self.shards())) as u16
    }
}

pub(crate) fn stopped() -> ClientError {
    ClientError::new(ErrorCode::Unavailable, "this node is stopping")
        .retry_after(Duration::from_secs(1))
}
