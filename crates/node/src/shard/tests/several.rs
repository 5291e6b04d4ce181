//! Three nodes over one engine that loses, delays, repeats and refuses, on paused time: clients come and go between the nodes
//! at random, and each checks what it is sent. In a channel nothing is out of order, nothing comes twice in a session, and
//! nothing is left out without a gap; a user that remembers nothing is sent all that it has not acknowledged.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use switchboard_core::{Limits, Payload, PresenceEvent, Publication};
use switchboard_engine::{
    Engine, FaultPlan, FaultyEngine, FaultySink, Interrupted, MemoryConfig, MemoryEngine,
    PublishRequest, Sink,
};
use switchboard_protocol::wire::Wire;

use super::client::Client;
use super::engine::HeldEngine;
use super::place::{Place, channel, on_shard};
use crate::opening::Transport;

const NODES: usize = 3;
const STEPS: u32 = 300;
/// Scripts a run; each has a seed of its own.
const SCRIPTS: u64 = 40;
/// What each client is subscribed to. Who is in the inbox remembers nothing but what it has acknowledged.
const CHANNELS: [&str; 5] = ["close:1", "close:1", "close:2", "inbox:1", "inbox:1"];

/// Hands everything to all nodes.
#[derive(Default)]
struct ToAll(Mutex<Vec<Arc<FaultySink>>>);

impl ToAll {
    fn each(&self, tell: impl Fn(&FaultySink)) {
        self.0.lock().unwrap().iter().for_each(|sink| tell(sink));
    }
}

#[async_trait]
impl Sink for ToAll {
    fn has_room(&self) -> bool {
        true
    }

    async fn room(&self) {}

    fn publication(&self, publication: &Arc<Publication>) {
        self.each(|sink| sink.publication(publication));
    }

    fn presence(&self, event: &Arc<PresenceEvent>) {
        self.each(|sink| sink.presence(event));
    }

    /// The node of this sink stands for all: the memory engine knows no others.
    fn message(&self, _: Bytes) {}

    fn interrupted(&self, interrupted: Interrupted) {
        self.each(|sink| sink.interrupted(interrupted.clone()));
    }
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What a client has of its channel.
#[derive(Default)]
struct Has {
    epoch: String,
    /// The last offset, in its present session or, if it has none, the last.
    at: u64,
    /// The last offset that ever came or lay before a gap.
    best: u64,
    /// The last acknowledgement that was answered, and the last of all.
    kept: u64,
    acknowledged: u64,
    subscribed: bool,
    /// A reply said that not everything follows: a gap must.
    gap_is_due: bool,
    /// The command that is under way.
    asked: bool,
}

#[derive(Debug, Default)]
struct Seen {
    messages: u64,
    repeated: u64,
    gaps: u64,
    sessions: u64,
    acks: u64,
    refused: u64,
}

struct Sim {
    channel: &'static str,
    durable: bool,
    user: String,
    link: Option<(usize, Client)>,
    has: Has,
}

impl Sim {
    fn new(number: usize, channel: &'static str) -> Self {
        Self {
            channel,
            durable: channel.starts_with("inbox"),
            user: format!("user-{number}"),
            link: None,
            has: Has::default(),
        }
    }

    fn connect(&mut self, places: &[Place], node: usize, seen: &mut Seen) {
        let mut opening = Place::opening(Transport::WebSocket, Wire::WebSocketJson, &[]);
        let mut identity = (*opening.identity).clone();
        identity.user = Some(self.user.as_str().into());
        opening.identity = identity.into();
        self.link = Some((node, places[node].adopt(opening)));
        seen.sessions += 1;
    }

    fn disconnect(&mut self) {
        self.link = None;
        (self.has.subscribed, self.has.asked, self.has.gap_is_due) = (false, false, false);
    }

    /// Subscribes if it has yet to: with its position, or as one who has none.
    fn subscribe(&mut self) {
        let Some((_, client)) = &mut self.link else {
            return;
        };
        if self.has.subscribed || self.has.asked {
            return;
        }
        let mut fields = json!({"channel": self.channel});
        if !self.durable && !self.has.epoch.is_empty() {
            fields["position"] = json!({"epoch": self.has.epoch, "offset": self.has.at});
        }
        client.command(&[json!({"id": 1, "subscribe": fields})]);
        self.has.asked = true;
    }

