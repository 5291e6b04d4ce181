//! The servers behind the engine: one, or the primaries of a Cluster, each with a command connection that is kept up.
//!
//! Reading order: [`Shard`] and how its connection is kept, [`Shards`] and how a command finds its shard, `topology` for who owns
//! what in a Cluster.

mod keeper;
mod topology;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{RedisConfig, Topology};
use crate::connect::{Connection, Connector, Target, slot};
use crate::follow::Ear;
use crate::keys::{Keys, Partition};
use crate::reply::{CallError, Reply};
use crate::scripts::Script;

pub(crate) use keeper::Backoff;
pub(crate) use topology::follow_topology;

/// How long to wait before a command is tried again that the Cluster had at another place.
const MOVED_PAUSE: Duration = Duration::from_millis(50);

/// One server that takes writes, or whichever does so now.
pub(crate) struct Shard {
    pub(crate) target: Target,
    /// A partition that lives here: the canary's.
    pub(crate) canary: Partition,
    /// The part that hears.
    pub(crate) ear: Ear,
    commands: watch::Sender<Option<Arc<Connection>>>,
    /// Why there is no connection, for whoever is refused.
    trouble: Mutex<Box<str>>,
    /// Rung when the command connection is to be made anew.
    replace: Notify,
    /// Ends the shard's tasks, when it is no shard any more.
    pub(crate) ended: CancellationToken,
}

/// Who has what, at one moment.
#[derive(Clone, Default)]
pub(crate) struct Map {
    pub(crate) shards: Vec<Arc<Shard>>,
    /// The index of each partition's shard; nothing for a slot that nobody serves.
    of_partition: Vec<Option<usize>>,
}

/// All shards.
pub(crate) struct Shards {
    pub(crate) config: Arc<RedisConfig>,
    pub(crate) keys: Keys,
    pub(crate) connector: Connector,
    map: watch::Sender<Arc<Map>>,
    /// Rung when a server said that something is elsewhere.
    refresh: Notify,
    /// Why no server of a Cluster answered when that was last so.
    trouble: Mutex<Box<str>>,
}

impl Shard {
    pub(crate) fn connection(&self) -> Option<Arc<Connection>> {
        let open = |connection: &Arc<Connection>| !connection.is_closed();
        self.commands.borrow().clone().filter(open)
    }

    /// Why there is no connection.
    pub(crate) fn trouble(&self) -> String {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        format!("not connected to redis: {trouble}")
    }

    fn set_trouble(&self, trouble: impl Into<Box<str>>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble.into();
    }

    /// Has the command connection made anew.
    pub(crate) fn replace(&self) {
        self.replace.notify_one();
    }
}

impl Map {
    pub(crate) fn shard(&self, partition: Partition) -> Option<&Arc<Shard>> {
        let index = *self.of_partition.get(usize::from(partition.0))?;
        self.shards.get(index?)
    }

    /// Whether every partition has a shard.
    pub(crate) fn is_whole(&self) -> bool {
        !self.of_partition.is_empty() && self.of_partition.iter().all(Option::is_some)
    }
}

impl Shards {
    pub(crate) fn new(config: Arc<RedisConfig>, connector: Connector) -> Arc<Self> {
        let keys = Keys::new(&config.prefix, config.partitions);
        let map = match config.topology {
            // Known only once a server has been asked.
            Topology::Cluster(_) => Map::default(),
            Topology::Standalone(_) | Topology::Sentinel { .. } => Map {
                shards: vec![shard(Target::Primary, Partition(0))],
                of_partition: vec![Some(0); usize::from(config.partitions)],
            },
        };
        Arc::new(Self {
            config,
            keys,
            connector,
            map: watch::Sender::new(Arc::new(map)),
            refresh: Notify::new(),
            trouble: Mutex::default(),
        })
    }

    /// Why not every partition has a shard.
    pub(crate) fn trouble(&self) -> String {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match &**trouble {
            "" => "not every slot of the redis cluster is served".into(),
            trouble => format!("no server of the redis cluster answers: {trouble}"),
        }
    }

    fn set_trouble(&self, trouble: impl Into<Box<str>>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble.into();
    }

    pub(crate) fn map(&self) -> Arc<Map> {
        Arc::clone(&self.map.borrow())
    }

    pub(crate) fn request_refresh(&self) {
        self.refresh.notify_one();
    }

    /// Runs a script where its keys live.
    ///
    /// # Cancel safety
    /// The script may run all the same.
    pub(crate) async fn run(
        &self,
        partition: Partition,
        script: &Script,
        keys: &[Bytes],
        arguments: &[Bytes],
    ) -> Result<Reply, CallError> {
        let deadline = Instant::now() + self.config.operation_timeout;
        loop {
            let map = self.map();
            let Some(shard) = map.shard(partition) else {
                return Err(CallError::NotSent(self.trouble().into()));
            };
            let answer = run_on(shard, script, keys, arguments).await;
            let Err(error) = &answer else { return answer };
            match error.code() {
                "MOVED" | "ASK" | "TRYAGAIN" => {
                    self.request_refresh();
                    let again = Instant::now() + MOVED_PAUSE;
                    if again >= deadline {
                        return answer;
                    }
                    tokio::time::sleep_until(again).await;
                }
                // A primary no more: whoever is one now must be found.
                "READONLY" => {
                    shard.replace();
                    self.request_refresh();
                    return answer;
                }
                _ => return answer,
            }
        }
    }

    fn slot_of(&self, partition: Partition) -> u16 {
        let key = self.keys.begin(partition);
        slot(std::str::from_utf8(&key).expect("keys are made of text"))
    }

    /// Starts the tasks of a shard.
    pub(crate) fn start(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) {
        let keeping = keeper::keep(Arc::clone(self), Arc::clone(shard));
        let ended = shard.ended.clone();
        let cancel = cancel.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = ended.cancelled() => {}
                () = keeping => {}
            }
        });
    }
}

fn shard(target: Target, canary: Partition) -> Arc<Shard> {
    Arc::new(Shard {
        target,
        canary,
        ear: Ear::default(),
        commands: watch::Sender::new(None),
        trouble: Mutex::new("the connection is being made".into()),
        replace: Notify::new(),
        ended: CancellationToken::new(),
    })
}

/// Runs a script on a shard, by its digest if that will do.
pub(crate) async fn run_on(
    shard: &Shard,
    script: &Script,
    keys: &[Bytes],
    arguments: &[Bytes],
) -> Result<Reply, CallError> {
    let Some(connection) = shard.connection() else {
        return Err(CallError::NotSent(shard.trouble().into()));
    };
    let with = |name: &Bytes| {
        let mut all = Vec::with_capacity(2 + keys.len() + arguments.len());
        all.push(name.clone());
        all.push(Bytes::from(keys.len().to_string()));
        all.extend_from_slice(keys);
        all.extend_from_slice(arguments);
        all
    };
    match connection.call("EVALSHA", with(&script.digest)).await {
        // It has not run: sending it whole does not repeat anything.
        Err(error) if error.code() == "NOSCRIPT" => {
            connection.call("EVAL", with(&script.source)).await
        }
        answer => answer,
    }
}
