//! The engine that the configuration asks for: made here, and here only known by its own type.

use std::sync::Arc;

use switchboard_core::NodeId;
use switchboard_engine::{Engine, MemoryEngine, Sink};
use switchboard_engine_redis::RedisEngine;

use crate::config::EngineConfig;

/// An engine that runs.
#[derive(Clone)]
pub(crate) enum RunningEngine {
    Memory(Arc<MemoryEngine>),
    Redis(Arc<RedisEngine>),
}

/// A figure that an engine has about itself.
pub(crate) struct Figure {
    /// Its metric, without the program's prefix.
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) value: FigureValue,
}

/// What a figure counts.
pub(crate) enum FigureValue {
    /// How many there are now.
    Gauge(f64),
    /// How many bytes there are now.
    Bytes(f64),
    /// How many there have been; never falls.
    Counter(u64),
}

impl RunningEngine {
    /// Starts it. The Redis engine connects in the background: until it has, it is not ready and refuses what it is asked.
    ///
    /// # Panics
    /// On a configuration that has not been checked.
    pub(crate) fn start(config: &EngineConfig, node: NodeId, sink: Arc<dyn Sink>) -> Self {
        match config {
            EngineConfig::Memory(config) => Self::Memory(MemoryEngine::new(sink, config.clone())),
            EngineConfig::Redis(config) => Self::Redis(
                RedisEngine::start(node, sink, (**config).clone())
                    .expect("the configuration was checked"),
            ),
        }
    }

    /// What a node speaks to.
    pub(crate) fn engine(&self) -> Arc<dyn Engine> {
        match self {
            Self::Memory(engine) => Arc::<MemoryEngine>::clone(engine),
            Self::Redis(engine) => Arc::<RedisEngine>::clone(engine),
        }
    }

    /// What it has to tell about itself now.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        let figure = |name, help, value| Figure { name, help, value };
        match self {
            Self::Memory(engine) => {
                let stats = engine.stats();
                vec![
                    figure(
                        "engine_channels",
                        "Channels that the engine has a record of",
                        FigureValue::Gauge(stats.channels as f64),
                    ),
                    figure(
                        "engine_history",
                        "What all histories take",
                        FigureValue::Bytes(stats.history_bytes as f64),
                    ),
                    figure(
                        "engine_graces",
                        "Members that are gone but within their grace",
                        FigureValue::Gauge(stats.graces as f64),
                    ),
                    figure(
                        "engine_ids_forgotten",
                        "Publication ids forgotten before their window was out",
                        FigureValue::Counter(stats.ids_forgotten),
                    ),
                ]
            }
            Self::Redis(engine) => {
                let stats = engine.stats();
                vec![
                    figure(
                        "engine_ready",
                        "1 while commands are answered and deliveries heard",
                        FigureValue::Gauge(f64::from(u8::from(stats.ready))),
                    ),
                    figure(
                        "engine_channels_followed",
                        "Channels subscribed at Redis, lingering ones included",
                        FigureValue::Gauge(stats.channels_followed as f64),
                    ),
                    figure(
                        "engine_garbage",
                        "Deliveries and history entries that could not be read",
                        FigureValue::Counter(stats.garbage),
                    ),
                ]
            }
        }
    }
}
