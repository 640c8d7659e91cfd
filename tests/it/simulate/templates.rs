//! The templates have the shapes of the samples, and neither can change without the other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use graphhook::simulate::template::{Facts, SUBSCRIPTION, TENANT, Template, USER};
use serde_json::{Map, Value};

use super::said;
use crate::support::daemon::run;

/// Which template each sample's items have the shape of.
const SAMPLES: [(&str, &str); 20] = [
    ("batch-multi-subscription-tenant", "message"),
    ("callrecord-created", "callRecord"),
    ("driveitem-eventgrid-shape", "driveItem-eventGrid"),
    ("driveitem-root", "driveItem"),
    ("future-unknown-properties", "future"),
    ("group-updated-and-deleted", "group"),
    ("lifecycle-batch-mixed", "lifecycle-documented"),
    ("lifecycle-in-the-wild-with-validation-tokens", "lifecycle-tokens"),
    ("lifecycle-missed", "lifecycle-documented"),
    ("lifecycle-reauthorization-required", "lifecycle-documented"),
    ("lifecycle-reauthorization-required-in-the-wild", "lifecycle"),
    ("lifecycle-subscription-removed", "lifecycle-documented"),
    ("mail-basic", "message"),
    ("mail-basic-with-notification-id", "message"),
    ("outlook-message-rich-two-tenants", "message"),
    ("presence-basic", "presence"),
    ("presence-rich", "presence"),
    ("rich-null-validation-tokens", "chatMessage"),
    ("security-alert", "alert"),
    ("sharepoint-list", "list"),
];
const MORE_SAMPLES: [(&str, &str); 2] = [("teams-chatmessage-rich", "chatMessage"), ("user-updated", "user")];
/// No items of Graph's webhooks.
const OTHERS: [&str; 2] = ["empty-value", "eventhub-style-validation-body"];
/// Outlook's items are alike, whatever they tell of.
const LIKE_MESSAGE: [&str; 2] = ["event", "contact"];

/// Names and kinds of all members; texts and numbers may be what they want.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), shape(value))).collect())
        }
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "boolean".into(),
        Value::Null => Value::Null,
    }
}

/// Without what Graph sends to some and not to others: an id, and sealed data.
fn bare(item: &Value) -> Value {
    let mut members: Map<String, Value> = item.as_object().expect("an object").clone();
    members.remove("id");
    if members.get("encryptedContent").is_some_and(Value::is_object) {
        members.remove("encryptedContent");
    }
    shape(&Value::Object(members))
}

fn filled(name: &str) -> Value {
    let facts = Facts {
        id: "1",
        subscription: SUBSCRIPTION,
        tenant: TENANT,
        user: USER,
        client_state: Some("s"),
        change: "created",
        now: SystemTime::now(),
        number: 1,
    };
    let template = Template::named(name).expect(name);
    serde_json::from_str(&template.fill(&facts)).expect("JSON")
}

#[test]
fn every_sample_has_a_template_of_its_shape() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for (sample, name) in SAMPLES.into_iter().chain(MORE_SAMPLES) {
        let text = fs::read_to_string(directory.join(format!("{sample}.json"))).expect(sample);
        let body: Value = serde_json::from_str(&text).expect("JSON");
        let items = body["value"].as_array().expect("items");
        assert!(!items.is_empty());
        for item in items {
            assert_eq!(bare(item), bare(&filled(name)), "{sample} and {name}");
        }
    }
    for name in LIKE_MESSAGE {
        assert_eq!(bare(&filled(name)), bare(&filled("message")), "{name}");
    }
}

#[test]
fn no_sample_and_no_template_is_without_a_partner() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let files = fs::read_dir(directory).expect("a directory").filter_map(|entry| {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        name.strip_suffix(".json").map(str::to_owned)
    });
    let files: BTreeSet<String> = files.filter(|name| !name.starts_with("vector-")).collect();
    let known = SAMPLES.into_iter().chain(MORE_SAMPLES).map(|(sample, _)| sample).chain(OTHERS);
    assert_eq!(files, known.map(str::to_owned).collect());
    let of = SAMPLES.into_iter().chain(MORE_SAMPLES).map(|(_, name)| name).chain(LIKE_MESSAGE);
    assert_eq!(Template::names().collect::<BTreeSet<_>>(), of.collect());
}

#[tokio::test]
async fn templates_are_listed_and_printed_for_people_to_change() {
    let listed = said(&run(&["simulate", "templates"], &[]).await);
    assert_eq!(listed.lines().collect::<Vec<_>>(), Template::names().collect::<Vec<_>>());
    let printed = said(&run(&["simulate", "templates", "message"], &[]).await);
    assert_eq!(Some(printed.as_str()), Template::text("message"));
    let output = run(&["simulate", "templates", "nothing"], &[]).await;
    assert_eq!(output.status.code(), Some(2));
}
