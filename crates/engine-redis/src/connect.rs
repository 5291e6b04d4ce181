//! All of fred, the Redis client: connections out, [`Reply`] in. Nothing else of the crate knows it.
//!
//! The library is kept to what it does well: one connection, written to in a pipeline. Its own reconnecting, repeating,
//! routing in a Cluster and resubscribing are not used: a connection here is one connection to one server, ends with the
//! first fault, and whoever needs another makes a new one. So no write is ever sent twice, and a command that was
//! waiting when the connection ended has an error at once.
//!
//! Subscribing is by `SSUBSCRIBE`, one channel a command, on every kind of Redis: it is the one form of subscribing whose answer
//! the library gives to whoever asked. A refused `SUBSCRIBE` gives its error to the next command, and so does a refused
//! `SUNSUBSCRIBE`, which has no other form: hence a connection that subscribes takes no other command, and is given up
//! after any error.

mod advice;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::error::ErrorKind;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::config::{
    Config, ConnectionConfig, PerformanceConfig, Server, ServerConfig, TcpConfig, TlsConnector,
};
use fred::types::{Builder, ClusterHash, CustomCommand, Message, Resp3Frame, RespVersion, Value};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::config::{Address, ConfigError, Password, RedisConfig, TlsConfig, Topology};
use crate::reply::{CallError, Reply};

/// Messages that the library may hold before they are taken out of it. They are taken at once; this covers a moment in
/// which the thread does something else. Its own default of 32 does not.
const LIBRARY_BUFFER_LEN: usize = 16_384;

/// What the library says when it can ask no Sentinel.
const NO_SENTINEL: &str = "Failed to connect to all sentinel nodes.";

/// Why there is a first server.
const NAMED: &str = "a configuration names a server";

/// Makes connections.
pub(crate) struct Connector {
    config: Arc<RedisConfig>,
    tls: Option<fred::types::config::TlsConfig>,
}

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// The one primary that the configuration leads to: the server, or whichever the Sentinels name now.
    Primary,
    /// This server.
    Server(Address),
}

/// A connection for commands. Ends with its first fault and when dropped.
pub(crate) struct Connection {
    client: Client,
    closed: CancellationToken,
    timeout: Duration,
}

/// A connection that subscribes.
pub(crate) struct Subscriber {
    connection: Connection,
}

/// Everything that comes by a subscriber.
pub(crate) struct Messages(broadcast::Receiver<Message>);

/// What comes by a subscription.
pub(crate) enum Incoming {
    /// A message.
    Message(Box<str>, Bytes),
    /// Messages were dropped before they could be taken.
    Overrun,
}

impl Connector {
    pub(crate) fn new(config: Arc<RedisConfig>) -> Result<Self, ConfigError> {
        let tls = config.tls.as_ref().map(tls_connector).transpose()?;
        let tls = tls.map(Into::into);
        Ok(Self { config, tls })
    }

    /// Connects for commands.
    pub(crate) async fn commands(&self, target: &Target) -> Result<Connection, CallError> {
        let connected = self.connect(self.client(target)?).await;
        match (connected, &self.config.topology) {
            (
                Err(CallError::NotSent(error)),
                Topology::Sentinel {
                    sentinels,
                    user,
                    password,
                    ..
                },
            ) if *error == *NO_SENTINEL => {
                // The library keeps to itself why.
                let first = centralized(sentinels.first().expect(NAMED));
                let asked = self.client_of(first, user.as_ref(), password.as_ref(), None)?;
                let why = self
                    .connect(asked)
                    .await
                    .err()
                    .unwrap_or(CallError::NotSent(error));
                let why = (why.to_string())
                    .replace("`user`", "`sentinel_user`")
                    .replace("`password`", "`sentinel_password`");
                let text = format!("no Sentinel lets the hub in: {why}");
                Err(CallError::NotSent(text.into()))
            }
            (connected, _) => connected,
        }
    }

    /// Connects to subscribe.
    pub(crate) async fn subscriber(
        &self,
        target: &Target,
    ) -> Result<(Subscriber, Messages), CallError> {
        let client = self.client(target)?;
        let messages = Messages(client.message_rx());
        let connection = self.connect(client).await?;
        Ok((Subscriber { connection }, messages))
    }

