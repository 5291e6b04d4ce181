//! A hub with certificates of its own, signed by an authority that nobody knows but the test.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use switchboard_client::service::{Item, Service};
use switchboard_client::{Client, ClientBuilder, Event, Payload, Start, State};
use tokio::time::timeout;
use tonic::transport::{Certificate, ClientTlsConfig};

use crate::stage::{PATIENCE, Ports, Stage, channel, next, subscribe};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Result<Authority> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

/// An authority, and the options of a stage whose hub has certificates of it, as `localhost`, on both sides.
fn certified() -> Result<(Authority, Vec<String>)> {
    let authority = authority()?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])?;
    let certificate = certificate.signed_by(&key, &authority)?;
    let mut options = Vec::new();
    for (what, text) in [
        ("cert", pem("CERTIFICATE", certificate.der())),
        ("key", pem("PRIVATE KEY", key.serialized_der())),
    ] {
        let name = format!("hub-{}-{what}.pem", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&path, text)?;
        let set = |side: &str| format!("--set={side}.tls_{what}_file={}", json!(path));
        options.extend(["clients", "api"].map(set));
    }
    Ok((authority, options))
}

/// A stage whose hub speaks TLS, and who says that it is the hub. Its own way to the control API speaks none: what is published is
/// published by the clients.
fn encrypted() -> Result<(Stage, &'static Authority)> {
    static CERTIFIED: OnceLock<Result<(Authority, Vec<String>)>> = OnceLock::new();
    static PORTS: OnceLock<Result<Ports>> = OnceLock::new();
    let certified = CERTIFIED.get_or_init(certified).as_ref();
    let (authority, options) = certified.map_err(|error| anyhow::anyhow!("{error:#}"))?;
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Ok((Stage::at(&PORTS, &options)?, authority))
}

/// The hub's address by the name that its certificate has.
fn by_name(address: &str) -> String {
    let (_, port) = address.rsplit_once(':').expect("an address has a port");
    format!("https://localhost:{port}")
}

fn trusting(authority: &Authority) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone())?;
    let config = ClientConfig::builder().with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}

fn service(stage: &Stage, trusted: &Authority) -> Result<Service> {
    let trusted = Certificate::from_pem(pem("CERTIFICATE", trusted.der()));
    let tls = ClientTlsConfig::new().ca_certificate(trusted);
    let ports = stage.ports;
    Ok(Service::connect_with_tls(
        &by_name(&ports.grpc),
        &ports.api_key,
        tls,
    )?)
}

#[tokio::test]
async fn a_trusted_hub_is_spoken_to_in_tls() -> Result<()> {
    let (stage, authority) = encrypted()?;
    let token = stage.token(json!({ "user": "ann" })).await?;
    let name = channel("chat");
    let client = Client::builder(by_name(&stage.ports.hub))
        .token(token)
        .tls(trusting(authority)?)
        .build()?;
    let mut subscription = subscribe(&client, &name, Start::default()).await?;
    let hub = service(&stage, authority)?;
    hub.publish(Item::json(&name, &"by a service")?).await?;
    client.publish(&name, &"by a client").await?;
    for wanted in ["by a service", "by a client"] {
        let Event::Message(message) = next(&mut subscription).await? else {
            panic!("no message");
        };
        assert_eq!(message.data, Payload::json(&wanted)?);
    }
    Ok(())
}

/// Waits for the client's end, and says that it is for want of trust.
async fn is_not_trusted(builder: ClientBuilder) -> Result<()> {
    let client = builder.token("any").build()?;
    let ended = timeout(PATIENCE, client.ready()).await;
    let Err(error) = ended.context("it goes on trying")? else {
        bail!("it trusts the hub");
    };
    assert_eq!(error.code(), "untrusted", "{error}");
    assert!(
        error.message().contains("certificate is not trusted"),
        "{error}"
    );
    assert_eq!(client.state(), State::Disconnected);
    Ok(())
}

#[tokio::test]
async fn a_hub_that_is_not_trusted_ends_the_client_and_the_error_says_so() -> Result<()> {
    let (stage, authority) = encrypted()?;
    let by_name = by_name(&stage.ports.hub);
    let stranger = self::authority()?;
    // Signed by another than who is trusted.
    is_not_trusted(Client::builder(&by_name).tls(trusting(&stranger)?)).await?;
    // By nobody whom the machine knows.
    is_not_trusted(Client::builder(&by_name)).await?;
    // For another name.
    let by_number = by_name.replace("localhost", "127.0.0.1");
    is_not_trusted(Client::builder(by_number).tls(trusting(authority)?)).await
}

#[tokio::test]
async fn a_service_does_not_speak_to_a_hub_that_is_not_trusted() -> Result<()> {
    let (stage, _) = encrypted()?;
    let hub = service(&stage, &authority()?)?;
    let hub = hub.with_timeout(Duration::from_secs(20));
    let publish = timeout(PATIENCE / 2, hub.publish(Item::json("chat:1", &1)?)).await;
    let error = publish.context("it goes on trying")?.unwrap_err();
    assert_eq!(error.code(), "untrusted", "{error}");
    assert!(
        error.message().contains("certificate is not trusted"),
        "{error}"
    );
    Ok(())
}
