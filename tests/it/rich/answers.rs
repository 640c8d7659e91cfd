//! What a sender learns: nothing.

use serde_json::json;

use super::{Desk, rich};
use crate::support::daemon::SECRET;
use crate::support::https::Reply;
use crate::support::issuer::{Key, OTHER_TENANT, TENANT, claims_v2};
use crate::support::rich::post;

/// Status, version, headers in their order, and body; without what differs from one request to the next.
fn seen(reply: &Reply) -> String {
    let headers = reply.headers.iter().filter(|(name, _)| *name != "date");
    let headers: Vec<_> = headers.map(|(name, value)| format!("{name}: {value:?}")).collect();
    format!("{:?} {} {headers:?} {:?}", reply.version, reply.status, reply.body)
}

/// Whatever is wrong with an item, or nothing is: one answer, over both versions of HTTP.
#[tokio::test]
async fn all_verdicts_have_one_answer() {
    let desk = Desk::opens(|configuration| configuration).await;
    let good = desk.recipient.seal(r#"{"id":"1"}"#);
    let changed = |member: &str, value: &str| {
        let mut content = good.clone();
        content[member] = json!(value);
        rich("n-1", TENANT, &content)
    };
    let item = rich("n-1", TENANT, &good);
    let token = json!([desk.issuer.token(TENANT)]);
    let stranger = Key::generate("nobody's");
    let unknown = json!([stranger.sign(&stranger.header(), &claims_v2(TENANT))]);
    let cases = [
        ("published", item.clone(), token.clone()),
        ("no token", item.clone(), json!(null)),
        ("rubbish", item.clone(), json!(["rubbish"])),
        ("a key that nobody knows", item.clone(), unknown),
        ("another tenant's", item.clone(), json!([desk.issuer.token(OTHER_TENANT)])),
        ("forged", item.replace(SECRET, "a guess"), token.clone()),
        ("no certificate of ours", changed("encryptionCertificateId", "unheard-of"), token.clone()),
        ("another's key", changed("dataKey", good["dataSignature"].as_str().expect("a text")), token.clone()),
        ("another signature", changed("dataSignature", &"A".repeat(43)), token.clone()),
        ("no base64", changed("data", "!"), token.clone()),
        ("no content", rich("n-1", TENANT, &json!({})), token.clone()),
        ("bad padding", rich("n-1", TENANT, &desk.recipient.seal("no JSON")), token.clone()),
        ("no tenant", item.replace("tenantId", "nobodysId"), token),
    ];
    for client in [desk.daemon.client().http1(), desk.daemon.client().http2()] {
        let mut first = None;
        for (name, item, tokens) in &cases {
            let seen = seen(&post(&client, std::slice::from_ref(item), tokens).await);
            assert!(seen.contains(" 202 "), "{name}: {seen}");
            assert_eq!(*first.get_or_insert_with(|| seen.clone()), seen, "{name}");
        }
        assert_eq!(client.opened(), 1);
    }
    desk.check_books(2, 2 * (cases.len() - 1), 0).await;
    assert_eq!(desk.queue.take(2).await.len(), 2);
    assert_eq!(desk.quarantine.take(2 * (cases.len() - 1)).await.len(), 2 * (cases.len() - 1));
}
