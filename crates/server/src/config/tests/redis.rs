//! `[engine.redis]`: what it comes to, and what is refused of it.

use super::*;

/// What a configuration of the Redis engine comes to.
fn redis(section: &str) -> Box<switchboard_engine_redis::RedisConfig> {
    let text = format!("[engine]\nkind = \"redis\"\n[engine.redis]\n{section}");
    match load(&text, &[]).unwrap().settings.engine {
        EngineConfig::Redis(config) => config,
        EngineConfig::Memory(_) => panic!("in memory"),
    }
}

#[test]
fn redis_is_found_in_each_of_its_topologies() {
    use switchboard_engine_redis::{Address, RedisConfig, Topology};
    let local = RedisConfig {
        // `[engine]` has it for both engines.
        idle_channel_ttl: Duration::from_hours(1),
        ..RedisConfig::new(Topology::Standalone(Address::new("127.0.0.1", 6379)))
    };
    // All defaults are those of the engine.
    assert_eq!(format!("{:?}", redis("")), format!("{local:?}"));
    let config = redis("topology = \"cluster\"\nservers = [\"a:1\", \"[::1]:2\"]");
    let seeds = vec![Address::new("a", 1), Address::new("::1", 2)];
    assert_eq!(config.topology, Topology::Cluster(seeds));
    let config = redis(
        "topology = \"sentinel\"\nservers = [\"a:1\"]\nsentinel_service = \"hub\"\npassword = \"hunter2\"",
    );
    assert!(matches!(config.topology, Topology::Sentinel { ref service, .. } if service == "hub"));
    assert!(config.password.is_some() && !format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_redis_that_cannot_be_is_refused_with_what_to_do() {
    let refused = |section: &str, words: &[&str]| {
        let text = format!("[engine]\nkind = \"redis\"\n[engine.redis]\n{section}");
        check(&text, words);
    };
    refused("servers = [\"localhost\"]", &["servers", "host:port"]);
    refused("servers = [\"a:1\", \"b:2\"]", &["servers", "one server"]);
    refused("topology = \"sentinel\"", &["sentinel_service", "needs"]);
    refused(
        "sentinel_service = \"hub\"",
        &["sentinel_service", "sentinel"],
    );
    refused("prefix = \"a{b\"", &["letters and digits"]);
    refused(
        "topology = \"cluster\"\ndatabase = 2",
        &["database", "only database 0"],
    );
    refused(
        "reconnect_delay_max_s = 0.01",
        &["reconnect_delay_max_s", "reconnect_delay_min_s"],
    );
}
