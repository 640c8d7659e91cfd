//! Subscriptions that are made by hand: wanted ones, and others.

use graphhook::simulate::api::{Cut, Fault, Operation};
use serde_json::json;

use super::{Place, SALES};
use crate::support::daemon::CLIENT_STATE;

const PEOPLE: [&str; 7] = ["create", "--resource", "/users", "--change-types", "updated", "--name", "people"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&PEOPLE, more].concat()
}

#[tokio::test]
async fn a_clientstate_is_made_kept_and_believed_before_graph_is_asked() {
    let place = Place::open(&[SALES]).await;
    place.stand.api.set(|settings| settings.overtakes = true);
    let made = place.run(&["create", "sales"]).await;
    let text = made.good();
    assert!(text.contains("name           sales\n") && text.contains("ends           in 6 d"), "{text}");
    let held = place.stand.api.subscriptions();
    assert_eq!(held[0].id, place.only());
    let state = place.state();
    let kept = &state["kept"][0];
    assert_eq!((&kept["name"], &kept["by_hand"]), (&json!("sales"), &json!(false)));
    assert_eq!(kept["live"]["id"], place.only().as_str());
    let client_state = kept["client_state"].as_str().expect("a clientState");
    assert_eq!(client_state.len(), 43, "32 bytes in base64url");
    // The first notification came before Graph's answer, and is in the queue.
    assert_eq!(place.next_entry().await, "sales");
    place
        .daemon
        .eventually_metric("graphhook_notifications_outcome_total{outcome=\"refused\"}", |n| n == 0.0)
        .await;

    let again = place.run(&["create", "sales"]).await;
    assert!(again.bad(1).contains("there is sales already"), "{}", again.err);
    assert_eq!(place.calls(Operation::Create), 1);
}

#[tokio::test]
async fn one_that_nobody_wants_is_made_as_it_is_described() {
    let place = Place::open(&[]).await;
    let dry = place.run(&with(&["--dry-run"])).await;
    assert!(dry.good().starts_with("would send POST /v1.0/subscriptions\n"), "{}", dry.out);
    assert!(dry.out.contains("\"clientState\": \"[secret]\""), "{}", dry.out);
    let dry = place.run(&with(&["--dry-run", "--json"])).await.json();
    assert_eq!(dry["would_send"]["body"]["resource"], "/users");
    assert_eq!((place.changes(), place.state()), (0, serde_json::Value::Null), "a dry run leaves no trace");

    let lifetime = with(&["--lifetime", "2days", "--json"]);
    let made = place.run(&lifetime).await.json();
    assert_eq!((&made["created"]["whose"], &made["created"]["name"]), (&json!("by_hand"), &json!("people")));
    assert_eq!(made["created"]["id"], place.only().as_str());
    assert!(made.get("client_state_secret").is_none());
    let end =
        humantime::parse_rfc3339(made["created"]["expires_at"].as_str().expect("an end")).expect("a time");
    let left = end.duration_since(place.stand.api.now()).expect("in the future").as_secs();
    assert!((172_700..=172_800).contains(&left), "{left}");

    // One of the table needs nobody's attention, and nothing is waited for.
    let entry = [
        "create",
        "--resource",
        "/groups",
        "--change-types",
        "updated,deleted",
        "--client-state",
        CLIENT_STATE,
        "--admin",
        "127.0.0.1:1",
    ];
    place.run(&entry).await.good();
    let named = place.state()["kept"][1]["name"].as_str().expect("a name").to_owned();
    assert!(named.starts_with("group-20"), "{named}");
    let id = place.state()["kept"][1]["live"]["id"].as_str().expect("an id").to_owned();
    place.stand.api.notify(&id, 1).await.expect("it is sent");
    assert_eq!(place.next_entry().await, CLIENT_STATE);
}

#[tokio::test]
async fn a_clientstate_is_shown_to_who_asks_for_it() {
    let place = Place::open(&[]).await;
    let arguments = [&["subscriptions"], with(&["--show-client-state"]).as_slice()].concat();
    let said = place.run_openly(&arguments).await;
    let secret = place.state()["kept"][0]["client_state"].as_str().expect("a clientState").to_owned();
    assert!(said.good().contains(&secret), "{}", said.out);
    assert!(!place.daemon.log().contains(&secret));
}

#[tokio::test]
async fn nothing_is_made_that_nobody_would_believe() {
    let place = Place::open(&[]).await;
    let said = place.run(&with(&["--admin", "127.0.0.1:1"])).await;
    assert!(said.bad(1).contains("--no-wait"), "{}", said.err);
    assert_eq!(place.calls(Operation::Create), 0);
    assert_eq!(place.state()["kept"], json!([]));
}

#[tokio::test]
async fn what_graph_refuses_is_taken_back_and_explained() {
    let place = Place::open(&[SALES]).await;
    let elsewhere = with(&["--notification-url", "https://127.0.0.1:1/graph/notifications"]);
    let said = place.run(&elsewhere).await;
    assert!(said.bad(1).contains("did not get its token back"), "{}", said.err);
    assert_eq!(place.state()["kept"], json!([]), "nothing is kept of it");

    let said = place.run(&with(&["--lifetime", "59days"])).await;
    assert!(said.bad(1).contains("ask for less: `graphhook subscriptions resources`"), "{}", said.err);
    place.stand.api.set(|settings| settings.quota = 0);
    let said = place.run(&PEOPLE).await;
    assert!(said.bad(1).contains("delete what nobody needs"), "{}", said.err);
    place.stand.api.set(|settings| settings.quota = 10);

    place.run(&PEOPLE).await.good();
    let id = place.only();
    let twin = ["create", "--resource", "users", "--change-types", "updated", "--name", "twin"];
    let said = place.run(&twin).await;
    assert!(said.bad(1).contains(&format!("{id} is in the way")), "{}", said.err);
    assert_eq!(place.state()["kept"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_one() {
    let place = Place::open(&[]).await;
    place.stand.api.fail(Fault::cut(Operation::Create, Cut::After));
    place.run(&PEOPLE).await.good();
    assert_eq!(place.state()["kept"][0]["live"]["id"], place.only().as_str());
}

#[tokio::test]
async fn wrong_usage_is_told_apart() {
    let place = Place::open(&[SALES]).await;
    for (arguments, words) in [
        (vec!["create"], "NAME"),
        (vec!["create", "--resource", "/users"], "--change-types"),
        (vec!["create", "sales", "--lifetime", "2h"], "--resource"),
        (vec!["create", "--resource", "/users", "--change-types", "born"], "expected created"),
        (with(&["--lifetime", "5min"]), "lifetime (command line): expected 45 minutes to 60 days"),
        (with(&["--notification-url", "http://example.com/"]), "expected an https:// URL"),
        (with(&["--client-state", "nobody"]), "no entry of client_states is named"),
        (with(&["--name", "sales"]), "cannot be used multiple times"),
        (
            vec!["create", "--resource", "/users", "--change-types", "updated", "--name", "sales"],
            "another entry has this name",
        ),
        (vec!["renew", "sales", "--for", "70days"], "60 days"),
    ] {
        let said = place.run(&arguments).await;
        assert!(said.bad(2).contains(words), "{arguments:?}: {}", said.err);
    }
    let said = place.run(&["create", "nobody"]).await;
    assert!(said.bad(1).contains("no entry of [[subscriptions]] is named \"nobody\""), "{}", said.err);
    assert!(place.stand.api.journal().is_empty());
}
