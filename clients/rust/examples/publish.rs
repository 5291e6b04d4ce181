//! Publishes as a service: SWITCHBOARD_GRPC (http://host:port), SWITCHBOARD_API_KEY, SWITCHBOARD_CHANNEL.

#![allow(clippy::print_stdout, reason = "an example talks on stdout")]

use std::env;

use serde_json::json;
use switchboard_client::service::{Item, Service};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = env::var("SWITCHBOARD_GRPC")?;
    let hub = Service::connect(&address, &env::var("SWITCHBOARD_API_KEY")?)?;
    let channel = env::var("SWITCHBOARD_CHANNEL")?;
    let order = json!({ "order": 42, "state": "paid" });
    let published = hub.publish(Item::json(&channel, &order)?).await?;
    println!("published at offset {}", published.position.offset);
    let counts = hub.count_members(&[&channel]).await?;
    println!("{} members", counts[0].members);
    Ok(())
}
