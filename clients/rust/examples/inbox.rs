//! Works off a durable channel, where what is not acknowledged comes again: SWITCHBOARD_URL, SWITCHBOARD_TOKEN, SWITCHBOARD_CHANNEL.

#![allow(clippy::print_stdout, reason = "an example talks on stdout")]

use std::env;

use serde::{Deserialize, Serialize};
use switchboard_client::{Client, Event, Start};

#[derive(Serialize, Deserialize)]
struct Task {
    task: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder(env::var("SWITCHBOARD_URL")?)
        .token(env::var("SWITCHBOARD_TOKEN")?)
        .build()?;
    let channel = env::var("SWITCHBOARD_CHANNEL")?;
    let mut inbox = client
        .subscribe(&channel, Start::default())
        .await?
        .typed::<Task>();
    for task in 0..3 {
        client.publish(&channel, &Task { task }).await?;
    }
    while let Some(event) = inbox.next().await {
        match event? {
            Event::Message(message) => {
                println!("handled {}", message.data.task);
                if let Some(offset) = message.offset {
                    inbox.subscription().ack(offset).await?;
                }
                if message.data.task == 2 {
                    break;
                }
            }
            Event::Gap(gap) => {
                println!("history did not reach back to what was acknowledged last: reload");
                inbox.subscription().ack(gap.position.offset).await?;
            }
            Event::Unsubscribed(why) => println!("the end: {why:?}"),
            Event::Subscribed(_) | Event::Join(_) | Event::Leave(_) => {}
        }
    }
    client.close().await;
    Ok(())
}
