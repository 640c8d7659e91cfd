//! `graphhook check`: what it tries, over real TLS and against a real RabbitMQ, and what it says.

mod broker;
mod offline;
mod public_url;
mod rich;
mod terminal;

use std::path::Path;

use crate::support::daemon::run;

/// What `check` with these arguments says of the configuration in this directory, and its exit code.
async fn check(directory: &Path, more: &[&str]) -> (String, Option<i32>) {
    let file = directory.join("config.toml");
    let arguments = [&["check", "--config", file.to_str().expect("UTF-8")], more].concat();
    let output = run(&arguments, &[]).await;
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).expect("text"), output.status.code())
}

/// The line of this verdict and check that holds these words.
#[track_caller]
fn line<'a>(said: &'a str, verdict: &str, check: &str, words: &str) -> &'a str {
    let begin = format!("{verdict:<8} {check:<14} ");
    let found = said.lines().find(|line| line.starts_with(&begin) && line.contains(words));
    found.unwrap_or_else(|| panic!("no line {begin}… {words}:\n{said}"))
}
