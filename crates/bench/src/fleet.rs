//! The clients of a scenario, in as many load processes as their sockets need.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::load::{Answer, Ask, Framing, Group, Report, Spec};

/// Sockets of one load process: below the usual limit of 20,000 descriptors.
const CLIENTS_PER_PROCESS: usize = 19_500;
const AT_ONCE: usize = 256;

struct LoadProcess {
    child: Child,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    clients: usize,
}

/// All clients of a scenario.
pub(crate) struct Fleet {
    processes: Vec<LoadProcess>,
    pub(crate) clients: usize,
    /// How long opening them took.
    pub(crate) opened_in_s: f64,
}

impl Fleet {
    /// Opens the groups' clients; their numbers are given here.
    pub(crate) async fn open(address: SocketAddr, mut groups: Vec<Group>) -> Result<Self> {
        let mut next = 0;
        for group in &mut groups {
            group.first = next;
            next += group.clients;
        }
        let mut fleet = Self {
            processes: Vec::new(),
            clients: next,
            opened_in_s: 0.0,
        };
        for groups in split(groups) {
            let spec = Spec {
                address,
                groups,
                at_once: AT_ONCE,
            };
            let (process, seconds) = LoadProcess::start(&spec).await?;
            fleet.processes.push(process);
            fleet.opened_in_s += seconds;
        }
        Ok(fleet)
    }

    /// Starts counting anew.
    pub(crate) async fn reset(&mut self, check: bool) -> Result<()> {
        for process in &mut self.processes {
            process.ask(Ask::Reset { check }).await?;
            let answer = process.answer().await?;
            ensure!(
                matches!(answer, Answer::Reset),
                "a reset was asked for, {answer:?} came"
            );
        }
        Ok(())
    }

    /// Waits until every client has had `each` deliveries since the reset, and fails when they do not come.
    pub(crate) async fn arrived(&mut self, each: u64) -> Result<()> {
        for process in &mut self.processes {
            let expected = each * process.clients as u64;
            process.arrived(expected).await?;
        }
        Ok(())
    }

    /// Waits until all clients together have had so many; all of them must be in one process.
    pub(crate) async fn arrived_in_all(&mut self, deliveries: u64) -> Result<()> {
        ensure!(
            self.processes.len() == 1,
            "a total is known to one process only"
        );
        self.processes[0].arrived(deliveries).await
    }

    /// What all of them have counted.
    pub(crate) async fn report(&mut self) -> Result<Report> {
        let mut total = Report::default();
        for process in &mut self.processes {
            process.ask(Ask::Report).await?;
            match process.answer().await? {
                Answer::Report(report) => add(&mut total, report),
                other => bail!("a report was asked for, {other:?} came"),
            }
        }
        Ok(total)
    }

    /// Closes all connections.
    pub(crate) async fn close(self) -> Result<()> {
        for mut process in self.processes {
            drop(process.stdin);
            process.child.wait().await?;
        }
        Ok(())
    }
}

impl LoadProcess {
    async fn start(spec: &Spec) -> Result<(Self, f64)> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("load")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take().context("stdin")?;
        let stdout = child.stdout.take().context("stdout")?;
        let mut process = Self {
            child,
            stdin,
            answers: BufReader::new(stdout).lines(),
            clients: spec
                .groups
                .iter()
                .filter(|g| !g.stalled)
                .map(|g| g.clients)
                .sum(),
        };
        process.write(&serde_json::to_string(spec)?).await?;
        match process.answer().await? {
            Answer::Open { seconds } => Ok((process, seconds)),
            other => bail!("clients were to be opened, {other:?} came"),
        }
    }

    async fn arrived(&mut self, expected: u64) -> Result<()> {
        self.ask(Ask::Await {
            deliveries: expected,
            patience_ms: 20_000,
        })
        .await?;
        match self.answer().await? {
            Answer::Came { deliveries } if deliveries >= expected => Ok(()),
            Answer::Came { deliveries } => {
                bail!("lost: {deliveries} of {expected} deliveries have come")
            }
            other => bail!("deliveries were awaited, {other:?} came"),
        }
    }

    async fn ask(&mut self, ask: Ask) -> Result<()> {
        self.write(&serde_json::to_string(&ask)?).await
    }

    async fn write(&mut self, line: &str) -> Result<()> {
        self.stdin.write_all(line.as_bytes()).await?;
        self.stdin.write_all(b"\n").await?;
        Ok(())
    }

    async fn answer(&mut self) -> Result<Answer> {
        let line = tokio::time::timeout(Duration::from_mins(2), self.answers.next_line());
        let line = line.await.context("a load process does not answer")??;
        Ok(serde_json::from_str(
            &line.context("a load process has failed")?,
        )?)
    }
}

/// Deals groups out to processes.
fn split(groups: Vec<Group>) -> Vec<Vec<Group>> {
    let (mut all, mut room) = (vec![Vec::new()], CLIENTS_PER_PROCESS);
    for mut group in groups {
        while group.clients > 0 {
            if room == 0 {
                all.push(Vec::new());
                room = CLIENTS_PER_PROCESS;
            }
            let taken = group.clients.min(room);
            let mut part = group.clone();
            part.clients = taken;
            group.first += taken;
            group.clients -= taken;
            room -= taken;
            all.last_mut().expect("never empty").push(part);
        }
    }
    all
}

fn add(total: &mut Report, one: Report) {
    total.deliveries += one.deliveries;
    total.bytes += one.bytes;
    total.reads += one.reads;
    total.lost += one.lost;
    total.duplicates += one.duplicates;
    total.gaps += one.gaps;
    total.closed += one.closed;
    total.latency.extend(one.latency);
}

/// A group of Switchboard clients that subscribe to these channels (`{n}` and `{m}` are the client's number).
pub(crate) fn switchboard(
    framing: Framing,
    clients: usize,
    channels: &[String],
    token: &str,
) -> Group {
    let channels_query: Vec<String> = channels.iter().map(|c| format!("channel={c}")).collect();
    let query = channels_query.join("&");
    let common = format!("Host: bench\r\nAuthorization: Bearer {token}\r\n");
    let request = match framing {
        Framing::WebSocket => format!(
            "GET /v1/ws?{query} HTTP/1.1\r\n{common}Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c3dpdGNoYm9hcmQtMTIzNA==\r\n\r\n"
        ),
        Framing::EventStream => format!("GET /v1/sse?{query} HTTP/1.1\r\n{common}\r\n"),
        Framing::Poll => format!("GET /v1/poll?{query}&wait=0 HTTP/1.1\r\n{common}\r\n"),
    };
    Group {
        clients,
        framing,
        request,
        first: 0,
        modulus: 1,
        then_send: Vec::new(),
        ready: match framing {
            Framing::EventStream => "event: subscribed".to_owned(),
            _ => "\"subscribed\"".to_owned(),
        },
        ready_count: channels.len(),
        stalled: false,
    }
}

/// Microseconds below which `share` of the deliveries arrived.
pub(crate) fn percentile(report: &Report, share: f64) -> u64 {
    let mut counts = report.latency.clone();
    counts.sort_unstable();
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let mut left = above(share, total as f64);
    for (value, count) in counts {
        left = left.saturating_sub(count);
        if left == 0 {
            return value;
        }
    }
    0
}

/// The rank of a share of `total`, at least 1.
fn above(share: f64, total: f64) -> u64 {
    // Counts are no larger than what a float holds exactly, and shares are between 0 and 1.
    #[allow(clippy::cast_sign_loss, reason = "neither is negative")]
    let rank = (total * share).ceil() as u64;
    rank.max(1)
}
