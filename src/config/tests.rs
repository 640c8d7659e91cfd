//! The configuration as a whole: layers, problems, defaults, and what is never printed.

mod graph;
mod rich;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{load::load_text, raw::Raw, *};

const LEAST: &str = "[[client_states]]\nname = \"mail\"\nsecret = \"correct horse battery\"\n";

fn environment(variables: &[(&str, &str)]) -> Environment {
    let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment { variables: pairs.collect::<BTreeMap<_, _>>() }
}

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Problems> {
    load_text("config.toml", text, &environment(variables))
}

/// Loads a text that is wrong; returns the problems as lines.
#[track_caller]
fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let problems = load(text, variables).expect_err("this configuration is wrong");
    problems.0.iter().map(Problem::to_string).collect()
}

#[track_caller]
fn check_problem(text: &str, key: &str, words: &str) {
    let text = if text.contains("[[client_states]]") { text.to_owned() } else { format!("{text}\n{LEAST}") };
    let problems = load(&text, &[]).expect_err(&text).0;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].key, key);
    assert!(problems[0].message.contains(words), "{problems:?}");
    assert!(problems[0].origin.starts_with("config.toml:"), "{problems:?}");
}

#[test]
fn the_shipped_file_says_what_the_code_does() {
    let shipped: Raw = toml::from_str(EXAMPLE).expect("config.toml is right");
    assert_eq!(shipped, Raw::default());
}

#[test]
fn the_shipped_file_names_every_key() {
    let debug = format!("{:?}", Raw::default());
    let fields = debug
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| debug.contains(&format!("{word}: ")));
    let mut seen = 0;
    for field in fields.filter(|word| !word.is_empty() && word.starts_with(|c: char| c.is_lowercase())) {
        assert!(EXAMPLE.contains(field), "config.toml does not mention {field}");
        seen += 1;
    }
    assert!(seen > 30, "only {seen} keys");
}

#[test]
fn the_least_that_works() {
    let loaded = load(LEAST, &[]).expect("right");
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.server.listen, [Listen::Address("[::]:8443".parse().expect("an address"))]);
    assert_eq!(loaded.config.broker.urls[0].shown, "amqp://127.0.0.1:5672/%2f");
    assert_eq!(loaded.config.client_states[0].secret.expose(), "correct horse battery");
}

#[test]
fn variables_win_over_the_file() {
    let text = format!("{LEAST}[server]\nanswer_within = \"2s\"\n[broker]\ndeclare = true\n");
    let variables = [
        ("GRAPHHOOK_SERVER__ANSWER_WITHIN", "1500ms"),
        ("GRAPHHOOK_SERVER__LISTEN", "[\"127.0.0.1:0\"]"),
        ("GRAPHHOOK_SERVER__LIMITS__CONNECTIONS", "77"),
        ("GRAPHHOOK_BROKER__DECLARE", "false"),
        ("GRAPHHOOK_BROKER__EXCHANGE", "0123456"),
        ("GRAPHHOOK_CLIENT_STATES", "[{name = \"env\", secret = \"true\"}]"),
        ("OTHER", "x"),
    ];
    let config = load(&text, &variables).expect("right").config;
    assert_eq!(config.server.answer_within, Duration::from_millis(1500));
    assert_eq!(config.server.listen, [Listen::Address("127.0.0.1:0".parse().expect("an address"))]);
    assert_eq!(config.server.limits.connections_max, 77);
    assert_eq!(config.broker.topology, Topology::Check);
    assert_eq!(config.broker.exchange, "0123456");
    assert_eq!((config.client_states.len(), config.client_states[0].secret.expose()), (1, "true"));
}

