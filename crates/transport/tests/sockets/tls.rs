//! TLS in the process: the same sessions, pumped.

use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use switchboard_core::Limits;
use switchboard_transport::TransportConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::hub::{Hub, TOKEN};
use crate::raw::{Raw, masked, upgrade};

struct Tls {
    hub: Hub,
    connector: TlsConnector,
}

impl Tls {
    async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let hub = Hub::with(
            Limits::default(),
            TransportConfig::default(),
            Some(Arc::new(server)),
        )
        .await;
        Self {
            hub,
            connector: TlsConnector::from(Arc::new(client)),
        }
    }

    async fn connect(&self) -> Raw<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.hub.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        Raw::over(self.connector.connect(name, tcp).await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_carries_frames_both_ways_and_ends_cleanly() {
    let tls = Tls::start().await;
    let mut raw = tls.connect().await;
    let mut bytes = upgrade(&format!("/v1/ws?channel=chat:1&token={TOKEN}"), "").into_bytes();
    bytes.extend(masked(r#"{"id":1,"ping":{}}"#));
    raw.send(bytes).await;
    raw.until("\r\n\r\n").await;
    raw.until(r#"{"reply":{"id":1,"ping":"#).await;
    tls.hub.publish("chat:1", r#""hello""#).await;
    raw.until(r#""data":"hello""#).await;
    raw.send([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).await;
    raw.rest().await;
    tls.hub.sessions(0).await;
    tls.hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_comes_and_goes_with_its_client() {
    let tls = Tls::start().await;
    let mut raw = tls.connect().await;
    raw.send(&format!(
        "GET /v1/sse?channel=chat:1&token={TOKEN} HTTP/1.1\r\nHost: hub\r\n\r\n"
    ))
    .await;
    raw.until("event: subscribed").await;
    tls.hub.publish("chat:1", r#""hello""#).await;
    raw.until(r#""data":"hello""#).await;
    drop(raw);
    tls.hub.sessions(0).await;
    tls.hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_is_no_tls_and_harms_nobody() {
    let tls = Tls::start().await;
    let mut plain = Raw::connect(&tls.hub).await;
    plain
        .send("GET /v1/sse HTTP/1.1\r\nHost: hub\r\n\r\n")
        .await;
    let answer = plain.rest().await;
    assert!(!answer.contains("HTTP/1.1"), "{answer}");
    assert_eq!(tls.hub.clients.metrics().tls_errors.get(), 1);
    let mut raw = tls.connect().await;
    raw.send("GET /v1/sse HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    raw.until("HTTP/1.1 401 Unauthorized").await;
    drop(raw);
    tls.hub.end().await;
}
