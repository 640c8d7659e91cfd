//! Every alert has its page, and no page is forgotten.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{DASHBOARD, RULES, alerts, file};

#[test]
fn every_alert_has_a_page_that_names_it() {
    let index = page("README");
    for alert in alerts() {
        assert!(matches!(alert.severity, "page" | "ticket"), "{} is a {}", alert.name, alert.severity);
        assert!(alert.is_explained, "{} says nothing", alert.name);
        let name = format!("`{}`", alert.name);
        let heads = page(alert.page);
        let names = heads.split("\n## ").next().unwrap_or_default();
        assert!(names.contains(&name), "{}.md does not name {name} at its head", alert.page);
        let row = format!("| {} | [{1}]({1}.md) |", alert.severity, alert.page);
        let is_listed = index.lines().any(|line| line.contains(&name) && line.ends_with(&row));
        assert!(is_listed, "README.md has no row for {name} that ends with {row:?}");
    }
}

#[test]
fn every_page_says_all_that_it_should() {
    let pages = pages();
    assert!(pages.len() > 20, "{pages:?}");
    for name in pages.iter().filter(|name| *name != "README") {
        let text = page(name);
        let heads: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(heads, HEADS, "in {name}.md");
        let check = text.split("\n## ").find(|part| part.starts_with("Check")).unwrap_or_default();
        assert!(check.contains("```sh\n"), "{name}.md has nothing to check");
    }
}

#[test]
fn the_index_names_no_alert_that_is_not_there() {
    let index = page("README");
    let mentioned = index.split('`').filter(|word| word.starts_with("Graphhook"));
    for alert in mentioned {
        assert!(RULES.contains(&format!("- alert: {alert}\n")), "the index has {alert}, the rules have not");
    }
}

#[test]
fn the_dashboard_links_pages_that_are_there() {
    let links = DASHBOARD.split("${runbooks}/").skip(1).filter_map(|rest| rest.split_once(".md\""));
    let linked: BTreeSet<_> = links.map(|(name, _)| name.to_owned()).collect();
    assert!(linked.len() > 10, "{linked:?}");
    assert!(linked.is_subset(&pages()), "no such page: {:?}", linked.difference(&pages()));
}

/// The names of all pages, the index among them.
fn pages() -> BTreeSet<String> {
    let names = fs::read_dir(file("docs/runbooks")).expect("the directory can be read").map(|entry| {
        let path = entry.expect("the directory can be read").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name in UTF-8");
        assert_eq!(path.extension().and_then(|ending| ending.to_str()), Some("md"), "{}", path.display());
        name.to_owned()
    });
    names.collect()
}

fn page(name: &str) -> String {
    let path = file(&format!("docs/runbooks/{name}.md"));
    fs::read_to_string(Path::new(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What somebody wants to know at three in the morning, in this order.
const HEADS: [&str; 6] = ["Signs", "Check", "Cure", "Proof", "Doubled or lost", "When to do nothing"];
