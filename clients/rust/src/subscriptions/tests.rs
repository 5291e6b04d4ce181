//! Subscriptions at a session that is played by hand.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::*;

struct Played {
    subscriptions: Subscriptions,
    outbox: Outbox,
    now: Instant,
}

fn play() -> Played {
    let mut outbox = Outbox::default();
    outbox.open(0);
    Played {
        subscriptions: Subscriptions::new(10, Arc::default(), Timing::default()),
        outbox,
        now: Instant::now(),
    }
}

impl Played {
    fn add(&mut self, channel: &str) -> (Arc<Inbox>, oneshot::Receiver<Result<(), Error>>) {
        let inbox = Arc::new(Inbox::new(channel, 10, Holder::Application, Arc::default()));
        let (standing, stands) = oneshot::channel();
        let (held, start) = (Arc::clone(&inbox), Start::default());
        self.subscriptions
            .add(start, held, standing, &mut self.outbox, self.now);
        (inbox, stands)
    }

    fn hear(&mut self, text: &str) -> Option<String> {
        let mut frame = Frame::read(text).unwrap();
        match frame.reply.take() {
            Some(reply) => {
                self.subscriptions.answer(reply, self.now);
                None
            }
            None => self.subscriptions.take(frame, &mut self.outbox, self.now),
        }
    }

    fn sent(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.outbox.pop()).collect()
    }

    fn next_session(&mut self) {
        self.outbox.close();
        self.subscriptions.lose();
        self.outbox.open(0);
        self.subscriptions.ask_all(&mut self.outbox, self.now);
    }
}

fn events(inbox: &Inbox) -> Vec<String> {
    let mut context = Context::from_waker(Waker::noop());
    let mut told = Vec::new();
    while let Poll::Ready(Some(event)) = inbox.poll(&mut context) {
        told.push(match event {
            Event::Subscribed(begun) => format!("subscribed {}", begun.position.offset),
            Event::Message(message) => format!("message {}", message.offset.unwrap_or_default()),
            Event::Gap(gap) => format!("gap {} {}", gap.reason.as_str(), gap.position.offset),
            Event::Join(member) => format!("join {}", member.session),
            Event::Leave(member) => format!("leave {}", member.session),
            Event::Unsubscribed(why) => format!("unsubscribed {:?}", why.as_ref().map(Error::code)),
        });
    }
    told
}

const MESSAGE: &str = r#"{"message":{"channel":"a","offset":5,"data":1,"time":0}}"#;

