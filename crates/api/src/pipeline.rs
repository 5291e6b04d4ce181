//! Publishes a stream of items: many at once, answered in their order, and each channel's items in their order.
//!
//! An engine answers at once or after a round trip. So an item is tried when it is taken, and only one that has to wait is
//! kept; items of other channels overtake it, items of its own channel queue up behind it and are handed over together when it
//! is answered. Nothing is taken while the window is full: the transport's flow control then holds the caller back.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Stream, StreamExt};
use switchboard_auth::{Caller, Scope};
use switchboard_core::{ChannelName, ClientError};
use switchboard_node::{Node, Publish, Published};
use switchboard_proto::api::v1;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::Status;

use crate::status::draining;
use crate::{decode, encode};

/// How many items are taken between two looks at whether the node drains. A look takes a lock.
const DRAIN_CHECK_ITEMS: u64 = 64;

/// Items of a channel that are handed over together at most: they are answered together, and the window moves on with answers.
const TOGETHER_MAX: usize = 64;

/// An item with the caller's number for it.
pub(crate) type Numbered = (u64, Option<v1::PublishItem>);

/// The items' results in the items' order. The stream ends when `items` has ended and all are answered.
pub(crate) struct Pipeline<S> {
    items: S,
    input: Input,
    node: Node,
    caller: Arc<Caller>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The channel of the last item, parsed and allowed: streams often stay with one.
    last: Option<ChannelName>,
    /// Items taken and not yet answered.
    window: VecDeque<Slot>,
    window_bytes: usize,
    /// How many items were answered: the place of the window's first.
    answered: u64,
    running: FuturesUnordered<BoxFuture<'static, Vec<Outcome>>>,
    /// For each channel that has items running, the places of those that wait behind them.
    busy: HashMap<ChannelName, VecDeque<u64>>,
}

/// How an item ended, by its place.
type Outcome = (u64, Result<Published, ClientError>);

enum Input {
    Open,
    /// Nothing more is taken; the status ends the stream once all are answered.
    Ended(Option<Status>),
}

struct Slot {
    sequence: u64,
    bytes: usize,
    state: SlotState,
}

enum SlotState {
    Waiting(Box<Publish>),
    Running(ChannelName),
    Done(v1::PublishResult),
}

impl<S: Stream<Item = Result<Numbered, Status>> + Unpin> Pipeline<S> {
    pub(crate) fn new(
        items: S,
        node: Node,
        caller: Arc<Caller>,
        closing: WaitForCancellationFutureOwned,
    ) -> Self {
        Self {
            items,
            input: Input::Open,
            node,
            caller,
            closing: Box::pin(closing),
            last: None,
            window: VecDeque::new(),
            window_bytes: 0,
            answered: 0,
            running: FuturesUnordered::new(),
            busy: HashMap::new(),
        }
    }

    fn has_room(&self) -> bool {
        let limits = self.node.limits();
        self.window.len() < limits.publish_window_items_max
            && (self.window_bytes < limits.publish_window_bytes_max || self.window.is_empty())
    }

