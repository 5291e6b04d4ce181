//! Commands that await their reply.

use std::collections::BTreeMap;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::Error;
use crate::backoff::backoff;
use crate::commands::command;
use crate::frames::Reply;
use crate::outbox::Outbox;
use crate::timing::{PENDING_MAX, Timing};

/// Who awaits a reply.
pub(crate) type Answer = oneshot::Sender<Result<Reply, Error>>;

/// A command that somebody awaits.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) name: &'static str,
    /// JSON.
    pub(crate) body: String,
    /// It may be carried out twice: it is sent again when the connection was lost, and when the hub says that it may succeed later.
    pub(crate) safe: bool,
    pub(crate) answer: Answer,
}

#[derive(Debug)]
struct Pending {
    request: Request,
    sent: bool,
    attempt: u32,
    retry_at: Option<Instant>,
}

/// All of a client's requests, in the order in which they were asked.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pending: BTreeMap<u64, Pending>,
}

impl Requests {
    /// Sends a command as soon as there is a session.
    pub(crate) fn ask(&mut self, request: Request, outbox: &mut Outbox) {
        self.sweep();
        if self.pending.len() >= PENDING_MAX {
            let error = Error::new("overflow", "too many commands are under way already");
            drop(request.answer.send(Err(error.retryable(None))));
            return;
        }
        let id = outbox.next_id();
        let pending = Pending {
            request,
            sent: false,
            attempt: 0,
            retry_at: None,
        };
        self.pending.insert(id, pending);
        self.send(id, outbox);
    }

    /// Forgets those that nobody awaits any more.
    pub(crate) fn sweep(&mut self) {
        self.pending
            .retain(|_, pending| !pending.request.answer.is_closed());
    }

