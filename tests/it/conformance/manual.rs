//! The page of the manual: its table, and its blocks as somebody would paste them.

use crate::support::daemon::run;
use crate::support::page::paste;

const PAGE: &str = include_str!("../../../docs/conformance.md");

#[tokio::test]
async fn the_page_has_every_case() {
    let output = run(&["simulate", "conformance", "--list", "--json"], &[]).await;
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut table = String::from(
        "| case | level | what it is about | what is expected | source |\n|---|---|---|---|---|\n",
    );
    for case in &cases {
        let word = |name: &str| case[name].as_str().expect("a text").replace('|', "\\|");
        let (name, level, about, expected) = (word("name"), word("level"), word("about"), word("expected"));
        let source = case["source"]["url"].as_str().expect("a URL");
        let title = case["source"]["title"].as_str().expect("a title");
        table += &format!("| `{name}` | {level} | {about} | {expected} | [{title}]({source}) |\n");
    }
    assert!(PAGE.contains(&table), "the table of docs/conformance.md should be\n{table}");
}

#[tokio::test]
async fn the_page_does_what_it_says() {
    paste(PAGE, 3, [9443]).await;
}
