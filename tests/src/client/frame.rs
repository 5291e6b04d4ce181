//! A frame as a test sees it: its kind and its fields, the same from every transport.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What the hub said.
#[derive(Clone, PartialEq)]
pub struct Frame {
    /// Such as `message`.
    pub kind: String,
    /// What stands under it.
    pub body: Value,
}

impl Frame {
    /// Reads a frame as WebSockets and polls carry it: an object of one key.
    ///
    /// # Errors
    /// It is none.
    pub fn read(json: &Value) -> Result<Self> {
        let object = json
            .as_object()
            .with_context(|| format!("a frame is an object, not {json}"))?;
        ensure!(object.len() == 1, "a frame has one key, its kind: {json}");
        let (kind, body) = object.iter().next().context("a frame has one key")?;
        Ok(Self {
            kind: kind.clone(),
            body: body.clone(),
        })
    }

    /// The channel it is of; nothing where it is of none.
    pub fn channel(&self) -> &str {
        self.body["channel"].as_str().unwrap_or_default()
    }

    /// The offset; 0 where there is none.
    pub fn offset(&self) -> u64 {
        self.body["offset"].as_u64().unwrap_or_default()
    }

    /// The payload.
    pub fn data(&self) -> &Value {
        &self.body["data"]
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut body = self.body.to_string();
        if body.len() > 300 {
            let cut = (0..=300)
                .rev()
                .find(|at| body.is_char_boundary(*at))
                .unwrap_or_default();
            body.truncate(cut);
            body.push('…');
        }
        write!(f, "{} {body}", self.kind)
    }
}
