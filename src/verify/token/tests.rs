//! The vectors of tests/data, and every check by itself.

use aws_lc_rs::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;

const VECTORS: &str = include_str!("../../../tests/data/vector-jwt-validation.json");

fn vectors() -> Value {
    serde_json::from_str(VECTORS).expect("JSON")
}

fn clock() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(vectors()["reference_clock_unix"].as_u64().expect("a time"))
}

fn keys() -> SigningKeys {
    SigningKeys::read(vectors()["jwks"].to_string().as_bytes()).expect("keys")
}

fn ids(value: &Value) -> HashSet<String> {
    value.as_array().expect("a list").iter().map(|id| id.as_str().expect("an id").to_owned()).collect()
}

fn expectations() -> Expectations {
    let vectors = vectors();
    Expectations {
        app_ids: ids(&vectors["expected_app_ids"]),
        tenants: ids(&vectors["expected_tenant_ids"]),
        issuer_v1: "https://sts.windows.net/{tenant}/".to_owned(),
        issuer_v2: "https://login.microsoftonline.com/{tenant}/v2.0".to_owned(),
        publisher: vectors["publisher_app_id"].as_str().expect("an id").to_owned(),
        clock_skew: Duration::from_secs(300),
    }
}

/// Signs as the test key of the vectors does.
fn signed(header: &Value, claims: &Value) -> String {
    signed_text(header, &claims.to_string())
}

fn signed_text(header: &Value, claims: &str) -> String {
    let vectors = vectors();
    let pem = vectors["test_signing_private_key_pkcs8_pem"].as_str().expect("PEM");
    let der: rustls::pki_types::PrivatePkcs8KeyDer<'_> =
        rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).expect("a key");
    let key = KeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("an RSA key");
    let encoded = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", encoded(&header.to_string()), encoded(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).expect("signs");
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn header() -> Value {
    json!({ "typ": "JWT", "alg": "RS256", "kid": "test-signing-key-1" })
}

/// Claims of the vector of this name.
fn claims(name: &str) -> Value {
    let vectors = vectors();
    let token = vectors["tokens"].as_array().expect("a list").iter().find(|token| token["name"] == name);
    token.expect(name)["claims"].clone()
}

#[track_caller]
fn check(token: &str, expected: Result<&str, TokenFault>) {
    let verdict = expectations().judge(token, &keys(), clock());
    assert_eq!(verdict.as_deref().map_err(|fault| *fault), expected);
}

#[test]
fn every_vector_has_its_verdict() {
    let expected = [
        ("expired", TokenFault::Expired),
        ("not-yet-valid", TokenFault::NotYetValid),
        ("wrong-audience", TokenFault::Audience),
        ("wrong-publisher-azp", TokenFault::Publisher),
        ("wrong-publisher-appid", TokenFault::Publisher),
        ("publisher-claim-missing", TokenFault::Publisher),
        ("publisher-in-wrong-claim", TokenFault::Publisher),
        ("wrong-issuer-host", TokenFault::Issuer),
        ("issuer-tenant-differs-from-tid", TokenFault::Issuer),
        ("unknown-tenant", TokenFault::Tenant),
        ("issuer-v1-without-slash", TokenFault::Issuer),
        ("alg-none", TokenFault::Malformed),
        ("alg-hs256-with-public-key", TokenFault::Algorithm),
        ("unknown-kid", TokenFault::UnknownKey),
        ("known-kid-wrong-key", TokenFault::Signature),
        ("payload-altered", TokenFault::Signature),
        ("not-a-jwt", TokenFault::Malformed),
        ("empty-string", TokenFault::Malformed),
        ("jwt-with-padding", TokenFault::Malformed),
    ];
    let vectors = vectors();
    let tokens = vectors["tokens"].as_array().expect("a list");
    for token in tokens {
        let name = token["name"].as_str().expect("a name");
        let verdict = expectations().judge(token["token"].as_str().expect("a token"), &keys(), clock());
        match expected.iter().find(|(other, _)| *other == name) {
            Some((_, fault)) => assert_eq!(verdict.map(|_| ()), Err(*fault), "{name}"),
            None => {
                assert!(matches!(token["expect"].as_str(), Some("valid" | "policy")), "{name}");
                assert_eq!(verdict.as_deref().ok(), token["claims"]["tid"].as_str(), "{name}");
            }
        }
    }
    assert_eq!(tokens.len(), expected.len() + 5);
}

