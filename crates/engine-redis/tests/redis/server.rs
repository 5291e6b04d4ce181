//! A real redis-server, with a directory of its own, ended with the test.

use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use switchboard_engine_redis::{Address, RedisConfig, Topology};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long a server may take to answer.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a server may take to answer one command.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A server process.
pub(crate) struct Server {
    pub(crate) port: u16,
    directory: TempDir,
    options: Vec<String>,
    process: Child,
    /// Removed at the end.
    file: Option<PathBuf>,
}

impl Server {
    /// Starts one on a free port and waits until it answers.
    pub(crate) async fn start(options: &[&str]) -> Self {
        let mut directory = TempDir::new().expect("a temporary directory");
        let mut options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        // Between choosing a port and binding it another process may take it.
        for _ in 0..5 {
            let port = free_port();
            let process = launch(port, directory.path(), &options);
            let mut server = Self {
                port,
                directory,
                options,
                process,
                file: None,
            };
            if server.answers().await {
                return server;
            }
            directory = std::mem::replace(
                &mut server.directory,
                TempDir::new().expect("a temporary directory"),
            );
            options = std::mem::take(&mut server.options);
        }
        panic!("redis-server does not start");
    }

    /// Starts one with a configuration file, which it may write to.
    pub(crate) async fn start_with_file(text: &str, options: &[&str]) -> Self {
        let file = tempfile::Builder::new()
            .suffix(".conf")
            .tempfile()
            .expect("a file");
        let (_, path) = file.keep().expect("a file that stays");
        std::fs::write(&path, text).expect("written");
        let path_text = path.to_str().expect("a plain path").to_owned();
        let mut all = vec![path_text.as_str()];
        all.extend_from_slice(options);
        let mut server = Self::start(&all).await;
        server.file = Some(path);
        server
    }

    /// Waits until the answer to a command is as it should be.
    pub(crate) async fn until(&self, command: &str, is_so: impl Fn(&str) -> bool) {
        let started = Instant::now();
        loop {
            let answer = self.command(command).await.unwrap_or_default();
            if is_so(&answer) {
                return;
            }
            assert!(started.elapsed() < START_TIMEOUT, "{command}: {answer}");
            tokio::time::sleep(Duration::from_millis(20)).await; // waits: for what a server does by itself
        }
    }

    pub(crate) fn address(&self) -> Address {
        Address::new("127.0.0.1", self.port)
    }

    /// A configuration that leads here, with times for tests.
    pub(crate) fn config(&self) -> RedisConfig {
        quick(RedisConfig::new(Topology::Standalone(self.address())))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).expect("the process is there");
    }

    /// Ends the process as kill -9 does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("the process is there");
        self.process.wait().expect("the process ends");
    }

    /// Starts it again, on its port and with what is in its directory.
    pub(crate) async fn restart(&mut self) {
        self.process = launch(self.port, self.directory.path(), &self.options);
        assert!(self.answers().await, "redis-server does not start again");
    }

    /// Removes what it has written.
    pub(crate) fn empty_directory(&self) {
        for entry in std::fs::read_dir(self.directory.path()).expect("its directory") {
            let path = entry.expect("an entry").path();
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.expect("removed");
        }
    }

    /// Copies what it has written.
    pub(crate) fn copy_of_directory(&self) -> TempDir {
        let copy = TempDir::new().expect("a temporary directory");
        copy_files(self.directory.path(), copy.path());
        copy
    }

    /// Has it find what was copied.
    pub(crate) fn fill_directory(&self, copy: &TempDir) {
        copy_files(copy.path(), self.directory.path());
    }

    /// Sends one command, as redis-cli would, and gives the answer's text.
    pub(crate) async fn command(&self, command: &str) -> io::Result<String> {
        ask(self.port, command).await
    }

    async fn answers(&mut self) -> bool {
        let started = Instant::now();
        while started.elapsed() < START_TIMEOUT {
            if let Ok(answer) = self.command("PING").await
                && (answer.contains("PONG") || answer.contains("NOAUTH"))
            {
                return true;
            }
            if self.process.try_wait().expect("a child").is_some() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await; // waits: for a program to listen, which tells nobody
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(file) = &self.file {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Sends one command to each of them.
pub(crate) async fn of_all(servers: &[Server], command: &str) -> Vec<String> {
    let mut answers = Vec::new();
    for server in servers {
        answers.push(server.command(command).await.expect("an answer"));
    }
    answers
}

/// Times for tests: what is lost is noticed as in production, the rest goes faster.
pub(crate) fn quick(mut config: RedisConfig) -> RedisConfig {
    config.linger = Duration::from_millis(300);
    config.lease = Duration::from_secs(3);
    config.compare_interval = Duration::from_secs(2);
    config
}

pub(crate) fn free_port() -> u16 {
    // A Cluster's bus takes the port 10,000 above.
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let copy = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_files(&entry.path(), &copy);
        } else {
            std::fs::copy(entry.path(), copy).expect("copied");
        }
    }
}

fn launch(port: u16, directory: &Path, options: &[String]) -> Child {
    // A file stands before all options.
    let (file, options) = match options.split_first() {
        Some((file, rest)) if !file.starts_with('-') => (Some(file), rest),
        _ => (None, options),
    };
    Command::new(program("SWITCHBOARD_REDIS_SERVER", "redis-server"))
        .args(file)
        .args(["--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
        .args(["--port", &port.to_string()])
        .args(["--repl-diskless-sync-delay", "0"])
        .arg("--dir")
        .arg(directory)
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

/// A program: by the variable, which may name Valkey's, else by its name.
pub(crate) fn program(variable: &str, name: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| name.into())
}

/// Sends one command in its inline form, and reads until the server closes: it does once it has answered and hears no more. An answer
/// that is larger than a socket's buffer may be cut off. Nothing is closed before the answer begins: Valkey has `CLUSTER SETSLOT` wait for
/// its replicas, and drops what waits when whoever sent it closes.
pub(crate) async fn ask(port: u16, command: &str) -> io::Result<String> {
    let asking = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .await?;
        let mut answer = Vec::new();
        stream.read_buf(&mut answer).await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, asking).await;
    answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