    fn client(&self, target: &Target) -> Result<Client, CallError> {
        let config = &self.config;
        let servers = match (target, &config.topology) {
            (Target::Server(address), _) | (Target::Primary, Topology::Standalone(address)) => {
                centralized(address)
            }
            (
                Target::Primary,
                Topology::Sentinel {
                    sentinels,
                    service,
                    user,
                    password,
                },
            ) => ServerConfig::Sentinel {
                hosts: sentinels.iter().map(server).collect(),
                service_name: service.clone(),
                username: user.clone(),
                password: text(password.as_ref()),
            },
            (Target::Primary, Topology::Cluster(seeds)) => centralized(seeds.first().expect(NAMED)),
        };
        let (user, password) = (config.user.as_ref(), config.password.as_ref());
        self.client_of(servers, user, password, config.database)
    }

    fn client_of(
        &self,
        servers: ServerConfig,
        user: Option<&String>,
        password: Option<&Password>,
        database: Option<u8>,
    ) -> Result<Client, CallError> {
        let config = &self.config;
        let mut builder = Builder::from_config(Config {
            server: servers,
            username: user.cloned(),
            password: text(password),
            version: RespVersion::RESP3,
            database,
            tls: self.tls.clone(),
            fail_fast: true,
            ..Config::default()
        });
        builder.set_performance_config(PerformanceConfig {
            default_command_timeout: config.operation_timeout,
            broadcast_channel_capacity: LIBRARY_BUFFER_LEN,
            ..PerformanceConfig::default()
        });
        builder.with_connection_config(|connection: &mut ConnectionConfig| {
            connection.connection_timeout = config.connect_timeout;
            connection.internal_command_timeout = config.connect_timeout;
            connection.max_command_attempts = 1;
            connection.max_redirections = 1;
            connection.max_command_buffer_len = config.commands_queued_max;
            connection.tcp = TcpConfig {
                nodelay: Some(true),
                ..TcpConfig::default()
            };
        });
        // Without a policy the library does not reconnect.
        builder.build().map_err(|error| not_sent(&error))
    }

    async fn connect(&self, client: Client) -> Result<Connection, CallError> {
        let running = client.connect();
        let closed = CancellationToken::new();
        let connection = Connection {
            client: client.clone(),
            closed: closed.clone(),
            timeout: self.config.operation_timeout,
        };
        let abort = running.abort_handle();
        tokio::spawn(async move {
            // Dropping the connection cancels the token, which ends the library's task.
            let _ = closed.run_until_cancelled(running).await;
            abort.abort();
            closed.cancel();
        });
        let connected =
            tokio::time::timeout(self.config.connect_timeout, client.wait_for_connect());
        match connected.await {
            Ok(Ok(())) => Ok(connection),
            Ok(Err(error)) => Err(CallError::NotSent(advice::advise(error.details()).into())),
            Err(_) => Err(CallError::NotSent("no connection within the time".into())),
        }
    }
}

