//! A publisher: a number after the other in one channel, at a steady pace, each with an id of its own, and what it was told of each.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::sync::watch;
use tonic::Code;

use super::ledger::{Fate, Published};
use super::listener::LAST;
use super::rotation::Rotation;
use super::{MENDED, Plan};
use crate::client::Position;
use crate::services::{self, Services};

/// What is published where, and how.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    pub(super) channel: String,
    pub(super) rotation: Rotation,
    pub(super) turn: usize,
    /// Whether what may have happened is published again under its id until it has: then nothing stays unknown.
    pub(super) insists: bool,
}

impl Publisher {
    /// Publishes until told to end; then one more, which must succeed.
    ///
    /// # Errors
    /// A refusal that no fault explains, or the last one fails for too long.
    pub(super) async fn publish(
        mut self,
        plan: Plan,
        mut going_on: watch::Receiver<bool>,
    ) -> Result<Published> {
        let mut published = Published::new();
        let mut link: Option<Services> = None;
        for number in 0_u64.. {
            let last = !*going_on.borrow();
            let insists = self.insists || last;
            let deadline = Instant::now() + MENDED;
            loop {
                let fate = self.attempt(&mut link, number, last).await?;
                let known = matches!(fate, Fate::Acknowledged(_));
                published.insert(number, fate);
                if known || !insists {
                    break;
                }
                if Instant::now() >= deadline {
                    bail!("{number} in {} is never accepted", self.channel);
                }
                // waits: before trying again, as a publisher does
                tokio::time::sleep(plan.pace).await;
            }
            if last {
                break;
            }
            // The pace, or the end of it.
            let _ = tokio::time::timeout(plan.pace, going_on.changed()).await;
        }
        Ok(published)
    }

    async fn attempt(
        &mut self,
        link: &mut Option<Services>,
        number: u64,
        last: bool,
    ) -> Result<Fate> {
        if link.is_none() {
            let door = self.rotation.door(self.turn);
            *link = Services::connect(door.api, &door.api_key).await.ok();
        }
        let Some(services) = link else {
            self.turn += 1;
            return Ok(Fate::Unknown);
        };
        let mut item = services::item(&self.channel, &json!({"n": number, LAST: last}));
        item.id = format!("{}-{number}", self.channel);
        let error = match services.publish_item(item).await {
            Ok(position) => {
                return Ok(Fate::Acknowledged(Position {
                    epoch: position.epoch,
                    offset: position.offset,
                }));
            }
            Err(error) => error,
        };
        let status = error.downcast_ref::<tonic::Status>();
        match status.context("a publish failed")?.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
                // Any other node is as good; and this one's connection may be gone.
                *link = None;
                self.turn += 1;
                Ok(Fate::Unknown)
            }
            _ => Err(error.context(format!("{number} in {}", self.channel))),
        }
    }
}

/// The pause after which a publisher has surely published: a fault is struck when the load flows.
pub(super) const FLOWS: Duration = Duration::from_millis(400);
