//! The client's one task: which session when, and what goes to it and comes from it.
//!
//! It owns everything, and waits for everything in one place ([`Driver::next`]); all else decides without waiting. So nothing is left
//! of a client whose task has ended.

mod renewal;

use std::future::pending;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::Error;
use crate::backoff::backoff;
use crate::dial::Address;
use crate::events::{ClientEvent, Session, State};
use crate::frames::{Frame, Reply};
use crate::inbox::Inbox;
use crate::link::Link;
use crate::outbox::Outbox;
use crate::phase::{Moving, Phase, Reached, Renewal};
use crate::place::Start;
use crate::requests::{Request, Requests};
use crate::subscriptions::{Standing, Subscriptions};
use crate::timing::{RENEW_AGAIN, TOKEN_REFUSALS_MAX, Timing};
use crate::tokens::{ForOpening, TokenError, Tokens};
use crate::verdict::{Loss, Next, judge};

/// What a handle asks of the task.
pub(crate) enum Order {
    Ask(Request),
    Subscribe {
        start: Start,
        inbox: Arc<Inbox>,
        standing: Standing,
    },
    /// Gives the subscription of this channel, where nobody has it.
    Hold {
        channel: String,
        held: tokio::sync::oneshot::Sender<Option<Arc<Inbox>>>,
    },
    Close,
}

/// Where the client stands, for its handles.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) state: State,
    pub(crate) session: Option<Session>,
    /// Why it stopped, where it was not closed.
    pub(crate) error: Option<Error>,
}

/// Is told what happens to the client.
pub(crate) type Listener = Arc<dyn Fn(ClientEvent) + Send + Sync>;

/// What the task is made of.
pub(crate) struct Parts {
    pub(crate) address: Address,
    pub(crate) timing: Timing,
    pub(crate) tokens: Tokens,
    pub(crate) inbox_max: usize,
    pub(crate) listener: Option<Listener>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) orders: mpsc::Receiver<Order>,
    /// Tells that somebody no longer wants what was asked.
    pub(crate) left: Arc<Notify>,
}

pub(crate) struct Driver {
    parts: Parts,
    outbox: Outbox,
    subscriptions: Subscriptions,
    requests: Requests,
    phase: Phase,
    moving: Moving,
    renewal: Renewal,
    /// The goodbye to a session that another has taken the place of.
    leaving: Option<BoxFuture<'static, ()>>,
    attempt: u32,
    token_refusals: u32,
    /// The present token was refused.
    is_refused: bool,
    opened_at: Instant,
    has_moved: bool,
}

enum Happening {
    Order(Option<Order>),
    Left,
    Reached(Reached),
    Moved(Result<Box<Link>, Loss>),
    Renewed(Result<String, TokenError>),
    Gone,
    Tick,
}

