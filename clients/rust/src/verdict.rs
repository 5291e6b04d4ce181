//! What the end of a session, or its refusal, means for the next one.

use std::time::{Duration, SystemTime};

use crate::frames::Close;

/// How a session ended, or that there was none to be had.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Loss {
    /// The hub said why: by a `close` frame, or (not `framed`) by the close code alone.
    Closed { told: Close, framed: bool },
    /// An HTTP answer came in place of a session. No code: somebody else than the hub answered.
    Refused {
        status: u16,
        code: Option<String>,
        message: String,
        retry_after: Option<Duration>,
    },
    /// Somebody else than the hub is there, as far as certificates can tell.
    Untrusted(String),
    /// Nobody said anything.
    Broken(String),
}

impl Loss {
    pub(crate) fn broken(why: impl std::fmt::Display) -> Self {
        Self::Broken(why.to_string())
    }
}

/// What to do after a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Again,
    WithToken,
    Stop,
}

/// What a loss means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) next: Next,
    pub(crate) code: String,
    pub(crate) message: String,
    /// Replaces the backoff.
    pub(crate) after: Option<Duration>,
}

/// Judges a loss.
pub(crate) fn judge(loss: Loss) -> Verdict {
    match loss {
        Loss::Closed { told, framed } => judge_close(told, framed),
        Loss::Refused {
            status,
            code,
            message,
            retry_after,
        } => judge_refusal(status, code, message, retry_after),
        Loss::Untrusted(message) => Verdict {
            next: Next::Stop,
            code: "untrusted".to_owned(),
            message,
            after: None,
        },
        Loss::Broken(message) => Verdict {
            next: Next::Again,
            code: "unavailable".to_owned(),
            message,
            after: None,
        },
    }
}

/// What a close code's range says by itself.
fn judge_code(code: u16) -> Next {
    match code {
        4100..4200 => Next::WithToken,
        4200..4300 | 1000 | 1002 | 1003 | 1007..=1010 => Next::Stop,
        _ => Next::Again,
    }
}

fn judge_close(told: Close, framed: bool) -> Verdict {
    let by_code = judge_code(told.code);
    // Where a `close` frame came, its `reconnect` decides; the range still tells whether a new token is needed.
    let next = match (framed, by_code) {
        (false, _) => by_code,
        (true, Next::WithToken) if told.reconnect || matches!(told.code, 4100 | 4101) => by_code,
        (true, Next::Again | Next::Stop) if told.reconnect => Next::Again,
        (true, _) => Next::Stop,
    };
    let message = if told.reason.is_empty() {
        format!("closed with {}", told.code)
    } else {
        told.reason
    };
    Verdict {
        next,
        code: format!("closed_{}", told.code),
        message,
        after: told.reconnect_after,
    }
}

fn judge_refusal(
    status: u16,
    code: Option<String>,
    message: String,
    after: Option<Duration>,
) -> Verdict {
    let next = match (code.as_deref(), status) {
        // The last: not the hub's own words, but a proxy's.
        (Some("token_expired" | "unauthenticated"), _) | (None, 401) => Next::WithToken,
        // 429 and 503 ask to wait, whoever says so; 410 means that the session is gone, and another may be opened. 426 comes where
        // somebody takes upgrades out of requests: the hub finds nothing else wrong, and the next network may let them through.
        (_, 408 | 410 | 426 | 429 | 500..) | (None, _) => Next::Again,
        (Some(_), _) => Next::Stop,
    };
    let message = if message.is_empty() {
        format!("refused with status {status}")
    } else {
        message
    };
    Verdict {
        next,
        code: code.unwrap_or_else(|| "unavailable".to_owned()),
        message,
        after,
    }
}

/// Reads Retry-After, be it seconds or a date (RFC 9110, section 10.2.3); nothing where it says nothing.
pub(crate) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(u64::from(seconds)),
        Err(_) => httpdate::parse_http_date(text)
            .ok()?
            .duration_since(now)
            .ok()?,
    };
    (!wait.is_zero()).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(code: u16, reconnect: bool) -> Loss {
        let told = Close {
            code,
            reconnect,
            reconnect_after: Some(Duration::from_millis(2500)),
            reason: String::new(),
        };
        Loss::Closed { told, framed: true }
    }

    fn by_code(code: u16) -> Loss {
        let told = Close {
            code,
            ..Close::default()
        };
        Loss::Closed {
            told,
            framed: false,
        }
    }

    fn refused(status: u16, code: &str) -> Loss {
        Loss::Refused {
            status,
            code: (!code.is_empty()).then(|| code.to_owned()),
            message: String::new(),
            retry_after: None,
        }
    }

    #[test]
    fn a_loss_tells_what_to_do() {
        for (what, loss, wanted) in [
            ("drain", framed(1001, true), Next::Again),
            ("told to stay away", framed(4000, false), Next::Stop),
            ("told to come back", framed(1000, true), Next::Again),
            ("disconnected", framed(4200, false), Next::Stop),
            ("revoked", framed(4101, false), Next::WithToken),
            ("a token, stay away", framed(4150, false), Next::Stop),
            ("a token, come back", framed(4150, true), Next::WithToken),
            ("4000 by code", by_code(4000), Next::Again),
            ("1000 by code", by_code(1000), Next::Stop),
            ("1009 by code", by_code(1009), Next::Stop),
            ("1011 by code", by_code(1011), Next::Again),
            ("4100 by code", by_code(4100), Next::WithToken),
            ("4200 by code", by_code(4200), Next::Stop),
            ("4300 by code", by_code(4300), Next::Again),
            (
                "token expired",
                refused(401, "token_expired"),
                Next::WithToken,
            ),
            ("a proxy's 401", refused(401, ""), Next::WithToken),
            (
                "permission denied",
                refused(403, "permission_denied"),
                Next::Stop,
            ),
            ("full", refused(503, "unavailable"), Next::Again),
            ("too fast", refused(429, ""), Next::Again),
            (
                "upgrades are stripped",
                refused(426, "bad_request"),
                Next::Again,
            ),
            ("gone", refused(410, "not_found"), Next::Again),
            ("a proxy's 502", refused(502, ""), Next::Again),
            ("a proxy's 404", refused(404, ""), Next::Again),
            ("the hub's 404", refused(404, "not_found"), Next::Stop),
            ("a fault of the hub", refused(500, "internal"), Next::Again),
            ("a stranger", Loss::Untrusted(String::new()), Next::Stop),
            ("the network", Loss::broken("reset"), Next::Again),
        ] {
            assert_eq!(judge(loss).next, wanted, "{what}");
        }
    }

    #[test]
    fn what_the_hub_says_of_the_wait_is_kept() {
        let told = judge(framed(1001, true));
        assert_eq!(told.after, Some(Duration::from_millis(2500)));
        assert_eq!(
            (told.code.as_str(), told.message.as_str()),
            ("closed_1001", "closed with 1001")
        );
        let wait = Some(Duration::from_secs(2));
        assert_eq!(judge_refusal(503, None, String::new(), wait).after, wait);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Thu, 01 Jan 2026 12:00:00 GMT").unwrap();
        for (text, seconds) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("Thu, 01 Jan 2026 12:00:05 GMT", Some(5)),
            ("Thu, 01 Jan 2026 11:00:00 GMT", None),
            ("0", None),
            ("soon", None),
            ("", None),
            ("-3", None),
        ] {
            assert_eq!(
                retry_after(text, now),
                seconds.map(Duration::from_secs),
                "{text:?}"
            );
        }
    }
}
