//! Faults at random: FAULT_RUNS runs, many at a time. FAULT_SEED plays the same again; a failure prints the seed of its run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use switchboard_client::{Event, Start, Timing};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::stage::{Stage, shared, subscribe};

const AT_A_TIME: usize = 40;
const RUN_MAX: Duration = Duration::from_mins(1);

fn setting(name: &str, otherwise: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(value) => value
            .parse()
            .with_context(|| format!("{name} is no number")),
        Err(_) => Ok(otherwise),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_twice_or_out_of_order_whatever_the_network_does() -> Result<()> {
    let runs = setting("FAULT_RUNS", 200)?;
    let seed = setting("FAULT_SEED", u64::from(rand::random::<u32>()))?;
    println!("FAULT_SEED={seed} FAULT_RUNS={runs}");
    let stage = Arc::new(shared()?);
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut running = JoinSet::new();
    for seed in seed..seed + runs {
        let (stage, places) = (Arc::clone(&stage), Arc::clone(&places));
        running.spawn(async move {
            let _place = places.acquire().await?;
            let outcome = timeout(RUN_MAX, run(&stage, seed))
                .await
                .context("it takes for ever");
            outcome
                .flatten()
                .with_context(|| format!("FAULT_SEED={seed} FAULT_RUNS=1"))
        });
    }
    let outcomes = running.join_all().await;
    let failed: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    ensure!(
        failed.is_empty(),
        "{} runs failed, such as {:#}",
        failed.len(),
        failed[0]
    );
    Ok(())
}

fn fault(chance: &mut StdRng) -> Value {
    let mut modes = calm();
    let faults = [
        json!({ "ws": "kill", "kill_after_ms": 30 }),
        json!({ "ws": "stall" }),
        json!({ "ws": "refuse" }),
        json!({ "ws": "strip" }),
        json!({ "ws": "hang" }),
        json!({ "delay_ms": 40 }),
        json!({ "delay_ms": 150 }),
        json!({ "answer": "close" }),
        json!({ "answer": 503 }),
        json!({ "answer": 502 }),
    ];
    let fault = &faults[chance.random_range(0..faults.len())];
    for (mode, value) in fault.as_object().into_iter().flatten() {
        modes[mode] = value.clone();
    }
    modes
}

fn calm() -> Value {
    json!({ "ws": "pass", "delay_ms": 0, "answer": "pass", "kill_after_ms": 0 })
}

/// One client behind a proxy of its own that misbehaves at random, while a service and the client publish: all must come, in order, once,
/// and without a gap.
async fn run(stage: &Stage, seed: u64) -> Result<()> {
    let mut chance = StdRng::seed_from_u64(seed);
    let channel = format!("chat:fault-{seed}");
    let (proxy, url) = stage.proxy(json!({})).await?;
    let client = stage
        .builder(&format!("user-{seed}"), &url)
        .await?
        .timing(Timing {
            backoff_base: Duration::from_millis(20),
            backoff_cap: Duration::from_millis(250),
            open: Duration::from_millis(1500),
            heartbeat: Duration::from_secs(1),
            silence: Duration::from_millis(2500),
            request: RUN_MAX,
            proven: Duration::from_millis(400),
        })
        .build()?;
    let mut subscription = subscribe(&client, &channel, Start::default()).await?;
    let (service, own) = (chance.random_range(15..40), chance.random_range(0..6));
    let mut publishing = JoinSet::new();
    let (mut published, mut mine) = (0, 0);
    while published < service || mine < own {
        match chance.random_range(0.0..1.0) {
            luck if luck < 0.12 => drop(stage.post(&format!("{proxy}/cut"), json!({})).await?),
            luck if luck < 0.18 => {
                drop(stage.post(&format!("{proxy}/half-open"), json!({})).await?);
            }
            luck if luck < 0.35 => drop(stage.post(&proxy, fault(&mut chance)).await?),
            luck if luck < 0.5 && mine < own => {
                let (client, channel, data) =
                    (client.clone(), channel.clone(), json!({ "mine": mine }));
                publishing.spawn(async move { client.publish(&channel, &data).await });
                mine += 1;
            }
            _ if published < service => {
                let count = chance.random_range(1..5).min(service - published);
                stage.publish(&channel, published, count).await?;
                published += count;
            }
            _ => {}
        }
        let wait = Duration::from_millis(chance.random_range(0..120));
        // waits: faults are to meet the client at some time, not between two frames
        tokio::time::sleep(wait).await;
    }
    stage.post(&proxy, calm()).await?;
    while let Some(outcome) = publishing.join_next().await {
        outcome??;
    }
    let mut wanted = 1;
    while wanted <= service + own {
        match subscription.next().await.context("it has ended")? {
            Event::Subscribed(_) => {}
            Event::Message(message) if message.offset == Some(wanted) => wanted += 1,
            other => anyhow::bail!("{other:?} came in the place of offset {wanted}"),
        }
    }
    // What came twice would come before the answer to this.
    client.ping().await?;
    client.close().await;
    while let Some(event) = subscription.next().await {
        let expected = matches!(event, Event::Subscribed(_) | Event::Unsubscribed(None));
        ensure!(expected, "{event:?} came after the last");
    }
    stage.delete(&proxy).await
}
