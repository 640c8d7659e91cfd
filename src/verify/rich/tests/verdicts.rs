//! For whom tokens vouch, and which key a content names.

use serde_json::{Value, json};

use super::super::*;
use crate::{config::ClientState, notification::Batch, secret::Secret, verify::Verifier};

/// Reads a collection, and lets `look` see its items once they are believed.
fn believed<T>(body: &str, look: impl FnOnce(&[Authentic<'_>]) -> T) -> T {
    look(verified(body).authentic())
}

fn verified(body: &str) -> Verified<'_> {
    let state = ClientState {
        name: "a".to_owned(),
        secret: Secret::new("secret".to_owned()),
        subscriptions: HashSet::new(),
        tenants: HashSet::new(),
        silent_after: None,
    };
    let batch = Batch::parse(body.as_bytes(), 10).expect("a batch");
    Verifier::new(&[state]).verify(batch)
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../tests/data/vector-own-decryption.json")).expect("JSON")
}

fn key(vectors: &Value) -> PrivateKey {
    let pem = vectors["certificate"]["private_key_pkcs8_pem"].as_str().expect("PEM");
    PrivateKey::from_pem(pem).expect("a key")
}

/// The verdicts on an item of tenant `A`, one of `b`, one of none, and one without resource data.
fn refusals(verdicts: Vec<Result<&'static str, TokenFault>>) -> [Option<Reason>; 4] {
    let item = |tenant: &str, content: &str| {
        format!(r#"{{"subscriptionId":"s","clientState":"secret"{tenant}{content}}}"#)
    };
    let content = r#","encryptedContent":{}"#;
    let (a, b) = (r#","tenantId":"A""#, r#","tenantId":"b""#);
    let items = [item(a, content), item(b, content), item("", content), item("", "")];
    let tenants = verdicts.into_iter().map(|verdict| verdict.map(|tenant| tenant.to_owned().into()));
    let vouched = Vouched::by(tenants.collect());
    believed(&format!(r#"{{"value":[{}]}}"#, items.join(",")), |items| {
        let refusals: Vec<_> = items.iter().map(|item| vouched.refusal(item)).collect();
        refusals.try_into().expect("four items")
    })
}

#[test]
fn a_token_vouches_for_its_own_tenant_alone() {
    let bad = Some(Reason::BadToken);
    assert_eq!(refusals(vec![Ok("a")]), [None, bad, bad, None]);
    assert_eq!(refusals(vec![Ok("B")]), [bad, None, bad, None]);
    assert_eq!(refusals(vec![Ok("a"), Ok("b")]), [None, None, bad, None]);
    assert_eq!(refusals(vec![]), [bad, bad, bad, None]);
}

#[test]
fn a_suspicious_token_beside_good_ones_costs_them_their_word() {
    let bad = Some(Reason::BadToken);
    for fault in TokenFault::ALL {
        let expected = if fault.is_suspicious() { bad } else { None };
        assert_eq!(refusals(vec![Ok("a"), Err(fault)]), [expected, bad, bad, None], "{fault:?}");
        assert_eq!(refusals(vec![Err(fault), Ok("a")]), [expected, bad, bad, None], "{fault:?}");
    }
    let of_others = TokenFault::ALL.into_iter().filter(|fault| !fault.is_suspicious());
    assert_eq!(of_others.collect::<Vec<_>>(), [TokenFault::Audience, TokenFault::Tenant]);
}

#[test]
fn a_content_names_its_key_by_its_id_and_else_by_its_certificate() {
    let vectors = vectors();
    let key = Arc::new(key(&vectors));
    let metrics = Metrics::new();
    let ring_key = |id: &str, thumbprint: Option<&str>| RingKey {
        id: id.to_owned(),
        thumbprint: thumbprint.map(str::to_owned),
        not_after: None,
        key: Arc::clone(&key),
        uses: metrics.rich.key_use(id),
    };
    let rich = Rich {
        expectations: Expectations {
            app_ids: HashSet::new(),
            tenants: HashSet::new(),
            issuer_v1: String::new(),
            issuer_v2: String::new(),
            publisher: String::new(),
            clock_skew: std::time::Duration::ZERO,
        },
        deliver: Deliver::Opened,
        ring: vec![ring_key("old", None), ring_key("new", Some("AB12"))],
        keys: Keys::new(&metrics).0,
        turns: Turns::of_machine(),
        metrics: Arc::clone(&metrics),
    };
    for (names, expected) in [
        (json!({ "encryptionCertificateId": "old" }), Some(0)),
        (json!({ "encryptionCertificateId": "new" }), Some(1)),
        (json!({ "encryptionCertificateId": "New" }), None),
        (json!({ "encryptionCertificateId": "other" }), None),
        (json!({ "encryptionCertificateId": "other", "encryptionCertificateThumbprint": "AB12" }), None),
        (json!({ "encryptionCertificateThumbprint": "ab12" }), Some(1)),
        (json!({ "encryptionCertificateThumbprint": "ab13" }), None),
        (json!({}), None),
    ] {
        let mut content = json!({ "data": "AA==", "dataKey": "AA==", "dataSignature": "AA==" });
        content.as_object_mut().expect("an object").extend(names.as_object().expect("an object").clone());
        let body = format!(
            r#"{{"value":[{{"subscriptionId":"s","clientState":"secret","encryptedContent":{content}}}]}}"#
        );
        let found = believed(&body, |items| {
            let content = items[0].notification.sealed.and_then(|sealed| sealed.read()).expect("a content");
            rich.key_of(&content)
        });
        assert_eq!(found, expected, "{names}");
    }
}
