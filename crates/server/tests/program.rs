//! The program from outside: what its tools print and speak, and a hub whose log nobody reads.

#![allow(clippy::unwrap_used, reason = "what does not hold here fails the test")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use switchboard_proto::api::v1;
use tempfile::TempDir;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic_prost::ProstCodec;

/// No test takes so long unless something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

fn switchboard(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SWITCHBOARD_")) {
        command.env_remove(name);
    }
    command.env("SWITCHBOARD_STATE_DIR", state).args(arguments);
    command
}

fn private_directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    directory
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A hub with this configuration, and where it listens; killed when dropped. Nobody reads its log once it serves.
struct Hub {
    process: Child,
    told: Value,
}

impl Hub {
    /// SIGTERM.
    fn ask_to_stop(&self) {
        let pid = self.process.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(asked.unwrap().success());
    }

    fn start(directory: &Path, config: &str) -> Self {
        let (file, ready) = (directory.join("hub.toml"), directory.join("ready.json"));
        fs::write(&file, config).unwrap();
        let mut process = switchboard(directory, &["serve", "--config"])
            .arg(&file)
            .arg("--ready-file")
            .arg(&ready)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = BufReader::new(process.stderr.take().unwrap());
        let started = Instant::now();
        // The file is there before the line is.
        let serves = errors
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains("serving"));
        assert!(serves && started.elapsed() < PATIENCE, "the hub starts");
        let told = serde_json::from_str(&fs::read_to_string(&ready).unwrap()).unwrap();
        Self { process, told }
    }

    fn address(&self, side: &str) -> SocketAddr {
        self.told[side].as_str().unwrap().parse().unwrap()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A development hub runs here, and a token is asked of another one: that must not grant everything there.
#[test]
fn a_token_of_another_hub_grants_what_is_named_and_no_more() {
    let state = private_directory();
    // Of the hub that is found only its process has to be there: nothing is asked of it.
    let found = serde_json::json!({
        "pid": std::process::id(), "version": "0", "node": "n", "development": true,
        "clients": "127.0.0.1:1", "grpc": "127.0.0.1:1", "admin": "127.0.0.1:1", "api_key": "sk_dev_0123456789abcdef",
    });
    fs::write(state.path().join("development.json"), found.to_string()).unwrap();
    let token = |arguments: &[&str]| {
        let mut all = vec!["token", "--user", "alice"];
        all.extend(arguments);
        said(&switchboard(state.path(), &all).output().unwrap())
    };
    let own = token(&[]);
    assert!(own.contains("grants everything"), "{own}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = format!("http://{}", listener.local_addr().unwrap());
    drop(listener); // Nobody is there: what would be granted is told before.
    let other = token(&[
        "--api-url",
        &other,
        "--api-key",
        "sk_other_0123456789abcdef",
    ]);
    assert!(other.contains("public channels only"), "{other}");
}

/// A certificate authority, and a certificate of it for this machine, as PEM: authority, certificate, key.
fn certificates() -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    (
        pem("CERTIFICATE", authority.der()),
        pem("CERTIFICATE", certificate.der()),
        pem("PRIVATE KEY", key.serialized_der()),
    )
}

fn pem(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n")
}

#[test]
fn subscribe_speaks_to_a_hub_behind_tls_over_every_transport() {
    let directory = private_directory();
    let (authority, certificate, key) = certificates();
    let at = |name: &str| directory.path().join(name);
    for (name, text) in [
        ("ca.pem", &authority),
        ("hub.pem", &certificate),
        ("hub.key", &key),
    ] {
        fs::write(at(name), text).unwrap();
    }
    let config = r#"
        [clients]
        listen = "127.0.0.1:0"
        tls_cert_file = "hub.pem"
        tls_key_file = "hub.key"
        [api]
        listen = "127.0.0.1:0"
        keys = [{ name = "all", secret = "sk_0123456789abcdef01234567", scopes = ["publish", "tokens"] }]
        [admin]
        listen = "127.0.0.1:0"
        [tokens]
        keys = [{ secret = "0123456789abcdef0123456789abcdef" }]
        [namespaces.demo]
        history_count = 10
    "#;
    let hub = Hub::start(directory.path(), config);
    let api = format!("http://{}", hub.address("grpc"));
    let tool = |arguments: &[&str]| {
        switchboard(directory.path(), arguments)
            .args([
                "--api-url",
                &api,
                "--api-key",
                "sk_0123456789abcdef01234567",
            ])
            .output()
            .unwrap()
    };
    let published = tool(&["publish", "demo:a", "\"over TLS\""]);
    assert!(published.status.success(), "{}", said(&published));
    let port = hub.address("clients").port();
    let authority = at("ca.pem");
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{port}");
        for transport in ["ws", "sse", "poll"] {
            let subscribe = [
                "subscribe",
                "demo:a",
                "--rewind",
                "1",
                "--count",
                "1",
                "--url",
                &url,
            ];
            let trusting = [
                "--transport",
                transport,
                "--ca-file",
                authority.to_str().unwrap(),
            ];
            let got = tool(&[&subscribe[..], &trusting].concat());
            assert!(
                got.status.success() && said(&got).contains("\"over TLS\""),
                "{url} {transport}: {}",
                said(&got)
            );
            // Not of an authority that the system knows.
            let got = tool(&[&subscribe[..], &["--transport", transport]].concat());
            assert!(!got.status.success(), "{url} {transport}: {}", said(&got));
        }
    }
}

