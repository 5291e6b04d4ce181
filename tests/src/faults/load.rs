//! The load of a row: a publisher a channel, listeners on all nodes and transports, and the sums at the end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ledger::{Figures, Published};
use super::listener::{Heard, Listener};
use super::publisher::{FLOWS, Publisher};
use super::rotation::Rotation;
use super::{MENDED, Plan};
use crate::door::Door;
use crate::waiting::until;
use crate::{Hub, Transport};

/// Publications on their way to clients, until [`Load::end`].
pub(super) struct Load {
    plan: Plan,
    rotation: Rotation,
    going_on: watch::Sender<bool>,
    /// Said once all publishers have ended.
    publishing: watch::Sender<bool>,
    publishers: Vec<(String, JoinHandle<Result<Published>>)>,
    listeners: Vec<(String, JoinHandle<Result<Heard>>)>,
    began: Instant,
    struck: Option<Instant>,
}

impl Load {
    /// Opens the listeners and then starts to publish. `insists`: publishers repeat, under its id, what may have happened.
    ///
    /// # Errors
    /// A listener is refused.
    pub(super) async fn start(nodes: &[Hub], plan: &Plan, insists: bool) -> Result<Self> {
        let rotation = Rotation::of(nodes.iter());
        let channels: Vec<String> = (0..plan.channels).map(|n| format!("chat:{n}")).collect();
        let (publishing, publishing_ends) = watch::channel(true);
        let mut listeners = Vec::new();
        for (node, hub) in nodes.iter().enumerate() {
            for transport in Transport::ALL {
                for _ in 0..plan.clients {
                    let mut opening = hub.opening("alice");
                    opening.channels.clone_from(&channels);
                    let seed = plan.seed.wrapping_add(listeners.len() as u64);
                    let listener =
                        Listener::open(rotation.clone(), node, transport, opening, seed).await?;
                    let name = listener.name().to_owned();
                    let listening = tokio::spawn(listener.listen(publishing_ends.clone()));
                    listeners.push((name, listening));
                }
            }
        }
        let (going_on, goes_on) = watch::channel(true);
        let start = |(turn, channel): (usize, String)| {
            let publisher = Publisher {
                channel: channel.clone(),
                rotation: rotation.clone(),
                turn,
                insists,
            };
            let publishing = publisher.publish(plan.clone(), goes_on.clone());
            (channel, tokio::spawn(publishing))
        };
        Ok(Self {
            publishers: channels.into_iter().enumerate().map(start).collect(),
            plan: plan.clone(),
            rotation,
            going_on,
            publishing,
            listeners,
            began: Instant::now(),
            struck: None,
        })
    }

    /// Lets the load flow for a moment, before a fault or after one.
    pub(super) async fn flows(&self) {
        // waits: publications are on their way when the fault strikes
        tokio::time::sleep(FLOWS).await;
    }

    /// Notes that a fault strikes now, and says so.
    pub(super) fn strikes(&mut self, what: &str) {
        self.struck.get_or_insert_with(Instant::now);
        (self.plan.tell)(what);
    }

    /// Whether another fault is due.
    pub(super) fn goes_on(&self) -> bool {
        self.began.elapsed() < self.plan.lasts
    }

    /// A node has another in its place.
    pub(super) fn replace(&self, index: usize, node: &Hub) {
        self.rotation.replace(index, Door::from(node));
    }

    /// Publishes the last of each channel, awaits it everywhere, and sums up.
    ///
    /// # Errors
    /// A publisher or a listener failed.
    pub(super) async fn end(self) -> Result<Figures> {
        (self.plan.tell)("the last publications");
        self.going_on.send_replace(false);
        let mut channels = Vec::new();
        for (channel, publisher) in self.publishers {
            let published = tokio::time::timeout(MENDED * 2, publisher).await;
            channels.push((channel, published.context("a publisher hangs")???));
        }
        self.publishing.send_replace(false);
        let mut all_heard = Vec::new();
        for (name, listener) in self.listeners {
            let heard = tokio::time::timeout(MENDED * 3, listener).await;
            all_heard.push((name, heard.context("a listener hangs")???));
        }
        let mut figures = Figures::default();
        for (channel, published) in &channels {
            let account = |(name, heard): &(String, Heard)| {
                let account = heard.accounts.get(channel).cloned();
                (name.clone(), account.unwrap_or_default())
            };
            let accounts: Vec<_> = all_heard.iter().map(account).collect();
            figures.enter(channel, published, &accounts);
        }
        ensure!(figures.sent > 0 && figures.received > 0, "{figures:?}");
        let struck = self.struck.context("no fault was struck")?;
        for (_, heard) in &all_heard {
            figures.reconnects += heard.reconnects;
            for moments in heard.moments.values() {
                let silence = longest_silence(moments, struck);
                figures.silence_ms = figures.silence_ms.max(silence.as_millis() as u64);
            }
        }
        Ok(figures)
    }
}

/// The longest time between two messages of which the second came after the fault.
fn longest_silence(moments: &[Instant], struck: Instant) -> Duration {
    let pairs = moments.windows(2).filter(|pair| pair[1] >= struck);
    let silences = pairs.map(|pair| pair[1].duration_since(pair[0]));
    silences.max().unwrap_or_default()
}

/// Waits until each node says that it is ready, or that it is not.
///
/// # Errors
/// It does not say so in time.
pub(super) async fn all_are(nodes: &[Hub], ready: bool, within: Duration) -> Result<()> {
    for node in nodes {
        let what = if ready {
            "a node that is ready"
        } else {
            "a node that is not ready"
        };
        until(what, within, || async {
            Ok((node.readyz().await?.is_success() == ready).then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_counts_when_it_ends_after_the_fault() {
        let start = Instant::now();
        let moments: Vec<_> = [0, 700, 800, 850, 1250, 1300]
            .map(|ms| start + Duration::from_millis(ms))
            .into();
        let silence = |struck_ms| {
            longest_silence(&moments, start + Duration::from_millis(struck_ms)).as_millis()
        };
        assert_eq!(silence(0), 700);
        assert_eq!(silence(750), 400);
        assert_eq!(silence(900), 400);
        assert_eq!(silence(1260), 50);
        assert_eq!(silence(1400), 0);
    }
}
