//! Configurations, good and bad, and what is said of them.

mod redis;

use std::fs;
use std::path::Path;
use std::time::Duration;

use switchboard_core::{Limits, Policy, SlowConsumer};
use switchboard_engine::MemoryConfig;

use super::*;
use crate::development::Development;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Loads a text as a file, with these variables.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    crate::tls::install_provider();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("switchboard.toml");
    fs::write(&path, text).unwrap();
    let variables = variables
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Config::load(Base::File(path), variables, [])
}

/// The problems of a bad configuration.
#[track_caller]
fn problems(text: &str) -> Vec<String> {
    match load(text, &[]) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.problems.iter().map(ToString::to_string).collect(),
    }
}

/// A bad configuration has one problem, and these words are in it.
#[track_caller]
fn check(text: &str, words: &[&str]) {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    for word in words {
        assert!(
            problems[0].contains(word),
            "{word} is not in: {}",
            problems[0]
        );
    }
}

#[test]
fn an_empty_file_has_the_defaults_of_the_inner_crates() {
    let settings = load("", &[]).unwrap().settings;
    assert_eq!(settings.limits, Limits::default());
    let EngineConfig::Memory(memory) = &settings.engine else {
        panic!("not in memory");
    };
    assert_eq!(*memory, MemoryConfig::default());
    assert_eq!(settings.issuer.ttl_default, Duration::from_mins(1));
    assert!(
        settings.anonymous.is_none()
            && settings.clients_tls.is_none()
            && settings.api_tls.is_none()
    );
    assert_eq!(
        settings.file.clients.listen,
        "127.0.0.1:8000".parse().unwrap()
    );
    let chat = load("[namespaces.chat]\n", &[])
        .unwrap()
        .settings
        .file
        .namespaces["chat"]
        .policy();
    assert_eq!(chat, Policy::default());
}

#[test]
fn every_default_is_in_its_range() {
    let keys = "[[api.keys]]\nname = 'a'\nscopes = 'read'\nsecret = '0123456789abcdef'\n[[tokens.keys]]\nsecret = '0123456789abcdef0123456789abcdef'\n";
    let text = format!("{keys}[namespaces.a]\n[namespace_default]\n[clients.anonymous]\n");
    let config = load(&text, &[]).unwrap();
    // Everything that has a default is in effect, so none was refused by its own range.
    let effective = config.effective();
    for section in SECTIONS {
        for setting in section.options {
            if matches!(setting.default, options::Preset::Is(_)) {
                assert!(
                    effective.contains(&format!("{} = ", setting.name)),
                    "{}.{}",
                    section.path,
                    setting.name
                );
            }
        }
    }
}

#[test]
fn a_good_file_is_read() {
    let settings = load(
        r#"
        [clients]
        listen = "[::]:0"
        allowed_origins = ["https://app.example.com"]
        cookie_name = "session"
        trusted_proxies = ["10.0.0.0/8"]
        [clients.anonymous]
        subscribe = ["news:*"]
        [[api.keys]]
        name = "backend"
        secret = "sk_0123456789abcdef"
        scopes = ["publish", "read"]
        channels = ["chat:*"]
        [tokens]
        issuer = "https://id.example.com"
        leeway_s = 2.5
        [[tokens.keys]]
        id = "2026"
        secret = "0123456789abcdef0123456789abcdef"
        [namespaces.chat]
        history_count = 7
        history_age_s = 60
        presence = true
        join_leave = true
        slow_consumer = "keep_latest"
        [limits]
        ping_interval_s = 0.5
        "#,
        &[],
    )
    .unwrap()
    .settings;
    assert_eq!(settings.limits.ping_interval, Duration::from_millis(500));
    assert_eq!(settings.file.tokens.leeway, Duration::from_millis(2500));
    assert_eq!(
        settings.issuer.issuer.as_deref(),
        Some("https://id.example.com")
    );
    assert_eq!(settings.token_keys[0].id.as_deref(), Some("2026"));
    assert_eq!(settings.api_keys[0].name, "backend");
    assert_eq!(settings.anonymous.unwrap().subscribe.len(), 1);
    let chat = settings
        .policies
        .policy(&switchboard_core::ChannelName::parse("chat:1").unwrap())
        .unwrap();
    assert_eq!(chat.retention.count_max, 7);
    assert_eq!(chat.retention.age_max, Duration::from_mins(1));
    assert_eq!(chat.slow_consumer, SlowConsumer::KeepLatest);
}

