//! Fan-out: what a delivery costs the hub, against a bare loop that writes as many bytes to the very same sockets.

use anyhow::{Context, Result};
use serde::Serialize;

use crate::fleet::{Fleet, switchboard};
use crate::hub::{Hub, token};
use crate::load::{Framing, Report, percentile};
use crate::marker::{Marker, now_ns};
use crate::paired::{Pairs, Spread};
use crate::publisher::{By, Publisher};
use crate::scenario::{Setting, channels};

/// A payload whose frame is about as long as those of other hubs' benchmarks (132 bytes on the wire of a bare frame).
pub(crate) const PAYLOAD_LEN: usize = 128;
/// Deliveries of one block: some 0.3 seconds of the hub's CPU.
const BLOCK_DELIVERIES: usize = 60_000;

/// What is fanned out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FanOut {
    pub(crate) subscribers: usize,
    pub(crate) framing: Framing,
    /// Channels that every subscriber has.
    pub(crate) channels: usize,
    /// Publications under way together.
    pub(crate) burst: usize,
    /// The call that they are handed over by.
    pub(crate) by: By,
}

/// What it cost.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cost {
    /// The bare loop's cost over the hub's: above 1 the hub is cheaper.
    pub(crate) ratio: Spread,
    /// The bare loop against itself, for the noise.
    pub(crate) control: Spread,
    /// Microseconds of the hub's CPU per delivery.
    pub(crate) hub_us: Spread,
    /// The same of the bare loop.
    pub(crate) bare_us: Spread,
    /// Calls of send per delivery, the hub's.
    pub(crate) sends: f64,
    /// Bytes of one delivery on the wire.
    pub(crate) bytes: f64,
    /// Publish to arrival, microseconds.
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) deliveries: u64,
}

struct Run {
    hub: Hub,
    fleet: Fleet,
    publisher: Publisher,
    what: FanOut,
    rounds: usize,
}

impl FanOut {
    /// One publication at a time into one channel, a call each.
    pub(crate) fn one_at_a_time(subscribers: usize, framing: Framing) -> Self {
        Self {
            subscribers,
            framing,
            channels: 1,
            burst: 1,
            by: By::Unary,
        }
    }

    /// Measures; fails on anything lost, doubled or out of order.
    pub(crate) async fn measure(self, setting: &Setting) -> Result<Cost> {
        let (runs, pairs) = if setting.quick { (1, 5) } else { (7, 7) };
        let (mut ratios, mut control) = (Vec::new(), Pairs::default());
        let (mut hub_us, mut bare_us) = (Vec::new(), Vec::new());
        let (mut reports, mut sends) = (Report::default(), 0);
        for _ in 0..runs {
            let mut run = Run::start(setting, self).await?;
            // The first block of each warms up and tells the length of a delivery.
            let (_, first) = run.hub_block().await?;
            let frame = bare_frame(self.framing, first.bytes.div_ceil(first.deliveries));
            run.bare_block(&frame).await?;
            let mut of_run = Pairs::default();
            for _ in 0..pairs {
                let calls = run.hub.send_calls().await?;
                let (hub, report) = run.hub_block().await?;
                sends += run.hub.send_calls().await? - calls;
                let bare = run.bare_block(&frame).await?;
                of_run.push(hub, bare);
                reports.deliveries += report.deliveries;
                reports.bytes += report.bytes;
                reports.latency.extend(report.latency);
            }
            control.push(run.bare_block(&frame).await?, run.bare_block(&frame).await?);
            ratios.push(of_run.ratio().median);
            hub_us.push(of_run.first().median);
            bare_us.push(of_run.second().median);
            run.fleet.close().await?;
        }
        Ok(Cost {
            ratio: Spread::of(ratios.into_iter()),
            control: control.ratio(),
            hub_us: Spread::of(hub_us.into_iter()),
            bare_us: Spread::of(bare_us.into_iter()),
            sends: sends as f64 / reports.deliveries as f64,
            bytes: reports.bytes as f64 / reports.deliveries as f64,
            p50_us: percentile(&reports.latency, 0.5),
            p99_us: percentile(&reports.latency, 0.99),
            deliveries: reports.deliveries,
        })
    }
}

impl Run {
    async fn start(setting: &Setting, what: FanOut) -> Result<Self> {
        let hub = Hub::start(&setting.hub).await?;
        let names = channels(what.channels);
        let group = switchboard(what.framing, what.subscribers, &names, &token("bench")?);
        let fleet = Fleet::open(hub.clients, vec![group]).await?;
        let publisher = Publisher::new(hub.api, names, PAYLOAD_LEN).await?;
        Ok(Self {
            hub,
            fleet,
            publisher,
            what,
            rounds: (BLOCK_DELIVERIES / what.subscribers / what.burst).clamp(2, 500),
        })
    }

    /// Microseconds of CPU per delivery, through the whole hub.
    async fn hub_block(&mut self) -> Result<(f64, Report)> {
        self.fleet.reset(true).await?;
        let before = self.hub.process().cpu_s()?;
        for round in 1..=self.rounds {
            let burst = self.what.burst as u64;
            self.publisher.publish(self.what.by, 0, burst).await?;
            self.fleet.arrived((round * self.what.burst) as u64).await?;
        }
        let spent = self.hub.process().cpu_s()? - before;
        let report = self.fleet.report().await?;
        report.check().context("the hub did not keep its word")?;
        Ok((spent * 1e6 / report.deliveries as f64, report))
    }

    /// The same by the bare loop.
    async fn bare_block(&mut self, frame: &[u8]) -> Result<f64> {
        self.fleet.reset(false).await?;
        let before = self.hub.process().cpu_s()?;
        let mut sends = 0;
        for round in 1..=self.rounds {
            sends += self.hub.bare(frame, self.what.burst as u32).await?;
            self.fleet.arrived((round * self.what.burst) as u64).await?;
        }
        let spent = self.hub.process().cpu_s()? - before;
        Ok(spent * 1e6 / sends as f64)
    }
}

/// A frame of exactly so many bytes that counts as a delivery.
fn bare_frame(framing: Framing, len: u64) -> Vec<u8> {
    let marker = Marker {
        channel: 0,
        number: 1,
        sent_ns: now_ns(),
    };
    let len = len as usize;
    match framing {
        Framing::WebSocket => {
            let payload = marker.payload(len - 4);
            let mut frame = vec![0x81, 126];
            frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            frame.extend_from_slice(&payload);
            frame
        }
        Framing::EventStream | Framing::Poll => {
            let payload = marker.payload(len - 6 - 2 - 4);
            let chunk = [b"data: ", &payload[..], b"\n\n"].concat();
            let mut frame = format!("{:x}\r\n", chunk.len()).into_bytes();
            frame.extend_from_slice(&chunk);
            frame.extend_from_slice(b"\r\n");
            frame.resize(len.max(frame.len()), b' ');
            frame
        }
    }
}
