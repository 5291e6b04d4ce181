//! Keys that must be refused when they are configured, and that none of them is ever shown.

mod fixture;

use fixture::*;
use switchboard_auth::{Algorithm, KeyConfig, KeyMaterial, KeyProblem, KeySet, parse_algorithm};

fn check(config: KeyConfig, expected: &KeyProblem) {
    let error = KeySet::new(vec![config]).expect_err(&expected.to_string());
    assert_eq!(&error.problem, expected);
    assert_eq!(error.to_string(), format!("key 1: {expected}"));
}

#[test]
fn secrets_shorter_than_their_hash_are_refused() {
    use Algorithm::{HS256, HS384, HS512};
    for (algorithm, bytes_min) in [(HS256, 32), (HS384, 48), (HS512, 64)] {
        let secret = |bytes: usize| {
            key(
                None,
                &[HS256, algorithm],
                KeyMaterial::Secret(vec![7; bytes]),
            )
        };
        let bytes = bytes_min - 1;
        check(
            secret(bytes),
            &KeyProblem::SecretTooShort {
                algorithm,
                bytes,
                bytes_min,
            },
        );
        assert!(
            KeySet::new(vec![secret(bytes_min)]).is_ok(),
            "{algorithm:?}"
        );
    }
}

#[test]
fn a_pem_text_is_no_secret_and_a_secret_no_pem_key() {
    use Algorithm::{ES256, EdDSA, HS256, RS256};
    for pem in [
        RSA_PUBLIC,
        P256_PUBLIC,
        ED_PRIVATE,
        &format!("\n {RSA_PUBLIC}"),
    ] {
        check(
            key(None, &[HS256], KeyMaterial::Secret(pem.as_bytes().to_vec())),
            &KeyProblem::SecretIsPem,
        );
    }
    check(
        public_key(None, &[HS256], RSA_PUBLIC),
        &KeyProblem::NeedsSecret(HS256),
    );
    check(
        pair(None, &[HS256], RSA_PRIVATE, RSA_PUBLIC),
        &KeyProblem::NeedsSecret(HS256),
    );
    for algorithm in [RS256, ES256, EdDSA] {
        check(
            secret_key(None, &[algorithm]),
            &KeyProblem::NeedsPem(algorithm),
        );
    }
}

#[test]
fn algorithms_are_of_one_family_and_fit_the_key() {
    use Algorithm::{ES256, ES384, EdDSA, HS256, RS256};
    check(secret_key(None, &[]), &KeyProblem::NoAlgorithm);
    check(
        secret_key(None, &[HS256, RS256]),
        &KeyProblem::MixedFamilies(HS256, RS256),
    );
    for (algorithm, pem) in [
        (RS256, P256_PUBLIC),
        (RS256, ED_PUBLIC),
        (ES256, RSA_PUBLIC),
        (ES256, P384_PUBLIC),
        (ES384, P256_PUBLIC),
        (EdDSA, P256_PUBLIC),
        (
            RS256,
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        ),
        (ES256, "-----BEGIN PUBLIC KEY-----\n"),
    ] {
        check(
            public_key(None, &[algorithm], pem),
            &KeyProblem::WrongKeyType(algorithm),
        );
    }
    check(
        public_key(None, &[ES256, ES384], P256_PUBLIC),
        &KeyProblem::WrongKeyType(ES384),
    );
    check(
        public_key(None, &[RS256], RSA_1024_PUBLIC),
        &KeyProblem::RsaTooShort,
    );
}

