//! The clients of a scenario, in as many load processes as their sockets need.

use std::net::SocketAddr;
use std::ops::Range;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::load::{Answer, Ask, Framing, Group, Report, Spec};
use crate::scenario::opening::AT_ONCE;

/// Sockets of one load process: below the usual limit of 20,000 descriptors.
const CLIENTS_PER_PROCESS: usize = 19_500;

struct LoadProcess {
    child: Child,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    clients: usize,
    /// The numbers of those that read.
    readers: Vec<Range<usize>>,
}

/// All clients of a scenario.
pub(crate) struct Fleet {
    processes: Vec<LoadProcess>,
    pub(crate) clients: usize,
    /// How long opening them took.
    pub(crate) opened_in_s: f64,
    /// From each client's connect to its being open: microseconds and how often.
    pub(crate) opening_latency: Vec<(u64, u64)>,
}

impl Fleet {
    /// Opens the groups' clients; their numbers are given here.
    pub(crate) async fn open(address: SocketAddr, groups: Vec<Group>) -> Result<Self> {
        Self::open_at_once(address, groups, AT_ONCE).await
    }

    /// The same with so many connections under way at a time.
    pub(crate) async fn open_at_once(
        address: SocketAddr,
        mut groups: Vec<Group>,
        at_once: usize,
    ) -> Result<Self> {
        let mut next = 0;
        for group in &mut groups {
            group.first = next;
            next += group.clients;
        }
        let mut fleet = Self {
            processes: Vec::new(),
            clients: next,
            opened_in_s: 0.0,
            opening_latency: Vec::new(),
        };
        for groups in split(groups) {
            let spec = Spec {
                address,
                groups,
                at_once,
            };
            let (process, seconds, latency) = LoadProcess::start(&spec).await?;
            fleet.processes.push(process);
            fleet.opened_in_s += seconds;
            fleet.opening_latency.extend(latency);
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

    /// Waits until every client that reads has had what it should have had of so many publications since the reset: number k
    /// is for the clients whose number is k modulo `turns`. Says how many deliveries have not come within reasonable time.
    pub(crate) async fn missing_in_turn(&mut self, publications: u64, turns: u64) -> Result<u64> {
        let (rounds, rest) = (publications / turns, publications % turns);
        let mut missing = 0;
        for process in &mut self.processes {
            let readers = process.readers.iter().cloned();
            let expected = readers.map(|readers| {
                let one_more = below(readers.end, turns, rest) - below(readers.start, turns, rest);
                readers.len() as u64 * rounds + one_more
            });
            missing += process.missing(expected.sum()).await?;
        }
        Ok(missing)
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
    /// Starts it; says how long its clients took to open, together and each.
    async fn start(spec: &Spec) -> Result<(Self, f64, Vec<(u64, u64)>)> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("load")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let readers: Vec<Range<usize>> = spec
            .groups
            .iter()
            .filter(|group| !group.stalled)
            .map(|group| group.first..group.first + group.clients)
            .collect();
        let stdin = child.stdin.take().context("stdin")?;
        let stdout = child.stdout.take().context("stdout")?;
        let mut process = Self {
            child,
            stdin,
            answers: BufReader::new(stdout).lines(),
            clients: readers.iter().map(ExactSizeIterator::len).sum(),
            readers,
        };
        process.write(&serde_json::to_string(spec)?).await?;
        match process.answer().await? {
            Answer::Open { seconds, latency } => Ok((process, seconds, latency)),
            other => bail!("clients were to be opened, {other:?} came"),
        }
    }

    async fn arrived(&mut self, expected: u64) -> Result<()> {
        let missing = self.missing(expected).await?;
        ensure!(
            missing == 0,
            "lost: {} of {expected} deliveries have come",
            expected - missing
        );
        Ok(())
    }

    /// Waits for so many deliveries since the reset, and says how many have not come within reasonable time.
    async fn missing(&mut self, expected: u64) -> Result<u64> {
        self.ask(Ask::Await {
            deliveries: expected,
            patience_ms: 20_000,
        })
        .await?;
        match self.answer().await? {
            Answer::Came { deliveries } => Ok(expected.saturating_sub(deliveries)),
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

/// How many of the numbers below `end` are less than `rest`, modulo `turns`.
fn below(end: usize, turns: u64, rest: u64) -> u64 {
    let end = end as u64;
    end / turns * rest + (end % turns).min(rest)
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
    total.disordered += one.disordered;
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

/// Asks for application heartbeats, every so many seconds.
pub(crate) fn with_heartbeat(mut group: Group, seconds: u64) -> Group {
    group.request = group
        .request
        .replacen('?', &format!("?heartbeat={seconds}&"), 1);
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_counted_as_one_by_one() {
        for (end, turns, rest) in [(0, 1, 0), (10, 3, 2), (7, 10, 4), (20, 10, 9), (5, 1, 0)] {
            let counted = (0..end).filter(|n| *n as u64 % turns < rest).count() as u64;
            assert_eq!(below(end, turns, rest), counted, "{end} {turns} {rest}");
        }
    }

    #[test]
    fn clients_are_dealt_out_to_processes_in_their_order() {
        let mut group = switchboard(Framing::WebSocket, 45_000, &["b:0".to_owned()], "t");
        group.first = 100;
        let parts = split(vec![group]);
        let parts: Vec<_> = parts
            .iter()
            .flatten()
            .map(|part| (part.first, part.clients))
            .collect();
        assert_eq!(parts, [(100, 19_500), (19_600, 19_500), (39_100, 6_000)]);
    }
}
