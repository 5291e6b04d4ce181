//! What things are called in Redis.
//!
//! A channel belongs to partition `hash(channel) mod P`, and everything of it carries the partition's hash tag, so a script
//! touches one slot of a Cluster. With the prefix `sb`, channel `chat:42` in partition 17:
//!
//! | name | type | what |
//! |---|---|---|
//! | `sb{17}m:chat:42` | hash | epoch, offset and counters; see `scripts/` |
//! | `sb{17}s:chat:42` | stream | history; entry `0-<offset>` |
//! | `sb{17}i:chat:42:<id>` | string | the position that a publication id got, for its window |
//! | `sb{17}a:7:chat:42:ann` | string | the mark of user `ann` there, until nobody has used it for its ttl; 7 is the name's length |
//! | `sb{17}h:chat:42` | hash | members: first session to record |
//! | `sb{17}z:chat:42` | sorted set | the same sessions by the number of their joining |
//! | `sb{17}k:chat:42` | hash | sessions that hold the place of another one's member, to that one |
//! | `sb{17}u:chat:42` | hash | users to their number of members |
//! | `sb{17}g:chat:42` | sorted set | members within a grace, by user and the order of going |
//! | `sb{17}c:chat:42` | pub/sub | publications and presence changes |
//! | `sb{17}n` | sorted set | the partition's channels by name |
//! | `sb{17}w:<lease>` | set | the partition's members of that lease |
//! | `sb{17}d:<lease>` | string | that lease is over: nobody joins under it any more |
//! | `sb{17}y:<node>` | pub/sub, string | a node's canary on the shard of that partition |
//! | `sb{17}r:<what>` | string | when what is limited in its rate will have used up nothing, microseconds since 1970 |
//! | `sb{17}c:~node:8f03aa12` | pub/sub | a node's inbox: no namespace begins with a tilde |
//! | `sb{0}leases` | sorted set | leases by when they end |
//! | `sb{0}nodes` | sorted set | nodes by when their leases end |
//! | `sb{0}revocations` | hash | which tokens are revoked, and how long that is kept |
//! | `sb{0}j:<lease>` | string | somebody sees to the members of that lease |

use bytes::Bytes;
use switchboard_core::fnv::fnv1a;
use switchboard_core::{ChannelName, NodeId};

/// Where a channel's things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Partition(pub(crate) u16);

/// The partition where leases are kept.
pub(crate) const LEASES: Partition = Partition(0);

/// Makes names.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
    partitions: u16,
}

/// A kind of key that each channel has one of, as far as scripts do not find it by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Meta,
    Stream,
    Order,
    Users,
}

impl Of {
    fn letter(self) -> char {
        match self {
            Self::Meta => 'm',
            Self::Stream => 's',
            Self::Order => 'z',
            Self::Users => 'u',
        }
    }
}

