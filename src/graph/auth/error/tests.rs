//! What the identity platform says, and what may be passed on of it.

use hyper::header::{HeaderValue, RETRY_AFTER};
use serde_json::json;

use super::*;

fn of(status: u16, body: &str) -> AuthError {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("9"));
    let secret = Secret::new("hunter2".to_owned());
    AuthError::of(StatusCode::from_u16(status).expect("a status"), &headers, body.as_bytes(), &[&secret])
}

#[test]
fn refusals_are_told_from_faults() {
    let refused = json!({
        "error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret hunter2.\r\nTrace ID: x",
        "error_codes": [7_000_215], "timestamp": "2026-06-01 12:00:00Z",
    });
    let refused = of(401, &refused.to_string());
    let AuthError::Refused(said) = &refused else { panic!("{refused:?}") };
    assert_eq!((said.error.as_str(), said.codes.as_slice()), ("invalid_client", &[7_000_215][..]));
    assert_eq!(
        refused.to_string(),
        "401 invalid_client, \"AADSTS7000215: Invalid client secret [secret]. Trace ID: x\""
    );
    assert!(!refused.is_worth_a_retry());
    for (status, body) in
        [(429, ""), (500, "<html>"), (503, "{}"), (400, r#"{"error":"temporarily_unavailable"}"#)]
    {
        let busy = of(status, body);
        assert!(busy.is_worth_a_retry(), "{status}");
        assert_eq!(busy.retry_after(), Some(Duration::from_secs(9)), "{status}");
    }
}

#[test]
fn words_without_a_form_are_not_passed_on() {
    for body in ["", "hunter2", "<html>hunter2", "[]", r#"{"error":7}"#, r#"{"error_codes":"x"}"#] {
        let refused = of(400, body);
        let AuthError::Refused(said) = &refused else { panic!("{refused:?}") };
        assert_eq!(said, &OAuthError { status: 400, ..OAuthError::default() }, "{body}");
        assert!(!format!("{refused:?} {refused}").contains("hunter2"));
    }
    let long = json!({ "error": "e".repeat(9_999), "error_description": "d".repeat(9_999), "error_codes": vec![1; 99] });
    let AuthError::Refused(said) = of(400, &long.to_string()) else { panic!("it is no fault") };
    assert_eq!((said.error.len(), said.description.len(), said.codes.len()), (64, 600, 8));
}