#[test]
fn unknown_keys_are_refused_with_their_line_and_the_nearest_name() {
    check(
        "[limits]\nsession_max = 1\n",
        &[
            "line 2",
            "limits.session_max",
            "did you mean `sessions_max`?",
        ],
    );
    check(
        "[client]\nlisten = '127.0.0.1:0'\n",
        &["line 1", "client", "did you mean `clients`?"],
    );
    check(
        "[namespaces.chat]\nhistory = 5\n",
        &["namespaces.chat.history", "did you mean `history_"],
    );
    check(
        "[[api.keys]]\nname = 'a'\nscopes = ['read']\nsecrets = 'x'\nsecret = '0123456789abcdef'\n",
        &["line 4", "api.keys.0.secrets", "did you mean `secret`?"],
    );
    check(
        "[drain]\ncookie_name = 'x'\n",
        &["drain.cookie_name", "belongs in [clients]"],
    );
    check(
        "listen = '127.0.0.1:1'\n",
        &["belongs in [clients] or [api] or [admin]"],
    );
    check(
        "[drain]\ncolour = 'x'\n",
        &["known here: ready_delay_s, window_s, deadline_s"],
    );
}

#[test]
fn bad_values_are_refused_with_kind_unit_and_range() {
    check(
        "[limits]\nheaders_max = 1\n",
        &["line 2", "fields, 8 to 1024", "not 1"],
    );
    check(
        "[limits]\nheaders_max = -1\n",
        &["fields, 8 to 1024", "not -1"],
    );
    check("[limits]\nheaders_max = '9'\n", &["fields, 8 to 1024"]);
    check("[limits]\nping_interval_s = 0\n", &["seconds, 0.1 to 3600"]);
    check(
        "[limits]\nping_interval_s = nan\n",
        &["seconds, 0.1 to 3600"],
    );
    check(
        "[clients]\nlisten = 'localhost:8000'\n",
        &["IP address and a port", "localhost:8000"],
    );
    check(
        "[log]\nformat = 'jsom'\n",
        &["text, json", "did you mean \"json\"?"],
    );
    check("[log]\nlevel = 'a=b=c'\n", &["log.level"]);
    check("[tokens]\nrequire_exp = 'yes'\n", &["true or false"]);
    check("[clients]\ncookie_name = ''\n", &["leave the line out"]);
    check("[api]\nkeys = 'x'\n", &["[[api.keys]]"]);
    check("[namespaces]\nchat = 1\n", &["[namespaces.NAME]"]);
    check(
        "[namespaces.'a b']\n",
        &["namespaces.a b", "before the first `:`"],
    );
    check("limits = 1\n", &["[limits]"]);
    check("[limits\n", &["line 1", "not TOML"]);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    check(
        "[drain]\nready_delay_s = 10\nwindow_s = 20\ndeadline_s = 29\n",
        &["drain.deadline_s", "30"],
    );
    check(
        "[limits]\npayload_bytes_max = 100_000\noutbox_bytes_max = 99_999\n",
        &["limits.outbox_bytes_max"],
    );
    check(
        "[limits]\ncursor_bytes_max = 10_000\n",
        &["limits.header_bytes_max", "cursor_bytes_max"],
    );
    check(
        "[namespaces.a]\njoin_leave = true\n",
        &["namespaces.a.join_leave", "presence"],
    );
    check(
        "[namespaces.a]\ndurable = true\nhistory_count = 0\n",
        &["namespaces.a.durable", "history_count"],
    );
    check(
        "[namespace_default]\ndurable = true\nslow_consumer = 'drop_oldest'\n",
        &["namespace_default.durable", "slow_consumer"],
    );
    check(
        "[tokens]\nttl_default_s = 100\nttl_max_s = 10\n",
        &["tokens.ttl_default_s"],
    );
    check(
        "[api]\nlisten = '127.0.0.1:8000'\n",
        &["api.listen", "taken by clients.listen"],
    );
    check(
        "[clients]\ntls_cert_file = '/nowhere.pem'\n",
        &["go together"],
    );
    check(
        "[clients]\ntrusted_proxies = ['ten']\n",
        &["clients.trusted_proxies", "ten"],
    );
    check(
        "[clients]\nallowed_origins = ['*']\n",
        &["clients.allowed_origins"],
    );
    check(
        "[clients.anonymous]\nsubscribe = ['a*']\n",
        &["clients.anonymous.subscribe", "a*"],
    );
}

