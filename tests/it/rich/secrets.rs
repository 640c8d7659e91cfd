//! What must be told to nobody is told to nobody, even at level debug.

use serde_json::json;

use super::{Desk, check_accepted, check_unavailable, rich};
use crate::reload::reload_well;
use crate::support::daemon::SECRET;
use crate::support::issuer::{Key, Manner, TENANT, claims_v2};

const CANARY: &str = "the canary of a resource";

#[tokio::test]
async fn neither_tokens_nor_keys_nor_contents_are_told() {
    let mut desk = Desk::opens(|configuration| configuration.set("log", "level", r#""debug""#)).await;
    let content = desk.recipient.seal(format!(r#"{{"text":"{CANARY}"}}"#));
    let bare = desk.recipient.seal(CANARY);
    let mut stranger = Key::generate("a canary of a key");
    let foreign = stranger.sign(&stranger.header(), &claims_v2(TENANT));
    let good = desk.issuer.token(TENANT);
    let item = rich("n-1", TENANT, &content);
    let mut unknown = content.clone();
    unknown["encryptionCertificateId"] = json!("a canary of a certificate");
    for (item, token) in [
        (&item, &good),
        (&item, &foreign),
        (&item, &format!("{good}=")),
        (&item.replace(SECRET, "a canary of a guess"), &good),
        (&rich("n-2", TENANT, &bare), &good),
        (&rich("n-3", TENANT, &unknown), &good),
        (&rich("n-4", TENANT, &json!({ "data": "a canary of data" })), &good),
    ] {
        check_accepted(&desk.post(std::slice::from_ref(item), &json!([token])).await);
    }
    stranger.id = "another canary of a key".to_owned();
    desk.issuer.behaves(Manner::Answers(500, "a canary of an answer".to_owned()));
    let late = stranger.sign(&stranger.header(), &claims_v2(TENANT));
    check_unavailable(&desk.post(&[item], &json!([late])).await);
    reload_well(&desk.daemon).await;
    // A key that is none is not quoted either.
    let broken = desk.files.path().join("broken.pem");
    let pem = desk.recipient.pem.replace("M", "N");
    std::fs::write(&broken, &pem).expect("written");
    let table = format!("[[rich.keys]]\nid = \"broken\"\nprivate_key = {{ file = {broken:?} }}");
    desk.daemon.reconfigure(|configuration| configuration.append(&table));
    desk.daemon.signal("HUP");
    desk.daemon.eventually_logs("stays in force, all of it").await;
    assert!(desk.daemon.log().contains("rich.keys.1.private_key"), "{}", desk.daemon.log());

    let mut shown = desk.daemon.log();
    for path in ["/livez", "/readyz", "/metrics", "/status"] {
        shown += &desk.daemon.get_admin(path).await.1;
    }
    desk.daemon.signal("TERM");
    assert_eq!(desk.daemon.wait_exit().await.code(), Some(0));
    shown += &desk.daemon.log();
    for said in ["notification refused", "answered 503", "accepted"] {
        assert!(shown.contains(said), "{said:?} is not in the log: nothing was looked at");
    }
    let mut secrets =
        vec![SECRET.to_owned(), "canary".to_owned(), "PRIVATE KEY".to_owned(), "eyJ".to_owned()];
    for content in [&content, &bare] {
        let members = ["data", "dataKey", "dataSignature"];
        secrets
            .extend(members.iter().map(|member| content[member].as_str().expect("a text")[..32].to_owned()));
    }
    for token in [&good, &foreign, &late] {
        secrets.extend(token.split('.').map(|part| part[..32].to_owned()));
    }
    // Any line of the keys' own text.
    for pem in [&desk.recipient.pem, &pem] {
        let text = pem.lines().nth(1).expect("a line");
        secrets.extend((0..text.len() - 64).step_by(64).map(|from| text[from..from + 64].to_owned()));
    }
    for secret in secrets {
        assert!(!shown.contains(&secret), "{secret:?} is told");
    }
}
