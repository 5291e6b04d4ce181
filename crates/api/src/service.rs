//! What every service of the control API holds, and how a stream of updates becomes the stream of a call.

use std::pin::Pin;
use std::sync::Arc;

use switchboard_auth::Issuer;
use switchboard_core::ClientError;
use switchboard_node::Node;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::status::{draining, status};

/// All services: their methods are in one file a service.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) node: Node,
    pub(crate) issuer: Option<Arc<Issuer>>,
    /// Ends streams, which have no end of their own.
    pub(crate) closing: CancellationToken,
    pub(crate) batch_items_max: usize,
}

/// A server stream.
pub(crate) type Updates<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Something that a service can follow: each call gives the next update.
pub(crate) trait Watch: Send + 'static {
    /// What it tells.
    type Update: Send;

    /// The next update. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Result<Self::Update, ClientError>> + Send;
}

impl Service {
    /// The updates of `watch` until the caller goes, the node drains or the watch fails: the last two end the call with a
    /// status. Nothing is read ahead: a slow caller leaves updates where their queue is bounded.
    pub(crate) fn follow<W: Watch, T: Send + 'static>(
        &self,
        mut watch: W,
        encode: impl Fn(W::Update) -> T + Send + 'static,
    ) -> Updates<T> {
        let closing = self.closing.clone();
        Box::pin(async_stream::stream! {
            loop {
                let update = tokio::select! {
                    biased;
                    () = closing.cancelled() => Err(draining()),
                    update = watch.next() => update.map_err(status),
                };
                let ends = update.is_err();
                yield update.map(&encode);
                if ends {
                    return;
                }
            }
        })
    }
}