#[test]
fn clocks_may_differ_by_so_much() {
    let v2 = claims("valid-v2-tenant-A");
    let exact = Expectations { clock_skew: Duration::ZERO, ..expectations() };
    let at = |seconds: i64| {
        let moment = v2["exp"].as_i64().expect("a time") + seconds;
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(moment).expect("after 1970"))
    };
    let token = signed(&header(), &v2);
    let judge = |expected: &Expectations, now| expected.judge(&token, &keys(), now).map(|_| ());
    assert_eq!(judge(&exact, at(-1)), Ok(()));
    assert_eq!(judge(&exact, at(0)), Err(TokenFault::Expired));
    assert_eq!(judge(&expectations(), at(299)), Ok(()));
    assert_eq!(judge(&expectations(), at(300)), Err(TokenFault::Expired));
    let nbf = v2["nbf"].as_u64().expect("a time");
    let begin = |before: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(nbf - before);
    assert_eq!(judge(&exact, begin(0)), Ok(()));
    assert_eq!(judge(&exact, begin(1)), Err(TokenFault::NotYetValid));
    assert_eq!(judge(&expectations(), begin(300)), Ok(()));
    assert_eq!(judge(&expectations(), begin(301)), Err(TokenFault::NotYetValid));
    assert_eq!(judge(&expectations(), SystemTime::UNIX_EPOCH), Err(TokenFault::NotYetValid));
}

#[test]
fn every_claim_is_needed_and_looked_at() {
    let tenant = "8afd02d6-ebdd-4270-a515-c749898ea5c5";
    check(&signed(&header(), &claims("valid-v2-tenant-A")), Ok(tenant));
    for name in ["valid-v1-tenant-A", "valid-v2-tenant-A"] {
        for claim in ["aud", "iss", "tid", "ver", "exp", "nbf"] {
            let mut claims = claims(name);
            claims.as_object_mut().expect("an object").remove(claim);
            check(&signed(&header(), &claims), Err(TokenFault::Malformed));
        }
    }
    for (claim, value, fault) in [
        ("aud", json!(["925bff9f-f6e2-4a69-b858-f71ea2b9b6d0"]), TokenFault::Malformed),
        ("aud", json!("api://925bff9f-f6e2-4a69-b858-f71ea2b9b6d0"), TokenFault::Audience),
        ("aud", json!(""), TokenFault::Audience),
        ("exp", json!("1780398300"), TokenFault::Malformed),
        ("exp", json!(-1), TokenFault::Malformed),
        ("exp", json!(0), TokenFault::Expired),
        ("nbf", json!(u64::MAX), TokenFault::NotYetValid),
        ("ver", json!("3.0"), TokenFault::Malformed),
        ("ver", json!("1.0"), TokenFault::Issuer),
        ("ver", json!(2.0), TokenFault::Malformed),
        ("tid", json!("common"), TokenFault::Issuer),
        ("tid", json!(""), TokenFault::Issuer),
        ("azp", json!(null), TokenFault::Publisher),
        ("azp", json!(["0bf30f3b-4a52-48df-9a82-234910c4a086"]), TokenFault::Malformed),
        ("iss", json!(format!("https://login.microsoftonline.com/{tenant}/v2.0/")), TokenFault::Issuer),
        ("iss", json!(format!("https://login.microsoftonline.us/{tenant}/v2.0")), TokenFault::Issuer),
        ("iss", json!(format!("http://login.microsoftonline.com/{tenant}/v2.0")), TokenFault::Issuer),
    ] {
        let mut claims = claims("valid-v2-tenant-A");
        claims[claim] = value;
        check(&signed(&header(), &claims), Err(fault));
    }
    // Not even a signed token brings an issuer of its own.
    let mut claims = claims("valid-v2-tenant-A");
    claims["tid"] = json!("evil.example/x?");
    claims["iss"] = json!("https://login.microsoftonline.com/evil.example/x?/v2.0");
    check(&signed(&header(), &claims), Err(TokenFault::Issuer));
}

