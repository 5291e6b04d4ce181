//! Says hello in a channel, and hears it: SWITCHBOARD_URL, SWITCHBOARD_TOKEN, SWITCHBOARD_CHANNEL.

#![allow(clippy::print_stdout, reason = "an example talks on stdout")]

use std::env;

use serde::{Deserialize, Serialize};
use switchboard_client::{Client, Event, Start};

#[derive(Serialize, Deserialize)]
struct Said {
    text: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In production, `tokens` asks your own server, which signs tokens or has the hub issue them.
    let client = Client::builder(env::var("SWITCHBOARD_URL")?)
        .token(env::var("SWITCHBOARD_TOKEN")?)
        .build()?;
    let channel = env::var("SWITCHBOARD_CHANNEL")?;
    let mut chat = client
        .subscribe(&channel, Start::default())
        .await?
        .typed::<Said>();
    for text in ["hello", "goodbye"] {
        let text = text.to_owned();
        client.publish(&channel, &Said { text }).await?;
    }
    while let Some(event) = chat.next().await {
        match event? {
            Event::Message(message) => {
                let user = message.from.and_then(|from| from.user);
                println!("{}: {}", user.unwrap_or_default(), message.data.text);
                if message.data.text == "goodbye" {
                    break;
                }
            }
            Event::Gap(_) => println!("something may have been missed: reload"),
            Event::Unsubscribed(why) => println!("the end: {why:?}"),
            Event::Subscribed(_) | Event::Join(_) | Event::Leave(_) => {}
        }
    }
    client.close().await;
    Ok(())
}
