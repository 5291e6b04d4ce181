//! What keeps a mark alive in Redis, and what its channel's record with it.

use std::time::Duration;

use switchboard_core::{ChannelName, NodeId, SessionId};
use switchboard_engine::conformance::RecordingSink;
use switchboard_engine::{Engine, JoinRequest, Leaving, MarkOf};

use super::ready_engine;
use super::server::Server;

/// Of the record of the only channel there is.
async fn record_ttl(server: &Server) -> i64 {
    let script = "EVAL \"return redis.call('PTTL', redis.call('KEYS', 'sb*m:a:1')[1])\" 0";
    let answer = server.command(script).await.expect("redis is there");
    let digits = answer.trim().trim_start_matches(':').lines().next();
    digits
        .and_then(|digits| digits.trim().parse().ok())
        .unwrap_or_else(|| panic!("no ttl: {answer}"))
}

/// The epoch is what a mark is about: it must not go before the mark, whoever leaves the channel meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channels_record_lives_as_long_as_its_marks() {
    const IDLE: Duration = Duration::from_mins(1);
    const MARK: Duration = Duration::from_hours(1);
    let server = Server::start(&[]).await;
    let mut config = server.config();
    config.idle_channel_ttl = IDLE;
    let engine = ready_engine(RecordingSink::new(), config).await;
    let channel = ChannelName::parse("a:1").expect("a valid name");
    let session = SessionId {
        node: NodeId(7),
        shard: 1,
        slot: 1,
        generation: 1,
    };
    let join = JoinRequest {
        channel: channel.clone(),
        session,
        user: Some("alice".into()),
        info: None,
        members_max: None,
    };
    engine.join(join.clone()).await.expect("redis is there");
    let left = engine.leave(&channel, session, Leaving::Now).await;
    left.expect("redis is there");
    let idle = record_ttl(&server).await;
    assert!((0..=75_000).contains(&idle), "{idle} ms without a mark");

    engine.join(join).await.expect("redis is there");
    let of = MarkOf {
        channel: channel.clone(),
        user: "alice".into(),
        ttl: MARK,
    };
    engine.mark(&of, None).await.expect("redis is there");
    assert_eq!(record_ttl(&server).await, -1, "it has a member");
    let left = engine.leave(&channel, session, Leaving::Now).await;
    left.expect("redis is there");
    let marked = record_ttl(&server).await;
    assert!(marked >= 3_590_000, "{marked} ms with a mark of an hour");
    engine.shutdown().await;
}
