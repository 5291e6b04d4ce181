//! A payload's text is its publisher's: no key is reordered, no number rounded, no escape rewritten, whichever way it comes
//! and goes. Two things alone are not kept: white space around the whole, and raw line breaks, which become spaces, for an
//! event stream would end a field at them.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Context, Result, ensure};
use prost::Message as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use switchboard_proto::api::v1 as api;
use switchboard_proto::client::v1 as wire;
use switchboard_tests::client::{EventParser, Ws};
use switchboard_tests::services::Services;
use switchboard_tests::waiting::SOON;
use switchboard_tests::{Client, Hub, Transport};
use tokio::time::timeout;

const TEXTS: [&str; 24] = [
    "{\"z\":1,\"a\":2,\"m\":{\"b\":[],\"a\":{}}}",
    "{\"twice\":1,\"twice\":2,\"twice\":{\"twice\":3}}",
    "{ \"b\" : 1 ,\t\"a\":  [ 1 ,2 ] }",
    " \t[ 1 ] \t",
    "{\r\n\t\"a\" :\n[ \"b\\n\" ]\r}\n",
    "1e400",
    "[-1E+400,1e-400,1E5,0.10,100e-2]",
    "-0",
    "[-0.0,0e0,-0E-7]",
    "12345678901234567",
    "[9007199254740993,18446744073709551617,-9223372036854775809]",
    "[0.1234567890123456789,3.1415926535897931]",
    "\"\\u00e9\\u00E9é\\ud83d\\ude00\u{1f600}\"",
    "\"\\/ / \\u002f \\b\\f\\t \\u0000 \u{7f} \\u007F\"",
    "\"\\ud800\"",
    "\"\u{2028}\u{2029}\u{85}\u{feff}\"",
    "\"line\\nbreaks\\r\\n\\n\\nevent: close\\ndata: {}\"",
    "\"</script><!-- &amp; -->\"",
    "{\"\":{\"\":null},\"data\":\"data\",\"binary\":true,\"channel\":\"chat:2\",\"offset\":-1}",
    "\"\"",
    "null",
    "[true,false]",
    "{}",
    "\"0\\r\\n\\r\\n\"",
];

/// What is to arrive.
fn kept(text: &str) -> String {
    text.trim_matches([' ', '\t', '\r', '\n'])
        .replace(['\r', '\n'], " ")
}

/// A message, its payload as it stands.
#[derive(Deserialize)]
struct Message<'a> {
    channel: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

type Frame<'a> = BTreeMap<&'a str, &'a RawValue>;

#[derive(Deserialize)]
struct Batch<'a> {
    key: &'a str,
    cursor: &'a str,
    #[serde(borrow)]
    frames: Vec<Frame<'a>>,
}

/// The payload's text, where the frame is a message.
fn text_of(frame: &Frame<'_>) -> Result<Option<String>> {
    let Some(message) = frame.get("message") else {
        return Ok(None);
    };
    let message: Message<'_> = serde_json::from_str(message.get())?;
    ensure!(message.channel == "chat:1", "{}", message.channel);
    Ok(Some(message.data.get().to_owned()))
}

/// An event stream, read as text.
struct Stream {
    response: reqwest::Response,
    parser: EventParser,
}

impl Stream {
    async fn open(hub: &Hub, query: &str) -> Result<Self> {
        let address = hub.url(&format!("/v1/sse?channel=chat:1&{query}"));
        let request = hub.http.get(address).bearer_auth(hub.token("listener"));
        let mut stream = Self {
            response: request.send().await?.error_for_status()?,
            parser: EventParser::default(),
        };
        while stream.event().await?.0.as_deref() != Some("subscribed") {}
        Ok(stream)
    }

