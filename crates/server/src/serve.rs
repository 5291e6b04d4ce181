//! The story of the hub's process: configuration, descriptors, sockets, the node, the three sides that serve it, and
//! its end.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use prometheus_client::registry::Registry;
use switchboard_api::{Api, ApiBounds, ApiConfig, ApiTls};
use switchboard_auth::{ApiKeys, Issuer, KeySet, Verifier, VerifierConfig, system_clock};
use switchboard_core::TokenVerifier;
use switchboard_node::{Node, NodeConfig};
use switchboard_transport::{Clients, TransportConfig};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::config::Settings;
use crate::config::file::IoUring;
use crate::descriptors;
use crate::development::Development;
use crate::engine::RunningEngine;
use crate::listeners::{Addresses, Listeners};
use crate::shutdown::{self, Ended};
use crate::signals::Signals;
use crate::state_file::{Hub, StateFile};
use crate::telemetry::{self, ProcessMetrics};

/// How long the last answers may take to leave once every session has gone and services' calls have ended.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Shards are named by a bit each in a word.
const SHARDS_MAX: usize = 64;

/// What the process is started with.
pub(crate) struct Start {
    /// A configuration that has been checked.
    pub(crate) settings: Settings,
    /// In development mode, what it made up.
    pub(crate) development: Option<Development>,
    /// A file to write once everything listens.
    pub(crate) ready_file: Option<PathBuf>,
}

