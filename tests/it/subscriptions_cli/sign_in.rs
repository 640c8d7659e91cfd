//! A user signs in.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::{Place, directory};

#[tokio::test]
async fn a_user_signs_in_once() {
    let place = Place::with(&[], |configuration| {
        let configuration = configuration.set("graph", "sign_in", "\"device_code\"");
        configuration.set("graph", "scopes", "[\"Presence.Read.All\"]")
    })
    .await;
    let said = place.run(&["list"]).await;
    assert!(said.bad(1).contains("graphhook subscriptions sign-in"), "{}", said.err);

    place.stand.api.set(|settings| settings.device_polls = Some(1));
    let said = place.run(&["sign-in", "--json"]).await;
    let lines = said.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let code = lines[0]["prompt"]["code"].as_str().expect("a code").to_owned();
    assert!(lines[0]["prompt"]["url"].as_str().is_some_and(|url| url.starts_with("https://")));
    assert!(lines[1]["signed_in"]["scopes"].as_array().is_some_and(|scopes| !scopes.is_empty()), "{lines:?}");
    let token = directory(&place.stand).join("refresh-token");
    let mode = fs::metadata(&token).expect("it is kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = fs::read_to_string(&token).expect("text");
    assert!(!said.out.contains(kept.trim()) && !kept.contains(&code));
    assert_eq!(place.run(&["list", "--json"]).await.lines(), Vec::<Value>::new());

    let said = place.run(&["sign-in"]).await;
    assert!(said.good().starts_with("open https://") && said.out.contains("signed in, for "), "{}", said.out);
}

#[tokio::test]
async fn an_app_needs_no_user() {
    let place = Place::open(&[]).await;
    let said = place.run(&["sign-in"]).await;
    assert!(said.bad(1).contains("no user signs in"), "{}", said.err);
}
