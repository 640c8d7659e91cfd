//! What vouches for resource data, and what does not.

use graphhook::verify::TokenFault;
use serde_json::{Value, json};

use super::{Desk, check_accepted, texts};
use crate::support::daemon::SECRET;
use crate::support::graph::{PATH, created};
use crate::support::issuer::{Key, OTHER_TENANT, TENANT, claims_v1, claims_v2, now};
use crate::support::rich::rich;

/// An app that is not ours, and a tenant that nobody subscribes to.
const FOREIGN_APP: &str = "00000003-0000-0000-c000-000000000000";
const FOREIGN_TENANT: &str = "11111111-2222-4333-8444-555555555555";

/// A lifecycle event as rich subscriptions get it.
fn lifecycle(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","lifecycleEvent":"reauthorizationRequired","subscriptionId":"00000002-0000-4000-8000-000000000002","clientState":{},"encryptedContent":null,"organizationId":"{TENANT}"}}"#,
        json!(SECRET)
    )
}

/// The member that holds these tokens, behind the items.
fn behind(tokens: &Value) -> String {
    format!(r#","validationTokens":{tokens}"#)
}

/// Good claims with another value of one claim.
fn with(mut claims: Value, claim: &str, value: impl Into<Value>) -> Value {
    claims[claim] = value.into();
    claims
}

/// Claims of signed tokens, each with what is wrong about them.
fn faulty_claims() -> Vec<(Value, TokenFault)> {
    let (v1, v2) = (claims_v1(TENANT), claims_v2(TENANT));
    let mut faulty = Vec::new();
    for good in [&v1, &v2] {
        let evil = format!("https://login.evil.example/{TENANT}/v2.0");
        let of_another = format!("https://sts.windows.net/{OTHER_TENANT}/");
        let mut without_tenant = good.clone();
        without_tenant.as_object_mut().expect("an object").remove("tid");
        faulty.extend([
            (without_tenant, TokenFault::Malformed),
            (with(good.clone(), "ver", "3.0"), TokenFault::Malformed),
            (with(good.clone(), "iss", evil), TokenFault::Issuer),
            (with(good.clone(), "iss", of_another), TokenFault::Issuer),
            (with(good.clone(), "tid", OTHER_TENANT), TokenFault::Issuer),
            (with(good.clone(), "exp", now() - 3600), TokenFault::Expired),
            (with(good.clone(), "nbf", now() + 3600), TokenFault::NotYetValid),
            (with(good.clone(), "aud", FOREIGN_APP), TokenFault::Audience),
        ]);
    }
    let publisher = v2["azp"].clone();
    faulty.extend([
        (claims_v1("common"), TokenFault::Issuer),
        (claims_v2("common"), TokenFault::Issuer),
        (with(v1.clone(), "iss", format!("https://sts.windows.net/{TENANT}")), TokenFault::Issuer),
        (with(v2.clone(), "iss", v1["iss"].clone()), TokenFault::Issuer),
        (with(v1.clone(), "appid", FOREIGN_APP), TokenFault::Publisher),
        (with(with(v1, "appid", Value::Null), "azp", publisher.clone()), TokenFault::Publisher),
        (with(v2.clone(), "azp", FOREIGN_APP), TokenFault::Publisher),
        (with(with(v2, "azp", Value::Null), "appid", publisher), TokenFault::Publisher),
        (claims_v1(FOREIGN_TENANT), TokenFault::Tenant),
        (claims_v2(FOREIGN_TENANT), TokenFault::Tenant),
    ]);
    faulty
}

/// Tokens, each with what is wrong about it.
fn faulty(key: &Key) -> Vec<(String, TokenFault)> {
    let claims = claims_v2(TENANT);
    let headed = |name: &str, value: Value| key.sign(&with(key.header(), name, value), &claims);
    let good = key.sign(&key.header(), &claims);
    let (message, signature) = good.rsplit_once('.').expect("three parts");
    let head = message.split('.').next().expect("two parts");
    let another = key.sign(&key.header(), &claims_v2(OTHER_TENANT));
    let altered = another.split('.').nth(1).expect("three parts");
    let (impostor, stranger) = (Key::generate(&key.id), Key::generate("nobody's"));
    let mut tokens = vec![
        (String::new(), TokenFault::Malformed),
        ("not.a.token".to_owned(), TokenFault::Malformed),
        (message.to_owned(), TokenFault::Malformed),
        (format!("{good}="), TokenFault::Malformed),
        (format!("{good}.{good}"), TokenFault::Malformed),
        (headed("alg", json!("none")), TokenFault::Malformed),
        (headed("alg", json!("HS256")), TokenFault::Algorithm),
        (headed("alg", json!("RS512")), TokenFault::Algorithm),
        (headed("alg", json!("PS256")), TokenFault::Algorithm),
        (headed("crit", json!(["exp"])), TokenFault::Algorithm),
        (headed("kid", Value::Null), TokenFault::Malformed),
        (stranger.sign(&stranger.header(), &claims), TokenFault::UnknownKey),
        (impostor.sign(&impostor.header(), &claims), TokenFault::Signature),
        (format!("{message}."), TokenFault::Signature),
        (format!("{head}.{altered}.{signature}"), TokenFault::Signature),
    ];
    let signed = faulty_claims().into_iter().map(|(claims, fault)| (key.sign(&key.header(), &claims), fault));
    tokens.extend(signed);
    for fault in TokenFault::ALL {
        assert!(tokens.iter().any(|(_, other)| *other == fault), "{fault:?} is missing");
    }
    tokens
}

impl Desk {
    /// POSTs a sealed item between a plain one and a lifecycle event, with this text behind them; returns their texts.
    async fn send(&self, id: &str, behind: &str) -> [String; 3] {
        let sealed = self.item(&format!("{id}-sealed"));
        let items = [created(&format!("{id}-plain")), sealed, lifecycle(&format!("{id}-lifecycle"))];
        let body = format!(r#"{{"value":[{}]{behind}}}"#, items.join(","));
        check_accepted(&self.daemon.client().post(PATH, &[], body).await);
        items
    }

    /// The sealed one passes like the others.
    async fn check_passes(&self, id: &str, behind: &str) {
        let items = self.send(id, behind).await;
        let came = self.queue.take(3).await;
        assert_eq!(texts(&came), items, "{id}");
        assert_eq!(came[1].header("graphhook-resource-data"), "encrypted");
    }

    /// The sealed one is refused, and the others pass.
    async fn check_refused(&self, id: &str, behind: &str, reason: &str) {
        let [plain, sealed, lifecycle] = self.send(id, behind).await;
        let came = self.queue.take(2).await;
        assert_eq!(texts(&came), [plain, lifecycle], "{id}");
        assert!(came.iter().all(|message| message.header("graphhook-resource-data") == "none"), "{id}");
        let refused = self.quarantine.take(1).await.remove(0);
        assert_eq!(refused.body, sealed.as_bytes(), "{id}");
        assert_eq!(refused.header("graphhook-resource-data"), "encrypted");
        assert_eq!(refused.header("graphhook-reason"), reason, "{id}");
        assert_eq!(refused.routing_key, format!("refused.{reason}"));
    }
}

/// Each fault by itself and beside a good token. A suspicious one takes the good one's word from it; a genuine one for
/// somebody else does not.
#[tokio::test]
async fn a_token_with_a_fault_vouches_for_nothing() {
    let desk = Desk::checks(|configuration| configuration).await;
    let (good, tokens) = (desk.issuer.token(TENANT), faulty(&desk.issuer.key()));
    let (mut published, mut refused) = (0, 0);
    for (number, (token, fault)) in tokens.iter().enumerate() {
        let id = format!("{number}-{}", fault.as_str());
        let series = format!(r#"graphhook_validation_tokens_total{{result="{}"}}"#, fault.as_str());
        let before = desk.daemon.metrics().await;
        desk.check_refused(&id, &behind(&json!([token])), "bad_token").await;
        let id = format!("{id}-beside");
        if !matches!(fault, TokenFault::Audience | TokenFault::Tenant) {
            desk.check_refused(&id, &behind(&json!([good, token])), "bad_token").await;
            (published, refused) = (published + 4, refused + 2);
        } else {
            desk.check_passes(&id, &behind(&json!([token, good]))).await;
            (published, refused) = (published + 5, refused + 1);
        }
        let after = desk.daemon.metrics().await;
        assert_eq!(after.get(&series) - before.get(&series), 2.0, "{id}");
        let all = "graphhook_validation_tokens_total";
        assert_eq!(after.sum(all) - before.sum(all), 3.0, "{id}");
    }
    desk.check_books(published, refused, 0).await;
    let bad = r#"graphhook_notifications_refused_total{reason="bad_token"}"#;
    assert_eq!(desk.daemon.metrics().await.get(bad), refused as f64);
}

/// What stands in place of the list of tokens.
#[tokio::test]
async fn no_tokens_are_told_from_rubbish() {
    let desk = Desk::checks(|configuration| configuration).await;
    let good = desk.issuer.token(TENANT);
    let list = behind(&json!([good]));
    let many = |count: usize| behind(&Value::from(vec![good.clone(); count]));
    let cases = [
        (String::new(), "missing_token"),
        (behind(&Value::Null), "missing_token"),
        (behind(&json!([])), "missing_token"),
        (behind(&json!(good)), "bad_token"),
        (behind(&json!({ "0": good })), "bad_token"),
        (behind(&json!(1)), "bad_token"),
        (behind(&json!([null])), "bad_token"),
        (behind(&json!([good, 7])), "bad_token"),
        (behind(&json!([good, [good]])), "bad_token"),
        (behind(&json!([good])).replace('[', r#"["\ud800","#), "bad_token"),
        (format!("{list}{list}"), "bad_token"),
        (format!("{list}{}", behind(&Value::Null)), "bad_token"),
        (format!("{}{list}", behind(&json!([]))), "bad_token"),
        (many(1001), "bad_token"),
    ];
    for (number, (tokens, reason)) in cases.iter().enumerate() {
        desk.check_refused(&format!("n{number}"), tokens, reason).await;
    }
    // A list that is not read is not counted.
    assert_eq!(desk.daemon.metrics().await.sum("graphhook_validation_tokens_total"), 0.0);
    let good = [many(1000), many(2), list.replace("validationTokens", r"validation\u0054okens")];
    for (number, tokens) in good.iter().enumerate() {
        desk.check_passes(&format!("g{number}"), tokens).await;
    }
    desk.check_books(cases.len() * 2 + good.len() * 3, cases.len(), 0).await;
}

/// Each tenant needs its own, whatever version it has, and an item says its tenant as Graph does.
#[tokio::test]
async fn a_token_vouches_for_its_own_tenant() {
    let desk = Desk::checks(|configuration| configuration).await;
    let content = desk.recipient.seal("{}");
    let ours = rich("ours", TENANT, &content);
    let by_organization = rich("by-organization", TENANT, &content).replace("tenantId", "organizationId");
    let in_capitals = rich("in-capitals", &TENANT.to_uppercase(), &content);
    let theirs = rich("theirs", OTHER_TENANT, &content);
    let foreign = rich("foreign", FOREIGN_TENANT, &content);
    let nobodys = rich("nobodys", TENANT, &content).replace(&format!(r#""tenantId":"{TENANT}","#), "");
    let items = [theirs, ours, nobodys, by_organization, foreign, in_capitals];
    let [one, other] = [desk.issuer.token_v1(TENANT), desk.issuer.token(OTHER_TENANT)];
    let [theirs, ours, nobodys, by_organization, foreign, in_capitals] = &items;
    for (tokens, passed, refused) in [
        (json!([one]), vec![ours, by_organization, in_capitals], vec![theirs, nobodys, foreign]),
        (json!([other]), vec![theirs], vec![ours, nobodys, by_organization, foreign, in_capitals]),
        (json!([one, other]), vec![theirs, ours, by_organization, in_capitals], vec![nobodys, foreign]),
    ] {
        check_accepted(&desk.post(&items, &tokens).await);
        let came = desk.queue.take(passed.len()).await;
        assert_eq!(texts(&came), passed);
        let kept_out = desk.quarantine.take(refused.len()).await;
        assert_eq!(texts(&kept_out), refused);
    }
    desk.check_books(8, 10, 0).await;
}

/// Who does not know the secret is not asked for tokens.
#[tokio::test]
async fn a_token_is_no_client_state() {
    let desk = Desk::checks(|configuration| configuration).await;
    let asked = desk.issuer.times_asked_for_keys();
    let forged = desk.item("forged").replace(SECRET, "a guess");
    let stranger = Key::generate("nobody's");
    for token in [desk.issuer.token(TENANT), stranger.sign(&stranger.header(), &claims_v2(TENANT))] {
        check_accepted(&desk.post(std::slice::from_ref(&forged), &json!([token])).await);
        let refused = desk.quarantine.take(1).await.remove(0);
        assert_eq!(refused.header("graphhook-reason"), "mismatch");
    }
    assert_eq!(desk.issuer.times_asked_for_keys(), asked, "a forger can make us ask");
    assert_eq!(desk.daemon.metrics().await.sum("graphhook_validation_tokens_total"), 0.0);
    desk.check_books(0, 2, 0).await;
}

/// Two bodies that were seen in the world.
#[tokio::test]
async fn samples_have_their_verdict() {
    let table = |configuration: crate::support::daemon::Configuration| {
        configuration.client_state("rich", "S3cr3t-cl1ent-state_0001").client_state("wild", "state-sub-2")
    };
    let desk = Desk::checks(table).await;
    let client = desk.daemon.client();
    let null = include_str!("../../data/rich-null-validation-tokens.json");
    check_accepted(&client.post(PATH, &[], null).await);
    let refused = desk.quarantine.take(1).await.remove(0);
    assert_eq!(refused.header("graphhook-reason"), "missing_token");
    let sample: Value = serde_json::from_str(null).expect("JSON");
    assert_eq!(refused.json(), sample["value"][0]);
    assert!(null.as_bytes().windows(refused.body.len()).any(|bytes| bytes == refused.body), "other bytes");
    // Its token has long expired; it has nothing to vouch for.
    let wild = include_str!("../../data/lifecycle-in-the-wild-with-validation-tokens.json");
    check_accepted(&client.post("/graph/lifecycle", &[], wild).await);
    let message = desk.queue.take(1).await.remove(0);
    assert_eq!((message.kind.as_str(), message.header("graphhook-resource-data")), ("lifecycle", "none"));
    assert_eq!(desk.issuer.times_asked_for_keys(), 2, "its key was looked for");
    desk.check_books(1, 1, 0).await;
}
