//! PublishStream: order, windows, and what happens when something in it is slow or wrong.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use switchboard_node::ReadFrom;
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::publish_result::Result as Fate;
use switchboard_proto::api::v1::publish_service_client::PublishServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::fixture::{
    ALL, Client, Hub, PUBLISHER, Plan, assert_refused, channel, item, memory, next,
};
use crate::stalling::Stalling;

type Answers = Streaming<v1::PublishStreamResponse>;

async fn open(client: Client) -> (mpsc::Sender<v1::PublishStreamRequest>, Answers) {
    let (items, queue) = mpsc::channel(16);
    let mut client = PublishServiceClient::new(client);
    let answers = client
        .publish_stream(ReceiverStream::new(queue))
        .await
        .unwrap()
        .into_inner();
    (items, answers)
}

async fn stalled_hub() -> (Hub, Arc<Stalling>) {
    let made = OnceLock::new();
    let hub = Hub::with(Plan::default(), |sink| {
        made.get_or_init(|| Stalling::new(memory(sink))).clone()
    })
    .await;
    let engine = made.into_inner().expect("the node has made its engine");
    (hub, engine)
}

fn numbered(sequence: u64, item: v1::PublishItem) -> v1::PublishStreamRequest {
    v1::PublishStreamRequest {
        sequence,
        item: Some(item),
    }
}

async fn answer(answers: &mut Answers) -> (u64, Fate) {
    let answer = next(answers).await.unwrap().expect("an answer");
    (answer.sequence, answer.result.unwrap().result.unwrap())
}

