//! What the issuer writes, the verifier reads.

mod fixture;

use std::time::Duration;

use fixture::*;
use switchboard_auth::{
    Algorithm, IssueError, IssueRequest, Issuer, IssuerConfig, KeyConfig, KeySet,
};
use switchboard_core::{ChannelName, ChannelPattern, ClientError, ErrorCode, Grants};

fn issuer(keys: Vec<KeyConfig>, config: IssuerConfig, now_ms: u64) -> Issuer {
    Issuer::new(
        KeySet::new(keys).expect("good keys"),
        config,
        clock(now_ms).0,
    )
    .expect("a key that signs")
}

fn hs() -> KeyConfig {
    secret_key(Some("hub"), &[Algorithm::HS256])
}

#[test]
fn a_token_comes_back_as_it_was_asked_for_with_every_kind_of_key() {
    let patterns = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| ChannelPattern::parse(text).unwrap())
            .collect::<Vec<_>>()
    };
    let request = IssueRequest {
        user: Some("alice".to_owned()),
        ttl: Some(Duration::from_secs(90)),
        grants: Grants {
            subscribe: patterns(&["chat:*", "*"]),
            publish: patterns(&["chat:42"]),
            presence: patterns(&["chat:*"]),
            history: patterns(&["doc:*:cursors"]),
            channels: vec![ChannelName::parse("inbox:alice").unwrap()],
        },
        info: Some(r#"{ "name": "Al", "n": 1.0 }"#.to_owned()),
        audience: Some("hub".to_owned()),
    };
    let config = IssuerConfig {
        issuer: Some("switchboard".to_owned()),
        ..IssuerConfig::default()
    };
    for key in [
        hs(),
        secret_key(None, &[Algorithm::HS512, Algorithm::HS256]),
        pair(Some("rs"), &[Algorithm::RS256], RSA_PRIVATE, RSA_PUBLIC),
        pair(None, &[Algorithm::PS384], RSA_PRIVATE, RSA_PUBLIC),
        pair(None, &[Algorithm::ES256], P256_PRIVATE, P256_PUBLIC),
        pair(None, &[Algorithm::ES384], P384_PRIVATE, P384_PUBLIC),
        pair(Some("ed"), &[Algorithm::EdDSA], ED_PRIVATE, ED_PUBLIC),
    ] {
        let issued = issuer(vec![key.clone()], config.clone(), NOW_MS)
            .issue(&request)
            .unwrap();
        let mut strict = fixture::config(vec![key]);
        strict.audiences = vec!["hub".to_owned()];
        strict.issuers = vec!["switchboard".to_owned()];
        let identity = verifier(strict).verify_now(&issued.token, NOW_MS).unwrap();
        assert_eq!(identity.user.as_deref(), Some("alice"));
        assert_eq!(*identity.grants, request.grants);
        assert_eq!(
            identity.info.as_deref(),
            Some(br#"{"name":"Al","n":1.0}"#.as_slice())
        );
        assert_eq!(identity.token_id.as_deref(), Some(issued.token_id.as_str()));
        assert_eq!(identity.expires_at_ms, Some(issued.expires_at_ms));
        assert_eq!(issued.expires_at_ms, NOW_MS + 90_000);
    }
}

#[test]
fn an_empty_request_gives_an_anonymous_token_of_the_default_time() {
    let issuer = issuer(vec![hs()], IssuerConfig::default(), NOW_MS + 1);
    let (first, second) = (
        issuer.issue(&IssueRequest::default()).unwrap(),
        issuer.issue(&IssueRequest::default()).unwrap(),
    );
    assert_ne!(first.token_id, second.token_id);
    assert_eq!(first.token_id.len(), 32);
    // Whole seconds, and never sooner than asked for.
    assert_eq!(first.expires_at_ms, NOW_MS + 61_000);
    let identity = verify(vec![hs()], &first.token).unwrap();
    assert_eq!(
        (
            identity.user.clone(),
            identity.info.clone(),
            &*identity.grants
        ),
        (None, None, &Grants::default())
    );
}

#[test]
fn the_named_key_signs_or_the_first_that_can() {
    let keys = || {
        vec![
            public_key(Some("public"), &[Algorithm::RS256], RSA_PUBLIC),
            hs(),
            pair(Some("ed"), &[Algorithm::EdDSA], ED_PRIVATE, ED_PUBLIC),
        ]
    };
    let made = |key_id: Option<&str>| {
        let config = IssuerConfig {
            key_id: key_id.map(str::to_owned),
            ..IssuerConfig::default()
        };
        Issuer::new(KeySet::new(keys()).unwrap(), config, clock(NOW_MS).0)
    };
    for (key_id, used) in [
        (None, "HS256"),
        (Some("hub"), "HS256"),
        (Some("ed"), "EdDSA"),
    ] {
        let token = made(key_id)
            .unwrap()
            .issue(&IssueRequest::default())
            .unwrap()
            .token;
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(format!("{:?}", header.alg), used);
        assert_eq!(header.kid.as_deref(), Some(key_id.unwrap_or("hub")));
        assert!(verify(keys(), &token).is_ok());
    }
    assert!(made(Some("public")).is_none());
    assert!(made(Some("other")).is_none());
    assert!(
        Issuer::new(
            KeySet::new(Vec::new()).unwrap(),
            IssuerConfig::default(),
            clock(NOW_MS).0
        )
        .is_none()
    );
}

#[test]
fn requests_that_would_make_no_good_token_are_refused() {
    let config = IssuerConfig {
        ttl_max: Duration::from_hours(1),
        ..IssuerConfig::default()
    };
    let issuer = issuer(vec![hs()], config, NOW_MS);
    let check = |request: IssueRequest, code: ErrorCode, message: &str| {
        let error = ClientError::from(issuer.issue(&request).unwrap_err());
        assert_eq!((error.code, &*error.message), (code, message));
    };
    let bad = ErrorCode::BadRequest;
    let ttl = |ttl| IssueRequest {
        ttl: Some(ttl),
        ..IssueRequest::default()
    };
    for wrong in [
        Duration::ZERO,
        Duration::from_millis(999),
        Duration::from_millis(3_600_001),
        Duration::MAX,
    ] {
        check(ttl(wrong), bad, "ttl must be 1 to 3600 seconds");
    }
    assert!(issuer.issue(&ttl(Duration::from_hours(1))).is_ok());
    let user = |user: &str| IssueRequest {
        user: Some(user.to_owned()),
        ..IssueRequest::default()
    };
    check(user(""), bad, "user must have 1 to 255 bytes");
    check(user("a\nb"), bad, "user must not have control characters");
    let audience = IssueRequest {
        audience: Some(String::new()),
        ..IssueRequest::default()
    };
    check(audience, bad, "audience must have 1 to 255 bytes");
    let info = |info: String| IssueRequest {
        info: Some(info),
        ..IssueRequest::default()
    };
    check(info("{".to_owned()), bad, "`info` must be JSON");
    check(info(String::new()), bad, "`info` must be JSON");
    check(
        info(format!("\"{}\"", "x".repeat(4096))),
        bad,
        "`info` has more than 4096 bytes",
    );
    check(
        info(format!("{}{}", "[".repeat(33), "]".repeat(33))),
        bad,
        "`info` is nested more than 32 deep",
    );
    let pattern = ChannelPattern::parse(&"x".repeat(250)).unwrap();
    let grants = Grants {
        subscribe: vec![pattern; 30],
        ..Grants::default()
    };
    let error = issuer
        .issue(&IssueRequest {
            grants,
            ..IssueRequest::default()
        })
        .unwrap_err();
    assert!(
        matches!(
            error,
            IssueError::TooLarge {
                bytes_max: 8192,
                ..
            }
        ),
        "{error}"
    );
}
