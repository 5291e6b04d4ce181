//! `switchboard publish`.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::value::RawValue;
use switchboard_proto::api::v1;
use switchboard_proto::api::v1::publish_item::Payload;
use switchboard_proto::api::v1::publish_service_client::PublishServiceClient;

use super::hub::{ApiOptions, told};
use super::terminal::line;

/// Publish JSON to a channel, over gRPC
///
/// In development mode: switchboard publish demo:lobby '{"text":"hello"}'
#[derive(Args, Debug)]
pub(super) struct PublishArgs {
    /// The channel, `namespace:rest`
    channel: String,
    /// One JSON value; `-` reads values from standard input, one a line
    #[arg(value_name = "JSON", allow_hyphen_values = true)]
    data: String,
    /// Idempotency key: the same id within the namespace's window publishes once
    #[arg(long)]
    id: Option<String>,
    /// A label that travels along; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    tag: Vec<(String, String)>,
    /// Deliver to those subscribed now, and keep nothing
    #[arg(long)]
    skip_history: bool,
    /// Print positions as JSON objects, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiOptions,
}

impl PublishArgs {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let values = self.values()?;
        if self.id.is_some() && values.len() > 1 {
            bail!(
                "--id is for one publication, and there are {}",
                values.len()
            );
        }
        let mut client = PublishServiceClient::new(self.api.connect().await?);
        for value in values {
            let item = v1::PublishItem {
                channel: self.channel.clone(),
                payload: Some(Payload::Json(value.into_bytes().into())),
                id: self.id.clone().unwrap_or_default(),
                tags: self.tag.iter().cloned().collect(),
                skip_history: self.skip_history,
                ..v1::PublishItem::default()
            };
            let answer = client
                .publish(v1::PublishRequest { item: Some(item) })
                .await;
            self.tell(
                &answer
                    .map_err(|status| told("not published", &status))?
                    .into_inner(),
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn values(&self) -> Result<Vec<String>> {
        if self.data != "-" {
            return Ok(vec![checked(&self.data)?]);
        }
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("standard input")?;
        let lines = (1..)
            .zip(text.lines())
            .filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(number, line)| checked(line).with_context(|| format!("line {number}")))
            .collect()
    }

    fn tell(&self, answer: &v1::PublishResponse) -> Result<()> {
        let v1::Position { epoch, offset } = answer.position.clone().unwrap_or_default();
        if self.json {
            let position = serde_json::json!({
                "channel": self.channel, "epoch": epoch, "offset": offset, "duplicate": answer.duplicate,
            });
            line(format_args!("{position}"))?;
        } else {
            let duplicate = if answer.duplicate {
                ", which that id had published before"
            } else {
                ""
            };
            line(format_args!(
                "{} #{offset} (epoch {epoch}){duplicate}",
                self.channel
            ))?;
        }
        Ok(())
    }
}

/// The text as it stands, if it is JSON.
fn checked(text: &str) -> Result<String> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(value) => Ok(value.get().to_owned()),
        Err(error) => bail!("not JSON: {error}; a text needs its own quotes: '\"hello\"'"),
    }
}

fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_passed_on_in_its_own_spelling() {
        assert_eq!(
            checked(" {\"b\": 1.0, \"a\":[]} ").unwrap(),
            "{\"b\": 1.0, \"a\":[]}"
        );
        assert!(
            checked("hello")
                .unwrap_err()
                .to_string()
                .contains("its own quotes")
        );
    }
}
