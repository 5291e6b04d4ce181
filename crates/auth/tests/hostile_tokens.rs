//! Tokens that must be refused, why, and that the answer quotes nothing of them.

mod fixture;

use std::time::Duration;

use fixture::*;
use jsonwebtoken::EncodingKey;
use serde_json::json;
use switchboard_auth::{Algorithm, KeyConfig, VerifierConfig};
use switchboard_core::ErrorCode;

fn keys() -> Vec<KeyConfig> {
    vec![
        secret_key(Some("hs"), &[Algorithm::HS256]),
        public_key(Some("rs"), &[Algorithm::RS256], RSA_PUBLIC),
        public_key(Some("es"), &[Algorithm::ES256], P256_PUBLIC),
    ]
}

fn strict() -> VerifierConfig {
    let mut config = config(keys());
    config.audiences = vec!["hub".to_owned()];
    config.issuers = vec!["issuer".to_owned()];
    config
}

/// Claims that the strict verifier takes.
fn good(more: &serde_json::Value) -> serde_json::Value {
    let mut claims = claims_with(&json!({"aud": "hub", "iss": "issuer"}));
    for (name, value) in more.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn hostile_tokens_are_refused_with_the_reason() {
    let verifier = verifier(strict());
    let check = |what: &str, token: &str, code: ErrorCode, message: &str| {
        for _ in 0..2 {
            let error = verifier.verify_now(token, NOW_MS).expect_err(what);
            assert_eq!(
                (error.code, error.message.as_str()),
                (code, message),
                "{what}"
            );
        }
        assert_eq!(verifier.cached_len(), 0, "{what}");
    };
    let refused = |what: &str, token: &str, message: &str| {
        check(what, token, ErrorCode::Unauthenticated, message);
    };
    let body = || good(&json!({})).to_string();
    let secret = EncodingKey::from_secret(SECRET);
    let hs = |header: serde_json::Value| token(&header, &body(), Algorithm::HS256, &secret);
    let algorithm = "the token's algorithm is not allowed for its key";
    let unsigned = |alg: &str| {
        format!(
            "{}.{}.",
            base64(&json!({"alg": alg}).to_string()),
            base64(&body())
        )
    };
    let malformed = "the token is malformed: it must be a JWT of three base64url parts";
    for none in ["none", "None", "NONE", "nOnE", ""] {
        refused("alg none without a signature", &unsigned(none), malformed);
        refused(
            "alg none with something for a signature",
            &format!("{}AAAA", unsigned(none)),
            algorithm,
        );
        refused(
            "alg none, signed as HS256",
            &hs(json!({"alg": none})),
            algorithm,
        );
    }
    // The classic confusion: a public key, known to everyone, as the secret of an HMAC.
    let signature = "the token's signature does not match";
    let public_der = public_key_der(RSA_PUBLIC);
    for public in [
        RSA_PUBLIC.as_bytes(),
        RSA_PUBLIC.trim().as_bytes(),
        &public_der,
        P256_PUBLIC.as_bytes(),
    ] {
        let confused = |header| {
            token(
                &header,
                &body(),
                Algorithm::HS256,
                &EncodingKey::from_secret(public),
            )
        };
        refused(
            "RS key as HS secret",
            &confused(json!({"alg": "HS256"})),
            signature,
        );
        refused(
            "RS key as HS secret, by kid",
            &confused(json!({"alg": "HS256", "kid": "rs"})),
            algorithm,
        );
        refused(
            "the same, called RS256",
            &confused(json!({"alg": "RS256", "kid": "rs"})),
            signature,
        );
    }
    refused(
        "HS signature called RS256",
        &hs(json!({"alg": "RS256"})),
        signature,
    );
    refused(
        "HS signature called ES256",
        &hs(json!({"alg": "ES256"})),
        signature,
    );
    refused(
        "an algorithm that no key has",
        &hs(json!({"alg": "HS512"})),
        algorithm,
    );
    refused(
        "kid of a key for another algorithm",
        &hs(json!({"alg": "HS256", "kid": "es"})),
        algorithm,
    );
    let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap();
    refused(
        "PS256 with a key for RS256",
        &token(&json!({"alg": "PS256"}), &body(), Algorithm::PS256, &rsa),
        algorithm,
    );
    refused(
        "all-zero ES256 signature",
        &format!("{}{}", unsigned_es(&body()), "A".repeat(86)),
        signature,
    );
    let unknown = "the token names a key (kid) that is not known here";
    refused(
        "unknown kid",
        &hs(json!({"alg": "HS256", "kid": "other"})),
        unknown,
    );
    refused(
        "kid that is a path",
        &hs(json!({"alg": "HS256", "kid": "../../dev/null"})),
        unknown,
    );
    let header = "the token's header is malformed";
    refused(
        "kid of a wrong type",
        &hs(json!({"alg": "HS256", "kid": 1})),
        header,
    );
    refused(
        "alg of a wrong type",
        &hs(json!({"alg": ["HS256"]})),
        header,
    );
    refused("no alg", &hs(json!({"typ": "JWT"})), header);
    refused(
        "a key in the header",
        &hs(json!({"alg": "RS256", "jwk": {"kty": "oct", "k": "AAAA"}})),
        signature,
    );
    let crit = "the token's header has critical extensions (crit), and none is known here";
    refused(
        "unencoded payload",
        &hs(json!({"alg": "HS256", "b64": false, "crit": ["b64"]})),
        crit,
    );
    let twice = format!(
        "{}.{}.AAAA",
        base64(r#"{"alg":"none","alg":"HS256"}"#),
        base64(&body())
    );
    refused("alg twice", &twice, header);
    let of = |more: serde_json::Value| hs256(&good(&more));
    check(
        "expired",
        &of(json!({"exp": NOW - 5})),
        ErrorCode::TokenExpired,
        "the token has expired (exp): bring a new one",
    );
    refused(
        "expired, and for somebody else",
        &of(json!({"exp": 1, "aud": "x"})),
        "the token is for another audience (aud)",
    );
    refused(
        "no exp",
        &of(json!({"exp": null})),
        "the token must say when it expires (exp)",
    );
    refused(
        "not yet valid",
        &of(json!({"nbf": NOW + 6})),
        "the token is not valid yet (nbf)",
    );
    refused(
        "wrong aud",
        &of(json!({"aud": "x"})),
        "the token is for another audience (aud)",
    );
    refused(
        "wrong auds",
        &of(json!({"aud": ["x", "HUB"]})),
        "the token is for another audience (aud)",
    );
    refused(
        "no aud",
        &of(json!({"aud": null})),
        "the token must name its audience (aud)",
    );
    refused(
        "wrong iss",
        &of(json!({"iss": "x"})),
        "the token comes from an issuer (iss) that is not accepted here",
    );
    refused(
        "no iss",
        &of(json!({"iss": null})),
        "the token must name its issuer (iss)",
    );
    refused(
        "oversized",
        &"a".repeat(8193),
        "the token has more than 8192 bytes",
    );
    refused(
        "oversized, well made",
        &of(json!({"x": "y".repeat(8192)})),
        "the token has more than 8192 bytes",
    );
}

#[test]
fn claims_of_wrong_types_are_refused_by_name_and_not_quoted() {
    let verifier = verifier(config(vec![secret_key(None, &[Algorithm::HS256])]));
    let check = |more: serde_json::Value, message: &str| {
        let error = verifier
            .verify_now(&hs256(&claims_with(&more)), NOW_MS)
            .expect_err(message);
        assert_eq!(
            (error.code, error.message.as_str()),
            (ErrorCode::Unauthenticated, message)
        );
    };
    let date = "must be a number of seconds since 1970";
    for bad in [
        json!("1800000060"),
        json!(true),
        json!([]),
        json!({}),
        json!(-1),
    ] {
        check(json!({"exp": bad}), &format!("claim `exp` {date}"));
        check(json!({"nbf": bad}), &format!("claim `nbf` {date}"));
    }
    let beyond = "claim `exp` lies beyond the year 9999: it is in seconds, not milliseconds";
    check(json!({"exp": NOW_MS + 60_000}), beyond);
    check(json!({"exp": 1e300}), beyond);
    for bad in [json!(7), json!(["alice"]), json!({})] {
        check(json!({"sub": bad}), "claim `sub` must be a text");
        check(json!({"jti": bad}), "claim `jti` must be a text");
        check(json!({"iss": bad}), "claim `iss` must be a text");
    }
    check(json!({"sub": ""}), "claim `sub` must have 1 to 255 bytes");
    check(
        json!({"jti": "x".repeat(256)}),
        "claim `jti` must have 1 to 255 bytes",
    );
    check(
        json!({"sub": "alice\r\nx"}),
        "claim `sub` must not have control characters",
    );
    check(
        json!({"aud": 7}),
        "claim `aud` must be a text or a list of texts",
    );
    check(
        json!({"aud": ["hub", 7]}),
        "claim `aud` must be a text or a list of texts",
    );
    check(
        json!({"aud": "hub"}),
        "the token is for an audience (aud), and this hub has none configured",
    );
    for bad in [json!([]), json!("chat:*"), json!(1)] {
        let message = "claim `switchboard` must be an object in which no key stands twice";
        check(json!({"switchboard": bad}), message);
    }
    for bad in [json!("chat:*"), json!([1]), json!({}), json!(null)] {
        let message = "claim `switchboard`: `publish` must be a list of texts";
        check(json!({"switchboard": {"publish": bad}}), message);
    }
    check(
        json!({"switchboard": {"subscibe": []}}),
        "claim `switchboard` has the unknown key \"subscibe\": it may have subscribe, publish, presence, history, channels, info",
    );
    check(
        json!({"switchboard": {"history": ["ok", "chat:4*"]}}),
        "claim `switchboard`: `history` has the bad pattern \"chat:4*\": `*` must be a whole segment of the pattern",
    );
    check(
        json!({"switchboard": {"channels": ["chat:*"]}}),
        "claim `switchboard`: `channels` has the bad name \"chat:*\": channel name has '*', which is not allowed: \
         use visible ASCII except \" \\ * ,",
    );
    check(
        json!({"switchboard": {"info": "x".repeat(4095)}}),
        "`info` has more than 4096 bytes",
    );

    let twice = "the token's claims must be a JSON object in which no claim stands twice";
    for text in [
        "",
        "7",
        "[]",
        "null",
        "{",
        "{\"exp\":1}x",
        "{\"exp\":1800000060,\"exp\":1800000060}",
        "\u{feff}{}",
    ] {
        assert_eq!(
            verifier
                .verify_now(&hs256_text(text), NOW_MS)
                .unwrap_err()
                .message,
            twice,
            "{text:?}"
        );
    }
}

#[test]
fn nesting_however_deep_harms_nobody() {
    let verifier = verifier(config(vec![secret_key(None, &[Algorithm::HS256])]));
    let nested = format!("{}{}", "[".repeat(2900), "]".repeat(2900));
    let claims = |more: &str| hs256_text(&format!(r#"{{"exp":{},{more}}}"#, NOW + 60));
    assert!(
        verifier
            .verify_now(&claims(&format!(r#""x":{nested}"#)), NOW_MS)
            .is_ok(),
        "nobody reads that claim"
    );
    for (more, message) in [
        (format!(r#""sub":{nested}"#), "claim `sub` must be a text"),
        (
            format!(r#""exp2":1,"aud":{nested}"#),
            "claim `aud` must be a text or a list of texts",
        ),
        (
            format!(r#""switchboard":{{"info":{nested}}}"#),
            "`info` is nested more than 32 deep",
        ),
        (
            format!(r#""switchboard":{{"publish":{nested}}}"#),
            "claim `switchboard`: `publish` must be a list of texts",
        ),
        (
            format!(r#""switchboard":{nested}"#),
            "claim `switchboard` must be an object in which no key stands twice",
        ),
    ] {
        assert_eq!(
            verifier
                .verify_now(&claims(&more), NOW_MS)
                .unwrap_err()
                .message,
            message
        );
    }
    let header = format!(
        "{}.{}.AAAA",
        base64(&format!(r#"{{"alg":"HS256","x":{nested}}}"#)),
        base64("{}")
    );
    assert!(verifier.verify_now(&header, NOW_MS).is_err());
    let header = format!(
        "{}.{}.AAAA",
        base64(&format!(r#"{{"alg":{nested}}}"#)),
        base64("{}")
    );
    assert!(verifier.verify_now(&header, NOW_MS).is_err());
}

#[test]
fn garbage_and_every_truncation_are_refused() {
    let verifier = verifier(config(keys()));
    for garbage in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "a.b.c.d.e",
        "💥",
        "\0",
        "eyJ",
        " ",
        "null",
        "a..c",
        "..c",
        "a.b.",
    ] {
        let error = verifier.verify_now(garbage, NOW_MS).expect_err(garbage);
        assert_eq!(error.code, ErrorCode::Unauthenticated, "{garbage:?}");
    }
    let token = hs256(&claims());
    assert!(verifier.verify_now(&token, NOW_MS).is_ok());
    for end in 0..token.len() {
        assert!(
            verifier.verify_now(&token[..end], NOW_MS).is_err(),
            "cut at {end}"
        );
        assert!(
            verifier
                .verify_now(&token[token.len() - end..], NOW_MS)
                .is_err(),
            "the last {end}"
        );
    }
    for more in ["A", "=", ".", " ", "\n", ".A"] {
        assert!(
            verifier
                .verify_now(&format!("{token}{more}"), NOW_MS)
                .is_err(),
            "with {more:?} at the end"
        );
        assert!(
            verifier
                .verify_now(&format!("{more}{token}"), NOW_MS)
                .is_err(),
            "with {more:?} before"
        );
    }
}

#[test]
fn a_refusal_quotes_no_part_of_the_token() {
    let mut config = strict();
    config.leeway = Duration::ZERO;
    let verifier = verifier(config);
    let mark = "Sup3rS3cret";
    let with = |more: serde_json::Value| hs256(&good(&more));
    for token in [
        mark.to_owned(),
        format!("{mark}.{mark}.{mark}"),
        with(json!({"iss": mark})),
        with(json!({"aud": mark})),
        with(json!({"sub": [mark]})),
        with(json!({"exp": mark})),
        with(json!({"nbf": {mark: mark}})),
        with(json!({"sub": mark, "exp": 1})),
        with(json!({"switchboard": mark})),
        with(json!({"switchboard": {"publish": {mark: mark}}})),
        token(
            &json!({"alg": mark}),
            "{}",
            Algorithm::HS256,
            &EncodingKey::from_secret(SECRET),
        ),
        token(
            &json!({"alg": "HS256", "kid": mark}),
            "{}",
            Algorithm::HS256,
            &EncodingKey::from_secret(SECRET),
        ),
    ] {
        let error = verifier.verify_now(&token, NOW_MS).unwrap_err();
        assert!(!format!("{error:?} {error}").contains(mark), "{error}");
        assert!(
            token
                .split('.')
                .all(|part| part.is_empty() || !error.message.contains(part)),
            "{error}"
        );
    }
}

fn unsigned_es(body: &str) -> String {
    format!("{}.{}.", base64(r#"{"alg":"ES256"}"#), base64(body))
}

fn public_key_der(pem: &str) -> Vec<u8> {
    use base64::Engine as _;
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .expect("PEM is base64")
}