#[test]
fn keys_are_looked_at_before_anything_starts() {
    check(
        "[[api.keys]]\nname = 'a'\nscopes = ['read']\n",
        &["api.keys.0", "exactly one of"],
    );
    check(
        "[[api.keys]]\nname = 'a'\nscopes = ['reed']\nsecret = '0123456789abcdef'\n",
        &["api.keys.0.scopes", "reed"],
    );
    check(
        "[[api.keys]]\nscopes = ['read']\nsecret = '0123456789abcdef'\n",
        &["api.keys.0.name", "missing"],
    );
    check(
        "[[tokens.keys]]\nsecret = 'short'\n",
        &["tokens.keys", "32 bytes"],
    );
    check(
        "[[tokens.keys]]\nsecret_file = '/nowhere/at/all'\n",
        &["tokens.keys.0.secret_file", "/nowhere/at/all"],
    );
    check(
        "[[tokens.keys]]\nalgorithms = ['HS257']\nsecret = '0123456789abcdef0123456789abcdef'\n",
        &["HS257"],
    );
}

#[test]
fn all_problems_are_told_at_once() {
    let problems = problems("[limits]\nheaders_max = 1\nnope = 2\n[log]\nformat = 'x'\n");
    assert_eq!(problems.len(), 3, "{problems:#?}");
}

#[test]
fn the_environment_overrides_the_file_and_flags_override_both() {
    let text = "[clients]\nlisten = '127.0.0.1:1'\n[limits]\nheaders_max = 10\n";
    let variables = [
        ("SWITCHBOARD_CLIENTS__LISTEN", "127.0.0.1:2"),
        ("SWITCHBOARD_LIMITS__HEADERS_MAX", "20"),
    ];
    let config = load(text, &variables).unwrap();
    assert_eq!(config.settings.file.clients.listen.port(), 2);
    assert_eq!(config.settings.limits.headers_max, 20);
    assert!(
        config
            .effective()
            .contains("headers_max = 20  # environment SWITCHBOARD_LIMITS__HEADERS_MAX")
    );

    let variables = variables.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let flags = [(
        "clients",
        "listen",
        "--clients-listen",
        "127.0.0.1:3".to_owned(),
    )];
    let config = Config::load(Base::Preset(Table::new()), variables, flags).unwrap();
    assert_eq!(config.settings.file.clients.listen.port(), 3);

    let error = load("", &[("SWITCHBOARD_LIMITS__HEADERS_MAX", "1")])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("environment SWITCHBOARD_LIMITS__HEADERS_MAX: limits.headers_max"),
        "{error}"
    );
}

