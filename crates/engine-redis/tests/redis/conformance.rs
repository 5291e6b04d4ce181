//! The suite that every engine must pass, with real faults.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use switchboard_engine::conformance::{self, ConformanceHooks};
use switchboard_engine::{Engine, Sink};
use switchboard_engine_redis::{RedisConfig, RedisEngine};

use super::ready_engine;
use super::server::{Server, of_all};

/// An engine, as the suite knows it and as it is.
type Made = (Arc<dyn Engine>, Arc<RedisEngine>);

/// Faults of all servers together, and the engines made on them.
struct Faults<'a> {
    servers: &'a [Server],
    config: RedisConfig,
    made: Mutex<Vec<Made>>,
}

#[async_trait::async_trait]
impl ConformanceHooks for Faults<'_> {
    /// Cuts the connections that deliver.
    async fn interrupt(&self, _engine: &Arc<dyn Engine>) -> bool {
        let killed = of_all(self.servers, "CLIENT KILL TYPE pubsub").await;
        killed.iter().any(|killed| !killed.contains(":0"))
    }

    async fn lose_data(
        &self,
        engine: &Arc<dyn Engine>,
        _sink: &Arc<dyn Sink>,
    ) -> Option<Arc<dyn Engine>> {
        of_all(self.servers, "FLUSHALL").await;
        Some(Arc::clone(engine))
    }

    fn shares_channels(&self) -> bool {
        true
    }

    async fn kill_node(&self, engine: &Arc<dyn Engine>) -> Option<Duration> {
        let made = self.made.lock().expect("nobody panicked");
        let (_, victim) = made
            .iter()
            .find(|(made, _)| Arc::ptr_eq(made, engine))
            .expect("made here");
        victim.abandon();
        Some(self.config.lease)
    }
}

/// Runs all of the suite on these servers.
#[expect(clippy::print_stdout, reason = "a test tells its figures")]
pub(crate) async fn holds_on(servers: &[Server], config: RedisConfig) {
    let faults = Faults {
        servers,
        config: config.clone(),
        made: Mutex::default(),
    };
    let make = async |sink| {
        let engine = ready_engine(sink, config.clone()).await;
        let made: Arc<dyn Engine> = engine.clone();
        faults
            .made
            .lock()
            .expect("nobody panicked")
            .push((Arc::clone(&made), engine));
        made
    };
    let report = conformance::run(make, &faults).await;
    println!("{report}");
    report.expect_all_held();
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_holds_on_a_standalone_server() {
    let server = Server::start(&[]).await;
    let config = server.config();
    holds_on(&[server], config).await;
}
