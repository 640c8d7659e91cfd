//! What can be opened, what cannot, and what becomes of each.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{Desk, RESOURCE, check_accepted, opened, rich};
use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{CONNECTION_UP, Daemon, SECRET};
use crate::support::graph::created;
use crate::support::issuer::{Issuer, TENANT};
use crate::support::queue::Amqp;
use crate::support::rich::{Recipient, post};

/// An item whose resource data is written so: name, colon and value.
fn written(id: &str, content: &str) -> String {
    let hole = json!("hole");
    rich(id, TENANT, &hole).replace(&format!(r#""encryptedContent":{hole}"#), content)
}

/// An item with this `encryptedContent`.
fn holding(content: &Value) -> String {
    format!(r#""encryptedContent":{content}"#)
}

fn with(content: &Value, member: &str, value: impl Into<Value>) -> Value {
    let mut content = content.clone();
    content[member] = value.into();
    content
}

fn without(content: &Value, members: &[&str]) -> Value {
    let mut content = content.clone();
    for member in members {
        content.as_object_mut().expect("an object").remove(*member).expect(member);
    }
    content
}

const MEMBERS: [&str; 3] = ["data", "dataKey", "dataSignature"];
const NAMES: [&str; 2] = ["encryptionCertificateId", "encryptionCertificateThumbprint"];

/// Contents that no key of ours opens, each with the reason.
fn bad(recipient: &Recipient, certified: &Recipient) -> Vec<(String, &'static str)> {
    let [good, other] = [recipient.seal(RESOURCE), recipient.seal(RESOURCE)];
    let mut bad = Vec::new();
    for member in MEMBERS {
        let text = good[member].as_str().expect("a text");
        let bytes = BASE64_STANDARD.decode(text).expect("base64");
        for place in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[place] ^= 0x10;
            bad.push(with(&good, member, BASE64_STANDARD.encode(flipped)));
        }
        bad.push(with(&good, member, BASE64_STANDARD.encode(&bytes[..bytes.len() - 1])));
        bad.push(with(&good, member, BASE64_STANDARD.encode([&bytes[..], &[0]].concat())));
        bad.push(with(&good, member, format!("{text}\n")));
        bad.push(with(&good, member, text.replace('=', "")).clone());
        bad.extend([json!(""), json!(null), json!(7), json!([text])].map(|value| with(&good, member, value)));
        bad.push(without(&good, &[member]));
        bad.push(with(&good, member, other[member].clone()));
    }
    // Not every length has padding to take away.
    bad.retain(|content| *content != good);
    bad.extend(
        ["", "nonsense", "[]", "\"text\"", "7", "null", "{} {}", "{\"a\":}"].map(|text| recipient.seal(text)),
    );
    bad.push(recipient.seal(b"{\"a\":\"\xff\"}"));
    bad.push(recipient.seal(format!(r#"{{"a":{}{}}}"#, "[".repeat(200), "]".repeat(200))));
    // The right name on what is sealed for another.
    bad.push(with(&certified.seal(RESOURCE), NAMES[0], recipient.id.clone()));
    let mut bad: Vec<_> = bad.iter().map(|content| (holding(content), "undecryptable")).collect();
    for value in
        [json!({}), json!([]), json!([good]), json!("x"), json!(7), json!(true), json!(good.to_string())]
    {
        bad.push((holding(&value), "undecryptable"));
    }
    let [once, null] = [holding(&good), holding(&Value::Null)];
    for twice in [[&once, &once], [&null, &once], [&once, &null], [&once, &holding(&other)]] {
        bad.push((format!("{},{}", twice[0], twice[1]), "undecryptable"));
    }
    for member in MEMBERS.into_iter().chain(NAMES) {
        let contradiction = good.to_string().replacen('{', &format!(r#"{{"{member}":"AAAA","#), 1);
        bad.push((format!(r#""encryptedContent":{contradiction}"#), "undecryptable"));
    }
    let unknown = [
        with(&good, NAMES[0], "unheard-of"),
        with(&good, NAMES[0], recipient.id.to_uppercase() + " "),
        without(&good, &NAMES),
        without(&good, &NAMES[..1]),
        with(&good, NAMES[0], ""),
        with(&without(&good, &NAMES[1..]), NAMES[0], 7),
    ];
    bad.extend(unknown.iter().map(|content| (holding(content), "unknown_key")));
    bad
}

/// All of them in one POST, with good neighbours: these arrive, in order, and each of the others is kept out with its
/// reason, as it was sealed.
#[tokio::test]
async fn what_cannot_be_opened_costs_its_neighbours_nothing() {
    let (issuer, recipient) = (Issuer::open().await, Recipient::generate("2026-11"));
    let certified = Recipient::generate("certified");
    let files = tempfile::tempdir().expect("a directory");
    let tables = recipient.table(files.path()) + &certified.table_with_certificate(files.path()).0;
    let configuration = issuer.trusted(Daemon::configure(), "opened").append(&tables);
    let (daemon, queue, quarantine) = super::started(configuration).await;
    let bad = bad(&recipient, &certified);
    assert!((60..100).contains(&bad.len()), "{}: a hundred a second go to the quarantine", bad.len());
    let (mut items, mut good, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (content, reason)) in bad.iter().enumerate() {
        let resource = format!(r#"{{"number":{number}, "exact":1.10e+2}}"#);
        let sealed = recipient.seal(&resource);
        let neighbour = rich(&format!("good-{number}"), TENANT, &sealed);
        good.push(opened(&neighbour, &sealed, &resource));
        refused.push((written(&format!("bad-{number}"), content), *reason));
        items.extend([neighbour, refused[number].0.clone()]);
    }
    good.push(created("plain"));
    items.push(created("plain"));
    check_accepted(&post(&daemon.client(), &items, &json!([issuer.token(TENANT)])).await);
    let came = queue.take(good.len()).await;
    for (message, expected) in came.iter().zip(&good) {
        assert_eq!(String::from_utf8_lossy(&message.body), *expected);
    }
    for (message, (item, reason)) in quarantine.take(refused.len()).await.iter().zip(&refused) {
        assert_eq!(String::from_utf8_lossy(&message.body), *item);
        assert_eq!(
            (message.header("graphhook-reason"), message.header("graphhook-resource-data")),
            (*reason, "encrypted"),
            "{item}"
        );
    }
    let metrics = daemon.metrics().await;
    let reasons = |reason: &str| refused.iter().filter(|(_, other)| *other == reason).count() as f64;
    for reason in ["undecryptable", "unknown_key"] {
        let refused = metrics.get(&format!(r#"graphhook_notifications_refused_total{{reason="{reason}"}}"#));
        assert_eq!(refused, reasons(reason), "{reason}");
    }
    let sealed = (good.len() - 1) as f64;
    assert_eq!(metrics.get(r#"graphhook_decryption_key_uses_total{key="2026-11"}"#), sealed);
    assert_eq!(metrics.get(r#"graphhook_decryption_key_uses_total{key="certified"}"#), 0.0);
    assert_eq!(metrics.get("graphhook_conservation_error"), 0.0);
}

/// What is written in another way is the same, and its other bytes stay as they are.
#[tokio::test]
async fn what_is_written_otherwise_is_opened_in_place() {
    let (issuer, recipient) = (Issuer::open().await, Recipient::generate("2026-11"));
    let certified = Recipient::generate("certified");
    let files = tempfile::tempdir().expect("a directory");
    let (table, thumbprint) = certified.table_with_certificate(files.path());
    let configuration = issuer.trusted(Daemon::configure(), "opened");
    let configuration = configuration.append(&(recipient.table(files.path()) + &table));
    let (daemon, queue, _) = super::started(configuration).await;
    let resource =
        " \t\r\n{\"id\":\"1\",\"big\":18446744073709551617,\"a\":\"\\ud83d\\ude80 \u{2028}\",\"a\":2 }\n ";
    let content = recipient.seal(resource);
    let by_thumbprint = with(&without(&certified.seal(resource), &NAMES), NAMES[1], thumbprint.clone());
    let in_lower_case = with(&by_thumbprint, NAMES[1], thumbprint.to_lowercase());
    let contents = [
        (r#""encryptedContent":"#, content.to_string()),
        (r#""encryptedContent" : "#, format!("{content:#}")),
        (r#""encrypted\u0043ontent":"#, content.to_string()),
        (r#""encryptedContent":"#, content.to_string().replace('/', r"\/")),
        (r#""encryptedContent":"#, content.to_string().replacen('{', r#"{"more":{"data":1},"#, 1)),
        (
            r#""encryptedContent":"#,
            content.to_string().replacen('{', &format!(r#"{{"data":{},"#, content["data"]), 1),
        ),
        (r#""encryptedContent":"#, with(&content, NAMES[1], thumbprint).to_string()),
        (r#""encryptedContent":"#, without(&content, &NAMES[1..]).to_string()),
        (r#""encryptedContent":"#, by_thumbprint.to_string()),
        (r#""encryptedContent":"#, in_lower_case.to_string()),
    ];
    let items: Vec<_> = (0..)
        .zip(&contents)
        .map(|(number, (name, value))| written(&format!("{number}"), &format!("{name}{value}")))
        .collect();
    check_accepted(&post(&daemon.client(), &items, &json!([issuer.token(TENANT)])).await);
    let came = queue.take(items.len()).await;
    for ((message, item), (name, value)) in came.iter().zip(&items).zip(&contents) {
        let (sealed, colon) = (format!("{name}{value}"), name.rsplit('"').next().expect("a colon"));
        let expected = item.replace(&sealed, &format!(r#""decryptedContent"{colon}{resource}"#));
        assert_eq!(String::from_utf8_lossy(&message.body), expected);
        assert_eq!(message.header("graphhook-resource-data"), "decrypted");
    }
    assert_eq!(daemon.metrics().await.get(r#"graphhook_decryption_key_uses_total{key="certified"}"#), 2.0);
}

#[tokio::test]
async fn what_is_opened_is_redacted_too() {
    let desk = Desk::opens(|configuration| configuration.set("broker", "client_state", r#""redact""#)).await;
    let content = desk.recipient.seal(RESOURCE);
    let item = rich("n-1", TENANT, &content);
    let behind = item
        .replace(&format!(r#""clientState":{},"#, json!(SECRET)), "")
        .replace(r#""last""#, &format!(r#""clientState":{},"last""#, json!(SECRET)));
    check_accepted(&desk.post(&[item.clone(), behind.clone()], &json!([desk.issuer.token(TENANT)])).await);
    for (message, item) in desk.queue.take(2).await.iter().zip([item, behind]) {
        let expected = opened(&item, &content, RESOURCE).replace(&json!(SECRET).to_string(), "null");
        assert_eq!(String::from_utf8_lossy(&message.body), expected);
        assert_eq!(message.header("graphhook-resource-data"), "decrypted");
    }
}

/// What the spool has kept comes out as it went in: opened, or sealed.
#[tokio::test]
async fn what_is_opened_goes_through_the_spool() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let (issuer, recipient) = (Issuer::open().await, Recipient::generate("2026-11"));
    let files = tempfile::tempdir().expect("a directory");
    let configuration = issuer.trusted(Daemon::configure(), "opened").append(&recipient.table(files.path()));
    let mut daemon = configuration.broker(Node::shared().url_by(cut.port())).connected().await;
    daemon.eventually_metric("graphhook_signing_keys", |keys| keys > 0.0).await;
    cut.refuse();
    cut.cut();
    daemon.eventually_metric(CONNECTION_UP, |up| up == 0.0).await;
    let content = recipient.seal(RESOURCE);
    let item = rich("n-1", TENANT, &content);
    let tokens = json!([issuer.token(TENANT)]);
    check_accepted(&post(&daemon.client(), std::slice::from_ref(&item), &tokens).await);
    daemon.eventually_metric("graphhook_spool_items", |items| items == 1.0).await;
    let spooled = r#"graphhook_notifications_outcome_total{outcome="spooled"}"#;
    assert_eq!(daemon.metrics().await.get(spooled), 1.0);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    cut.heal();
    daemon.restart().await;
    let message = Amqp::connect(&Node::shared().url()).await.queue(daemon.queue()).take(1).await.remove(0);
    assert_eq!(String::from_utf8_lossy(&message.body), opened(&item, &content, RESOURCE));
    assert_eq!(message.header("graphhook-resource-data"), "decrypted");
    assert_eq!((message.message_id.as_str(), message.header("graph-tenant-id")), ("n-1", TENANT));
    daemon.eventually_metric("graphhook_spool_items", |items| items == 0.0).await;
}
