//! `deploy/compose`: the file is one by Compose's schema, and its parts work together. Containers are not needed for that: the hubs' and
//! nginx's configuration, the environment and the command of Redis are those of the folder, with addresses and places rewritten.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use switchboard_tests::door::Door;
use switchboard_tests::script::Script;
use switchboard_tests::services::Services;
use switchboard_tests::tokens::Claims;
use switchboard_tests::waiting::{SOON, until};
use switchboard_tests::{Client, Hub, Opening, Transport, redis, tools};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// A port that was free may be taken before it is listened on.
const ATTEMPTS: u32 = 5;

const API_KEY: &str = "0123456789abcdef0123456789abcdef-api-key";
const TOKEN_SECRET: &str = "0123456789abcdef0123456789abcdef-tokens";
const REDIS_PASSWORD: &str = "0123456789abcdef0123456789abcdef-redis";

fn shipped(name: &str) -> Result<String> {
    let path = tools::file("../deploy/compose").join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// A text with each of these parts replaced, all of which it has.
fn rewritten(text: &str, parts: &[(&str, &str)]) -> Result<String> {
    let mut text = text.to_owned();
    for (from, to) in parts {
        ensure!(text.contains(from), "there is no `{from}` any more: {text}");
        text = text.replace(from, to);
    }
    Ok(text)
}

/// The compose file as Compose reads it.
async fn compose_file(directory: &Path) -> Result<Value> {
    let mut command = Command::new(tools::node()?);
    command
        .arg(tools::file("node/compose.mjs"))
        .arg(tools::file("../deploy/compose/compose.yaml"))
        .env("SWITCHBOARD_NODE_MODULES", tools::node_modules()?);
    let mut script = Script::start(&mut command, directory)?;
    let line = script.line(SOON).await?.context("it says nothing")?;
    Ok(serde_json::from_str(&line)?)
}

/// What Compose puts for `${NAME:-default}` and `${NAME:?complaint}`, given a `.env` made of the example.
fn with_variables(text: &str, env_file: &str) -> Result<String> {
    let mut rest = text;
    let mut whole = String::new();
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, after) = after.split_once('}').context("`${` without its end")?;
        let (name, fallback) = inside
            .split_once(':')
            .context("a variable with a fallback")?;
        let set = env_file
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let value = match (set, fallback.strip_prefix('-')) {
            (Some(value), _) => value,
            (None, Some(default)) => default,
            (None, None) => bail!("env.example does not set {name}"),
        };
        whole.push_str(before);
        whole.push_str(value);
        rest = after;
    }
    Ok(whole + rest)
}

/// Redis by its own command, from the compose file.
async fn start_redis(compose: &Value, directory: &Path) -> Result<(Child, u16)> {
    let command = &compose["services"]["redis"]["command"];
    let script = command[2].as_str().context("sh, -c and a script")?;
    ensure!(command[0] == "sh" && command[1] == "-c", "{command}");
    let place = directory.display().to_string();
    for _ in 0..ATTEMPTS {
        let port = redis::free_port()?;
        let here = rewritten(
            script,
            &[
                ("$$", "$"),
                ("--bind 0.0.0.0", "--bind 127.0.0.1"),
                ("--port 6379", &format!("--port {port}")),
                ("/data", &place),
                ("/run/secrets", &place),
            ],
        )?;
        let mut child = Command::new("sh")
            .args(["-c", &here])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let answers = until("an answer of redis-server", SOON, || {
            let ended = child.try_wait();
            async move {
                if ended?.is_some() {
                    return Ok(Some(false));
                }
                let answer = redis::ask(port, "PING").await.unwrap_or_default();
                Ok(answer.starts_with("-NOAUTH").then_some(true))
            }
        });
        if answers.await? {
            return Ok((child, port));
        }
    }
    bail!("redis-server found its port taken {ATTEMPTS} times")
}

fn free_addresses() -> Result<(SocketAddr, SocketAddr)> {
    let (first, second) = (
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    );
    Ok((first.local_addr()?, second.local_addr()?))
}

