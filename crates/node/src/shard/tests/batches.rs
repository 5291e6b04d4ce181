//! Fan-outs to many sockets at once: whether their sends are one system call or many, every session gets the same.

use serde_json::Value;
use switchboard_core::Limits;

use super::client::{Client, offsets};
use super::place::{Place, on_shard};

/// More than a batch has.
const SESSIONS: usize = 300;
const PUBLICATIONS: u64 = 20;

/// Publishes to sessions of which every third reads only at the end, and every seventh of the others has gone;
/// gives what each got, of those that have stayed.
async fn fan_out(io_uring: bool) -> Vec<Vec<Value>> {
    let limits = Limits {
        fan_out_slice_max: SESSIONS,
        ..Limits::default()
    };
    let place = Place::with_io_uring(io_uring, limits);
    let mut clients: Vec<(Option<Client>, Vec<Value>)> = Vec::new();
    for _ in 0..SESSIONS {
        let (client, _) = place.websocket(&["close:1"]).await;
        clients.push((Some(client), Vec::new()));
    }
    for n in 0..PUBLICATIONS {
        if n == 1 {
            let leaving = clients.iter_mut().step_by(7);
            leaving.for_each(|(client, _)| *client = None);
        }
        // A socket of a pair takes all of a short frame or nothing, which the slow ones see first; of a long one it takes a part.
        let len = if n % 10 == 9 { 30_000 } else { 1500 };
        let payload = format!("[{n},\"{}\"]", "x".repeat(len));
        place.publish("close:1", payload).await;
        place.work();
        for (index, (client, frames)) in clients.iter_mut().enumerate() {
            if let Some(client) = client
                && index % 3 != 0
            {
                frames.extend(client.read());
            }
        }
    }
    assert!(
        place.outbox_bytes() > 0,
        "the slow ones' sockets took everything"
    );
    place
        .until("an empty outbox", || {
            for (client, frames) in &mut clients {
                frames.extend(client.iter_mut().flat_map(Client::read));
            }
            place.outbox_bytes() == 0
        })
        .await;
    for (client, frames) in &mut clients {
        frames.extend(client.iter_mut().flat_map(Client::read));
    }
    clients.retain(|(client, _)| client.is_some());
    clients.into_iter().map(|(_, frames)| frames).collect()
}

#[tokio::test]
async fn batches_and_single_sends_deliver_the_same_and_lose_nothing() {
    let (batches, singly) = on_shard(async { (fan_out(true).await, fan_out(false).await) }).await;
    assert_eq!(batches.len(), SESSIONS - SESSIONS.div_ceil(7));
    for (index, frames) in batches.iter().enumerate() {
        let expected: Vec<_> = (1..=PUBLICATIONS).collect();
        assert_eq!(offsets(frames, "close:1"), expected, "session {index}");
    }
    // Epochs differ, and nothing else.
    let without = |frames: &[Vec<Value>]| -> Vec<usize> { frames.iter().map(Vec::len).collect() };
    assert_eq!(without(&batches), without(&singly));
}
