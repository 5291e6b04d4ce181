//! The end of the process, step by step: not ready, a paced drain, a hard stop at the deadline; a second signal at any
//! time stops at once.

use std::future::Future;

use switchboard_node::Node;
use tokio::time::Instant;

use crate::config::file::Drain;
use crate::signals::{Asked, Signals};

/// How a shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Every session has gone in its turn.
    Drained,
    /// The deadline came first; the rest were cut.
    Deadline,
    /// A second signal came.
    AtOnce(Asked),
}

/// Drains the node. New sessions are refused from the first moment, so readiness fails while everybody is still served;
/// balancers get `ready_delay` to look away before anybody is asked to leave.
pub(crate) async fn drain(node: &Node, config: &Drain, signals: &mut Signals) -> Ended {
    let deadline = Instant::now() + config.deadline;
    node.refuse_sessions();
    tracing::info!(
        sessions = node.sessions(),
        delay_s = config.ready_delay.as_secs_f64(),
        "not ready"
    );
    let steps = async {
        // waits: for balancers to see that the node is not ready; nothing tells when they have.
        tokio::time::sleep(config.ready_delay).await;
        tracing::info!(
            sessions = node.sessions(),
            window_s = config.window.as_secs_f64(),
            "draining"
        );
        node.drain(config.window).await;
    };
    let ended = until(steps, deadline, signals).await;
    match ended {
        Ended::Drained => tracing::info!("drained"),
        Ended::Deadline => tracing::warn!(
            sessions = node.sessions(),
            "deadline reached: cutting what is left"
        ),
        Ended::AtOnce(asked) => {
            tracing::warn!(
                signal = asked.as_str(),
                sessions = node.sessions(),
                "second signal: stopping at once"
            );
        }
    }
    ended
}

/// Runs `steps` until they are done, the deadline comes or a signal does.
async fn until(steps: impl Future<Output = ()>, deadline: Instant, signals: &mut Signals) -> Ended {
    tokio::select! {
        () = steps => Ended::Drained,
        () = tokio::time::sleep_until(deadline) => Ended::Deadline,
        asked = signals.next() => Ended::AtOnce(asked),
    }
}
