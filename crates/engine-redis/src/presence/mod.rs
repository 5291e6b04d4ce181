//! Presence: members of channels, each leased to the node that holds its session.
//!
//! A node has one lease and renews it for all its members. A member's record names the lease, so when that is over, any node
//! has its members leave: a script removes each and announces it in one step, so it leaves once, whoever notices. Under a lease
//! that is over nobody joins any more; a node that finds its own over takes a new one and joins its members again.
//!
//! Reading order: [`Presence`] and what it does when asked; `due`, who is still to leave; `lease`, what it does by itself;
//! `janitor`, what it does for the dead.

mod due;
mod janitor;
mod lease;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use hashbrown::{HashMap, HashSet};
use switchboard_core::{ChannelName, Epoch, NodeId, SessionId};
use switchboard_engine::{Counts, EngineError, JoinRequest, Leaving, MemberPage, MemberQuery};
use tokio::sync::{RwLock, watch};
use tokio::time::Instant;

use crate::deadline::{may_have_happened, refused, unavailable, within};
use crate::epoch::fresh_epoch;
use crate::keys::{Of, Partition};
use crate::reply::{CallError, Reply, exactly};
use crate::scripts::{self, Script, millis, number};
use crate::shards::Shards;
use crate::wire;

use due::{AGAIN_AFTER, Due, Leavers};

pub(crate) use due::see_out;
pub(crate) use lease::keep_lease;

/// How often a join is tried under a new lease before it is given up.
const JOINS_MAX: usize = 3;

/// What a node does for its members.
pub(crate) struct Presence {
    shards: Arc<Shards>,
    node: NodeId,
    /// The lease that members join under; nothing until it is taken.
    lease: watch::Sender<Option<Arc<str>>>,
    /// The node's members, to join them again under another lease. Bounded by the node's sessions and their subscriptions.
    own: Mutex<HashMap<(ChannelName, SessionId), JoinRequest>>,
    /// Leases that were over when last looked, and whose members are about to leave.
    over: Mutex<HashSet<Arc<str>>>,
    /// Who is still to leave.
    due: Leavers,
    /// Held by those who leave, and alone by who looks who is here and joins them again.
    order: RwLock<()>,
}

impl Presence {
    pub(crate) fn new(shards: Arc<Shards>, node: NodeId) -> Self {
        Self {
            shards,
            node,
            lease: watch::Sender::new(None),
            own: Mutex::default(),
            over: Mutex::default(),
            due: Leavers::default(),
            order: RwLock::default(),
        }
    }

    /// Whether the node has a lease.
    pub(crate) fn has_lease(&self) -> bool {
        self.lease.borrow().is_some()
    }

    pub(crate) async fn join(&self, request: JoinRequest) -> Result<(), EngineError> {
        let member = (request.channel.clone(), request.session);
        // Before it is a member: should the lease end meanwhile, it is joined again, however many there are by then.
        let again = JoinRequest {
            members_max: None,
            ..request.clone()
        };
        self.own().insert(member.clone(), again);
        let joined = within(self.timeout(), self.join_under_lease(&request)).await;
        if let Err(error) = &joined {
            self.own().remove(&member);
            if may_have_happened(error) {
                // Who was told of an error will not have it leave: it must not stay as long as this node lives.
                self.owe(request.channel, request.session, Leaving::Now);
            }
        }
        joined
    }

    async fn join_under_lease(&self, request: &JoinRequest) -> Result<(), EngineError> {
        for _ in 0..JOINS_MAX {
            let lease = self.current_lease().await;
            match self.join_once(&lease, request).await.map_err(unavailable)? {
                Joined::Member => return Ok(()),
                Joined::Full => return Err(EngineError::Full),
                Joined::LeaseIsOver => {}
            }
        }
        Err(refused("the node's lease ended again and again"))
    }

    async fn join_once(
        &self,
        lease: &Arc<str>,
        request: &JoinRequest,
    ) -> Result<Joined, CallError> {
        let user = request.user.as_deref().unwrap_or_default();
        let arguments = [
            Bytes::copy_from_slice(lease.as_bytes()),
            Bytes::copy_from_slice(&wire::session(request.session)),
            Bytes::from_static(if request.user.is_some() { b"1" } else { b"0" }),
            Bytes::copy_from_slice(user.as_bytes()),
            wire::member_body(request.user.as_deref(), request.info.as_deref()),
            request
                .members_max
                .map_or_else(|| Bytes::from_static(b"-1"), number),
        ];
        let fresh = [number(fresh_epoch().0)];
        let answer = self.run(&scripts::JOIN, &request.channel, &fresh, &arguments);
        match answer.await? {
            Reply::Integer(0 | 1) => Ok(Joined::Member),
            Reply::Integer(-1) => {
                self.lease_is_over(lease);
                Ok(Joined::LeaseIsOver)
            }
            Reply::Integer(-2) => Ok(Joined::Full),
            _ => Err(CallError::Garbled),
        }
    }