    async fn event(&mut self) -> Result<(Option<String>, String)> {
        loop {
            match self.parser.next() {
                Some(event) if event.data.is_some() => {
                    return Ok((event.kind, event.data.unwrap_or_default()));
                }
                Some(_) => {}
                None => {
                    let chunk = timeout(SOON, self.response.chunk()).await??;
                    self.parser.feed(&chunk.context("the stream ended")?);
                }
            }
        }
    }

    async fn hear(&mut self) -> Result<String> {
        loop {
            if let (None, data) = self.event().await? {
                let message: Message<'_> = serde_json::from_str(&data)?;
                return Ok(message.data.get().to_owned());
            }
        }
    }
}

/// A session by polls, read as text.
struct Polls {
    query: String,
    heard: VecDeque<String>,
}

impl Polls {
    async fn open(hub: &Hub) -> Result<Self> {
        let mut polls = Self {
            query: "wait=0".to_owned(),
            heard: VecDeque::new(),
        };
        polls.once(hub).await?;
        Ok(polls)
    }

    async fn once(&mut self, hub: &Hub) -> Result<()> {
        let address = hub.url(&format!("/v1/poll?channel=chat:1&{}", self.query));
        let request = hub.http.get(address).bearer_auth(hub.token("listener"));
        let response = request.timeout(SOON * 2).send().await?.error_for_status()?;
        let text = response.text().await?;
        let batch: Batch<'_> = serde_json::from_str(&text)?;
        hub.secrets.add(batch.key);
        self.query = format!("key={}&cursor={}&wait=10", batch.key, batch.cursor);
        for frame in &batch.frames {
            self.heard.extend(text_of(frame)?);
        }
        Ok(())
    }

    async fn hear(&mut self, hub: &Hub) -> Result<String> {
        loop {
            if let Some(text) = self.heard.pop_front() {
                return Ok(text);
            }
            self.once(hub).await?;
        }
    }
}

async fn hear_json(socket: &mut Ws) -> Result<String> {
    loop {
        let text = socket.text().await?;
        if let Some(text) = text_of(&serde_json::from_str(&text)?)? {
            return Ok(text);
        }
    }
}

async fn hear_protobuf(socket: &mut Ws) -> Result<String> {
    loop {
        let frame = wire::Frame::decode(socket.binary().await?)?;
        if let Some(wire::frame::Kind::Message(message)) = frame.kind {
            ensure!(!message.binary, "JSON became bytes");
            return Ok(String::from_utf8(message.data.to_vec())?);
        }
    }
}

/// A listener of each kind.
struct Ears<'a> {
    hub: &'a Hub,
    json: Ws,
    protobuf: Ws,
    stream: Stream,
    polls: Polls,
}

impl<'a> Ears<'a> {
    async fn open(hub: &'a Hub) -> Result<Self> {
        let opening = hub.opening("listener").channel("chat:1");
        let mut json = Ws::open(hub, &opening).await?;
        while !json.text().await?.starts_with("{\"subscribed\"") {}
        let opening = opening.subprotocol("switchboard.v1.protobuf");
        let mut protobuf = Ws::open(hub, &opening).await?;
        loop {
            let frame = wire::Frame::decode(protobuf.binary().await?)?;
            if let Some(wire::frame::Kind::Subscribed(_)) = frame.kind {
                break;
            }
        }
        Ok(Self {
            hub,
            json,
            protobuf,
            stream: Stream::open(hub, "").await?,
            polls: Polls::open(hub).await?,
        })
    }

    /// All hear the same.
    async fn hear(&mut self, way: &str, published: &str) -> Result<()> {
        let expected = kept(published);
        let heard = [
            ("websocket", hear_json(&mut self.json).await),
            ("protobuf", hear_protobuf(&mut self.protobuf).await),
            ("sse", self.stream.hear().await),
            ("poll", self.polls.hear(self.hub).await),
        ];
        for (by, text) in heard {
            let text = text.with_context(|| format!("{published:?} {way}, heard by {by}"))?;
            ensure!(
                text == expected,
                "{published:?} {way} came by {by} as {text:?}"
            );
        }
        Ok(())
    }
}