impl Keys {
    pub(crate) fn new(prefix: &str, partitions: u16) -> Self {
        Self {
            prefix: prefix.to_owned(),
            partitions,
        }
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.partitions).map(Partition)
    }

    /// The channel's partition: the same on every node and for ever, so the hash is fixed (FNV-1a, 64 bits, folded).
    pub(crate) fn partition(&self, channel: &str) -> Partition {
        let hash = fnv1a(channel.bytes());
        let folded = (hash >> 32) ^ (hash & 0xffff_ffff);
        Partition((folded % u64::from(self.partitions)) as u16)
    }

    /// A key of a channel.
    pub(crate) fn of(&self, kind: Of, channel: &ChannelName) -> Bytes {
        let partition = self.partition(channel.as_str());
        Bytes::from(self.named(partition, kind.letter(), channel.as_str()))
    }

    /// The pub/sub channel of a channel.
    pub(crate) fn pub_sub(&self, channel: &ChannelName) -> String {
        self.named(self.partition(channel.as_str()), 'c', channel.as_str())
    }

    /// The channel whose pub/sub channel this is.
    pub(crate) fn channel_of<'a>(&self, pub_sub: &'a str) -> Option<&'a str> {
        let (_, rest) = pub_sub
            .strip_prefix(self.prefix.as_str())?
            .split_once('}')?;
        rest.strip_prefix("c:")
    }

    pub(crate) fn id(&self, channel: &ChannelName, id: &str) -> Bytes {
        let partition = self.partition(channel.as_str());
        Bytes::from(self.named(partition, 'i', &format!("{channel}:{id}")))
    }

    /// A user's mark. Both names may have any sign in them, so the length tells where the one ends.
    pub(crate) fn mark(&self, channel: &ChannelName, user: &str) -> Bytes {
        let partition = self.partition(channel.as_str());
        let of = format!("{}:{channel}:{user}", channel.as_str().len());
        Bytes::from(self.named(partition, 'a', &of))
    }

    /// What keeps a rate, and the partition that it is in.
    pub(crate) fn rate(&self, what: &str) -> (Partition, Bytes) {
        let partition = self.partition(what);
        (partition, Bytes::from(self.named(partition, 'r', what)))
    }

    pub(crate) fn index(&self, partition: Partition) -> Bytes {
        Bytes::from(format!("{}{{{}}}n", self.prefix, partition.0))
    }

    /// What every key of that kind in the partition begins with, for scripts that find channels in another key.
    pub(crate) fn begin(&self, partition: Partition) -> Bytes {
        Bytes::from(format!("{}{{{}}}", self.prefix, partition.0))
    }

    pub(crate) fn members_of_lease(&self, partition: Partition, lease: &str) -> Bytes {
        Bytes::from(self.named(partition, 'w', lease))
    }

    pub(crate) fn lease_is_over(&self, partition: Partition, lease: &str) -> Bytes {
        Bytes::from(self.named(partition, 'd', lease))
    }

    pub(crate) fn canary(&self, partition: Partition, node: NodeId) -> String {
        self.named(partition, 'y', &node.to_string())
    }

    /// The leases of all nodes; in [`LEASES`].
    pub(crate) fn leases(&self) -> Bytes {
        Bytes::from(format!("{}{{0}}leases", self.prefix))
    }

    /// The nodes that are alive; in [`LEASES`].
    pub(crate) fn nodes(&self) -> Bytes {
        Bytes::from(format!("{}{{0}}nodes", self.prefix))
    }

    /// The revocations; in [`LEASES`].
    pub(crate) fn revocations(&self) -> Bytes {
        Bytes::from(format!("{}{{0}}revocations", self.prefix))
    }

    pub(crate) fn janitor(&self, lease: &str) -> Bytes {
        Bytes::from(format!("{}{{0}}j:{lease}", self.prefix))
    }

    fn named(&self, partition: Partition, letter: char, rest: &str) -> String {
        format!("{}{{{}}}{letter}:{rest}", self.prefix, partition.0)
    }
}

/// The channel on which a node hears what others tell it.
pub(crate) fn inbox(node: NodeId) -> ChannelName {
    ChannelName::parse(&format!("~node:{node}")).expect("a valid name")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::connect::slot;

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name).expect("a valid name")
    }

    #[test]
    fn partitions_do_not_change_between_versions_and_are_even() {
        let keys = Keys::new("sb", 512);
        assert_eq!(keys.partition("chat:42"), Partition(35));
        let mut counts: HashMap<Partition, u32> = HashMap::new();
        for number in 0..51_200 {
            *counts
                .entry(keys.partition(&format!("chat:{number}")))
                .or_default() += 1;
        }
        assert_eq!(counts.len(), 512);
        let (least, most) = (counts.values().min(), counts.values().max());
        assert!(least > Some(&50) && most < Some(&170), "{least:?} {most:?}");
    }

    #[test]
    fn marks_of_two_are_never_one() {
        // All in one partition, so that nothing but the rest of the key tells them apart.
        let keys = Keys::new("sb", 1);
        let pairs = [("a:b", "c"), ("a", "b:c"), ("a:b:c", ""), ("a", ":b:c")];
        let marks = pairs.map(|(name, user)| keys.mark(&channel(name), user));
        let distinct: std::collections::BTreeSet<_> = marks.iter().collect();
        assert_eq!(distinct.len(), pairs.len(), "{marks:?}");
    }

    #[test]
    fn everything_of_a_channel_is_in_one_slot() {
        let keys = Keys::new("sb", 512);
        // Braces are allowed in names: the tag is the first pair.
        for name in ["chat:42", "{x}:y", "}:{"] {
            let name = channel(name);
            let partition = keys.partition(name.as_str());
            let all = [
                keys.of(Of::Meta, &name),
                keys.of(Of::Stream, &name),
                keys.id(&name, "order {1}"),
                keys.mark(&name, "ann {2}"),
                keys.index(partition),
                keys.members_of_lease(partition, "ab"),
                Bytes::from(keys.pub_sub(&name)),
            ];
            let slots = all
                .iter()
                .map(|key| slot(std::str::from_utf8(key).expect("text")));
            let slots: std::collections::BTreeSet<_> = slots.collect();
            assert_eq!(slots.len(), 1, "{all:?}");
            let pub_sub = keys.pub_sub(&name);
            assert_eq!(keys.channel_of(&pub_sub), Some(name.as_str()));
        }
        assert_eq!(keys.channel_of("other"), None);
        assert_eq!(keys.channel_of("sb{1}y:8f03aa12"), None);
    }
}
