//! Playing a scenario of the conformance list.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::join_all;
use serde_json::{Value, json};
use switchboard_client::{
    Client, ClientEvent, Event, Start, Subscription, SubscriptionState, Timing, TokenError,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::stage::{PATIENCE, Stage, number, unique};

/// What the client of a scenario was seen to do.
#[derive(Default)]
struct Seen {
    log: Vec<String>,
    numbers: Vec<u64>,
    offsets: Vec<u64>,
    gaps: Vec<String>,
    found: Vec<String>,
    stands: HashMap<String, SubscriptionState>,
    sessions: u64,
    tokens: u64,
    published: u64,
    stopped: String,
}

#[derive(Clone, Default)]
struct Watch(Arc<(Mutex<Seen>, Notify)>);

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.0.lock().expect("nobody panics with it")
    }

    fn note(&self, what: String, change: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen();
        change(&mut seen);
        seen.log.push(what);
        drop(seen);
        self.0.1.notify_waiters();
    }

    async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let changed = self.0.1.notified();
            if holds(&self.seen()) {
                return Ok(());
            }
            if timeout_at(deadline, changed).await.is_err() {
                bail!("{what} never came");
            }
        }
    }
}

pub(crate) struct Player {
    stage: Arc<Stage>,
    run: String,
    user: String,
    proxy: String,
    url: String,
    client: Option<Client>,
    tasks: JoinSet<()>,
    marks: HashMap<String, Instant>,
    watch: Watch,
    messages_read: usize,
    gaps_read: usize,
}

impl Player {
    /// Plays a scenario to its end.
    pub(crate) async fn play(stage: Stage, scenario: &Value) -> Result<()> {
        let run = unique("run");
        let (proxy, url) = stage.proxy(json!({})).await?;
        let mut player = Self {
            stage: Arc::new(stage),
            user: format!("user-{run}"),
            run,
            proxy,
            url,
            client: None,
            tasks: JoinSet::new(),
            marks: HashMap::new(),
            watch: Watch::default(),
            messages_read: 0,
            gaps_read: 0,
        };
        let steps = scenario["steps"]
            .as_array()
            .context("a scenario has steps")?;
        for step in steps {
            let outcome = player.step(step).await;
            outcome.with_context(|| format!("{step}; seen: {:?}", player.tail()))?;
        }
        if let Some(client) = &player.client {
            client.close().await;
        }
        player.stage.delete(&player.proxy).await
    }

    fn tail(&self) -> Vec<String> {
        let seen = self.watch.seen();
        let from = seen.log.len().saturating_sub(40);
        seen.log[from..].to_vec()
    }

    fn client(&self) -> Result<&Client> {
        self.client
            .as_ref()
            .context("the scenario has made no client")
    }

    async fn step(&mut self, step: &Value) -> Result<()> {
        let id = self.proxy.trim_start_matches("/proxies/");
        let text = step
            .to_string()
            .replace("$proxy", id)
            .replace("$user", &self.user);
        let step: Value = serde_json::from_str(&text.replace(":$", &format!(":{}", self.run)))?;
        let (name, body) = step
            .as_object()
            .and_then(|step| step.iter().next())
            .context("a step")?;
        match name.as_str() {
            "client" => self.make_client(body.clone())?,
            "subscribe" => self.subscribe(body).await?,
            "publish" => drop(self.stage.post("/publish", body.clone()).await?),
            "control" => {
                let path = body[0].as_str().context("a path")?;
                self.stage.post(path, body[1].clone()).await?;
            }
            "modes" => drop(self.stage.post(&self.proxy, body.clone()).await?),
            "mark" => {
                let name = body.as_str().context("a name")?;
                self.marks.insert(name.to_owned(), Instant::now());
            }
            "client_publishes" => self.client_publishes(body).await?,
            "await" => {
                for (what, wanted) in body.as_object().context("what to await")? {
                    self.comes(what, wanted).await?;
                }
            }
            "holds" => {
                for (what, wanted) in body.as_object().context("what holds")? {
                    self.holds(what, wanted)?;
                }
                let seen = self.watch.seen();
                let rest = &seen.numbers[self.messages_read..];
                ensure!(rest.is_empty(), "nobody awaited {rest:?}");
            }
            _ => bail!("there is no such step"),
        }
        Ok(())
    }

