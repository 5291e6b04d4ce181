//! A client as good clients are: it reads, and when its session ends or the node asks it to leave it comes back, to another node,
//! with what it has. What it was given goes into an account.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::MENDED;
use super::ledger::{Account, Given};
use super::rotation::Rotation;
use crate::client::{Ended, Place, Step};
use crate::waiting::SOON;
use crate::{Client, Frame, Opening, Transport};

/// The longest wait before the first new attempt; it doubles.
const BACKOFF: Duration = Duration::from_millis(40);

/// The longest wait before any.
const BACKOFF_MAX: Duration = Duration::from_millis(800);

/// How long a listener reads on after everything was published before it counts as stuck.
const LAST_WITHIN: Duration = Duration::from_secs(15);

/// How often a quiet listener looks whether it is time to leave.
const LOOK: Duration = Duration::from_millis(200);

/// A client and its account.
pub(super) struct Listener {
    name: String,
    rotation: Rotation,
    turn: usize,
    chance: StdRng,
    client: Client,
    heard: Heard,
}

/// What a listener was given, and when.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) accounts: BTreeMap<String, Account>,
    /// When each message of a channel came.
    pub(super) moments: BTreeMap<String, Vec<Instant>>,
    /// How often it came back.
    pub(super) reconnects: u64,
    /// The channels whose last publication has come, or was spoken for by a gap.
    ended: Vec<String>,
}

/// What a publication carries that is the last of its channel.
pub(super) const LAST: &str = "last";

impl Listener {
    /// Opens a session on a node that is subscribed to these channels.
    ///
    /// # Errors
    /// The node refuses it.
    pub(super) async fn open(
        rotation: Rotation,
        turn: usize,
        transport: Transport,
        opening: Opening,
        seed: u64,
    ) -> Result<Self> {
        let mut client = Client::open(rotation.door(turn), transport, opening).await?;
        client.await_subscribed().await?;
        let accounts = client
            .positions()
            .iter()
            .filter(|(name, _)| !name.is_empty());
        let accounts = accounts.map(|(channel, position)| {
            let account = Account {
                from: position.clone(),
                given: Vec::new(),
            };
            (channel.clone(), account)
        });
        Ok(Self {
            name: format!("{} of node {turn}", transport.label()),
            heard: Heard {
                accounts: accounts.collect(),
                ..Heard::default()
            },
            rotation,
            turn,
            chance: StdRng::seed_from_u64(seed),
            client,
        })
    }

    /// Its name in findings.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Listens until the last publication of every channel has come, or long after `publishing` has ended.
    ///
    /// # Errors
    /// What came is not of the protocol, or it could not come back.
    pub(super) async fn listen(
        mut self,
        publishing: tokio::sync::watch::Receiver<bool>,
    ) -> Result<Heard> {
        let mut leave_at: Option<Instant> = None;
        let mut over_at: Option<Instant> = None;
        while self.heard.ended.len() < self.heard.accounts.len() {
            if !*publishing.borrow() {
                let over_at = over_at.get_or_insert_with(|| Instant::now() + LAST_WITHIN);
                if Instant::now() >= *over_at {
                    // What is missing is in no account, so the ledger counts it.
                    break;
                }
            }
            if leave_at.is_some_and(|at| at <= Instant::now()) {
                leave_at = None;
                self = self.come_back(&Ended::default()).await?;
            }
            match self.client.next_step(LOOK).await? {
                Some(Step::Frame(frame)) => match frame.kind.as_str() {
                    "draining" => {
                        let after = frame.body["reconnect_after"].as_u64().unwrap_or_default();
                        leave_at = Some(Instant::now() + Duration::from_millis(after));
                    }
                    "unsubscribed" => {
                        ensure!(frame.body["resubscribe"] == true, "{frame:?}");
                        leave_at = Some(Instant::now());
                    }
                    _ => self.take(&frame)?,
                },
                Some(Step::Ended(ended)) => {
                    leave_at = None;
                    self = self.come_back(&ended).await?;
                }
                None => {}
            }
        }
        Ok(self.heard)
    }

    fn take(&mut self, frame: &Frame) -> Result<()> {
        let given = match frame.kind.as_str() {
            "message" => Given::Message {
                number: frame.data()["n"].as_u64().context("a number")?,
                position: self.client.positions()[frame.channel()].clone(),
            },
            "gap" => Given::Gap(crate::client::Position::of(&frame.body["position"])),
            _ => return Ok(()),
        };
        if matches!(given, Given::Message { .. }) {
            let moments = self.heard.moments.entry(frame.channel().to_owned());
            moments.or_default().push(Instant::now());
        }
        let is_last = frame.data()[LAST] == true;
        if is_last && !self.heard.ended.iter().any(|name| name == frame.channel()) {
            self.heard.ended.push(frame.channel().to_owned());
        }
        let account = self.heard.accounts.get_mut(frame.channel());
        account
            .context("a channel nobody asked for")?
            .given
            .push(given);
        Ok(())
    }

    /// Comes back to the next node that has it, with what it has.
    async fn come_back(self, ended: &Ended) -> Result<Self> {
        let Self {
            name,
            rotation,
            mut turn,
            mut chance,
            client,
            mut heard,
        } = self;
        let transport = client.transport;
        let place: Place = client.drop_abruptly();
        let deadline = Instant::now() + MENDED;
        let mut wait = BACKOFF;
        let client = loop {
            // waits: spread out, as all clients of a node lose it at once
            tokio::time::sleep(chance.random_range(Duration::ZERO..wait)).await;
            wait = (wait * 2).min(BACKOFF_MAX);
            turn += 1;
            let attempt = place.resume(rotation.door(turn), transport);
            match tokio::time::timeout(SOON, attempt).await {
                Ok(Ok(client)) => break client,
                Ok(Err(error)) if Instant::now() >= deadline => {
                    let why = format!("{name} finds no way back after {ended:?}");
                    return Err(error.context(why));
                }
                Err(_) if Instant::now() >= deadline => {
                    anyhow::bail!("{name} finds no way back after {ended:?}: no answer")
                }
                _ => {}
            }
        };
        heard.reconnects += 1;
        Ok(Self {
            name,
            rotation,
            turn,
            chance,
            client,
            heard,
        })
    }
}
