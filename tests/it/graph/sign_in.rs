//! All ways of signing in.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use graphhook::config::SignIn;
use graphhook::error::Chain;
use graphhook::graph::auth::{AuthError, sign_in};
use graphhook::graph::{Graph, GraphError};
use graphhook::secret::Secret;
use graphhook::simulate::api::{Fault, Operation};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use super::{CLIENT_SECRET, Desk, by_secret};

fn rsa() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key")
}

#[tokio::test]
async fn an_app_signs_in_by_its_secret_and_by_no_other() {
    let right = Secret::new(CLIENT_SECRET.to_owned());
    let desk = Desk::with(|options| options.directory.client_secret = Some(right)).await;
    desk.graph().await.list().await.expect("a list");
    let wrong = SignIn::ClientSecret(Secret::new("wr0ng-secret".to_owned()));
    let error = desk.graph_by(&desk.settings(wrong)).await.list().await.expect_err("it is another");
    let GraphError::SignIn(AuthError::Refused(said)) = &error else { panic!("{error:?}") };
    assert_eq!((said.error.as_str(), said.codes.len()), ("invalid_client", 1));
    let shown = format!("{error:?} {}", Chain(&error));
    assert!(!shown.contains("wr0ng-secret") && shown.contains("AADSTS"), "{shown}");
    assert!(!error.is_worth_a_retry());
}

#[tokio::test]
async fn an_app_signs_in_by_its_certificate() {
    let key = rsa();
    let certificate = CertificateParams::default().self_signed(&key).expect("a certificate");
    let pem = certificate.pem();
    let desk = Desk::with(|options| options.directory.client_certificate = Some(pem)).await;
    let by = |key: &KeyPair| SignIn::Certificate {
        certificate: certificate.der().to_vec(),
        private_key: Secret::new(key.serialize_pem()),
    };
    desk.graph_by(&desk.settings(by(&key))).await.list().await.expect("a list");
    // The platform knows the certificate, and this key is not its own.
    let error = desk.graph_by(&desk.settings(by(&rsa()))).await.list().await.expect_err("it is another");
    assert!(matches!(error, GraphError::SignIn(AuthError::Refused(_))), "{error:?}");
    let none = SignIn::Certificate { certificate: Vec::new(), private_key: Secret::new("no key".to_owned()) };
    let error = Graph::new(&desk.settings(none), desk.metrics.clone()).await.expect_err("that is no key");
    assert!(matches!(error, GraphError::SignIn(AuthError::Key(_))), "{error:?}");
}

#[tokio::test]
async fn a_machine_signs_in_by_what_it_is() {
    let local = "127.0.0.1:0".parse().expect("an address");
    let desk = Desk::with(|options| options.identity_listen = Some(local)).await;
    let at = desk.stand.api.identity_address().expect("it listens");
    for (path, header) in [("/metadata/identity/oauth2/token", None), ("/msi/token", Some("he4der-secret"))] {
        for identity in [None, Some("2dbc1e5b-0a1f-4d3c-9f3a-0a1b2c3d4e5f")] {
            let settings = desk.settings(SignIn::ManagedIdentity {
                endpoint: format!("http://{at}{path}").parse().expect("a URL"),
                header: header.map(|header| Secret::new(header.to_owned())),
                identity: identity.map(str::to_owned),
            });
            let graph = desk.graph_by(&settings).await;
            graph.list().await.expect("a list");
            let claims = graph.token_claims().await.expect("a token");
            assert!(identity.is_none() || claims.app_id.as_deref() == identity, "{claims:?}");
        }
    }
    assert_eq!(desk.calls(Operation::Identity).len(), 4);
    // No token of a machine is for the identity platform: its login was not asked.
    assert_eq!(desk.calls(Operation::Token).len(), 0);
    desk.stand.api.fail(Fault::status(Operation::Identity, 429));
    let settings = desk.settings(SignIn::ManagedIdentity {
        endpoint: format!("http://{at}/metadata/identity/oauth2/token").parse().expect("a URL"),
        header: None,
        identity: None,
    });
    desk.graph_by(&settings).await.list().await.expect("at the second try");
}

