//! Commands and their replies, whichever way they travel.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Client, Link, Step};
use crate::waiting::SOON;

impl Client {
    /// Sends a command and gives its result, or its error.
    ///
    /// # Errors
    /// No reply, or one that is no reply to this.
    pub async fn ask(&mut self, command: &str, fields: Value) -> Result<Result<Value, Value>> {
        self.next_id += 1;
        let id = self.next_id;
        let line = json!({"id": id, command: fields}).to_string();
        let reply = match &mut self.link {
            Link::Ws(ws) => {
                ws.send(line).await?;
                self.await_reply(id)
                    .await
                    .with_context(|| format!("the reply to {command}"))?
            }
            Link::Sse(sse) => sse.post(line).await?,
            Link::Poll(poll) => poll.post(line).await?,
        };
        ensure!(reply["id"] == id, "the reply to {id} is {reply}");
        if let Some(error) = reply.get("error") {
            return Ok(Err(error.clone()));
        }
        let result = reply
            .get(command)
            .with_context(|| format!("{command} was answered by {reply}"))?;
        if command == "subscribe" {
            let channel = fields_channel(&fields);
            self.note_subscribed(&channel, result);
            if !self.opening.channels.contains(&channel) {
                self.opening.channels.push(channel.clone());
                if let Link::Poll(poll) = &mut self.link {
                    poll.channels.push(channel);
                }
            }
        }
        Ok(Ok(result.clone()))
    }

    /// Sends a command that must work.
    ///
    /// # Errors
    /// It does not.
    pub async fn command(&mut self, command: &str, fields: Value) -> Result<Value> {
        let answer = self.ask(command, fields).await?;
        answer.map_err(|error| anyhow::anyhow!("{command} was refused: {error}"))
    }

    /// Sends a command that must be refused with this code; gives the error.
    ///
    /// # Errors
    /// It works, or is refused with another code.
    pub async fn refused(&mut self, command: &str, fields: Value, code: &str) -> Result<Value> {
        match self.ask(command, fields).await? {
            Ok(result) => bail!("{command} was to be refused with {code}, and gave {result}"),
            Err(error) => {
                ensure!(
                    error["code"] == code,
                    "{command} was to be refused with {code}, not {error}"
                );
                Ok(error)
            }
        }
    }

    /// Sends text as it is: on a WebSocket as a message, else as the body of a POST, whose answer is returned.
    ///
    /// # Errors
    /// It cannot be sent.
    pub async fn send_raw(&mut self, text: String) -> Result<Option<(u16, String)>> {
        match &mut self.link {
            Link::Ws(ws) => ws.send(text).await.map(|()| None),
            Link::Sse(sse) => sse.post_raw(text).await.map(Some),
            Link::Poll(poll) => poll.post_raw(text).await.map(Some),
        }
    }

    async fn await_reply(&mut self, id: u64) -> Result<Value> {
        let deadline = Instant::now() + SOON;
        loop {
            match self.read(deadline).await? {
                Some(Step::Frame(frame)) if frame.kind == "reply" && frame.body["id"] == id => {
                    return Ok(frame.body);
                }
                Some(Step::Frame(frame)) => self.held.push_back(frame),
                Some(Step::Ended(ended)) => {
                    bail!("the session ended: {ended:?}, after {:?}", self.held)
                }
                None => bail!("no reply came in time"),
            }
        }
    }
}

fn fields_channel(fields: &Value) -> String {
    fields["channel"].as_str().unwrap_or_default().to_owned()
}
