//! What `/metrics` shows beside the node's own counters: the process, its descriptors, the engine's stock.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use switchboard_auth::Verifier;
use switchboard_node::Node;

use crate::descriptors;
use crate::engine::{Figure, FigureValue, RunningEngine};

/// The registry of a node: every name begins with `switchboard_`.
pub(crate) fn registry(node: &Node, process: ProcessMetrics) -> Registry {
    let mut registry = Registry::with_prefix("switchboard");
    node.metrics().register(&mut registry);
    let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The program", build);
    registry.register_collector(Box::new(process));
    registry
}

/// Read anew at every scrape.
pub(crate) struct ProcessMetrics {
    /// The node.
    pub(crate) node: Node,
    /// Its engine.
    pub(crate) engine: RunningEngine,
    /// Its tokens.
    pub(crate) verifier: Verifier,
    /// When it started, seconds since 1970.
    pub(crate) started_s: f64,
}

impl std::fmt::Debug for ProcessMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessMetrics").finish_non_exhaustive()
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            let metric = ConstGauge::new(value);
            let encoder = encoder.encode_descriptor(name, help, unit, metric.metric_type())?;
            metric.encode(encoder)
        };
        if let Some(count) = descriptors::in_use() {
            gauge(
                "descriptors_open",
                "File descriptors in use",
                None,
                count as f64,
            )?;
        }
        gauge(
            "descriptors_max",
            "The limit on file descriptors",
            None,
            descriptors::limit() as f64,
        )?;
        gauge(
            "sessions_max",
            "Sessions above which new ones are refused",
            None,
            self.node.limits().sessions_max as f64,
        )?;
        gauge(
            "draining",
            "1 while the node drains",
            None,
            f64::from(u8::from(self.node.is_draining())),
        )?;
        gauge(
            "tokens_cached",
            "Verified tokens remembered",
            None,
            self.verifier.cached_len() as f64,
        )?;
        gauge(
            "start_time",
            "When the process started, since 1970",
            Some(&Unit::Seconds),
            self.started_s,
        )?;
        if let Some(bytes) = resident_bytes() {
            gauge(
                "resident_memory",
                "Memory of the process that is in RAM",
                Some(&Unit::Bytes),
                bytes as f64,
            )?;
        }
        let mut counters = Vec::new();
        for Figure { name, help, value } in self.engine.figures() {
            match value {
                FigureValue::Gauge(value) => gauge(name, help, None, value)?,
                FigureValue::Bytes(value) => gauge(name, help, Some(&Unit::Bytes), value)?,
                FigureValue::Counter(value) => counters.push((name, help, value)),
            }
        }
        for (name, help, value) in counters {
            let metric = ConstCounter::new(value);
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

/// The process's resident memory; nothing where the system does not tell.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
