//! Redis goes away, comes back, forgets, stalls: sessions stay, what can be had again is, and what cannot is told.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use switchboard_tests::client::Position;
use switchboard_tests::cluster::Cluster;
use switchboard_tests::services::Services;
use switchboard_tests::waiting::{SOON, until};
use switchboard_tests::{Client, Hub, Transport, every_transport};

every_transport!(
    redis_restarted_with_its_data_costs_nothing,
    redis_restarted_without_its_data_is_told_by_a_gap,
    a_cut_subscription_loses_nothing,
    a_stalled_redis_is_noticed_and_loses_nothing,
);

/// What is lost between Redis and a node is noticed within this.
const NOTICED: Duration = Duration::from_secs(3);

async fn ready(node: &Hub, wanted: bool, within: Duration) -> Result<()> {
    until(&format!("ready: {wanted}"), within, || async {
        Ok((node.readyz().await?.is_success() == wanted).then_some(()))
    })
    .await
}

async fn all_ready(cluster: &Cluster) -> Result<()> {
    for node in &cluster.nodes {
        ready(node, true, SOON).await?;
    }
    Ok(())
}

/// Publishes `numbers`, each again and again under its id until it is published.
async fn publish_at_last(services: &Services, numbers: std::ops::Range<u64>) -> Result<()> {
    for n in numbers {
        let mut item = switchboard_tests::services::item("chat:1", &json!({"n": n}));
        item.id = format!("id-{n}");
        until(&format!("publication {n}"), SOON * 2, || async {
            match services.publish_item(item.clone()).await {
                Ok(_) => Ok(Some(())),
                Err(error) => {
                    let status = error.downcast_ref::<tonic::Status>();
                    let code = status.map(tonic::Status::code);
                    ensure!(
                        matches!(
                            code,
                            Some(tonic::Code::Unavailable | tonic::Code::DeadlineExceeded)
                        ),
                        "{error:?}"
                    );
                    Ok(None)
                }
            }
        })
        .await?;
    }
    Ok(())
}

/// A client on each of two nodes, both with what was published before.
async fn start(transport: Transport) -> Result<(Cluster, Services, Vec<Client>)> {
    let cluster = Cluster::start(2).await?;
    let services = cluster[0].services().await?;
    let mut clients = Vec::new();
    for node in &cluster.nodes {
        clients.push(node.client(transport, "alice", &["chat:1"]).await?);
    }
    publish_at_last(&services, 0..20).await?;
    for client in &mut clients {
        client.numbers("chat:1", 0..20).await?;
    }
    Ok((cluster, services, clients))
}

async fn redis_restarted_with_its_data_costs_nothing(transport: Transport) -> Result<()> {
    let (mut cluster, services, mut clients) = start(transport).await?;
    cluster.redis.kill()?;
    for node in &cluster.nodes {
        ready(node, false, NOTICED).await?;
    }
    let started = Instant::now();
    let refused = services.publish("chat:1", &json!({"n": -1})).await;
    let refused = refused.err().context("published without Redis")?;
    ensure!(
        refused
            .downcast_ref::<tonic::Status>()
            .is_some_and(|status| status.code() == tonic::Code::Unavailable),
        "{refused:?}"
    );
    ensure!(
        started.elapsed() < Duration::from_secs(6),
        "it took {:?} to say so",
        started.elapsed()
    );
    cluster.redis.restart().await?;
    publish_at_last(&services, 20..40).await?;
    all_ready(&cluster).await?;
    for client in &mut clients {
        client.numbers("chat:1", 20..40).await?;
    }
    Ok(())
}

async fn redis_restarted_without_its_data_is_told_by_a_gap(transport: Transport) -> Result<()> {
    let (mut cluster, services, mut clients) = start(transport).await?;
    cluster.redis.kill()?;
    cluster.redis.forget()?;
    cluster.redis.restart().await?;
    publish_at_last(&services, 20..21).await?;
    for client in &mut clients {
        let before = client.positions()["chat:1"].clone();
        let gap = client.await_kind("gap").await?;
        let lost = Position::of(&gap.body["position"]);
        ensure!(lost.epoch != before.epoch, "{gap:?} after {before:?}");
        // What came after Redis forgot is delivered, or the gap says that it is in it.
        if lost.offset == 0 {
            client.numbers("chat:1", 20..21).await?;
        }
    }
    publish_at_last(&services, 21..30).await?;
    for client in &mut clients {
        client.numbers("chat:1", 21..30).await?;
    }
    Ok(())
}

async fn a_cut_subscription_loses_nothing(transport: Transport) -> Result<()> {
    let (cluster, services, mut clients) = start(transport).await?;
    let cut = async {
        for _ in 0..3 {
            cluster.redis.command("CLIENT KILL TYPE pubsub").await?;
            // waits: for connections to be made anew, so that they can be cut again
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        Ok(())
    };
    tokio::try_join!(cut, publish_at_last(&services, 20..600))?;
    for client in &mut clients {
        client.numbers("chat:1", 20..600).await?;
    }
    all_ready(&cluster).await
}

async fn a_stalled_redis_is_noticed_and_loses_nothing(transport: Transport) -> Result<()> {
    let (cluster, services, mut clients) = start(transport).await?;
    cluster.redis.signal("STOP")?;
    for node in &cluster.nodes {
        ready(node, false, NOTICED).await?;
    }
    let resumed = async {
        // waits: Redis is away for a while, with publications under way
        tokio::time::sleep(Duration::from_secs(2)).await;
        cluster.redis.signal("CONT")
    };
    tokio::try_join!(resumed, publish_at_last(&services, 20..60))?;
    for client in &mut clients {
        client.numbers("chat:1", 20..60).await?;
    }
    all_ready(&cluster).await
}