fn item(text: &str) -> api::PublishItem {
    api::PublishItem {
        channel: "chat:1".into(),
        payload: Some(api::publish_item::Payload::Json(
            text.to_owned().into_bytes().into(),
        )),
        ..api::PublishItem::default()
    }
}

fn line(text: &str) -> String {
    format!("{{\"id\":1,\"publish\":{{\"channel\":\"chat:1\",\"data\":{text}}}}}")
}

async fn post(client: &mut Client, text: &str) -> Result<()> {
    let (status, body) = client
        .send_raw(line(text))
        .await?
        .context("it is no POST")?;
    ensure!(
        status == 200 && body.starts_with("{\"reply\":{\"id\":1,\"publish\":"),
        "{text:?} was answered with {status}: {body}"
    );
    Ok(())
}

async fn publish_batch(services: &Services) -> Result<()> {
    let request = api::PublishBatchRequest {
        items: TEXTS.into_iter().map(item).collect(),
    };
    let response = services.publishing().publish_batch(request).await?;
    for result in response.into_inner().results {
        ensure!(
            matches!(
                result.result,
                Some(api::publish_result::Result::Published(_))
            ),
            "{result:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_services_publish_arrives_as_it_was_written() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut ears = Ears::open(&hub).await?;
    for text in TEXTS {
        services.publish_item(item(text)).await?;
        ears.hear("from gRPC", text).await?;
    }
    publish_batch(&services).await?;
    for text in TEXTS {
        ears.hear("from a batch", text).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_clients_publish_arrives_as_it_was_written() -> Result<()> {
    let hub = Hub::start().await?;
    let mut ears = Ears::open(&hub).await?;
    let mut websocket = hub.client(Transport::WebSocket, "alice", &[]).await?;
    let opening = hub.opening("alice").subprotocol("switchboard.v1.protobuf");
    let mut protobuf = Ws::open(&hub, &opening).await?;
    let mut stream = hub.client(Transport::Sse, "alice", &[]).await?;
    let mut polls = hub.client(Transport::Poll, "alice", &[]).await?;
    for text in TEXTS {
        websocket.send_raw(line(text)).await?;
        ears.hear("from a WebSocket", text).await?;
        let publish = wire::Publish {
            channel: "chat:1".into(),
            data: text.to_owned().into_bytes().into(),
            ..wire::Publish::default()
        };
        let command = wire::Command {
            id: None,
            command: Some(wire::command::Command::Publish(publish)),
        };
        protobuf.send_binary(command.encode_to_vec()).await?;
        ears.hear("from protobuf", text).await?;
        if text.contains(['\r', '\n']) {
            continue; // In a POST a line is a command.
        }
        post(&mut stream, text).await?;
        ears.hear("from a stream's POST", text).await?;
        post(&mut polls, text).await?;
        ears.hear("from a poll's POST", text).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_history_gives_is_as_it_was_written() -> Result<()> {
    let hub = Hub::start().await?;
    publish_batch(&hub.services().await?).await?;
    let mut stream = Stream::open(&hub, &format!("rewind={}", TEXTS.len())).await?;
    for text in TEXTS {
        let heard = stream.hear().await?;
        ensure!(heard == kept(text), "{text:?} came as {heard:?}");
    }
    let mut socket = Ws::open(&hub, &hub.opening("alice")).await?;
    let ask = r#"{"id":1,"history":{"channel":"chat:1","limit":100}}"#;
    socket.send(ask.to_owned()).await?;
    let reply = loop {
        let text = socket.text().await?;
        if text.starts_with("{\"reply\"") {
            break text;
        }
    };
    let mut rest = &reply[..];
    for text in TEXTS {
        let data = format!("\"data\":{}", kept(text));
        let at = rest.find(&data);
        rest = &rest[at.with_context(|| format!("{data:?} is not in {rest}"))? + data.len()..];
    }
    Ok(())
}
