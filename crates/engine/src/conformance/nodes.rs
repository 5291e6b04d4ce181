//! What nodes know of each other and tell each other, and what they all know of revoked tokens.

use std::sync::Arc;

use bytes::Bytes;
use switchboard_core::{NodeId, Revocation, RevokedTokens};

use super::capture::Event;
use super::outcome::{Failure, Outcome, Verdict};
use super::trial::Trial;
use crate::engine::{Engine, Sink};

pub(super) async fn messages_reach_their_node(trial: &Trial<'_>) -> Outcome {
    let (first, first_sink) = trial.engine().await;
    let nobody = NodeId(0xdead_beef);
    ensure!(
        !first.tell(nobody, Bytes::from_static(b"hello")).await?,
        "somebody heard what was told to nobody"
    );
    if !trial.hooks.shares_channels() {
        ensure_eq!(
            first.others().await?,
            [],
            "nodes beside one that stands alone"
        );
        return Ok(Verdict::Held);
    }
    let (second, second_sink) = trial.engine().await;
    let (third, third_sink) = trial.engine().await;
    let [first_id, second_id, third_id] = ids([&first, &second, &third]).await?;
    for number in 0..20_u8 {
        let message = Bytes::from(vec![number, 0, 255]);
        ensure!(first.tell(second_id, message).await?, "nobody heard");
    }
    ensure!(
        second.tell(first_id, Bytes::from_static(b"back")).await?,
        "nobody heard"
    );
    ensure!(
        third.tell(third_id, Bytes::from_static(b"self")).await?,
        "nobody heard"
    );
    let messages = |events: &[Event]| {
        let message = |event: &Event| match event {
            Event::Message(message) => Some(message.clone()),
            _ => None,
        };
        events.iter().filter_map(message).collect::<Vec<_>>()
    };
    for (sink, count) in [(&second_sink, 20), (&first_sink, 1), (&third_sink, 1)] {
        let all = |events: &[Event]| Some(messages(events)).filter(|all| all.len() >= count);
        let all = sink.until("a message", all).await?;
        ensure_eq!(all.len(), count, "messages");
    }
    let in_order: Vec<_> = (0..20_u8).map(|n| Bytes::from(vec![n, 0, 255])).collect();
    ensure_eq!(
        messages(&second_sink.events()),
        in_order,
        "messages of one node to another"
    );
    second.shutdown().await;
    ensure!(
        !first.others().await?.contains(&second_id),
        "a node that has shut down is among the others"
    );
    ensure!(
        !first.tell(second_id, Bytes::from_static(b"late")).await?,
        "a node that has shut down hears"
    );
    Ok(Verdict::Held)
}

/// The ids of three nodes, by what they say of each other.
async fn ids(engines: [&Arc<dyn Engine>; 3]) -> Result<[NodeId; 3], Failure> {
    let mut seen = Vec::new();
    for engine in engines {
        seen.push(engine.others().await?);
    }
    let of = |index: usize| {
        let (a, b) = (&seen[(index + 1) % 3], &seen[(index + 2) % 3]);
        let in_both: Vec<_> = a.iter().filter(|node| b.contains(node)).collect();
        // Other tests may have nodes of their own in the same store.
        let mine = in_both.into_iter().find(|node| !seen[index].contains(node));
        mine.copied()
            .ok_or_else(|| Failure::new(format!("the others of three nodes are {seen:?}")))
    };
    Ok([of(0)?, of(1)?, of(2)?])
}

/// Far in the future, whatever clock the engine goes by.
const UNTIL: u64 = 4_000_000_000_000;

pub(super) async fn revocations_are_kept(trial: &Trial<'_>) -> Outcome {
    let (engine, sink) = trial.engine().await;
    let revocation = |tokens, before_ms, until_ms| Revocation {
        tokens,
        before_ms,
        until_ms,
    };
    let user = RevokedTokens::User(format!("älice of {}", trial.namespace()).into());
    let token = RevokedTokens::Token(format!("t of {}", trial.namespace()).into());
    let all = [
        revocation(user.clone(), 1_000, UNTIL),
        revocation(user.clone(), 3_000, UNTIL - 1),
        revocation(user.clone(), 2_000, UNTIL),
        revocation(token.clone(), u64::MAX, UNTIL),
    ];
    for revocation in &all {
        engine.revoke(revocation).await?;
    }
    let (reader, _sink) = if trial.hooks.shares_channels() {
        trial.engine().await
    } else {
        (engine, sink)
    };
    // Asked twice: an engine may remember what it read.
    for _ in 0..2 {
        let kept = reader.revocations().await?;
        let of = |tokens: &RevokedTokens| {
            let mut found = kept.iter().filter(|kept| kept.tokens == *tokens);
            (found.next().cloned(), found.next().cloned())
        };
        let expected = revocation(user.clone(), 3_000, UNTIL);
        ensure_eq!(of(&user), (Some(expected), None), "the user's");
        let expected = revocation(token.clone(), u64::MAX, UNTIL);
        ensure_eq!(of(&token), (Some(expected), None), "the token's");
    }
    Ok(Verdict::Held)
}

/// An engine may remember what it has read, as long as nothing has changed. What is kept has changed just as often before and after.
pub(super) async fn revoked_after_a_loss(trial: &Trial<'_>) -> Outcome {
    let (mut engine, sink) = trial.engine().await;
    let sink: Arc<dyn Sink> = sink;
    for name in ["lost", "kept"] {
        let Some(emptied) = trial.hooks.lose_data(&engine, &sink).await else {
            return Ok(Verdict::Skipped);
        };
        trial.keep(&emptied);
        engine = emptied;
        let revocation = Revocation {
            tokens: RevokedTokens::Token(format!("{name} of {}", trial.namespace()).into()),
            before_ms: u64::MAX,
            until_ms: UNTIL,
        };
        engine.revoke(&revocation).await?;
        ensure_eq!(engine.revocations().await?, [revocation], "what is kept");
    }
    Ok(Verdict::Held)
}
