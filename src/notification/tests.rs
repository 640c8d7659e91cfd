//! Tables of bodies: which are batches, and what each item says.

use std::{fs, path::Path};

use proptest::prelude::*;

use super::*;

fn parse(body: &str) -> Result<Batch<'_>, BatchError> {
    Batch::parse(body.as_bytes(), 10_000)
}

/// The one item of a body that holds one.
#[track_caller]
fn item(json: &str, then: impl FnOnce(&Notification<'_>)) {
    let body = format!(r#"{{"value":[{json}]}}"#);
    let batch = parse(&body).expect(json);
    assert_eq!(batch.notifications.len(), 1, "{json}");
    assert_eq!(batch.notifications[0].raw, json);
    then(&batch.notifications[0]);
}

#[track_caller]
fn check_defect(json: &str, expected: Option<Defect>) {
    item(json, |item| assert_eq!(item.defect, expected, "{json}"));
}

#[track_caller]
fn check_refused(body: &str, expected: BatchError) {
    assert_eq!(parse(body).map(|_| ()), Err(expected), "{body}");
}

#[test]
fn bodies_that_are_batches() {
    for (body, items) in [
        (r#"{"value":[]}"#, 0),
        ("\u{feff}{\"value\":[]}", 0),
        (" \r\n\t{ \"value\" : [ ] } \n ", 0),
        (r#"{"validationTokens":["a"],"value":[{},{}],"other":{"value":[1]}}"#, 2),
        (r#"{"v\u0061lue":[1,"a",null,true,[],{}]}"#, 6),
        (r#"{"value":[1e999,-0.0,"\ud800"]}"#, 3),
        (r#"{"\ud800":1,"value":[{"\ud800":"\udfff"}]}"#, 1),
    ] {
        assert_eq!(parse(body).expect(body).notifications.len(), items, "{body}");
    }
}

#[test]
fn bodies_that_are_not() {
    for body in [
        "",
        " ",
        "{",
        "nonsense",
        "{} x",
        r#"{"value":[]}{}"#,
        r#"{"value":[],}"#,
        r#"{"value":[1,]}"#,
        r#"{"value":[1 2]}"#,
        r#"{"value":[01]}"#,
        r#"{"value" []}"#,
        r#"{value:[]}"#,
        "[",
        "1 2",
        r#"{"value":[{"a":}]}"#,
        r#"{"value":[{"a":1,}]}"#,
        r#"{"value":["\x"]}"#,
        "{\"value\":[\"\n\"]}",
        "\u{feff}\u{feff}{}",
    ] {
        check_refused(body, BatchError::NotJson);
    }
    for body in [
        "{}",
        "[]",
        "1",
        "null",
        r#""value""#,
        r#"{"value":null}"#,
        r#"{"value":{}}"#,
        r#"{"value":"a"}"#,
        r#"{"Value":[]}"#,
        r#"{"a":{"value":[]}}"#,
        r#"{"value":[],"value":[]}"#,
    ] {
        check_refused(body, BatchError::NoValue);
    }
    assert_eq!(Batch::parse(b"{\"value\":[\"\xff\"]}", 9).map(|_| ()), Err(BatchError::NotJson));
}

#[test]
fn items_have_a_limit() {
    let body = format!(r#"{{"value":[{}]}}"#, vec!["{}"; 10_000].join(","));
    assert_eq!(parse(&body).expect("at the limit").notifications.len(), 10_000);
    let body = format!(r#"{{"value":[{}]}}"#, vec!["{}"; 10_001].join(","));
    check_refused(&body, BatchError::TooManyItems);
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| format!(r#"{{"value":[{}{}]}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(parse(&nested(100)).expect("100 levels").notifications.len(), 1);
    assert!(parse(&nested(DEPTH_MAX - 2)).is_ok());
    check_refused(&nested(DEPTH_MAX - 1), BatchError::NotJson);
    check_refused(&nested(100_000), BatchError::NotJson);
    let brackets_in_text = format!(r#"{{"value":["{}"]}}"#, "[{".repeat(500));
    assert!(parse(&brackets_in_text).is_ok());
    let wide = format!(r#"{{"value":[{}]}}"#, vec!["[{}]"; 500].join(","));
    assert!(parse(&wide).is_ok());
}

#[test]
fn defects() {
    use Defect::{Contradiction, NotAnObject, WrongType};
    for (json, expected) in [
        (r#"{"subscriptionId":"s","clientState":"c"}"#, None),
        (r#"{"subscriptionId":"s"}"#, None),
        (r#"{"subscriptionId":"s","clientState":null}"#, None),
        (r#"{"subscriptionId":"s","tenantId":7,"changeType":[],"resource":{}}"#, None),
        (r#"{"subscriptionId":"","clientState":"c"}"#, None),
        ("1", Some(NotAnObject)),
        ("null", Some(NotAnObject)),
        (r#""subscriptionId""#, Some(NotAnObject)),
        ("[]", Some(NotAnObject)),
        ("{}", Some(WrongType)),
        (r#"{"clientState":"c"}"#, Some(WrongType)),
        (r#"{"subscriptionId":null,"clientState":"c"}"#, Some(WrongType)),
        (r#"{"subscriptionId":7,"clientState":"c"}"#, Some(WrongType)),
        (r#"{"subscriptionId":"\ud800","clientState":"c"}"#, Some(WrongType)),
        (r#"{"subscriptionId":"s","clientState":7}"#, Some(WrongType)),
        (r#"{"subscriptionId":"s","clientState":["c"]}"#, Some(WrongType)),
        (r#"{"subscriptionId":"s","subscriptionId":"s"}"#, None),
        (r#"{"subscriptionId":"s","subscriptionId":"\u0073"}"#, None),
        (r#"{"subscriptionId":"s","subscriptionI\u0064":"s"}"#, None),
        (r#"{"subscriptionId":"s","subscriptionId":"t"}"#, Some(Contradiction)),
        (r#"{"subscriptionId":"s","clientState":"a","clientState":"b"}"#, Some(Contradiction)),
        (r#"{"subscriptionId":"s","clientState":"a","clientState":null}"#, Some(Contradiction)),
        (r#"{"subscriptionId":"s","clientState":"a","client\u0053tate":"b"}"#, Some(Contradiction)),
        (
            r#"{"subscriptionId":"s","clientState":"a","clientState":"b","clientState":"a"}"#,
            Some(Contradiction),
        ),
        (r#"{"subscriptionId":"s","tenantId":"a","tenantId":"b"}"#, Some(Contradiction)),
        (r#"{"subscriptionId":"s","changeType":"a","changeType":"b"}"#, None),
    ] {
        check_defect(json, expected);
    }
}

#[test]
fn what_is_claimed() {
    let claim = |json: &str, expected: &ClientStateClaim<'_>| {
        item(json, |item| assert!(item.client_state == *expected, "{json}"))
    };
    claim(r#"{"subscriptionId":"s"}"#, &ClientStateClaim::Missing);
    claim(r#"{"subscriptionId":"s","clientState":null}"#, &ClientStateClaim::Missing);
    claim(r#"{"subscriptionId":"s","clientState":"\ud800"}"#, &ClientStateClaim::Unreadable);
    claim(r#"{"subscriptionId":"s","clientState":"\u00e9"}"#, &ClientStateClaim::Text("é".into()));
    claim(r#"{"subscriptionId":"s","clientState":""}"#, &ClientStateClaim::Text("".into()));
}

#[test]
fn the_tenant_has_three_places() {
    for (json, expected) in [
        (r#"{"tenantId":"t","organizationId":"o","resourceData":{"organizationId":"r"}}"#, Some("t")),
        (r#"{"tenantId":null,"organizationId":"o","resourceData":{"organizationId":"r"}}"#, Some("o")),
        (r#"{"tenantId":"","organizationId":"","resourceData":{"organizationId":"r"}}"#, Some("r")),
        (r#"{"tenantId":7,"resourceData":[{"organizationId":"r"}]}"#, None),
        (r#"{"resourceData":null}"#, None),
        (r#"{"tenantId":["x"],"organizationId":"o"}"#, None),
        (r#"{"tenantId":"\ud800","organizationId":"o"}"#, None),
        (r#"{"organizationId":"x","organizationId":"o"}"#, None),
        (r#"{"organizationId":"x","organizationId":null,"resourceData":{"organizationId":"r"}}"#, None),
        (r#"{"organizationId":"x","organizationId":"","resourceData":{"organizationId":"r"}}"#, None),
        (r#"{"organizationId":null,"organizationId":null,"resourceData":{"organizationId":"r"}}"#, Some("r")),
        (r#"{"organizationId":"o","organizationId":"\u006f"}"#, Some("o")),
        (r#"{"resourceData":{"organizationId":"x"},"resourceData":{"organizationId":"r"}}"#, None),
        (r#"{"resourceData":{"organizationId":"x","organizationId":"r"}}"#, None),
    ] {
        item(json, |item| assert_eq!(item.tenant_id.as_deref(), expected, "{json}"));
    }
}

#[test]
fn the_kind_follows_the_lifecycle_event() {
    for (json, kind, change) in [
        (r#"{"changeType":"created"}"#, Kind::Notification, Some("created")),
        (r#"{"lifecycleEvent":"missed"}"#, Kind::Lifecycle, Some("missed")),
        (r#"{"changeType":"created","lifecycleEvent":"missed"}"#, Kind::Lifecycle, Some("missed")),
        (r#"{"changeType":"created","lifecycleEvent":null}"#, Kind::Notification, Some("created")),
        (r#"{"lifecycleEvent":7}"#, Kind::Notification, None),
    ] {
        item(json, |item| assert_eq!((item.kind, item.change()), (kind, change), "{json}"));
    }
}

#[test]
fn bytes_are_kept_as_they_came() {
    let odd = "{\"subscriptionId\":\"s\", \"n\":638059995676961317 ,\"f\":1.10,\"z\":\"\\u0000 \u{2028}\",\"e\":1E+2,\n \"big\":12345678901234567890123}";
    item(odd, |item| assert_eq!(item.raw, odd));
}

#[test]
fn every_sample_is_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut read = 0;
    for entry in fs::read_dir(&directory).expect("tests/data") {
        let path = entry.expect("a file").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.extension().is_none_or(|extension| extension != "json") || name.starts_with("vector-") {
            continue;
        }
        let body = fs::read_to_string(&path).expect("a sample");
        let batch = parse(&body).unwrap_or_else(|error| panic!("{name}: {error}"));
        for notification in &batch.notifications {
            assert_eq!(notification.defect, None, "{name}");
            assert!(body.contains(notification.raw), "{name}");
        }
        read += 1;
    }
    assert!(read > 20, "only {read} samples");
}

proptest! {
    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(Batch::parse(&body, 10));
    }

    #[test]
    fn no_json_like_text_panics(body in r#"[\[\]{}:,"\\a0 ]{0,60}"#) {
        drop(Batch::parse(format!(r#"{{"value":[{body}]}}"#).as_bytes(), 10));
    }

    /// What serde_json calls a document with an array `value`, we call a batch, with the same items.
    #[test]
    fn serde_json_agrees(texts in proptest::collection::vec("[a-z\"\\\\\\x00-\\x1f\u{2028}]{0,6}", 0..6), pad in "[ \n\t]{0,3}") {
        let items: Vec<String> = texts.iter().map(|text| serde_json::json!({"subscriptionId": text, "x": [text]}).to_string()).collect();
        let body = format!("{pad}{{{pad}\"value\"{pad}:{pad}[{pad}{}{pad}]{pad}}}{pad}", items.join(&format!("{pad},{pad}")));
        let batch = parse(&body).expect("JSON");
        let raws: Vec<&str> = batch.notifications.iter().map(|notification| notification.raw).collect();
        prop_assert_eq!(raws, items.iter().map(String::as_str).collect::<Vec<_>>());
        for (notification, text) in batch.notifications.iter().zip(&texts) {
            prop_assert_eq!(notification.subscription_id.as_deref(), Some(text.as_str()));
        }
    }
}
