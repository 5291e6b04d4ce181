//! What a node makes of deliveries and interruptions, in its simplest form.

use std::sync::Arc;

use switchboard_core::{ChannelName, Position, Publication};

use super::capture::Event;
use super::outcome::Failure;
use crate::engine::Engine;
use crate::request::{EngineError, Interrupted, Read, ReadFrom};

/// Publications of one read.
const PAGE: usize = 100;

/// A model of a node that follows one channel: it takes a sink's calls in their order, ignores what it has, and refills
/// holes from history.
#[derive(Debug)]
pub struct Follower {
    channel: ChannelName,
    position: Position,
    /// What it has passed on, in that order.
    pub passed_on: Vec<Arc<Publication>>,
    /// Where history did not reach back, and it had to say so.
    pub gaps: Vec<Position>,
    /// How many publications only came by a refill.
    pub refilled: usize,
    taken: usize,
}

impl Follower {
    /// Follows `channel` from `position` on.
    pub fn new(channel: ChannelName, position: Position) -> Self {
        Self {
            channel,
            position,
            passed_on: Vec::new(),
            gaps: Vec::new(),
            refilled: 0,
            taken: 0,
        }
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Takes a sink's calls, of which it has seen the first ones in an earlier call.
    ///
    /// # Errors
    /// When history cannot be read.
    pub async fn take(&mut self, engine: &dyn Engine, events: &[Event]) -> Result<(), Failure> {
        for event in events.iter().skip(self.taken) {
            self.taken += 1;
            match event {
                Event::Publication(publication) if publication.channel == self.channel => {
                    self.publication(engine, publication).await?;
                }
                Event::Interrupted(Interrupted::All) => self.refill(engine).await?,
                Event::Interrupted(Interrupted::Channels(channels))
                    if channels.contains(&self.channel) =>
                {
                    self.refill(engine).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn publication(
        &mut self,
        engine: &dyn Engine,
        publication: &Arc<Publication>,
    ) -> Result<(), Failure> {
        let same_epoch = publication.epoch == self.position.epoch;
        if same_epoch && publication.offset <= self.position.offset {
            return Ok(());
        }
        if same_epoch && publication.offset == self.position.offset + 1 {
            self.pass_on(publication);
            return Ok(());
        }
        self.refill(engine).await
    }

    async fn refill(&mut self, engine: &dyn Engine) -> Result<(), Failure> {
        loop {
            let read = Read {
                from: ReadFrom::After(self.position),
                limit: PAGE,
            };
            let history = match engine.read(&self.channel, read).await {
                Ok(history) => history,
                Err(EngineError::Unavailable { .. }) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if !history.complete {
                self.gaps.push(history.top);
                self.position = history.top;
                return Ok(());
            }
            for publication in &history.publications {
                self.refilled += 1;
                self.pass_on(publication);
            }
            if self.position == history.top {
                return Ok(());
            }
        }
    }

    fn pass_on(&mut self, publication: &Arc<Publication>) {
        self.position = publication.position();
        self.passed_on.push(Arc::clone(publication));
    }
}
