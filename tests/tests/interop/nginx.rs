//! A real nginx in front, with the configuration that the project ships: all three transports and the control API.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use switchboard_tests::services::Services;
use switchboard_tests::waiting::{SOON, until};
use switchboard_tests::{Hub, Transport, every_transport, tools};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// nginx cannot be told to pick a port, and another process may take the one that was picked for it.
const ATTEMPTS: u32 = 5;

/// A running nginx, ended with this.
struct Nginx {
    clients: SocketAddr,
    api: SocketAddr,
    log: PathBuf,
    _child: Child,
}

impl Nginx {
    /// Starts it in front of the hub with the shipped configuration, but for addresses and how long a quiet connection
    /// may be.
    async fn start(hub: &Hub, read_timeout: Duration) -> Result<Self> {
        for _ in 0..ATTEMPTS {
            if let Some(nginx) = Self::attempt(hub, read_timeout).await? {
                return Ok(nginx);
            }
        }
        bail!("nginx found its ports taken {ATTEMPTS} times")
    }

    async fn attempt(hub: &Hub, read_timeout: Duration) -> Result<Option<Self>> {
        let directory = tempfile::Builder::new()
            .prefix("nginx-")
            .tempdir_in(hub.directory())?
            .keep();
        let (clients, api) = free_addresses()?;
        let mut config = std::fs::read_to_string(tools::file("../deploy/nginx/switchboard.conf"))?;
        let log = directory.join("");
        for (shipped, here) in [
            ("server 127.0.0.1:8000;", format!("server {};", hub.clients)),
            ("server 127.0.0.1:9000;", format!("server {};", hub.api)),
            ("listen 8080;", format!("listen {clients};")),
            ("listen 8090 http2;", format!("listen {api} http2;")),
            (
                "proxy_read_timeout 75s;",
                format!("proxy_read_timeout {}ms;", read_timeout.as_millis()),
            ),
            ("/var/log/nginx/", log.display().to_string()),
        ] {
            ensure!(
                config.contains(shipped),
                "the shipped configuration has no `{shipped}` any more"
            );
            config = config.replace(shipped, &here);
        }
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {}/{kind};\n", directory.display()))
            .concat();
        let main = format!(
            "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log {0}/error.log info;\n\
             events {{ worker_connections 1024; }}\nhttp {{\n{temporary}include {0}/switchboard.conf;\n}}\n",
            directory.display()
        );
        std::fs::write(directory.join("switchboard.conf"), config)?;
        std::fs::write(directory.join("nginx.conf"), main)?;
        let mut command = Command::new(tools::program("SWITCHBOARD_NGINX", &["nginx"])?);
        command
            .arg("-c")
            .arg(directory.join("nginx.conf"))
            .arg("-p")
            .arg(&directory)
            .kill_on_drop(true);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().context("nginx cannot be started")?;
        let listens = until("nginx to listen", SOON, || {
            let ended = child.try_wait();
            async move {
                if ended?.is_some() {
                    return Ok(Some(false));
                }
                Ok(TcpStream::connect(clients).await.is_ok().then_some(true))
            }
        });
        if listens.await? {
            return Ok(Some(Self {
                clients,
                api,
                log: directory,
                _child: child,
            }));
        }
        let complaints = std::fs::read_to_string(directory.join("error.log")).unwrap_or_default();
        ensure!(
            complaints.contains("bind()"),
            "nginx ended at once: {complaints}"
        );
        Ok(None)
    }
}

fn free_addresses() -> Result<(SocketAddr, SocketAddr)> {
    let (first, second) = (
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    );
    Ok((first.local_addr()?, second.local_addr()?))
}

/// How long nothing is published, the hub's interval, and nginx's patience.
fn quiet() -> (Duration, &'static str, Duration) {
    if tools::is_nightly() {
        (Duration::from_secs(90), "30", Duration::from_secs(75))
    } else {
        (Duration::from_secs(5), "0.5", Duration::from_millis(1500))
    }
}

every_transport!(messages_and_commands_pass_nginx_also_after_a_quiet_time);

async fn messages_and_commands_pass_nginx_also_after_a_quiet_time(
    transport: Transport,
) -> Result<()> {
    let (quiet, ping_interval, patience) = quiet();
    let mut hub = Hub::start_with(|config| {
        config
            .set("limits.ping_interval_s", ping_interval)
            .set("clients.trusted_proxies", "[\"127.0.0.1\"]");
    })
    .await?;
    // A poll that waits longer than nginx does would be cut; so it waits shorter, as the shipped figures have it.
    let nginx = Nginx::start(
        &hub,
        if transport == Transport::Poll {
            patience * 10
        } else {
            patience
        },
    )
    .await?;
    hub.clients = nginx.clients;
    let services = Services::connect(nginx.api, &hub.api_key).await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    services.publish_numbers("chat:1", 0..50).await?;
    client.numbers("chat:1", 0..50).await?;

    let frame = client.next_within(quiet).await?;
    ensure!(frame.is_none(), "{frame:?}");
    services.publish_numbers("chat:1", 50..60).await?;
    client.numbers("chat:1", 50..60).await?;
    client
        .command(
            "publish",
            serde_json::json!({"channel": "chat:1", "data": {"n": 60}}),
        )
        .await?;
    client.numbers("chat:1", 60..61).await?;

    let place = client.drop_abruptly();
    services.publish_numbers("chat:1", 61..65).await?;
    let mut client = place.resume(&hub, transport).await?;
    client.numbers("chat:1", 61..65).await?;
    let log = std::fs::read_to_string(nginx.log.join("switchboard.log")).unwrap_or_default();
    ensure!(hub.secrets.leaks(&log).is_empty(), "nginx logs tokens");
    Ok(())
}

#[tokio::test]
async fn every_event_passes_nginx_when_it_happens() -> Result<()> {
    let mut hub = Hub::start().await?;
    let nginx = Nginx::start(&hub, Duration::from_secs(75)).await?;
    let services = hub.services().await?;
    hub.clients = nginx.clients;
    let mut client = hub.client(Transport::Sse, "alice", &["chat:1"]).await?;
    for n in 0..20 {
        // Each only after the one before has come: none may wait in a buffer for the next.
        services.publish_numbers("chat:1", n..n + 1).await?;
        client.numbers("chat:1", n..n + 1).await?;
    }
    Ok(())
}
