//! Renewal, reauthorization and the end.

use graphhook::simulate::api::Operation;
use serde_json::json;

use super::{Place, SALES};

async fn with_sales() -> Place {
    let place = Place::open(&[SALES]).await;
    place.run(&["create", "sales", "--no-wait"]).await.good();
    place
}

#[tokio::test]
async fn a_renewal_counts_as_graph_answers_it() {
    let place = with_sales().await;
    let before = place.state()["kept"][0]["live"]["expires_at"].as_u64().expect("an end");
    let dry = place.run(&["renew", "sales", "--for", "2days", "--dry-run", "--json"]).await.json();
    assert_eq!(dry["would_send"]["method"], "PATCH");
    assert!(dry["would_send"]["body"]["expirationDateTime"].is_string());
    assert_eq!(place.calls(Operation::Update), 0);

    let said = place.run(&["renew", "sales", "--for", "2days"]).await;
    assert!(said.good().contains(&format!("renewed sales ({}): ends in ", place.only())), "{}", said.out);
    let live = place.state()["kept"][0]["live"].clone();
    assert!(live["expires_at"].as_u64().is_some_and(|end| end < before), "{live}");
    assert!(place.state()["kept"][0]["patched_at"][1].as_bool().expect("it is done"));
    // Without a time it is what the table says, and what is below 45 minutes becomes that.
    let said = place.run(&["renew", &place.only(), "--json"]).await.json();
    assert!(said["renewed"]["expires_at"].is_string() && said["renewed"]["name"] == "sales", "{said}");
    let said = place.run(&["renew", "sales", "--for", "5min"]).await;
    assert!(said.good().contains("ends in 44 min") || said.out.contains("ends in 45 min"), "{}", said.out);
    let said = place.run(&["renew", "sales", "--for", "30days"]).await;
    assert!(said.bad(1).contains("ask for less"), "{}", said.err);
}

#[tokio::test]
async fn a_patch_and_a_reauthorize_are_kept_apart() {
    let place = with_sales().await;
    place.run(&["renew", "sales"]).await.good();
    let said = place.run(&["reauthorize", "sales"]).await;
    assert!(said.bad(1).contains("had a PATCH") && said.err.contains("--force"), "{}", said.err);
    assert_eq!(place.calls(Operation::Reauthorize), 0);
    let said = place.run(&["reauthorize", "sales", "--force", "--dry-run"]).await;
    assert!(said.good().starts_with("would send POST /v1.0/subscriptions/"), "{}", said.out);
    assert_eq!(place.calls(Operation::Reauthorize), 0);
    let said = place.run(&["reauthorize", "sales", "--force", "--json"]).await.json();
    assert_eq!(said["reauthorized"], json!({ "id": place.only(), "name": "sales" }));
    let said = place.run(&["renew", "sales"]).await;
    assert!(said.bad(1).contains("had a reauthorize"), "{}", said.err);
    assert_eq!((place.calls(Operation::Update), place.calls(Operation::Reauthorize)), (1, 1));
    place.run(&["reauthorize", "sales"]).await.good();
}

#[tokio::test]
async fn an_end_is_asked_for_and_remembered() {
    let place = with_sales().await;
    let id = place.only();
    let said = place.run(&["delete", "sales"]).await;
    assert!(said.bad(2).contains("there is nobody to ask"), "{}", said.err);
    let said = place.run(&["delete", "sales", "--dry-run"]).await;
    assert_eq!(said.good(), format!("would send DELETE /v1.0/subscriptions/{id}\n"));
    assert_eq!(place.calls(Operation::Delete), 0);
    let said = place.run(&["delete", "sales", "--yes"]).await;
    assert_eq!(said.good(), format!("deleted sales ({id})\n"));
    assert!(said.err.contains("the configuration wants it"), "{}", said.err);
    assert!(place.stand.api.subscriptions().is_empty());
    let state = place.state();
    assert_eq!(state["kept"], json!([]));
    assert_eq!((&state["former"][0]["id"], &state["former"][0]["name"]), (&json!(id), &json!("sales")));
    assert!(state["former"][0]["gone_at"].is_u64(), "what it sent may still come: {state}");
    let said = place.run(&["delete", &id, "--yes", "--json"]).await.json();
    assert_eq!(said["deleted"]["was_there"], false);
    let said = place.run(&["delete", "slaes", "--yes"]).await;
    assert!(said.bad(1).contains("no subscription has this name or id"), "{}", said.err);
}