#[test]
fn a_claim_that_stands_there_twice_is_none() {
    let claims = claims("valid-v2-tenant-A").to_string();
    let twice = claims.replacen('{', r#"{"aud":"925bff9f-f6e2-4a69-b858-f71ea2b9b6d0","#, 1);
    check(&signed_text(&header(), &twice), Err(TokenFault::Malformed));
}

#[test]
fn the_head_of_a_token_chooses_nothing_but_a_key() {
    let claims = claims("valid-v2-tenant-A");
    let tenant = "8afd02d6-ebdd-4270-a515-c749898ea5c5";
    let with = |name: &str, value: Value| {
        let mut header = header();
        header[name] = value;
        signed(&header, &claims)
    };
    check(&with("jku", json!("https://evil.example/keys")), Ok(tenant));
    check(&with("x5u", json!("https://evil.example/cert")), Ok(tenant));
    check(&with("crit", json!(["exp"])), Err(TokenFault::Algorithm));
    check(&with("alg", json!("RS512")), Err(TokenFault::Algorithm));
    check(&with("alg", json!("PS256")), Err(TokenFault::Algorithm));
    check(&with("kid", json!("other")), Err(TokenFault::UnknownKey));
    check(&with("kid", json!(null)), Err(TokenFault::Malformed));
    for alg in ["none", "None", "nOnE", "", "HS256"] {
        let token = with("alg", json!(alg));
        assert!(expectations().judge(&token, &keys(), clock()).is_err(), "{alg}");
        let unsigned = token.rsplit_once('.').map(|(message, _)| format!("{message}.")).expect("three parts");
        assert!(expectations().judge(&unsigned, &keys(), clock()).is_err(), "{alg}");
    }
}

#[test]
fn ids_are_the_same_in_any_case() {
    let mut claims = claims("valid-v2-tenant-A");
    claims["aud"] = json!("925BFF9F-F6E2-4A69-B858-F71EA2B9B6D0");
    claims["azp"] = json!("0BF30F3B-4A52-48DF-9A82-234910C4A086");
    check(&signed(&header(), &claims), Ok("8afd02d6-ebdd-4270-a515-c749898ea5c5"));
}

#[test]
fn a_key_signs_for_its_issuer_alone() {
    let token = signed(&header(), &claims("valid-v2-tenant-A"));
    let v1 = signed(&header(), &claims("valid-v1-tenant-A"));
    let of_issuer = |issuer: Value| {
        let mut jwks = vectors()["jwks"].clone();
        jwks["keys"][0]["issuer"] = issuer;
        SigningKeys::read(jwks.to_string().as_bytes()).expect("keys")
    };
    let tenant_a = "https://login.microsoftonline.com/8afd02d6-ebdd-4270-a515-c749898ea5c5/v2.0";
    let tenant_b = "https://login.microsoftonline.com/9f4ebab6-520d-49c0-85cc-7b25c78d4a93/v2.0";
    for (issuer, expected) in [
        (json!(null), true),
        (json!("https://login.microsoftonline.com/{tenantid}/v2.0"), true),
        (json!(tenant_a), true),
        (json!(tenant_b), false),
        (json!("https://login.microsoftonline.us/{tenantid}/v2.0"), false),
        (json!(""), false),
    ] {
        for token in [&token, &v1] {
            let verdict = expectations().judge(token, &of_issuer(issuer.clone()), clock());
            assert_eq!(verdict.is_ok(), expected, "{issuer}");
            assert!(expected || verdict == Err(TokenFault::Issuer), "{issuer}");
        }
    }
}

#[test]
fn a_token_has_its_measure() {
    let with = |bytes: usize| {
        let mut header = header();
        header["x"] = json!("x".repeat(bytes));
        signed(&header, &claims("valid-v2-tenant-A"))
    };
    let (short, long) = (with(3_000), with(8_000));
    assert!(short.len() < TOKEN_BYTES_MAX && TOKEN_BYTES_MAX < long.len());
    check(&short, Ok("8afd02d6-ebdd-4270-a515-c749898ea5c5"));
    check(&long, Err(TokenFault::Malformed));
}
