//! TLS, and users with no more rights than the engine needs.

use std::time::Duration;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use switchboard_core::ChannelName;
use switchboard_engine::Engine;
use switchboard_engine::conformance::RecordingSink;
use switchboard_engine_redis::{
    ConfigError, Password, RedisConfig, RedisEngine, TlsConfig, TlsIdentity, Topology,
};
use tempfile::TempDir;

use super::load::{Load, numbered};
use super::server::{Server, free_port, quick};
use super::{fresh_node, ready_engine};

/// Long enough for an engine that can connect.
const REFUSED_WITHIN: Duration = Duration::from_secs(3);

/// The rights that the engine needs, as the documentation gives them.
const RIGHTS: &str = "~sb* &sb* -@all +@read +@write +@scripting +@pubsub +@connection +time +info";

/// An authority, and what it has signed for one server and one client.
struct Authority {
    pem: String,
    server: (String, String),
    client: (String, String),
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        // Who signs and who is signed must not have one name, or OpenSSL takes one for the other.
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let signed = |name: &str| {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
            let certificate = params.signed_by(&key, &authority).expect("a certificate");
            (certificate.pem(), key.serialize_pem())
        };
        Self {
            pem: authority.pem(),
            server: signed("127.0.0.1"),
            client: signed("switchboard"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_over_tls_and_only_to_a_server_that_is_known() {
    let authority = Authority::new();
    let files = TempDir::new().expect("a temporary directory");
    let write = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a plain path").to_owned()
    };
    let (certificate, key) = &authority.server;
    let port = free_port();
    let server = Server::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &write("server.pem", certificate),
        "--tls-key-file",
        &write("server.key", key),
        "--tls-ca-cert-file",
        &write("authority.pem", &authority.pem),
        "--tls-auth-clients",
        "yes",
    ])
    .await;
    let mut address = server.address();
    address.port = port;
    let mut config = quick(RedisConfig::new(Topology::Standalone(address)));
    let identity = TlsIdentity {
        chain_pem: Bytes::from(authority.client.0.clone()),
        key_pem: Bytes::from(authority.client.1.clone()),
    };
    config.tls = Some(TlsConfig {
        authorities_pem: Bytes::from(authority.pem.clone()),
        identity: Some(identity.clone()),
    });
    let load = Load::start(&config, "a:tls").await;
    load.flows(50).await;
    load.end().await.expect_nothing_lost();
    // Neither a server of another authority, nor one that wants a certificate and is shown none, nor TLS against plain TCP.
    let refused = [
        (Authority::new().pem, Some(identity), port),
        (authority.pem.clone(), None, port),
        (authority.pem.clone(), None, server.port),
    ];
    for (pem, identity, port) in refused {
        let mut config = config.clone();
        config.topology =
            Topology::Standalone(switchboard_engine_redis::Address::new("127.0.0.1", port));
        config.tls = Some(TlsConfig {
            authorities_pem: Bytes::from(pem),
            identity,
        });
        let engine = RedisEngine::start(fresh_node(), RecordingSink::new(), config)
            .expect("a configuration");
        assert!(engine.wait_until_ready(REFUSED_WITHIN).await.is_err());
        engine.shutdown().await;
    }
    config.tls = Some(TlsConfig {
        authorities_pem: Bytes::from_static(b"no certificate"),
        identity: None,
    });
    let refused = RedisEngine::start(fresh_node(), RecordingSink::new(), config).err();
    assert!(matches!(refused, Some(ConfigError::Tls(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_with_only_the_rights_it_needs_is_enough_and_a_wrong_password_is_not() {
    let user = format!("switchboard on >secret {RIGHTS}");
    let mut options = vec!["--user"];
    options.extend(user.split(' '));
    options.extend(["--user", "default", "off"]);
    let server = Server::start(&options).await;
    let mut config = server.config();
    config.user = Some("switchboard".into());
    config.password = Some(Password("secret".into()));
    let load = Load::start(&config, "a:acl").await;
    load.flows(50).await;
    load.end().await.expect_nothing_lost();
    config.password = Some(Password("mistaken".into()));
    let engine =
        RedisEngine::start(fresh_node(), RecordingSink::new(), config).expect("a configuration");
    assert!(engine.wait_until_ready(REFUSED_WITHIN).await.is_err());
    let channel = ChannelName::parse("a:acl").expect("a valid name");
    let refused = engine.publish(numbered(&channel, "1")).await;
    let refused = refused.expect_err("nobody is connected").to_string();
    assert!(refused.contains("check `user` and `password`"), "{refused}");
    assert!(!refused.contains("mistaken"), "{refused}");
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_is_refused_is_not_taken_for_one() {
    let mut options = vec!["--user", "switchboard", "on", ">secret"];
    options.extend(RIGHTS.split(' ').filter(|right| *right != "&sb*"));
    // Its canaries and its inbox may be heard, and a channel's publications may not.
    options.extend(["&sb{0}y:*", "&sb{*}c:~node:*"]);
    let server = Server::start(&options).await;
    let mut config = server.config();
    config.user = Some("switchboard".into());
    config.password = Some(Password("secret".into()));
    config.operation_timeout = Duration::from_secs(2);
    let engine = ready_engine(RecordingSink::new(), config).await;
    let channel = ChannelName::parse("a:refused").expect("a valid name");
    for _ in 0..3 {
        assert!(engine.follow(&channel).await.is_err(), "nobody hears it");
    }
    engine.shutdown().await;
}