#[test]
fn a_backslash_beside_other_letters_harms_nothing() {
    let variables =
        [("GRAPHHOOK_CLIENT_STATES", r#"[{name = "env", secret = 'Ü\ᝠ is as long as it should be'}]"#)];
    let config = load(LEAST, &variables).expect("right").config;
    assert_eq!(config.client_states[0].secret.expose(), r"Ü\ᝠ is as long as it should be");
    drop(load(LEAST, &[("GRAPHHOOK_BROKER__EXCHANGE", "[lP|ᝠ𑑞\\𑏘")]));
}

#[test]
fn everything_wrong_is_found_in_one_run() {
    let text = r#"
[server]
listen = ["8443"]
answer_within = 2500
pathes = ["/x"]
[server.limits]
body = "big"
[[client_states]]
name = "a"
secrt = "x"
[[client_states]]
name = "a"
secret = { fil = "x" }
[broker]
urls = ["http://localhost"]
queue_type = "mirrored"
routing_key = "{knd}"
[lgo]
level = "info"
"#;
    let lines =
        problems(text, &[("GRAPHHOOK_BROKER__DECLAR", "true"), ("GRAPHHOOK_ADMIN__LISTEN", "nowhere")]);
    let expected = [
        "broker.declar (GRAPHHOOK_BROKER__DECLAR): unknown key; did you mean declare?",
        "broker.queue_type (config.toml:16): expected one of quorum, classic, stream",
        "client_states.0.secrt (config.toml:10): unknown key; did you mean secret?",
        "client_states.0.secret (config.toml:8): missing: a string or one of { file = … }, { env = … }, { credential = … }",
        "lgo (config.toml:18): unknown key; did you mean log?",
        "server.answer_within (config.toml:4): expected a duration with its unit, such as \"1500ms\" or \"2s\"",
        "server.limits.body (config.toml:7): expected a size with its unit, such as \"64KiB\" or \"4MiB\"",
        "server.pathes (config.toml:5): unknown key; did you mean paths?",
        "server.listen.0 (config.toml:3): expected an address with a port, such as \"[::]:8443\" or \"127.0.0.1:9464\"",
        "broker.urls.0 (config.toml:15): expected amqp:// or amqps://",
        "admin.listen (GRAPHHOOK_ADMIN__LISTEN): expected an address with a port, such as \"[::]:8443\" or \"127.0.0.1:9464\"",
    ];
    for line in expected {
        assert!(lines.iter().any(|other| other == line), "{line}\nnot in\n{}", lines.join("\n"));
    }
    for start in [
        "client_states.1.secret (config.toml:13)",
        "client_states.1.name (config.toml:12): another entry",
        "broker.routing_key (config.toml:17): no placeholder {knd}",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(start)), "{start}\nnot in\n{}", lines.join("\n"));
    }
    assert_eq!(lines.len(), expected.len() + 3, "{}", lines.join("\n"));
}

