//! Publishing: what is published while a call is on its way gathers, and goes together in the next. A call is one script, one
//! command, one round trip; a publication that finds nothing on its way goes at once, and none waits for a clock.
//!
//! Reading order: [`Publishing`]; `lane`, where publications gather, in their order; `call`, what many of them are to Redis.
//!
//! Each publication has its own answer and each publisher its own deadline. Who gives up, or is dropped, before its publication is
//! in a call, has it withdrawn: it is never sent, and the answer says so. Afterwards nothing that becomes of a publisher
//! changes anything for those that share the call.

mod call;
mod lane;

use std::sync::Arc;

use switchboard_engine::{EngineError, PublishRequest, Published, Sink};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Topology;
use crate::keys::Partition;
use crate::shards::Shards;

use call::Encoded;
use lane::{Bounds, Lane, Place};

/// Lanes on a server that has all partitions. Of a lane one call is on its way at a time, so that a channel's publications stay
/// in order whatever becomes of a call: one lane would gather most, many have fewer publications wait for others'.
const LANES: usize = 4;

/// What publishes. Dropped, it leaves the calls that are on their way to themselves.
pub(crate) struct Publishing {
    shards: Arc<Shards>,
    sink: Arc<dyn Sink>,
    /// A script in a Cluster touches one slot: there each partition is a lane.
    lanes: Box<[Arc<Lane>]>,
    bounds: Arc<Bounds>,
    /// Calls are made on the engine's own runtime: a publisher's may end before its publication is answered.
    runtime: Handle,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl Publishing {
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(
        shards: Arc<Shards>,
        sink: Arc<dyn Sink>,
        tasks: TaskTracker,
        cancel: CancellationToken,
    ) -> Arc<Self> {
        let lanes = match shards.config.topology {
            Topology::Cluster(_) => usize::from(shards.config.partitions),
            Topology::Standalone(_) | Topology::Sentinel { .. } => LANES,
        };
        let bounds = Bounds::new(
            shards.config.commands_queued_max,
            shards.config.publication_bytes_queued_max,
        );
        Arc::new(Self {
            shards,
            sink,
            lanes: (0..lanes).map(|_| Arc::default()).collect(),
            bounds,
            runtime: Handle::current(),
            tasks,
            cancel,
        })
    }

    /// Publishes, or says why not.
    pub(crate) async fn one(self: &Arc<Self>, request: PublishRequest) -> Answer {
        let deadline = self.deadline();
        self.enter(&request)?.answer(deadline).await
    }

    /// Publishes all, each channel's in their order.
    pub(crate) async fn all(self: &Arc<Self>, requests: Vec<PublishRequest>) -> Vec<Answer> {
        let deadline = self.deadline();
        let places: Vec<_> = requests.iter().map(|request| self.enter(request)).collect();
        let mut answers = Vec::with_capacity(places.len());
        for place in places {
            answers.push(match place {
                Ok(place) => place.answer(deadline).await,
                Err(error) => Err(error),
            });
        }
        answers
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.shards.config.operation_timeout
    }

    fn enter(self: &Arc<Self>, request: &PublishRequest) -> Result<Place, EngineError> {
        let (keys, config) = (&self.shards.keys, &self.shards.config);
        let partition = keys.partition(request.channel.as_str());
        let lane = &self.lanes[usize::from(partition.0) % self.lanes.len()];
        let encoded = Encoded::new(keys, config.idle_channel_ttl, request);
        let (place, is_idle) = lane.enter(&self.bounds, encoded)?;
        if is_idle {
            let driving = Arc::clone(self).drive(Arc::clone(lane), partition);
            self.tasks.spawn_on(driving, &self.runtime);
        }
        Ok(place)
    }

    /// Makes one call after the other until nothing waits in the lane. `partition` is one of the lane's.
    async fn drive(self: Arc<Self>, lane: Arc<Lane>, partition: Partition) {
        loop {
            let room = async {
                if !self.sink.has_room() {
                    self.sink.room().await;
                }
            };
            if self.cancel.run_until_cancelled(room).await.is_none() {
                return lane.give_up();
            }
            let Some(batch) = lane.take() else { return };
            call::call(&self.shards, partition, batch).await;
        }
    }
}

/// What becomes of a publication.
type Answer = Result<Published, EngineError>;
