//! What a million quiet channels cost. Alone in its file, so that nothing else moves the process's memory.

use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{ChannelName, Payload, Retention};
use switchboard_engine::conformance::RecordingSink;
use switchboard_engine::{Engine, MemoryConfig, MemoryEngine, PublishRequest};

const CHANNELS: usize = 1_000_000;

#[tokio::test]
async fn a_quiet_channel_costs_at_most_256_bytes_and_a_million_work() {
    let engine = MemoryEngine::new(RecordingSink::new(), MemoryConfig::default());
    let channel = |number: usize| {
        let name = format!("quiet:{number:07}");
        ChannelName::parse(&name).expect("a valid name")
    };
    let before = resident_bytes();
    for number in 0..CHANNELS {
        engine.follow(&channel(number)).await.unwrap();
    }
    let each = (resident_bytes() - before) / CHANNELS;
    println!("{each} bytes a followed channel, its name of 13 bytes included");
    assert!(each <= 256 + 13, "{each} bytes a channel");
    // Published to, without history: only numbers change.
    for number in 0..CHANNELS {
        let request = PublishRequest {
            channel: channel(number),
            payload: Payload::Json(Bytes::from_static(b"1")),
            id: None,
            skip_history: false,
            idempotency_window: Duration::ZERO,
            from: None,
            tags: Vec::new(),
            exclude: None,
            expected_position: None,
            retention: Retention::NONE,
        };
        engine.unfollow(&request.channel).await;
        assert_eq!(engine.publish(request).await.unwrap().position.offset, 1);
    }
    let each = (resident_bytes() - before) / CHANNELS;
    println!("{each} bytes a channel published to without history");
    assert!(each <= 256 + 13, "{each} bytes a channel");
    assert_eq!(engine.stats().channels, CHANNELS);
    let page = engine
        .channels(None, Some("quiet:0999990"), 5)
        .await
        .unwrap();
    let names: Vec<_> = page
        .channels
        .iter()
        .map(|info| info.channel.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "quiet:0999991",
            "quiet:0999992",
            "quiet:0999993",
            "quiet:0999994",
            "quiet:0999995"
        ]
    );
    assert!(page.more);
}

/// Anonymous memory that the process has resident.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kib.expect("a line `RssAnon: 1234 kB`") * 1024
}
