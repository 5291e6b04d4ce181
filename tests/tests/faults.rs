//! What must hold when something breaks, in the short form of `cargo xtask faults`: a test a row, each with its figures.

use anyhow::{Result, anyhow};
use switchboard_tests::faults::{Plan, Row, report};

async fn holds(row: Row) -> Result<()> {
    let seed = rand::random();
    eprintln!("seed {seed}");
    let figures = row.run(&Plan::short(seed)).await?;
    let outcome = Ok(figures.clone());
    eprintln!("{}\n{}", report::head(), report::line(row, &outcome));
    row.judge(&figures).map_err(|why| anyhow!(why))
}

macro_rules! rows {
    ($($name:ident: $row:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> Result<()> {
                holds(Row::$row).await
            }
        )+

        #[test]
        fn every_row_is_tested() {
            let tested = [$(Row::$row),+];
            assert_eq!(tested, Row::ALL);
        }
    };
}

rows! {
    a_killed_node_costs_nothing: NodeKilled,
    redis_restarted_with_its_data_costs_nothing: RedisRestarted,
    redis_restarted_without_its_data_is_told_by_gaps: RedisEmptied,
    a_stalled_redis_is_noticed_and_costs_nothing: RedisStalled,
    a_cut_subscription_costs_nothing: SubscriptionCut,
    a_failover_under_sentinels_costs_nothing_that_is_not_told: SentinelFailover,
    a_failover_in_a_cluster_costs_nothing_that_is_not_told: ClusterFailover,
    a_slot_that_moves_costs_nothing: ClusterResharding,
    a_rolling_restart_costs_nothing: RollingRestart,
}
