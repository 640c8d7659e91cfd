use serde_json::json;

use super::*;

const NOW: u64 = 1_790_000_000;

fn rules() -> Rules {
    Rules { now: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW), admits_plain_receivers: false }
}

/// So many minutes from now, as callers write it.
fn ahead(minutes: u64) -> Value {
    json!(written(rules().now + Duration::from_secs(minutes * 60)))
}

fn good() -> Value {
    json!({
        "changeType": "created,updated",
        "notificationUrl": "https://receiver.example.com/graph",
        "resource": "/me/mailFolders('inbox')/messages",
        "expirationDateTime": ahead(1_000),
        "clientState": "secret",
    })
}

fn rich() -> Value {
    let sample: Value =
        serde_json::from_str(include_str!("../../../../tests/data/vector-own-decryption.json"))
            .expect("JSON");
    let certificate = &sample["certificate"]["encryptionCertificate_property_value"];
    let mut body = with(
        good(),
        json!({ "resource": "/chats/getAllMessages", "lifecycleNotificationUrl": "https://r.example/l" }),
    );
    body["includeResourceData"] = json!(true);
    body["encryptionCertificate"] = json!(certificate);
    body["encryptionCertificateId"] = json!("one");
    body
}

fn with(mut body: Value, changes: Value) -> Value {
    let all = body.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        let old = if value.is_null() { all.remove(name) } else { all.insert(name.clone(), value.clone()) };
        drop(old);
    }
    body
}

fn owner() -> Caller {
    Caller { app: "app".to_owned(), tenant: "tenant".to_owned(), creator: "app".to_owned() }
}

fn created(rules: Rules, body: &Value) -> Result<Subscription, Refusal> {
    rules.create(body.as_object().expect("an object"), "1".to_owned(), owner())
}

/// `Ok` with the minutes that it lives, or what is said.
fn judged(body: &Value) -> Result<u64, String> {
    let minutes = |subscription: Subscription| {
        let life = subscription.expires.duration_since(rules().now).expect("ahead");
        life.as_secs() / 60
    };
    created(rules(), body).map(minutes).map_err(|refusal| refusal.message)
}

#[test]
fn a_subscription_is_made_by_the_rules() {
    let teams = json!({ "resource": "/teams/getAllMessages" });
    for (changes, expected) in [
        (json!({}), Ok(1_000)),
        (json!({ "expirationDateTime": ahead(10_070) }), Ok(10_070)),
        (json!({ "expirationDateTime": ahead(10_071) }), Err("can only be 10070 minutes in the future")),
        (json!({ "expirationDateTime": ahead(44) }), Ok(45)),
        (json!({ "expirationDateTime": "2020-01-01T00:00:00Z" }), Err("must be in the future")),
        (json!({ "expirationDateTime": "soon" }), Err("Edm.DateTimeOffset")),
        (json!({ "expirationDateTime": null }), Err("expirationDateTime is a required property")),
        (
            json!({ "resource": "/users", "changeType": "updated", "expirationDateTime": ahead(41_760) }),
            Ok(41_760),
        ),
        (
            json!({ "resource": "/users", "changeType": "updated", "expirationDateTime": ahead(41_761) }),
            Err("41760"),
        ),
        (json!({ "resource": "/users" }), Err("changeType 'created' is not supported")),
        (json!({ "resource": "/me/drive/root", "changeType": "updated" }), Ok(1_000)),
        (json!({ "resource": "/me/drive/items/1" }), Err("resource '/me/drive/items/1' is not supported.")),
        (json!({ "resource": "x".repeat(8_193) }), Err("'resource' is too long")),
        (json!({ "resource": null }), Err("resource is a required property")),
        (json!({ "changeType": "created, Deleted" }), Ok(1_000)),
        (json!({ "changeType": "created,changed" }), Err("'changed'")),
        (json!({ "changeType": "" }), Err("changeType is a required property")),
        (json!({ "changeType": 7 }), Err("Edm.String")),
        (json!({ "notificationUrl": null }), Err("notificationUrl is a required property")),
        (json!({ "notificationUrl": "http://127.0.0.1/graph" }), Err("must be an https URL")),
        (json!({ "notificationUrl": "https://user:word@r.example/" }), Err("must be an https URL")),
        (json!({ "notificationUrl": "/graph" }), Err("must be an https URL")),
        (json!({ "lifecycleNotificationUrl": "ftp://r.example/" }), Err("lifecycleNotificationUrl must be")),
        (json!({ "clientState": "x".repeat(128) }), Ok(1_000)),
        (json!({ "clientState": "x".repeat(129) }), Err("128 characters")),
        (json!({ "latestSupportedTlsVersion": "v1_3" }), Ok(1_000)),
        (json!({ "latestSupportedTlsVersion": "1.3" }), Err("latestSupportedTlsVersion")),
        (json!({ "vapidPublicKey": "k" }), Err("'vapidPublicKey' does not exist")),
        (json!({ "@odata.type": "#microsoft.graph.subscription" }), Ok(1_000)),
        (with(teams.clone(), json!({ "expirationDateTime": ahead(60) })), Ok(60)),
        (
            with(teams.clone(), json!({ "expirationDateTime": ahead(61) })),
            Err("lifecycleNotificationUrl is a required"),
        ),
        (with(teams, json!({ "expirationDateTime": ahead(4_321) })), Err("beyond allowed max '3.00:00:00'")),
        (json!({ "includeResourceData": true }), Err("must have a $select")),
        (json!({ "includeResourceData": "yes" }), Err("Edm.Boolean")),
        (
            json!({ "resource": "/users", "changeType": "updated", "includeResourceData": true }),
            Err("Azure Active Directory workload is not enabled for rich notifications."),
        ),
    ] {
        let body = with(good(), changes);
        match (judged(&body), expected) {
            (Err(said), Err(words)) => assert!(said.contains(words), "{said:?} for {body}"),
            (judged, expected) => assert_eq!(judged, expected.map_err(str::to_owned), "{body}"),
        }
    }
}

