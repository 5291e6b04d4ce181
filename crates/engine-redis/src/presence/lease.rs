//! A node's lease: taken, renewed, and taken anew when it was lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use switchboard_engine::JoinRequest;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Joined, Presence, janitor};
use crate::keys::LEASES;
use crate::reply::{CallError, Reply};
use crate::scripts::{self, millis};

/// Members joined again at a time.
const REJOINS_AT_ONCE: usize = 64;

/// How often the lease is renewed and the dead are looked for, as a part of it.
const RENEWALS: u32 = 10;

/// Keeps the lease and looks after the dead, until it is dropped.
pub(crate) async fn keep_lease(presence: Arc<Presence>) {
    let lease = presence.shards.config.lease;
    // What noticing takes is off the lease: members of a dead node leave within it.
    let (renewal, length) = (lease / RENEWALS, lease * 8 / 10);
    let mut id = new_lease();
    let mut held = false;
    // Under the first lease members join by themselves.
    let (mut is_first, mut to_rejoin) = (true, Vec::new());
    // Since when the leases could be read without a pause in which others could not renew theirs either.
    let mut since: Option<Instant> = None;
    let mut renewed = Instant::now();
    loop {
        if held && presence.lease.borrow().is_none() {
            // A script has said that it is over.
            held = false;
            id = new_lease();
        }
        match renew(&presence, &id, length, held).await {
            Ok(Some(over)) => {
                let now = Instant::now();
                if since.is_none() || now - renewed > length / 2 {
                    since = Some(now);
                }
                renewed = now;
                if !held {
                    held = true;
                    info!(engine = "redis", lease = %id, "took a lease");
                    presence.lease.send_replace(Some(Arc::clone(&id)));
                    to_rejoin = if is_first {
                        Vec::new()
                    } else {
                        presence.own().values().cloned().collect()
                    };
                    is_first = false;
                }
                rejoin(&presence, &id, &mut to_rejoin, now + renewal).await;
                // After an outage everybody's lease is over, until they have had the time to renew it.
                let may_judge = since.is_some_and(|since| now - since >= length);
                let over = if may_judge { over } else { Vec::new() };
                *presence.over() = over.iter().cloned().collect();
                for lease in over {
                    janitor::sweep(&presence, &lease, &id).await;
                }
            }
            Ok(None) => {
                warn!(engine = "redis", lease = %id, "the lease was lost: its members join again");
                presence.lease.send_replace(None);
                continue;
            }
            Err(error) => warn!(engine = "redis", error = %error, "cannot renew the lease"),
        }
        let mut lease = presence.lease.subscribe();
        let lost = async {
            // The sender lives as long as the presence.
            let _ = lease.wait_for(|lease| held && lease.is_none()).await;
        };
        let _ = tokio::time::timeout(renewal, lost).await;
    }
}

/// Renews the lease, or takes it. Gives the leases that are over, or nothing where this one is.
async fn renew(
    presence: &Presence,
    id: &Arc<str>,
    length: Duration,
    held: bool,
) -> Result<Option<Vec<Arc<str>>>, CallError> {
    let arguments = [
        Bytes::copy_from_slice(id.as_bytes()),
        millis(length),
        Bytes::from_static(if held { b"1" } else { b"0" }),
        Bytes::from(presence.node.to_string()),
    ];
    let keys = [presence.shards.keys.leases(), presence.shards.keys.nodes()];
    let answer = presence
        .shards
        .run(LEASES, &scripts::LEASE, &keys, &arguments);
    let mut answer = answer.await?.array()?.into_iter();
    match (answer.next(), answer.next()) {
        (Some(Reply::Integer(1)), _) => Ok(None),
        (Some(Reply::Integer(0)), Some(over)) => {
            let over = over.array()?.into_iter();
            let over = over.map(|lease| lease.text().map(Arc::from));
            over.collect::<Result<_, _>>().map(Some)
        }
        _ => Err(CallError::Garbled),
    }
}

/// Joins members again under a new lease, until all are or the time is up. Those that are members still are not announced again.
async fn rejoin(
    presence: &Presence,
    lease: &Arc<str>,
    members: &mut Vec<JoinRequest>,
    until: Instant,
) {
    while !members.is_empty() && Instant::now() < until {
        let _order = presence.order.write().await;
        let mut batch = members.split_off(members.len().saturating_sub(REJOINS_AT_ONCE));
        batch.retain(|request| {
            let member = (request.channel.clone(), request.session);
            presence.own().contains_key(&member)
        });
        let joined = batch
            .iter()
            .map(|request| presence.join_once(lease, request));
        let joined = join_all(joined).await;
        let failed = batch
            .into_iter()
            .zip(joined)
            .filter(|(_, joined)| !matches!(joined, Ok(Joined::Member)));
        let failed: Vec<_> = failed.map(|(request, _)| request).collect();
        if !failed.is_empty() {
            // Redis is away, or this lease is over too.
            warn!(
                engine = "redis",
                members = failed.len(),
                "members could not join again yet"
            );
            members.extend(failed);
            return;
        }
    }
}

/// A lease of its own: 16 hex digits, which scripts count on.
fn new_lease() -> Arc<str> {
    let random = getrandom::u64().expect("the system gives randomness");
    Arc::from(format!("{random:016x}"))
}