#[test]
fn a_pair_is_a_pair_and_each_half_in_its_place() {
    use Algorithm::{ES256, EdDSA, PS256, RS256};
    check(
        public_key(None, &[RS256], RSA_PRIVATE),
        &KeyProblem::PublicLabel,
    );
    check(
        public_key(None, &[RS256], "not PEM"),
        &KeyProblem::PublicLabel,
    );
    check(
        pair(None, &[EdDSA], ED_PUBLIC, ED_PUBLIC),
        &KeyProblem::PrivateLabel,
    );
    check(
        pair(None, &[EdDSA], ED_PRIVATE, ED_OTHER_PUBLIC),
        &KeyProblem::NoPair,
    );
    check(
        pair(None, &[EdDSA], P256_PRIVATE, ED_PUBLIC),
        &KeyProblem::WrongKeyType(EdDSA),
    );
    check(
        pair(None, &[ES256], P384_PRIVATE, P256_PUBLIC),
        &KeyProblem::WrongKeyType(ES256),
    );
    let sec1 = P256_PRIVATE.replace("PRIVATE KEY", "EC PRIVATE KEY");
    check(
        pair(None, &[ES256], &sec1, P256_PUBLIC),
        &KeyProblem::PrivateLabel,
    );
    for good in [
        pair(None, &[RS256, PS256], RSA_PRIVATE, RSA_PUBLIC),
        pair(None, &[ES256], P256_PRIVATE, P256_PUBLIC),
        pair(None, &[Algorithm::ES384], P384_PRIVATE, P384_PUBLIC),
        pair(None, &[EdDSA], ED_PRIVATE, ED_PUBLIC),
    ] {
        assert!(KeySet::new(vec![good.clone()]).is_ok(), "{good:?}");
    }
}

#[test]
fn ids_are_unique_and_errors_name_the_key() {
    let named = |id| secret_key(Some(id), &[Algorithm::HS256]);
    let error = |keys| KeySet::new(keys).unwrap_err().to_string();
    assert_eq!(
        error(vec![named("a"), named("a")]),
        "key \"a\": another key has the same id"
    );
    assert_eq!(
        error(vec![named("a"), named("")]),
        "key \"\": the id is empty"
    );
    let unnamed = || secret_key(None, &[Algorithm::HS256]);
    assert_eq!(
        error(vec![unnamed(); 33]),
        "key 33: there are more than 32 keys"
    );
    assert_eq!(KeySet::new(vec![unnamed(); 32]).unwrap().len(), 32);
    assert!(KeySet::new(Vec::new()).unwrap().is_empty());
}

#[test]
fn algorithms_are_read_by_name() {
    for name in [
        "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
        "ES384", "EdDSA",
    ] {
        assert_eq!(format!("{:?}", parse_algorithm(name).unwrap()), name);
        assert!(
            KeyProblem::NoAlgorithm.to_string().contains(name),
            "the list leaves out {name}"
        );
    }
    for bad in ["none", "hs256", "", "ES512"] {
        assert_eq!(
            parse_algorithm(bad),
            Err(KeyProblem::UnknownAlgorithm(bad.to_owned()))
        );
    }
}

#[test]
fn debug_and_errors_show_no_key() {
    let material = [
        key(
            Some("a"),
            &[Algorithm::HS256],
            KeyMaterial::Secret(SECRET.to_vec()),
        ),
        pair(Some("b"), &[Algorithm::EdDSA], ED_PRIVATE, ED_PUBLIC),
    ];
    let mut shown = vec![format!("{material:?}")];
    let (clock, _hand) = clock(NOW_MS);
    let set = || KeySet::new(material.to_vec()).unwrap();
    let issuer =
        switchboard_auth::Issuer::new(set(), switchboard_auth::IssuerConfig::default(), clock)
            .unwrap();
    let issued = issuer
        .issue(&switchboard_auth::IssueRequest::default())
        .unwrap();
    let config = switchboard_auth::VerifierConfig::new(set());
    shown.push(format!("{:?} {config:?} {issuer:?} {issued:?}", set()));
    shown.push(format!("{:?}", verifier(config)));
    let short = key(
        None,
        &[Algorithm::HS512],
        KeyMaterial::Secret(SECRET[1..].to_vec()),
    );
    shown.push(format!("{:?}", KeySet::new(vec![short]).unwrap_err()));
    let shown = shown.join("\n");
    let ed_private = ED_PRIVATE.lines().nth(1).unwrap();
    // A list of bytes would be a leak as well.
    for secret in [
        "0123456789abcdef",
        "48, 49, 50",
        &ed_private[20..40],
        issued.token.as_str(),
        "eyJ",
    ] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(
        shown.contains("\"a\"") && shown.contains("EdDSA"),
        "{shown}"
    );
}