    /// Has a member leave. Where Redis is away it is owed: the caller has no way to have it done later.
    pub(crate) async fn leave(
        &self,
        channel: &ChannelName,
        session: SessionId,
        leaving: Leaving,
    ) -> Result<(), EngineError> {
        self.own().remove(&(channel.clone(), session));
        let left = within(self.timeout(), self.leave_once(channel, session, leaving)).await;
        if left.is_err() {
            self.owe(channel.clone(), session, leaving);
        }
        left
    }

    async fn leave_once(
        &self,
        channel: &ChannelName,
        session: SessionId,
        leaving: Leaving,
    ) -> Result<(), EngineError> {
        // Not between another lease's look at who is here and its joining them.
        let _order = self.order.read().await;
        let asked = Instant::now();
        let grace = match leaving {
            Leaving::Now => Duration::ZERO,
            Leaving::After(grace) => grace.min(GRACE_MAX),
        };
        let session = Bytes::copy_from_slice(&wire::session(session));
        let answer = self
            .run(&scripts::LEAVE, channel, &[], &[session, millis(grace)])
            .await
            .and_then(Reply::array);
        let mut answer = answer.map_err(unavailable)?.into_iter();
        if let (Some(Reply::Integer(1)), Some(Reply::Bytes(place)), Some(of)) =
            (answer.next(), answer.next(), answer.next())
        {
            let number = of.number().map_err(unavailable)?;
            let channel = channel.clone();
            let grace_of = Due::Grace {
                channel,
                place,
                number,
            };
            self.due.insert(asked + grace, grace_of);
        }
        Ok(())
    }

    fn owe(&self, channel: ChannelName, session: SessionId, leaving: Leaving) {
        let owed = Due::Leave {
            channel,
            session,
            leaving,
        };
        self.due.insert(Instant::now() + AGAIN_AFTER, owed);
    }

    pub(crate) async fn members(
        &self,
        channel: &ChannelName,
        query: MemberQuery,
    ) -> Result<MemberPage, EngineError> {
        let after = query.after.as_deref().map(page).transpose()?;
        // One more than asked for tells whether more follow.
        let count = if query.limit == 0 {
            0
        } else {
            query.limit as u64 + 1
        };
        let arguments = [number(after.map_or(0, |(_, last)| last)), number(count)];
        let fresh = [number(fresh_epoch().0)];
        let answer = self
            .run(&scripts::MEMBERS, channel, &fresh, &arguments)
            .await;
        let listed = answer.and_then(read_listing).map_err(unavailable)?;
        if after.is_some_and(|(epoch, last)| epoch != listed.epoch || last > listed.highest) {
            return Err(EngineError::UnknownPage);
        }
        let mut members = listed.members;
        let more = members.len() > query.limit;
        members.truncate(query.limit);
        let next = members.last().filter(|_| more);
        let next = next.map(|last| format!("{}-{}", listed.epoch, Epoch(last.number)).into());
        let over = self.over();
        members.retain(|member| !over.contains(&*member.lease));
        let members = members.into_iter().map(|member| Arc::new(member.member));
        Ok(MemberPage {
            members: members.collect(),
            counts: listed.counts,
            next,
            epoch: listed.epoch,
            sequence: listed.sequence,
        })
    }

