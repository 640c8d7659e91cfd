//! Tables: items and the messages they become.

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::{config::ClientState, notification::Batch, secret::Secret, verify::Verifier};

fn arrival() -> Arrival {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_780_315_200_123);
    Arrival::at(at)
}

fn address(items: &str, template: &str, policy: ClientStatePolicy) -> Vec<Envelope> {
    address_all(&Bytes::from(format!(r#"{{"value":[{items}]}}"#)), template, policy)
}

fn address_all(body: &Bytes, template: &str, policy: ClientStatePolicy) -> Vec<Envelope> {
    let secret = Secret::new("x".to_owned());
    let table = [ClientState {
        name: "ma il".to_owned(),
        secret,
        subscriptions: [].into(),
        tenants: [].into(),
        silent_after: None,
    }];
    let verified = Verifier::new(&table).verify(Batch::parse(body, 100).expect("a batch"));
    Router::new(Template::parse(template).expect(template), policy).address(&verified, body, arrival(), None)
}

fn envelope(members: &str) -> Envelope {
    let item = format!(r#"{{"subscriptionId":"s","clientState":"x"{members}}}"#);
    address(&item, "{kind}.{resource_type}.{change}", ClientStatePolicy::Keep).remove(0)
}

#[track_caller]
fn check_key(template: &str, members: &str, expected: &str) {
    let item = format!(r#"{{"subscriptionId":"s","clientState":"x"{members}}}"#);
    let envelope = address(&item, template, ClientStatePolicy::Keep).remove(0);
    assert_eq!(envelope.routing_key.as_str(), expected, "{members}");
}

#[test]
fn routing_keys() {
    let default = "{kind}.{resource_type}.{change}";
    for (members, expected) in [
        (
            r##","changeType":"created","resourceData":{"@odata.type":"#Microsoft.Graph.Message"}"##,
            "notification.message.created",
        ),
        (
            r##","changeType":"updated","resourceData":{"@odata.type":"#Microsoft.Graph.ChatMessage"}"##,
            "notification.chatmessage.updated",
        ),
        (r##","changeType":"updated","resourceData":{"@odata.type":"#user"}"##, "notification.user.updated"),
        (r##","resourceData":{"@odata.type":"#Microsoft.Graph."}"##, "notification.unknown.unknown"),
        (r#","changeType":"a.b#*c","resourceData":null"#, "notification.unknown.a_b__c"),
        (r#","changeType":"créé""#, "notification.unknown.cr__"),
        (
            r##","lifecycleEvent":"missed","resourceData":{"@odata.type":"#microsoft.graph.subscription"}"##,
            "lifecycle.subscription.missed",
        ),
        (r#","lifecycleEvent":"missed""#, "lifecycle.subscription.missed"),
    ] {
        check_key(default, members, expected);
    }
    check_key("a.{tenant_id}.{subscription_id}-{client_state}", r#","tenantId":"T-1""#, "a.T-1.s-ma_il");
    check_key("{tenant_id}", "", "unknown");
    check_key("fixed", "", "fixed");
    check_key("", "", "");
}

#[test]
fn long_keys_are_cut_between_characters() {
    let long = "é".repeat(200);
    check_key(&format!("{long}.{{kind}}"), "", &"é".repeat(127));
    check_key("{tenant_id}", &format!(r#","tenantId":"{}""#, "t".repeat(300)), &"t".repeat(255));
}

#[test]
fn templates_that_are_none() {
    for (text, expected) in [
        ("{", routing::TemplateError::Unbalanced),
        ("a}b", routing::TemplateError::Unbalanced),
        ("{kind", routing::TemplateError::Unbalanced),
        ("{knd}", routing::TemplateError::Unknown("knd".to_owned())),
        ("{}", routing::TemplateError::Unknown(String::new())),
    ] {
        assert_eq!(Template::parse(text), Err(expected), "{text}");
    }
    assert_eq!(Template::parse("{kind}.{resource_type}.{change}"), Ok(Template::default()));
}

#[test]
fn message_ids() {
    assert_eq!(envelope(r#","id":"n-1""#).message_id.as_str(), "n-1");
    assert_eq!(envelope(r#","id":"\u006e-1""#).message_id.as_str(), "n-1");
    let data = r#","changeType":"updated","resource":"r","resourceData":{"@odata.etag":"W/1","id":"m"}"#;
    let digest = envelope(data).message_id;
    assert_eq!(digest.as_str().len(), "sha256:".len() + 32);
    // SHA-256 over `"s"`, `"updated"`, `"r"` and the raw resourceData, a zero byte between each two.
    assert_eq!(digest.as_str(), "sha256:bf0116548e368329312ccf17ac4d4302");
    assert_eq!(envelope(data).message_id, digest, "repeated");
    for (other, why) in [
        (data.replace("W/1", "W/2"), "another etag"),
        (data.replace("updated", "created"), "another change"),
        (data.replace("\"r\"", "\"q\""), "another resource"),
    ] {
        assert_ne!(envelope(&other).message_id, digest, "{why}");
    }
    for unusable in ["", r#"a\u0000b"#, r#"\u0007"#, &"a".repeat(256)] {
        assert_eq!(envelope(&format!(r#","id":"{unusable}"{data}"#)).message_id, digest, "{unusable}");
    }
    assert_eq!(envelope(&format!(r#","id":7{data}"#)).message_id, digest);
}

#[test]
fn without_anything_to_tell_repetitions_ids_are_fresh() {
    for members in [r#","resourceData":{"id":"m","@odata.etag":null}"#, r#","resourceData":null"#, ""] {
        let (one, two) = (envelope(members).message_id, envelope(members).message_id);
        assert_ne!(one, two, "{members}");
        assert_eq!(one.as_str().len(), 36);
    }
}

#[test]
fn the_body_is_the_item_byte_for_byte() {
    let items = [
        "{\"subscriptionId\":\"s\", \"clientState\":\"x\",\n\"n\":1.10}",
        r#"{"clientState":"x","subscriptionId":"t","z":"\u0000"}"#,
    ];
    let envelopes = address(&items.join(" , "), "", ClientStatePolicy::Keep);
    assert_eq!(envelopes.len(), 2);
    for (envelope, item) in envelopes.iter().zip(items) {
        assert_eq!(envelope.body, item.as_bytes());
    }
}

#[test]
fn a_body_keeps_little_else_in_memory() {
    let is_slice = |bytes: usize, others: usize| {
        let item = format!(r#"{{"subscriptionId":"s","clientState":"x","words":"{}"}}"#, "x".repeat(bytes));
        let body = Bytes::from(format!(r#"{{"value":[{item}],"more":"{}"}}"#, "x".repeat(others)));
        let envelopes = address_all(&body, "{change}", ClientStatePolicy::Keep);
        assert_eq!(envelopes[0].body, item);
        body.as_ptr_range().contains(&envelopes[0].body.as_ptr())
    };
    assert!(is_slice(20_000, 0), "most of what was read is the item");
    assert!(!is_slice(20_000, 80_000), "most of the body is something else");
    assert!(!is_slice(500, 0), "what was read may be a large buffer");
}

#[test]
fn redaction_touches_the_secret_and_nothing_else() {
    for (item, expected) in [
        (
            r#"{"subscriptionId":"s", "clientState" : "x" ,"n":1.10}"#,
            r#"{"subscriptionId":"s", "clientState" : null ,"n":1.10}"#,
        ),
        (
            r#"{"clientState":"\u0078","subscriptionId":"s","a":{"clientState":"x"}}"#,
            r#"{"clientState":null,"subscriptionId":"s","a":{"clientState":"x"}}"#,
        ),
        (
            r#"{"clientState":"x","subscriptionId":"s","clientState":"\u0078"}"#,
            r#"{"clientState":null,"subscriptionId":"s","clientState":null}"#,
        ),
    ] {
        assert_eq!(address(item, "", ClientStatePolicy::Redact)[0].body, expected.as_bytes());
    }
}

#[test]
fn headers_are_the_items_own_words() {
    let members = r##","tenantId":"t","changeType":"created","resource":"Users/ü","resourceData":{"@odata.type":"#Microsoft.Graph.Message"},"encryptedContent":{"data":"="}"##;
    let properties = envelope(members).properties;
    let header = |name: &str| {
        properties.headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    };
    for (name, expected) in [
        ("graph-subscription-id", Some("s")),
        ("graph-tenant-id", Some("t")),
        ("graph-change-type", Some("created")),
        ("graph-lifecycle-event", None),
        ("graph-resource", Some("Users/ü")),
        ("graph-resource-type", Some("#Microsoft.Graph.Message")),
        ("graphhook-client-state", Some("ma il")),
        ("graphhook-received-at", Some("2026-06-01T12:00:00.123Z")),
        ("graphhook-resource-data", Some("encrypted")),
    ] {
        assert_eq!(header(name), expected, "{name}");
    }
    assert_eq!(properties.timestamp, 1_780_315_200);
}

#[test]
fn empty_and_huge_members_give_no_header() {
    let properties =
        envelope(&format!(r#","changeType":"","resource":"{}","tenantId":null"#, "r".repeat(1025)))
            .properties;
    let names: Vec<_> = properties.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(
        names,
        [
            "graph-subscription-id",
            "graphhook-resource-data",
            "graphhook-received-at",
            "graphhook-request-id",
            "graphhook-client-state"
        ]
    );
}

proptest! {
    #[test]
    fn keys_are_short_and_words_are_safe(change in "\\PC{0,300}", kind in "\\PC{0,40}") {
        let item = serde_json::json!({"subscriptionId": "s", "clientState": "x", "changeType": change, "resourceData": {"@odata.type": kind}});
        let envelope = address(&item.to_string(), "{resource_type}.{change}", ClientStatePolicy::Keep).remove(0);
        let key = envelope.routing_key.as_str();
        prop_assert!(key.len() <= 255);
        prop_assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{}", key);
        prop_assert_eq!(key.matches('.').count(), 1);
    }

    #[test]
    fn every_id_fits_into_amqp(id in "\\PC{0,400}") {
        let item = serde_json::json!({"subscriptionId": "s", "clientState": "x", "id": id});
        let envelope = address(&item.to_string(), "", ClientStatePolicy::Keep).remove(0);
        prop_assert!((1..=255).contains(&envelope.message_id.as_str().len()));
    }
}
