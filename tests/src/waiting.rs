//! Waiting for what is meant, never for time: a condition that is looked at until it holds or a deadline has passed.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything may take that is expected at once. Generous: the machine may be busy with other tests.
pub const SOON: Duration = Duration::from_secs(10);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until `look` gives something; an error of `look` ends it at once.
///
/// # Errors
/// Nothing within the deadline; the error names what was waited for.
pub async fn until<T, F>(what: &str, within: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("not within {within:?}: {what}");
        }
        // waits: between two looks at the condition
        tokio::time::sleep(LOOK).await;
    }
}
