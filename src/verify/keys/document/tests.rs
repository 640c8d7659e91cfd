//! What an identity platform may publish, and what of it is a key.

use serde_json::{Value, json};

use super::*;

/// The key of the vectors, with other members.
fn key(changes: Value) -> Value {
    let vectors = include_str!("../../../../tests/data/vector-jwt-validation.json");
    let vectors: Value = serde_json::from_str(vectors).expect("JSON");
    let mut key = vectors["jwks"]["keys"][0].clone();
    for (name, value) in changes.as_object().expect("an object") {
        key[name] = value.clone();
    }
    key
}

fn without(member: &str) -> Value {
    let mut key = key(json!({}));
    key.as_object_mut().expect("an object").remove(member).expect(member);
    key
}

fn read(keys: &[Value]) -> Result<usize, Rubbish> {
    match Document::read(json!({ "keys": keys }).to_string().as_bytes())? {
        Document::Keys(keys) => Ok(keys.len()),
        Document::Elsewhere(place) => panic!("{place} is not there"),
    }
}

#[test]
fn keys_that_sign_are_taken() {
    for key in [
        key(json!({})),
        key(json!({ "alg": "RS256", "use": "sig" })),
        key(json!({ "use": null, "alg": null, "issuer": null, "d": null })),
        key(json!({ "x5c": ["MII"], "x5u": "https://evil.example", "key_ops": ["verify"], "more": {} })),
    ] {
        assert_eq!(read(std::slice::from_ref(&key)), Ok(1), "{key}");
    }
}

#[test]
fn what_is_no_key_for_signatures_costs_the_others_nothing() {
    let weak = "A".repeat(171) + "Q";
    let cases = [
        json!(null),
        json!("key"),
        json!({}),
        key(json!({ "kty": "oct", "k": "c2VjcmV0" })),
        json!({ "kty": "oct", "kid": "test-signing-key-1", "k": "c2VjcmV0" }),
        json!({ "kty": "EC", "kid": "e", "crv": "P-256", "x": "AA", "y": "AA" }),
        key(json!({ "kty": "rsa" })),
        key(json!({ "use": "enc" })),
        key(json!({ "alg": "RSA-OAEP" })),
        key(json!({ "alg": "RS512" })),
        key(json!({ "d": "c2VjcmV0" })),
        key(json!({ "d": 7 })),
        key(json!({ "n": weak })),
        key(json!({ "n": "A".repeat(400) + "AQAB" })),
        key(json!({ "n": "" })),
        key(json!({ "n": "no base64!" })),
        key(json!({ "e": "=" })),
        key(json!({ "kid": 7 })),
        key(json!({ "issuer": [] })),
        without("kid"),
        without("kty"),
        without("n"),
        without("e"),
    ];
    for case in &cases {
        assert_eq!(read(std::slice::from_ref(case)), Err(Rubbish::NoKeys), "{case}");
        assert_eq!(read(&[case.clone(), key(json!({})), case.clone()]), Ok(1), "{case}");
    }
    assert_eq!(read(&cases), Err(Rubbish::NoKeys));
    assert_eq!(read(&[]), Err(Rubbish::NoKeys));
}

#[test]
fn a_member_that_stands_there_twice_is_no_key() {
    let twice = key(json!({})).to_string().replacen('{', r#"{"kid":"other","#, 1);
    let document = format!(r#"{{"keys":[{twice}]}}"#);
    assert!(matches!(Document::read(document.as_bytes()), Err(Rubbish::NoKeys)));
}

#[test]
fn a_configuration_says_where_the_keys_are() {
    for (text, place) in [
        (r#"{"jwks_uri":"https://a.example/keys"}"#, "https://a.example/keys"),
        (r#"{"issuer":"x","keys":null,"jwks_uri":"http://a.example"}"#, "http://a.example"),
    ] {
        match Document::read(text.as_bytes()) {
            Ok(Document::Elsewhere(elsewhere)) => assert_eq!(elsewhere, place),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn anything_else_is_rubbish() {
    let deep = "[".repeat(100_000);
    for text in [
        "",
        "null",
        "[]",
        "{}",
        "7",
        "<!doctype html><title>Sign in</title>",
        r#"{"keys":{}}"#,
        r#"{"keys":"none"}"#,
        r#"{"jwks_uri":null}"#,
        r#"{"jwks_uri":7}"#,
        r#"{"keys":[]"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"error":"invalid_tenant"}"#,
        &format!(r#"{{"keys":[{deep}"#),
    ] {
        assert!(matches!(Document::read(text.as_bytes()), Err(Rubbish::NoDocument)), "{text:.60}");
    }
    assert!(Document::read(b"{\"jwks_uri\":\"\xff\"}").is_err());
}
