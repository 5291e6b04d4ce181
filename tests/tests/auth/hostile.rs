//! Hostile tokens: refused before the upgrade, without a word about anything but the reason.

use anyhow::{Result, ensure};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;
use switchboard_tests::client::Refused;
use switchboard_tests::tokens::{Claims, now_s};
use switchboard_tests::{Hub, Opening, Transport, every_transport};

every_transport!(
    hostile_tokens_are_refused,
    a_refused_client_is_never_registered
);

/// Each with the code that it must be refused with.
fn hostile(hub: &Hub) -> Vec<(&'static str, String, &'static str)> {
    let mallory = || Claims::of("mallory");
    let good = hub.minter.mint(&mallory());
    let (body, signature) = good.rsplit_once('.').unwrap_or_default();
    let (header, _) = body.split_once('.').unwrap_or_default();
    let mut flipped: Vec<u8> = signature.bytes().collect();
    flipped[5] = if flipped[5] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap_or_default();
    let other_claims = hub.minter.mint(&Claims::of("admin"));
    let other_claims = other_claims.split('.').nth(1).unwrap_or_default();
    let stranger = hub.minter.with_key(
        Some("hs"),
        Algorithm::HS256,
        EncodingKey::from_secret(b"another secret, as long as that one is"),
    );
    let mint = |claims: Claims| hub.minter.mint(&claims);
    let none = |alg: &str| {
        hub.minter
            .forge(&json!({"alg": alg, "typ": "JWT"}), &mallory(), b"")
    };
    let no = "unauthenticated";
    vec![
        (
            "expired",
            mint(mallory().with("exp", now_s() - 10)),
            "token_expired",
        ),
        (
            "expired long ago",
            mint(mallory().with("exp", 1)),
            "token_expired",
        ),
        ("without an end", mint(mallory().without("exp")), no),
        (
            "an end that is no number",
            mint(mallory().with("exp", "tomorrow")),
            no,
        ),
        (
            "an end in milliseconds",
            mint(mallory().with("exp", (now_s() + 60) * 1000)),
            no,
        ),
        (
            "not valid yet",
            mint(mallory().with("nbf", now_s() + 600)),
            no,
        ),
        (
            "of another issuer",
            mint(mallory().with("iss", "https://evil.test")),
            no,
        ),
        ("of no issuer", mint(mallory().without("iss")), no),
        (
            "for another audience",
            mint(mallory().with("aud", "somebody-else")),
            no,
        ),
        (
            "for other audiences",
            mint(mallory().with("aud", json!(["a", "b"]))),
            no,
        ),
        ("for no audience", mint(mallory().without("aud")), no),
        (
            "unknown kid",
            hub.minter
                .with_id(Some("../../etc/passwd"))
                .mint(&mallory()),
            no,
        ),
        ("alg none", none("none"), no),
        ("alg None", none("None"), no),
        ("alg nOnE", none("nOnE"), no),
        (
            "no alg",
            hub.minter.forge(&json!({"typ": "JWT"}), &mallory(), b""),
            no,
        ),
        ("no signature", format!("{body}."), no),
        ("signature cut off", body.to_owned(), no),
        (
            "a bit of the signature changed",
            format!("{body}.{flipped}"),
            no,
        ),
        (
            "claims of another token",
            format!("{header}.{other_claims}.{signature}"),
            no,
        ),
        ("signed by a stranger", stranger.mint(&mallory()), no),
        (
            "an inner key",
            hub.minter.forge(
                &json!({"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}}),
                &mallory(),
                b"x",
            ),
            no,
        ),
        (
            "a key to fetch",
            hub.minter.forge(
                &json!({"alg": "RS256", "jku": "http://127.0.0.1:1/"}),
                &mallory(),
                b"x",
            ),
            no,
        ),
        (
            "critical extension",
            hub.minter.forge(
                &json!({"alg": "HS256", "crit": ["x"], "x": 1}),
                &mallory(),
                b"x",
            ),
            no,
        ),
        ("five parts", format!("{good}.a.b"), no),
        ("not a token", "hello".into(), no),
        ("dots", "..".into(), no),
        (
            "oversized",
            mint(mallory().with("pad", "x".repeat(9 * 1024))),
            no,
        ),
        (
            "senseless grants",
            mint(mallory().grants(json!({"subscribe": "chat:*"}))),
            no,
        ),
        (
            "an unknown grant",
            mint(mallory().grants(json!({"subscibe": ["chat:*"]}))),
            no,
        ),
        ("a user that is no text", mint(mallory().with("sub", 7)), no),
        ("an empty user", mint(mallory().with("sub", "")), no),
    ]
}

async fn hostile_tokens_are_refused(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    for (what, token, code) in hostile(&hub) {
        let refused = Refused::of(hub.open(transport, Opening::new(&token)).await);
        let refused = refused.map_err(|error| error.context(what))?;
        ensure!(
            refused.status == 401 && refused.code == code,
            "{what}: {refused:?}"
        );
        ensure!(
            refused.content_type == "application/problem+json",
            "{what}: {refused:?}"
        );
        let parts: Vec<&str> = token.split('.').filter(|part| part.len() > 12).collect();
        ensure!(
            !parts.iter().any(|part| refused.detail.contains(part)),
            "{what}: the answer quotes the token"
        );
    }
    hub.client(transport, "alice", &["chat:1"]).await?;
    Ok(())
}

async fn a_refused_client_is_never_registered(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    for (what, token, _) in hostile(&hub).into_iter().take(5) {
        let opening = Opening::new(token).channel("room:1");
        ensure!(hub.open(transport, opening).await.is_err(), "{what} got in");
    }
    let metrics = hub.metrics().await?;
    ensure!(
        metrics.sum("sessions_opened_total").abs() < 0.5,
        "a session was opened"
    );
    ensure!(
        metrics.sum("subscriptions").abs() < 0.5,
        "a subscription was made"
    );
    ensure!(
        metrics.sum("handshake_refusals_total") > 4.5,
        "refusals are not counted"
    );
    Ok(())
}
