//! The suite that every engine must pass.
//!
//! An engine's crate calls [`run`] from a test, with a way to make engines and, where it has them, real faults:
//!
//! ```text
//! let report = conformance::run(async |sink| make_engine(sink).await, &NoHooks).await;
//! report.expect_all_held();
//! ```
//!
//! Every check makes its own engine and uses channel names of its own, so engines may share one store. Checks are
//! named after the promise of [`Engine`] that they hold it to. A check that needs a fault
//! which the hooks do not supply is reported as skipped.

#[macro_use]
mod outcome;
mod capture;
mod faults;
mod follower;
mod graces;
mod history;
mod idempotency;
mod marks;
mod nodes;
mod order;
mod passing;
mod presence;
mod pressure;
mod rates;
mod together;
mod trial;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use capture::{Event, RecordingSink};
pub use follower::Follower;
pub use outcome::{Failure, Report};

use crate::engine::{Engine, Sink};
use outcome::Outcome;
use trial::Trial;

/// Faults that an engine's test can cause; what it cannot, it leaves as it is and the checks that need it are skipped.
#[async_trait]
pub trait ConformanceHooks: Send + Sync {
    /// Has `engine` lose deliveries on their way to its sink from now on, for a while that ends by itself. True when done.
    async fn interrupt(&self, engine: &Arc<dyn Engine>) -> bool {
        let _ = engine;
        false
    }

    /// Loses all data of `engine`, which delivers to `sink`. Gives the engine to go on with: the same, or one made anew.
    async fn lose_data(
        &self,
        engine: &Arc<dyn Engine>,
        sink: &Arc<dyn Sink>,
    ) -> Option<Arc<dyn Engine>> {
        let _ = (engine, sink);
        None
    }

    /// Whether engines that are made one after another are nodes that share channels.
    fn shares_channels(&self) -> bool {
        false
    }

    /// Ends the node that `engine` stands for without a goodbye, as kill -9 would. Gives the lease: how long its members may
    /// stay. Asked only of nodes that share channels.
    async fn kill_node(&self, engine: &Arc<dyn Engine>) -> Option<Duration> {
        let _ = engine;
        None
    }

