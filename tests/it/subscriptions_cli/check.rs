//! What `graphhook check` finds of Graph.

use std::time::Duration;

use graphhook::simulate::api::{Fault, Operation};

use super::{APP_SECRET, Place, SALES, Said, configuration, unstarted};
use crate::support::api::Stand;
use crate::support::certs::Authority;
use crate::support::daemon::run;
use crate::support::issuer::APP;

/// The line of this verdict and check that holds these words.
#[track_caller]
fn line(said: &Said, verdict: &str, check: &str, words: &str) {
    let begin = format!("{verdict:<8} {check:<14} ");
    let found = said.out.lines().any(|line| line.starts_with(&begin) && line.contains(words));
    assert!(found, "no line {begin}… {words}:\n{}", said.out);
}

async fn check(place: &Place, more: &[&str]) -> Said {
    let ca = place.daemon.ca().display().to_string();
    let ca = if more.is_empty() { vec!["--ca", &ca] } else { Vec::new() };
    let said = place.run_openly(&[&["check"], more, ca.as_slice()].concat()).await;
    place.keeps_secrets(&said);
    assert!(!said.out.contains(APP_SECRET));
    said
}

#[tokio::test]
async fn a_sign_in_is_tried_and_its_permissions_compared() {
    let stand = Stand::with(|options| options.directory.roles = vec!["Mail.Read".to_owned()]).await;
    let daemon = configuration(&stand, &[SALES]).start().await;
    let mut place = Place { stand, daemon };
    let said = check(&place, &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.out);
    line(&said, "ok", "graph", &format!("signed in as the app {APP}"));
    line(&said, "ok", "graph", "permissions: Mail.Read");
    line(&said, "ok", "graph", " lists 0 subscriptions");
    line(&said, "ok", "clock", "agrees with that of https://127.0.0.1");
    line(&said, "ok", "subscriptions", "1 subscription wanted, which apply makes");
    line(&said, "warning", "subscriptions", "1 step from what is wanted; graphhook subscriptions plan");
    assert_eq!(place.changes(), 0);
    place.run(&["apply", "--no-wait"]).await.good();
    line(&check(&place, &[]).await, "ok", "subscriptions", "Graph has what is wanted");

    let people = "[[subscriptions]]\nname = \"people\"\nresource = \"/users\"\nchange_types = [\"updated\"]";
    place.daemon.reconfigure(|configuration| configuration.append(people));
    let said = check(&place, &[]).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    line(&said, "failed", "graph", "people: the token has no User.Read.All; add it to the app");

    place.stand.api.advance(Duration::from_secs(60));
    line(&check(&place, &[]).await, "warning", "clock", "s from that of https://127.0.0.1");
    place.stand.api.advance(Duration::from_secs(300));
    line(&check(&place, &[]).await, "failed", "clock", "s from that of https://127.0.0.1");
}

#[tokio::test]
async fn who_cannot_sign_in_learns_why() {
    let place = Place::open(&[SALES]).await;
    place.stand.api.fail(Fault::status(Operation::Token, 400));
    let said = check(&place, &[]).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    line(&said, "failed", "graph", "cannot sign in to Graph");
    place.stand.api.heal();
    place.stand.api.fail(Fault::status(Operation::List, 403));
    line(&check(&place, &[]).await, "failed", "graph", "the list: Graph does not allow it: 403");
}

#[tokio::test]
async fn what_would_go_wrong_is_seen_without_a_network() {
    let place = Place::open(&[
        "name = \"calls\"\nresource = \"/communications/callRecords\"\nchange_types = [\"deleted\"]",
        "name = \"cats\"\nresource = \"/cats\"\nchange_types = [\"created\"]",
        "name = \"long\"\nresource = \"/groups\"\nchange_types = [\"updated\"]\nlifetime = \"40days\"\n\
         lifecycle_url = \"https://hooks.example.com/elsewhere\"",
    ])
    .await;
    let said = check(&place, &["--offline"]).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    line(&said, "warning", "subscriptions", "calls: a callRecord is not known to tell of deleted");
    line(&said, "warning", "subscriptions", "cats: /cats is of no type that is known here");
    line(&said, "warning", "subscriptions", "long: a lifetime of 40 d, and Graph is known to allow 29 d");
    line(&said, "failed", "subscriptions", "long: the path /elsewhere of its lifecycle_url");
    line(&said, "ok", "subscriptions", "/subscriptions can be ");
    assert!(place.stand.api.journal().is_empty());
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_told_of() {
    let stand = Stand::open().await;
    let files = Authority::generate().write_into(stand.files.path());
    let configuration = configuration(&stand, &[SALES]).set("graph", "directory", "\"/dev/null/state\"");
    let file = unstarted(&stand, &configuration, &files);
    let output = run(&["check", "--offline", "--config", file.to_str().expect("UTF-8")], &[]).await;
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.lines().any(|line| line.starts_with("failed   subscriptions  /dev/null")), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
