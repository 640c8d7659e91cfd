//! Every warning and error has a name, a place in `docs/logs.md`, and an entry in journald's catalogue.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use graphhook::telemetry::message_id;

use crate::support::process;

/// What a warning or error is, in the code or on the page.
#[derive(Debug, PartialEq)]
struct Event {
    level: String,
    /// Its words.
    words: String,
}

/// An entry of the page.
struct Entry {
    event: Event,
    meaning: String,
    to_do: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every call of `warn!` and `error!`: the name of its event, and what it is. Panics when one has none, or another's.
fn events_of_the_code() -> BTreeMap<String, Event> {
    let mut events = BTreeMap::new();
    let files = files(&root().join("src"));
    assert!(files.len() > 50, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        for (level, call) in calls(&text) {
            let place = format!("{}: {call}", file.display());
            let name = call.split_once("event = \"").and_then(|(_, rest)| rest.split_once('"'));
            let (name, _) = name.unwrap_or_else(|| panic!("no event = \"…\" in {place}"));
            assert!(
                name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
                "{place}"
            );
            let words = literals(call).pop().unwrap_or_else(|| panic!("no words in {place}"));
            let before = events.insert(name.to_owned(), Event { level: level.to_owned(), words });
            assert_eq!(before, None, "the name has another place already: {place}");
        }
    }
    events
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let below = directories.iter().flat_map(|directory| self::files(directory));
    files.into_iter().chain(below).filter(|path| path.extension().is_some_and(|it| it == "rs")).collect()
}

/// The arguments of each call.
fn calls(text: &str) -> Vec<(&'static str, &str)> {
    let mut calls = Vec::new();
    for (level, call) in [("Warning", "warn!("), ("Error", "error!(")] {
        for (at, _) in text.match_indices(call) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let arguments = &text[at + call.len()..];
            calls.push((level, &arguments[..end_of(arguments)]));
        }
    }
    calls
}

/// Where the parenthesis closes that stands open.
fn end_of(arguments: &str) -> usize {
    let (mut depth, mut in_text, mut escaped) = (1, false, false);
    for (at, c) in arguments.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '(' if !in_text => depth += 1,
            ')' if !in_text => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    panic!("a call without an end: {arguments}");
}

fn literals(call: &str) -> Vec<String> {
    call.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The entries of the page: a heading with the name, the level and the words, the meaning, what to do.
fn entries_of_the_page() -> BTreeMap<String, Entry> {
    let page = fs::read_to_string(root().join("docs/logs.md")).expect("the page");
    let mut entries = BTreeMap::new();
    for section in page.split("\n### ").skip(1) {
        let section = section.split("\n## ").next().expect("there is a first part");
        let paragraphs: Vec<String> =
            section.split("\n\n").map(|text| text.trim().replace('\n', " ")).collect();
        let [head, meaning, to_do] = paragraphs.as_slice() else { panic!("three paragraphs: {section}") };
        let (name, event) = head.split_once(' ').unwrap_or_else(|| panic!("no words: {section}"));
        let (level, words) = event.split_once(": ").unwrap_or_else(|| panic!("no level: {section}"));
        let event = Event { level: level.to_owned(), words: words.trim_matches('"').to_owned() };
        let to_do = to_do.strip_prefix("Do: ").unwrap_or_else(|| panic!("nothing to do: {section}"));
        let entry = Entry { event, meaning: meaning.clone(), to_do: to_do.to_owned() };
        assert!(entries.insert(name.to_owned(), entry).is_none(), "{name} stands there twice");
    }
    entries
}

#[test]
fn every_warning_and_error_is_explained() {
    let page = entries_of_the_page().into_iter().map(|(name, entry)| (name, entry.event));
    let (page, code) = (page.collect::<BTreeMap<_, _>>(), events_of_the_code());
    assert!(code.len() > 40, "{code:#?}");
    for (name, event) in &code {
        assert_eq!(page.get(name), Some(event), "docs/logs.md has something else than the code about {name}");
    }
    let gone: Vec<&String> = page.keys().filter(|name| !code.contains_key(*name)).collect();
    assert!(gone.is_empty(), "docs/logs.md explains what no code says: {gone:?}");
}

/// The page in the form that journald reads (systemd.io/CATALOG).
fn catalogue() -> String {
    let mut text = "# What the warnings and errors of graphhook mean, for `journalctl -x`: docs/logs.md, from which a test\n\
                    # makes this file.\n"
        .to_owned();
    for (name, Entry { event, meaning, to_do }) in entries_of_the_page() {
        let id = message_id(&name).simple();
        // What stands in the place of "{}" is in the entry itself.
        let subject = event.words.replace(": {}", "").replace("{}", &name);
        let (meaning, to_do) = (wrapped(&meaning), wrapped(&format!("What to do: {to_do}")));
        text += &format!(
            "\n-- {id}\nSubject: graphhook: {subject}\nDefined-By: graphhook\nDocumentation: man:graphhook(1)\n\n{meaning}\n{to_do}"
        );
    }
    text
}

fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.replace('`', "").split_whitespace() {
        if lines.last().is_some_and(|line| line.len() + word.len() >= 78) {
            lines.push(String::new());
        }
        let line = lines.last_mut().expect("there is always one");
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_catalogue_is_the_page() {
    let wanted = catalogue();
    let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join("graphhook.catalog");
    fs::write(&new, &wanted).expect("written");
    let shipped = fs::read_to_string(root().join("systemd/graphhook.catalog")).unwrap_or_default();
    assert!(
        shipped == wanted,
        "systemd/graphhook.catalog is not docs/logs.md; it should be {}",
        new.display()
    );
}

/// As the package installs it, into a root of its own.
#[tokio::test]
async fn journald_takes_the_catalogue() {
    let scratch = tempfile::tempdir().expect("a directory");
    let catalogues = scratch.path().join("usr/lib/systemd/catalog");
    fs::create_dir_all(&catalogues).expect("a directory");
    fs::copy(root().join("systemd/graphhook.catalog"), catalogues.join("graphhook.catalog")).expect("copied");
    let journalctl = async |argument: &str| {
        let mut command = Command::new("journalctl");
        command.arg(format!("--root={}", scratch.path().display())).arg(argument);
        let output = process::output(&mut command, Duration::from_secs(30)).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{said}");
        String::from_utf8(output.stdout).expect("text")
    };
    journalctl("--update-catalog").await;
    let listed = journalctl("--list-catalog").await;
    let entries = entries_of_the_page();
    assert_eq!(listed.lines().count(), entries.len(), "{listed}");
    for name in entries.keys() {
        assert!(listed.contains(&message_id(name).simple().to_string()), "{name} is not in {listed}");
    }
    assert!(journalctl("--dump-catalog").await.contains("Subject: graphhook: broker not connected"));
}
