//! The stage as a process of its own, and its control interface.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use switchboard_client::{Client, ClientBuilder, Event, Start, Subscription, Timing};
use tokio::time::timeout;

/// How long anything may take to come about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(25);

/// Where a stage listens. It ends with this process, when its standard input closes.
#[derive(Deserialize)]
pub(crate) struct Ports {
    control: String,
    /// The hub itself.
    pub(crate) hub: String,
    pub(crate) proxy: String,
    pub(crate) grpc: String,
    pub(crate) api_key: String,
}

/// A stage whose hub stays as it is; all tests but the conformance list share it.
pub(crate) fn shared() -> Result<Stage> {
    static PORTS: OnceLock<Result<Ports>> = OnceLock::new();
    Stage::at(&PORTS, &[])
}

/// A stage for the tests that hold the lock of the conformance list, which stop and restart the hub.
pub(crate) fn restarted() -> Result<Stage> {
    static PORTS: OnceLock<Result<Ports>> = OnceLock::new();
    Stage::at(&PORTS, &[])
}

/// A stage whose hubs share a Redis.
pub(crate) fn with_redis() -> Result<Stage> {
    static PORTS: OnceLock<Result<Ports>> = OnceLock::new();
    Stage::at(&PORTS, &["--redis=0"])
}

fn start(options: &[&str]) -> Result<Ports> {
    // reqwest asks for it, though nothing here is encrypted. Only a second call fails, and then the first one holds.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    env::var_os("SWITCHBOARD_HUB")
        .context("set SWITCHBOARD_HUB to the path of the hub, the program `switchboard`")?;
    let node = env::var_os("SWITCHBOARD_NODE").unwrap_or_else(|| "node".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/stage.mjs");
    let mut child = Command::new(node)
        .arg(script)
        .arg(r#"--set=namespaces.inbox={"durable":true,"history_count":1000}"#)
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the stage")?;
    let output = child.stdout.take().context("stdout is piped")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    // Open for as long as this process lives.
    std::mem::forget(child.stdin.take());
    serde_json::from_str(&line).context("the stage did not start")
}

/// A stage as one test talks to it.
pub(crate) struct Stage {
    pub(crate) ports: &'static Ports,
    http: reqwest::Client,
}

impl Stage {
    /// The stage of these ports, started with these options if it is not.
    pub(crate) fn at(ports: &'static OnceLock<Result<Ports>>, options: &[&str]) -> Result<Self> {
        let ports = ports.get_or_init(|| start(options)).as_ref();
        let ports = ports.map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { ports, http })
    }

    pub(crate) fn grpc(&self) -> String {
        format!("http://{}", self.ports.grpc)
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.ports.control);
        Ok(self.http.get(url).send().await?.json().await?)
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<Value> {
        let url = format!("{}{path}", self.ports.control);
        let response = self.http.post(url).json(&body).send().await?;
        let status = response.status();
        let answer: Value = response.json().await?;
        ensure!(status.is_success(), "POST {path}: {answer}");
        Ok(answer)
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        let url = format!("{}{path}", self.ports.control);
        self.http.delete(url).send().await?.error_for_status()?;
        Ok(())
    }

    pub(crate) async fn token(&self, claims: Value) -> Result<String> {
        let answer = self.post("/token", claims).await?;
        let token = answer["token"]
            .as_str()
            .context("the stage gave no token")?;
        Ok(token.to_owned())
    }

    /// Adds a proxy for the test: its path at the control interface, and its address.
    pub(crate) async fn proxy(&self, modes: Value) -> Result<(String, String)> {
        let answer = self.post("/proxies", modes).await?;
        let id = answer["id"].as_str().context("a proxy has an id")?;
        let url = answer["url"].as_str().context("a proxy has an address")?;
        Ok((format!("/proxies/{id}"), url.to_owned()))
    }

    /// Begins a client of a user who is granted everything.
    pub(crate) async fn builder(&self, user: &str, url: &str) -> Result<ClientBuilder> {
        let token = self.token(json!({ "user": user })).await?;
        Ok(Client::builder(url).token(token))
    }

    /// Makes a client of a user who is granted everything, at the proxy that lets all pass.
    pub(crate) async fn client(&self, user: &str) -> Result<Client> {
        Ok(self.builder(user, &self.ports.proxy).await?.build()?)
    }

    pub(crate) async fn publish(&self, channel: &str, from: u64, count: u64) -> Result<Value> {
        let body = json!({ "channel": channel, "from": from, "count": count });
        self.post("/publish", body).await
    }
}

/// A name that no other test uses.
pub(crate) fn unique(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(
        "{prefix}-{}-{:08x}-{count}",
        std::process::id(),
        rand::random::<u32>()
    )
}

pub(crate) fn channel(namespace: &str) -> String {
    format!("{namespace}:{}", unique("c"))
}

/// Times for tests in which the client has to come back.
pub(crate) fn quick() -> Timing {
    Timing {
        backoff_base: Duration::from_millis(20),
        backoff_cap: Duration::from_millis(100),
        ..Timing::default()
    }
}

pub(crate) async fn subscribe(
    client: &Client,
    channel: &str,
    start: Start,
) -> Result<Subscription> {
    let subscribed = timeout(PATIENCE, client.subscribe(channel, start)).await;
    Ok(subscribed.with_context(|| format!("{channel} was never subscribed"))??)
}

/// The next event, but for the subscription's beginnings.
pub(crate) async fn next(subscription: &mut Subscription) -> Result<Event> {
    loop {
        let event = timeout(PATIENCE, subscription.next()).await;
        let event = event
            .context("nothing came")?
            .context("the subscription has ended")?;
        if !matches!(event, Event::Subscribed(_)) {
            return Ok(event);
        }
    }
}

/// Awaits messages that carry `{"n": n}`, in this order and with nothing between; the offset of the last.
pub(crate) async fn numbered(
    subscription: &mut Subscription,
    numbers: impl IntoIterator<Item = u64>,
) -> Result<u64> {
    let mut last = None;
    for wanted in numbers {
        let event = next(subscription).await?;
        let Event::Message(message) = event else {
            anyhow::bail!("{event:?} came, not message {wanted}");
        };
        let n = number(&message)?;
        ensure!(n == wanted, "{n} came, not {wanted}");
        last = message.offset;
    }
    last.context("the last message has no offset")
}

pub(crate) fn number(message: &switchboard_client::Message) -> Result<u64> {
    let data: Value = message.decode()?;
    data["n"]
        .as_u64()
        .with_context(|| format!("{data} has no number"))
}