/// Goes on, or ends for this reason; without one where the application wished it.
type Flow = ControlFlow<Option<Error>>;

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let (left, timing) = (Arc::clone(&parts.left), parts.timing.clone());
        let now = Instant::now();
        Self {
            outbox: Outbox::default(),
            subscriptions: Subscriptions::new(parts.inbox_max, left, timing),
            requests: Requests::default(),
            phase: Phase::Waiting(now),
            moving: Moving::No,
            renewal: Renewal::No,
            leaving: None,
            attempt: 0,
            token_refusals: 0,
            is_refused: false,
            opened_at: now,
            has_moved: false,
            parts,
        }
    }

    /// Keeps a session until the client is closed or has to stop for good.
    pub(crate) async fn run(mut self) {
        self.enter(State::Connecting, None);
        let mut flow = self.begin();
        let why = loop {
            if let ControlFlow::Break(why) = flow {
                break why;
            }
            let happening = self.next().await;
            flow = self.handle(happening);
            if flow.is_continue() && self.outbox.has_overflowed() {
                flow = self.lost(Loss::broken("the connection takes nothing any more"));
            }
        };
        self.finish(why).await;
    }

    async fn next(&mut self) -> Happening {
        let wake_at = self.wake_at();
        let Parts { orders, left, .. } = &mut self.parts;
        tokio::select! {
            order = orders.recv() => Happening::Order(order),
            () = left.notified() => Happening::Left,
            reached = self.phase.next(&mut self.outbox) => Happening::Reached(reached),
            opened = self.moving.next() => Happening::Moved(opened),
            fetched = self.renewal.next() => Happening::Renewed(fetched),
            () = gone(&mut self.leaving) => Happening::Gone,
            () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => Happening::Tick,
        }
    }

    fn wake_at(&self) -> Option<Instant> {
        let timers = [
            self.phase.wake_at(self.parts.timing.silence),
            self.moving.wake_at(),
            self.renewal.wake_at(),
            self.subscriptions.wake_at(),
            self.requests.wake_at(),
        ];
        timers.into_iter().flatten().min()
    }

    fn handle(&mut self, happening: Happening) -> Flow {
        match happening {
            Happening::Order(order) => return self.obey(order),
            Happening::Left => {
                self.requests.sweep();
                self.subscriptions.end_left(&mut self.outbox);
            }
            Happening::Reached(Reached::Token(fetched)) => return self.fetched(fetched),
            Happening::Reached(Reached::Opened(Ok(link))) => self.adopt(link, false),
            Happening::Reached(Reached::Opened(Err(loss))) => return self.refused(loss),
            Happening::Reached(Reached::Heard(Ok(frame))) => self.hear(*frame),
            Happening::Reached(Reached::Heard(Err(loss))) => return self.lost(loss),
            Happening::Moved(Ok(link)) => self.adopt(link, true),
            // The present session serves until the hub closes it.
            Happening::Moved(Err(_)) => self.moving = Moving::No,
            Happening::Renewed(fetched) => self.renew(fetched),
            Happening::Gone => self.leaving = None,
            Happening::Tick => return self.tick(Instant::now()),
        }
        Flow::Continue(())
    }

    fn obey(&mut self, order: Option<Order>) -> Flow {
        match order {
            Some(Order::Ask(request)) => self.requests.ask(request, &mut self.outbox),
            Some(Order::Subscribe {
                start,
                inbox,
                standing,
            }) => {
                let (outbox, now) = (&mut self.outbox, Instant::now());
                self.subscriptions.add(start, inbox, standing, outbox, now);
            }
            Some(Order::Hold { channel, held }) => {
                // Who no longer waits for it has no reader for it either.
                if let Err(Some(inbox)) = held.send(self.subscriptions.hold(&channel)) {
                    inbox.leave();
                }
            }
            // Asked for, or the last handle was dropped.
            Some(Order::Close) | None => return Flow::Break(None),
        }
        Flow::Continue(())
    }

    /// Begins an attempt: a token first.
    fn begin(&mut self) -> Flow {
        let for_opening = self
            .parts
            .tokens
            .for_opening(self.is_refused, Instant::now());
        self.is_refused = self.token_refusals > 0;
        match for_opening {
            ForOpening::Use(token) => self.open(token),
            ForOpening::Fetch(fetch) => self.phase = Phase::Fetching(fetch),
            ForOpening::Stop(error) => return Flow::Break(Some(error)),
        }
        Flow::Continue(())
    }

    fn fetched(&mut self, fetched: Result<String, TokenError>) -> Flow {
        match fetched {
            Ok(token) => {
                self.parts.tokens.keep(token.clone());
                self.open(Some(token));
            }
            Err(error @ TokenError::Denied(_)) => {
                return Flow::Break(Some(Error::new("token_failed", error.to_string())));
            }
            Err(TokenError::Unavailable(_)) => self.wait(None),
        }
        Flow::Continue(())
    }

    fn open(&mut self, token: Option<String>) {
        self.phase = Phase::Opening(self.opening(token));
    }

    fn opening(&self, token: Option<String>) -> BoxFuture<'static, Result<Box<Link>, Loss>> {
        let (address, timing) = (self.parts.address.clone(), self.parts.timing.clone());
        Box::pin(Link::open(address, token, timing))
    }

    /// Waits before the next attempt: for as long as the hub said, or at random.
    fn wait(&mut self, after: Option<Duration>) {
        let Timing {
            backoff_base,
            backoff_cap,
            ..
        } = self.parts.timing;
        let jittered = || backoff(self.attempt, rand::random(), backoff_base, backoff_cap);
        let wait = after.unwrap_or_else(jittered);
        self.attempt += 1;
        self.phase = Phase::Waiting(Instant::now() + wait);
    }

    /// Makes a session the present one.
    fn adopt(&mut self, link: Box<Link>, moved: bool) {
        let (now, session) = (Instant::now(), link.opened.clone());
        self.requests.lose();
        self.outbox.open(session.limits.command_bytes_max);
        let before = std::mem::replace(&mut self.phase, Phase::Open(link));
        if let (true, Phase::Open(before)) = (moved, before) {
            self.leaving = Some(Box::pin(before.leave()));
        }
        self.moving = Moving::No;
        self.has_moved = moved;
        if !moved {
            self.opened_at = now;
        }
        self.parts
            .status
            .send_modify(|status| status.session = Some(session.clone()));
        if !moved {
            self.enter(State::Connected, None);
        }
        self.plan_renewal(session.expires_at, session.time, now);
        self.tell(ClientEvent::Opened { session, moved });
        self.subscriptions.ask_all(&mut self.outbox, now);
        self.requests.resend(&mut self.outbox);
    }

    fn hear(&mut self, frame: Frame) {
        let now = Instant::now();
        if let Some(reply) = frame.reply {
            self.answer(reply, now);
        } else if let Some(draining) = &frame.draining {
            if matches!(self.moving, Moving::No) {
                self.moving = Moving::At(now + draining.reconnect_after.unwrap_or_default());
            }
        } else if frame.expiring.is_some() {
            self.begin_renewal();
        } else if let Some(message) = frame.message.as_ref().filter(|it| it.channel.is_none()) {
            self.tell(ClientEvent::Direct(message.clone()));
        } else if let Some(channel) = self.subscriptions.take(frame, &mut self.outbox, now) {
            self.tell(ClientEvent::Found { channel });
        }
    }

    fn answer(&mut self, reply: Reply, now: Instant) {
        if matches!(self.renewal, Renewal::Told { id, .. } if id == reply.id) {
            match reply.refresh {
                Some(told) => self.plan_renewal(told.expires_at, self.hub_time(now), now),
                // Until it ends there is time to try again; after that the hub closes with 4100, and the next connection asks anew.
                None => self.renewal = Renewal::At(now + RENEW_AGAIN),
            }
        } else if let Some(reply) = self.requests.answer(reply, now, &self.parts.timing) {
            self.subscriptions.answer(reply, now);
        }
    }

    /// No session was to be had.
    fn refused(&mut self, loss: Loss) -> Flow {
        let told = judge(loss);
        match told.next {
            Next::Stop => return Flow::Break(Some(Error::new(told.code, told.message))),
            Next::WithToken => {
                self.token_refusals += 1;
                self.is_refused = true;
                if self.token_refusals > TOKEN_REFUSALS_MAX {
                    return Flow::Break(Some(Error::new(told.code, told.message)));
                }
                // The first time another is asked for at once, and then ever more slowly.
                if self.token_refusals == 1 {
                    return self.begin();
                }
            }
            Next::Again => self.is_refused = self.token_refusals > 0,
        }
        self.wait(told.after);
        Flow::Continue(())
    }

    /// The session is gone; another one follows, or the client stops.
    fn lost(&mut self, loss: Loss) -> Flow {
        let now = Instant::now();
        if self.has_moved || now >= self.opened_at + self.parts.timing.proven {
            self.attempt = 0;
            self.token_refusals = 0;
        }
        self.leave_session();
        let told = judge(loss.clone());
        if told.next != Next::Stop {
            self.enter(State::Connecting, Some(Error::new(told.code, told.message)));
        }
        self.refused(loss)
    }

    fn leave_session(&mut self) {
        self.outbox.close();
        self.moving = Moving::No;
        self.renewal = Renewal::No;
        self.has_moved = false;
        self.subscriptions.lose();
        self.requests.lose();
        self.parts
            .status
            .send_modify(|status| status.session = None);
    }

    fn tick(&mut self, now: Instant) -> Flow {
        self.requests.tick(now, &mut self.outbox);
        if !self.subscriptions.tick(now, &mut self.outbox) {
            return self.lost(Loss::broken("what was subscribed was not answered in time"));
        }
        if self.moving.wake_at().is_some_and(|at| at <= now) {
            self.moving = Moving::Opening(self.opening(self.parts.tokens.present()));
        }
        match self.renewal {
            Renewal::At(at) if at <= now => self.begin_renewal(),
            Renewal::Told { until, .. } if until <= now => {
                self.renewal = Renewal::At(now + RENEW_AGAIN);
            }
            _ => {}
        }
        match &self.phase {
            Phase::Waiting(until) if *until <= now => self.begin(),
            Phase::Open(link) if link.silent_at(self.parts.timing.silence) <= now => {
                self.lost(Loss::broken("nothing was heard for too long"))
            }
            _ => Flow::Continue(()),
        }
    }

    /// Ends everything; with the reason, where it was not the application's wish.
    async fn finish(&mut self, why: Option<Error>) {
        let error = why.clone().unwrap_or_else(Error::closed);
        self.requests.fail(&error);
        self.subscriptions.end_all(why.as_ref());
        self.parts.status.send_modify(|status| {
            status.session = None;
            status.error.clone_from(&why);
        });
        self.enter(State::Disconnected, why.clone());
        if let Some(error) = why {
            self.tell(ClientEvent::Stopped(error));
        } else if let Phase::Open(link) =
            std::mem::replace(&mut self.phase, Phase::Waiting(Instant::now()))
        {
            link.leave().await;
        }
        if let Some(leaving) = self.leaving.take() {
            leaving.await;
        }
    }

    fn enter(&self, state: State, error: Option<Error>) {
        self.parts.status.send_modify(|status| status.state = state);
        self.tell(ClientEvent::StateChanged { state, error });
    }

    fn tell(&self, event: ClientEvent) {
        if let Some(listener) = &self.parts.listener {
            listener(event);
        }
    }
}

async fn gone(leaving: &mut Option<BoxFuture<'static, ()>>) {
    match leaving {
        Some(leaving) => leaving.await,
        None => pending().await,
    }
}
