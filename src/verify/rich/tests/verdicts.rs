//! For whom tokens vouch, and which key a content names.

use serde_json::json;

use super::*;

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
    let body = format!(r#"{{"value":[{}]}}"#, items.join(","));
    let verified = verified(body.as_bytes());
    let refusals: Vec<_> = verified.authentic().iter().map(|item| vouched.refusal(item)).collect();
    refusals.try_into().expect("four items")
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
    let thumbprint = vectors["certificate"]["sha1_thumbprint"].as_str().expect("a thumbprint");
    let pem = vectors["certificate"]["certificate_pem"].as_str().expect("PEM");
    let certificate = Some(Certificate::from_pem(pem).expect("a certificate"));
    let keys = [key("old"), RichKey { certificate, ..key("new") }];
    for (names, expected) in [
        (json!({ "encryptionCertificateId": "old" }), Some(0)),
        (json!({ "encryptionCertificateId": "new" }), Some(1)),
        (json!({ "encryptionCertificateId": "New" }), None),
        (json!({ "encryptionCertificateId": "other" }), None),
        (json!({ "encryptionCertificateId": "other", "encryptionCertificateThumbprint": thumbprint }), None),
        (json!({ "encryptionCertificateThumbprint": thumbprint }), Some(1)),
        (json!({ "encryptionCertificateThumbprint": thumbprint.to_lowercase() }), Some(1)),
        (json!({ "encryptionCertificateThumbprint": "AB12" }), None),
        (json!({}), None),
    ] {
        let mut content = json!({ "data": "AA==", "dataKey": "AA==", "dataSignature": "AA==" });
        content.as_object_mut().expect("an object").extend(names.as_object().expect("an object").clone());
        let body = format!(
            r#"{{"value":[{{"subscriptionId":"s","clientState":"secret","encryptedContent":{content}}}]}}"#
        );
        let verified = verified(body.as_bytes());
        let sealed = verified.authentic()[0].notification.sealed.expect("it is there");
        assert_eq!(place(&keys, &sealed.read().expect("a content")), expected, "{names}");
    }
}
