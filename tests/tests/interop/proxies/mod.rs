//! Real proxies in front, with the configurations that the project ships: all three transports and the control API, also
//! after a quiet time.
//!
//! To add a proxy: one file that makes the command which runs it at a [`Site`], and `proxy_tests!` of that.

/// What every proxy must stand, given how it is prepared.
macro_rules! proxy_tests {
    ($prepare:ident) => {
        switchboard_tests::every_transport!(messages_and_commands_pass_also_after_a_quiet_time);

        async fn messages_and_commands_pass_also_after_a_quiet_time(
            transport: switchboard_tests::Transport,
        ) -> anyhow::Result<()> {
            super::messages_and_commands_pass($prepare, transport).await
        }

        #[tokio::test]
        async fn every_event_passes_when_it_happens() -> anyhow::Result<()> {
            super::every_event_passes_when_it_happens($prepare).await
        }

        #[tokio::test]
        async fn the_client_passes_as_a_script() -> anyhow::Result<()> {
            super::the_client_passes_as_a_script($prepare).await
        }

        #[tokio::test]
        async fn a_client_that_goes_is_not_held() -> anyhow::Result<()> {
            super::a_client_that_goes_is_not_held_by_the_proxy($prepare).await
        }
    };
}

mod haproxy;
mod nginx;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use switchboard_tests::services::Services;
use switchboard_tests::waiting::{SOON, until};
use switchboard_tests::{Hub, Transport, tools};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// A proxy cannot be told to pick a port, and another process may take the one that was picked for it.
const ATTEMPTS: u32 = 5;

/// Where a proxy stands, and what it is to put up with.
struct Site<'a> {
    hub: &'a Hub,
    /// Its own: configuration, logs.
    directory: PathBuf,
    /// Where it is to listen for clients.
    clients: SocketAddr,
    /// Where it is to listen for services.
    api: SocketAddr,
    /// How long a connection may be silent before it ends it.
    patience: Duration,
}

impl Site<'_> {
    /// A configuration that the project ships, with each of these parts replaced.
    fn shipped(path: &str, parts: &[(&str, String)]) -> Result<String> {
        let mut config = std::fs::read_to_string(tools::file(path))?;
        for (shipped, here) in parts {
            ensure!(
                config.contains(shipped),
                "{path} has no `{shipped}` any more"
            );
            config = config.replace(shipped, here);
        }
        Ok(config)
    }

    fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }
}

/// Makes the command that runs a proxy in the foreground at a site.
type Prepare = fn(&Site) -> Result<Command>;

/// A running proxy, ended with this.
struct Proxy {
    clients: SocketAddr,
    api: SocketAddr,
    directory: PathBuf,
    _child: Child,
}

impl Proxy {
    async fn start(prepare: Prepare, hub: &Hub, patience: Duration) -> Result<Self> {
        for _ in 0..ATTEMPTS {
            if let Some(proxy) = Self::attempt(prepare, hub, patience).await? {
                return Ok(proxy);
            }
        }
        bail!("the proxy found its ports taken {ATTEMPTS} times")
    }