impl Connection {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Waits until the connection has ended.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Ends the connection, and with an error every command that waits for its answer.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Cancel safety
    /// The command may be carried out all the same.
    pub(crate) async fn call(
        &self,
        command: &'static str,
        arguments: Vec<Bytes>,
    ) -> Result<Reply, CallError> {
        if self.is_closed() {
            return Err(CallError::NotSent("the connection is closed".into()));
        }
        // The slot does not matter: the library does not route.
        let command = CustomCommand::new_static(command, ClusterHash::Custom(0), false);
        let arguments = arguments.into_iter().map(Value::Bytes).collect();
        let sent = self.client.custom_raw::<Value>(command, arguments);
        let answer = tokio::select! {
            answer = tokio::time::timeout(self.timeout, sent) => answer,
            () = self.closed.cancelled() => return Err(CallError::Lost("the connection ended".into())),
        };
        match answer {
            Ok(Ok(frame)) => reply(frame),
            Ok(Err(error)) if *error.kind() == ErrorKind::Backpressure => Err(not_sent(&error)),
            Ok(Err(error)) => Err(CallError::Lost(error.details().into())),
            Err(_) => Err(CallError::Lost("no answer within the time".into())),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

impl Subscriber {
    /// Waits until the connection has ended.
    pub(crate) async fn closed(&self) {
        self.connection.closed().await;
    }

    /// Subscribes, and returns once the server has said so. After an error the connection must be given up.
    pub(crate) async fn subscribe(&self, channel: Bytes) -> Result<(), CallError> {
        let answer = self.connection.call("SSUBSCRIBE", vec![channel.clone()]);
        let answer = answer.await?.array()?;
        match answer.as_slice() {
            [Reply::Bytes(kind), Reply::Bytes(of), _] if kind == "ssubscribe" && *of == channel => {
                Ok(())
            }
            // The answer to another command: what the library mixes up cannot be sorted out again.
            _ => Err(CallError::Garbled),
        }
    }

    /// Unsubscribes, and returns once the command is written.
    pub(crate) async fn unsubscribe(&self, channel: &str) -> Result<(), CallError> {
        let written = self.connection.client.sunsubscribe(channel);
        match tokio::time::timeout(self.connection.timeout, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(CallError::Lost(error.details().into())),
            Err(_) => Err(CallError::Lost("no answer within the time".into())),
        }
    }
}

impl Messages {
    /// Waits for the next message; nothing once the connection is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Incoming> {
        match self.0.recv().await {
            Ok(message) => {
                let payload = match message.value {
                    Value::Bytes(bytes) => bytes,
                    Value::String(text) => text.into_inner(),
                    // No publisher of ours sends any other.
                    _ => Bytes::new(),
                };
                Some(Incoming::Message((&*message.channel).into(), payload))
            }
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Incoming::Overrun),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// The hash slot of a key in a Cluster.
pub(crate) fn slot(key: &str) -> u16 {
    fred::util::redis_keyslot(key.as_bytes())
}

fn server(address: &Address) -> Server {
    Server::new(address.host.as_str(), address.port)
}

fn centralized(address: &Address) -> ServerConfig {
    let server = server(address);
    ServerConfig::Centralized { server }
}

fn text(password: Option<&Password>) -> Option<String> {
    password.map(|password| password.0.clone())
}

fn not_sent(error: &fred::error::Error) -> CallError {
    CallError::NotSent(error.details().into())
}

fn reply(frame: Resp3Frame) -> Result<Reply, CallError> {
    let refused = |text: &[u8]| Err(CallError::Refused(String::from_utf8_lossy(text).into()));
    Ok(match frame {
        Resp3Frame::Null => Reply::Nil,
        Resp3Frame::Number { data, .. } => Reply::Integer(data),
        Resp3Frame::Boolean { data, .. } => Reply::Integer(i64::from(data)),
        Resp3Frame::SimpleString { data, .. }
        | Resp3Frame::BlobString { data, .. }
        | Resp3Frame::BigNumber { data, .. }
        | Resp3Frame::VerbatimString { data, .. } => Reply::Bytes(data),
        Resp3Frame::SimpleError { data, .. } => return refused(data.as_bytes()),
        Resp3Frame::BlobError { data, .. } => return refused(&data),
        Resp3Frame::Array { data, .. } | Resp3Frame::Push { data, .. } => {
            Reply::Array(data.into_iter().map(reply).collect::<Result<_, _>>()?)
        }
        Resp3Frame::Set { data, .. } => {
            Reply::Array(data.into_iter().map(reply).collect::<Result<_, _>>()?)
        }
        Resp3Frame::Map { data, .. } => {
            let parts = data.into_iter().flat_map(|(key, value)| [key, value]);
            Reply::Array(parts.map(reply).collect::<Result<_, _>>()?)
        }
        // What no command of ours is answered with.
        _ => return Err(CallError::Garbled),
    })
}

/// Checks that TLS can be spoken with these certificates.
pub(crate) fn check_tls(tls: &TlsConfig) -> Result<(), ConfigError> {
    tls_connector(tls).map(drop)
}

fn tls_connector(tls: &TlsConfig) -> Result<TlsConnector, ConfigError> {
    let refused = |error: &dyn std::fmt::Display| ConfigError::Tls(error.to_string());
    let mut authorities = rustls::RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(&tls.authorities_pem) {
        let authority = authority.map_err(|error| refused(&error))?;
        authorities
            .add(authority)
            .map_err(|error| refused(&error))?;
    }
    if authorities.is_empty() {
        return Err(refused(&"no certificate of an authority"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&error))?
        .with_root_certificates(authorities);
    let client = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_slice_iter(&identity.chain_pem)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| refused(&error))?;
            let key = PrivateKeyDer::from_pem_slice(&identity.key_pem)
                .map_err(|error| refused(&error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| refused(&error))?
        }
    };
    Ok(TlsConnector::from(client))
}