#[test]
fn secrets_are_in_no_output() {
    let text = format!(
        "[[api.keys]]\nname = 'a'\nscopes = ['read']\nsecret = '{SECRET}'\n[[tokens.keys]]\nsecret = '{SECRET}'\n"
    );
    let config = load(&text, &[("SWITCHBOARD_API__KEYS__1__SECRET", SECRET)]);
    let Err(error) = config else {
        panic!("the second key has no name")
    };
    let config = load(&text, &[]).unwrap();
    let outputs = [
        config.effective(),
        format!("{config:?}"),
        format!("{:?}", config.settings),
        error.to_string(),
        format!("{error:?}"),
    ];
    for output in outputs {
        assert!(!output.contains("0123456789abcdef"), "{output}");
    }
    assert!(config.effective().contains("secret = \"[redacted]\""));
    for text in [
        "[[tokens.keys]]\nsecret = 7123456\n",
        "[[tokens.keys]]\nsecret = ['7123456']\n",
    ] {
        assert!(
            problems(text)
                .iter()
                .all(|problem| !problem.contains("7123456")),
            "{text}"
        );
    }
}

#[test]
fn files_are_looked_for_beside_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("key"), format!("{SECRET}\n")).unwrap();
    let path = directory.path().join("switchboard.toml");
    fs::write(&path, "[[tokens.keys]]\nsecret_file = 'key'\n").unwrap();
    let settings = Config::load(Base::File(path), [], []).unwrap().settings;
    assert_eq!(settings.token_keys.len(), 1);
    let missing = Config::load(Base::File(directory.path().join("none.toml")), [], []).unwrap_err();
    assert!(
        missing.to_string().contains("none.toml") && missing.to_string().contains("cannot be read")
    );
}

#[test]
fn development_mode_is_good_as_it_is_and_stays_on_this_machine() {
    let development = Development::new().unwrap();
    let load = |flags: Vec<FlagValue>| {
        Config::load(Base::Preset(development.preset()), [], flags).unwrap()
    };
    let config = load(Vec::new());
    assert!(Development::check(&config).is_ok());
    assert_eq!(config.settings.warnings(), [""; 0]);
    assert!(
        !config.effective().contains(&development.secret)
            && !config.effective().contains(&development.api_key)
    );
    let open = load(vec![(
        "api",
        "listen",
        "--api-listen",
        "0.0.0.0:0".to_owned(),
    )]);
    let error = Development::check(&open).unwrap_err().to_string();
    assert!(
        error.contains("flag --api-listen: api.listen: 0.0.0.0:0"),
        "{error}"
    );
}

#[test]
fn options_are_explained_with_type_unit_range_and_variable() {
    let text = explain("limits.headers_max").unwrap();
    for word in [
        "[limits] headers_max = 64",
        "fields, 8 to 1024",
        "SWITCHBOARD_LIMITS__HEADERS_MAX",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(
        explain("namespaces.chat.presence")
            .unwrap()
            .contains("SWITCHBOARD_NAMESPACES__NAME__PRESENCE")
    );
    assert!(explain("drain").unwrap().contains("window_s = 15"));
    assert!(
        explain("headers_max")
            .unwrap_err()
            .contains("did you mean `limits.headers_max`?")
    );
    assert!(
        explain("limits.header_max")
            .unwrap_err()
            .contains("did you mean `limits.headers_max`?")
    );
}

#[test]
fn the_shipped_configurations_are_good_and_true() {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let shipped = fs::read_to_string(deploy.join("reference.toml")).unwrap();
    assert_eq!(
        shipped.trim_end(),
        reference_text().trim_end(),
        "write it anew: switchboard check-config --explain > deploy/reference.toml"
    );
    load(&shipped, &[]).unwrap();
    // Every line that is commented out is good when it is not.
    let example = fs::read_to_string(deploy.join("switchboard.toml")).unwrap();
    let secrets = [
        ("SWITCHBOARD_API__KEYS__0__SECRET", "sk_0123456789abcdef"),
        ("SWITCHBOARD_TOKENS__KEYS__0__SECRET", SECRET),
    ];
    let config = load(&example, &secrets).unwrap();
    assert_eq!(config.settings.warnings(), [""; 0]);
}
