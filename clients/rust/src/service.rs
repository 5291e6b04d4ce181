//! The control API of the hub, gRPC, for services: publishing and presence.
//!
//! ```no_run
//! # async fn example() -> Result<(), switchboard_client::Error> {
//! use switchboard_client::service::{Item, Service};
//!
//! let hub = Service::connect("http://hub.internal:8001", "key")?;
//! let published = hub.publish(Item::json("chat:42", &"hello")?).await?;
//! println!("at {}", published.position.offset);
//! # Ok(())
//! # }
//! ```
//!
//! Reading order: this file (the connection, and how calls are repeated), `publisher`, `presence`, `watch`.

mod presence;
mod publisher;
mod watch;

use std::fmt;
use std::time::Duration;

use switchboard_proto::api::v1::presence_service_client::PresenceServiceClient;
use switchboard_proto::api::v1::publish_service_client::PublishServiceClient;
use tokio::time::{Instant, timeout_at};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::Error;
use crate::backoff::backoff;
use crate::trust::distrust;

pub use presence::{MemberCount, MemberPage, Online, UserSession};
pub use publisher::{Item, Published};
pub use watch::{Change, PresencePosition};

const BACKOFF_BASE: Duration = Duration::from_millis(100);
const BACKOFF_CAP: Duration = Duration::from_secs(5);
/// How long a call may take, with all its attempts, unless it is told otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to the control API. Clones share it.
///
/// What may succeed later is repeated until a call's time is over, by default 10 seconds.
#[derive(Clone)]
pub struct Service {
    channel: Channel,
    bearer: MetadataValue<Ascii>,
    timeout: Duration,
}

impl Service {
    /// Makes a connection to the control API at an address such as `http://hub.internal:8001`, with an API key. It does not wait: the
    /// first call does, and says what is wrong.
    ///
    /// # Errors
    /// `bad_request`: the address or the key cannot be used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(address: &str, api_key: &str) -> Result<Self, Error> {
        Self::make(address, api_key, None)
    }

    /// Makes a connection as [`connect`](Self::connect) does, with TLS: whom to trust, and a certificate for mutual TLS.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect_with_tls(
        address: &str,
        api_key: &str,
        tls: ClientTlsConfig,
    ) -> Result<Self, Error> {
        Self::make(address, api_key, Some(tls))
    }

    fn make(address: &str, api_key: &str, tls: Option<ClientTlsConfig>) -> Result<Self, Error> {
        let wrong =
            |error: &dyn fmt::Display| Error::new("bad_request", format!("{address}: {error}"));
        let mut endpoint = Endpoint::from_shared(address.to_owned())
            .map_err(|error| wrong(&error))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .tcp_nodelay(true);
        if let Some(tls) = tls {
            endpoint = endpoint.tls_config(tls).map_err(|error| wrong(&error))?;
        }
        let mut bearer: MetadataValue<Ascii> = format!("Bearer {api_key}")
            .parse()
            .map_err(|_| wrong(&"the API key has characters that none has"))?;
        bearer.set_sensitive(true);
        Ok(Self {
            channel: endpoint.connect_lazy(),
            bearer,
            timeout: TIMEOUT,
        })
    }

    /// The same connection by a handle whose calls take at most so long.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            timeout,
            ..self.clone()
        }
    }

    fn publishing(&self) -> PublishServiceClient<Channel> {
        PublishServiceClient::new(self.channel.clone())
    }

    fn presence(&self) -> PresenceServiceClient<Channel> {
        PresenceServiceClient::new(self.channel.clone())
    }

    fn authorized<T>(&self, asked: T) -> Request<T> {
        let mut request = Request::new(asked);
        let bearer = self.bearer.clone();
        request.metadata_mut().insert("authorization", bearer);
        request
    }

    /// Makes a call, again and again while it may succeed later, until its time is over: then it gives the failure before, which says
    /// more than that time is over.
    async fn repeated<T, A, F>(&self, asked: &T, call: impl Fn(Request<T>) -> F) -> Result<A, Error>
    where
        T: Clone,
        F: Future<Output = Result<tonic::Response<A>, Status>>,
    {
        let deadline = Instant::now() + self.timeout;
        let mut before = None;
        for attempt in 0.. {
            let mut request = self.authorized(asked.clone());
            // The hub ends the call then, too.
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            let Ok(outcome) = timeout_at(deadline, call(request)).await else {
                break;
            };
            let told = match outcome {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => error_of(&status),
            };
            let wait = wait_for(&told, attempt);
            if !told.is_retryable() || Instant::now() + wait >= deadline {
                return Err(before.filter(|_| told.code() == "timeout").unwrap_or(told));
            }
            before = Some(told);
            tokio::time::sleep(wait).await;
        }
        Err(before.unwrap_or_else(|| Error::timeout("the call")))
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is a secret.
        f.debug_struct("Service")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn wait_for(told: &Error, attempt: u32) -> Duration {
    let jittered = || backoff(attempt, rand::random(), BACKOFF_BASE, BACKOFF_CAP);
    told.retry_after().unwrap_or_else(jittered)
}

/// A failure of a call as the client's error: the stable code is the reason of its ErrorInfo.
fn error_of(status: &Status) -> Error {
    if let Some(why) = distrust(status) {
        return Error::new("untrusted", why);
    }
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    // What failed without the hub's word has no reason: the library's own failures, or a proxy's.
    let code = reason.unwrap_or_else(|| by_status(status.code()).to_owned());
    let is_retryable = matches!(code.as_str(), "unavailable" | "timeout" | "rate_limited")
        || code == "internal" && details.error_info().is_some();
    let error = Error::new(code, status.message());
    if is_retryable {
        let delay = details.retry_info().and_then(|info| info.retry_delay);
        return error.retryable(delay.filter(|delay| !delay.is_zero()));
    }
    error
}

fn by_status(code: Code) -> &'static str {
    match code {
        Code::DeadlineExceeded => "timeout",
        Code::Cancelled => "aborted",
        Code::Unavailable => "unavailable",
        Code::Unauthenticated => "unauthenticated",
        Code::PermissionDenied => "permission_denied",
        Code::NotFound => "not_found",
        Code::InvalidArgument => "bad_request",
        Code::ResourceExhausted => "limit_exceeded",
        _ => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tonic_types::ErrorDetails;

    #[test]
    fn the_hubs_reason_is_the_code() {
        let mut details =
            ErrorDetails::with_error_info("rate_limited", "hub", HashMap::<String, String>::new());
        details.set_retry_info(Some(Duration::from_millis(350)));
        let status = Status::with_error_details(Code::ResourceExhausted, "slower", details);
        let error = error_of(&status);
        assert_eq!((error.code(), error.message()), ("rate_limited", "slower"));
        assert!(error.is_retryable());
        assert_eq!(wait_for(&error, 0), Duration::from_millis(350));
    }

    #[test]
    fn without_a_reason_the_status_is_the_code() {
        for (code, wanted, is_retryable) in [
            (Code::Unavailable, "unavailable", true),
            (Code::DeadlineExceeded, "timeout", true),
            (Code::Unauthenticated, "unauthenticated", false),
            (Code::Unknown, "internal", false),
        ] {
            let error = error_of(&Status::new(code, ""));
            assert_eq!(
                (error.code(), error.is_retryable()),
                (wanted, is_retryable),
                "{code:?}"
            );
        }
    }
}
