//! The login, and the identity endpoints of machines.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use graphhook::secret::Secret;
use graphhook::simulate::api::Options;
use graphhook::simulate::identity::Identity;
use hyper::Method;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::SUBSCRIPTIONS;
use crate::support::api::{Stand, claims};
use crate::support::https::{Reply, plain, request};
use crate::support::issuer::{APP, Key, OTHER_TENANT, TENANT, now};

/// The `error` of an OAuth answer, and the first of Microsoft's codes.
fn error(reply: &Reply) -> (u16, String, u64) {
    let body = reply.json();
    let code = body["error_codes"][0].as_u64().unwrap_or_default();
    let words = body["error_description"].as_str().expect("words");
    assert!(words.starts_with(&format!("AADSTS{code}: ")), "{words}");
    (reply.status, body["error"].as_str().expect("an error").to_owned(), code)
}

#[tokio::test]
async fn an_app_signs_in_with_its_secret() {
    let stand = Stand::with(|options| {
        options.directory.client_secret = Some(Secret::new("right".to_owned()));
        options.directory.apps = vec![APP.to_owned()];
        options.directory.tenants = vec![TENANT.to_owned()];
        options.directory.roles = vec!["Mail.Read".to_owned()];
    })
    .await;
    let good = [
        ("client_id", APP),
        ("client_secret", "right"),
        ("grant_type", "client_credentials"),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    let reply = stand.login("token", &good).await;
    let answer = reply.json();
    assert_eq!(
        (reply.status, &answer["token_type"], &answer["expires_in"]),
        (200, &json!("Bearer"), &json!(3_599))
    );
    let token = answer["access_token"].as_str().expect("a token");
    let said = claims(token);
    assert_eq!(
        (&said["appid"], &said["tid"], &said["roles"]),
        (&json!(APP), &json!(TENANT), &json!(["Mail.Read"]))
    );
    assert_eq!(said["exp"].as_u64().zip(said["iat"].as_u64()).map(|(exp, iat)| exp - iat), Some(3_599));

    for (name, value, expected) in [
        ("client_secret", "wrong", (401, "invalid_client", 7_000_215)),
        ("client_secret", "", (401, "invalid_client", 7_000_218)),
        ("client_id", "another app", (400, "unauthorized_client", 700_016)),
        ("client_id", "", (400, "invalid_request", 900_144)),
        ("scope", "https://graph.microsoft.com/Mail.Read", (400, "invalid_scope", 1_002_012)),
        ("grant_type", "password", (400, "unsupported_grant_type", 70_003)),
        ("grant_type", "refresh_token", (400, "invalid_request", 900_144)),
    ] {
        let fields = good.map(|(kept, old)| (kept, if kept == name { value } else { old }));
        let (status, word, code) = error(&stand.login("token", &fields).await);
        assert_eq!((status, word.as_str(), code), expected, "{name}={value}");
    }
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(good).finish();
    for (tenant, code) in [(OTHER_TENANT, 90_002), ("common", 50_059)] {
        let reply = stand.send(Method::POST, &format!("/{tenant}/oauth2/v2.0/token"), &[], &form).await;
        assert_eq!(error(&reply).2, code, "{tenant}");
    }
}

/// An assertion that this key has signed by RS256.
fn assertion(key: &Key, thumbprint: &str, audience: &str) -> String {
    let header = json!({ "alg": "RS256", "typ": "JWT", "x5t#S256": thumbprint });
    let (iat, exp) = (now(), now() + 300);
    let claims =
        json!({ "aud": audience, "iss": APP, "sub": APP, "jti": "1", "nbf": iat, "iat": iat, "exp": exp });
    key.sign(&header, &claims)
}

#[tokio::test]
async fn an_app_signs_in_with_its_certificate() {
    let (key, other) = (Key::generate("ours"), Key::generate("other"));
    let pair =
        KeyPair::from_pkcs8_der_and_sign_algo(&key.pkcs8().into(), &rcgen::PKCS_RSA_SHA256).expect("a key");
    let certificate = CertificateParams::default().self_signed(&pair).expect("a certificate");
    let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, certificate.der()));
    let pem = certificate.pem();
    let stand = Stand::with(|options| options.directory.client_certificate = Some(pem)).await;
    let origin = format!("https://localhost:{}", stand.api.address().port());
    let audience = format!("{origin}/{TENANT}/oauth2/v2.0/token");
    let ask = |assertion: String| {
        let stand = &stand;
        async move {
            let fields = [
                ("client_id", APP),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", assertion.as_str()),
                ("grant_type", "client_credentials"),
                ("scope", "https://graph.microsoft.com/.default"),
            ];
            stand.login("token", &fields).await
        }
    };
    let reply = ask(assertion(&key, &thumbprint, &audience)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    for (assertion, code) in [
        (assertion(&other, &thumbprint, &audience), 700_027),
        (assertion(&key, "another", &audience), 700_027),
        (assertion(&key, &thumbprint, "https://login.microsoftonline.com/"), 700_023),
        ("rubbish".to_owned(), 50_027),
    ] {
        assert_eq!(error(&ask(assertion).await), (401, "invalid_client".to_owned(), code));
    }
}

