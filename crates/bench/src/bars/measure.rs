//! How each bar is measured: which scenario, with what size, and what of its result is the figure.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::bars::row::short;
use crate::bars::{Bar, Row};
use crate::load::Framing;
use crate::paired::{Pairs, Spread};
use crate::publisher::By;
use crate::scenario::fan_out::{Cost, FanOut};
use crate::scenario::opening::{AT_ONCE, Storms};
use crate::scenario::stage::Length;
use crate::scenario::{Setting, interference, latency, memory, opening, publishing, saturated};

pub(super) async fn measure(bar: Bar, setting: &Setting) -> Result<Vec<Row>> {
    match bar {
        Bar::FanOut => fan_out(setting).await,
        Bar::Burst => burst(setting, 1, "bursts of 8 on one channel", 6.0).await,
        Bar::BurstChannels => burst(setting, 8, "bursts of 8 over 8 channels", 4.0).await,
        Bar::Sse => sse(setting).await,
        Bar::Poll => poll(setting).await,
        Bar::Flatness => flatness(setting).await,
        Bar::NullSink => null_sink(setting).await,
        Bar::Memory => quiet(setting).await,
        Bar::IdleCpu => idle_cpu(setting).await,
        Bar::Channels => channels(setting).await,
        Bar::Stream => stream(setting).await,
        Bar::Unary => unary(setting).await,
        Bar::Latency => unloaded(setting).await,
        Bar::Stalled => stalled(setting).await,
        Bar::Beside => beside(setting).await,
        Bar::Opening => new_sessions(setting).await,
        Bar::Start => start(setting).await,
    }
}

async fn fan_out(setting: &Setting) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for subscribers in [1000, 10_000] {
        let what = FanOut::one_at_a_time(subscribers, Framing::WebSocket);
        let cost = what.measure(setting).await?;
        let name = format!("one at a time, {subscribers} WebSockets");
        rows.push(Row::at_least(&name, cost.ratio.median, "x bare", 0.92).detail(told(&cost)));
        let name = format!("send calls a delivery, {subscribers} WebSockets");
        rows.push(Row::at_most(&name, cost.sends, "", 1.01));
    }
    Ok(rows)
}

async fn burst(setting: &Setting, channels: usize, name: &str, bar: f64) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let sizes: &[usize] = if setting.quick {
        &[1000]
    } else {
        &[1000, 10_000]
    };
    for &subscribers in sizes {
        let what = FanOut {
            subscribers,
            framing: Framing::WebSocket,
            channels,
            burst: 8,
            by: By::Batch,
        };
        let cost = what.measure(setting).await?;
        let name = format!("{name}, {subscribers} WebSockets");
        rows.push(Row::at_least(&name, cost.ratio.median, "x bare", bar).detail(told(&cost)));
    }
    Ok(rows)
}

async fn sse(setting: &Setting) -> Result<Vec<Row>> {
    let what = FanOut::one_at_a_time(1000, Framing::EventStream);
    let cost = what.measure(setting).await?;
    let row = Row::at_least(
        "one at a time, 1000 event streams",
        cost.ratio.median,
        "x bare",
        0.90,
    );
    Ok(vec![row.detail(told(&cost))])
}

fn told(cost: &Cost) -> String {
    let Spread { min, max, .. } = cost.ratio;
    format!(
        "{} to {}; bare against itself {}; CPU µs a delivery {} (bare {}); {} bytes; p50 {} µs, p99 {} µs",
        short(min),
        short(max),
        short(cost.control.median),
        short(cost.hub_us.median),
        short(cost.bare_us.median),
        short(cost.bytes),
        cost.p50_us,
        cost.p99_us
    )
}

async fn poll(setting: &Setting) -> Result<Vec<Row>> {
    let pairs = saturated::polls_and_streams(setting, 1000).await?;
    // Cost of a stream's delivery over that of a poll's: the polls' share of the streams' rate.
    let ratio = pairs.ratio();
    let row = Row::at_least("polls at saturation, 1000", ratio.median, "x SSE", 0.5);
    Ok(vec![row.detail(format!(
        "{} to {}; CPU µs a delivery {} (event streams {})",
        short(ratio.min),
        short(ratio.max),
        short(pairs.first().median),
        short(pairs.second().median)
    ))])
}

