//! Presence as services see it: lists, counts, look-ups, and a watch of joins and leaves by number.

use anyhow::{Context, Result, ensure};
use switchboard_proto::api::v1 as api;
use switchboard_proto::api::v1::watch_presence_response::Change;
use switchboard_tests::services::Services;
use switchboard_tests::waiting::SOON;
use switchboard_tests::{Hub, Transport, every_transport};
use tonic::Streaming;

every_transport!(
    a_watch_gives_a_snapshot_then_numbered_changes,
    services_see_members_and_where_a_user_is
);

async fn watch(
    services: &Services,
    resume: Option<api::PresencePosition>,
) -> Result<Streaming<api::WatchPresenceResponse>> {
    let request = api::WatchPresenceRequest {
        channel: "room:1".into(),
        resume,
    };
    Ok(services
        .presence()
        .watch_presence(request)
        .await?
        .into_inner())
}

async fn change(watch: &mut Streaming<api::WatchPresenceResponse>) -> Result<Change> {
    let response = tokio::time::timeout(SOON, watch.message())
        .await
        .context("no change came")??;
    response
        .context("the watch ended")?
        .change
        .context("an empty response")
}

/// All pages of a snapshot: the users, the epoch and the sequence.
async fn snapshot(
    watch: &mut Streaming<api::WatchPresenceResponse>,
) -> Result<(Vec<String>, api::PresencePosition)> {
    let mut users = Vec::new();
    loop {
        let Change::Snapshot(page) = change(watch).await? else {
            anyhow::bail!("a snapshot comes first")
        };
        users.extend(page.members.into_iter().map(|member| member.user));
        if page.complete {
            users.sort();
            return Ok((
                users,
                api::PresencePosition {
                    epoch: page.epoch,
                    sequence: page.sequence,
                },
            ));
        }
    }
}

async fn a_watch_gives_a_snapshot_then_numbered_changes(transport: Transport) -> Result<()> {
    let hub = Hub::start_with(|config| {
        config.set("limits.poll_linger_s", "0.4");
    })
    .await?;
    let services = hub.services().await?;
    let _alice = hub
        .client(Transport::WebSocket, "alice", &["room:1"])
        .await?;
    let mut first = watch(&services, None).await?;
    let (users, start) = snapshot(&mut first).await?;
    ensure!(users == ["alice"], "{users:?}");

    let bob = hub.client(transport, "bob", &["room:1"]).await?;
    let Change::Join(join) = change(&mut first).await? else {
        anyhow::bail!("a join was to come")
    };
    let member = join.member.context("no member")?;
    ensure!(
        member.user == "bob" && member.session == bob.session(),
        "{member:?}"
    );
    ensure!(
        join.sequence == start.sequence + 1,
        "{} follows {}",
        join.sequence,
        start.sequence
    );
    bob.leave().await?;
    let Change::Leave(leave) = change(&mut first).await? else {
        anyhow::bail!("a leave was to come")
    };
    ensure!(
        leave.sequence == join.sequence + 1,
        "{} follows {}",
        leave.sequence,
        join.sequence
    );
    ensure!(
        leave.member.context("no member")?.session == member.session,
        "another one left"
    );

    // Something has changed since: a new snapshot, which stands where the changes left off.
    let mut behind = watch(&services, Some(start)).await?;
    let (users, now) = snapshot(&mut behind).await?;
    ensure!(
        users == ["alice"] && now.sequence == leave.sequence,
        "{users:?} at {}",
        now.sequence
    );
    // Nothing has: no snapshot, only what comes.
    let mut resumed = watch(&services, Some(now)).await?;
    let _carol = hub.client(transport, "carol", &["room:1"]).await?;
    let Change::Join(next) = change(&mut resumed).await? else {
        anyhow::bail!("carol's join was to come")
    };
    ensure!(next.sequence == leave.sequence + 1, "{next:?}");
    Ok(())
}

#[tokio::test]
async fn a_watch_that_cannot_be_resumed_begins_anew() -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let _alice = hub
        .client(Transport::WebSocket, "alice", &["room:1"])
        .await?;
    let (_, mut position) = snapshot(&mut watch(&services, None).await?).await?;
    position.sequence += 1000;
    let (users, _) = snapshot(&mut watch(&services, Some(position)).await?).await?;
    ensure!(users == ["alice"], "{users:?}");
    Ok(())
}

async fn services_see_members_and_where_a_user_is(transport: Transport) -> Result<()> {
    let hub = Hub::start().await?;
    let services = hub.services().await?;
    let mut clients = Vec::new();
    for n in 0..5 {
        clients.push(
            hub.client(transport, &format!("user-{n}"), &["room:1"])
                .await?,
        );
    }
    clients.push(
        hub.client(transport, "user-0", &["room:1", "room:2"])
            .await?,
    );

    let mut users = Vec::new();
    let mut request = api::ListMembersRequest {
        channel: "room:1".into(),
        page_size: 4,
        page_token: String::new(),
    };
    loop {
        let page = services
            .presence()
            .list_members(request.clone())
            .await?
            .into_inner();
        ensure!(
            page.count == 6 && page.users == 5 && page.members.len() <= 4,
            "{page:?}"
        );
        users.extend(page.members.into_iter().map(|member| member.user));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    users.sort();
    ensure!(
        users == ["user-0", "user-0", "user-1", "user-2", "user-3", "user-4"],
        "{users:?}"
    );

    let channels = vec!["room:2".into(), "room:1".into(), "room:none".into()];
    let counts = services
        .presence()
        .count_members(api::CountMembersRequest { channels })
        .await?
        .into_inner()
        .counts;
    let counts: Vec<_> = counts
        .iter()
        .map(|count| (count.channel.as_str(), count.members, count.users))
        .collect();
    ensure!(
        counts == [("room:2", 1, 1), ("room:1", 6, 5), ("room:none", 0, 0)],
        "{counts:?}"
    );

    let lookup = async |user: &str| -> Result<api::LookupUserResponse> {
        Ok(services
            .presence()
            .lookup_user(api::LookupUserRequest {
                user: user.to_owned(),
            })
            .await?
            .into_inner())
    };
    let found = lookup("user-0").await?;
    ensure!(found.online && found.sessions.len() == 2, "{found:?}");
    let nobody = lookup("nobody").await?;
    ensure!(!nobody.online && nobody.sessions.is_empty(), "{nobody:?}");
    Ok(())
}