    /// A session stands: what waits is sent, in the order in which it was asked.
    pub(crate) fn resend(&mut self, outbox: &mut Outbox) {
        self.sweep();
        let waits = |pending: &Pending| !pending.sent && pending.retry_at.is_none();
        let waiting = self.pending.iter().filter(|(_, pending)| waits(pending));
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.send(id, outbox);
        }
    }

    fn send(&mut self, id: u64, outbox: &mut Outbox) {
        let Some(pending) = self.pending.get_mut(&id).filter(|_| outbox.is_open()) else {
            return;
        };
        let text = command(id, pending.request.name, &pending.request.body);
        // The hub would close a socket for it, and that for good: the command would fail again.
        if let Some(max) = outbox.too_long(&text) {
            let message = format!("a command has {max} bytes at most here");
            self.settle(id, Err(Error::new("payload_too_large", message)));
            return;
        }
        pending.sent = true;
        outbox.send(text);
    }

    /// Takes a reply in, and gives it back where it is not awaited here.
    pub(crate) fn answer(&mut self, reply: Reply, now: Instant, timing: &Timing) -> Option<Reply> {
        let Some(pending) = self.pending.get_mut(&reply.id) else {
            return Some(reply);
        };
        match reply.error {
            Some(told) if told.retryable && pending.request.safe => {
                let (base, cap) = (timing.backoff_base, timing.backoff_cap);
                let jittered = || backoff(pending.attempt, rand::random(), base, cap);
                let wait = told.retry_after.unwrap_or_else(jittered);
                pending.sent = false;
                pending.attempt += 1;
                pending.retry_at = Some(now + wait);
            }
            Some(told) => self.settle(reply.id, Err(told.into())),
            None => self.settle(reply.id, Ok(reply)),
        }
        None
    }

    /// The session is gone, and with it the replies to what was sent.
    pub(crate) fn lose(&mut self) {
        let mut unknown = Vec::new();
        for (id, pending) in &mut self.pending {
            if pending.request.safe {
                pending.sent = false;
            } else if pending.sent {
                unknown.push(*id);
            }
        }
        for id in unknown {
            let message =
                "the connection was lost before the reply: whether it happened is unknown";
            self.settle(id, Err(Error::new("unavailable", message).retryable(None)));
        }
    }

    /// Fails all of them.
    pub(crate) fn fail(&mut self, error: &Error) {
        for pending in std::mem::take(&mut self.pending).into_values() {
            // Who no longer awaits it does not want to know.
            drop(pending.request.answer.send(Err(error.clone())));
        }
    }

    /// When something is to be sent again.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.pending
            .values()
            .filter_map(|pending| pending.retry_at)
            .min()
    }

    /// Sends again what has waited for long enough.
    pub(crate) fn tick(&mut self, now: Instant, outbox: &mut Outbox) {
        let due = |pending: &Pending| pending.retry_at.is_some_and(|at| at <= now);
        let due = self.pending.iter().filter(|(_, pending)| due(pending));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(pending) = self.pending.get_mut(&id) {
                pending.retry_at = None;
            }
            self.send(id, outbox);
        }
    }

    fn settle(&mut self, id: u64, outcome: Result<Reply, Error>) {
        if let Some(pending) = self.pending.remove(&id) {
            drop(pending.request.answer.send(outcome));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::Frame;
    use std::time::Duration;

    type Awaited = oneshot::Receiver<Result<Reply, Error>>;

    fn ask(requests: &mut Requests, outbox: &mut Outbox, safe: bool) -> Awaited {
        let (answer, awaited) = oneshot::channel();
        let request = Request {
            name: "ping",
            body: "{}".to_owned(),
            safe,
            answer,
        };
        requests.ask(request, outbox);
        awaited
    }

    fn open() -> (Requests, Outbox) {
        let mut outbox = Outbox::default();
        outbox.open(100);
        (Requests::default(), outbox)
    }

    fn sent(outbox: &mut Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.pop()).collect()
    }

    fn reply(text: &str) -> Reply {
        Frame::read(text).unwrap().reply.unwrap()
    }

    #[test]
    fn what_waits_is_sent_in_the_order_in_which_it_was_asked() {
        let (mut requests, mut outbox) = open();
        outbox.close();
        let mut awaited: Vec<_> = (0..12)
            .map(|_| ask(&mut requests, &mut outbox, true))
            .collect();
        assert!(outbox.is_empty());
        // Nobody awaits the second any more.
        drop(awaited.remove(1));
        outbox.open(0);
        requests.resend(&mut outbox);
        let wanted = (1..=12)
            .filter(|id| *id != 2)
            .map(|id| format!(r#"{{"id":{id},"ping":{{}}}}"#));
        assert_eq!(sent(&mut outbox), wanted.collect::<Vec<_>>());
        requests.resend(&mut outbox);
        assert!(outbox.is_empty(), "each is sent once a session");
    }

    #[test]
    fn a_lost_session_repeats_only_what_is_safe() {
        let (mut requests, mut outbox) = open();
        let (mut safe, mut unsafe_) = (
            ask(&mut requests, &mut outbox, true),
            ask(&mut requests, &mut outbox, false),
        );
        outbox.close();
        requests.lose();
        assert_eq!(
            unsafe_.try_recv().unwrap().unwrap_err().code(),
            "unavailable"
        );
        outbox.open(0);
        requests.resend(&mut outbox);
        assert_eq!(sent(&mut outbox), [r#"{"id":1,"ping":{}}"#]);
        let told = reply(r#"{"reply":{"id":1,"ping":{"time":7}}}"#);
        assert!(
            requests
                .answer(told, Instant::now(), &Timing::default())
                .is_none()
        );
        assert!(safe.try_recv().unwrap().is_ok());
    }

    #[test]
    fn a_retryable_error_is_waited_out_and_another_is_told() {
        let (mut requests, mut outbox) = open();
        let mut awaited = ask(&mut requests, &mut outbox, true);
        let (now, timing) = (Instant::now(), Timing::default());
        let busy = r#"{"reply":{"id":1,"error":{"code":"rate_limited","message":"","retryable":true,"retry_after":1500}}}"#;
        requests.answer(reply(busy), now, &timing);
        sent(&mut outbox);
        let due = now + Duration::from_millis(1500);
        assert_eq!(requests.wake_at(), Some(due));
        requests.tick(due - Duration::from_millis(1), &mut outbox);
        assert!(outbox.is_empty() && awaited.try_recv().is_err());
        requests.tick(due, &mut outbox);
        assert_eq!(sent(&mut outbox).len(), 1);
        let no = r#"{"reply":{"id":1,"error":{"code":"permission_denied","message":"no"}}}"#;
        requests.answer(reply(no), now, &timing);
        assert_eq!(
            awaited.try_recv().unwrap().unwrap_err().code(),
            "permission_denied"
        );
        let other = reply(r#"{"reply":{"id":9}}"#);
        assert!(
            requests.answer(other, now, &timing).is_some(),
            "nobody here awaits it"
        );
    }

    #[test]
    fn too_much_is_refused_here_already() {
        let (mut requests, mut outbox) = open();
        let (answer, mut awaited) = oneshot::channel();
        let request = Request {
            name: "publish",
            body: "x".repeat(100),
            safe: true,
            answer,
        };
        requests.ask(request, &mut outbox);
        assert_eq!(
            awaited.try_recv().unwrap().unwrap_err().code(),
            "payload_too_large"
        );
        let held: Vec<_> = (0..PENDING_MAX)
            .map(|_| ask(&mut requests, &mut outbox, true))
            .collect();
        let mut more = ask(&mut requests, &mut outbox, true);
        assert_eq!(more.try_recv().unwrap().unwrap_err().code(), "overflow");
        drop(held);
        let mut again = ask(&mut requests, &mut outbox, true);
        assert!(again.try_recv().is_err(), "it is under way");
    }
}
