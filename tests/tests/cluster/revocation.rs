//! A token that one node was told to revoke is good on none, now or after a restart.

use anyhow::{Context, Result, ensure};
use switchboard_proto::api::v1 as api;
use switchboard_proto::api::v1::revoke_tokens_request::Tokens;
use switchboard_tests::client::{Client, Opening, Refused};
use switchboard_tests::cluster::Cluster;
use switchboard_tests::redis::RedisCluster;
use switchboard_tests::tokens::{Claims, now_s};
use switchboard_tests::waiting::{SOON, until};
use switchboard_tests::{Hub, Transport, every_transport};

every_transport!(a_revocation_holds_on_every_node_and_after_a_restart);

async fn refused(hub: &Hub, transport: Transport, token: &str) -> Result<()> {
    let opening = Opening::new(token);
    let refused = hub.open(transport, opening).await.err();
    let refused = refused.context("a revoked token was let in")?;
    let refused: Refused = refused.downcast()?;
    ensure!(
        refused.status == 401 && refused.code == "unauthenticated",
        "{refused:?}"
    );
    Ok(())
}

async fn a_revocation_holds_on_every_node_and_after_a_restart(transport: Transport) -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let at = |ago: u64| Claims::of("alice").with("iat", now_s() - ago);
    let old = cluster[0].minter.mint(&at(60));
    let new = cluster[0].minter.mint(&at(10));
    let mut sessions = Vec::new();
    for node in &cluster.nodes {
        let opening = Opening::new(&old);
        sessions.push(node.open(transport, opening).await?);
    }
    let opening = Opening::new(&new);
    let mut stays = cluster[1].open(transport, opening).await?;
    let mut bob = cluster[1].client(transport, "bob", &["chat:1"]).await?;

    revoke(&cluster[0], Tokens::User("alice".into()), now_s() - 30).await?;
    for mut session in sessions {
        let close = session.closed(4101).await?;
        ensure!(close["reconnect"] == true, "{close}");
    }
    for node in &cluster.nodes {
        refused(node, transport, &old).await?;
    }

    // Nobody else's session, and none of a newer token.
    stays.command("ping", serde_json::json!({})).await?;
    let services = cluster[0].services().await?;
    services.publish_numbers("chat:1", 0..1).await?;
    bob.numbers("chat:1", 0..1).await?;

    // A node that starts later knows of it before it lets anybody in.
    cluster[1].signal("KILL")?;
    let redis = &cluster.redis;
    let restarted = cluster[0]
        .start_beside(|config| redis.engine_of(config))
        .await?;
    refused(&restarted, transport, &old).await?;
    let opening = Opening::new(&new);
    restarted.open(transport, opening).await?;
    cluster.nodes.push(restarted);
    Ok(())
}

/// Where the revocations are.
const KEPT: &str = "sb{0}revocations";

async fn revoke(hub: &Hub, tokens: Tokens, issued_before_s: u64) -> Result<()> {
    let request = api::RevokeTokensRequest {
        tokens: Some(tokens),
        issued_before_ms: i64::try_from(issued_before_s * 1000)?,
        keep_seconds: 3600,
    };
    let services = hub.services().await?;
    services.tokens().revoke_tokens(request).await?;
    Ok(())
}

/// A session over each transport.
async fn sessions(hub: &Hub, token: &str) -> Result<Vec<Client>> {
    let mut sessions = Vec::new();
    for transport in Transport::ALL {
        sessions.push(hub.open(transport, Opening::new(token)).await?);
    }
    Ok(sessions)
}

async fn all_close(sessions: Vec<Client>) -> Result<()> {
    for mut session in sessions {
        session.closed(4101).await?;
    }
    Ok(())
}

async fn is_ready(hub: &Hub) -> Result<()> {
    until("a node that is ready", SOON * 2, || async {
        Ok(hub.readyz().await?.is_success().then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_redis_cluster_revocations_outlive_the_primary_and_the_nodes() -> Result<()> {
    let mut redis = RedisCluster::start().await?;
    let mut first = Hub::start_with(|config| redis.engine_of(config)).await?;
    let second = first.start_beside(|config| redis.engine_of(config)).await?;
    let token = |user: &str, id: &str, ago: u64| {
        let claims = Claims::of(user).with("iat", now_s() - ago);
        first.minter.mint(&claims.with("jti", id))
    };
    let before = now_s() - 30;
    let ways = [
        (Tokens::User("alice".into()), 0, token("alice", "a", 10)),
        (Tokens::User("bob".into()), before, token("bob", "b", 60)),
        (Tokens::TokenId("c-1".into()), 0, token("carol", "c-1", 10)),
    ];
    let mut stay = sessions(&second, &token("bob", "b", 10)).await?;
    stay.extend(sessions(&second, &token("carol", "c-2", 60)).await?);
    let mut revoked = Vec::new();
    for (tokens, issued_before_s, token) in ways {
        let end = sessions(&second, &token).await?;
        revoke(&first, tokens, issued_before_s).await?;
        all_close(end).await?;
        revoked.push(token);
    }
    let dave = token("dave", "d", 10);
    let end = sessions(&second, &dave).await?;

    // The replica takes over.
    let (primary, _) = redis.has(KEPT).await?;
    redis.servers[primary].is_replicated().await?;
    redis.servers[primary].kill()?;
    until("a replica that takes over", SOON * 2, || async {
        let owner = redis.has(KEPT).await.ok();
        Ok(owner.filter(|(owner, _)| *owner != primary))
    })
    .await?;
    for node in [&first, &second] {
        is_ready(node).await?;
    }
    revoke(&first, Tokens::User("dave".into()), 0).await?;
    all_close(end).await?;
    revoked.push(dave);
    for session in &mut stay {
        session.command("ping", serde_json::json!({})).await?;
    }

    // It comes back as a replica, with nothing on its disk, and every node is another: what they know is what was kept.
    redis.servers[primary].restart().await?;
    redis.is_whole().await?;
    first.signal("KILL")?;
    let third = second
        .start_beside(|config| redis.engine_of(config))
        .await?;
    second.signal("KILL")?;
    first = third.start_beside(|config| redis.engine_of(config)).await?;
    for node in [&first, &third] {
        for token in &revoked {
            for transport in Transport::ALL {
                refused(node, transport, token).await?;
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_has_lost_it_is_given_back() -> Result<()> {
    let mut cluster = Cluster::start(2).await?;
    let claims = Claims::of("alice").with("iat", now_s() - 10);
    let token = cluster[0].minter.mint(&claims);
    revoke(&cluster[0], Tokens::User("alice".into()), 0).await?;
    cluster.redis.kill()?;
    cluster.redis.forget()?;
    cluster.redis.restart().await?;
    let has_it = |answer: &str| answer.contains("u:alice");
    let kept = format!("HGETALL {KEPT}");
    cluster.redis.until(&kept, SOON, has_it).await?;
    let third = cluster[0]
        .start_beside(|config| cluster.redis.engine_of(config))
        .await?;
    for transport in Transport::ALL {
        refused(&third, transport, &token).await?;
    }
    Ok(())
}