#[test]
fn single_problems() {
    check_problem("[server]\npaths = [\"graph\"]", "server.paths.0", "expected a path");
    check_problem("[server]\npaths = [\"/a\", \"/a\"]", "server.paths.1", "twice");
    check_problem("[server]\npaths = [\"/healthz\"]", "server.paths.0", "health");
    check_problem("[server]\npaths = []", "server.paths", "at least one");
    check_problem("[server]\nlisten = [7]", "server.listen.0", "found a number");
    check_problem("[server.tls]\nmode = \"acne\"", "server.tls.mode", "expected one of files, acme, off");
    let acme = |rest: &str| format!("[server.tls]\nmode = \"acme\"\n{rest}");
    check_problem(&acme("domains = []"), "server.tls.domains", "at least one");
    check_problem(&acme("domains = [\"*.example.com\"]"), "server.tls.domains.0", "without wildcard");
    check_problem(&acme("domains = [\"a.b\", \"A.b\"]"), "server.tls.domains.1", "twice");
    check_problem(
        &acme("domains = [\"a.b\"]\ndirectory = \"http://ca/dir\""),
        "server.tls.directory",
        "https",
    );
    check_problem("[server.tls]\ncertificates = [{}]", "server.tls.certificates.0", "needs certificate");
    check_problem("[server]\nlisten = [\"unix:web\"]", "server.listen.0", "absolute path");
    check_problem("[server]\nclient_address = \"forwarded\"", "server.client_address", "trusted_proxies");
    check_problem("[server]\ntrusted_proxies = [\"10.0.0.0/40\"]", "server.trusted_proxies.0", "a network");
    check_problem(
        "[server.sources]\nmode = \"log\"\nnetworks = []",
        "server.sources",
        "nobody would be let in",
    );
    check_problem(
        "[server.limits]\nbytes_in_flight = \"1MiB\"",
        "server.limits.bytes_in_flight",
        "never fits",
    );
    check_problem("[broker]\nqueue_type = 7", "broker.queue_type", "expected a string, found a number");
    check_problem("[server.limits]\nitems = 0", "server.limits.items", "at least 1");
    check_problem("[server.limits]\nbody_within = \"0s\"", "server.limits.body_within", "more than 0 s");
    check_problem("[broker]\nurls = []", "broker.urls", "at least one");
    check_problem("[broker]\nurls = [\"amqp://h/a/b\"]", "broker.urls.0", "one path segment");
    check_problem(
        "[broker]\nurls = [\"amqp://h/?cacertfile=x\"]",
        "broker.urls.0",
        "parameters of the URL are heartbeat",
    );
    check_problem("[broker]\nexchange = \"amq.topic\"", "broker.exchange", "belong to RabbitMQ");
    check_problem(
        &format!("[broker]\nexchange = \"{}\"", "e".repeat(250)),
        "broker.exchange",
        "1 to 247 bytes",
    );
    check_problem("[broker]\nin_flight_bytes = \"1MiB\"", "broker.in_flight_bytes", "never fits");
    check_problem("[broker]\nchannels = 17", "broker.channels", "at most 16");
    check_problem("[traces]\nsample = 1.5", "traces.sample", "from 0 to 1");
    check_problem("[traces]\nsample = nan", "traces.sample", "from 0 to 1");
    check_problem("[traces]\nsample = \"half\"", "traces.sample", "expected a number");
    for endpoint in
        ["collector:4318/v1/traces", "ftp://h/v1/traces", "http://h", "http://h/", "http:///v1/traces", "h h"]
    {
        check_problem(&format!("[traces]\nendpoint = \"{endpoint}\""), "traces.endpoint", "with its path");
    }
    check_problem("[traces]\nendpoint = \"http://u:p@h/v1/traces\"", "traces.endpoint", "traces.headers");
    check_problem("[traces]\nendpoint = \"http://h/v1/traces?key=k\"", "traces.endpoint", "traces.headers");
    check_problem(
        "[traces]\nendpoint = \"https://h/t\"\nheaders = { Host = \"h\" }",
        "traces.headers.Host",
        "itself",
    );
    check_problem("[traces]\nheaders = { \"a b\" = \"c\" }", "traces.headers.a b", "a header's name");
    check_problem("[traces]\nheaders = { a = \"b\\n\" }", "traces.headers.a", "printable");
    check_problem("[[client_states]]\nname = \"a\"", "client_states.0.secret", "missing");
    check_problem("[[client_states]]\nsecret = \"a\"", "client_states.0.name", "needs a name");
    check_problem("[[client_states]]\nname = \"a\"\nsecret = \"\"", "client_states.0.secret", "empty");
    let long = "x".repeat(256);
    check_problem(
        &format!("[[client_states]]\nname = \"a\"\nsecret = \"{long}\""),
        "client_states.0.secret",
        "255",
    );
    check_problem(
        "[[client_states]]\nname = \"a\"\nsecret = { env = \"NO_SUCH\" }",
        "client_states.0.secret",
        "NO_SUCH is not set",
    );
    check_problem(
        "[[client_states]]\nname = \"a\"\nsecret = { credential = \"c\" }",
        "client_states.0.secret",
        "LoadCredential=c",
    );
    check_problem(
        "[[client_states]]\nname = \"a\"\nsecret = { file = \"/nonexistent\" }",
        "client_states.0.secret",
        "cannot read /nonexistent",
    );
}

#[test]
fn an_empty_table_is_refused() {
    assert!(problems("", &[])[0].starts_with("client_states (default): the table of secrets is empty"));
}

#[test]
fn what_is_not_toml_is_named_by_line_and_never_quoted() {
    let lines = problems("[server]\npassword hunter2\nsecret = \"hunter2\n", &[]);
    assert!(lines[0].starts_with("config.toml:2: not TOML"), "{lines:?}");
    assert!(!lines.join(" ").contains("hunter2"), "{lines:?}");
}

#[test]
fn secrets_come_from_files_variables_and_credentials() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("one"), "from a file \n\n").expect("written");
    std::fs::write(directory.path().join("two"), "from systemd").expect("written");
    let path = directory.path().to_str().expect("UTF-8");
    let text = format!(
        "[[client_states]]\nname = \"a\"\nsecret = {{ file = \"{path}/one\" }}\n\
         [[client_states]]\nname = \"b\"\nsecret = {{ env = \"GRAPHHOOK_MAIL\" }}\n\
         [[client_states]]\nname = \"c\"\nsecret = {{ credential = \"two\" }}\n"
    );
    let loaded =
        load(&text, &[("GRAPHHOOK_MAIL", "0123456"), ("CREDENTIALS_DIRECTORY", path)]).expect("right");
    let secrets: Vec<&str> = loaded.config.client_states.iter().map(|entry| entry.secret.expose()).collect();
    assert_eq!(secrets, ["from a file \n", "0123456", "from systemd"]);
}

