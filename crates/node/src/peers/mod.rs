//! Questions between nodes: what concerns sessions is asked of the node that has them.
//!
//! A question is a message that the engine carries, and so is its answer. Both may be lost: who asked waits
//! [`ANSWER_TIMEOUT`] at most, and is told which nodes did not answer. What a question asks is done here in the same way, whoever asks
//! ([`Node::answer`]), so the verbs of `sessions` do not know one node from many.
//!
//! Reading order: [`Ask`] and [`Answer`]; how they are asked; `listen`, how they are answered; `wire`, how they are written.

mod listen;
mod wire;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use switchboard_core::{
    ChannelName, ClientError, Close, ErrorCode, NodeId, Payload, SessionId, UserId,
};
use switchboard_engine::EngineError;
use tokio::sync::oneshot;

use crate::node::{Node, NodeInfo};
use crate::sessions::{SessionInfo, Target};
use crate::shard::poll::PollRefused;
use crate::shared::engine_error;

pub(crate) use listen::{MESSAGES_QUEUED_MAX, listen};

/// How long an answer may take: the commands of a POST are among the questions, and the engine has five seconds for each of its
/// operations.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// What a node is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ask {
    /// What it tells of itself.
    Info,
    /// Its sessions, after one of them.
    Sessions {
        after: Option<SessionId>,
        limit: usize,
    },
    /// A user's sessions.
    Lookup { user: UserId },
    /// To do something with sessions.
    Act { target: Target, action: Action },
    /// To execute the commands of a POST.
    Commands { key: Box<str>, body: Bytes },
    /// To look at the revocations anew, and end the sessions concerned.
    Revoked,
}

/// What is done with sessions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Send {
        payload: Payload,
        time_ms: u64,
    },
    Subscribe {
        channel: ChannelName,
    },
    Unsubscribe {
        channel: ChannelName,
        reason: Box<str>,
        resubscribe: bool,
    },
    Disconnect {
        close: Close,
    },
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Info(NodeInfo),
    Sessions(Vec<SessionInfo>),
    /// How many sessions were concerned.
    Count(u64),
    /// A POST's replies.
    Commands(Result<Bytes, PollRefused>),
    Done,
}

/// Why a node did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It is no node any more.
    Gone,
    /// It is alive by its lease, but hears nothing, or did not answer in time: what was asked may have been done.
    Unreached,
    /// The engine could not carry the question.
    Engine(EngineError),
}

/// What all other nodes answered.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) answers: Vec<Answer>,
    /// Those that are alive by their lease and did not answer.
    pub(crate) unreached: Vec<NodeId>,
}

/// Questions that wait for their answers.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    count: AtomicU64,
}

/// A question's place among those that wait; given up when it is dropped.
struct Waiting<'a> {
    asked: &'a Asked,
    number: u64,
}

impl Asked {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an answer to who waits for it, if anybody still does.
    fn answered(&self, number: u64, answer: Answer) {
        if let Some(waiting) = self.lock().remove(&number) {
            let _ = waiting.send(answer);
        }
    }

    // Bounded by the calls and POSTs that are under way, which have bounds of their own.
    fn wait(&self) -> (Waiting<'_>, oneshot::Receiver<Answer>) {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let (answered, answer) = oneshot::channel();
        self.lock().insert(number, answered);
        let asked = self;
        (Waiting { asked, number }, answer)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.asked.lock().remove(&self.number);
    }
}

impl Node {
    /// Asks a node, this one or another.
    pub(crate) async fn ask(&self, node: NodeId, ask: Ask) -> Result<Answer, Silence> {
        if node == self.id() {
            return Ok(self.answer(ask).await);
        }
        let (waiting, answer) = self.shared().asked.wait();
        let engine = &self.shared().engine;
        let question = wire::question(self.id(), waiting.number, &ask);
        if !engine.tell(node, question).await.map_err(Silence::Engine)? {
            let alive = engine.others().await.map_err(Silence::Engine)?;
            return Err(if alive.contains(&node) {
                Silence::Unreached
            } else {
                Silence::Gone
            });
        }
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(Silence::Unreached),
        }
    }

    /// Asks all other nodes at once.
    ///
    /// # Errors
    /// When the engine could not say who they are.
    pub(crate) async fn ask_others(&self, ask: &Ask) -> Result<Answers, ClientError> {
        let others = self.shared().engine.others().await.map_err(engine_error)?;
        let asked = others
            .iter()
            .map(|&node| async move { (node, self.ask(node, ask.clone()).await) });
        let mut all = Answers::default();
        for (node, answer) in join_all(asked).await {
            match answer {
                Ok(answer) => all.answers.push(answer),
                Err(Silence::Gone) => {}
                Err(Silence::Unreached | Silence::Engine(_)) => all.unreached.push(node),
            }
        }
        Ok(all)
    }

    /// Does what was asked of this node.
    pub(crate) async fn answer(&self, ask: Ask) -> Answer {
        match ask {
            Ask::Info => Answer::Info(self.info()),
            Ask::Sessions { after, limit } => {
                Answer::Sessions(self.sessions_here(after, limit).await)
            }
            Ask::Lookup { user } => Answer::Sessions(self.lookup_here(&user).await),
            Ask::Act { target, action } => Answer::Count(self.act_here(target, action).await),
            Ask::Commands { key, body } => Answer::Commands(self.commands_here(&key, body).await),
            Ask::Revoked => {
                self.look_at_revocations().await;
                Answer::Done
            }
        }
    }
}

/// What it is to a caller that nodes did not answer.
pub(crate) fn unreached(nodes: &[NodeId], done: &str) -> ClientError {
    let names: Vec<_> = nodes.iter().map(NodeId::to_string).collect();
    let message = format!(
        "{done}; no answer from {}, alive by its lease: what was asked may have been done there; try again",
        names.join(", ")
    );
    ClientError::new(ErrorCode::Unavailable, message).retry_after(Duration::from_secs(1))
}
