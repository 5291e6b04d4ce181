//! The load process: thousands of clients on one thread, steered by its parent through lines of JSON on stdin and stdout.
//!
//! It is a process of its own so that its cost is not the hub's nor the publisher's, and so that more sockets than
//! one process may hold are a matter of several. Every delivery is read, counted, and checked for its place.

mod client;
mod framing;
mod place;
mod tally;

use std::collections::VecDeque;
use std::io::{BufRead, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use serde::{Deserialize, Serialize};

use client::Client;
pub(crate) use tally::{Report, percentile};
use tally::{Tally, counts, histogram};

/// What a load process is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// Where the clients connect.
    pub(crate) address: SocketAddr,
    /// Groups of clients, opened in this order.
    pub(crate) groups: Vec<Group>,
    /// Connections under way at a time.
    pub(crate) at_once: usize,
}

/// Clients that do the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    /// How many.
    pub(crate) clients: usize,
    /// How they are spoken to.
    pub(crate) framing: Framing,
    /// The request, whole, with `{n}` for the client's number and `{m}` for its number modulo `modulus`.
    pub(crate) request: String,
    /// First number of this group.
    pub(crate) first: usize,
    /// See `request`.
    pub(crate) modulus: usize,
    /// Text messages to send once the head of the response is there (WebSockets); `{n}` and `{m}` as above.
    pub(crate) then_send: Vec<String>,
    /// The client is open once it has seen this text so many times.
    pub(crate) ready: String,
    pub(crate) ready_count: usize,
    /// Never reads again once open.
    pub(crate) stalled: bool,
}

/// How deliveries reach a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Framing {
    /// RFC 6455 frames.
    WebSocket,
    /// Events, in chunks or not.
    EventStream,
    /// Switchboard's polls: each answer is followed by the next request.
    Poll,
}

/// What the parent asks for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Start counting anew; check each client's order or only count.
    Reset { check: bool },
    /// Answer when so many deliveries have come since the reset, or the time is over.
    Await { deliveries: u64, patience_ms: u64 },
    /// Answer with the tally.
    Report,
}

/// What the process answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// All clients are open; how long that took, seconds, and from each one's connect to its last answer, microseconds and
    /// how often.
    Open {
        seconds: f64,
        latency: Vec<(u64, u64)>,
    },
    /// What is counted from now on is new.
    Reset,
    /// So many deliveries have come.
    Came { deliveries: u64 },
    /// The tally.
    Report(Report),
}

const WAKE: Token = Token(usize::MAX);
/// Without any progress for so long, opening has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs until stdin ends.
///
/// # Errors
/// A client could not be opened, or the parent speaks nonsense.
pub(crate) fn run() -> Result<()> {
    let mut first = String::new();
    std::io::stdin().lock().read_line(&mut first)?;
    let spec: Spec = serde_json::from_str(&first).context("the first line is the spec")?;
    let mut load = Load::new(&spec)?;
    let (seconds, latency) = load.open()?;
    answer(&Answer::Open { seconds, latency })?;
    // The waker outlives its thread: closed too early it would take the news of the end with it.
    let waker = Arc::new(Waker::new(load.poll.registry(), WAKE)?);
    let asks = listen(Arc::clone(&waker));
    load.serve(&asks)
}

struct Load {
    poll: Poll,
    clients: Vec<Client>,
    waiting: VecDeque<Client>,
    address: SocketAddr,
    at_once: usize,
    tally: Tally,
    scratch: Vec<u8>,
}

impl Load {
    fn new(spec: &Spec) -> Result<Self> {
        let waiting = spec
            .groups
            .iter()
            .flat_map(|group| (0..group.clients).map(move |i| Client::new(group, group.first + i)))
            .collect();
        Ok(Self {
            poll: Poll::new()?,
            clients: Vec::new(),
            waiting,
            address: spec.address,
            at_once: spec.at_once.max(1),
            tally: Tally::new(),
            scratch: vec![0; 256 * 1024],
        })
    }