    fn make_client(&mut self, asked: Value) -> Result<()> {
        let (stage, user) = (Arc::clone(&self.stage), self.user.clone());
        let tokens = self.watch.clone();
        let events = self.watch.clone();
        let builder = Client::builder(&self.url)
            .timing(Timing {
                backoff_base: Duration::from_millis(50),
                backoff_cap: Duration::from_millis(500),
                request: PATIENCE,
                ..Timing::default()
            })
            .tokens(move |_reason| {
                let mut claims = json!({ "user": user });
                let count = tokens.seen().tokens;
                tokens.note("token".to_owned(), |seen| seen.tokens += 1);
                for ttl in [
                    &asked["ttl_s"],
                    &asked["ttls_s"][usize::try_from(count).expect("a few")],
                ] {
                    if !ttl.is_null() {
                        claims["ttl_s"] = ttl.clone();
                    }
                }
                if !asked["grants"].is_null() {
                    claims["grants"] = asked["grants"].clone();
                }
                let stage = Arc::clone(&stage);
                async move {
                    let token = stage.token(claims).await;
                    token.map_err(|error| TokenError::Unavailable(error.to_string()))
                }
            })
            .on_event(move |event| match event {
                ClientEvent::StateChanged { state, error } => {
                    events.note(format!("{state:?} {error:?}"), |_| ());
                }
                ClientEvent::Opened { .. } => {
                    events.note("open".to_owned(), |seen| seen.sessions += 1);
                }
                ClientEvent::Found { channel } => {
                    events.note(format!("found {channel}"), |seen| seen.found.push(channel));
                }
                ClientEvent::Stopped(error) => {
                    events.note(format!("stopped {error}"), |seen| {
                        error.code().clone_into(&mut seen.stopped);
                    });
                }
                ClientEvent::Direct(_) => {}
            });
        self.client = Some(builder.build()?);
        Ok(())
    }

    async fn subscribe(&mut self, body: &Value) -> Result<()> {
        let channel = body["channel"].as_str().context("a channel")?;
        let start = Start {
            rewind: body["rewind"].as_u64().map(u32::try_from).transpose()?,
            ..Start::default()
        };
        let outcome = timeout(PATIENCE, self.client()?.subscribe(channel, start)).await?;
        match (outcome, body["fails"].as_str()) {
            (Ok(subscription), None) => self.follow(subscription),
            (Err(error), Some(code)) => ensure!(error.code() == code, "it failed with {error}"),
            (outcome, _) => bail!("subscribing gave {outcome:?}"),
        }
        Ok(())
    }

    fn follow(&mut self, mut subscription: Subscription) {
        let watch = self.watch.clone();
        self.tasks.spawn(async move {
            let channel = subscription.channel().to_owned();
            while let Some(event) = subscription.next().await {
                let stands = subscription.state();
                watch.note(format!("{event:?}").chars().take(90).collect(), |seen| {
                    seen.stands.insert(channel.clone(), stands);
                    match event {
                        Event::Message(message) => {
                            seen.numbers.push(number(&message).unwrap_or(u64::MAX));
                            seen.offsets.push(message.offset.unwrap_or_default());
                        }
                        Event::Gap(gap) => seen.gaps.push(gap.reason.as_str().to_owned()),
                        _ => {}
                    }
                });
            }
        });
    }

