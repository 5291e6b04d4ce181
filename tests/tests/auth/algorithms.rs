//! Tokens of every family of algorithms, and the confusions between them.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;
use switchboard_tests::client::Refused;
use switchboard_tests::tokens::{Claims, Minter};
use switchboard_tests::{Hub, Opening, Transport, every_transport, tools};

fn key_file(name: &str) -> PathBuf {
    tools::file("../crates/auth/tests/keys").join(name)
}

fn pem(name: &str) -> Result<Vec<u8>> {
    Ok(std::fs::read(key_file(name))?)
}

async fn hub_of_all_families() -> Result<Hub> {
    Hub::start_with(|config| {
        for (id, algorithm, file) in [
            ("rs", "RS256", "rsa.public.pem"),
            ("es", "ES256", "p256.public.pem"),
            ("ed", "EdDSA", "ed25519.public.pem"),
        ] {
            let path = key_file(file);
            let path = path.display().to_string();
            config.push(
                "tokens.keys",
                &format!("id = {id:?}\nalgorithms = [{algorithm:?}]\npublic_key_file = {path:?}"),
            );
        }
    })
    .await
}

fn minters(hub: &Hub) -> Result<Vec<(&'static str, Minter)>> {
    let rsa = EncodingKey::from_rsa_pem(&pem("rsa.private.pem")?)?;
    let p256 = EncodingKey::from_ec_pem(&pem("p256.private.pem")?)?;
    let ed25519 = EncodingKey::from_ed_pem(&pem("ed25519.private.pem")?)?;
    Ok(vec![
        ("HS256", hub.minter.clone()),
        (
            "RS256",
            hub.minter.with_key(Some("rs"), Algorithm::RS256, rsa),
        ),
        (
            "ES256",
            hub.minter.with_key(Some("es"), Algorithm::ES256, p256),
        ),
        (
            "EdDSA",
            hub.minter.with_key(Some("ed"), Algorithm::EdDSA, ed25519),
        ),
    ])
}

every_transport!(
    tokens_of_every_family_are_accepted,
    keys_are_not_confused_between_families
);

async fn tokens_of_every_family_are_accepted(transport: Transport) -> Result<()> {
    let hub = hub_of_all_families().await?;
    for (family, minter) in minters(&hub)? {
        let token = minter.mint(&Claims::of(family));
        let client = hub
            .open(transport, Opening::new(token).channel("chat:1"))
            .await?;
        ensure!(client.open["user"] == family, "{}", client.open);
    }
    Ok(())
}

async fn keys_are_not_confused_between_families(transport: Transport) -> Result<()> {
    let hub = hub_of_all_families().await?;
    let public = pem("rsa.public.pem")?;
    let trimmed = String::from_utf8(public.clone())?.trim_end().to_owned();
    let mut hostile = Vec::new();
    // The public key, which everybody may know, as the secret of a symmetric signature.
    for secret in [&public[..], trimmed.as_bytes()] {
        for id in [Some("rs"), Some("es"), Some("ed"), None] {
            let minter =
                hub.minter
                    .with_key(id, Algorithm::HS256, EncodingKey::from_secret(secret));
            hostile.push((
                "HS256 with the public key",
                minter.mint(&Claims::of("mallory")),
            ));
        }
    }
    let minters = minters(&hub)?;
    for (family, minter) in &minters {
        for id in ["hs", "rs", "es", "ed"] {
            let own = matches!(
                (*family, id),
                ("HS256", "hs") | ("RS256", "rs") | ("ES256", "es") | ("EdDSA", "ed")
            );
            if !own {
                hostile.push((
                    "a key under another's id",
                    minter.with_id(Some(id)).mint(&Claims::of("mallory")),
                ));
            }
        }
    }
    let rsa = EncodingKey::from_rsa_pem(&pem("rsa.private.pem")?)?;
    let other = hub.minter.with_key(Some("rs"), Algorithm::RS512, rsa);
    hostile.push((
        "an algorithm that the key is not for",
        other.mint(&Claims::of("mallory")),
    ));
    for (what, token) in hostile {
        let refused = Refused::of(hub.open(transport, Opening::new(token)).await)?;
        ensure!(
            refused.status == 401 && refused.code == "unauthenticated",
            "{what}: {refused:?}"
        );
    }
    let none = hub.minter.forge(
        &json!({"alg": "none", "kid": "rs"}),
        &Claims::of("mallory"),
        b"",
    );
    let refused = Refused::of(hub.open(transport, Opening::new(none)).await)?;
    ensure!(refused.status == 401, "{refused:?}");
    Ok(())
}