#[test]
fn odd_things_are_warnings() {
    let text = "[[client_states]]\nname = \"a\"\nsecret = \"short\"\n[[client_states]]\nname = \"b\"\nsecret = \"short\"\n\
                [server]\nanswer_within = \"4s\"\n[server.tls]\nmode = \"off\"\n";
    let loaded = load(text, &[]).expect("right");
    let keys: Vec<&str> = loaded.warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "server.answer_within",
            "server.tls.mode",
            "client_states.0.secret",
            "client_states.1.secret",
            "client_states.1.secret"
        ]
    );
}

#[test]
fn an_authority_is_kept_out_with_the_strangers() {
    let strict = "[server.sources]\nmode = \"enforce\"\nnetworks = [\"10.0.0.0/8\"]\n[server.tls]\nmode = \"acme\"\ndomains = [\"a.example\"]\n";
    for (more, expected) in [("", 1), ("http_listen = \"[::]:80\"\n", 0)] {
        let loaded = load(&format!("{LEAST}{strict}{more}"), &[]).expect("right");
        let warned = loaded.warnings.iter().filter(|warning| warning.key == "server.sources.mode").count();
        assert_eq!(warned, expected, "{more:?}");
    }
}

#[test]
fn keys_without_effect_are_warnings() {
    for (text, expected) in [
        ("[server.tls]\ndomains = [\"a.example\"]\ncontact = \"\"", &["server.tls.domains"][..]),
        (
            "[server.tls]\nmode = \"acme\"\ndomains = [\"a.example\"]\nprivate_key = \"/k\"",
            &["server.tls.private_key"],
        ),
        (
            "[server.tls]\nmode = \"off\"\ncache = \"/c\"\nunknown_host = \"refuse\"",
            &["server.tls.unknown_host", "server.tls.mode"],
        ),
        ("[server.sources]\nnetworks = [\"10.0.0.0/8\"]", &["server.sources"]),
        ("[server]\npublic_url = \"https://a.example/elsewhere\"", &["server.public_url"]),
        ("[server]\npublic_url = \"https://a.example/graph/lifecycle\"", &[]),
    ] {
        let loaded = load(&format!("{LEAST}{text}"), &[]).expect(text);
        let keys: Vec<&str> = loaded.warnings.iter().map(|warning| warning.key.as_str()).collect();
        assert_eq!(keys, expected, "{text}");
    }
    assert_eq!(
        load(&format!("{EXAMPLE}\n{LEAST}"), &[]).expect("right").warnings,
        [],
        "the shipped file has none"
    );
}

#[test]
fn listeners_that_take_each_others_place_are_refused() {
    let acme = "[server.tls]\nmode = \"acme\"\ndomains = [\"a.example\"]\nhttp_listen = \"[::]:80\"\n";
    check_problem(
        "[server]\nlisten = [\"[::]:1\", \"127.0.0.1:1\"]",
        "server.listen.1",
        "server.listen.0 takes",
    );
    check_problem("[admin]\nlisten = \"127.0.0.1:8443\"", "admin.listen", "server.listen.0 takes");
    let text = format!("{acme}[server]\nlisten = [\"0.0.0.0:80\"]");
    check_problem(&text, "server.tls.http_listen", "server.listen.0 takes");
    let text = format!("{acme}[admin]\nlisten = \"127.0.0.1:80\"");
    check_problem(&text, "admin.listen", "server.tls.http_listen takes");
}

#[test]
fn a_contact_is_an_address() {
    let text = |contact: &str| {
        format!("[server.tls]\nmode = \"acme\"\ndomains = [\"a.example\"]\ncontact = \"{contact}\"")
    };
    for wrong in ["ops", "tel:+49", "mailto:ops", "a@b@c", "a@b,c@d", "@example.com"] {
        check_problem(&text(wrong), "server.tls.contact", "expected an address");
    }
    for right in ["ops@example.com", "mailto:ops@example.com", "ops@localhost"] {
        load(&format!("{LEAST}{}", text(right)), &[]).expect(right);
    }
}

