use super::*;

fn read(text: &str) -> Result<Scenario, String> {
    Scenario::read("a.toml", text, Path::new("examples")).map_err(|problems| problems.to_string())
}

#[test]
fn the_example_holds_the_defaults() {
    let example = read(EXAMPLE).expect("it can be read");
    let plain = Scenario::new(Pace::PerSecond(200.0), Extent::Time(Duration::from_secs(30)));
    let told = |scenario: &Scenario| {
        let Scenario { seed, pace, extent, connections, drain, per_post, .. } = scenario;
        let Scenario { subscriptions, tenants, templates, changes, faults, graph, .. } = scenario;
        format!(
            "{seed:?} {pace:?} {extent:?} {connections} {drain:?} {per_post:?} {subscriptions:?} {tenants:?} {templates:?} {changes:?} {faults:?} {graph:?}"
        )
    };
    assert_eq!(told(&example), told(&plain));
    let millis = [100, 250, 500, 1_000].map(|millis| Some(Duration::from_millis(millis)));
    assert_eq!(example.expect.latency, millis);
    assert_eq!((example.expect.delivered, example.expect.delayed), (Some(1.0), Some(0.0)));
}

#[test]
fn mistakes_are_told_with_key_and_line() {
    let begin = "rate = 1\ncount = 1\n";
    for (text, expected) in [
        ("count = 1", "a.toml:1: missing field `rate`"),
        ("rate = 1", "rate (a.toml:1): expected a duration or a count as well"),
        (
            "rate = 1\nduration = \"1s\"\ncount = 2",
            "count (a.toml:3): there is a duration, too: expected one of them",
        ),
        ("rate = \"fast\"", "rate (a.toml:1): expected notifications a second, or \"flat_out\""),
        ("rate = 1\nduration = \"0s\"", "duration (a.toml:2): expected a length of time up to a week"),
        (
            "rate = 10000000\nduration = \"1h\"",
            "duration (a.toml:2): these are more than 50000000 notifications",
        ),
        ("rate = 1\ncount = 0", "count (a.toml:2): expected a whole number from 1 to 50000000"),
        ("rate = 1\ncount = ", "(a.toml:2): "),
    ] {
        let error = read(text).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
    for (text, expected) in [
        ("conections = 3", "a.toml:3): unknown field `conections`, expected one of"),
        ("[faults]\nforged = 1.5", "faults.forged (a.toml:4): expected a share from 0 to 1"),
        (
            "[faults]\nhang_up = 0.7\nduplicate = 0.7",
            "faults (a.toml:3): all shares but that of forged ones are over 1 together",
        ),
        ("[graph]\ntime_scale = 0", "graph.time_scale (a.toml:4): expected a number from 1 to 100000"),
        (
            "[graph]\nfirst_allowance = \"20s\"",
            "graph.repeat_allowance (a.toml:3): expected at least the first",
        ),
        (
            "[notifications]\nper_post = \"5-2\"",
            "notifications.per_post (a.toml:4): expected a number from 1 to 10000",
        ),
        (
            "[notifications]\nper_post = [[1, 0]]",
            "notifications.per_post (a.toml:4): expected a number from 1",
        ),
        ("[notifications]\nsize = \"2MiB\"", "notifications.size (a.toml:4): expected a size up to 1 MiB"),
        (
            "[notifications]\nsize = \"1MiB\"\nper_post = [[1, 9], [\"2-65\", 1]]",
            "notifications.size (a.toml:4): 65 items of 1048576 bytes are more than the 64 MiB",
        ),
        ("[notifications]\nchanges = []", "notifications.changes (a.toml:4): expected at least one"),
        (
            "[notifications]\ntenants = []",
            "notifications.tenants (a.toml:4): expected a number from 1 to 100000",
        ),
        (
            "[notifications.resources]\nmail = 1",
            "notifications.resources.mail (a.toml:4): expected a file whose name",
        ),
        (
            "[notifications.resources]\n\"no.json\" = 1",
            "notifications.resources.no.json (a.toml:4): cannot read the file",
        ),
        ("[notifications.resources]\nmessage = 0", "notifications.resources (a.toml:3): expected weights"),
    ] {
        let text = format!("{begin}{text}");
        let error = read(&text).expect_err(&text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn values_have_several_forms() {
    let text = r#"
        rate = "flat_out"
        count = 7
        [notifications]
        per_post = [[1, 7], ["2-20", 3.0]]
        subscriptions = ["a", "b"]
        tenants = 2
        size = 1024
    "#;
    let scenario = read(text).expect("a scenario");
    assert_eq!(scenario.pace, Pace::FlatOut);
    assert_eq!(scenario.per_post.all().collect::<Vec<_>>(), [&(1, 1), &(2, 20)]);
    assert_eq!(scenario.subscriptions, ["a", "b"]);
    assert_eq!(scenario.tenants[1], "00000002-0000-4000-8000-000000000002");
    assert_eq!(scenario.size, Some(1024));
}

/// Every key of the example has its row in the manual, with the same default, and there is no other row.
#[test]
fn the_manual_has_every_key() {
    let manual = include_str!("../../../../docs/scenarios.md");
    let file = manual.split("\n## The file\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let mut told = Vec::new();
    for row in file.expect("a section").lines().filter(|line| line.starts_with("| `")) {
        let columns: Vec<&str> = row.split(" | ").collect();
        let keys = columns[0].split('`').skip(1).step_by(2);
        told.extend(keys.map(|key| (key.replace('"', ""), columns[1].trim_matches('`').to_owned())));
    }
    let example: toml::Table = toml::from_str(EXAMPLE).expect("TOML");
    let mut known = vec![("count".to_owned(), None)];
    for (key, value) in &example {
        match value.as_table() {
            Some(table) => {
                known.extend(
                    table.iter().map(|(inner, value)| (format!("{key}.{inner}"), Some(value.clone()))),
                );
            }
            None => known.push((key.clone(), Some(value.clone()))),
        }
    }
    for (key, value) in &known {
        let (_, default) =
            told.iter().find(|(told, _)| told == key).unwrap_or_else(|| panic!("no row for {key}"));
        let is_free = ["rate", "duration", "count"].contains(&key.as_str()) || key.starts_with("expect.p");
        if let Some(value) = value.as_ref().filter(|_| !is_free) {
            let default: toml::Table = toml::from_str(&format!("{key} = {}", inline(default))).expect(key);
            let default =
                key.split('.').try_fold(toml::Value::Table(default), |table, part| table.get(part).cloned());
            assert_eq!(default.as_ref(), Some(value), "{key}");
        }
    }
    assert_eq!(told.len(), known.len(), "{told:?}");
}

/// `message = 1` as a value.
fn inline(default: &str) -> String {
    if default.contains(" = ") { format!("{{ {default} }}") } else { default.to_owned() }
}
