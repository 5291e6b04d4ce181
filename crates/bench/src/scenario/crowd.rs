//! Crowds: who listens to what.

use anyhow::{Result, bail};

use crate::fleet::switchboard;
use crate::hub::token;
use crate::load::{Framing, Group};
use crate::scenario::channels;

/// Channels that a session may subscribe to when it opens, as the hub is configured by default.
pub(crate) const CHANNELS_PER_SESSION_MAX: usize = 128;

/// Clients, and the channels that are published to in turn.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    pub(crate) name: String,
    pub(crate) groups: Vec<Group>,
    pub(crate) channels: Vec<String>,
    /// Publication k is for the clients whose number is k modulo this.
    pub(crate) turns: u64,
    /// Each channel is published to once before anything is measured: its first publication makes its history.
    pub(crate) is_woken: bool,
}

impl Crowd {
    /// So many WebSockets (or others) on one channel.
    pub(crate) fn on_one_channel(framing: Framing, clients: usize) -> Result<Self> {
        let names = channels(1);
        Ok(Self {
            name: format!("{clients} on one channel"),
            groups: vec![switchboard(framing, clients, &names, &token("bench")?)],
            channels: names,
            turns: 1,
            is_woken: false,
        })
    }

    /// Clients dealt out over many channels, one each.
    pub(crate) fn spread(framing: Framing, clients: usize, channel_count: usize) -> Result<Self> {
        let names = ["b:{m}".to_owned()];
        let mut group = switchboard(framing, clients, &names, &token("bench")?);
        group.modulus = channel_count;
        Ok(Self {
            name: format!("{clients} over {channel_count} channels"),
            groups: vec![group],
            channels: channels(channel_count),
            turns: channel_count as u64,
            is_woken: false,
        })
    }

    /// WebSockets with `each` channels of their own: so many channels that hardly any is warm.
    pub(crate) fn of_own_channels(clients: usize, each: usize) -> Result<Self> {
        check_share(clients, each)?;
        let own: Vec<String> = (0..each).map(|n| format!("b:{n}-{{n}}")).collect();
        // In turn of the clients, and of each client's channels in an order that is not that of their making.
        let names = (0..clients * each).map(|n| {
            let (round, client) = (n / clients, n % clients);
            format!("b:{}-{client}", (round + client * 31) % each)
        });
        Ok(Self {
            name: format!("{} channels, {each} a session", clients * each),
            groups: vec![switchboard(
                Framing::WebSocket,
                clients,
                &own,
                &token("bench")?,
            )],
            channels: names.collect(),
            turns: clients as u64,
            is_woken: true,
        })
    }

    /// 70% WebSockets, 20% event streams, 10% polls on one channel.
    pub(crate) fn mixed(clients: usize) -> Result<Self> {
        let (names, token) = (channels(1), token("bench")?);
        let (streams, polls) = (clients / 5, clients / 10);
        let group = |framing, count| switchboard(framing, count, &names, &token);
        Ok(Self {
            name: format!("{clients} mixed 70/20/10"),
            groups: vec![
                group(Framing::WebSocket, clients - streams - polls),
                group(Framing::EventStream, streams),
                group(Framing::Poll, polls),
            ],
            channels: names.clone(),
            turns: 1,
            is_woken: false,
        })
    }

    /// As many of its first group as are wanted, that never read once they are open.
    pub(crate) fn stalled(&self, clients: usize) -> Group {
        let mut group = self.groups[0].clone();
        group.clients = clients;
        group.stalled = true;
        group
    }
}

/// Checks that so many clients may have `each` channels.
pub(crate) fn check_share(clients: usize, each: usize) -> Result<()> {
    if each <= CHANNELS_PER_SESSION_MAX {
        return Ok(());
    }
    let channels = clients * each;
    let enough = channels.div_ceil(CHANNELS_PER_SESSION_MAX);
    let even = (enough..=channels).find(|n| channels.is_multiple_of(*n));
    bail!(
        "{channels} channels over {clients} sessions are {each} each, and a session subscribes to at most \
         {CHANNELS_PER_SESSION_MAX}: take {} sessions, or fewer channels",
        even.unwrap_or(channels)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_channel_of_its_own_has_its_turn_with_its_client() {
        let crowd = Crowd::of_own_channels(20, 7).unwrap();
        let distinct: HashSet<_> = crowd.channels.iter().collect();
        assert_eq!(distinct.len(), 140);
        for (n, name) in crowd.channels.iter().enumerate() {
            let client = name.rsplit_once('-').unwrap().1;
            assert_eq!(client, (n % 20).to_string());
        }
        let refused = Crowd::of_own_channels(10, 129).unwrap_err().to_string();
        assert!(refused.contains("take 15 sessions"), "{refused}");
    }
}