    /// Takes the next item; pending when there is none yet.
    fn take(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let place = self.answered + self.window.len() as u64;
        if place.is_multiple_of(DRAIN_CHECK_ITEMS) && self.closing.as_mut().poll(cx).is_ready() {
            self.input = Input::Ended(Some(draining()));
            return Poll::Ready(());
        }
        match self.items.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok((sequence, item)))) => self.start(place, sequence, item, cx),
            Poll::Ready(Some(Err(status))) => self.input = Input::Ended(Some(status)),
            Poll::Ready(None) => self.input = Input::Ended(None),
            Poll::Pending => {
                if self.closing.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.input = Input::Ended(Some(draining()));
            }
        }
        Poll::Ready(())
    }

    fn start(
        &mut self,
        place: u64,
        sequence: u64,
        item: Option<v1::PublishItem>,
        cx: &mut Context<'_>,
    ) {
        let (bytes, state) = match self.decode(item) {
            Err(error) => (0, SlotState::Done(refused(error))),
            Ok(publish) => {
                let bytes = publish.payload.bytes().len();
                let state = if let Some(behind) = self.busy.get_mut(&publish.channel) {
                    behind.push_back(place);
                    SlotState::Waiting(Box::new(publish))
                } else {
                    self.publish(place, publish, cx)
                };
                (bytes, state)
            }
        };
        self.window_bytes += bytes;
        self.window.push_back(Slot {
            sequence,
            bytes,
            state,
        });
    }

    fn publish(&mut self, place: u64, publish: Publish, cx: &mut Context<'_>) -> SlotState {
        let channel = publish.channel.clone();
        let node = self.node.clone();
        let mut publishing = async move { node.publish(publish).await }.boxed();
        match publishing.poll_unpin(cx) {
            Poll::Ready(outcome) => SlotState::Done(result(outcome)),
            Poll::Pending => {
                self.running.push(
                    publishing
                        .map(move |outcome| vec![(place, outcome)])
                        .boxed(),
                );
                self.busy.insert(channel.clone(), VecDeque::new());
                SlotState::Running(channel)
            }
        }
    }

    /// Notes how a channel's items ended, and hands over what waited behind them.
    fn finish(&mut self, ended: Vec<Outcome>) {
        let mut of = None;
        for (place, outcome) in ended {
            let done = SlotState::Done(result(outcome));
            let SlotState::Running(channel) = std::mem::replace(&mut self.slot(place).state, done)
            else {
                unreachable!("only what runs ends")
            };
            of = Some(channel);
        }
        let channel = of.expect("at least one ran");
        let behind = self.busy.get_mut(&channel).expect("it was running");
        let places: Vec<u64> = behind.drain(..behind.len().min(TOGETHER_MAX)).collect();
        if places.is_empty() {
            self.busy.remove(&channel);
            return;
        }
        let mut together = Vec::with_capacity(places.len());
        for &place in &places {
            let running = SlotState::Running(channel.clone());
            let SlotState::Waiting(publish) =
                std::mem::replace(&mut self.slot(place).state, running)
            else {
                unreachable!("only waiting items queue behind a channel")
            };
            together.push(*publish);
        }
        let node = self.node.clone();
        let publishing = async move {
            let outcomes = node.publish_all(together).await;
            places.into_iter().zip(outcomes).collect()
        };
        self.running.push(publishing.boxed());
    }

    fn slot(&mut self, place: u64) -> &mut Slot {
        let index = usize::try_from(place - self.answered).expect("the window is small");
        &mut self.window[index]
    }

    fn decode(&mut self, item: Option<v1::PublishItem>) -> Result<Publish, ClientError> {
        let item = item.ok_or_else(|| decode::bad_request("`item` is missing"))?;
        let channel = match &self.last {
            Some(last) if last.as_str() == item.channel => last.clone(),
            _ => {
                let channel = decode::channel(&item.channel)?;
                self.caller.may(Scope::Publish, Some(&channel))?;
                self.last.insert(channel).clone()
            }
        };
        decode::publish(item, channel, self.node.limits())
    }

    /// The first of the window, when its fate is known.
    fn answer(&mut self) -> Option<(u64, v1::PublishResult)> {
        let Slot {
            sequence,
            bytes,
            state,
        } = self.window.pop_front()?;
        if let SlotState::Done(result) = state {
            self.answered += 1;
            self.window_bytes -= bytes;
            return Some((sequence, result));
        }
        self.window.push_front(Slot {
            sequence,
            bytes,
            state,
        });
        None
    }
}

impl<S: Stream<Item = Result<Numbered, Status>> + Unpin> Stream for Pipeline<S> {
    type Item = Result<(u64, v1::PublishResult), Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            while !this.running.is_empty() {
                let Poll::Ready(Some(ended)) = this.running.poll_next_unpin(cx) else {
                    break;
                };
                this.finish(ended);
            }
            if let Some(answer) = this.answer() {
                return Poll::Ready(Some(Ok(answer)));
            }
            let has_room = this.has_room();
            match &mut this.input {
                Input::Open if has_room => {
                    if this.take(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Input::Ended(status) if this.window.is_empty() => {
                    return Poll::Ready(status.take().map(Err));
                }
                Input::Open | Input::Ended(_) => return Poll::Pending,
            }
        }
    }
}

/// What became of one item among many.
fn result(outcome: Result<Published, ClientError>) -> v1::PublishResult {
    match outcome {
        Ok(published) => {
            let position = Some(encode::position(published.position));
            let published = v1::Published {
                position,
                duplicate: published.duplicate,
            };
            v1::PublishResult {
                result: Some(v1::publish_result::Result::Published(published)),
            }
        }
        Err(error) => refused(error),
    }
}

fn refused(error: ClientError) -> v1::PublishResult {
    let error = v1::PublishError {
        code: error.code.as_str().to_owned(),
        message: error.message.into_owned(),
        retryable: error.code.retryable(),
    };
    v1::PublishResult {
        result: Some(v1::publish_result::Result::Error(error)),
    }
}
