//! Which of the listed subscriptions is the one that was asked for.

use serde_json::{Value, json};

use super::*;
use crate::{moment::at_unix, secret::Secret};

const APP: &str = "925bff9f-f6e2-4a69-b858-f71ea2b9b6d0";

fn new(is_rich: bool) -> NewSubscription {
    NewSubscription {
        resource: "/users/A/messages".to_owned(),
        change_type: "created,updated".to_owned(),
        notification_url: "https://hooks.example.com/graph".to_owned(),
        lifecycle_notification_url: "https://hooks.example.com/graph".to_owned(),
        expiration_date_time: at_unix(2_000),
        client_state: Secret::new("state".to_owned()),
        include_resource_data: is_rich.then_some(true),
        encryption_certificate: None,
        encryption_certificate_id: None,
        notification_url_app_id: None,
        notification_query_options: None,
        prefer: Vec::new(),
    }
}

fn listed(change: &Value) -> Subscription {
    let mut subscription = json!({
        "id": "id", "resource": "/users/A/messages", "changeType": "created,updated",
        "notificationUrl": "https://hooks.example.com/graph", "expirationDateTime": "1970-01-01T00:30:00Z",
        "applicationId": APP, "clientState": null, "includeResourceData": null,
    });
    let members = change.as_object().expect("an object").clone();
    subscription.as_object_mut().expect("an object").extend(members);
    serde_json::from_value(subscription).expect("a subscription")
}

#[test]
fn the_one_that_was_made_is_new_and_in_all_what_was_asked_for() {
    for (change, expected) in [
        (json!({}), true),
        // As Graph may write it.
        (json!({ "resource": "users/a/Messages", "changeType": "Updated, created" }), true),
        (
            json!({ "notificationUrl": "https://HOOKS.example.com:443/graph", "includeResourceData": false }),
            true,
        ),
        (json!({ "applicationId": APP.to_uppercase() }), true),
        (json!({ "applicationId": null }), true),
        (json!({ "id": "known" }), false),
        (json!({ "resource": "/users/B/messages" }), false),
        (json!({ "changeType": "created" }), false),
        (json!({ "changeType": "created,updated,deleted" }), false),
        (json!({ "notificationUrl": "https://hooks.example.com/other" }), false),
        (json!({ "includeResourceData": true }), false),
        (json!({ "applicationId": "00000003-0000-0000-c000-000000000000" }), false),
        (json!({ "expirationDateTime": "1970-01-01T00:16:40Z" }), false),
    ] {
        let known = HashSet::from(["known".to_owned().into()]);
        assert_eq!(is_it(&listed(&change), &new(false), &known, APP, at_unix(1_000)), expected, "{change}");
    }
    let rich = listed(&json!({ "includeResourceData": true }));
    assert!(is_it(&rich, &new(true), &HashSet::new(), "", at_unix(1_000)));
    assert!(!is_it(&listed(&json!({})), &new(true), &HashSet::new(), "", at_unix(1_000)));
}