/// The folder's nginx in front of these nodes: where it listens for clients and for services.
async fn start_nginx(nodes: &[Hub], directory: &Path) -> Result<(Child, SocketAddr, SocketAddr)> {
    let here = directory.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {here}/{kind};\n"))
        .concat();
    for _ in 0..ATTEMPTS {
        let (clients, api) = free_addresses()?;
        let config = rewritten(
            &shipped("nginx.conf")?,
            &[
                ("server node1:8000", &format!("server {}", nodes[0].clients)),
                ("server node2:8000", &format!("server {}", nodes[1].clients)),
                ("server node1:9000", &format!("server {}", nodes[0].api)),
                ("server node2:9000", &format!("server {}", nodes[1].api)),
                ("listen 8080;", &format!("listen {clients};")),
                ("listen 8090 http2;", &format!("listen {api} http2;")),
                ("/dev/stderr", &format!("{here}/error.log")),
                ("/dev/stdout", &format!("{here}/access.log")),
                ("/tmp/nginx.pid", &format!("{here}/nginx.pid")),
                ("http {\n", &format!("http {{\n{temporary}")),
            ],
        )?;
        let path = directory.join("nginx.conf");
        std::fs::write(&path, config)?;
        let output = std::fs::File::create(directory.join("output"))?;
        let mut child = Command::new(tools::program("SWITCHBOARD_NGINX", &["nginx"])?)
            .arg("-c")
            .arg(&path)
            .arg("-p")
            .arg(directory)
            // One process, which ends with the test.
            .args(["-g", "daemon off; master_process off;"])
            .stdin(Stdio::null())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()?;
        let listens = until("nginx to listen", SOON, || {
            let ended = child.try_wait();
            async move {
                if ended?.is_some() {
                    return Ok(Some(false));
                }
                let clients = TcpStream::connect(clients).await;
                let api = TcpStream::connect(api).await;
                Ok((clients.is_ok() && api.is_ok()).then_some(true))
            }
        });
        if listens.await? {
            return Ok((child, clients, api));
        }
        let said = std::fs::read_to_string(directory.join("output"))?;
        ensure!(said.contains("Address already in use"), "nginx: {said}");
    }
    bail!("nginx found its ports taken {ATTEMPTS} times")
}

/// Everything of the folder that runs.
struct Site {
    nodes: Vec<Hub>,
    /// What leads to them: nginx.
    door: Door,
    issuer: String,
    directory: TempDir,
    _redis: Child,
    _nginx: Child,
}

impl Site {
    async fn start() -> Result<Self> {
        let directory = TempDir::with_prefix("switchboard-compose-")?;
        let place = directory.path().display().to_string();
        for (name, secret) in [
            ("api_key", API_KEY),
            ("token_secret", TOKEN_SECRET),
            ("redis_password", REDIS_PASSWORD),
        ] {
            // As `openssl rand` writes them, with a line's end.
            std::fs::write(directory.path().join(name), format!("{secret}\n"))?;
        }
        let compose = compose_file(directory.path()).await?;
        let (redis, redis_port) = start_redis(&compose, directory.path()).await?;
        let config = rewritten(
            &shipped("switchboard.toml")?,
            &[
                ("0.0.0.0:8000", "127.0.0.1:0"),
                ("0.0.0.0:9000", "127.0.0.1:0"),
                ("0.0.0.0:9100", "127.0.0.1:0"),
                ("172.30.57.0/24", "127.0.0.0/8"),
                ("redis:6379", &format!("127.0.0.1:{redis_port}")),
                ("/run/secrets", &place),
            ],
        )?;
        let env_file = shipped("env.example")?;
        let mut nodes = Vec::new();
        for name in ["node1", "node2"] {
            let environment = &compose["services"][name]["environment"];
            let environment = environment.as_object().context("the environment")?;
            let mut variables = Vec::new();
            for (variable, value) in environment {
                let value = with_variables(value.as_str().context("a text")?, &env_file)?;
                variables.push((variable.clone(), value));
            }
            let keys = ("first", TOKEN_SECRET);
            nodes.push(Hub::start_shipped(&config, &variables, API_KEY, keys).await?);
        }
        let issuer = with_variables("${SWITCHBOARD_TOKEN_ISSUER:?}", &env_file)?;
        let (nginx, clients, api) = start_nginx(&nodes, directory.path()).await?;
        let door = Door {
            clients,
            api,
            ..Door::from(&nodes[0])
        };
        Ok(Self {
            nodes,
            door,
            issuer,
            directory,
            _redis: redis,
            _nginx: nginx,
        })
    }

    async fn subscriber(&self, transport: Transport) -> Result<Client> {
        let claims = Claims::of("alice").with("iss", self.issuer.as_str());
        let token = self.nodes[0]
            .minter
            .mint(&claims.with("aud", "switchboard"));
        let opening = Opening::new(token).channel("chat:1");
        let mut client = Client::open(&self.door, transport, opening).await?;
        client.await_subscribed().await?;
        Ok(client)
    }
}

