//! What `/metrics` says.

use std::net::SocketAddr;

use anyhow::{Result, ensure};

/// What is told by labels alone, and so not at all before it is first counted.
const LABELLED: [&str; 4] = [
    "handshake_refusals_total",
    "session_closes_total",
    "sessions",
    "sessions_opened_total",
];

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    text: String,
}

impl Metrics {
    /// Reads all metrics.
    ///
    /// # Errors
    /// The hub does not answer with them.
    pub async fn scrape(http: &reqwest::Client, admin: SocketAddr) -> Result<Self> {
        let response = http.get(format!("http://{admin}/metrics")).send().await?;
        ensure!(
            response.status().is_success(),
            "/metrics answers {}",
            response.status()
        );
        Ok(Self {
            text: response.text().await?,
        })
    }

    /// The sum of a metric over all its labels, without the prefix `switchboard_`; 0 when it has no sample yet.
    ///
    /// # Panics
    /// The hub has no metric of that name: a test that awaits 0 of it would pass whatever happens.
    pub fn sum(&self, name: &str) -> f64 {
        self.known(name).map(|(_, value)| value).sum()
    }

    /// The value of one sample, such as `sessions` with `transport="sse"`; 0 when there is none.
    ///
    /// # Panics
    /// The hub has no metric of that name.
    pub fn labelled(&self, name: &str, label: &str) -> f64 {
        self.known(name)
            .filter(|(labels, _)| labels.contains(label))
            .map(|(_, value)| value)
            .sum()
    }

    fn known<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> + 'a {
        assert!(
            LABELLED.contains(&name) || self.samples(name).next().is_some(),
            "the hub has no metric {name}"
        );
        self.samples(name)
    }

    fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> + 'a {
        self.text.lines().filter_map(move |line| {
            let rest = line.strip_prefix("switchboard_")?.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.split_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            Some((labels, value.split(' ').next()?.parse().ok()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_name_and_label() {
        let text = "# TYPE switchboard_sessions gauge\n\
                    switchboard_sessions{transport=\"sse\"} 2\n\
                    switchboard_sessions{transport=\"poll\"} 3\n\
                    switchboard_sessions_max 100\n\
                    switchboard_subscriptions 7\n";
        let metrics = Metrics {
            text: text.to_owned(),
        };
        let check = |value: f64, expected: f64| {
            assert!((value - expected).abs() < 1e-9, "{value}, not {expected}");
        };
        check(metrics.sum("sessions"), 5.0);
        check(metrics.labelled("sessions", "transport=\"sse\""), 2.0);
        check(metrics.sum("subscriptions"), 7.0);
        check(metrics.sum("session_closes_total"), 0.0);
    }

    #[test]
    #[should_panic(expected = "no metric session")]
    fn a_metric_that_is_not_there_is_not_nothing() {
        let text = "switchboard_sessions_max 100\n".to_owned();
        Metrics { text }.sum("session");
    }
}
