//! One run of one target: started, filled with clients, measured in three ways, stopped.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::task::JoinSet;

use super::publish::Sender;
use super::server::Server;
use super::targets::Target;
use super::tree;
use crate::fleet::Fleet;
use crate::load::percentile;
use crate::marker::{Marker, now_ns};
use crate::scenario::Setting;
use crate::scenario::fan_out::PAYLOAD_LEN;

/// Publications that are under way at a time, or in one call.
pub(crate) const AT_ONCE: usize = 8;
/// Clients and publications that a server has seen before its memory is first read: what it allocates once is there.
const FIRST_CLIENTS: usize = 64;
const FIRST_PUBLICATIONS: u64 = 50;
/// What is still under way after the last client was opened (timers, collectors) gets this long before memory is read.
const SETTLING: Duration = Duration::from_secs(1);
/// Rounds of a block, however slow the target.
const ROUNDS_MIN: u64 = 3;

/// What a run has measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    /// Clients connected, upgraded and subscribed a second, 256 under way at a time.
    pub(crate) opened_per_s: f64,
    /// Anonymous memory of each idle client in the server, bytes.
    pub(crate) idle_bytes: f64,
    /// One publication at a time: the next when all have the last.
    pub(crate) one: Block,
    /// Eight requests under way at a time.
    pub(crate) eight: Block,
    /// Eight publications in one request, where the target has that.
    pub(crate) batch: Option<Block>,
}

/// A stretch of publishing in one way.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Block {
    /// CPU seconds of the server for a million deliveries (or microseconds for one).
    pub(crate) cpu_us: f64,
    pub(crate) deliveries: u64,
    /// Deliveries a second of wall time, with load process and publisher on the same cores.
    pub(crate) deliveries_per_s: f64,
    /// Bytes of a delivery on the wire.
    pub(crate) bytes: f64,
    /// From before the publishing request to the read by the client, microseconds.
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    One,
    Eight,
    Batch,
}

struct Stage<'a> {
    server: &'a Server,
    fleet: Fleet,
    sender: Sender,
    /// The last number of each lane. A lane is what a mark calls a channel: publications that are under way together
    /// are in different lanes, since nothing says in which order they arrive.
    numbers: [u64; AT_ONCE],
}

/// Starts a target, measures it, and stops it.
pub(crate) async fn run(
    setting: &Setting,
    peers: &Path,
    target: &Target,
    subscribers: usize,
) -> Result<Run> {
    let server = Server::start(setting, peers, target).await?;
    let measured = filled(&server, setting, target, subscribers).await;
    let log = server.log();
    let last: Vec<&str> = log.lines().rev().take(3).collect();
    server.stop().await?;
    measured.with_context(|| format!("its log ends with {last:?} (the last line first)"))
}

/// Measures a server that runs.
async fn filled(
    server: &Server,
    setting: &Setting,
    target: &Target,
    subscribers: usize,
) -> Result<Run> {
    let mut numbers = [0; AT_ONCE];
    let mut sender = server.sender(target.publishing).await?;
    if target.greets_with_last {
        sender.send(payload(&mut numbers, 0)).await?;
    }
    let mut stage = Stage {
        server,
        fleet: Fleet::open(server.clients(), vec![target.clients(FIRST_CLIENTS)?]).await?,
        sender,
        numbers,
    };
    let run = stage.measure(setting, target, subscribers).await?;
    stage.fleet.close().await?;
    Ok(run)
}