#[tokio::test]
async fn the_compose_file_is_one_by_its_schema() -> Result<()> {
    let linter = tools::node_modules()?.join("dclint/bin/dclint.cjs");
    let check = async |file: &Path| -> Result<(bool, String)> {
        // Errors alone: the schema, and what Compose refuses; not the order of keys.
        let mut command = Command::new(tools::node()?);
        let output = command
            .arg(&linter)
            .arg("--quiet")
            .arg(file)
            .output()
            .await?;
        let said = [output.stdout, output.stderr].concat();
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        ))
    };
    let (valid, said) = check(&tools::file("../deploy/compose/compose.yaml")).await?;
    ensure!(valid, "{said}");
    // The check can say no.
    let directory = TempDir::new()?;
    let file = directory.path().join("compose.yaml");
    let misspelt = rewritten(&shipped("compose.yaml")?, &[("restart:", "restrat:")])?;
    std::fs::write(&file, misspelt)?;
    let (valid, said) = check(&file).await?;
    ensure!(!valid && said.contains("invalid-schema"), "{said}");
    Ok(())
}

#[tokio::test]
async fn files_that_compose_mounts_are_there() -> Result<()> {
    let directory = TempDir::new()?;
    let compose = compose_file(directory.path()).await?;
    let services = compose["services"].as_object().context("services")?;
    let mut mounted = 0;
    for service in services.values() {
        let volumes = service["volumes"].as_array().into_iter().flatten();
        for volume in volumes.filter_map(Value::as_str) {
            let (source, _) = volume.split_once(':').context("a mount")?;
            if source.starts_with("./") {
                shipped(source)?;
                mounted += 1;
            } else {
                ensure!(compose["volumes"].get(source).is_some(), "{volume}");
            }
        }
        for secret in service["secrets"].as_array().into_iter().flatten() {
            let secret = secret.as_str().context("a name")?;
            let file = &compose["secrets"][secret]["file"];
            ensure!(*file == format!("./secrets/{secret}"), "{secret}: {file}");
        }
    }
    ensure!(mounted == 3, "{mounted} files are mounted");
    let dockerfile = compose["services"]["node1"]["build"]["dockerfile"].as_str();
    ensure!(
        dockerfile == Some("deploy/compose/Dockerfile"),
        "{dockerfile:?}"
    );
    let dockerfile = shipped("Dockerfile")?;
    let stages = dockerfile.lines().filter(|line| line.starts_with("FROM "));
    ensure!(
        stages.count() == 2 && dockerfile.contains("\nUSER 10001"),
        "{dockerfile}"
    );
    Ok(())
}

#[tokio::test]
async fn subscribers_on_each_node_are_reached_through_nginx_on_every_transport() -> Result<()> {
    let site = Site::start().await?;
    let services = Services::connect(site.door.api, API_KEY).await?;
    let mut clients = Vec::new();
    for transport in Transport::ALL {
        let mut nodes = BTreeSet::new();
        while nodes.len() < site.nodes.len() {
            ensure!(clients.len() < 60, "nginx sends everybody to {nodes:?}");
            let client = site.subscriber(transport).await?;
            nodes.insert(client.open["node"].to_string());
            clients.push(client);
        }
    }
    services.publish_numbers("chat:1", 0..20).await?;
    for client in &mut clients {
        client.numbers("chat:1", 0..20).await?;
    }
    // One after the other: none waits in a buffer of nginx for the next.
    for n in 20..25 {
        services.publish_numbers("chat:1", n..n + 1).await?;
        for client in &mut clients {
            client.numbers("chat:1", n..n + 1).await?;
        }
    }
    let log = std::fs::read_to_string(site.directory.path().join("access.log"))?;
    let leaks = site.nodes[0].secrets.leaks(&log);
    ensure!(leaks.is_empty(), "nginx logs tokens: {leaks:?}");
    Ok(())
}

#[tokio::test]
async fn nginx_sends_nobody_to_a_node_that_is_gone() -> Result<()> {
    let mut site = Site::start().await?;
    site.nodes[1].signal("KILL")?;
    site.nodes[1].ended(SOON).await?;
    let services = Services::connect(site.door.api, API_KEY).await?;
    services.publish_numbers("chat:1", 0..5).await?;
    for turn in 0..12 {
        let client = site.subscriber(Transport::ALL[turn % 3]).await;
        client.with_context(|| format!("client {turn}"))?;
    }
    Ok(())
}
