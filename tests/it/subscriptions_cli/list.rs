//! What there is, and whose it is.

use graphhook::simulate::api::{Fault, Operation};
use hyper::Method;
use serde_json::{Value, json};

use super::{Place, SALES};
use crate::support::api::ahead;
use crate::support::clock::Clock;

/// A subscription that somebody else's program of the same app makes.
async fn foreign(place: &Place, resource: &str, url: &str) -> String {
    let token = place.stand.token().await;
    let body = json!({
        "changeType": "updated", "notificationUrl": url, "resource": resource,
        "expirationDateTime": ahead(&place.stand.api, 55), "clientState": "of somebody else",
    });
    let made = place.stand.call(&token, Method::POST, "/v1.0/subscriptions", &body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["id"].as_str().expect("an id").to_owned()
}

fn url(place: &Place, query: &str) -> String {
    format!("https://{}/graph/notifications{query}", place.daemon.public())
}

fn one<'a>(lines: &'a [Value], key: &str, value: &str) -> &'a Value {
    let found = lines.iter().find(|line| line[key] == value);
    found.unwrap_or_else(|| panic!("no {key} {value} in {lines:#?}"))
}

#[tokio::test]
async fn every_page_is_shown_with_whose_it_is() {
    let place =
        Place::open(&[SALES, "name = \"late\"\nresource = \"/groups\"\nchange_types = [\"updated\"]"]).await;
    place.stand.api.set(|settings| settings.page_size = 1);
    place.run(&["create", "sales", "--no-wait"]).await.good();
    let hand =
        ["create", "--resource", "/users", "--change-types", "updated", "--name", "people", "--no-wait"];
    place.run(&hand).await.good();
    let unknown = foreign(&place, "/users/b@contoso.com/events", &url(&place, "")).await;
    let stranger = foreign(&place, "/users/c@contoso.com/events", &url(&place, "?somebody=else")).await;

    let lines = place.run(&["list", "--json"]).await.lines();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    for (key, value, whose) in [
        ("name", "sales", "wanted"),
        ("name", "people", "by_hand"),
        ("name", "late", "wanted"),
        ("id", &unknown, "unknown"),
        ("id", &stranger, "stranger"),
    ] {
        assert_eq!(one(&lines, key, value)["whose"], whose);
    }
    let (sales, late) = (one(&lines, "name", "sales"), one(&lines, "name", "late"));
    assert_eq!(sales["at_graph"], true);
    assert_eq!(sales["change_types"], json!(["created"]));
    assert_eq!(sales["client_state"], "sales");
    assert_eq!((&late["at_graph"], &late["id"]), (&json!(false), &Value::Null));
    assert_eq!(one(&lines, "id", &stranger)["name"], Value::Null);
    let ours = place.run(&["list", "--json", "--ours"]).await.lines();
    assert_eq!(ours.len(), 3);

    let table = place.run(&["list"]).await;
    let text = table.good();
    assert!(text.starts_with("NAME    ID "), "{text}");
    let row = text.lines().find(|row| row.starts_with("sales ")).expect("a row");
    assert!(row.contains("  in 6 d 2") && row.contains("  wanted"), "{row}");
    let row = text.lines().find(|row| row.starts_with("late ")).expect("a row");
    assert!(row.contains("  not at Graph ") && row.ends_with("  wanted"), "{row}");
    let row = text.lines().find(|row| row.contains(&stranger)).expect("a row");
    assert!(row.starts_with("-  ") && row.contains("in 5") && row.contains("  stranger"), "{row}");
    assert!(table.err.contains("4 subscriptions, 1 of others; 1 not at Graph"), "{}", table.err);
}

#[tokio::test]
async fn what_has_ended_is_shown_so() {
    let place = Place::open(&[SALES]).await;
    let id = foreign(&place, "/users/b@contoso.com/events", &url(&place, "?x")).await;
    // It ends in 55 minutes, and here they are over: Graph lists what has ended for a while.
    let clock = Clock::right();
    clock.set_ahead(56 * 60);
    let row = place.run_by(&clock, &["list"]).await;
    let row = row.good().lines().find(|row| row.contains(&id)).expect("a row").to_owned();
    assert!(row.contains("  ended ") && row.contains(" ago "), "{row}");
    let lines = place.run_by(&clock, &["list", "--json"]).await.lines();
    assert_eq!(one(&lines, "id", &id)["ended"], true);
}

#[tokio::test]
async fn one_is_shown_by_name_and_by_id() {
    let place = Place::open(&[SALES]).await;
    place.run(&["create", "sales", "--no-wait"]).await.good();
    let id = place.only();
    let by_name = place.run(&["get", "sales"]).await;
    let text = by_name.good();
    for words in [
        "name           sales\n",
        &format!("id             {id}\n"),
        "whose          wanted\n",
        "changes        created\n",
        "ends           in 6 d 2",
        "Graph has the one that is known here\n",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    let by_id = place.run(&["get", &id, "--json"]).await.json();
    assert_eq!((&by_id["name"], &by_id["graph_shows"]), (&json!("sales"), &json!("ours")));
    assert!(by_id["expires_at"].as_str().is_some_and(|end| end.ends_with('Z')));
    place.stand.api.set(|settings| settings.shows_client_state = false);
    assert_eq!(place.run(&["get", "sales", "--json"]).await.json()["graph_shows"], "nothing");

    assert!(place.run(&["get", "no such name"]).await.bad(1).contains("no subscription has this name"));
    let nobody = place.run(&["get", "7f105c7d-2dc5-4530-97cd-4e7ae6534c07"]).await;
    assert!(nobody.bad(1).contains("there is no such subscription: 404"), "{}", nobody.err);
    place.stand.api.lose(&id);
    let gone = place.run(&["get", "sales"]).await;
    assert!(gone.bad(1).contains("sales has ended, or somebody has deleted it"), "{}", gone.err);
}

#[tokio::test]
async fn graphs_errors_are_explained() {
    let place = Place::open(&[SALES]).await;
    place.stand.api.fail(Fault::status(Operation::List, 403));
    let said = place.run(&["list"]).await;
    let words = said.bad(1);
    assert!(words.contains("a permission is missing: `graphhook check`"), "{words}");
    assert!(words.contains("request-id") && words.contains("client-request-id"), "{words}");
}

#[tokio::test]
async fn the_table_of_resources_needs_no_graph() {
    let place =
        Place::with(&[], |configuration| configuration.set("graph", "lifetimes", "{ message = \"2days\" }"))
            .await;
    let text = place.run(&["resources"]).await;
    let text = text.good();
    let row = |name: &str| {
        let row = text.lines().find(|row| row.starts_with(name)).expect(name).to_owned();
        row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        row("message "),
        ["message", "created,updated,deleted", "7 d", "2 d *", "with $select", "Mail.Read", "Mail.ReadBasic"]
    );
    assert_eq!(row("presence ")[6], "users only");
    let lines = place.run(&["resources", "--json"]).await.lines();
    assert!(lines.len() > 25, "{}", lines.len());
    let chat = place.run(&["resources", "chatmessage", "--json"]).await.lines();
    assert_eq!(chat.len(), 1);
    assert_eq!(chat[0]["type"], "chatMessage");
    assert_eq!(chat[0]["lifecycle_url_above_seconds"], 3600);
    assert_eq!(chat[0]["is_overridden"], false);
    let one = place.run(&["resources", "message"]).await;
    assert!(one.good().contains("asked for      2 d *\n"), "{}", one.out);
    assert!(place.run(&["resources", "cats"]).await.bad(1).contains("no type of resource"));
    assert!(place.stand.api.journal().is_empty());
}