    /// How much later than its deadline a grace may end.
    fn grace_slack(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// No faults.
pub struct NoHooks;

impl ConformanceHooks for NoHooks {}

/// No check may take longer: promise 9.
const CHECK_TIMEOUT: Duration = Duration::from_mins(1);

/// Runs every check against engines that `make` makes, and tells how each went. Must be called in a tokio runtime.
pub async fn run<M>(make: M, hooks: &dyn ConformanceHooks) -> Report
where
    M: AsyncFn(Arc<dyn Sink>) -> Arc<dyn Engine>,
{
    let make = |sink| Box::pin(make(sink)) as Making<'_>;
    let mut report = Report::default();
    for (name, check) in CHECKS {
        let trial = Trial::new(&make, hooks);
        let outcome = match tokio::time::timeout(CHECK_TIMEOUT, check(&trial)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::new("did not end in time")),
        };
        trial.end().await;
        report.add(name, outcome);
    }
    report
}

/// An engine being made.
type Making<'a> = Pin<Box<dyn Future<Output = Arc<dyn Engine>> + 'a>>;

/// A check on its way.
type Checking<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

type Check = (&'static str, for<'a, 'b> fn(&'a Trial<'b>) -> Checking<'a>);

macro_rules! checks {
    ($($name:literal => $check:path,)*) => {
        &[$(($name, |trial| Box::pin($check(trial)))),*]
    };
}

const CHECKS: &[Check] = checks! {
    "1 offsets count from one, in one order" => order::offsets_count_from_one,
    "1, 2 concurrent publishers give one gapless order that history agrees with" => order::concurrent_publishers,
    "1 nodes that share channels see one order" => order::nodes_agree,
    "2 a publication arrives as it was published, live and from history" => order::carries_everything,
    "3 the publisher is told the position that subscribers see" => order::publisher_is_told_the_position,
    "1, 3, 4 what is handed over together is as if each had come alone" => together::each_has_its_own_answer,
    "1, 9 what is handed over together stays in order, with room or without" => together::stay_in_order,
    "5 one of many that is too large to be kept leaves a hole" => together::too_large_in_the_middle,
    "compare and set publishes only from the expected position" => order::compare_and_set,
    "compare and set lets one of many through" => order::compare_and_set_races,
    "only followed channels are delivered" => order::follow_and_unfollow,
    "channels are listed by name, pattern and page" => order::channels_are_listed,
    "4 an id publishes once within its window" => idempotency::publishes_once,
    "4 concurrent retries publish once" => idempotency::concurrent_retries,
    "4 an id is free again after its window" => idempotency::window_ends,
    "4 the retry of a compare and set gets the first position" => idempotency::retry_of_compare_and_set,
    "5 a read after a position gives exactly what followed" => history::after,
    "5 the newest, the oldest and pages back" => history::windows,
    "5 a channel never published to stands at offset 0" => history::never_published,
    "5 another epoch or a position beyond the top is incomplete" => history::foreign_positions,
    "5 history keeps the newest by count" => history::bounded_by_count,
    "5 history keeps the newest by bytes" => history::bounded_by_bytes,
    "5 history forgets by age and says so" => history::bounded_by_age,
    "5 a publication that skipped history leaves a hole that readers are told of" => history::holes,
    "5 removed history is incomplete and its offsets go on" => history::removed,
    "a publication not for history reaches who listens and has no place" => passing::has_no_place,
    "a publication not for history keeps to its id and its expected position" => passing::keeps_to_conditions,
    "6 what may have been lost is announced and can be refilled" => faults::interruption_is_announced,
    "7 lost data changes the epoch" => faults::lost_data_changes_the_epoch,
    "8 members of a dead node leave once within the lease" => faults::dead_node,
    "no more members join than allowed" => presence::bounded,
    "nodes that share channels allow no more members together" => presence::nodes_are_bounded,
    "a rate lets a burst pass, then so many a minute" => rates::burst_then_rate,
    "who goes too fast is told when the next is allowed" => rates::told_when,
    "nodes that share channels share rates" => rates::nodes_share,
    "presence changes are numbered and listings agree" => presence::changes_are_numbered,
    "members and distinct users are counted" => presence::counts,
    "a member may join and leave twice without being told twice" => presence::repeats_are_silent,
    "pages of members are stable while members come and go" => presence::paging,
    "8 a member whose grace is out leaves once, in time" => graces::grace_runs_out,
    "a user that is back within the grace is not seen to go" => graces::take_over,
    "a session that is back within its grace is not seen to go" => graces::same_session_returns,
    "an anonymous member takes nobody's place" => graces::anonymous,
    "messages reach the node that they are for, and no other" => nodes::messages_reach_their_node,
    "revocations are kept for all nodes, the later of two" => nodes::revocations_are_kept,
    "7 a revocation that follows a loss is not taken for the one that was lost" => nodes::revoked_after_a_loss,
    "a first mark is where the channel stands, and each user's in each channel is its own" => marks::first_subscription,
    "a mark never moves back" => marks::never_backwards,
    "a start makes a mark and moves none" => marks::explicit_start,
    "7 a mark of an epoch that is over is none in the next" => marks::epoch_changes,
    "a mark expires when nobody uses it" => marks::expires,
    "a mark keeps its channel's epoch" => marks::outlives_members,
    "nodes that share channels share marks" => marks::shared_by_nodes,
    "9 a sink without room holds publishers back and loses nothing" => pressure::waits_for_room,
    "9 a publisher does not wait for ever" => pressure::ends_without_room,
    "9 an engine that has shut down answers" => pressure::shutdown,
};
