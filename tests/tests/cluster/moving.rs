//! A client leaves one node amid a stream and goes on at another, on the same transport or another.

use anyhow::{Result, ensure};
use switchboard_tests::cluster::Cluster;
use switchboard_tests::{Transport, every_transport};

every_transport!(moving_between_nodes_amid_publishing_loses_and_doubles_nothing);

async fn moving_between_nodes_amid_publishing_loses_and_doubles_nothing(
    transport: Transport,
) -> Result<()> {
    const ALL: u64 = 2000;
    let all = [Transport::WebSocket, Transport::Sse, Transport::Poll];
    let cluster = Cluster::start(3).await?;
    let services = cluster[2].services().await?;
    let mut client = cluster[0].client(transport, "alice", &["chat:1"]).await?;
    let publish = services.publish_numbers("chat:1", 0..ALL);
    let follow = async {
        let (mut next, mut turn) = (0, 0);
        while next < ALL {
            let until = (next + 200).min(ALL);
            client.numbers("chat:1", next..until).await?;
            next = until;
            turn += 1;
            let node = &cluster[turn % cluster.nodes.len()];
            // Every second time on the transport it began with.
            let to = if turn % 2 == 0 {
                transport
            } else {
                all[turn % all.len()]
            };
            client = client.drop_abruptly().resume(node, to).await?;
            ensure!(client.recovered("chat:1"), "{:?}", client.subscribed);
        }
        Ok(())
    };
    tokio::try_join!(publish, follow)?;
    Ok(())
}
