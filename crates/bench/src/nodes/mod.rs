//! Several nodes over one Redis: what a publication costs from the one to the other, against bare calls to the same Redis.

mod bare;
mod pair;
mod redis;

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::bars::{Row, print, short};
use crate::fleet::{Fleet, switchboard};
use crate::hub::{Hub, token};
use crate::load::{Framing, Report};
use crate::paired::{Pairs, Spread};
use crate::scenario::Setting;
use crate::scenario::crowd::Crowd;
use bare::{Bare, Calls};
use pair::Pair;
use redis::Redis;

const PAYLOAD_LEN: usize = 128;
const CHANNELS: usize = 16;
/// Between two publications one at a time: nothing is warm that would not be so in a quiet hub.
const PAUSE: Duration = Duration::from_micros(500);

/// A question about several nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Question {
    /// Two nodes over one Redis, and bare calls to it in turn
    Bare,
    /// Two nodes over a Cluster of three masters, and over one Redis in turn
    Cluster,
    /// What members cost Redis who do nothing
    Presence,
}

/// Measures what is asked for (all, if nothing is) and prints the rows; false where a bar is missed.
///
/// # Errors
/// It could not be measured, or something was lost.
pub(crate) async fn run(setting: &Setting, only: &[Question], json: bool) -> Result<bool> {
    let mut rows = Vec::new();
    for question in Question::value_variants() {
        if !only.is_empty() && !only.contains(question) {
            continue;
        }
        match question {
            Question::Bare => {
                eprintln!("two nodes and one Redis");
                rows.extend(against_bare(setting).await?);
            }
            Question::Cluster => {
                eprintln!("a Cluster of three masters");
                rows.push(cluster(setting).await?);
            }
            Question::Presence => {
                eprintln!("members that do nothing");
                rows.push(presence(setting).await?);
            }
        }
    }
    print(setting, &rows, json)
}

/// Throughput, latency and commands of two nodes, with the bare calls in turn.
async fn against_bare(setting: &Setting) -> Result<Vec<Row>> {
    let (pairs, count, single) = if setting.quick {
        (2, 5_000, 100)
    } else {
        (7, 30_000, 400)
    };
    let redis = Redis::one().await?;
    let crowd = Crowd::spread(Framing::WebSocket, CHANNELS, CHANNELS)?;
    let mut nodes = Pair::start(setting, &redis, crowd).await?;
    let mut bare = Calls::connect(redis.port(), CHANNELS, PAYLOAD_LEN).await?;
    // In seconds a publication, so that above 1 the nodes are faster.
    let (mut kept, mut published) = (Pairs::default(), Pairs::default());
    let (mut kept_single, mut published_single) = (Pairs::default(), Pairs::default());
    let (mut nodes_us, mut redis_us) = (Vec::new(), Vec::new());
    let mut number = 0;
    for pair in 0..=pairs {
        let block = nodes.saturated(&redis, count).await?;
        let bare_kept = saturated(&mut bare, Bare::Kept, count).await?;
        let bare_published = saturated(&mut bare, Bare::Published, count).await?;
        let latency = nodes.one_at_a_time(single).await?;
        let latency_kept = one_at_a_time(&mut bare, Bare::Kept, single, &mut number).await?;
        let latency_published =
            one_at_a_time(&mut bare, Bare::Published, single, &mut number).await?;
        eprintln!(
            "  {pair}/{pairs}: {:.0} a second, bare {:.0} with history and {:.0} without; p50 {latency:.0} µs, bare {latency_kept:.0} and {latency_published:.0}",
            block.per_s,
            1.0 / bare_kept,
            1.0 / bare_published
        );
        // The first pair warms up.
        if pair > 0 {
            kept.push(1.0 / block.per_s, bare_kept);
            published.push(1.0 / block.per_s, bare_published);
            kept_single.push(latency_kept, latency);
            published_single.push(latency_published, latency);
            nodes_us.push(block.nodes_us);
            redis_us.push(block.redis_us);
        }
    }
    let before = redis.commands().await?;
    nodes.saturated(&redis, count).await?;
    let commands = (redis.commands().await? - before) as f64 / count as f64;
    nodes.close().await?;
    let spread = |of: &[f64]| short(Spread::of(of.iter().copied()).median);
    let rate = |pairs: &Pairs, name: &str, detail: &str| {
        let (ratio, own, other) = (pairs.ratio(), pairs.first(), pairs.second());
        Row::at_least(name, ratio.median, "x bare", 0.8).detail(format!(
            "{} to {}; {:.0} a second (bare {:.0}){detail}",
            short(ratio.min),
            short(ratio.max),
            1.0 / own.median,
            1.0 / other.median
        ))
    };
    let delay = |pairs: &Pairs, name: &str| {
        let (ratio, own, other) = (pairs.ratio(), pairs.second(), pairs.first());
        Row::at_most(name, ratio.median, "x bare", 1.3).detail(format!(
            "{} to {}; {:.0} µs (bare {:.0})",
            short(ratio.min),
            short(ratio.max),
            own.median,
            other.median
        ))
    };
    let costs = format!(
        "; CPU µs: {} of Redis, {} of both nodes",
        spread(&redis_us),
        spread(&nodes_us)
    );
    Ok(vec![
        rate(
            &kept,
            "two nodes, streamed, against XADD and SPUBLISH",
            &costs,
        ),
        rate(&published, "the same against SPUBLISH alone", ""),
        delay(
            &kept_single,
            "publish to delivery, p50, against XADD and SPUBLISH",
        ),
        delay(&published_single, "the same against SPUBLISH alone"),
        // What nodes do by themselves meanwhile is in it.
        Row::at_most("Redis commands a publication", commands, "", 1.01),
    ])
}

