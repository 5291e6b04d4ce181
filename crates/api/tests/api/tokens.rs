//! IssueToken.

use std::sync::Arc;
use std::time::Duration;

use switchboard_auth::system_clock;
use switchboard_auth::{
    Algorithm, Issuer, IssuerConfig, KeyConfig, KeyMaterial, KeySet, Verifier, VerifierConfig,
};
use switchboard_core::TokenVerifier;
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::token_service_client::TokenServiceClient;
use tonic::Code;

use crate::fixture::{ALL, Hub, ISSUER, Plan, assert_refused, channel, memory};

fn keys() -> KeySet {
    let material = KeyMaterial::Secret(vec![7; 32]);
    KeySet::new(vec![KeyConfig {
        id: None,
        algorithms: vec![Algorithm::HS256],
        material,
    }])
    .unwrap()
}

fn grants(subscribe: &str, channels: &str) -> v1::IssueTokenRequest {
    v1::IssueTokenRequest {
        user: "alice".to_owned(),
        ttl_seconds: 30,
        grants: Some(v1::Grants {
            subscribe: vec![subscribe.to_owned()],
            channels: vec![channels.to_owned()],
            info: "{\"name\":\"Al\"}".into(),
            ..Default::default()
        }),
        audience: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_grants_what_was_asked_and_never_more_than_the_caller_has() {
    let issuer = Issuer::new(keys(), IssuerConfig::default(), system_clock());
    let hub = Hub::with(
        Plan {
            issuer,
            ..Plan::default()
        },
        memory,
    )
    .await;
    let mut client = TokenServiceClient::new(hub.client(ISSUER).await);
    let issued = client
        .issue_token(grants("chat:*", "chat:inbox"))
        .await
        .unwrap()
        .into_inner();

    let verifier = Arc::new(Verifier::new(VerifierConfig::new(keys()), system_clock()));
    let identity = verifier.verify(&issued.token).await.unwrap();
    assert_eq!(identity.user.as_deref(), Some("alice"));
    assert_eq!(identity.info.as_deref(), Some(&b"{\"name\":\"Al\"}"[..]));
    assert!(
        identity.grants.may_subscribe(&channel("chat:42"))
            && !identity.grants.may_subscribe(&channel("doc:1"))
    );
    assert!(!identity.grants.may_publish(&channel("chat:42")));
    assert_eq!(
        identity.expires_at_ms,
        u64::try_from(issued.expires_ms).ok()
    );

    for beyond in [
        grants("*", "chat:1"),
        grants("doc:1", "chat:1"),
        grants("chat:*", "doc:1"),
    ] {
        assert_refused(
            client.issue_token(beyond).await,
            Code::PermissionDenied,
            "permission_denied",
        );
    }
    for bad in [grants("chat:4*", "chat:1"), grants("chat:*", "chat:*")] {
        assert_refused(
            client.issue_token(bad).await,
            Code::InvalidArgument,
            "bad_request",
        );
    }
    let day = u32::try_from(Duration::from_hours(24).as_secs()).unwrap();
    let long = v1::IssueTokenRequest {
        ttl_seconds: day + 1,
        ..grants("chat:*", "chat:1")
    };
    assert_refused(
        client.issue_token(long).await,
        Code::InvalidArgument,
        "bad_request",
    );
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_signing_key_the_refusal_says_so() {
    let hub = Hub::start().await;
    let answer = TokenServiceClient::new(hub.client(ALL).await)
        .issue_token(grants("chat:*", "chat:1"))
        .await;
    assert!(
        answer
            .as_ref()
            .is_err_and(|status| status.message().contains("no key to sign with")),
        "{answer:?}"
    );
    assert_refused(answer, Code::FailedPrecondition, "not_found");
    hub.stop().await;
}