async fn flatness(setting: &Setting) -> Result<Vec<Row>> {
    let mut ratios = Vec::new();
    for subscribers in [100, 1000, 10_000, 17_500] {
        // Streamed: a call's own price is a tenth of a hundred deliveries, and has a row of its own.
        let what = FanOut {
            by: By::Stream,
            ..FanOut::one_at_a_time(subscribers, Framing::WebSocket)
        };
        let cost = what.measure(setting).await?;
        eprintln!("  {subscribers}: {}", told(&cost));
        ratios.push((subscribers, cost.ratio.median));
    }
    let spread = Spread::of(ratios.iter().map(|(_, ratio)| *ratio));
    let figure = (spread.max / spread.min - 1.0) * 100.0;
    let all: Vec<String> = ratios
        .iter()
        .map(|(n, ratio)| format!("{n}: {}", short(*ratio)))
        .collect();
    let row = Row::at_most(
        "ratio to bare, 100 to 17,500 WebSockets",
        figure,
        "% apart",
        5.0,
    );
    Ok(vec![row.detail(all.join(", "))])
}

#[derive(Deserialize)]
struct NullSink {
    rows: Vec<NullSinkRow>,
}

#[derive(Deserialize)]
struct NullSinkRow {
    subscribers: u64,
    mode: String,
    ns_per_delivery: f64,
    user_ns_per_delivery: f64,
}

/// The node's own benchmark: it needs the node's inside.
async fn null_sink(setting: &Setting) -> Result<Vec<Row>> {
    let program = setting.null_sink.as_ref();
    let program =
        program.context("this bar needs --null-sink PROGRAM; `cargo xtask bench` gives it")?;
    let output = tokio::process::Command::new(program)
        .args(["--bench", "--json"])
        .stderr(Stdio::inherit())
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{}: {}",
        program.display(),
        output.status
    );
    let measured: NullSink = serde_json::from_slice(&output.stdout)?;
    let one: Vec<_> = measured
        .rows
        .iter()
        .filter(|row| row.mode == "one")
        .collect();
    let spread = Spread::of(one.iter().map(|row| row.user_ns_per_delivery));
    let all: Vec<String> = one
        .iter()
        .map(|row| {
            let (user, all) = (row.user_ns_per_delivery, row.ns_per_delivery);
            format!(
                "{}: {} (with the kernel's part {})",
                row.subscribers,
                short(user),
                short(all)
            )
        })
        .collect();
    let all = all.join(", ");
    Ok(vec![
        Row::at_most("user space a delivery, null sink", spread.max, "ns", 60.0).detail(all),
        Row::at_most(
            "the same, most over least",
            spread.max / spread.min,
            "x",
            2.0,
        ),
    ])
}

async fn quiet(setting: &Setting) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, framing, bar) in [
        ("a quiet WebSocket session", Framing::WebSocket, 2048.0),
        ("a quiet event stream", Framing::EventStream, 2048.0),
        ("a parked poll", Framing::Poll, 6144.0),
    ] {
        let bytes = memory::idle_session(setting, framing, 5000).await?;
        rows.push(Row::at_most(name, bytes, "bytes", bar));
    }
    let bytes = memory::further_subscription(setting, 5000).await?;
    rows.push(Row::at_most(
        "a further subscription",
        bytes,
        "bytes",
        100.0,
    ));
    let bytes = memory::empty_channel(setting, 1_000_000).await?;
    rows.push(Row::at_most("an empty channel", bytes, "bytes", 256.0));
    Ok(rows)
}

async fn idle_cpu(setting: &Setting) -> Result<Vec<Row>> {
    let share = memory::idle_cpu(setting, 10_000, Duration::from_secs(65)).await?;
    Ok(vec![Row::at_most(
        "10,000 silent sessions",
        share,
        "% of a core",
        0.5,
    )])
}

async fn channels(setting: &Setting) -> Result<Vec<Row>> {
    const PUBLICATIONS: usize = 10_000;
    const SESSIONS: usize = 10_000;
    // All hubs run at once and take turns. A socket that was not written to for a while costs the kernel more than a warm
    // one, so there are two rows: against one channel, and against one channel on each of as many sockets.
    let mut one = publishing::ByChannels::start(setting, 1, 1).await?;
    let mut few = publishing::ByChannels::start(setting, SESSIONS, 1).await?;
    let mut many = publishing::ByChannels::start(setting, SESSIONS, 100).await?;
    let (mut over_one, mut over_few) = (Pairs::default(), Pairs::default());
    // Each channel's first publication makes its history.
    few.block(PUBLICATIONS).await?;
    many.block(PUBLICATIONS).await?;
    for _ in 0..if setting.quick { 3 } else { 7 } {
        let (one, many) = (
            one.block(PUBLICATIONS).await?,
            many.block(PUBLICATIONS).await?,
        );
        over_one.push(one, many);
        over_few.push(few.block(PUBLICATIONS).await?, many);
    }
    for hub in [one, few, many] {
        hub.close().await?;
    }
    let row = |name, pairs: &Pairs| {
        let ratio = pairs.ratio();
        Row::at_most(name, ratio.median, "x", 1.15).detail(format!(
            "{} to {}; CPU µs {} and {}",
            short(ratio.min),
            short(ratio.max),
            short(pairs.second().median),
            short(pairs.first().median)
        ))
    };
    Ok(vec![
        row("a publication to one, 1,000,000 channels over 1", &over_one),
        row("the same over 10,000 channels", &over_few),
    ])
}

