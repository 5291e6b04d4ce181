//! Which tokens are revoked, as this node knows it: the engine keeps it, and who revokes tells all nodes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, Weak};
use std::time::Duration;

use switchboard_core::{ClientError, ErrorCode, Identity, Revocation, Revocations, RevokedTokens};
use switchboard_engine::EngineError;
use tokio::sync::Notify;

use crate::node::{Inner, Node};
use crate::peers::{ANSWER_TIMEOUT, Ask, unreached};
use crate::shard::mail::Control;
use crate::shared::engine_error;

/// How often the engine is asked, though nobody told: the word of a revocation may be lost.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// When it is asked again after it did not answer. Short: nobody is let in before the first answer.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What is revoked.
#[derive(Debug, Default)]
pub(crate) struct Revoked {
    revocations: RwLock<Revocations>,
    /// It has been read once: before that nobody is let in.
    known: AtomicBool,
    /// Rung when it is to be looked at.
    look: Notify,
}

impl Revoked {
    /// Has the engine asked soon.
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }

    /// See [`Shared::check_revoked`](crate::shared::Shared::check_revoked).
    pub(crate) fn check(&self, identity: &Identity, now_ms: u64) -> Result<(), ClientError> {
        if identity.issued_at_ms.is_none() {
            return Ok(());
        }
        if !self.is_known() {
            let message = "this node does not know yet which tokens are revoked: try again";
            return Err(ClientError::new(ErrorCode::Unavailable, message)
                .retry_after(Duration::from_secs(1)));
        }
        if self.revokes(identity, now_ms) {
            let message = "the token has been revoked: bring a new one";
            return Err(ClientError::new(ErrorCode::Unauthenticated, message));
        }
        Ok(())
    }

    /// Whether the engine has told what is revoked.
    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Ordering::Acquire)
    }

    /// Whether the identity's token is revoked.
    pub(crate) fn revokes(&self, identity: &Identity, now_ms: u64) -> bool {
        let revocations = self.revocations.read();
        revocations
            .unwrap_or_else(PoisonError::into_inner)
            .revoke(identity, now_ms)
    }

    /// Takes what the engine keeps, and tells whether there is more of it than before, and what the engine has lost. What is
    /// known stays known until its time is over.
    fn take(&self, kept: Vec<Revocation>, now_ms: u64) -> (bool, Vec<Revocation>) {
        let lost = {
            let revocations = self.revocations.read();
            let revocations = revocations.unwrap_or_else(PoisonError::into_inner);
            revocations.beyond(&kept, now_ms)
        };
        let mut revocations = self
            .revocations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut is_more = false;
        for revocation in kept {
            match revocations.insert(revocation, now_ms) {
                Ok(is_new) => is_more |= is_new,
                Err(error) => tracing::error!(%error, "a revocation could not be taken"),
            }
        }
        self.known.store(true, Ordering::Release);
        (is_more, lost)
    }
}

/// Keeps a node's revocations up with the engine's until the node is gone.
pub(crate) async fn follow(node: Weak<Inner>) {
    loop {
        let (revoked, looked) = {
            let Some(node) = Node::upgrade(&node) else {
                return;
            };
            let looked = node.look().await;
            (node.shared().revoked.clone(), looked)
        };
        let pause = match looked {
            Ok(()) => LOOK_INTERVAL,
            Err(_) => AGAIN_AFTER,
        };
        let _ = tokio::time::timeout(pause, revoked.look.notified()).await;
    }
}

impl Node {
    /// Revokes tokens that were issued before a time (now, without one), on all nodes, and ends the sessions that came with them
    /// (close 4101). It is kept for `keep`, which is to be no shorter than the tokens live.
    ///
    /// # Errors
    /// `unavailable` when it could not be kept, or when a node did not say that it has ended its sessions.
    pub async fn revoke(
        &self,
        tokens: RevokedTokens,
        issued_before_ms: Option<u64>,
        keep: Duration,
    ) -> Result<(), ClientError> {
        let now_ms = self.shared().clock.wall_ms();
        let before_ms = match tokens {
            RevokedTokens::Token(_) => u64::MAX,
            RevokedTokens::User(_) | RevokedTokens::All => issued_before_ms.unwrap_or(now_ms),
        };
        let revocation = Revocation {
            tokens,
            before_ms,
            until_ms: now_ms.saturating_add(keep.as_millis() as u64),
        };
        let engine = &self.shared().engine;
        engine.revoke(&revocation).await.map_err(engine_error)?;
        let (here, others) = tokio::join!(self.look(), self.ask_others(&Ask::Revoked));
        here.map_err(engine_error)?;
        match others?.unreached {
            silent if silent.is_empty() => Ok(()),
            silent => Err(unreached(&silent, "the tokens are revoked")),
        }
    }

    /// Looks at the revocations because another node says so, and returns when that is done: who asked takes the answer for it.
    /// Where the engine does not answer for as long as anybody waits, it is looked again later.
    pub(crate) async fn look_at_revocations(&self) {
        let looked = async {
            while self.look().await.is_err() {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        };
        if tokio::time::timeout(ANSWER_TIMEOUT, looked).await.is_err() {
            self.shared().revoked.look();
        }
    }

    /// Asks the engine what is revoked, and ends the sessions concerned; returns when that is done. What the engine has lost it
    /// is given back: a node that starts later knows nothing else.
    async fn look(&self) -> Result<(), EngineError> {
        let shared = self.shared();
        let kept = shared.engine.revocations().await?;
        let (is_more, lost) = shared.revoked.take(kept, shared.clock.wall_ms());
        if is_more {
            self.ask_shards(|reply| Control::Revoked { reply }).await;
        }
        if !lost.is_empty() {
            self.give_back(&lost).await;
        }
        Ok(())
    }

    /// What does not get there is missed again at the next look.
    async fn give_back(&self, lost: &[Revocation]) {
        for revocation in lost {
            if let Err(error) = self.shared().engine.revoke(revocation).await {
                tracing::warn!(%error, "revocations that the engine has lost are not given back yet");
                return;
            }
        }
        let count = lost.len();
        tracing::warn!(
            count,
            "the engine has lost revocations: they are given back"
        );
    }
}
