//! Revoked tokens, kept for all nodes.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use switchboard_core::revocation::REVOCATIONS_MAX;
use switchboard_core::{Revocation, RevokedTokens};
use switchboard_engine::EngineError;

use crate::deadline::{refused, unavailable};
use crate::epoch::fresh_epoch;
use crate::keys::LEASES;
use crate::reply::{CallError, Reply};
use crate::scripts;
use crate::shards::Shards;

/// The largest number that a script can count with; stands for one without end.
const LARGEST: u64 = (1 << 53) - 1;

/// The revocations as they were read last: they seldom change and are often asked for.
#[derive(Default)]
pub(crate) struct Known(Mutex<(Bytes, Vec<Revocation>)>);

/// Keeps a revocation.
pub(crate) async fn revoke(shards: &Shards, revocation: &Revocation) -> Result<(), EngineError> {
    let number = |number: u64| Bytes::from(number.min(LARGEST).to_string());
    let arguments = [
        field(&revocation.tokens),
        number(revocation.before_ms),
        number(revocation.until_ms),
        number(REVOCATIONS_MAX as u64),
        number(fresh_epoch().0),
    ];
    let keys = [shards.keys.revocations()];
    let kept = shards
        .run(LEASES, &scripts::REVOKE, &keys, &arguments)
        .await;
    match kept.and_then(|kept| kept.number()).map_err(unavailable)? {
        0 => Err(refused("too many revocations are kept")),
        _ => Ok(()),
    }
}

/// All revocations that are kept.
pub(crate) async fn all(shards: &Shards, known: &Known) -> Result<Vec<Revocation>, EngineError> {
    let lock = || known.0.lock().unwrap_or_else(PoisonError::into_inner);
    let version = lock().0.clone();
    let keys = [shards.keys.revocations()];
    let arguments = [version];
    let answer = shards.run(LEASES, &scripts::REVOCATIONS, &keys, &arguments);
    let read = answer.await.and_then(|answer| {
        let mut parts = answer.array()?.into_iter();
        let version = parts.next().ok_or(CallError::Garbled)?.bytes()?;
        let entries = parts.next().map(entries).transpose()?;
        Ok((version, entries))
    });
    let (version, entries) = read.map_err(unavailable)?;
    let mut known = lock();
    if let Some(entries) = entries {
        *known = (version, entries);
    }
    Ok(known.1.clone())
}

fn entries(reply: Reply) -> Result<Vec<Revocation>, CallError> {
    let mut parts = reply.array()?.into_iter();
    let mut all = Vec::new();
    while let (Some(field), Some(value)) = (parts.next(), parts.next()) {
        if let Some(tokens) = tokens(&field.text()?) {
            let value = value.text()?;
            let (before, until) = value.split_once(' ').ok_or(CallError::Garbled)?;
            let number = |text: &str| text.parse().map_err(|_| CallError::Garbled);
            let (before_ms, until_ms) = (number(before)?, number(until)?);
            all.push(Revocation {
                tokens,
                before_ms: if before_ms == LARGEST {
                    u64::MAX
                } else {
                    before_ms
                },
                until_ms,
            });
        }
    }
    Ok(all)
}

fn field(tokens: &RevokedTokens) -> Bytes {
    match tokens {
        RevokedTokens::User(user) => format!("u:{user}").into(),
        RevokedTokens::Token(id) => format!("t:{id}").into(),
        RevokedTokens::All => Bytes::from_static(b"*"),
    }
}

/// The tokens that a field names; nothing for what is no revocation, or is one that a newer version knows.
fn tokens(field: &str) -> Option<RevokedTokens> {
    match field.split_once(':') {
        Some(("u", user)) => Some(RevokedTokens::User(user.into())),
        Some(("t", id)) => Some(RevokedTokens::Token(id.into())),
        _ => (field == "*").then_some(RevokedTokens::All),
    }
}
