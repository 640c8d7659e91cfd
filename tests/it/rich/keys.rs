//! The keys that tokens are signed with: asked for seldom, by nobody's word but the configuration's, and kept when who
//! has them fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::{Value, json};

use super::{Desk, check_accepted, check_unavailable};
use crate::support::cut::Cut;
use crate::support::daemon::Daemon;
use crate::support::eventually::eventually;
use crate::support::graph::{created, post as post_plain};
use crate::support::https::Reply;
use crate::support::issuer::{Issuer, Key, Manner, TENANT, V1_CONFIGURATION, V2_CONFIGURATION, claims_v2};
use crate::support::rich::{Recipient, post, rich};
use crate::support::site::{Content, Site, answer};

/// Documents of keys that a daemon of these tests is told of.
const DOCUMENTS: usize = 2;

fn fetches(result: &str) -> String {
    format!(r#"graphhook_signing_key_fetches_total{{result="{result}"}}"#)
}

fn token(key: &Key) -> String {
    key.sign(&key.header(), &claims_v2(TENANT))
}

impl Desk {
    /// POSTs one sealed item with this token, on a connection of its own.
    async fn present(&self, id: &str, token: &str) -> Reply {
        post(&self.daemon.client(), &[self.item(id)], &json!([token])).await
    }

    /// The item passes.
    async fn check_passes_by(&self, id: &str, token: &str) {
        check_accepted(&self.present(id, token).await);
        assert_eq!(self.queue.take(1).await[0].message_id, id);
    }

    /// The item is answered like any other, and refused.
    async fn check_refused_by(&self, id: &str, token: &str) {
        check_accepted(&self.present(id, token).await);
        let refused = self.quarantine.take(1).await.remove(0);
        assert_eq!((refused.message_id.as_str(), refused.header("graphhook-reason")), (id, "bad_token"));
    }

    /// POSTs so many at once, each on a connection of its own, all with this token.
    async fn crowd(&self, token: &str, many: usize) -> Vec<Reply> {
        let items: Vec<_> = (0..many).map(|number| [self.item(&format!("crowd-{number}"))]).collect();
        let tokens = json!([token]);
        let clients: Vec<_> = items.iter().map(|_| self.daemon.client()).collect();
        join_all(items.iter().zip(&clients).map(|(items, client)| post(client, items, &tokens))).await
    }
}

/// A hundred requests come before the first keys do: they are fetched once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_keys_are_fetched_once_for_all() {
    let (issuer, recipient) = (Issuer::open().await, Recipient::generate("2026-11"));
    issuer.behaves(Manner::Hangs);
    let configuration = issuer.trusted(Daemon::configure(), "sealed");
    let daemon = configuration.set("server", "answer_within", r#""30s""#).connected().await;
    let content = recipient.seal("{}");
    let tokens = json!([issuer.token(TENANT)]);
    let clients: Vec<_> =
        (0..100).map(|number| (daemon.client(), [rich(&format!("{number}"), TENANT, &content)])).collect();
    let release = async {
        daemon.eventually_metric("graphhook_connections", |open| open >= 100.0).await;
        // Nothing else waits for keys.
        check_accepted(&post_plain(&daemon.client(), [created("plain")]).await);
        assert_eq!(daemon.metrics().await.get("graphhook_signing_keys"), 0.0);
        issuer.behaves(Manner::Serves);
    };
    let all = join_all(clients.iter().map(|(client, items)| post(client, items, &tokens)));
    let (replies, ()) = tokio::join!(all, release);
    replies.iter().for_each(check_accepted);
    assert_eq!(issuer.times_asked_for_keys(), DOCUMENTS, "{:?}", issuer.asked());
    let published = r#"graphhook_notifications_outcome_total{outcome="published"}"#;
    assert_eq!(daemon.metrics().await.get(published), 101.0);
}

/// A key that nobody has seen yet is fetched by the first who needs it; who comes in the meantime shares the next fetch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_is_fetched_once_for_many() {
    let desk = Desk::checks(|configuration| configuration.set("server", "answer_within", r#""30s""#)).await;
    desk.check_passes_by("before", &desk.issuer.token(TENANT)).await;
    let old = desk.issuer.token(TENANT);
    desk.issuer.roll("key-2");
    desk.issuer.behaves(Manner::Hangs);
    let before = desk.issuer.times_asked_for_keys();
    let new = desk.issuer.token(TENANT);
    let release = async {
        desk.daemon.eventually_metric("graphhook_connections", |open| open >= 100.0).await;
        // Who has a known key does not wait.
        check_accepted(&desk.present("known", &old).await);
        desk.issuer.behaves(Manner::Serves);
    };
    let (replies, ()) = tokio::join!(desk.crowd(&new, 100), release);
    replies.iter().for_each(check_accepted);
    let asked = (desk.issuer.times_asked_for_keys() - before) / DOCUMENTS;
    assert!((1..=3).contains(&asked), "{asked} fetches for a hundred requests");
    desk.check_books(102, 0, 0).await;
    assert_eq!(desk.daemon.metrics().await.get("graphhook_signing_keys"), 2.0);
}

/// A key that is published no more is believed until the next fetch, and not after it.
#[tokio::test]
async fn a_retired_key_is_believed_no_more() {
    let desk = Desk::checks(|configuration| configuration).await;
    let old = desk.issuer.token(TENANT);
    desk.issuer.roll("key-2");
    desk.issuer.retire_old_keys();
    desk.check_passes_by("before", &old).await;
    desk.check_passes_by("new", &desk.issuer.token(TENANT)).await;
    desk.check_refused_by("after", &old).await;
    desk.check_books(2, 1, 0).await;
}

/// Keys are fetched again when they are old, without anybody asking.
#[tokio::test]
async fn old_keys_are_fetched_again() {
    let desk =
        Desk::checks(|configuration| configuration.set("rich", "refresh_keys_after", r#""100ms""#)).await;
    desk.issuer.roll("key-2");
    desk.issuer.roll("key-3");
    desk.daemon.eventually_metric("graphhook_signing_keys", |keys| keys == 3.0).await;
    desk.issuer.retire_old_keys();
    desk.daemon.eventually_metric("graphhook_signing_keys", |keys| keys == 1.0).await;
    let fetched = desk.daemon.metrics().await.get("graphhook_signing_keys_fetched_timestamp_seconds");
    assert!(fetched > 1.7e9, "{fetched}");
    desk.check_passes_by("new", &desk.issuer.token(TENANT)).await;
}

/// Key sets that hold no key, each in its own way.
fn without_keys(key: &Key) -> Vec<(&'static str, String)> {
    let with = |changes: Value| {
        let mut published = key.published();
        for (name, value) in changes.as_object().expect("an object") {
            published[name] = value.clone();
        }
        json!({ "keys": [published] }).to_string()
    };
    let weak = &key.published()["n"].as_str().expect("a number")[..171].to_owned();
    let secret = BASE64_URL_SAFE_NO_PAD.encode("a secret that is no key of ours.");
    vec![
        ("no JSON", "<!doctype html><title>Sign in</title>".to_owned()),
        ("empty", json!({ "keys": [] }).to_string()),
        ("weak", with(json!({ "n": weak }))),
        (
            "symmetric",
            json!({ "keys": [{ "kty": "oct", "kid": key.id, "alg": "HS256", "k": secret }] }).to_string(),
        ),
        ("private", with(json!({ "d": secret }))),
        ("for encryption", with(json!({ "use": "enc" }))),
    ]
}

/// Whatever who has the keys says instead of them, those that are known stay in force, and rubbish adds none.
#[tokio::test]
async fn known_keys_outlive_rubbish() {
    let configure = |configuration: crate::support::daemon::Configuration| {
        configuration.set("rich", "refresh_keys_after", r#""100ms""#)
    };
    let desk = Desk::checks(configure).await;
    let known = desk.issuer.token(TENANT);
    let next = desk.issuer.roll("key-2");
    desk.daemon.eventually_metric("graphhook_signing_keys", |keys| keys == 2.0).await;
    let key_set = json!({ "keys": [next.published()] }).to_string();
    let mut manners = vec![
        ("500", Manner::Answers(500, key_set.clone()), "unanswered"),
        ("404", Manner::Answers(404, key_set.clone()), "unanswered"),
        ("204", Manner::Answers(204, String::new()), "unanswered"),
        ("HTML", Manner::Answers(200, "<!doctype html>".to_owned()), "unusable"),
        ("no end", Manner::Answers(200, key_set.clone() + &" ".repeat(300 << 10)), "unanswered"),
        ("a redirect", Manner::Redirects(desk.issuer.url("/evil/keys")), "unanswered"),
        (
            "itself",
            Manner::Answers(200, json!({ "jwks_uri": desk.issuer.url(V2_CONFIGURATION) }).to_string()),
            "unusable",
        ),
        ("nowhere", Manner::Answers(200, json!({ "jwks_uri": "https://" }).to_string()), "unusable"),
    ];
    let rubbish = without_keys(&next).into_iter();
    manners.extend(rubbish.map(|(name, keys)| (name, Manner::Publishes(keys), "unusable")));
    for (name, manner, result) in manners {
        let before = desk.daemon.metrics().await.get(&fetches(result));
        desk.issuer.behaves(manner);
        desk.daemon.eventually_metric(&fetches(result), |count| count >= before + DOCUMENTS as f64).await;
        assert_eq!(desk.daemon.metrics().await.get("graphhook_signing_keys"), 2.0, "{name}");
        desk.check_passes_by(name, &known).await;
        let well = desk.daemon.metrics().await.get(&fetches("ok"));
        desk.issuer.behaves(Manner::Serves);
        desk.daemon.eventually_metric(&fetches("ok"), |count| count > well).await;
    }
    assert!(!desk.issuer.asked().iter().any(|path| path.contains("evil")), "a redirect was followed");
    assert!(desk.daemon.log().contains("those that are known stay in force"));
    desk.daemon.eventually_logs("are there again").await;
}

/// A key that cannot be looked for: Graph is told to come again, and does not come in vain.
#[tokio::test]
async fn an_unknown_key_waits_for_a_server_that_fails() {
    for (name, manner) in [
        ("fails", Manner::Answers(500, String::new())),
        ("hangs", Manner::Hangs),
        ("lies", Manner::Publishes(json!({ "keys": [] }).to_string())),
    ] {
        let desk = Desk::checks(|configuration| configuration).await;
        let known = desk.issuer.token(TENANT);
        desk.issuer.roll("key-2");
        desk.issuer.behaves(manner);
        let new = desk.issuer.token(TENANT);
        check_unavailable(&desk.present("new", &new).await);
        assert_eq!(desk.queue.count().await, 0, "{name}");
        desk.check_passes_by("known", &known).await;
        // Only what hangs on a token waits for one: a plain item beside it is repeated with it, one by itself is not.
        check_accepted(&post_plain(&desk.daemon.client(), [created("plain")]).await);
        assert_eq!(desk.queue.take(1).await[0].message_id, "plain");
        let both = [created("beside"), desk.item("new")];
        check_unavailable(&desk.post(&both, &json!([new])).await);
        desk.check_books(2, 0, 3).await;
        desk.daemon.eventually_logs("answered 503").await;
        desk.issuer.behaves(Manner::Serves);
        eventually("an answer 202", async || (desk.present("new", &new).await.status == 202).then_some(()))
            .await;
        assert_eq!(desk.queue.take(1).await[0].message_id, "new", "{name}");
        assert_eq!(desk.quarantine.count().await, 0, "{name}");
    }
}

/// Anybody who knows a clientState can name keys that do not exist. That makes us ask a few times, and costs what comes
/// with known keys nothing.
#[tokio::test]
async fn keys_that_do_not_exist_are_not_asked_for_without_end() {
    let begun = Instant::now();
    let desk = Desk::checks(|configuration| configuration).await;
    let (known, mut stranger) = (desk.issuer.token(TENANT), Key::generate("nobody's"));
    let (mut refused, mut unavailable) = (0, 0);
    for number in 0..40 {
        stranger.id = format!("nobody's {number}");
        match desk.present(&format!("stranger-{number}"), &token(&stranger)).await.status {
            202 => refused += 1,
            503 => unavailable += 1,
            status => panic!("{status}"),
        }
        check_accepted(&desk.present(&format!("known-{number}"), &known).await);
    }
    // Five at once, one each ten seconds, and the one at the start.
    let allowed = 5 + usize::try_from(begun.elapsed().as_secs()).expect("a short test") / 10;
    assert!((1..=allowed).contains(&refused), "{refused} of {allowed}");
    assert_eq!(desk.issuer.times_asked_for_keys(), (refused + 1) * DOCUMENTS);
    desk.check_books(40, refused, unavailable).await;
    assert_eq!(desk.queue.take(40).await.len(), 40);
}

/// Nobody is there at the start; the daemon serves what needs no keys, and finds them by itself.
#[tokio::test]
async fn a_server_that_is_away_at_the_start_is_found_later() {
    let (issuer, recipient) = (Issuer::open().await, Recipient::generate("2026-11"));
    let authority: hyper::Uri = issuer.url("/").parse().expect("a URL");
    let cut = Cut::to_port(authority.port_u16().expect("a port")).await;
    cut.refuse();
    let documents =
        [V1_CONFIGURATION, V2_CONFIGURATION].map(|path| format!("https://127.0.0.1:{}{path}", cut.port()));
    let configuration = issuer.trusted(Daemon::configure(), "sealed");
    let daemon = configuration.set("rich", "key_documents", &json!(documents).to_string()).connected().await;
    daemon.eventually_metric(&fetches("unanswered"), |count| count >= 2.0).await;
    assert!(cut.seen().refused > 0);
    assert_eq!(daemon.get_admin("/readyz").await.0, 200);
    check_accepted(&post_plain(&daemon.client(), [created("plain")]).await);
    let (items, tokens) = ([rich("early", TENANT, &recipient.seal("{}"))], json!([issuer.token(TENANT)]));
    check_unavailable(&post(&daemon.client(), &items, &tokens).await);
    daemon.eventually_logs("cannot fetch the keys that tokens are signed with").await;
    cut.heal();
    daemon.eventually_metric("graphhook_signing_keys", |keys| keys == 1.0).await;
    check_accepted(&post(&daemon.client(), &items, &tokens).await);
    daemon.eventually_logs("are there again").await;
}

/// A site that nobody should ask.
#[derive(Default)]
struct Trap {
    asked: AtomicUsize,
    keys: String,
}

impl Content for Trap {
    async fn answer(&self, _: Request<Incoming>) -> Response<Full<Bytes>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        answer(200, self.keys.clone())
    }
}

/// Keys are not fetched without TLS, wherever a configuration points; nor is its word taken for another's.
#[tokio::test]
async fn a_configuration_that_points_to_plain_http_is_not_followed() {
    let (issuer, recipient) = (Issuer::open().await, Recipient::generate("2026-11"));
    let keys = json!({ "keys": [issuer.key().published()] }).to_string();
    let trap = Arc::new(Trap { keys, ..Trap::default() });
    let site = Site::open(None, |_| Arc::clone(&trap)).await;
    issuer.behaves(Manner::Answers(200, json!({ "jwks_uri": format!("{}/keys", site.origin) }).to_string()));
    let daemon = issuer.trusted(Daemon::configure(), "sealed").connected().await;
    daemon.eventually_metric(&fetches("unusable"), |count| count >= 2.0).await;
    let items = [rich("n-1", TENANT, &recipient.seal("{}"))];
    check_unavailable(&post(&daemon.client(), &items, &json!([issuer.token(TENANT)])).await);
    assert_eq!(trap.asked.load(Ordering::Relaxed), 0);
    assert_eq!(daemon.metrics().await.get("graphhook_signing_keys"), 0.0);
    daemon.eventually_logs("points at no key set").await;
}

/// A token names places where its key is, on a host that we ask for keys, and brings the key itself; nobody looks there.
#[tokio::test]
async fn no_url_from_a_token_is_followed() {
    let desk = Desk::checks(|configuration| configuration).await;
    let stranger = Key::generate("nobody's");
    let evil = desk.issuer.url("/evil");
    let mut claims = claims_v2(TENANT);
    claims["iss"] = json!(evil);
    let mut all = stranger.header();
    for (name, value) in [
        ("jku", json!(evil)),
        ("x5u", json!(evil)),
        ("jwk", stranger.published()),
        ("x5c", json!([BASE64_URL_SAFE_NO_PAD.encode("certificate")])),
    ] {
        all[name] = value;
    }
    let known = desk.issuer.key();
    let mut posing = all.clone();
    posing["kid"] = json!(known.id);
    let tokens = [
        stranger.sign(&all, &claims_v2(TENANT)),
        stranger.sign(&posing, &claims_v2(TENANT)),
        stranger.sign(&all, &claims),
        known.sign(&known.header(), &claims),
    ];
    for (number, token) in tokens.iter().enumerate() {
        desk.check_refused_by(&format!("evil-{number}"), token).await;
    }
    let asked = desk.issuer.asked();
    assert!(!asked.iter().any(|path| path.contains("evil")), "{asked:?}");
    // Beside the first time, for the two whose key nobody knows.
    assert_eq!(desk.issuer.times_asked_for_keys(), 3 * DOCUMENTS);
    // What it says besides does a good one no harm.
    let mut header = known.header();
    header["jku"] = json!(evil);
    header["x5u"] = json!(evil);
    desk.check_passes_by("good", &known.sign(&header, &claims_v2(TENANT))).await;
    assert!(!desk.issuer.asked().iter().any(|path| path.contains("evil")));
}
