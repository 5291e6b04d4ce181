//! The conformance list of all clients, over a WebSocket: there is no other transport here.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::player::Player;
use crate::stage::{Stage, restarted, with_redis};

/// Scenarios stop and restart the hub that they share: one at a time.
pub(crate) static TURN: Mutex<()> = Mutex::const_new(());

fn scenarios(list: &str) -> Result<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/conformance.json");
    let lists: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    lists[list]
        .as_array()
        .cloned()
        .context("there is no such list")
}

async fn play(list: &str, name: &str, stage: fn() -> Result<Stage>) -> Result<()> {
    let _turn = TURN.lock().await;
    let scenarios = scenarios(list)?;
    let scenario = scenarios.iter().find(|scenario| scenario["name"] == name);
    let scenario = scenario.context("the list has no such scenario")?;
    Player::play(stage()?, scenario).await
}

macro_rules! played {
    ($($name:ident)*) => {
        const PLAYED: &[&str] = &[$(stringify!($name)),*];

        $(
            #[tokio::test]
            async fn $name() -> Result<()> {
                play("scenarios", stringify!($name), restarted).await
            }
        )*
    };
}

played! {
    subscribe drop resume gap restart expire revoke drain refuse_subscribe refuse_token refuse_busy
    disconnect slow_close slow_drop publish_once server_subscribes
}

#[tokio::test]
async fn drain_shared() -> Result<()> {
    play("shared_history", "drain_shared", with_redis).await
}

#[test]
fn every_scenario_of_the_list_is_played() -> Result<()> {
    let names = |list| -> Result<Vec<String>> {
        let name = |scenario: &Value| scenario["name"].as_str().map(str::to_owned);
        scenarios(list)?
            .iter()
            .map(|scenario| name(scenario).context("a name"))
            .collect()
    };
    assert_eq!(names("scenarios")?, PLAYED);
    assert_eq!(names("shared_history")?, ["drain_shared"]);
    Ok(())
}
