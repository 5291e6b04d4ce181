//! A token that ends: a notice ahead, a refresh that keeps the session, or a close that says why.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use switchboard_tests::config::Config;
use switchboard_tests::tokens::Claims;
use switchboard_tests::{Hub, Opening, Transport, every_transport};

every_transport!(
    a_session_whose_token_ends_is_told_then_closed,
    a_refresh_keeps_the_session,
    a_refresh_with_anothers_token_is_refused,
    a_token_that_ends_takes_a_parked_client_with_it,
);

fn short_notice(config: &mut Config) {
    config
        .set("limits.expiring_notice_s", "1")
        .set("limits.expiry_grace_s", "0.4");
}

async fn a_session_whose_token_ends_is_told_then_closed(transport: Transport) -> Result<()> {
    let hub = Hub::start_with(short_notice).await?;
    let token = hub.minter.mint(&Claims::of("alice").ends_in(2.0));
    let mut client = hub
        .open(transport, Opening::new(token).channel("chat:1"))
        .await?;
    let ends = client.open["expires_at"].as_u64().unwrap_or_default();
    let expiring = client.expect("expiring").await?;
    ensure!(
        ends > 0 && expiring.body["expires_at"] == ends,
        "{expiring:?} after {}",
        client.open
    );
    let close = client.closed(4100).await?;
    ensure!(close["reconnect"] == true, "{close}");
    hub.await_metric("sessions", |count| count < 0.5).await?;
    Ok(())
}

async fn a_refresh_keeps_the_session(transport: Transport) -> Result<()> {
    let hub = Hub::start_with(short_notice).await?;
    let services = hub.services().await?;
    let token = hub.minter.mint(&Claims::of("alice").ends_in(2.0));
    let mut client = hub
        .open(transport, Opening::new(token).channel("chat:1"))
        .await?;
    client.expect("expiring").await?;
    let fresh = hub.minter.mint(&Claims::of("alice").ends_in(3600.0));
    let result = client.command("refresh", json!({"token": fresh})).await?;
    let (old, new) = (
        client.open["expires_at"].as_u64(),
        result["expires_at"].as_u64(),
    );
    ensure!(new > old, "{result} after {old:?}");

    // Past the old end and the grace after it.
    let frame = client.next_within(Duration::from_millis(2200)).await?;
    ensure!(frame.is_none(), "{frame:?}");
    services.publish_numbers("chat:1", 0..1).await?;
    client.numbers("chat:1", 0..1).await
}

async fn a_refresh_with_anothers_token_is_refused(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let mut client = hub.client(transport, "alice", &[]).await?;
    let token = hub.token("mallory");
    let error = client.ask("refresh", json!({"token": token})).await?.err();
    ensure!(error.is_some(), "alice's session went on as mallory's");
    let stale = hub.minter.mint(&Claims::of("alice").ends_in(-60.0));
    client
        .refused("refresh", json!({"token": stale}), "token_expired")
        .await?;
    client.command("ping", json!({})).await?;
    Ok(())
}

async fn a_token_that_ends_takes_a_parked_client_with_it(transport: Transport) -> Result<()> {
    let hub = Hub::start_with(|config| {
        short_notice(config);
        config.set("limits.expiring_notice_s", "0");
    })
    .await?;
    let token = hub.minter.mint(&Claims::of("alice").ends_in(1.2));
    let start = Instant::now();
    let mut client = hub
        .open(transport, Opening::new(token).channel("chat:1"))
        .await?;
    let (ended, _) = client.end(Duration::from_secs(8)).await?;
    ensure!(ended.code == Some(4100), "{ended:?}");
    ensure!(
        start.elapsed() >= Duration::from_secs(1),
        "it ended after {:?}",
        start.elapsed()
    );
    Ok(())
}
