//! Tokens that are revoked: their sessions end, and they are good for nothing any more.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use switchboard_proto::api::v1 as api;
use switchboard_proto::api::v1::revoke_tokens_request::Tokens;
use switchboard_tests::client::{Opening, Refused};
use switchboard_tests::tokens::{Claims, now_s};
use switchboard_tests::{Hub, Transport, every_transport};
use tonic::Code;

every_transport!(
    one_token_is_revoked_by_its_id,
    everybodys_tokens_are_revoked,
    a_revoked_token_does_not_refresh_a_session,
);

async fn revoke(hub: &Hub, tokens: Tokens) -> Result<()> {
    let request = api::RevokeTokensRequest {
        tokens: Some(tokens),
        ..api::RevokeTokensRequest::default()
    };
    hub.services()
        .await?
        .tokens()
        .revoke_tokens(request)
        .await?;
    Ok(())
}

fn aged(user: &str) -> Claims {
    Claims::of(user).with("iat", now_s() - 60)
}

async fn one_token_is_revoked_by_its_id(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let token = |id: &str| hub.minter.mint(&aged("alice").with("jti", id));
    let (bad, good) = (token("t-1"), token("t-2"));
    let opening = Opening::new(&bad);
    let mut ends = hub.open(transport, opening.clone()).await?;
    let mut stays = hub.open(transport, Opening::new(&good)).await?;
    revoke(&hub, Tokens::TokenId("t-1".into())).await?;
    ends.closed(4101).await?;
    let refused: Refused = hub
        .open(transport, opening)
        .await
        .err()
        .context("a revoked token was let in")?
        .downcast()?;
    ensure!(refused.status == 401, "{refused:?}");
    ensure!(refused.detail.contains("revoked"), "{refused:?}");
    stays.command("ping", json!({})).await?;
    Ok(())
}

async fn everybodys_tokens_are_revoked(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let mut sessions = Vec::new();
    for user in ["alice", "bob"] {
        let opening = Opening::new(hub.minter.mint(&aged(user)));
        sessions.push(hub.open(transport, opening).await?);
    }
    // Without an `iat` a token is older than any.
    sessions.push(hub.client(transport, "carol", &[]).await?);
    revoke(&hub, Tokens::Everybody(true)).await?;
    for mut session in sessions {
        session.closed(4101).await?;
    }
    let later = Claims::of("alice").with("iat", now_s() + 1);
    let opening = Opening::new(hub.minter.mint(&later));
    hub.open(transport, opening).await?;
    Ok(())
}

async fn a_revoked_token_does_not_refresh_a_session(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let token = |id: &str| hub.minter.mint(&aged("alice").with("jti", id));
    revoke(&hub, Tokens::TokenId("t-1".into())).await?;
    let mut alice = hub.client(transport, "alice", &[]).await?;
    alice
        .refused("refresh", json!({"token": token("t-1")}), "unauthenticated")
        .await?;
    alice
        .command("refresh", json!({"token": token("t-2")}))
        .await?;
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_revoked_is_refused() -> Result<()> {
    let hub = Hub::start().await?;
    let mut tokens = hub.services().await?.tokens();
    for (named, before) in [
        (None, 0),
        (Some(Tokens::User(String::new())), 0),
        (Some(Tokens::TokenId(String::new())), 0),
        (Some(Tokens::Everybody(false)), 0),
        (Some(Tokens::User("alice".into())), -1),
    ] {
        let request = api::RevokeTokensRequest {
            tokens: named.clone(),
            issued_before_ms: before,
            keep_seconds: 0,
        };
        let status = tokens.revoke_tokens(request).await.err();
        let status = status.with_context(|| format!("{named:?} was taken"))?;
        ensure!(
            status.code() == Code::InvalidArgument,
            "{named:?}: {status:?}"
        );
    }
    Ok(())
}
