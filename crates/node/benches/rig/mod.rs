//! A whole node whose sessions have no sockets: what the measurements of the delivery path and their guards run on.
//!
//! All of it is what a hub in service has: authenticated sessions with grants, the memory engine with history, counters.
//! One shard, so that there is one thread whose cost is the cost.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use switchboard_core::identity::BoxFuture;
use switchboard_core::{
    ChannelName, ChannelPattern, ErrorCode, Grants, Identity, Limits, Payload, Policy, PolicyTable,
    TokenError, TokenVerifier,
};
use switchboard_engine::memory::{MemoryConfig, MemoryEngine};
use switchboard_node::{Node, NodeConfig, Opening, Publish, Transport};
use switchboard_protocol::wire::Wire;

/// Publications of a burst, and channels where there are several.
pub(crate) const BURST: usize = 8;

/// How long a round may take that perhaps reaches nobody.
const PATIENCE: Duration = Duration::from_secs(1);

/// How publications come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The next when the one before has reached everybody.
    One,
    /// Eight at once on one channel.
    Burst,
    /// Eight at once, each on another of the eight channels that everybody has.
    Channels,
}

impl Mode {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Burst => "burst",
            Self::Channels => "channels",
        }
    }

    /// Publications between two waits.
    pub(crate) fn round(self) -> u64 {
        match self {
            Self::One => 1,
            Self::Burst | Self::Channels => BURST as u64,
        }
    }

    fn channels(self) -> usize {
        match self {
            Self::One | Self::Burst => 1,
            Self::Channels => BURST,
        }
    }
}

/// A node with sessions, all of them in the same channels. It lives as long as the process: nobody reads from a sink
/// that is no socket, so such a session never learns that it is over.
pub(crate) struct Rig {
    node: Node,
    mode: Mode,
    channels: Vec<ChannelName>,
    sessions: u64,
    /// Publications so far that reached somebody.
    published: u64,
}

impl Rig {
    /// Starts a node and opens the sessions; all of them are live when this returns.
    pub(crate) async fn start(sessions: u64, mode: Mode, wire: Wire) -> Self {
        let config = NodeConfig {
            limits: Limits {
                // Nobody answers a ping here.
                ping_interval: Duration::from_hours(24),
                ..Limits::default()
            },
            policies: PolicyTable::new([("bench".into(), Policy::default())], None),
            shards: 1,
            // Sessions without sockets have nothing to give to the kernel.
            io_uring: false,
            version: "bench",
        };
        let node = Node::start(config, Arc::new(NoTokens), |_, sink| {
            MemoryEngine::new(sink, MemoryConfig::default())
        })
        .expect("one shard is a permitted number");
        let channel = |index| ChannelName::parse(&format!("bench:{index}")).expect("a valid name");
        let channels: Vec<_> = (0..mode.channels()).map(channel).collect();
        for number in 0..sessions {
            let opening = opening(number, &channels, wire);
            node.check_opening(&opening).expect("the grants cover it");
            node.open_null(opening).expect("there is no bound");
        }
        let mut rig = Self {
            node,
            mode,
            channels,
            sessions,
            published: 0,
        };
        rig.go_live().await;
        rig
    }

    /// Publishes so many rounds, each when the one before has been written to everybody.
    pub(crate) async fn publish(&mut self, rounds: u64) {
        for _ in 0..rounds {
            self.publish_round().await;
            self.written().await;
        }
    }

    /// Deliveries so far.
    pub(crate) fn deliveries(&self) -> u64 {
        self.node.metrics().deliveries.get()
    }

    /// Calls of send so far.
    pub(crate) async fn send_calls(&self) -> u64 {
        self.node.send_calls().await
    }

    /// Publishes until a round reaches every session in every channel: from then on nobody catches up any more.
    async fn go_live(&mut self) {
        let subscriptions = (self.sessions * self.channels.len() as u64).cast_signed();
        while self.node.metrics().subscriptions.get() < subscriptions {
            tokio::task::yield_now().await;
        }
        loop {
            let (deliveries, written) = (self.deliveries(), self.writes());
            self.publish_round().await;
            // What reaches nobody is not observed, so this one wait has an end.
            let end = Instant::now() + PATIENCE;
            while self.writes() < written + self.mode.round() && Instant::now() < end {
                tokio::task::yield_now().await;
            }
            if self.deliveries() - deliveries == self.sessions * self.mode.round() {
                self.published = self.writes();
                return;
            }
        }
    }

    async fn publish_round(&mut self) {
        for index in 0..self.mode.round() as usize {
            let channel = &self.channels[index % self.channels.len()];
            let published = self.node.publish(publication(channel)).await;
            published.expect("the memory engine takes it");
            self.published += 1;
        }
    }

    /// Waits until all that was published has been written.
    async fn written(&self) {
        while self.writes() < self.published {
            tokio::task::yield_now().await;
        }
    }

    /// Publications that have been written to everybody they reach. Reading it neither disturbs the shard nor allocates.
    fn writes(&self) -> u64 {
        self.node.metrics().publish_to_write.count()
    }
}

fn opening(number: u64, channels: &[ChannelName], wire: Wire) -> Opening {
    let grants = Grants {
        subscribe: vec![ChannelPattern::parse("bench:*").expect("a valid pattern")],
        ..Grants::default()
    };
    let identity = Identity {
        user: Some(format!("user-{number}").into()),
        info: None,
        grants: Arc::new(grants),
        expires_at_ms: None,
        token_id: None,
        issued_at_ms: None,
    };
    Opening {
        identity: Arc::new(identity),
        transport: if wire.is_sse() {
            Transport::Sse
        } else {
            Transport::WebSocket
        },
        wire,
        channels: channels.to_vec(),
        rewind: 0,
        cursor: None,
        heartbeat: None,
        client_ip: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    }
}

/// A frame of some 200 bytes.
fn publication(channel: &ChannelName) -> Publish {
    const PAYLOAD: &str = r#"{"text":"sixty bytes or so of what people say to each other"}"#;
    Publish {
        channel: channel.clone(),
        payload: Payload::Json(Bytes::from_static(PAYLOAD.as_bytes())),
        id: None,
        tags: Vec::new(),
        exclude: None,
        expected_position: None,
        skip_history: false,
    }
}

/// The sessions here have been verified, and bring no further tokens.
struct NoTokens;

impl TokenVerifier for NoTokens {
    fn verify<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Arc<Identity>, TokenError>> {
        Box::pin(async {
            Err(TokenError {
                code: ErrorCode::Unauthenticated,
                message: "no tokens here".to_owned(),
            })
        })
    }
}
