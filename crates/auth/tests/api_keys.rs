//! API keys: who is let in, what for, and what a refusal says.

use switchboard_auth::{ApiKeyConfig, ApiKeyError, ApiKeySecret, ApiKeys, Scope};
use switchboard_core::{ChannelName, ChannelPattern, ErrorCode};

const PUBLISHER: &str = "sk_publisher_0123456789";
const DEPLOY: &str = "sk_deploy_0123456789abc";
/// `printf %s sk_deploy_0123456789abc | sha256sum`
const DEPLOY_SHA256: &str = "ec962fb7554b0090e3aad707fc43b627f1e24aeabd4f1083bd2a6944766ea02f";

fn config(name: &str, secret: ApiKeySecret, scopes: &[Scope], channels: &[&str]) -> ApiKeyConfig {
    let channels = channels
        .iter()
        .map(|text| ChannelPattern::parse(text).expect(text))
        .collect();
    ApiKeyConfig {
        name: name.to_owned(),
        secret,
        scopes: scopes.to_vec(),
        channels,
    }
}

fn text(secret: &str) -> ApiKeySecret {
    ApiKeySecret::Text(secret.to_owned())
}

fn keys() -> ApiKeys {
    let hash = ApiKeySecret::from_sha256_hex(DEPLOY_SHA256).expect("good keys");
    ApiKeys::new(vec![
        config("publisher", text(PUBLISHER), &[Scope::Publish], &["chat:*"]),
        config("deploy", hash, &[Scope::Admin], &["*"]),
    ])
    .expect("good keys")
}

#[test]
fn each_secret_finds_its_caller_and_no_other_does() {
    let keys = keys();
    assert_eq!(keys.authenticate(PUBLISHER).unwrap().name, "publisher");
    assert_eq!(keys.authenticate(DEPLOY).unwrap().name, "deploy");
    let long = "x".repeat(100_000);
    for bad in [
        "",
        "x",
        &PUBLISHER[1..],
        "Bearer sk_publisher_0123456789",
        "sk_publisher_0123456788",
        &long,
    ] {
        assert_eq!(
            keys.authenticate(bad).unwrap_err().code,
            ErrorCode::Unauthenticated,
            "{bad:?}"
        );
    }
    assert!(ApiKeys::new(Vec::new()).unwrap().authenticate("").is_err());
}

#[test]
fn a_denial_says_which_scope_or_pattern_is_missing() {
    let keys = keys();
    let publisher = keys.authenticate(PUBLISHER).unwrap();
    let (mine, other) = (
        ChannelName::parse("chat:1").unwrap(),
        ChannelName::parse("doc:1").unwrap(),
    );
    assert_eq!(publisher.may(Scope::Publish, Some(&mine)), Ok(()));
    assert_eq!(publisher.may(Scope::Publish, None), Ok(()));
    let check = |scope, channel, message: &str| {
        let error = publisher.may(scope, channel).unwrap_err();
        assert_eq!(
            (error.code, &*error.message),
            (ErrorCode::PermissionDenied, message)
        );
    };
    check(
        Scope::Read,
        Some(&mine),
        "API key \"publisher\" lacks the scope `read`",
    );
    check(
        Scope::Publish,
        Some(&other),
        "API key \"publisher\" lacks a channel pattern for `doc:1`",
    );
}

#[test]
fn admin_implies_no_other_scope() {
    let deploy = keys().authenticate(DEPLOY).unwrap();
    for scope in Scope::ALL {
        assert_eq!(
            deploy.may(scope, None).is_ok(),
            scope == Scope::Admin,
            "{scope}"
        );
    }
}

#[test]
fn bad_configurations_are_refused() {
    let all = &[Scope::Admin];
    let refused = |configs: Vec<ApiKeyConfig>| ApiKeys::new(configs).unwrap_err();
    let a = || "a".to_owned();
    assert_eq!(
        refused(vec![config("", text(DEPLOY), all, &[])]),
        ApiKeyError::NoName
    );
    assert_eq!(
        refused(vec![config("a", text(DEPLOY), &[], &[])]),
        ApiKeyError::NoScope(a())
    );
    for secret in [
        "",
        "short",
        "0123456789 0123456789",
        "0123456789ü0123456789",
        "0123456789abcdef\n",
    ] {
        assert_eq!(
            refused(vec![config("a", text(secret), all, &[])]),
            ApiKeyError::BadSecret(a()),
            "{secret:?}"
        );
    }
    let twice = |name: &str| {
        vec![
            config("a", text(DEPLOY), all, &[]),
            config(name, text(DEPLOY), all, &[]),
        ]
    };
    assert_eq!(refused(twice("a")), ApiKeyError::DuplicateName(a()));
    assert_eq!(
        refused(twice("b")),
        ApiKeyError::DuplicateSecret("b".to_owned())
    );
}

#[test]
fn a_sha256_is_read_from_hex() {
    let hex = DEPLOY_SHA256;
    let secret = ApiKeySecret::from_sha256_hex(&hex.to_uppercase()).unwrap();
    let keys = ApiKeys::new(vec![config("deploy", secret, &[Scope::Admin], &[])]).unwrap();
    assert_eq!(keys.authenticate(DEPLOY).unwrap().name, "deploy");
    for bad in [
        "",
        "ab",
        &hex[1..],
        &format!("{}zz", &hex[2..]),
        &format!("{}ü", &hex[2..]),
    ] {
        assert!(ApiKeySecret::from_sha256_hex(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn scopes_are_read_by_name() {
    for scope in Scope::ALL {
        assert_eq!(scope.as_str().parse(), Ok(scope));
    }
    assert!(
        "Publish"
            .parse::<Scope>()
            .unwrap_err()
            .to_string()
            .contains("\"Publish\"")
    );
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?} {:?}", config("a", text(PUBLISHER), &[], &[]), keys());
    assert!(
        shown.contains("publisher") && !shown.contains("0123456789"),
        "{shown}"
    );
}