/// Seconds of a bare publication.
async fn saturated(bare: &mut Calls, what: Bare, count: u64) -> Result<f64> {
    let start = std::time::Instant::now();
    bare.saturated(what, count).await?;
    Ok(start.elapsed().as_secs_f64() / count as f64)
}

/// The median of so many bare publications, microseconds.
async fn one_at_a_time(bare: &mut Calls, what: Bare, count: u64, number: &mut u64) -> Result<f64> {
    let mut micros = Vec::new();
    for _ in 0..count {
        *number += 1;
        micros.push(bare.one(what, *number).await?);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(Spread::of(micros.into_iter()).median)
}

/// Two nodes on a Cluster of three masters against two nodes on one Redis, in turn.
async fn cluster(setting: &Setting) -> Result<Row> {
    let (pairs, count) = if setting.quick {
        (2, 5_000)
    } else {
        (5, 30_000)
    };
    let (one, three) = (Redis::one().await?, Redis::cluster().await?);
    // Many channels, so that each master has its part.
    let crowd = || Crowd::spread(Framing::WebSocket, 8 * CHANNELS, 8 * CHANNELS);
    let mut on_one = Pair::start(setting, &one, crowd()?).await?;
    let mut on_three = Pair::start(setting, &three, crowd()?).await?;
    let (mut rates, mut redis_us) = (Pairs::default(), Pairs::default());
    for pair in 0..=pairs {
        let first = on_three.saturated(&three, count).await?;
        let second = on_one.saturated(&one, count).await?;
        eprintln!(
            "  {pair}/{pairs}: {:.0} a second, on one {:.0}",
            first.per_s, second.per_s
        );
        if pair > 0 {
            rates.push(1.0 / first.per_s, 1.0 / second.per_s);
            redis_us.push(first.redis_us, second.redis_us);
        }
    }
    on_one.close().await?;
    on_three.close().await?;
    let (ratio, own, other) = (rates.ratio(), rates.first(), rates.second());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    Ok(Row::told("a Cluster of three masters", ratio.median, "x one Redis").detail(format!(
        "{} to {}; {:.0} a second (one {:.0}); CPU µs of Redis {} (one {}); everything on {cores} cores",
        short(ratio.min), short(ratio.max), 1.0 / own.median, 1.0 / other.median,
        short(redis_us.first().median), short(redis_us.second().median)
    )))
}

/// Commands a minute that members cost who do nothing: two nodes with them, and two with as many subscribers who are no members.
async fn presence(setting: &Setting) -> Result<Row> {
    /// Members of a channel: each is told of the others that come.
    const EACH: usize = 50;
    let (members, seconds) = if setting.quick {
        (1_000, 10)
    } else {
        (15_000, 60)
    };
    let mut a_minute = Vec::new();
    for channel in ["b:{m}", "room:{m}"] {
        let redis = Redis::one().await?;
        let configuration = redis.configuration() + "[namespaces.room]\npresence = true\n";
        let nodes = [
            Hub::start_with(&setting.hub, &configuration).await?,
            Hub::start_with(&setting.hub, &configuration).await?,
        ];
        let mut fleets = Vec::new();
        for node in &nodes {
            let names = [channel.to_owned()];
            let mut group = switchboard(Framing::WebSocket, members / 2, &names, &token("bench")?);
            group.modulus = members / EACH;
            fleets.push(Fleet::open(node.clients, vec![group]).await?);
        }
        // What comes after the last join is over.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let commands = commands_in(&redis, seconds).await?;
        a_minute.push(commands as f64 * 60.0 / seconds as f64);
        for mut fleet in fleets {
            let closed = fleet.report().await?.closed;
            ensure!(closed == 0, "{closed} sessions were closed");
            fleet.close().await?;
        }
    }
    let (without, with) = (a_minute[0], a_minute[1]);
    let more = (with - without).max(0.0) / members as f64;
    let row = Row::at_most("Redis commands a member and minute", more, "", 0.01);
    Ok(row.detail(format!(
        "{members} members on two nodes: {with:.0} commands a minute, {without:.0} with subscribers who are no members; \
         all of them, leases and canaries too: {} a member",
        short(with / members as f64)
    )))
}

async fn commands_in(redis: &Redis, seconds: u64) -> Result<u64> {
    let before = redis.commands().await?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    Ok(redis.commands().await? - before)
}

/// Nothing may be lost, doubled or out of order.
fn check(report: &Report) -> Result<()> {
    let wrong = report.lost + report.duplicates + report.disordered + report.gaps + report.closed;
    ensure!(
        wrong == 0,
        "{} lost, {} doubled, {} out of order, {} gaps, {} closed",
        report.lost,
        report.duplicates,
        report.disordered,
        report.gaps,
        report.closed
    );
    Ok(())
}