#[test]
fn files_are_kept_for_a_look_at_their_permissions() {
    let place = tempfile::tempdir().expect("a directory");
    let path = |name: &str| place.path().join(name);
    std::fs::write(path("secret"), "correct horse battery\n").expect("written");
    std::fs::write(path("networks"), "10.0.0.0/8\nnonsense\n").expect("written");
    let text = format!("[[client_states]]\nname = \"a\"\nsecret = {{ file = {:?} }}\n", path("secret"));
    let loaded = load(&text, &[]).expect("right");
    let found: Vec<_> = loaded.files.iter().map(|file| (file.key.as_str(), file.content)).collect();
    let expected = [
        ("", Content::Public),
        ("server.tls.certificate", Content::Public),
        ("server.tls.private_key", Content::Secret),
        ("client_states.0.secret", Content::Secret),
    ];
    assert_eq!(found, expected);
    assert_eq!(load(LEAST, &[]).expect("right").files[0].content, Content::Secret, "it holds one itself");
    let outside = [("GRAPHHOOK_CLIENT_STATES", "[{name=\"a\", secret=\"correct horse battery\"}]")];
    assert_eq!(load("", &outside).expect("right").files[0].content, Content::Public);
    let url = |user: &str| format!("{text}[broker]\nurls = [\"amqp://{user}h\"]");
    assert_eq!(load(&url(""), &[]).expect("right").files[0].content, Content::Public);
    assert_eq!(load(&url("u:p@"), &[]).expect("right").files[0].content, Content::Secret);
    let sources = format!("[server.sources]\nfile = {:?}", path("networks"));
    check_problem(&sources, "server.sources.file", "networks:2: neither an address nor a network");
}

#[test]
fn broker_urls_are_shown_without_what_is_secret() {
    for (url, host, port, shown) in [
        ("amqp://u:hunter2@h", "h", 5672, "amqp://h:5672/%2f"),
        ("amqps://u:hunter2@h/v?heartbeat=5", "h", 5671, "amqps://h:5671/v"),
        ("amqp://[::1]:77/%2f", "::1", 77, "amqp://[::1]:77/%2f"),
        ("amqp://127.0.0.1/", "127.0.0.1", 5672, "amqp://127.0.0.1:5672/"),
    ] {
        let text = format!("{LEAST}[broker]\nurls = [\"{url}\"]\n");
        let config = load(&text, &[]).expect(url).config;
        let found = &config.broker.urls[0];
        assert_eq!((found.host.as_str(), found.port, found.shown.as_str()), (host, port, shown));
    }
}

#[test]
fn frames_of_the_broker_have_room_for_the_head_of_a_message() {
    let text = |frame_max: &str| format!("[broker]\nurls = [\"amqp://h/?frame_max={frame_max}\"]\n");
    for wrong in ["0", "4096", "8191", "1048577", "4294967296", "-1", "", "x"] {
        check_problem(&text(wrong), "broker.urls.0", "frame_max must be 8192 to 1048576 bytes");
    }
    for right in ["8192", "131072", "1048576"] {
        load(&format!("{LEAST}{}", text(right)), &[]).expect(right);
    }
}

