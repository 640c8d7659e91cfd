//! What does not need a daemon to be shown.

mod turns;
mod verdicts;

use std::time::Duration;

use hyper::Uri;
use serde_json::Value;

use super::*;
use crate::{
    config::ClientState,
    notification::Batch,
    secret::Secret,
    verify::{Verifier, decrypt::PrivateKey, keys::KeySource, token::Expectations},
};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/vector-own-decryption.json")).expect("JSON")
}

/// The key of the vectors under this name.
fn key(id: &str) -> RichKey {
    let vectors = vectors();
    let pem = vectors["certificate"]["private_key_pkcs8_pem"].as_str().expect("PEM");
    let private_key = Arc::new(PrivateKey::from_pem(pem).expect("a key"));
    RichKey { id: id.to_owned(), private_key, certificate: None }
}

/// A judge with these keys, and so many turns.
fn judge(keys: Vec<RichKey>, turns: usize) -> Rich {
    let config = config::Rich {
        deliver: Deliver::Opened,
        expectations: Expectations {
            app_ids: HashSet::new(),
            tenants: HashSet::new(),
            issuer_v1: String::new(),
            issuer_v2: String::new(),
            publisher: String::new(),
            clock_skew: Duration::ZERO,
        },
        signing_keys: KeySource {
            documents: vec![Uri::default()],
            ca_file: None,
            refresh_after: Duration::from_secs(1),
        },
        keys,
    };
    let metrics = Metrics::new();
    let turns = Turns { free: Arc::new(Semaphore::new(turns)), ..Turns::new(turns.max(1)) };
    Rich::new(config, Keys::new(&metrics).0, turns, metrics)
}

/// What becomes of a collection whose items have the clientState "secret".
fn verified(body: &[u8]) -> Verified<'_> {
    let state = ClientState {
        name: "test".to_owned(),
        secret: Secret::new("secret".to_owned()),
        subscriptions: HashSet::new(),
        tenants: HashSet::new(),
        silent_after: None,
    };
    Verifier::new(&[state]).verify(Batch::parse(body, 100).expect("a batch"))
}