#[tokio::test]
async fn a_program_knows_a_token() {
    let desk = Desk::open().await;
    let token = desk.stand.token().await;
    let script = desk.directory.path().join("token");
    let write = |text: &str| {
        fs::write(&script, format!("#!/bin/sh\n{text}\n")).expect("it can be written");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("it can be run");
    };
    let program = vec![script.to_str().expect("text").to_owned(), "graph; exit 9".to_owned()];
    for (text, works) in [
        (format!("echo {token}"), true),
        (format!(r#"echo '{{"accessToken": "{token}", "expires_on": 4102444800}}'"#), true),
        // Its arguments come as they are: nothing reads them as a shell would.
        (format!(r#"[ "$1" = "graph; exit 9" ] && echo {token}"#), true),
        (format!("echo {token} >&2; exit 1"), false),
    ] {
        write(&text);
        let graph = desk.graph_by(&desk.settings(SignIn::Command(program.clone()))).await;
        match graph.list().await {
            Ok(_) => assert!(works, "{text}"),
            Err(error) => {
                assert!(!works && matches!(error, GraphError::SignIn(AuthError::Exit(_))), "{error:?}");
                assert!(!format!("{error:?} {}", Chain(&error)).contains(&token));
            }
        }
    }
}

fn user() -> SignIn {
    SignIn::DeviceCode { scopes: vec!["Presence.Read.All".to_owned()] }
}

fn kept(state: &Path) -> String {
    fs::read_to_string(state.join("refresh-token")).expect("it is kept")
}

#[tokio::test]
async fn a_user_signs_in_once_and_it_lasts_over_restarts() {
    let desk = Desk::open().await;
    let settings = desk.settings(user());
    let before = desk.graph_by(&settings).await.list().await.expect_err("nobody is signed in");
    assert!(matches!(before, GraphError::SignIn(AuthError::SignInAgain { why: None })), "{before:?}");
    assert!(desk.stand.api.journal().is_empty());

    // Two questions are answered with "not yet".
    desk.stand.api.set(|settings| settings.device_polls = Some(2));
    let mut shown = None;
    let signed_in = sign_in(&settings, |prompt| shown = Some(prompt.clone())).await.expect("he signs in");
    let shown = shown.expect("he was told");
    assert!(shown.verification_uri.ends_with("/devicelogin") && !shown.user_code.is_empty(), "{shown:?}");
    assert!(signed_in.claims.expect("a JWT").permits("Presence.Read.All"));
    assert_eq!(desk.calls(Operation::Token).len(), 3);

    // Each restart trades the refresh token for another, and the one before is good no more.
    let mut tokens = vec![kept(&desk.state())];
    for _ in 0..3 {
        let graph = desk.graph_by(&settings).await;
        graph.list().await.expect("he is signed in");
        assert!(graph.token_claims().await.expect("a token").is_delegated());
        let kept = kept(&desk.state());
        assert!(!tokens.contains(&kept), "it was not replaced");
        tokens.push(kept);
    }
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&desk.state()), mode(&desk.state().join("refresh-token"))), (0o700, 0o600));

    // With one of before he must sign in again, and is told so.
    fs::write(desk.state().join("refresh-token"), &tokens[0]).expect("it can be written");
    let error = desk.graph_by(&settings).await.list().await.expect_err("it is spent");
    let GraphError::SignIn(AuthError::SignInAgain { why: Some(said) }) = &error else { panic!("{error:?}") };
    assert_eq!(said.error, "invalid_grant");
    let words = format!("{error:?} {}", Chain(&error));
    assert!(words.contains("subscriptions sign-in") && !words.contains(tokens[0].trim()), "{words}");
}

/// Two processes have the same refresh token, and the platform takes each but once.
#[tokio::test]
async fn processes_that_share_a_user_do_not_sign_each_other_out() {
    let desk = Desk::open().await;
    let settings = desk.settings(user());
    desk.stand.api.set(|settings| settings.device_polls = Some(0));
    sign_in(&settings, |_| {}).await.expect("he signs in");
    let (one, other) = (desk.graph_by(&settings).await, desk.graph_by(&settings).await);
    for _ in 0..3 {
        one.list().await.expect("he is signed in");
        other.list().await.expect("and here, too");
        // Both need another token the next time.
        desk.stand.api.fail(Fault::status(Operation::List, 401).times(2));
        one.list().await.expect_err("twice refused");
        desk.stand.api.fail(Fault::status(Operation::List, 401).times(2));
        other.list().await.expect_err("twice refused");
    }
}

#[tokio::test]
async fn who_declines_is_not_signed_in() {
    let desk = Desk::open().await;
    let settings = desk.settings(user());
    let api = desk.stand.api.clone();
    let declined = sign_in(&settings, |prompt| assert!(api.decide(&prompt.user_code, false))).await;
    assert!(matches!(declined, Err(AuthError::Declined)), "{declined:?}");
    assert!(!desk.state().join("refresh-token").exists());
    let nobody = sign_in(&desk.settings(by_secret()), |_| panic!("no user signs in so")).await;
    assert!(matches!(nobody, Err(AuthError::NoUser)), "{nobody:?}");
}

/// Who cannot keep the token is told before the user has done anything.
#[tokio::test]
async fn a_token_that_cannot_be_kept_is_not_asked_for() {
    let desk = Desk::open().await;
    let mut settings = desk.settings(user());
    settings.directory = Path::new("/dev/null/state").to_owned();
    let error = sign_in(&settings, |_| panic!("nobody is told")).await.expect_err("there is no such place");
    assert!(matches!(error, AuthError::Keep { .. }), "{error:?}");
    assert!(desk.stand.api.journal().is_empty());
}