/// A hub that services may publish to, and that drains quickly.
const SERVICES: &str = r#"
    [clients]
    listen = "127.0.0.1:0"
    [api]
    listen = "127.0.0.1:0"
    keys = [{ name = "all", secret = "sk_0123456789abcdef01234567", scopes = ["publish"] }]
    [admin]
    listen = "127.0.0.1:0"
    [namespaces.demo]
    [drain]
    ready_delay_s = 0
    window_s = 0.1
"#;

/// Publishes to a hub of [`SERVICES`].
fn publish_one(directory: &Path, hub: &Hub) {
    let api = format!("http://{}", hub.address("grpc"));
    let key = "sk_0123456789abcdef01234567";
    let published = switchboard(directory, &["publish", "demo:a", "1"])
        .args(["--api-url", &api, "--api-key", key])
        .output()
        .unwrap();
    assert!(published.status.success(), "{}", said(&published));
}

/// Whoever read the log has gone: a collector that restarts, a terminal that was closed.
#[test]
fn a_hub_whose_log_nobody_reads_goes_on() {
    let directory = private_directory();
    let config = format!("{SERVICES}[log]\nlevel = \"debug\"\n");
    let mut hub = Hub::start(directory.path(), &config);
    // Each call is a line of the log.
    for _ in 0..3 {
        publish_one(directory.path(), &hub);
    }
    hub.ask_to_stop();
    let ended = hub.process.wait().unwrap();
    assert_eq!(
        ended.code(),
        Some(0),
        "it drains and stops as always: {ended}"
    );
}

/// A call that has begun when the hub is told to stop: its caller takes a moment to say what to publish.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_way_is_answered_before_the_hub_stops() {
    let directory = private_directory();
    let mut hub = Hub::start(directory.path(), SERVICES);
    let api = hub.address("grpc");
    let channel = Endpoint::new(format!("http://{api}")).unwrap();
    let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
    client.ready().await.unwrap();
    let (message, messages) = tokio::sync::mpsc::channel(1);
    let mut request = tonic::Request::new(ReceiverStream::new(messages));
    let key = "Bearer sk_0123456789abcdef01234567".parse().unwrap();
    request.metadata_mut().insert("authorization", key);
    let calling = tokio::spawn(async move {
        let path = PathAndQuery::from_static("/switchboard.api.v1.PublishService/Publish");
        let codec = ProstCodec::<v1::PublishRequest, v1::PublishResponse>::default();
        client.client_streaming(request, path, codec).await
    });
    // Another call on another connection: when it is answered the hub has taken in the first one's head.
    publish_one(directory.path(), &hub);
    hub.ask_to_stop();
    let started = Instant::now();
    while TcpStream::connect(api).is_ok() {
        assert!(started.elapsed() < PATIENCE, "the hub goes on listening");
        tokio::task::yield_now().await;
    }
    // waits: for longer than what else has to end takes, and than the answers that are on their way have
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let item = v1::PublishItem {
        channel: "demo:a".to_owned(),
        payload: Some(v1::publish_item::Payload::Json("2".into())),
        ..v1::PublishItem::default()
    };
    message
        .send(v1::PublishRequest { item: Some(item) })
        .await
        .unwrap();
    drop(message);
    let answer: v1::PublishResponse = calling.await.unwrap().unwrap().into_inner();
    assert_eq!(answer.position.unwrap().offset, 2);
    assert_eq!(hub.process.wait().unwrap().code(), Some(0));
}