#[test]
fn the_next_session_is_asked_from_where_the_channel_was() {
    let mut played = play();
    let (inbox, mut stands) = played.add("a");
    assert_eq!(played.sent(), [r#"{"id":1,"subscribe":{"channel":"a"}}"#]);
    assert!(stands.try_recv().is_err());
    played.hear(r#"{"reply":{"id":1,"subscribe":{"position":{"epoch":"e","offset":4}}}}"#);
    assert_eq!(stands.try_recv().unwrap(), Ok(()));
    played.hear(MESSAGE);
    played.hear(MESSAGE);
    played.hear(r#"{"message":{"channel":"other","offset":1,"data":1,"time":0}}"#);
    played
        .hear(r#"{"gap":{"channel":"a","position":{"epoch":"e","offset":9},"reason":"trimmed"}}"#);
    played.next_session();
    let asked = r#"{"id":2,"subscribe":{"channel":"a","position":{"epoch":"e","offset":9}}}"#;
    assert_eq!(played.sent(), [asked]);
    assert_eq!(
        events(&inbox),
        ["subscribed 4", "message 5", "gap trimmed 9"]
    );
}

#[test]
fn what_the_hub_refuses_for_now_is_asked_again_and_for_good_is_told() {
    let mut played = play();
    let (inbox, mut stands) = played.add("a");
    played.sent();
    played.hear(
        r#"{"reply":{"id":1,"error":{"code":"unavailable","retryable":true,"retry_after":70}}}"#,
    );
    let due = played.now + Duration::from_millis(70);
    assert_eq!(played.subscriptions.wake_at(), Some(due));
    assert!(played.subscriptions.tick(due, &mut played.outbox));
    assert_eq!(played.sent().len(), 1);
    played.hear(r#"{"reply":{"id":2,"error":{"code":"permission_denied"}}}"#);
    assert_eq!(
        stands.try_recv().unwrap().unwrap_err().code(),
        "permission_denied"
    );
    assert_eq!(
        events(&inbox),
        [r#"unsubscribed Some("permission_denied")"#]
    );
    played.next_session();
    assert!(played.sent().is_empty(), "it has ended");
}

#[test]
fn a_session_that_does_not_answer_is_of_no_use() {
    let mut played = play();
    let (_inbox, _stands) = played.add("a");
    let late = played.now + Timing::default().open;
    assert_eq!(played.subscriptions.wake_at(), Some(late));
    assert!(!played.subscriptions.tick(late, &mut played.outbox));
    played.hear(r#"{"reply":{"id":1,"subscribe":{"position":{"epoch":"e","offset":4}}}}"#);
    assert!(played.subscriptions.tick(late, &mut played.outbox));
}

#[test]
fn what_the_server_begins_is_found_once_and_asked_anew_where_it_missed_something() {
    let mut played = play();
    let began = r#"{"subscribed":{"channel":"a","position":{"epoch":"e","offset":4}}}"#;
    assert_eq!(played.hear(began).as_deref(), Some("a"));
    let inbox = played.subscriptions.hold("a").expect("nobody has it");
    assert!(
        played.subscriptions.hold("a").is_none(),
        "it has one reader"
    );
    played.hear(MESSAGE);
    played.next_session();
    played.sent();
    // By itself from 7 on: 6 and 7 would be missed.
    let elsewhere = r#"{"subscribed":{"channel":"a","position":{"epoch":"e","offset":7}}}"#;
    assert_eq!(played.hear(elsewhere), None);
    let sent = played.sent();
    assert_eq!(sent[0], r#"{"id":2,"unsubscribe":{"channel":"a"}}"#);
    assert!(sent[1].contains(r#""offset":5"#), "{sent:?}");
    // The reply to what was asked before means nothing any more, and the hub's word to what was asked now does.
    played.hear(r#"{"reply":{"id":1,"error":{"code":"already_subscribed"}}}"#);
    played.hear(
        r#"{"reply":{"id":3,"subscribe":{"position":{"epoch":"e","offset":5},"recovered":true}}}"#,
    );
    assert_eq!(
        events(&inbox),
        ["subscribed 4", "message 5", "subscribed 5"]
    );
}

#[test]
fn a_handle_that_is_dropped_ends_its_subscription() {
    let mut played = play();
    let (inbox, mut stands) = played.add("a");
    played.sent();
    inbox.leave();
    played.subscriptions.end_left(&mut played.outbox);
    assert_eq!(played.sent(), [r#"{"id":2,"unsubscribe":{"channel":"a"}}"#]);
    assert_eq!(stands.try_recv().unwrap().unwrap_err().code(), "aborted");
    assert_eq!(events(&inbox), ["unsubscribed None"]);
    // And the channel can be had again.
    let (_again, _stands) = played.add("a");
    assert_eq!(played.sent().len(), 1);
    let (twice, mut refused) = played.add("a");
    assert_eq!(
        refused.try_recv().unwrap().unwrap_err().code(),
        "already_subscribed"
    );
    assert_eq!(
        events(&twice),
        [r#"unsubscribed Some("already_subscribed")"#]
    );
}

#[test]
fn the_servers_hand_ends_a_subscription_or_has_it_asked_again() {
    let mut played = play();
    let (inbox, _stands) = played.add("a");
    played.hear(r#"{"reply":{"id":1,"subscribe":{"position":{"epoch":"e","offset":4}}}}"#);
    played.sent();
    played.hear(r#"{"unsubscribed":{"channel":"a","reason":"for now","resubscribe":true}}"#);
    assert_eq!(played.sent().len(), 1);
    played.hear(r#"{"join":{"channel":"a","member":{"session":"s1"}}}"#);
    played.hear(r#"{"leave":{"channel":"a","member":{"session":"s1"}}}"#);
    played.hear(r#"{"unsubscribed":{"channel":"a","reason":"enough"}}"#);
    let told = events(&inbox);
    assert_eq!(
        told,
        [
            "subscribed 4",
            "join s1",
            "leave s1",
            r#"unsubscribed Some("closed")"#
        ]
    );
}
