//! A Redis that speaks TLS and lets in only whom it knows: nodes share it like any other, and one that it does not know says why.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use switchboard_tests::config::Config;
use switchboard_tests::redis::{Guard, RedisCluster, Watched};
use switchboard_tests::waiting::{SOON, until};
use switchboard_tests::{Client, Hub, Transport};

/// Enough for every primary of a Cluster to have some.
const CHANNELS: [&str; 6] = ["chat:1", "chat:2", "chat:3", "chat:4", "chat:5", "chat:6"];

/// Two nodes; the passwords are among what their logs must not show.
async fn nodes(guard: &Guard, engine: impl Fn(&mut Config)) -> Result<[Hub; 2]> {
    let first = Hub::start_with(&engine).await?;
    let second = first.start_beside(&engine).await?;
    for node in [&first, &second] {
        node.secrets.add(&guard.password);
        node.secrets.add(&guard.sentinel_password);
    }
    Ok([first, second])
}

async fn clients(nodes: &[Hub; 2]) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for node in nodes {
        let client = node.client(Transport::WebSocket, "alice", &CHANNELS);
        clients.push(client.await?);
    }
    Ok(clients)
}

/// Has each node publish ten to every channel, which the clients of both get.
async fn all_flows(nodes: &[Hub; 2], clients: &mut [Client], from: u64) -> Result<()> {
    for channel in CHANNELS {
        for (node, from) in nodes.iter().zip([from, from + 10]) {
            let services = node.services().await?;
            services.publish_numbers(channel, from..from + 10).await?;
        }
        for client in &mut *clients {
            client.numbers(channel, from..from + 20).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_sentinels_a_guarded_redis_fails_over() -> Result<()> {
    let guard = Guard::new()?;
    let mut watched = Watched::start_guarded(&guard).await?;
    let nodes = nodes(&guard, |config| watched.engine_of(config)).await?;
    let mut clients = clients(&nodes).await?;
    all_flows(&nodes, &mut clients, 0).await?;
    let old = watched.primary().await?;
    watched.servers[old].is_replicated().await?;
    watched.servers[old].kill()?;
    until("another primary", SOON * 2, || async {
        Ok(watched.primary().await.ok().filter(|now| *now != old))
    })
    .await?;
    for node in &nodes {
        until("a node that is ready", SOON * 2, || async {
            Ok(node.readyz().await?.is_success().then_some(()))
        })
        .await?;
    }
    all_flows(&nodes, &mut clients, 20).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guarded_cluster_is_shared() -> Result<()> {
    let guard = Guard::new()?;
    let cluster = RedisCluster::start_guarded(&guard).await?;
    let nodes = nodes(&guard, |config| cluster.engine_of(config)).await?;
    let mut clients = clients(&nodes).await?;
    all_flows(&nodes, &mut clients, 0).await
}

/// Something else to say than what is true.
enum Wrong<'a> {
    Password,
    SentinelPassword,
    Authority(&'a Guard),
}

/// A node says with these words why it does not get ready, and not with what.
async fn refused(
    guard: &Guard,
    engine: impl Fn(&mut Config),
    wrong: Wrong<'_>,
    words: &[&str],
) -> Result<()> {
    const MISTAKEN: &str = "correct horse battery staple";
    let started = Hub::start_with(|config| {
        engine(config);
        match wrong {
            Wrong::Password => config.set("engine.redis.password", &format!("{MISTAKEN:?}")),
            Wrong::SentinelPassword => {
                config.set("engine.redis.sentinel_password", &format!("{MISTAKEN:?}"))
            }
            Wrong::Authority(other) => {
                let file = format!("'{}'", other.authority().display());
                config.set("engine.redis.tls_ca_file", &file)
            }
        };
    })
    .await;
    let error = started
        .err()
        .context("a node is ready that redis does not know")?;
    let told = format!("{error:#}");
    for word in words {
        ensure!(told.contains(word), "no {word:?} in: {told}");
    }
    for secret in [MISTAKEN, &guard.password, &guard.sentinel_password] {
        ensure!(!told.contains(secret), "the log shows a password: {told}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_let_in_says_what_to_do() -> Result<()> {
    let (guard, other): (Arc<Guard>, _) = (Guard::new()?, Guard::new()?);
    let watched = Watched::start_guarded(&guard).await?;
    let cluster = RedisCluster::start_guarded(&guard).await?;
    let sentinel = |config: &mut Config| watched.engine_of(config);
    let primaries = |config: &mut Config| cluster.engine_of(config);
    let password = ["WRONGPASS", "check `user` and `password`"];
    let sentinel_password = ["WRONGPASS", "check `sentinel_user` and `sentinel_password`"];
    let authority = ["authorities in `tls_ca_file`"];
    tokio::try_join!(
        refused(&guard, sentinel, Wrong::Password, &password),
        refused(
            &guard,
            sentinel,
            Wrong::SentinelPassword,
            &sentinel_password
        ),
        refused(&guard, sentinel, Wrong::Authority(&other), &authority),
        refused(&guard, primaries, Wrong::Password, &password),
        refused(&guard, primaries, Wrong::Authority(&other), &authority),
    )?;
    Ok(())
}