    fn open(&mut self) -> Result<(f64, Vec<(u64, u64)>)> {
        let (started, total) = (Instant::now(), self.waiting.len());
        let mut events = Events::with_capacity(1024);
        let (mut open, mut progress, mut told) = (0, Instant::now(), Instant::now());
        let (mut begun, mut latency) = (Vec::with_capacity(total), histogram());
        while open < total {
            while self.clients.len() - open < self.at_once
                && let Some(client) = self.waiting.pop_front()
            {
                begun.push(Instant::now());
                self.connect(client)?;
            }
            self.poll
                .poll(&mut events, Some(Duration::from_millis(200)))?;
            for event in &events {
                let at = event.token().0;
                let was = self.clients[at].is_open();
                self.handle(at)?;
                if !was && self.clients[at].is_open() {
                    open += 1;
                    progress = Instant::now();
                    let taken = progress.duration_since(begun[at]);
                    latency.saturating_record(taken.as_micros() as u64);
                }
            }
            if told.elapsed() > Duration::from_secs(2) {
                told = Instant::now();
                eprintln!("  {open} of {total} clients open");
            }
            ensure!(
                progress.elapsed() < PATIENCE,
                "only {open} of {total} clients could be opened"
            );
        }
        Ok((started.elapsed().as_secs_f64(), counts(&latency)))
    }

    fn connect(&mut self, mut client: Client) -> Result<()> {
        let at = self.clients.len();
        let mut stream = TcpStream::connect(self.address)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(at), interest)?;
        client.stream = Some(stream);
        self.clients.push(client);
        Ok(())
    }

    fn handle(&mut self, at: usize) -> Result<()> {
        let client = &mut self.clients[at];
        client
            .handle(&mut self.scratch, &mut self.tally)
            .with_context(|| format!("client {at}"))
    }

    fn serve(&mut self, asks: &mpsc::Receiver<String>) -> Result<()> {
        let mut events = Events::with_capacity(4096);
        let mut awaited: Option<(u64, Instant)> = None;
        loop {
            let timeout = awaited.map(|(_, until)| until.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                if event.token() != WAKE {
                    self.handle(event.token().0)?;
                }
            }
            if let Some((deliveries, until)) = awaited
                && (self.tally.deliveries >= deliveries || Instant::now() >= until)
            {
                awaited = None;
                let deliveries = self.tally.deliveries;
                answer(&Answer::Came { deliveries })?;
            }
            while awaited.is_none() {
                let line = match asks.try_recv() {
                    Ok(line) => line,
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return Ok(()),
                };
                match serde_json::from_str(&line).context("what was asked")? {
                    Ask::Reset { check } => {
                        self.tally.reset(check);
                        answer(&Answer::Reset)?;
                    }
                    Ask::Report => answer(&Answer::Report(self.tally.report()))?,
                    Ask::Await { deliveries, .. } if self.tally.deliveries >= deliveries => {
                        let deliveries = self.tally.deliveries;
                        answer(&Answer::Came { deliveries })?;
                    }
                    Ask::Await {
                        deliveries,
                        patience_ms,
                    } => {
                        let until = Instant::now() + Duration::from_millis(patience_ms);
                        awaited = Some((deliveries, until));
                    }
                }
            }
        }
    }
}

/// Reads stdin on a thread of its own; a line wakes the poll.
fn listen(waker: Arc<Waker>) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        let mut stdin = std::io::stdin().lock();
        while let Ok(read @ 1..) = stdin.read(&mut chunk) {
            bytes.extend_from_slice(&chunk[..read]);
            while let Some(end) = memchr::memchr(b'\n', &bytes) {
                let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
                bytes.drain(..=end);
                if send.send(line).is_err() {
                    return;
                }
            }
            let _ = waker.wake();
        }
        drop(send);
        let _ = waker.wake();
    });
    receive
}

fn answer(answer: &Answer) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    serde_json::to_writer(&mut stdout, answer)?;
    stdout.write_all(b"\n")?;
    stdout.flush()?;
    Ok(())
}
