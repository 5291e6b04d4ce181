//! What users and addresses may do how often, on all nodes together: the engine keeps count.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use switchboard_core::{ClientError, ErrorCode, RateLimit, UserId};
use switchboard_engine::EngineError;

use crate::opening::Opening;
use crate::shared::{Shared, engine_error};

impl Shared {
    /// Counts an opening against what its user and its address may open. Where the engine does not answer nobody is kept
    /// out: sessions are worth having while it is away, and what they ask of it fails anyway.
    ///
    /// # Errors
    /// `rate_limited`, with when to come again.
    pub(crate) async fn count_opening(&self, opening: &Opening) -> Result<(), ClientError> {
        let limits = &self.limits;
        let of_ip = RateLimit {
            per_minute: limits.openings_per_minute_per_ip_max,
            burst: limits.opening_burst_per_ip_max,
        };
        let of_user = RateLimit {
            per_minute: limits.openings_per_minute_per_user_max,
            burst: limits.opening_burst_per_user_max,
        };
        let (ip, user) = (opening.client_ip, opening.identity.user.as_ref());
        let ip = ip.filter(|_| of_ip.per_minute > 0);
        let user = user.filter(|_| of_user.per_minute > 0);
        if let Some(ip) = ip {
            let what = format!("open:ip:{}", network(ip));
            self.count_open(&what, of_ip, "this address").await?;
        }
        if let Some(user) = user {
            let what = format!("open:user:{user}");
            self.count_open(&what, of_user, "this user").await?;
        }
        Ok(())
    }

    async fn count_open(&self, what: &str, limit: RateLimit, who: &str) -> Result<(), ClientError> {
        match self.engine.take(what, limit).await {
            Ok(None) => Ok(()),
            Ok(Some(wait)) => {
                let per_minute = limit.per_minute;
                let message = format!("{who} opens more than {per_minute} sessions a minute");
                Err(limited(message, wait))
            }
            Err(error) => {
                tracing::warn!(%error, "an opening could not be counted");
                self.metrics.openings_uncounted.inc();
                Ok(())
            }
        }
    }

    /// Counts a command that the engine is to work on against what its user may ask for.
    ///
    /// # Errors
    /// `rate_limited`, with when to come again; `unavailable` when the engine does not answer, as it would not the command.
    pub(crate) async fn count_command(
        &self,
        user: Option<&UserId>,
        ip: Option<IpAddr>,
    ) -> Result<(), ClientError> {
        let limit = RateLimit {
            per_minute: self.limits.commands_per_minute_per_user_max,
            burst: self.limits.command_burst_per_user_max,
        };
        if limit.per_minute == 0 {
            return Ok(());
        }
        let what = match (user, ip) {
            (Some(user), _) => format!("command:user:{user}"),
            (None, Some(ip)) => format!("command:ip:{}", network(ip)),
            // By no network: nobody to count it against.
            (None, None) => return Ok(()),
        };
        match self.engine.take(&what, limit).await {
            Ok(None) => Ok(()),
            Ok(Some(wait)) => {
                let message = format!(
                    "more than {} commands a minute, all sessions together",
                    limit.per_minute
                );
                Err(limited(message, wait))
            }
            // The count may have been taken, but what it was for was not begun.
            Err(EngineError::Unavailable { reason, .. }) => {
                Err(engine_error(EngineError::Unavailable {
                    reason,
                    may_have_happened: false,
                }))
            }
            Err(error) => Err(engine_error(error)),
        }
    }
}

fn limited(message: String, wait: Duration) -> ClientError {
    ClientError::new(ErrorCode::RateLimited, message)
        .retry_after(wait.max(Duration::from_millis(1)))
}

/// Whom an address stands for: of IPv6 anybody with a connection has a whole /64.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_for_its_network() {
        let of = |ip: &str| network(ip.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }
}
