//! Errors as users have reported them, and as they must not come through.

use serde_json::json;

use super::*;

fn read(body: &str) -> ErrorEnvelope {
    ErrorEnvelope::read(body.as_bytes(), &[])
}

fn said(message: &str) -> ErrorEnvelope {
    read(&json!({ "error": { "code": "ExtensionError", "message": message } }).to_string())
}

#[test]
fn both_spellings_are_read_and_errors_inside_errors() {
    let ids = json!({
        "date": "2026-06-01T12:00:00",
        "request-id": "4145e871-21e9-4e4b-8144-b577f2336017",
        "client-request-id": "837387cb-4d3f-f432-d5e6-e2089ec0a449",
    });
    for key in ["innerError", "innererror"] {
        let flat = json!({ "error": { "code": "ResourceNotFound", "message": "The object was not found.", key: ids } });
        let deep = json!({ "error": {
            "code": "ResourceNotFound", "message": "The object was not found.",
            key: { "code": "outer", key: { "code": "inner", key: ids } },
        } });
        for (body, inner) in [(flat, &[][..]), (deep, &["outer", "inner"])] {
            let expected = ErrorEnvelope {
                code: "ResourceNotFound".to_owned(),
                message: "The object was not found.".to_owned(),
                inner: inner.iter().map(|&code| code.to_owned()).collect(),
                request_id: Some("4145e871-21e9-4e4b-8144-b577f2336017".to_owned()),
                client_request_id: Some("837387cb-4d3f-f432-d5e6-e2089ec0a449".to_owned()),
                date: Some("2026-06-01T12:00:00".to_owned()),
            };
            assert_eq!(read(&body.to_string()), expected, "{key}");
        }
    }
}

#[test]
fn what_is_of_another_form_says_nothing() {
    for body in [
        "",
        "<html><title>502</title></html>",
        "null",
        "[]",
        "{}",
        r#"{"error":"invalid_request"}"#,
        r#"{"error":{}}"#,
        r#"{"error":{"code":7,"message":["x"],"innerError":"y"}}"#,
        "\u{ff}",
    ] {
        assert_eq!(read(body), ErrorEnvelope::default(), "{body}");
    }
}

#[test]
fn words_are_bounded_and_harmless() {
    let envelope = said(&format!("a\u{1b}[31m\r\nb\u{202e}c {}", "long ".repeat(10_000)));
    assert!(envelope.message.starts_with("a [31m b c long"), "{}", envelope.message);
    assert!(envelope.message.len() <= MESSAGE_CHARS_MAX);
    // So many errors inside each other that no recursion would end well.
    let mut deep = "{}".to_owned();
    for _ in 0..100 {
        deep = format!(r#"{{"code":"c","innerError":{deep}}}"#);
    }
    assert_eq!(read(&format!(r#"{{"error":{deep}}}"#)).inner.len(), INNER_MAX);
}

#[test]
fn no_secret_that_was_sent_comes_back() {
    let (token, state) = (Secret::new("eyJ.a.b".to_owned()), Secret::new("S3cr3t".to_owned()));
    let body = json!({ "error": { "code": "eyJ.a.b", "message": "S3cr3t is not eyJ.a.b", "innerError": { "date": "S3cr3t" } } });
    let shown = format!("{:?}", ErrorEnvelope::read(body.to_string().as_bytes(), &[&token, &state]));
    assert!(
        !shown.contains("eyJ") && !shown.contains("S3cr3t") && shown.contains("[secret] is not"),
        "{shown}"
    );
}

#[test]
fn a_quota_is_read_from_messages() {
    for (message, is_quota) in [
        (
            "Operation: Create; Exception: [Status Code: Forbidden; Reason: Maximum number of subscriptions has been reached]",
            true,
        ),
        ("Operation: Create; Exception: [Status Code: Forbidden; Reason: Forbidden]", false),
        ("Subscription expiration can only be 10070 minutes in the future.", false),
    ] {
        assert_eq!(said(message).is_quota(), is_quota, "{message}");
    }
}

#[test]
fn conflicts_name_the_subscription_or_do_not() {
    let id = "7f105c7d-2dc5-4530-97cd-4e7ae6534c07";
    for (message, expected) in [
        (format!("Subscription Id {id} already exists for the requested combination"), Some(id)),
        (format!("Subscription Id <{id}> already exists for the requested combination"), Some(id)),
        ("Subscription Id <> already exists for the requested combination".to_owned(), None),
        ("[Status Code: Conflict; Reason: A subscripton already exists. It must be deleted before a another can be made.]".to_owned(), None),
        (format!("{id}{id}"), None),
    ] {
        assert_eq!(said(&message).named().as_deref(), expected, "{message}");
    }
}
