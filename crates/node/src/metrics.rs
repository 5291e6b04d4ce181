//! What a node counts. The server registers these with its registry; tests read them.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// A label for a session's transport.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TransportLabel {
    /// `websocket`, `sse` or `poll`.
    pub transport: &'static str,
}

/// A label for a cause.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CauseLabel {
    /// A stable code: of an error, a gap or a policy.
    pub cause: &'static str,
}

/// A label for a close code.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CloseLabel {
    /// The close code.
    pub code: u16,
}

/// A node's counters. Cheap to update; none has a channel or a user as a label.
#[derive(Debug)]
pub struct Metrics {
    /// Live sessions.
    pub sessions: Family<TransportLabel, Gauge>,
    /// Sessions opened.
    pub sessions_opened: Family<TransportLabel, Counter>,
    /// Sessions closed.
    pub closes: Family<CloseLabel, Counter>,
    /// Live subscriptions.
    pub subscriptions: Gauge,
    /// Channels with subscribers or lingering, counted once a shard.
    pub channels: Gauge,
    /// Publications that reached this node from its engine.
    pub publications: Counter,
    /// Publications and presence pushes handed to sessions.
    pub deliveries: Counter,
    /// Publications dropped by a slow-consumer policy.
    pub drops: Counter,
    /// Gaps announced.
    pub gaps: Family<CauseLabel, Counter>,
    /// Bytes waiting in outboxes.
    pub outbox_bytes: Gauge,
    /// Handshakes refused.
    pub handshake_refusals: Family<CauseLabel, Counter>,
    /// Commands answered with an error.
    pub command_errors: Family<CauseLabel, Counter>,
    /// Commands taken.
    pub commands: Counter,
    /// Acknowledgements written to the engine: of those that came in a row only the last.
    pub acks_written: Counter,
    /// Acknowledgements that the engine did not take before their session was long gone: their users are sent again what they
    /// were about.
    pub acks_given_up: Counter,
    /// Openings that could not be counted against their limits on all nodes, and were let in.
    pub openings_uncounted: Counter,
    /// Sessions that did not answer a ping in time.
    pub heartbeats_missed: Counter,
    /// Times that the engine said something may have been lost.
    pub interruptions: Counter,
    /// Messages of other nodes that there was no room for.
    pub node_messages_dropped: Counter,
    /// From acceptance by the engine to the last write of the publication on a shard.
    pub publish_to_write: Histogram,
    /// Entries a shard took from its mailbox at once.
    pub shard_batch: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            sessions: Family::default(),
            sessions_opened: Family::default(),
            closes: Family::default(),
            subscriptions: Gauge::default(),
            channels: Gauge::default(),
            publications: Counter::default(),
            deliveries: Counter::default(),
            drops: Counter::default(),
            gaps: Family::default(),
            outbox_bytes: Gauge::default(),
            handshake_refusals: Family::default(),
            command_errors: Family::default(),
            commands: Counter::default(),
            acks_written: Counter::default(),
            acks_given_up: Counter::default(),
            openings_uncounted: Counter::default(),
            heartbeats_missed: Counter::default(),
            interruptions: Counter::default(),
            node_messages_dropped: Counter::default(),
            publish_to_write: Histogram::new(exponential_buckets(0.000_05, 2.0, 18)),
            shard_batch: Histogram::new(exponential_buckets(1.0, 2.0, 14)),
        }
    }
}

impl Metrics {
    /// Registers every metric.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("sessions", "Live sessions", self.sessions.clone());
        registry.register(
            "sessions_opened",
            "Sessions opened",
            self.sessions_opened.clone(),
        );
        registry.register(
            "session_closes",
            "Sessions closed, by close code",
            self.closes.clone(),
        );
        registry.register(
            "subscriptions",
            "Live subscriptions",
            self.subscriptions.clone(),
        );
        registry.register(
            "channels",
            "Channels with subscribers, counted once a shard",
            self.channels.clone(),
        );
        registry.register(
            "publications",
            "Publications received from the engine",
            self.publications.clone(),
        );
        registry.register(
            "deliveries",
            "Frames of channels handed to sessions",
            self.deliveries.clone(),
        );
        registry.register(
            "drops",
            "Publications dropped for slow consumers",
            self.drops.clone(),
        );
        registry.register("gaps", "Gaps announced, by cause", self.gaps.clone());
        registry.register_with_unit(
            "outbox",
            "Bytes waiting for slow readers",
            Unit::Bytes,
            self.outbox_bytes.clone(),
        );
        registry.register(
            "handshake_refusals",
            "Handshakes refused, by cause",
            self.handshake_refusals.clone(),
        );
        registry.register(
            "command_errors",
            "Commands answered with an error, by cause",
            self.command_errors.clone(),
        );
        registry.register(
            "commands",
            "Commands taken from clients",
            self.commands.clone(),
        );
        registry.register(
            "acks_written",
            "Acknowledgements of durable subscriptions written to the engine",
            self.acks_written.clone(),
        );
        registry.register(
            "acks_given_up",
            "Acknowledgements that could not be written: what they were about is sent again",
            self.acks_given_up.clone(),
        );
        registry.register(
            "openings_uncounted",
            "Sessions let in while the engine could not count them against their limits",
            self.openings_uncounted.clone(),
        );
        registry.register(
            "heartbeats_missed",
            "Sessions closed for want of a pong",
            self.heartbeats_missed.clone(),
        );
        registry.register(
            "node_messages_dropped",
            "Messages of other nodes that there was no room for",
            self.node_messages_dropped.clone(),
        );
        registry.register(
            "engine_interruptions",
            "Times deliveries may have been lost",
            self.interruptions.clone(),
        );
        registry.register_with_unit(
            "publish_to_write",
            "From acceptance to the last write on a shard",
            Unit::Seconds,
            self.publish_to_write.clone(),
        );
        registry.register(
            "shard_batch",
            "Mailbox entries taken at once",
            self.shard_batch.clone(),
        );
    }

    pub(crate) fn gap(&self, cause: &'static str) {
        self.gaps.get_or_create(&CauseLabel { cause }).inc();
    }

    /// Counts a refused handshake.
    pub fn refused(&self, cause: &'static str) {
        self.handshake_refusals
            .get_or_create(&CauseLabel { cause })
            .inc();
    }
}