    async fn client_publishes(&mut self, body: &Value) -> Result<()> {
        let channel = body["channel"].as_str().context("a channel")?;
        let count = body["count"].as_u64().context("a count")?;
        let client = self.client()?.clone();
        let publish = |n: u64| {
            let (client, channel, watch) = (client.clone(), channel.to_owned(), self.watch.clone());
            async move {
                if client.publish(&channel, &json!({ "n": n })).await.is_ok() {
                    watch.note(format!("published {n}"), |seen| seen.published += 1);
                }
            }
        };
        let mut publishes = Box::pin(join_all((0..count).map(publish)));
        // In this order, and all of them are asked before the next step.
        poll_fn(|context| {
            drop(publishes.as_mut().poll(context));
            Poll::Ready(())
        })
        .await;
        client.subscription("nobody:has-this").await;
        self.tasks.spawn(async move {
            publishes.await;
        });
        Ok(())
    }

    async fn comes(&mut self, what: &str, wanted: &Value) -> Result<()> {
        let watch = self.watch.clone();
        let count = wanted.as_u64().unwrap_or_default();
        let name = wanted.as_str().unwrap_or_default();
        match what {
            "messages" => {
                let (from, to) = (
                    wanted[0].as_u64().context("a")?,
                    wanted[1].as_u64().context("b")?,
                );
                let read = self.messages_read;
                let end = read + usize::try_from(to - from)?;
                watch.until(what, |seen| seen.numbers.len() >= end).await?;
                let came = watch.seen().numbers[read..end].to_vec();
                ensure!(came == (from..to).collect::<Vec<_>>(), "{came:?} came");
                self.messages_read = end;
            }
            "last_message" => {
                watch
                    .until(what, |seen| seen.numbers.last() == Some(&count))
                    .await?;
                let seen = watch.seen();
                ensure!(seen.offsets.is_sorted(), "offsets do not ascend");
                self.messages_read = seen.numbers.len();
            }
            "gap" => {
                let read = self.gaps_read;
                watch.until(what, |seen| seen.gaps.len() > read).await?;
                let seen = watch.seen();
                ensure!(seen.gaps[read] == name, "the gap is {}", seen.gaps[read]);
                self.gaps_read = seen.gaps.len();
            }
            "state" => {
                let client = self.client()?.clone();
                watch
                    .until(what, |_| client.state().as_str() == name)
                    .await?;
            }
            "subscribed" => {
                watch
                    .until(what, |seen| seen.found.iter().any(|found| found == name))
                    .await?;
                let found = self.client()?.subscription(name).await;
                self.follow(found.context("somebody has it already")?);
                let stands =
                    |seen: &Seen| seen.stands.get(name) == Some(&SubscriptionState::Subscribed);
                watch.until(what, stands).await?;
            }
            "tokens" => watch.until(what, |seen| seen.tokens >= count).await?,
            "sessions" => watch.until(what, |seen| seen.sessions >= count).await?,
            "published" => watch.until(what, |seen| seen.published >= count).await?,
            "refused" => self.refused(count).await?,
            _ => bail!("there is no such thing to await"),
        }
        Ok(())
    }

    async fn refused(&self, count: u64) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let state = self.stage.get(&self.proxy).await?;
            // This client reads the answer to an upgrade.
            let refused = [&state["refused"], &state["refused_upgrades"]];
            if refused
                .iter()
                .filter_map(|count| count.as_u64())
                .sum::<u64>()
                >= count
            {
                return Ok(());
            }
            // waits: the stage tells of no change, so it is asked again
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("nothing was refused");
    }

    fn holds(&self, what: &str, wanted: &Value) -> Result<()> {
        if what == "since" {
            let mark = wanted[0].as_str().and_then(|name| self.marks.get(name));
            let passed = mark
                .context("there is no such mark")?
                .elapsed()
                .as_secs_f64();
            let least = wanted[1].as_f64().context("seconds")?;
            ensure!(passed >= least, "only {passed} s have passed");
            return Ok(());
        }
        let seen = self.watch.seen();
        let is = match what {
            "gaps" => json!(seen.gaps.len()),
            "sessions" => json!(seen.sessions),
            "tokens" => json!(seen.tokens),
            "stopped" => json!(seen.stopped),
            _ => bail!("there is no such thing to hold"),
        };
        ensure!(is == *wanted, "{what} is {is}");
        Ok(())
    }
}