    async fn attempt(prepare: Prepare, hub: &Hub, patience: Duration) -> Result<Option<Self>> {
        let directory = tempfile::Builder::new()
            .prefix("proxy-")
            .tempdir_in(hub.directory())?
            .keep();
        let (clients, api) = free_addresses()?;
        let site = Site {
            hub,
            directory,
            clients,
            api,
            patience,
        };
        let output = std::fs::File::create(site.directory.join("output"))?;
        let mut command = prepare(&site)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true);
        let mut child = command.spawn().context("the proxy cannot be started")?;
        let listens = until("the proxy to listen", SOON, || {
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
                directory: site.directory,
                _child: child,
            }));
        }
        let said = everything_in(&site.directory);
        let taken = ["bind()", "cannot bind socket", "Address already in use"];
        ensure!(
            taken.iter().any(|complaint| said.contains(complaint)),
            "the proxy ended at once: {said}"
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

fn everything_in(directory: &Path) -> String {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .collect()
}

/// How long nothing is published, the hub's interval, and the proxy's patience.
fn quiet() -> (Duration, &'static str, Duration) {
    if tools::is_nightly() {
        (Duration::from_secs(90), "30", Duration::from_secs(75))
    } else {
        (Duration::from_secs(5), "0.5", Duration::from_millis(1500))
    }
}

async fn messages_and_commands_pass(prepare: Prepare, transport: Transport) -> Result<()> {
    let (quiet, ping_interval, patience) = quiet();
    let mut hub = Hub::start_with(|config| {
        config
            .set("limits.ping_interval_s", ping_interval)
            .set("clients.trusted_proxies", "[\"127.0.0.1\"]");
    })
    .await?;
    // A poll that waits longer than the proxy does would be cut; so it waits shorter, as the shipped figures have it.
    let patience = if transport == Transport::Poll {
        Duration::from_secs(75)
    } else {
        patience
    };
    let proxy = Proxy::start(prepare, &hub, patience).await?;
    hub.clients = proxy.clients;
    let services = Services::connect(proxy.api, &hub.api_key).await?;
    let mut client = hub.client(transport, "alice", &["chat:1"]).await?;
    services.publish_numbers("chat:1", 0..50).await?;
    client.numbers("chat:1", 0..50).await?;

    let frame = client.next_within(quiet).await?;
    ensure!(frame.is_none(), "{frame:?}");
    services.publish_numbers("chat:1", 50..60).await?;
    client.numbers("chat:1", 50..60).await?;
    let fields = serde_json::json!({"channel": "chat:1", "data": {"n": 60}});
    client.command("publish", fields).await?;
    client.numbers("chat:1", 60..61).await?;

    let place = client.drop_abruptly();
    services.publish_numbers("chat:1", 61..65).await?;
    let mut client = place.resume(&hub, transport).await?;
    client.numbers("chat:1", 61..65).await?;
    let leaks = hub.secrets.leaks(&everything_in(&proxy.directory));
    ensure!(leaks.is_empty(), "the proxy logs tokens: {leaks:?}");
    Ok(())
}

async fn the_client_passes_as_a_script(prepare: Prepare) -> Result<()> {
    let hub = Hub::start().await?;
    let proxy = Proxy::start(prepare, &hub, Duration::from_secs(75)).await?;
    let script = async |from: SocketAddr| {
        let response = hub.http.get(format!("http://{from}/client.js")).send();
        let response = response.await?.error_for_status()?;
        let kind = response.headers()["content-type"].clone();
        anyhow::Ok((kind, response.bytes().await?))
    };
    let (passed, own) = (script(proxy.clients).await?, script(hub.clients).await?);
    ensure!(passed == own, "{:?} and {:?}", passed.0, own.0);
    ensure!(
        passed.0 == "text/javascript; charset=utf-8",
        "{:?}",
        passed.0
    );
    Ok(())
}

/// Each is published only after the one before has come: none may wait in a buffer for the next.
async fn every_event_passes_when_it_happens(prepare: Prepare) -> Result<()> {
    let mut hub = Hub::start().await?;
    let proxy = Proxy::start(prepare, &hub, Duration::from_secs(75)).await?;
    let services = hub.services().await?;
    hub.clients = proxy.clients;
    let mut client = hub.client(Transport::Sse, "alice", &["chat:1"]).await?;
    for n in 0..20 {
        services.publish_numbers("chat:1", n..n + 1).await?;
        client.numbers("chat:1", n..n + 1).await?;
    }
    Ok(())
}

/// The hub sees, behind a proxy that it trusts, that a client has gone.
async fn a_client_that_goes_is_not_held_by_the_proxy(prepare: Prepare) -> Result<()> {
    let mut hub = Hub::start().await?;
    let proxy = Proxy::start(prepare, &hub, Duration::from_secs(75)).await?;
    hub.clients = proxy.clients;
    let websocket = hub
        .client(Transport::WebSocket, "alice", &["chat:1"])
        .await?;
    let stream = hub.client(Transport::Sse, "bob", &["chat:1"]).await?;
    hub.await_metric("sessions", |count| count > 1.5).await?;
    drop(websocket.drop_abruptly());
    drop(stream.drop_abruptly());
    hub.await_metric("sessions", |count| count < 0.5).await?;
    Ok(())
}