#[test]
fn what_takes_a_restart_is_found_and_the_rest_is_not() {
    let config = |text: &str| load(&format!("{text}\n{LEAST}"), &[]).expect(text).config;
    let running = config("");
    let differing = |text: &str| {
        let found = running.fixed_against(&config(text));
        found.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    for live in [
        "",
        "[server]\npaths = [\"/x\"]\nanswer_within = \"1s\"",
        "[server.tls]\ncertificate = \"/x\"\nprivate_key = \"/y\"",
        "[server.limits]\nbody = \"1MiB\"\nbytes_in_flight = \"2MiB\"\nitems = 1\nhandshake_within = \"1s\"",
        "[server.limits]\nheader_within = \"1s\"\nbody_within = \"1s\"",
        "[[client_states]]\nname = \"more\"\nsecret = \"secret\"",
        "[broker]\nrouting_key = \"x\"\nclient_state = \"redact\"",
        "[log]\nlevel = \"debug\"",
    ] {
        assert_eq!(differing(live), [""; 0], "{live}");
    }
    assert_eq!(differing("[server.tls]\nmode = \"off\""), ["server.tls.mode"]);
    assert_eq!(differing("[traces]\nsample = 0.5"), ["traces.sample"]);
    assert_eq!(differing("[traces]\nendpoint = \"http://h/t\""), ["traces.endpoint"]);
    // The spool's share of memory was settled at the start, at 256 MiB.
    let large = "[server.limits]\nbody = \"300MiB\"\nbytes_in_flight = \"1GiB\"\n[broker]\nin_flight_bytes = \"1GiB\"";
    assert_eq!(differing(large), ["broker.in_flight_bytes", "server.limits.body"]);
}

#[test]
fn nothing_prints_a_secret() {
    let text = "[[client_states]]\nname = \"a\"\nsecret = \"hunter2\"\n[broker]\nurls = [\"amqp://u:hunter2@h/\"]\n\
         [traces]\nendpoint = \"https://h/t\"\nheaders = { Authorization = \"hunter2\" }\n";
    let loaded = load(text, &[]).expect("right");
    let raw: Raw = toml::from_str(text).expect("TOML");
    let printed = format!("{loaded:?} {raw:?}");
    assert!(!printed.contains("hunter2"), "{printed}");
    for wrong in [
        "[[client_states]]\nname = \"a\"\nsecret = [\"hunter2\"]\n",
        "[[client_states]]\nname = \"a\"\nsecret = { value = \"hunter2\" }\n",
        "[[client_states]]\nname = { x = \"hunter2\" }\nsecret = 1\n",
        "[broker]\nurls = [\"hunter2\"]\n",
        "[broker]\nurls = [\"amqp://u:hunter2@:x/\"]\n",
        "[broker]\nurls = [\"amqp://u:/hunter2@h/\"]\n",
        "[broker]\nurls = [\"amqp://u:a/hunter2@h/\"]\n",
        "[broker]\nurls = [\"amqp://u:?hunter2@h/\"]\n",
        "[broker]\nurls = [\"amqp://u:a?hunter2=x@h/\"]\n",
        "[broker]\nurls = [\"amqp://u:#hunter2@h/\"]\n",
        "[broker]\nurls = [\"amqp://u:p@h/?hunter2=1\"]\n",
        "[server]\nanswer_within = \"hunter2\"\n",
        "[log]\nlevel = \"hunter2\"\n",
        "client_states = \"hunter2\"\n",
        "[traces]\nendpoint = \"https://u:hunter2@h/t\"\n",
        "[traces]\nendpoint = \"https://h/t?hunter2\"\n",
        "[traces]\nheaders = { Authorization = [\"hunter2\"] }\n",
        "[traces]\nheaders = { Authorization = \"hunter2\\u0000\" }\n",
        "[traces]\nheaders = \"hunter2\"\n",
        "[[client_states]]\nname = \"a\"\nsecret = \"hunter2\"\nsecret = \"hunter2\"\n",
    ] {
        let lines = problems(wrong, &[]).join("\n");
        assert!(!lines.contains("hunter2"), "{lines}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "([a-z_.]{1,8} ?= ?[\\[\\]{}\"a-z0-9,= ]{0,12}\n|\\[{1,2}[a-z_.]{1,10}\\]{1,2}\n|\\PC{0,10}\n){0,8}") {
        drop(load(&text, &[]));
    }

    #[test]
    fn no_variable_panics(name in "[A-Z_]{0,20}", value in "\\PC{0,20}") {
        drop(load(LEAST, &[(&format!("GRAPHHOOK_{name}"), &value)]));
    }

    /// Whatever a secret is, it is taken as it stands, and no problem or warning quotes it.
    #[test]
    fn secrets_are_taken_whole_and_never_shown(secret in "[!-~]{20,60}") {
        let text = format!("[[client_states]]\nname = \"a\"\nsecret = {}\n", serde_json::json!(secret));
        let loaded = load(&text, &[]).expect("a secret is a secret");
        prop_assert_eq!(loaded.config.client_states[0].secret.expose(), &secret);
        let wrong = format!("{text}[broker]\nurls = [{}]\n", serde_json::json!(secret));
        let lines = problems(&wrong, &[]).join("\n");
        prop_assert!(!lines.contains(&secret), "{}", lines);
    }
}