#[tokio::test]
async fn a_user_signs_in_on_another_device() {
    let stand = Stand::open().await;
    let begin = [("client_id", APP), ("scope", "https://graph.microsoft.com/Mail.Read offline_access")];
    let begun = stand.login("devicecode", &begin).await.json();
    let [code, user_code] =
        ["device_code", "user_code"].map(|name| begun[name].as_str().expect("a code").to_owned());
    assert!(begun["verification_uri"].as_str().is_some_and(|page| page.ends_with("/devicelogin")));
    let poll = |code: String| {
        let stand = &stand;
        async move {
            let grant = "urn:ietf:params:oauth:grant-type:device_code";
            stand
                .login("token", &[("client_id", APP), ("grant_type", grant), ("device_code", code.as_str())])
                .await
        }
    };
    for _ in 0..3 {
        assert_eq!(error(&poll(code.clone()).await), (400, "authorization_pending".to_owned(), 70_016));
    }
    assert!(!stand.api.decide("no such code", true));
    assert!(stand.api.decide(&user_code, true));
    let answer = poll(code.clone()).await.json();
    let said = claims(answer["access_token"].as_str().expect("a token"));
    assert_eq!((&said["scp"], &said["roles"]), (&json!("Mail.Read offline_access"), &Value::Null));
    assert_eq!(error(&poll(code).await).1, "invalid_grant");

    // Each refresh token is good for one more.
    let refresh = |token: String| {
        let stand = &stand;
        async move {
            let fields =
                [("client_id", APP), ("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
            stand.login("token", &fields).await
        }
    };
    let first = answer["refresh_token"].as_str().expect("a token").to_owned();
    let answer = refresh(first.clone()).await.json();
    let second = answer["refresh_token"].as_str().expect("a token").to_owned();
    assert_ne!(first, second);
    let token = answer["access_token"].as_str().expect("a token");
    assert_eq!(stand.call(token, Method::GET, SUBSCRIPTIONS, &Value::Null).await.status, 200);
    assert_eq!(error(&refresh(first).await), (400, "invalid_grant".to_owned(), 70_000));
    assert_eq!(refresh(second).await.status, 200);

    // By itself, not at all, and too late.
    stand.api.set(|settings| settings.device_polls = Some(1));
    let begun = stand.login("devicecode", &begin).await.json();
    let code = begun["device_code"].as_str().expect("a code");
    assert_eq!(error(&poll(code.to_owned()).await).1, "authorization_pending");
    assert_eq!(poll(code.to_owned()).await.status, 200);
    stand.api.set(|settings| settings.device_polls = None);
    for (approve, error_word) in [(Some(false), "authorization_declined"), (None, "expired_token")] {
        let begun = stand.login("devicecode", &begin).await.json();
        match approve {
            Some(approve) => assert!(stand.api.decide(begun["user_code"].as_str().expect("a code"), approve)),
            None => stand.api.advance(Duration::from_secs(901)),
        }
        assert_eq!(
            error(&poll(begun["device_code"].as_str().expect("a code").to_owned()).await).1,
            error_word
        );
    }
}

#[tokio::test]
async fn clients_find_what_they_look_for() {
    let stand = Stand::open().await;
    let origin = format!("https://localhost:{}", stand.api.address().port());
    for path in [
        format!("/{TENANT}/v2.0/.well-known/openid-configuration"),
        "/common/.well-known/openid-configuration".to_owned(),
    ] {
        let document = stand.send(Method::GET, &path, &[], "").await.json();
        let tenant = path.split('/').nth(1).expect("a tenant");
        assert_eq!(document["token_endpoint"], format!("{origin}/{tenant}/oauth2/v2.0/token"));
        assert_eq!(document["issuer"], format!("{origin}/{tenant}/v2.0"));
        let keys = document["jwks_uri"].as_str().and_then(|uri| uri.strip_prefix(&origin)).expect("a path");
        let keys = stand.send(Method::GET, keys, &[], "").await.json();
        assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["use"]), (&json!("RSA"), &json!("sig")));
    }
    let instance =
        stand.send(Method::GET, "/common/discovery/instance?api-version=1.1", &[], "").await.json();
    assert!(instance["tenant_discovery_endpoint"].as_str().is_some_and(|uri| uri.starts_with(&origin)));
}

