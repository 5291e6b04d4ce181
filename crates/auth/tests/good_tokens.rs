//! Tokens that must be taken, with every algorithm, and what they say.

mod fixture;

use std::time::Duration;

use fixture::*;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};
use switchboard_auth::{Algorithm, KeyConfig, KeyMaterial, KeySet};
use switchboard_core::{ChannelName, ErrorCode, Grants};

#[test]
fn every_algorithm_is_verified() {
    use Algorithm::{
        ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512,
    };
    let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();
    let mut rows: Vec<(Algorithm, KeyConfig, EncodingKey)> = Vec::new();
    for algorithm in [HS256, HS384, HS512] {
        rows.push((
            algorithm,
            secret_key(None, &[algorithm]),
            EncodingKey::from_secret(SECRET),
        ));
    }
    for algorithm in [RS256, RS384, RS512, PS256, PS384, PS512] {
        rows.push((
            algorithm,
            public_key(None, &[algorithm], RSA_PUBLIC),
            rsa.clone(),
        ));
    }
    let p256 = EncodingKey::from_ec_pem(P256_PRIVATE.as_bytes()).unwrap();
    let p384 = EncodingKey::from_ec_pem(P384_PRIVATE.as_bytes()).unwrap();
    let ed = EncodingKey::from_ed_pem(ED_PRIVATE.as_bytes()).unwrap();
    rows.push((ES256, public_key(None, &[ES256], P256_PUBLIC), p256));
    rows.push((ES384, public_key(None, &[ES384], P384_PUBLIC), p384));
    rows.push((EdDSA, public_key(None, &[EdDSA], ED_PUBLIC), ed));
    for (algorithm, key, encoding) in rows {
        let header = json!({"typ": "JWT", "alg": format!("{algorithm:?}")});
        let token = token(&header, &claims().to_string(), algorithm, &encoding);
        let identity = verify(vec![key.clone()], &token)
            .unwrap_or_else(|error| panic!("{algorithm:?}: {error}"));
        assert_eq!(identity.user.as_deref(), Some("alice"));

        // The same token with one bit of its claims or of its signature changed is refused.
        for at in [token.find('.').unwrap() + 8, token.rfind('.').unwrap() + 8] {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let error = verify(vec![key.clone()], &String::from_utf8(forged).unwrap()).unwrap_err();
            assert_eq!(
                error.message, "the token's signature does not match",
                "{algorithm:?}"
            );
        }
    }
}

/// RFC 7515, appendix A.1: made by somebody else.
#[test]
fn the_token_of_the_rfc_is_verified() {
    use base64::Engine as _;
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .unwrap();
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
                 .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
                 .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let mut config = config(vec![key(
        None,
        &[Algorithm::HS256],
        KeyMaterial::Secret(secret),
    )]);
    config.issuers = vec!["joe".to_owned()];
    let verifier = verifier(config);
    let identity = verifier.verify_now(token, 1_300_819_379_999).unwrap();
    assert_eq!(
        (identity.user.as_deref(), identity.expires_at_ms),
        (None, Some(1_300_819_380_000))
    );
    assert_eq!(
        verifier
            .verify_now(token, 1_300_819_390_000)
            .unwrap_err()
            .code,
        ErrorCode::TokenExpired
    );
}

#[test]
fn claims_become_an_identity() {
    let token = hs256_text(&format!(
        r#"{{"sub": "alice", "jti": "t-1", "exp": {}.5, "role": [[]], "switchboard": {{
            "subscribe": ["chat:*", "doc:7"], "publish": ["chat:42"], "presence": ["chat:*"], "history": ["*"],
            "channels": ["inbox:alice"], "info": {{ "name": "Al\n", "z": 1.0,
                "a": [] }} }} }}"#,
        NOW + 60
    ));
    let identity = verify(vec![secret_key(None, &[Algorithm::HS256])], &token).unwrap();
    assert_eq!(identity.user.as_deref(), Some("alice"));
    assert_eq!(identity.token_id.as_deref(), Some("t-1"));
    assert_eq!(identity.expires_at_ms, Some(NOW_MS + 60_500));
    assert_eq!(
        identity.info.as_deref(),
        Some(br#"{"name":"Al\n","z":1.0,"a":[]}"#.as_slice())
    );
    let may = |check: fn(&Grants, &ChannelName) -> bool, channel: &str| {
        check(&identity.grants, &ChannelName::parse(channel).unwrap())
    };
    assert!(may(Grants::may_subscribe, "chat:1") && may(Grants::may_subscribe, "inbox:alice"));
    assert!(!may(Grants::may_subscribe, "doc:8"));
    assert!(may(Grants::may_publish, "chat:42") && !may(Grants::may_publish, "chat:43"));
    assert!(may(Grants::may_list_members, "chat:1") && !may(Grants::may_list_members, "doc:7"));
    assert!(may(Grants::may_read_history, "any"));
}

#[test]
fn a_token_without_sub_is_anonymous_and_without_the_claim_grants_nothing() {
    let identity = verify(
        vec![secret_key(None, &[Algorithm::HS256])],
        &hs256(&json!({"exp": NOW + 1})),
    )
    .unwrap();
    assert_eq!((identity.user.clone(), identity.info.clone()), (None, None));
    assert_eq!(*identity.grants, Grants::default());
}