impl Stage<'_> {
    async fn measure(
        &mut self,
        setting: &Setting,
        target: &Target,
        subscribers: usize,
    ) -> Result<Run> {
        self.fleet.reset(false).await?;
        for number in 1..=FIRST_PUBLICATIONS {
            self.round(Way::One).await?;
            self.fleet.arrived(number).await?;
        }
        let before = tree::anonymous_bytes(self.server.pid())?;
        let more = vec![target.clients(subscribers)?];
        let fleet = Fleet::open(self.server.clients(), more).await?;
        let opened_per_s = subscribers as f64 / fleet.opened_in_s;
        tokio::time::sleep(SETTLING).await;
        let after = tree::anonymous_bytes(self.server.pid())?;
        // The first clients stay until memory is read: their end would hide some of it.
        std::mem::replace(&mut self.fleet, fleet).close().await?;
        let time = Duration::from_millis(if setting.quick { 500 } else { 2000 });
        self.block(Way::Eight, time / 4).await?;
        Ok(Run {
            opened_per_s,
            idle_bytes: (after as f64 - before as f64) / subscribers as f64,
            one: self.block(Way::One, time).await?,
            eight: self.block(Way::Eight, time).await?,
            batch: if self.sender.has_batches() {
                Some(self.block(Way::Batch, time).await?)
            } else {
                None
            },
        })
    }

    /// Publishes for so long; fails when anything is lost, doubled or out of order.
    async fn block(&mut self, way: Way, time: Duration) -> Result<Block> {
        self.fleet.reset(true).await?;
        let (before, begun) = (tree::clocks(self.server.pid())?, Instant::now());
        let (mut each, mut rounds) = (0, 0);
        while rounds < ROUNDS_MIN || begun.elapsed() < time {
            each += self.round(way).await?;
            rounds += 1;
            self.fleet
                .arrived(each)
                .await
                .with_context(|| format!("{way:?}, round {rounds}"))?;
        }
        let elapsed = begun.elapsed();
        let spent = before.until(tree::clocks(self.server.pid())?);
        let report = self.fleet.report().await?;
        let expected = each * self.fleet.clients as u64;
        ensure!(
            report.deliveries == expected,
            "{} deliveries, not {expected}",
            report.deliveries
        );
        report.check().with_context(|| format!("{way:?}"))?;
        Ok(Block {
            cpu_us: spent * 1e6 / expected as f64,
            deliveries: expected,
            deliveries_per_s: expected as f64 / elapsed.as_secs_f64(),
            bytes: report.bytes as f64 / expected as f64,
            p50_us: percentile(&report.latency, 0.5),
            p99_us: percentile(&report.latency, 0.99),
        })
    }

    /// Publishes once in this way; says how many publications that was.
    async fn round(&mut self, way: Way) -> Result<u64> {
        match way {
            Way::One => {
                let payload = payload(&mut self.numbers, 0);
                self.sender.send(payload).await?;
                Ok(1)
            }
            Way::Eight => {
                let mut under_way = JoinSet::new();
                for lane in 0..AT_ONCE {
                    let mut sender = self.sender.clone();
                    let payload = payload(&mut self.numbers, lane);
                    under_way.spawn(async move { sender.send(payload).await });
                }
                while let Some(outcome) = under_way.join_next().await {
                    outcome??;
                }
                Ok(AT_ONCE as u64)
            }
            Way::Batch => {
                let numbers = &mut self.numbers;
                let payloads = (0..AT_ONCE).map(|lane| payload(numbers, lane)).collect();
                self.sender.send_batch(payloads).await?;
                Ok(AT_ONCE as u64)
            }
        }
    }
}

/// The next payload of a lane.
fn payload(numbers: &mut [u64; AT_ONCE], lane: usize) -> Vec<u8> {
    numbers[lane] += 1;
    let marker = Marker {
        channel: u32::try_from(lane).unwrap_or(u32::MAX),
        number: numbers[lane],
        sent_ns: now_ns(),
    };
    marker.payload(PAYLOAD_LEN)
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} opened/s, {:.2} KiB idle, {:.2} µs, {:.2} µs of 8 in flight",
            self.opened_per_s,
            self.idle_bytes / 1024.0,
            self.one.cpu_us,
            self.eight.cpu_us
        )?;
        match &self.batch {
            Some(batch) => write!(f, ", {:.2} µs of batches", batch.cpu_us),
            None => Ok(()),
        }
    }
}
