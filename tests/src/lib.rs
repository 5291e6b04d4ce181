//! The harness of the black-box tests: it starts the real `switchboard` program and speaks to it as the world does.
//!
//! Purpose: [`hub`] runs one program a test, on ports of its own, with a configuration of its own; [`client`] is a client
//! over any of the three transports, all of them giving the same frames; [`services`] speaks gRPC; [`tokens`] mints good and
//! hostile tokens; [`raw`] speaks WebSocket byte by byte; [`tls`] makes certificates and puts TLS around the others;
//! [`redis`] runs a redis-server, [`cluster`] several nodes on one; [`metrics`] reads what the hub counts; [`tools`] finds the programs that interoperability is tested with, [`script`] drives
//! them; [`faults`] breaks nodes and their Redis under load and counts what came of it, for the binary `switchboard-faults` and for the tests.
//!
//! Deliberately absent: anything of the hub's own crates but the generated messages of `/proto`. What is tested here is
//! what others see, so the protocol is spoken from its description and not from the hub's code.
//!
//! Reading order: [`waiting`], [`config`], [`secrets`], [`hub`], [`door`], [`tokens`], [`services`], [`client`], then the rest; [`faults`] last.
//!
//! To add a scenario: an `async fn scenario(transport: Transport) -> Result<()>` in a file of `tests/scenarios/` and a line
//! `every_transport!(scenario)`. To add a transport: a link in [`client`] and a variant of [`client::Transport`].

pub mod client;
pub mod cluster;
pub mod config;
pub mod door;
pub mod faults;
pub mod hub;
pub mod metrics;
pub mod raw;
pub mod redis;
pub mod script;
pub mod secrets;
pub mod services;
pub mod tls;
pub mod tokens;
pub mod tools;
pub mod waiting;

pub use client::{Client, Frame, Opening, Transport};
pub use cluster::Cluster;
pub use hub::Hub;

/// Makes a test of each transport out of one scenario: `scenario::websocket`, `scenario::sse`, `scenario::poll`.
#[macro_export]
macro_rules! every_transport {
    ($($scenario:ident),+ $(,)?) => {
        $(
            mod $scenario {
                #[tokio::test]
                async fn websocket() -> anyhow::Result<()> {
                    super::$scenario($crate::Transport::WebSocket).await
                }

                #[tokio::test]
                async fn sse() -> anyhow::Result<()> {
                    super::$scenario($crate::Transport::Sse).await
                }

                #[tokio::test]
                async fn poll() -> anyhow::Result<()> {
                    super::$scenario($crate::Transport::Poll).await
                }
            }
        )+
    };
}