async fn stream(setting: &Setting) -> Result<Vec<Row>> {
    let (items, rounds) = if setting.quick {
        (200_000, 3)
    } else {
        (500_000, 7)
    };
    let rate = publishing::stream_per_cpu_s(setting, items, rounds).await?;
    let row = Row::at_least(
        "PublishStream to nobody",
        rate.median,
        "/s a core",
        300_000.0,
    );
    Ok(vec![row.detail(format!(
        "{} to {}",
        short(rate.min),
        short(rate.max)
    ))])
}

async fn unary(setting: &Setting) -> Result<Vec<Row>> {
    let pairs = publishing::unary_against_empty(setting, if setting.quick { 3 } else { 9 }).await?;
    let ratio = pairs.ratio();
    let row = Row::at_least("unary Publish, 64 callers", ratio.median, "x empty", 0.8);
    Ok(vec![row.detail(format!(
        "{} to {}; CPU µs {} (an empty call: {})",
        short(ratio.min),
        short(ratio.max),
        short(pairs.first().median),
        short(pairs.second().median)
    ))])
}

async fn unloaded(setting: &Setting) -> Result<Vec<Row>> {
    let it = latency::unloaded(setting, if setting.quick { 10 } else { 50 }).await?;
    let detail = format!(
        "p50 {} µs (echo {}), p99 {} µs (echo {})",
        short(it.p50_us),
        short(it.echo_p50_us),
        short(it.p99_us),
        short(it.echo_p99_us)
    );
    let (p50, p99) = (it.p50_us / it.echo_p50_us, it.p99_us / it.echo_p99_us);
    Ok(vec![
        Row::at_most("publish to delivery, p50", p50, "x echo", 1.5).detail(detail),
        Row::at_most("publish to delivery, p99", p99, "x echo", 2.0),
    ])
}

async fn stalled(setting: &Setting) -> Result<Vec<Row>> {
    let it = interference::stalled_readers(
        setting,
        Framing::WebSocket,
        (1000, 10),
        interference::STALLING_PAYLOAD_LEN,
        Length::Rounds(250),
    );
    let it = it.await?;
    for of in [&it.without, &it.with] {
        ensure!(of.faults.is_none(), "{}", of.faults);
    }
    let worse = it.with.p99_us as f64 / it.without.p99_us as f64;
    let grown = it.with.grown_bytes as f64 / it.budget_bytes as f64;
    let left = it.left_bytes as f64 / f64::from(1 << 20);
    Ok(vec![
        Row::at_most("others' p99 with 1% stalled", worse, "x", 1.2).detail(format!(
            "{} µs, {} µs with stalled readers",
            it.without.p99_us, it.with.p99_us
        )),
        Row::at_most("memory for the stalled", grown, "x budget", 1.0),
        Row::at_most("memory left of it afterwards", left, "MiB", 2.0),
    ])
}

async fn beside(setting: &Setting) -> Result<Vec<Row>> {
    let p99_us = interference::beside_a_large_fan_out(setting, 15_000, 300).await?;
    let name = "p99 of a channel of 10 beside a fan-out to 15,000";
    Ok(vec![Row::at_most(name, p99_us as f64 / 1e3, "ms", 10.0)])
}

async fn new_sessions(setting: &Setting) -> Result<Vec<Row>> {
    let mut storms = Storms::start(setting, Framing::WebSocket, 5000, AT_ONCE).await?;
    let mut rates = Vec::new();
    for _ in 0..5 {
        let (opening, faults) = storms.storm().await?;
        ensure!(faults.is_none(), "{faults}");
        rates.push(1e6 / opening.cpu_us_per_session);
    }
    let rate = Spread::of(rates.into_iter());
    let row = Row::at_least("new sessions", rate.median, "/s a core", 5000.0);
    Ok(vec![row.detail(format!(
        "{} to {}",
        short(rate.min),
        short(rate.max)
    ))])
}

async fn start(setting: &Setting) -> Result<Vec<Row>> {
    let start = opening::start(setting, if setting.quick { 5 } else { 20 }).await?;
    let resident = start.anonymous_mib.median + start.file_mib.median;
    Ok(vec![
        Row::at_most("start to first answer", start.ms.median, "ms", 50.0).detail(format!(
            "{} to {}",
            short(start.ms.min),
            short(start.ms.max)
        )),
        Row::at_most("resident at start", resident, "MiB", 15.0).detail(format!(
            "anonymous {}, of files {}",
            short(start.anonymous_mib.median),
            short(start.file_mib.median)
        )),
    ])
}
