//! Logs and metrics: where they go and what the process itself adds to them.

mod logs;
mod metrics;

pub(crate) use logs::install as install_logs;
pub(crate) use metrics::{ProcessMetrics, registry};