fn offset(fate: &Fate) -> u64 {
    let Fate::Published(published) = fate else {
        panic!("{fate:?}")
    };
    published.position.as_ref().unwrap().offset
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_in_order_and_a_bad_item_ends_nothing() {
    let hub = Hub::start().await;
    let (items, mut answers) = open(hub.client(PUBLISHER).await).await;
    const COUNT: u64 = 5000;
    let sending = tokio::spawn(async move {
        for number in 0..COUNT {
            let item = match number % 10 {
                3 => item("chat:bad name", "1"),
                5 => item("doc:not-mine", "1"),
                7 => item("chat:0", "no json"),
                _ => item(&format!("chat:{}", number % 7), "{\"n\":1}"),
            };
            // Numbers are the caller's own business: these go down.
            items.send(numbered(COUNT - number, item)).await.unwrap();
        }
    });
    let mut last: HashMap<u64, u64> = HashMap::new();
    for number in 0..COUNT {
        let (sequence, fate) = answer(&mut answers).await;
        assert_eq!(sequence, COUNT - number);
        let code = |fate: &Fate| match fate {
            Fate::Error(error) => error.code.clone(),
            Fate::Published(_) => panic!("{number} was published"),
        };
        match number % 10 {
            3 | 7 => assert_eq!(code(&fate), "bad_request"),
            5 => assert_eq!(code(&fate), "permission_denied"),
            _ => {
                let last = last.entry(number % 7).or_default();
                assert_eq!(offset(&fate), *last + 1, "item {number}");
                *last += 1;
            }
        }
    }
    sending.await.unwrap();
    assert!(
        next(&mut answers).await.unwrap().is_none(),
        "the call ends once everything is answered"
    );
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_channel_keeps_its_order_and_holds_up_no_other() {
    let (hub, engine) = stalled_hub().await;
    let (items, mut answers) = open(hub.client(ALL).await).await;
    let sent = [
        "doc:slow",
        "chat:quick",
        "doc:slow",
        "doc:other",
        "doc:slow",
    ];
    for (sequence, name) in (0..).zip(sent) {
        items
            .send(numbered(sequence, item(name, "1")))
            .await
            .unwrap();
    }
    // One of each slow channel runs; the others of `doc:slow` queue behind it.
    engine.until_waiting(2).await;
    let quick = hub
        .node
        .read_history(&channel("chat:quick"), ReadFrom::Oldest, None)
        .await
        .unwrap();
    assert_eq!(
        quick.top.offset, 1,
        "it was published although nothing before it is answered"
    );
    engine.gate.add_permits(sent.len());
    let mut offsets = Vec::new();
    for sequence in 0..5 {
        let (answered, fate) = answer(&mut answers).await;
        assert_eq!(answered, sequence);
        offsets.push(offset(&fate));
    }
    assert_eq!(offsets, [1, 1, 2, 1, 3]);
    assert_eq!(
        engine.waiting_max.load(Ordering::SeqCst),
        2,
        "one at a time of each channel"
    );
    drop(items);
    assert!(next(&mut answers).await.unwrap().is_none());
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_is_handed_over_together_and_a_refused_one_holds_up_none() {
    const BEHIND: u64 = 100;
    const REFUSED: u64 = 10;
    let (hub, engine) = stalled_hub().await;
    let (items, mut answers) = open(hub.client(ALL).await).await;
    for sequence in 0..=BEHIND {
        let mut item = item("doc:hot", "1");
        if sequence == REFUSED {
            let too_large = vec![b'1'; hub.node.limits().payload_bytes_max + 1];
            item.payload = Some(v1::publish_item::Payload::Binary(too_large.into()));
        }
        items.send(numbered(sequence, item)).await.unwrap();
    }
    // Once this one is published all before it have been taken.
    let quick = channel("chat:quick");
    items
        .send(numbered(BEHIND + 1, item("chat:quick", "1")))
        .await
        .unwrap();
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(5));
    let top = async || {
        let read = hub.node.read_history(&quick, ReadFrom::Oldest, None).await;
        read.unwrap().top.offset
    };
    while top().await == 0 {
        looks.tick().await;
    }
    engine.gate.add_permits(BEHIND as usize);
    let mut last = 0;
    for sequence in 0..=BEHIND {
        let (answered, fate) = answer(&mut answers).await;
        assert_eq!(answered, sequence);
        if sequence == REFUSED {
            assert!(matches!(fate, Fate::Error(error) if error.code == "payload_too_large"));
        } else {
            assert_eq!(offset(&fate), last + 1);
            last += 1;
        }
    }
    // The one that is refused is so before it gets to the engine.
    assert_eq!(*engine.together.lock().unwrap(), [63, 36]);
    drop(items);
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_a_window_is_under_way() {
    let (hub, engine) = stalled_hub().await;
    let (items, mut answers) = open(hub.client(ALL).await).await;
    let sending = tokio::spawn(async move {
        for sequence in 0..3000 {
            items
                .send(numbered(sequence, item(&format!("doc:{sequence}"), "1")))
                .await
                .unwrap();
        }
    });
    engine.until_waiting(1024).await;
    engine.gate.add_permits(3000);
    for sequence in 0..3000 {
        let (answered, fate) = answer(&mut answers).await;
        assert_eq!((answered, offset(&fate)), (sequence, 1));
    }
    sending.await.unwrap();
    assert_eq!(engine.waiting_max.load(Ordering::SeqCst), 1024);
    assert!(next(&mut answers).await.unwrap().is_none());
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_answers_what_was_taken_and_then_ends_the_stream() {
    let (hub, engine) = stalled_hub().await;
    let (items, mut answers) = open(hub.client(ALL).await).await;
    for sequence in 0..3 {
        items
            .send(numbered(sequence, item("doc:slow", "1")))
            .await
            .unwrap();
    }
    items
        .send(numbered(3, item("chat:quick", "1")))
        .await
        .unwrap();
    let (mut started, quick) = (
        tokio::time::interval(std::time::Duration::from_millis(5)),
        channel("chat:quick"),
    );
    while hub
        .node
        .read_history(&quick, ReadFrom::Oldest, None)
        .await
        .unwrap()
        .top
        .offset
        == 0
    {
        started.tick().await;
    }
    hub.health.drain().await;
    engine.gate.add_permits(3);
    for sequence in 0..4 {
        assert_eq!(answer(&mut answers).await.0, sequence);
    }
    assert_refused(next(&mut answers).await, Code::Unavailable, "unavailable");
    hub.stop().await;
}