    /// Counts many channels' members: a script a partition, all on their way at once.
    pub(crate) async fn count(&self, channels: &[ChannelName]) -> Result<Vec<Counts>, EngineError> {
        let keys = &self.shards.keys;
        let mut partitions: BTreeMap<Partition, Vec<usize>> = BTreeMap::new();
        for (index, name) in channels.iter().enumerate() {
            let of = keys.partition(name.as_str());
            partitions.entry(of).or_default().push(index);
        }
        let counting = partitions
            .into_iter()
            .map(|(partition, indices)| async move {
                let of = |index: &usize| {
                    let name = &channels[*index];
                    [Of::Meta, Of::Order, Of::Users].map(|kind| keys.of(kind, name))
                };
                let names: Vec<_> = indices.iter().flat_map(of).collect();
                let answer = self
                    .shards
                    .run(partition, &scripts::COUNT, &names, &[])
                    .await?;
                let counts = answer.array()?;
                if counts.len() != 2 * indices.len() {
                    return Err(CallError::Garbled);
                }
                let of = |(index, pair): (usize, &[Reply])| {
                    let (members, users) = (pair[0].number()?, pair[1].number()?);
                    Ok((index, Counts { members, users }))
                };
                let counted = indices.into_iter().zip(counts.chunks(2)).map(of);
                counted.collect::<Result<Vec<_>, CallError>>()
            });
        let counted = try_join_all(counting).await.map_err(unavailable)?;
        let mut counts = vec![Counts::default(); channels.len()];
        for (index, of) in counted.into_iter().flatten() {
            counts[index] = of;
        }
        Ok(counts)
    }

    /// Runs a script of a channel's presence: what they all are told comes first.
    async fn run(
        &self,
        script: &Script,
        channel: &ChannelName,
        fresh: &[Bytes],
        arguments: &[Bytes],
    ) -> Result<Reply, CallError> {
        let keys = &self.shards.keys;
        let partition = keys.partition(channel.as_str());
        let mut all = fresh.to_vec();
        all.extend([
            millis(self.shards.config.idle_channel_ttl),
            keys.begin(partition),
            Bytes::copy_from_slice(channel.as_str().as_bytes()),
        ]);
        all.extend_from_slice(arguments);
        let meta = [keys.of(Of::Meta, channel)];
        self.shards.run(partition, script, &meta, &all).await
    }

    fn timeout(&self) -> Duration {
        self.shards.config.operation_timeout
    }

    /// The lease to join under, once there is one.
    async fn current_lease(&self) -> Arc<str> {
        let mut lease = self.lease.subscribe();
        let taken = lease.wait_for(Option::is_some).await;
        // The sender lives as long as `self`.
        let taken = taken.expect("the lease's sender is there");
        taken.clone().expect("waited for it")
    }

    /// Has a new lease taken, unless that has been done.
    fn lease_is_over(&self, lease: &Arc<str>) {
        self.lease.send_if_modified(|current| {
            let is_it = current.as_ref() == Some(lease);
            if is_it {
                *current = None;
            }
            is_it
        });
    }

    fn own(&self) -> MutexGuard<'_, HashMap<(ChannelName, SessionId), JoinRequest>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn over(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a join.
enum Joined {
    Member,
    LeaseIsOver,
    Full,
}

/// Longer graces make no sense: a year.
const GRACE_MAX: Duration = Duration::from_hours(365 * 24);

/// What a script lists.
struct Listing {
    epoch: Epoch,
    sequence: u64,
    /// The highest number that a member has had.
    highest: u64,
    counts: Counts,
    members: Vec<Listed>,
}

struct Listed {
    number: u64,
    lease: String,
    member: switchboard_core::Member,
}

fn read_listing(answer: Reply) -> Result<Listing, CallError> {
    let [epoch, sequence, highest, members, users, found] = exactly(answer)?;
    let mut parts = found.array()?.into_iter();
    let mut listed = Vec::new();
    while let Some(of) = parts.next() {
        let mut next = || parts.next().ok_or(CallError::Garbled);
        let (place, lease, joined_ms, body) = (
            next()?.bytes()?,
            next()?.text()?,
            next()?.number()?,
            next()?.bytes()?,
        );
        let session = wire::read_session(&place).map_err(|_| CallError::Garbled)?;
        let member = wire::read_member(session, joined_ms, body).map_err(|_| CallError::Garbled)?;
        listed.push(Listed {
            number: of.number()?,
            lease,
            member,
        });
    }
    Ok(Listing {
        epoch: Epoch(epoch.number()?),
        sequence: sequence.number()?,
        highest: highest.number()?,
        counts: Counts {
            members: members.number()?,
            users: users.number()?,
        },
        members: listed,
    })
}

/// A page is named by the epoch and the number of the last member before it, both written as epochs are.
fn page(name: &str) -> Result<(Epoch, u64), EngineError> {
    let parts = name.split_once('-');
    let parsed = parts.and_then(|(epoch, last)| Epoch::parse(epoch).zip(Epoch::parse(last)));
    let (epoch, Epoch(last)) = parsed.ok_or(EngineError::UnknownPage)?;
    Ok((epoch, last))
}