/// Runs the hub until it is asked to stop.
///
/// # Errors
/// It could not start, or one of its sides failed.
pub(crate) fn run(start: Start) -> Result<ExitCode> {
    let mut start = start;
    telemetry::install_logs(&start.settings.file.log)?;
    for warning in start.settings.warnings() {
        tracing::warn!("{warning}");
    }
    bound_sessions(&mut start.settings);
    let listeners = Listeners::bind(&start.settings.file)?;
    let threads = match start.settings.file.node.http_threads {
        0 => processors(),
        threads => threads,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("switchboard-http")
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let ended = runtime.block_on(serve(start, listeners));
    // Whatever still runs has been told to stop, or a second signal said not to wait.
    runtime.shutdown_background();
    ended
}

async fn serve(start: Start, listeners: Listeners) -> Result<ExitCode> {
    let Start {
        settings,
        development,
        ready_file,
    } = start;
    let mut signals = Signals::listen().context("could not listen to signals")?;
    let addresses = listeners.addresses()?;
    let drain = settings.file.drain.clone();
    let end_max = settings.limits.api_shutdown_grace + LAST_ANSWERS;
    let hub = Built::build(settings, development.is_some(), addresses)?;
    let node = hub.node.clone();

    let stop = hub.stop.clone();
    let (clients, mut running) = hub.spawn(listeners)?;
    let description = Hub::of(&node, addresses, development.as_ref());
    // Held to the end: dropping it removes the file.
    let _state = development
        .as_ref()
        .and_then(|_| StateFile::announce(&description));
    if let Some(path) = &ready_file {
        description
            .write(path)
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    tracing::info!(
        node.id = %node.id(),
        version = env!("CARGO_PKG_VERSION"),
        clients = %addresses.clients,
        api = %addresses.api,
        admin = %addresses.admin,
        sessions_max = node.limits().sessions_max,
        "serving"
    );
    if let Some(development) = &development {
        development.introduce(addresses)?;
    }

    let asked = tokio::select! {
        asked = signals.next() => asked,
        failed = running.failed() => return Err(failed),
    };
    tracing::info!(signal = asked.as_str(), "asked to stop");
    let ended = shutdown::drain(&node, &drain, &mut signals).await;
    if let Ended::AtOnce(asked) = ended {
        return Ok(ExitCode::from(asked.exit_code()));
    }
    stop.sides.cancel();
    if ended == Ended::Deadline {
        clients.abort();
    }
    let finish = async {
        // Calls under way need the node; sessions that cannot be handed to it end with it. So it goes between the two.
        running.finish_api().await;
        node.shutdown().await;
        running.finish_clients().await;
        stop.admin.cancel();
    };
    tokio::select! {
        finished = tokio::time::timeout(end_max, finish) => {
            if finished.is_err() {
                tracing::warn!("not everything ended in time");
            }
        }
        asked = signals.next() => return Ok(ExitCode::from(asked.exit_code())),
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// What ends the sides.
#[derive(Clone, Default)]
struct Stop {
    /// Clients and services: after the drain.
    sides: CancellationToken,
    /// Operators: last of all.
    admin: CancellationToken,
}

/// A node and its three sides, before they serve.
struct Built {
    node: Node,
    clients: Clients,
    api: Api,
    admin: Admin,
    stop: Stop,
    clients_tls: Option<Arc<rustls::ServerConfig>>,
    api_tls: Option<ApiTls>,
}

impl Built {
    fn build(settings: Settings, in_development: bool, addresses: Addresses) -> Result<Self> {
        let verifier = verifier(&settings)?;
        let (node, engine) = node(&settings, Arc::new(verifier.clone()))?;
        let stop = Stop::default();

        let mut routes = crate::script::router();
        if in_development {
            let issuer = issuer(&settings)?.context("development mode has a key that signs")?;
            routes = routes.merge(crate::page::router(issuer, addresses));
        }
        let clients = Clients::new(
            node.clone(),
            Arc::new(verifier.clone()),
            transport(&settings),
            stop.sides.clone(),
        )
        .with_routes(routes);
        let api = Api::new(
            node.clone(),
            ApiConfig {
                keys: ApiKeys::new(settings.api_keys.clone())?,
                issuer: issuer(&settings)?,
                bounds: ApiBounds::new(&settings.limits),
            },
        );
        let started_s = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        let process = ProcessMetrics {
            node: node.clone(),
            engine,
            verifier,
            started_s,
        };
        let mut registry: Registry = telemetry::registry(&node, process);
        clients.metrics().register(&mut registry);
        let admin = Admin::new(node.clone(), registry);
        let api_tls = settings.api_tls.map(|files| ApiTls {
            certificate: files.cert.into_bytes(),
            key: files.key.into_bytes(),
            client_authority: files.client_ca.map(String::into_bytes),
        });
        Ok(Self {
            node,
            clients,
            api,
            admin,
            stop,
            clients_tls: settings.clients_tls,
            api_tls,
        })
    }

    /// Starts all three sides.
    fn spawn(self, listeners: Listeners) -> Result<(Clients, Running)> {
        let Self {
            node: _,
            clients,
            api,
            admin,
            stop,
            clients_tls,
            api_tls,
        } = self;
        let clients_listener = tokio::net::TcpListener::from_std(listeners.clients)?;
        let api_listener = tokio::net::TcpListener::from_std(listeners.api)?;
        let serving = clients.clone();
        let clients_task =
            tokio::spawn(async move { serving.serve(clients_listener, clients_tls).await });
        let sides = stop.sides.clone();
        let api_task = tokio::spawn(async move {
            api.serve(api_listener, api_tls, sides)
                .await
                .map_err(Into::into)
        });
        let admin_task = tokio::spawn(async move {
            admin
                .serve(listeners.admin, stop.admin)
                .await
                .map_err(Into::into)
        });
        Ok((
            clients,
            Running {
                clients: clients_task,
                api: api_task,
                admin: admin_task,
            },
        ))
    }
}

/// The three sides, serving.
struct Running {
    clients: JoinHandle<()>,
    api: JoinHandle<Result<()>>,
    admin: JoinHandle<Result<()>>,
}

impl Running {
    /// Waits for a side to end before it was asked to, which is a failure.
    async fn failed(&mut self) -> anyhow::Error {
        let (side, ended) = tokio::select! {
            ended = &mut self.clients => ("clients", ended.map(Ok)),
            ended = &mut self.api => ("api", ended),
            ended = &mut self.admin => ("admin", ended),
        };
        match ended {
            Ok(Ok(())) => anyhow!("the {side} listener ended by itself"),
            Ok(Err(error)) => error.context(format!("the {side} listener failed")),
            Err(panic) => anyhow!(panic).context(format!("the {side} listener failed")),
        }
    }

    /// Waits for services to be done with, which the control API's grace bounds.
    async fn finish_api(&mut self) {
        match (&mut self.api).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(error = format!("{error:#}"), "the api listener failed");
            }
            Err(error) => tracing::error!(%error, "the api listener failed"),
        }
    }

    /// Waits for clients to be done with.
    async fn finish_clients(&mut self) {
        if let Err(error) = (&mut self.clients).await {
            tracing::error!(%error, "the clients listener failed");
        }
    }
}

fn node(settings: &Settings, verifier: Arc<dyn TokenVerifier>) -> Result<(Node, RunningEngine)> {
    let shards = match settings.file.node.shards {
        0 => u16::try_from(processors().min(SHARDS_MAX)).expect("64 at most"),
        shards => shards,
    };
    let config = NodeConfig {
        limits: settings.limits.clone(),
        policies: settings.policies.clone(),
        shards,
        io_uring: settings.file.node.io_uring == IoUring::Auto,
        version: env!("CARGO_PKG_VERSION"),
    };
    let mut made = None;
    let node = Node::start(config, verifier, |id, sink| {
        made.insert(RunningEngine::start(&settings.engine, id, sink))
            .engine()
    })
    .context("could not start the node")?;
    Ok((node, made.context("a started node has made its engine")?))
}

fn verifier(settings: &Settings) -> Result<Verifier> {
    let tokens = &settings.file.tokens;
    let config = VerifierConfig {
        audiences: tokens.audience.clone(),
        issuers: tokens.issuer.clone(),
        require_exp: tokens.require_exp,
        leeway: tokens.leeway,
        token_bytes_max: settings.limits.token_bytes_max,
        info_bytes_max: settings.limits.info_bytes_max,
        cache_len_max: tokens.cache_len_max,
        ..VerifierConfig::new(KeySet::new(settings.token_keys.clone())?)
    };
    Ok(Verifier::new(config, system_clock()).with_runtime(tokio::runtime::Handle::current()))
}

/// Signs tokens; nothing when no key can.
fn issuer(settings: &Settings) -> Result<Option<Issuer>> {
    let keys = KeySet::new(settings.token_keys.clone())?;
    Ok(Issuer::new(keys, settings.issuer.clone(), system_clock()))
}

fn transport(settings: &Settings) -> TransportConfig {
    let clients = &settings.file.clients;
    TransportConfig {
        allowed_origins: settings.allowed_origins.clone(),
        anonymous: settings.anonymous.clone().map(Arc::new),
        cookie_name: clients.cookie_name.clone(),
        trusted_proxies: settings.trusted_proxies.clone(),
        compression: clients.compression,
        body_bytes_max: clients.body_bytes_max,
        connections_max: match clients.connections_max {
            0 => settings.limits.sessions_max,
            max => max,
        },
        descriptors_max: descriptors::for_clients(descriptors::limit()),
    }
}

/// Raises the descriptor limit, and works out how many sessions it has room for.
fn bound_sessions(settings: &mut Settings) {
    let limit = match descriptors::raise_limit() {
        Ok(limit) => limit,
        Err((limit, error)) => {
            tracing::warn!(%error, limit, "could not raise the limit on file descriptors");
            limit
        }
    };
    let fits = descriptors::sessions_max(limit);
    if settings.limits.sessions_max == 0 {
        settings.limits.sessions_max = fits;
    } else if settings.limits.sessions_max > fits {
        let sessions_max = settings.limits.sessions_max;
        tracing::warn!(
            sessions_max,
            limit,
            fits,
            "limits.sessions_max is more than the descriptor limit has room for"
        );
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
