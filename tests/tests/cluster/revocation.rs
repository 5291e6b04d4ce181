//! A token that one node was told to revoke is good on none, now or after a restart.

use anyhow::{Context, Result, ensure};
use switchboard_proto::api::v1 as api;
use switchboard_proto::api::v1::revoke_tokens_request::Tokens;
use switchboard_tests::client::{Opening, Refused};
use switchboard_tests::cluster::Cluster;
use switchboard_tests::tokens::{Claims, now_s};
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

    let request = api::RevokeTokensRequest {
        tokens: Some(Tokens::User("alice".into())),
        issued_before_ms: i64::try_from((now_s() - 30) * 1000)?,
        keep_seconds: 3600,
    };
    let services = cluster[0].services().await?;
    services.tokens().revoke_tokens(request).await?;
    for mut session in sessions {
        let close = session.closed(4101).await?;
        ensure!(close["reconnect"] == true, "{close}");
    }
    for node in &cluster.nodes {
        refused(node, transport, &old).await?;
    }

    // Nobody else's session, and none of a newer token.
    stays.command("ping", serde_json::json!({})).await?;
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
