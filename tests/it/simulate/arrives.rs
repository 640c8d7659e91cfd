//! What is sent arrives as it was told.

use std::collections::BTreeSet;
use std::fs;

use graphhook::simulate::template::Template;
use serde_json::Value;

use super::{Desk, objects, said};

/// The distinct values of a member, in order.
fn distinct(items: &[Value], name: &str) -> Vec<String> {
    let values = items.iter().map(|item| item[name].as_str().unwrap_or("none").to_owned());
    values.collect::<BTreeSet<_>>().into_iter().collect()
}

async fn taken(desk: &Desk, many: usize) -> Vec<Value> {
    let messages = desk.queue.take(many).await;
    assert_eq!(desk.queue.count().await, 0);
    messages.iter().map(|message| message.json()).collect()
}

/// Lifecycle items alone: the daemon tells consumers besides what they may have missed.
async fn events(desk: &Desk, many: usize) -> Vec<Value> {
    let mut events = Vec::new();
    while events.len() < many {
        let message = desk.queue.take(1).await.remove(0);
        if message.kind == "lifecycle" {
            events.push(message.json());
        }
    }
    events
}

#[tokio::test]
async fn every_template_arrives_byte_for_byte_under_its_key() {
    let desk = Desk::open().await;
    let file = desk.daemon.directory().join("payload.json");
    let expected = [
        ("message", "notification.message.updated"),
        ("event", "notification.event.updated"),
        ("contact", "notification.contact.updated"),
        ("user", "notification.user.updated"),
        ("group", "notification.group.updated"),
        ("driveItem", "notification.driveitem.updated"),
        ("driveItem-eventGrid", "notification.driveitem.unknown"),
        ("list", "notification.listitem.updated"),
        ("presence", "notification.presence.updated"),
        ("callRecord", "notification.callrecord.updated"),
        ("chatMessage", "notification.chatmessage.updated"),
        ("alert", "notification.alert.updated"),
        ("future", "notification.message.unknownFutureValue"),
        ("lifecycle", "lifecycle.subscription.reauthorizationRequired"),
        ("lifecycle-documented", "lifecycle.subscription.reauthorizationRequired"),
        ("lifecycle-tokens", "lifecycle.subscription.reauthorizationRequired"),
    ];
    let mut keys = Vec::new();
    for (name, _) in expected {
        let change = if name.starts_with("lifecycle") { "reauthorizationRequired" } else { "updated" };
        let printed = desk.simulate("notify", &["--resource", name, "--change", change, "--print"]).await;
        assert_eq!(printed.status.code(), Some(0), "{name}");
        let body = String::from_utf8(printed.stdout).expect("text");
        fs::write(&file, body.trim_end()).expect("written");
        let ca = desk.daemon.ca().to_str().expect("UTF-8");
        let file = file.to_str().expect("UTF-8");
        let url = format!("https://{}/graph/notifications", desk.daemon.public());
        let sent = ["simulate", "notify", &url, "--ca", ca, "--body", file];
        let output = crate::support::daemon::run(&sent, &[]).await;
        assert_eq!(output.status.code(), Some(0), "{}", super::everything(&output));
        let messages = desk.queue.take(1).await;
        let message = &messages[0];
        let item = body.trim_end().strip_prefix(r#"{"value":["#).and_then(|item| item.strip_suffix("]}"));
        assert_eq!(Some(message.body.as_ref()), item.map(str::as_bytes), "{name}");
        keys.push((name, message.routing_key.clone()));
    }
    assert_eq!(keys, expected.map(|(name, key)| (name, key.to_owned())));
    assert_eq!(Template::names().count(), 16, "a template is not in this list");
}

#[tokio::test]
async fn a_batch_is_mixed_and_a_subscription_stays_what_it_is() {
    let desk = Desk::open().await;
    let more = ["--items", "24", "--subscriptions", "6", "--tenants", "2", "--resources", "message,event"];
    let told = desk.passes("batch", &more).await;
    assert!(told.contains("24 items  delivered\n1 POST: all delivered\n"), "{told}");
    let items = taken(&desk, 24).await;
    let many = ["id", "subscriptionId", "tenantId", "changeType"].map(|name| distinct(&items, name).len());
    assert_eq!(many, [24, 6, 2, 3]);
    for subscription in distinct(&items, "subscriptionId") {
        let of: Vec<Value> =
            items.iter().filter(|item| item["subscriptionId"] == *subscription).cloned().collect();
        let kinds: BTreeSet<String> =
            of.iter().map(|item| item["resourceData"]["@odata.type"].to_string()).collect();
        assert_eq!((of.len(), kinds.len(), distinct(&of, "tenantId").len()), (4, 1, 1), "{subscription}");
    }
}

#[tokio::test]
async fn flags_say_what_stands_in_items() {
    let desk = Desk::open().await;
    let told = desk
        .passes(
            "notify",
            &[
                "--tenant",
                "a-tenant",
                "--subscription",
                "one",
                "--subscription",
                "two",
                "--user",
                "a-user",
                "--change",
                "deleted",
                "--items",
                "3",
                "--count",
                "2",
                "--size",
                "2KiB",
                "--json",
                "--pause",
                "1ms",
            ],
        )
        .await;
    let posts = objects(&told);
    assert_eq!(posts.len(), 2);
    for (number, post) in posts.iter().enumerate() {
        assert_eq!(
            (&post["post"], &post["items"], &post["status"]),
            (&(number + 1).into(), &3.into(), &202.into())
        );
        assert_eq!((&post["delivered"], &post["consequence"]), (&true.into(), &"delivered".into()));
        assert!(post["took_ms"].as_f64().is_some_and(|took| took > 0.0));
    }
    let messages = desk.queue.take(6).await;
    assert!(messages.iter().all(|message| message.body.len() == 2048));
    let items: Vec<Value> = messages.iter().map(|message| message.json()).collect();
    assert_eq!(distinct(&items, "subscriptionId"), ["one", "two"]);
    assert_eq!(distinct(&items, "tenantId"), ["a-tenant"]);
    assert_eq!(distinct(&items, "changeType"), ["deleted"]);
    assert!(items.iter().all(|item| item["resource"].as_str().is_some_and(|path| path.contains("a-user"))));

    desk.passes("notify", &["--no-id"]).await;
    assert_eq!(taken(&desk, 1).await[0].get("id"), None);
    desk.passes("notify", &["--id", "again", "--count", "2"]).await;
    assert_eq!(distinct(&taken(&desk, 2).await, "id"), ["again"]);
}

#[tokio::test]
async fn lifecycle_events_come_in_both_forms_and_by_any_name() {
    let desk = Desk::open().await;
    let told = desk.passes("lifecycle", &[]).await;
    assert!(told.ends_with("3 POSTs: all delivered\n"), "{told}");
    let wild = events(&desk, 3).await;
    assert_eq!(
        distinct(&wild, "lifecycleEvent"),
        ["missed", "reauthorizationRequired", "subscriptionRemoved"]
    );
    assert!(wild.iter().all(|item| item["organizationId"].is_string() && item["tenantId"].is_null()));

    let told = desk.passes("lifecycle", &["--all", "--documented", "--json"]).await;
    assert_eq!(objects(&told)[0]["items"], 3);
    let documented = events(&desk, 3).await;
    assert!(documented.iter().all(|item| item["tenantId"].is_string() && item["resource"].is_null()));

    desk.passes("lifecycle", &["--event", "somethingNew"]).await;
    assert_eq!(distinct(&events(&desk, 1).await, "lifecycleEvent"), ["somethingNew"]);
}

#[tokio::test]
async fn items_of_ones_own_are_filled_in() {
    let desk = Desk::open().await;
    let file = desk.daemon.directory().join("own.json");
    let path = file.to_str().expect("UTF-8");
    let own = r#"{ "id": "{{id}}", "clientState": "{{client_state}}", "subscriptionId": "{{subscription_id}}",
        "changeType": "{{change}}", "resource": "own/{{number}}", "n": {{number}} }"#;
    fs::write(&file, own).expect("written");
    desk.passes("notify", &["--template", path, "--items", "2"]).await;
    let items = taken(&desk, 2).await;
    assert_eq!(items.iter().map(|item| item["n"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert_eq!(items[1]["resource"], "own/2");

    for (text, words) in
        [("{\"a\": \"{{secret}}\"}", "{{secret}} is no placeholder"), ("[]", "not one JSON object")]
    {
        fs::write(&file, text).expect("written");
        let output = desk.simulate("notify", &["--template", path]).await;
        assert_eq!(output.status.code(), Some(2));
        assert!(super::everything(&output).contains(words), "{}", super::everything(&output));
    }
}

#[tokio::test]
async fn a_storm_arrives_whole() {
    let desk = Desk::open().await;
    let more = ["--count", "100", "--connections", "4", "--items", "3"];
    let told = desk.passes("storm", &more).await;
    assert!(told.starts_with("notifications  300 planned, 300 sent, 300 delivered; "), "{told}");
    assert!(told.contains("100: 100 × 202\n") && told.contains("passed         300 of 300"), "{told}");
    assert_eq!(distinct(&taken(&desk, 300).await, "id").len(), 300);

    let output = desk.simulate("storm", &[&more[..], &["--json"]].concat()).await;
    let report: Value = serde_json::from_str(&said(&output)).expect("a JSON object");
    assert_eq!((&report["passed"], &report["requests"]["status"]["202"]), (&true.into(), &100.into()));
}
