//! What a delivery costs in user space: the shard's thread, with sinks that take everything.
//!
//! `README.md` beside this file says how to run it and what the figures are.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod rig;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rig::{Mode, Rig};
use switchboard_protocol::wire::Wire;

const SUBSCRIBERS: [u64; 4] = [100, 1_000, 10_000, 100_000];
const MODES: [Mode; 3] = [Mode::One, Mode::Burst, Mode::Channels];

/// Deliveries of a case: the better part of a second's work, for user time is counted in ticks of some milliseconds.
/// Publications are bounded as well, for each is waited for.
const DELIVERIES: u64 = 40_000_000;
const PUBLICATIONS_MAX: u64 = 100_000;
const PUBLICATIONS_MIN: u64 = 128;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system gives a reactor");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let Some(at) = arguments.iter().position(|argument| *argument == "--once") {
        let number = |at: usize| arguments.get(at).and_then(|number| number.parse().ok());
        let (Some(subscribers), Some(publications)) = (number(at + 1), number(at + 2)) else {
            panic!("--once SUBSCRIBERS PUBLICATIONS [one|burst|channels]");
        };
        let mode = MODES
            .into_iter()
            .find(|mode| arguments.get(at + 3) == Some(&mode.name()))
            .unwrap_or(Mode::One);
        runtime.block_on(once(subscribers, publications, mode));
        return;
    }
    let json = arguments.contains(&"--json");
    let mut rows = Vec::new();
    for subscribers in SUBSCRIBERS {
        for mode in MODES {
            let row = runtime.block_on(measure(subscribers, mode));
            if !json {
                if rows.is_empty() {
                    println!("{}", Row::HEAD);
                }
                println!("{}", row.line());
            }
            rows.push(row);
        }
    }
    if json {
        let rows: Vec<String> = rows.iter().map(Row::json).collect();
        println!(r#"{{"rows":[{}]}}"#, rows.join(","));
    }
}

/// One case and nothing else, the same work each time: for programs that count instructions.
async fn once(subscribers: u64, publications: u64, mode: Mode) {
    let mut rig = Rig::start(subscribers, mode, Wire::WebSocketJson).await;
    rig.publish(publications / mode.round()).await;
}

async fn measure(subscribers: u64, mode: Mode) -> Row {
    let start = Instant::now();
    let mut rig = Rig::start(subscribers, mode, Wire::WebSocketJson).await;
    let opening = start.elapsed();
    let thread = Thread::newest("shard-0");
    let publications = DELIVERIES / subscribers;
    let rounds = publications.clamp(PUBLICATIONS_MIN, PUBLICATIONS_MAX) / mode.round();
    // Caches and vectors have their final state before anything is counted.
    rig.publish((rounds / 16).max(4)).await;
    let (cpu, sends, deliveries) = (thread.cpu().await, rig.send_calls().await, rig.deliveries());
    rig.publish(rounds).await;
    let cpu = thread.cpu().await - cpu;
    let sends = rig.send_calls().await - sends;
    let deliveries = rig.deliveries() - deliveries;
    assert_eq!(
        deliveries,
        rounds * mode.round() * subscribers,
        "somebody missed something"
    );
    let a_delivery = |figure: f64| figure / deliveries as f64;
    Row {
        subscribers,
        mode,
        nanoseconds: a_delivery(cpu.all.as_nanos() as f64),
        user_nanoseconds: a_delivery(cpu.user.as_nanos() as f64),
        sends: a_delivery(sends as f64),
        opening,
    }
}

struct Row {
    subscribers: u64,
    mode: Mode,
    /// The thread's CPU time a delivery.
    nanoseconds: f64,
    /// The part of it outside the kernel, as the kernel's ticks sampled it.
    user_nanoseconds: f64,
    sends: f64,
    /// How long all sessions took to open and be live.
    opening: Duration,
}

impl Row {
    const HEAD: &str =
        "subscribers  publications  ns/delivery  of it user  sends/delivery  opened in s";

    fn line(&self) -> String {
        format!(
            "{:>11}  {:<12}  {:>11.1}  {:>10.1}  {:>14.4}  {:>11.2}",
            self.subscribers,
            self.mode.name(),
            self.nanoseconds,
            self.user_nanoseconds,
            self.sends,
            self.opening.as_secs_f64()
        )
    }

    fn json(&self) -> String {
        format!(
            r#"{{"subscribers":{},"mode":"{}","ns_per_delivery":{:.2},"user_ns_per_delivery":{:.2},"sends_per_delivery":{:.5},"opening_s":{:.3}}}"#,
            self.subscribers,
            self.mode.name(),
            self.nanoseconds,
            self.user_nanoseconds,
            self.sends,
            self.opening.as_secs_f64()
        )
    }
}

/// A thread of this process, as the kernel sees it.
struct Thread(PathBuf);

/// CPU time of a thread.
struct Cpu {
    all: Duration,
    user: Duration,
}

impl std::ops::Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            all: self.all.saturating_sub(before.all),
            user: self.user.saturating_sub(before.user),
        }
    }
}

/// What the kernel counts user time in, on every architecture: USER_HZ.
const TICK: Duration = Duration::from_millis(10);

impl Thread {
    /// The newest thread of that name: those of the cases before stay.
    fn newest(name: &str) -> Self {
        let tasks = std::fs::read_dir("/proc/self/task").expect("this is Linux");
        let tasks = tasks.map(|task| task.expect("/proc lists tasks").path());
        let named = tasks.filter(|task| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
        });
        let number = |task: &PathBuf| -> Option<u32> { task.file_name()?.to_str()?.parse().ok() };
        Self(named.max_by_key(number).expect("the shard has a thread"))
    }

    /// Its CPU time, once it sleeps: what a running thread has used is brought up to date only now and then.
    async fn cpu(&self) -> Cpu {
        loop {
            let stat = self.read("stat");
            // The name in brackets may hold anything; behind it come the state and, eleven fields on, the user time.
            let (_, fields) = stat.rsplit_once(')').expect("a stat line has a name");
            let fields: Vec<&str> = fields.split_whitespace().collect();
            if fields[0] == "S" {
                let all = self.read("schedstat");
                let all = all.split_whitespace().next().and_then(|ns| ns.parse().ok());
                let ticks: u32 = fields[11].parse().expect("the user time is a number");
                return Cpu {
                    all: Duration::from_nanos(all.expect("the first figure is nanoseconds")),
                    user: TICK * ticks,
                };
            }
            tokio::task::yield_now().await;
        }
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.join(file)).expect("the thread lives")
    }
}
