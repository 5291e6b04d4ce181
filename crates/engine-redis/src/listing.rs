//! Listing channels: each partition knows its own, sorted by name; here the partitions' lists are merged.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::try_join_all;
use switchboard_core::{ChannelName, ChannelPattern, Epoch, Position};
use switchboard_engine::{ChannelInfo, ChannelPage, EngineError};

use crate::deadline::unavailable;
use crate::keys::{Of, Partition};
use crate::reply::{CallError, exactly};
use crate::scripts::{self, number};
use crate::shards::Shards;

/// Names read from a partition at a time beside its share of the page: partitions are even, but not quite.
const SPARE: usize = 8;

/// Channels that one script tells of.
const BATCH: usize = 256;

/// A page of channels.
pub(crate) async fn channels(
    shards: &Shards,
    pattern: Option<&ChannelPattern>,
    after: Option<&str>,
    limit: usize,
) -> Result<ChannelPage, EngineError> {
    let listed = list(shards, pattern, after, limit);
    listed.await.map_err(unavailable)
}

async fn list(
    shards: &Shards,
    pattern: Option<&ChannelPattern>,
    after: Option<&str>,
    limit: usize,
) -> Result<ChannelPage, CallError> {
    let mut lists: Vec<_> = shards
        .keys
        .partitions()
        .map(|partition| List::new(partition, after))
        .collect();
    // One more than asked for tells whether more follow.
    let wanted = limit.saturating_add(1);
    let slice = wanted / lists.len() + SPARE;
    let mut found = Vec::new();
    let prefix = pattern.map_or("", literal_prefix);
    loop {
        let more = lists.iter_mut().filter(|list| list.needs_more());
        try_join_all(more.map(|list| list.fetch(shards, prefix, slice))).await?;
        // Names up to where the first list that goes on was read to are all known.
        let certain = lists.iter().filter_map(List::read_to).min().cloned();
        let mut names: Vec<String> = Vec::new();
        for list in &mut lists {
            names.extend(list.take_up_to(certain.as_deref()));
        }
        names.sort_unstable();
        let names = names
            .into_iter()
            .filter_map(|name| ChannelName::parse(&name).ok());
        let names: Vec<_> = names
            .filter(|name| pattern.is_none_or(|pattern| pattern.matches(name)))
            .collect();
        for names in names.chunks(BATCH.max(slice)) {
            if found.len() >= wanted {
                break;
            }
            found.extend(describe(shards, names).await?);
        }
        if found.len() >= wanted || certain.is_none() {
            let more = found.len() > limit;
            found.truncate(limit);
            return Ok(ChannelPage {
                channels: found,
                more,
            });
        }
    }
}

/// What every channel of the pattern begins with.
fn literal_prefix(pattern: &ChannelPattern) -> &str {
    let text = pattern.as_str();
    text.find('*').map_or(text, |at| &text[..at])
}

/// The names of one partition, read slice by slice.
struct List {
    partition: Partition,
    names: std::collections::VecDeque<String>,
    /// Where the last slice ended, or where the page begins.
    last: Option<String>,
    ended: bool,
}

impl List {
    fn new(partition: Partition, after: Option<&str>) -> Self {
        Self {
            partition,
            names: std::collections::VecDeque::new(),
            last: after.map(str::to_owned),
            ended: false,
        }
    }

    fn needs_more(&self) -> bool {
        self.names.is_empty() && !self.ended
    }

    /// The name up to which the list is known; nothing when all of it is.
    fn read_to(&self) -> Option<&String> {
        self.names.back().filter(|_| !self.ended)
    }

    fn take_up_to(&mut self, certain: Option<&str>) -> impl Iterator<Item = String> {
        let is_certain = |name: &String| certain.is_none_or(|certain| name.as_str() <= certain);
        let count = self.names.partition_point(is_certain);
        self.names.drain(..count)
    }

    async fn fetch(
        &mut self,
        shards: &Shards,
        prefix: &str,
        slice: usize,
    ) -> Result<(), CallError> {
        let from = match &self.last {
            Some(last) if last.as_str() >= prefix => format!("({last}"),
            _ => format!("[{prefix}"),
        };
        // Names are ASCII: nothing of the prefix comes after this.
        let to = if prefix.is_empty() {
            "+".to_owned()
        } else {
            format!("({prefix}\u{7f}")
        };
        let range = [from, to].map(Bytes::from);
        let count = [number(slice as u64)];
        let key = [shards.keys.index(self.partition)];
        let arguments: Vec<_> = range.into_iter().chain(count).collect();
        let answer = shards.run(self.partition, &scripts::NAMES, &key, &arguments);
        for name in answer.await?.array()? {
            self.names.push_back(name.text()?);
        }
        self.ended = self.names.len() < slice;
        self.last = self.names.back().cloned().or(self.last.take());
        Ok(())
    }
}

/// Those of the channels that have a position or members, in the order given.
async fn describe(shards: &Shards, names: &[ChannelName]) -> Result<Vec<ChannelInfo>, CallError> {
    let keys = &shards.keys;
    let mut partitions: BTreeMap<Partition, Vec<&ChannelName>> = BTreeMap::new();
    for name in names {
        let of = keys.partition(name.as_str());
        partitions.entry(of).or_default().push(name);
    }
    let asking = partitions.into_iter().map(|(partition, names)| async move {
        let mut all = vec![keys.index(partition)];
        for name in &names {
            all.extend([keys.of(Of::Meta, name), keys.of(Of::Order, name)]);
        }
        let arguments: Vec<_> = names
            .iter()
            .map(|name| Bytes::copy_from_slice(name.as_str().as_bytes()))
            .collect();
        let answer = shards
            .run(partition, &scripts::LIST, &all, &arguments)
            .await?;
        let mut found = Vec::new();
        for (name, state) in names.into_iter().zip(answer.array()?) {
            let [epoch, offset, members] = exactly(state)?;
            let (offset, members) = (offset.number()?, members.number()?);
            if let Ok(epoch) = epoch.number()
                && (offset > 0 || members > 0)
            {
                let epoch = Epoch(epoch);
                found.push(ChannelInfo {
                    channel: name.clone(),
                    position: Position { epoch, offset },
                    members,
                });
            }
        }
        Ok::<_, CallError>(found)
    });
    let mut found: Vec<_> = try_join_all(asking).await?.into_iter().flatten().collect();
    found.sort_unstable_by(|one, other| one.channel.cmp(&other.channel));
    Ok(found)
}