    fn acknowledge(&mut self, chance: &mut Chance, seen: &mut Seen) {
        let Some((_, client)) = &mut self.link else {
            return;
        };
        if !self.durable || !self.has.subscribed || self.has.at == 0 {
            return;
        }
        let offset = self.has.at - chance.below(4).min(self.has.at);
        self.has.acknowledged = self.has.acknowledged.max(offset);
        let id = 1000 + offset;
        client.command(&[json!({"id": id, "ack": {"channel": self.channel, "offset": offset}})]);
        seen.acks += 1;
    }

    fn read(&mut self, seen: &mut Seen) {
        let Some((_, client)) = &mut self.link else {
            return;
        };
        let frames = client.read();
        let ended = client.ended;
        for frame in &frames {
            self.take(frame, seen);
        }
        if ended {
            self.disconnect();
        }
    }

    fn take(&mut self, frame: &Value, seen: &mut Seen) {
        let has = &mut self.has;
        let position = |body: &Value| {
            let epoch = body["position"]["epoch"].as_str().unwrap_or_default();
            let offset = body["position"]["offset"].as_u64().unwrap_or_default();
            (epoch.to_owned(), offset)
        };
        if let Some(id) = frame["reply"]["id"].as_u64() {
            let reply = &frame["reply"];
            if let Some(code) = reply["error"]["code"].as_str() {
                assert_eq!(code, "unavailable", "{frame}");
                seen.refused += 1;
                has.asked &= id != 1;
            } else if id == 1 {
                let (epoch, offset) = position(&reply["subscribe"]);
                let recovered = reply["subscribe"]["recovered"] == true;
                let first = has.epoch.is_empty();
                has.gap_is_due = !first && !recovered;
                if recovered && !first {
                    assert_eq!(epoch, has.epoch, "{frame}");
                    if self.durable {
                        let kept = has.kept..=has.acknowledged.max(has.kept);
                        assert!(kept.contains(&offset), "{frame} with {kept:?} acknowledged");
                    } else {
                        assert_eq!(offset, has.at, "{frame}");
                    }
                }
                (has.kept, has.acknowledged) = if first {
                    (offset, offset)
                } else {
                    (has.kept, has.acknowledged)
                };
                (has.epoch, has.at) = (epoch, offset);
                has.best = if first { offset } else { has.best };
                (has.subscribed, has.asked) = (true, false);
            } else {
                has.kept = has.kept.max(id - 1000);
            }
        } else if let Some(offset) = frame["message"]["offset"].as_u64() {
            assert!(!has.gap_is_due, "{frame} before the gap that is due");
            assert_eq!(offset, has.at + 1, "{} at {}", frame, has.at);
            assert!(offset <= has.best + 1, "{frame} after {}", has.best);
            seen.repeated += u64::from(offset <= has.best);
            seen.messages += 1;
            has.at = offset;
            has.best = has.best.max(offset);
        } else if frame["gap"].is_object() {
            let (epoch, offset) = position(&frame["gap"]);
            assert!(epoch == has.epoch && offset >= has.at, "{frame}");
            seen.gaps += 1;
            (has.at, has.best) = (offset, has.best.max(offset));
            has.gap_is_due = false;
        } else if frame["unsubscribed"].is_object() {
            assert_eq!(frame["unsubscribed"]["resubscribe"], true, "{frame}");
            (has.subscribed, has.gap_is_due) = (false, false);
        }
    }
}

/// Publishes until it is done: a refusal may not be one.
async fn publish(place: &Place, name: &str, id: u64) {
    let channel = channel(name);
    let request = PublishRequest {
        retention: place.shared.policy(&channel).unwrap().retention,
        channel,
        payload: Payload::Json(id.to_string().into()),
        id: Some(id.to_string().into()),
        idempotency_window: Duration::from_mins(10),
        from: None,
        tags: Vec::new(),
        exclude: None,
        expected_position: None,
        skip_history: false,
    };
    while place.engine.publish(request.clone()).await.is_err() {}
}

/// Lets time pass, and everybody do what is to be done.
async fn pass(places: &[Place], sims: &mut [Sim], seen: &mut Seen, time: Duration) {
    tokio::time::sleep(time).await; // waits: moves the paused clock
    for _ in 0..10 {
        tokio::task::yield_now().await;
        places.iter().for_each(Place::work);
        for sim in &mut *sims {
            sim.read(seen);
            sim.subscribe();
        }
    }
}

async fn script(seed: u64) -> Seen {
    let mut chance = Chance(seed | 1);
    let to_all = Arc::new(ToAll::default());
    let memory = MemoryEngine::new(to_all.clone(), MemoryConfig::default());
    let places: Vec<Place> = (1..=NODES as u32)
        .map(|id| {
            let plan = FaultPlan {
                seed: seed.wrapping_add(u64::from(id)),
                drop_per_mille: 30,
                outage_per_mille: 5,
                repeat_per_mille: 300,
                delay_per_mille: 100,
                refuse_per_mille: 30,
                lose_answer_per_mille: 30,
                slow_per_mille: 100,
                ..FaultPlan::default()
            };
            Place::on(id, false, Limits::default(), |sink| {
                let sink = FaultySink::new(sink, plan);
                to_all.0.lock().unwrap().push(Arc::clone(&sink));
                HeldEngine::of_several(FaultyEngine::new(memory.clone(), sink))
            })
        })
        .collect();
    let mut sims: Vec<Sim> = (0..)
        .zip(CHANNELS)
        .map(|(number, channel)| Sim::new(number, channel))
        .collect();
    let mut seen = Seen::default();
    let mut published = 0;
    for _ in 0..STEPS {
        let node = chance.below(NODES as u64) as usize;
        let who = chance.below(sims.len() as u64) as usize;
        match chance.below(10) {
            0..5 => {
                let name = ["close:1", "close:2", "inbox:1"][chance.below(3) as usize];
                for _ in 0..=chance.below(3) {
                    published += 1;
                    publish(&places[node], name, published).await;
                }
            }
            5 => sims[who].disconnect(),
            6..9 if sims[who].link.is_none() => sims[who].connect(&places, node, &mut seen),
            _ => sims[who].acknowledge(&mut chance, &mut seen),
        }
        let time = Duration::from_millis(chance.below(200));
        pass(&places, &mut sims, &mut seen, time).await;
    }
    // Everybody comes to where its channel stands, for whatever was lost is told in time.
    for sim in &mut sims {
        if sim.link.is_none() {
            sim.connect(&places, 0, &mut seen);
        }
    }
    let mut left = 100;
    loop {
        let mut behind = Vec::new();
        for sim in &sims {
            let read = switchboard_engine::Read {
                from: switchboard_engine::ReadFrom::Newest,
                limit: 0,
            };
            let top = memory.read(&channel(sim.channel), read).await.unwrap().top;
            if !sim.has.subscribed || sim.has.at != top.offset {
                behind.push((sim.channel, sim.has.at, top.offset, sim.has.subscribed));
            }
        }
        if behind.is_empty() {
            return seen;
        }
        left -= 1;
        assert!(left > 0, "still behind: {behind:?}");
        pass(&places, &mut sims, &mut seen, Duration::from_millis(500)).await;
        for sim in sims.iter_mut().filter(|sim| sim.link.is_none()) {
            sim.connect(&places, 1, &mut seen);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_on_several_nodes_holes_are_announced_and_nothing_comes_twice() {
    let told = std::env::var("SWITCHBOARD_TEST_SEED").ok();
    let told = told.map(|seed| seed.parse::<u64>().expect("a number"));
    let base = told.unwrap_or_else(|| getrandom::u64().expect("the system gives randomness"));
    let scripts = if told.is_some() { 1 } else { SCRIPTS };
    for number in 0..scripts {
        let seed = base.wrapping_add(number * 1000);
        println!("SWITCHBOARD_TEST_SEED={seed}");
        let seen = on_shard(script(seed)).await;
        println!("{seen:?}");
        assert!(seen.messages > 0 && seen.sessions > 0, "{seen:?}");
    }
}