#[test]
fn times_have_their_leeway_and_not_a_millisecond_more() {
    let verifier = verifier(config(vec![secret_key(None, &[Algorithm::HS256])]));
    let check = |token: &str, now_ms: u64, expected: Result<(), ErrorCode>| {
        let result = verifier
            .verify_now(token, now_ms)
            .map(|_| ())
            .map_err(|error| error.code);
        assert_eq!(result, expected, "at {now_ms}");
    };
    // The first answer is remembered, so the later ones also try what is remembered.
    let token = hs256(&json!({"nbf": NOW, "exp": NOW + 60}));
    check(&token, NOW_MS - 5001, Err(ErrorCode::Unauthenticated));
    check(&token, NOW_MS - 5000, Ok(()));
    check(&token, NOW_MS + 30_000, Ok(()));
    check(&token, NOW_MS - 5001, Err(ErrorCode::Unauthenticated));
    check(&token, NOW_MS + 64_999, Ok(()));
    check(&token, NOW_MS + 65_000, Err(ErrorCode::TokenExpired));

    let mut strict = config(vec![secret_key(None, &[Algorithm::HS256])]);
    strict.leeway = Duration::ZERO;
    let strict = fixture::verifier(strict);
    assert!(strict.verify_now(&token, NOW_MS + 59_999).is_ok());
    assert!(strict.verify_now(&token, NOW_MS + 60_000).is_err());
    assert!(strict.verify_now(&token, NOW_MS).is_ok());
    assert!(strict.verify_now(&token, NOW_MS - 1).is_err());
}

#[test]
fn a_token_may_be_without_end_where_that_is_configured() {
    let mut config = config(vec![secret_key(None, &[Algorithm::HS256])]);
    config.require_exp = false;
    let verifier = verifier(config);
    assert_eq!(
        verifier
            .verify_now(&hs256(&json!({})), u64::MAX / 2)
            .unwrap()
            .expires_at_ms,
        None
    );
    let expired = verifier
        .verify_now(&hs256(&json!({"exp": NOW - 60})), NOW_MS)
        .unwrap_err();
    assert_eq!(expired.code, ErrorCode::TokenExpired);
}

#[test]
fn one_of_several_audiences_and_issuers_is_enough() {
    let mut config = config(vec![secret_key(None, &[Algorithm::HS256])]);
    config.audiences = vec!["hub".to_owned(), "hub-eu".to_owned()];
    config.issuers = vec!["a".to_owned(), "b".to_owned()];
    let verifier = verifier(config);
    for (aud, good) in [
        (json!("hub"), true),
        (json!(["x", "hub-eu"]), true),
        (json!("x"), false),
        (json!([]), false),
        (json!("hub "), false),
        (Value::Null, false),
    ] {
        let token = hs256(&claims_with(&json!({"aud": aud, "iss": "b"})));
        assert_eq!(verifier.verify_now(&token, NOW_MS).is_ok(), good, "{aud}");
    }
}

#[test]
fn kid_chooses_the_key_and_without_one_all_of_the_algorithm_are_tried() {
    let header = |kid: Option<&str>| {
        kid.map_or(
            json!({"alg": "HS256"}),
            |kid| json!({"alg": "HS256", "kid": kid}),
        )
    };
    let (old, new) = ([b'o'; 32], [b'n'; 32]);
    let secret =
        |id, bytes: [u8; 32]| key(id, &[Algorithm::HS256], KeyMaterial::Secret(bytes.to_vec()));
    let signed = |kid, bytes: [u8; 32]| {
        token(
            &header(kid),
            &claims().to_string(),
            Algorithm::HS256,
            &EncodingKey::from_secret(&bytes),
        )
    };
    let named = || vec![secret(Some("old"), old), secret(Some("new"), new)];
    for (kid, bytes, good) in [
        (Some("old"), old, true),
        (Some("new"), new, true),
        (Some("old"), new, false),
        (Some("other"), new, false),
        (Some(""), new, false),
        (None, old, true),
        (None, new, true),
        (None, [b'x'; 32], false),
    ] {
        assert_eq!(
            verify(named(), &signed(kid, bytes)).is_ok(),
            good,
            "{kid:?}"
        );
    }
    // To a set without ids a kid means nothing.
    assert!(
        verify(
            vec![secret(None, old), secret(None, new)],
            &signed(Some("any"), new)
        )
        .is_ok()
    );
}

#[test]
fn keys_can_be_replaced_and_old_tokens_are_then_refused() {
    let verifier = verifier(config(vec![secret_key(None, &[Algorithm::HS256])]));
    let token = hs256(&claims());
    assert!(verifier.verify_now(&token, NOW_MS).is_ok());
    assert_eq!(verifier.cached_len(), 1);
    let other = key(
        None,
        &[Algorithm::HS256],
        KeyMaterial::Secret(vec![b'x'; 32]),
    );
    verifier.replace_keys(KeySet::new(vec![other]).unwrap());
    assert_eq!(verifier.cached_len(), 0);
    assert!(verifier.verify_now(&token, NOW_MS).is_err());
}

#[test]
fn a_verified_token_is_remembered_within_the_bound_and_a_refused_one_is_not() {
    let mut config = config(vec![secret_key(None, &[Algorithm::HS256])]);
    config.cache_len_max = 4;
    let verifier = verifier(config);
    let token = hs256(&claims());
    let first = verifier.verify_now(&token, NOW_MS).unwrap();
    assert!(
        std::sync::Arc::ptr_eq(&first, &verifier.verify_now(&token, NOW_MS).unwrap()),
        "verified anew"
    );
    for user in 0..20 {
        verifier
            .verify_now(
                &hs256(&claims_with(&json!({"sub": user.to_string()}))),
                NOW_MS,
            )
            .unwrap();
        assert!(verifier.cached_len() <= 4);
    }
    let before = verifier.cached_len();
    verifier
        .verify_now(&format!("{token}A"), NOW_MS)
        .unwrap_err();
    verifier
        .verify_now(&hs256(&json!({"exp": 1})), NOW_MS)
        .unwrap_err();
    assert_eq!(verifier.cached_len(), before);
}
