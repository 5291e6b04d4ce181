//! Nodes together: what is published on one reaches the clients of all, in one order.

use anyhow::{Result, ensure};
use serde_json::json;
use switchboard_tests::cluster::Cluster;
use switchboard_tests::{Frame, Transport, every_transport};

every_transport!(
    publications_reach_the_clients_of_all_nodes_in_one_order,
    a_publication_id_publishes_once_whichever_node_is_asked,
);

async fn publications_reach_the_clients_of_all_nodes_in_one_order(
    transport: Transport,
) -> Result<()> {
    const EACH: usize = 150;
    let cluster = Cluster::start(2).await?;
    let mut clients = Vec::new();
    for node in &cluster.nodes {
        clients.push(node.client(transport, "alice", &["chat:1"]).await?);
    }
    let (first, second) = (cluster[0].services().await?, cluster[1].services().await?);
    let publish = |services, from: &'static str| async move {
        let services: switchboard_tests::services::Services = services;
        for n in 0..EACH {
            services
                .publish("chat:1", &json!({"from": from, "n": n}))
                .await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(publish(first, "first"), publish(second, "second"))?;
    let mut orders = Vec::new();
    for client in &mut clients {
        let messages = client.messages("chat:1", 2 * EACH).await?;
        let offsets = messages.iter().map(Frame::offset);
        ensure!(
            offsets.eq(1..=2 * EACH as u64),
            "offsets with a hole or out of order"
        );
        for from in ["first", "second"] {
            let of_one = messages.iter().filter(|m| m.data()["from"] == from);
            let numbers = of_one.filter_map(|m| m.data()["n"].as_u64());
            ensure!(
                numbers.eq(0..EACH as u64),
                "{from} is not in the order in which it was published"
            );
        }
        let order: Vec<_> = messages.iter().map(|m| m.data().to_string()).collect();
        orders.push(order);
    }
    ensure!(orders[0] == orders[1], "two nodes saw two orders");
    Ok(())
}

async fn a_publication_id_publishes_once_whichever_node_is_asked(
    transport: Transport,
) -> Result<()> {
    let cluster = Cluster::start(2).await?;
    let mut client = cluster[1].client(transport, "alice", &["chat:1"]).await?;
    let mut item = switchboard_tests::services::item("chat:1", &json!({"n": 0}));
    item.id = "once".into();
    let mut positions = Vec::new();
    for node in &cluster.nodes {
        let services = node.services().await?;
        positions.push(services.publish_item(item.clone()).await?);
    }
    ensure!(positions[0] == positions[1], "{positions:?}");
    cluster[0]
        .services()
        .await?
        .publish_numbers("chat:1", 1..2)
        .await?;
    client.numbers("chat:1", 0..2).await
}