#[tokio::test]
async fn machines_have_identities_of_their_own() {
    let free = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let stand = Stand::with(|options: &mut Options| options.identity_listen = Some(free)).await;
    let address = stand.api.identity_address().expect("a second address");
    let query = "api-version=2018-02-01&resource=https%3A%2F%2Fgraph.microsoft.com%2F";
    for (path, header, status) in [
        (format!("/metadata/identity/oauth2/token?{query}"), Some(("metadata", "true")), 200),
        (format!("/metadata/identity/oauth2/token?{query}"), Some(("metadata", "yes")), 400),
        (format!("/metadata/identity/oauth2/token?{query}"), None, 400),
        (
            "/metadata/identity/oauth2/token?api-version=2018-02-01".to_owned(),
            Some(("metadata", "true")),
            400,
        ),
        (format!("/msi/token?{query}&client_id=mine"), Some(("x-identity-header", "a guid")), 200),
        (format!("/msi/token?{query}"), None, 400),
    ] {
        let headers: Vec<_> = header.into_iter().collect();
        let reply = plain(address, request(Method::GET, &path, &headers, "")).await.expect("an answer");
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        let answer = reply.json();
        if status != 200 {
            assert_eq!(answer["error"], "invalid_request");
            continue;
        }
        let on: u64 =
            answer["expires_on"].as_str().and_then(|on| on.parse().ok()).expect("a number in a string");
        let unix =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is right").as_secs();
        assert!((unix + 3_500..unix + 3_700).contains(&on), "{on}");
        let token = answer["access_token"].as_str().expect("a token");
        assert_eq!(stand.call(token, Method::GET, SUBSCRIPTIONS, &Value::Null).await.status, 200);
        assert_eq!(answer["client_id"], claims(token)["appid"]);
    }
    // Nothing else can be had without TLS.
    let login = request(Method::POST, &format!("/{TENANT}/oauth2/v2.0/token"), &[], "client_id=a");
    assert_eq!(plain(address, login).await.expect("an answer").status, 404);
}

#[tokio::test]
async fn without_tls_it_is_the_same() {
    let options = Options { identity: Identity::Plain, ..Options::local() };
    let api = graphhook::simulate::api::Api::start(options).await.expect("the stand-in starts");
    assert!(api.origin().starts_with("http://127.0.0.1:") && api.authority().is_none());
    let form = "client_id=a&client_secret=b&grant_type=client_credentials&scope=https://graph.microsoft.com/.default";
    let path = format!("/{TENANT}/oauth2/v2.0/token");
    let reply = plain(api.address(), request(Method::POST, &path, &[], form)).await.expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
}