#[test]
fn resource_data_needs_somebody_to_seal_it_for() {
    let bare = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA";
    let (key, params) = (rcgen::KeyPair::generate().expect("a key"), rcgen::CertificateParams::default());
    let elliptic = BASE64_STANDARD.encode(params.self_signed(&key).expect("signed").der());
    let mail = json!({ "resource": "/me/messages?$select=subject", "expirationDateTime": ahead(1_441) });
    for (changes, expected) in [
        (json!({}), Ok(1_000)),
        (json!({ "encryptionCertificate": null }), Err("encryptionCertificate is a required property")),
        (json!({ "encryptionCertificate": bare }), Err("Cannot find the requested object.")),
        (json!({ "encryptionCertificate": "-----BEGIN" }), Err("Cannot find the requested object.")),
        (json!({ "encryptionCertificate": elliptic }), Err("RSA")),
        (json!({ "encryptionCertificateId": null }), Err("encryptionCertificateId is a required property")),
        (json!({ "encryptionCertificateId": "x".repeat(129) }), Err("128 characters")),
        (json!({ "resource": "/chats/getAllMessages?$select=body" }), Err("must not have a $select")),
        (mail, Err("1440 minutes")),
    ] {
        let body = with(rich(), changes);
        match (judged(&body), expected) {
            (Err(said), Err(words)) => assert!(said.contains(words), "{said:?} for {body}"),
            (judged, expected) => assert_eq!(judged, expected.map_err(str::to_owned), "{body}"),
        }
    }
}

#[test]
fn http_is_for_loopback_and_only_where_it_is_allowed() {
    let allowed = Rules { admits_plain_receivers: true, ..rules() };
    for (url, is_right) in [
        ("http://127.0.0.1:8080/graph", true),
        ("http://[::1]:8080/graph", true),
        ("http://localhost/graph", true),
        ("http://192.0.2.1/graph", false),
        ("http://localhost.example/graph", false),
        ("ws://127.0.0.1/", false),
    ] {
        let body = with(good(), json!({ "notificationUrl": url }));
        assert_eq!(created(allowed, &body).is_ok(), is_right, "{url}");
        assert!(created(rules(), &body).is_err(), "{url}");
    }
}

#[test]
fn a_patch_changes_what_can_be_changed() {
    let kept = created(rules(), &rich()).expect("a subscription");
    let update = |body: Value, keeps| rules().update(body.as_object().expect("an object"), &kept, keeps);
    for (body, words) in [
        (json!({}), "expirationDateTime or notificationUrl is required"),
        (json!({ "encryptionCertificateId": "two" }), "expirationDateTime or notificationUrl is required"),
        (json!({ "expirationDateTime": ahead(99), "clientState": "new" }), "'clientState'"),
        (json!({ "lifecycleNotificationUrl": "https://r.example/m" }), "'lifecycleNotificationUrl'"),
        (json!({ "expirationDateTime": ahead(4_321) }), "Operation: Update"),
        (
            json!({ "expirationDateTime": ahead(99), "encryptionCertificate": "x" }),
            "Cannot find the requested object.",
        ),
        (json!({ "notificationUrl": "http://r.example/" }), "must be an https URL"),
    ] {
        let said = update(body.clone(), false).expect_err(words).message;
        assert!(said.contains(words), "{said:?} for {body}");
    }
    let renewed = update(json!({ "expirationDateTime": ahead(2_000) }), false).expect("renewed");
    assert_eq!(
        (renewed.is_moved, written(renewed.changed.expires)),
        (false, ahead(2_000).as_str().unwrap_or_default().to_owned())
    );
    let moved = update(json!({ "notificationUrl": "https://r.example/new" }), false).expect("moved");
    assert!(moved.is_moved && moved.changed.notification_url.text == "https://r.example/new");
    assert_eq!(moved.changed.expires, kept.expires);
    let body = json!({ "expirationDateTime": ahead(99), "encryptionCertificateId": "two" });
    for (keeps, id) in [(false, "two"), (true, "one")] {
        let changed = update(body.clone(), keeps).expect("changed").changed;
        assert_eq!(changed.recipient.map(|recipient| recipient.id).as_deref(), Some(id));
    }
}
