//! Over long poll.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Target, refusal};
use crate::cli::frames::{End, Frame, Printer};

/// Seconds that a poll may wait: below every common proxy's patience.
const WAIT_S: &str = "25";

#[derive(Deserialize)]
struct Answer {
    key: String,
    cursor: String,
    frames: Vec<Box<RawValue>>,
}

/// Follows the target's channels until the end.
pub(super) async fn follow(target: &Target, printer: &mut Printer) -> Result<End> {
    let client = target.http()?;
    let mut resume: Option<(String, String)> = None;
    loop {
        let mut query = target.query();
        query.push(("wait", WAIT_S.to_owned()));
        if let Some((key, cursor)) = &resume {
            query.extend([("key", key.clone()), ("cursor", cursor.clone())]);
        }
        let url = reqwest::Url::parse_with_params(&format!("{}/v1/poll", target.url), query)?;
        let sent = client.get(url).bearer_auth(&target.token).send().await;
        let response = match sent {
            Ok(response) => response,
            Err(_) if resume.is_some() => return Ok(End::Lost),
            Err(error) => return Err(error).with_context(|| format!("no hub at {}", target.url)),
        };
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let Ok(answer) = response.json::<Answer>().await else {
            return Ok(End::Lost);
        };
        for frame in answer.frames {
            if let Some(end) = printer.print(&Frame::parse(frame.get())?)? {
                return Ok(end);
            }
        }
        resume = Some((answer.key, answer.cursor));
    }
}
