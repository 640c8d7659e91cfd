//! Notifications with resource data: sealed for the receiver, and vouched for with tokens.
//!
//! Whatever is wrong with them, the answer is a 2xx: whoever learns more has an oracle for keys and tokens.

use std::time::SystemTime;

use super::{
    case::{Case, Need, Play, must, should, sources::RICH},
    judge::{DELIVERED, Judge},
    shot::Shot,
    stage::{Rich, Stage},
};
use crate::simulate::{
    forgery::Forgery,
    members::{Members, quoted},
    rich::{Recipient, resource},
    template::{Facts, OTHER_TENANT, Template, Tokens, collection, fresh_id},
    vouching::{Flaw, Version, Voucher},
};

pub(super) const CASES: &[Case] = &[
    rich(must(
        "rich/token-version-2",
        "a token of version 2.0, which names Graph in azp",
        RICH,
        Play::Each(|stage| sound(stage, Version::V2)),
        DELIVERED,
    )),
    rich(must(
        "rich/token-version-1",
        "a token of version 1.0, which names Graph in appid",
        RICH,
        Play::Each(|stage| sound(stage, Version::V1)),
        DELIVERED,
    )),
    rich(must(
        "rich/chat-message",
        "a message in a chat",
        RICH,
        Play::Each(|stage| {
            vec![posted(stage, &[sealed(stage, "chatMessage", &stage.tenant)], &[token(stage, None)])]
        }),
        DELIVERED,
    )),
    rich(must(
        "rich/two-tenants",
        "items of two tenants, and a token for each",
        RICH,
        Play::Each(two_tenants),
        DELIVERED,
    )),
    rich(must(
        "rich/beside-plain-items",
        "items with resource data and without in a POST",
        RICH,
        Play::Each(beside_plain),
        DELIVERED,
    )),
    rich(must(
        "rich/null-tokens",
        "validationTokens is null when the app wants roles that Graph does not have",
        RICH,
        Play::Each(|stage| vec![bare(stage, Tokens::Null)]),
        DELIVERED,
    )),
    rich(must(
        "rich/no-tokens",
        "there are no validationTokens",
        RICH,
        Play::Each(|stage| vec![bare(stage, Tokens::None)]),
        DELIVERED,
    )),
    rich(should(
        "rich/empty-tokens",
        "or none in the array",
        RICH,
        Play::Each(|stage| vec![bare(stage, Tokens::These(&[]))]),
        DELIVERED,
    )),
    rich(must(
        "rich/expired-token",
        "a token whose time is over",
        RICH,
        Play::Each(|stage| flawed(stage, Flaw::Expired)),
        DELIVERED,
    )),
    rich(must(
        "rich/wrong-audience",
        "a token for another app",
        RICH,
        Play::Each(|stage| flawed(stage, Flaw::WrongAudience)),
        DELIVERED,
    )),
    rich(must(
        "rich/wrong-issuer",
        "a token from somebody else",
        RICH,
        Play::Each(|stage| flawed(stage, Flaw::WrongIssuer)),
        DELIVERED,
    )),
    rich(must(
        "rich/wrong-publisher",
        "a token that was issued to another app than Graph's",
        RICH,
        Play::Each(|stage| flawed(stage, Flaw::WrongPublisher)),
        DELIVERED,
    )),
    rich(must(
        "rich/other-tenant",
        "a token for another tenant",
        RICH,
        Play::Each(|stage| flawed(stage, Flaw::OtherTenant)),
        DELIVERED,
    )),
    rich(must(
        "rich/bad-signature",
        "a token that was changed",
        RICH,
        Play::Each(|stage| flawed(stage, Flaw::BadSignature)),
        DELIVERED,
    )),
    rich(must(
        "rich/unsigned-token",
        "a token with alg: none",
        RICH,
        Play::Each(|stage| flawed(stage, Flaw::Unsigned)),
        DELIVERED,
    )),
    rich(must(
        "rich/malformed-token",
        "a text that is no token",
        RICH,
        Play::Each(|stage| flawed(stage, Flaw::Malformed)),
        DELIVERED,
    )),
    rich(must(
        "rich/unknown-certificate",
        "an encryptionCertificateId that nobody knows, as after a rotation",
        RICH,
        Play::Each(|stage| content(stage, |content| content.set("encryptionCertificateId", "\"long-gone\""))),
        DELIVERED,
    )),
    rich(must("rich/foreign-key", "sealed for somebody else", RICH, Play::Each(foreign_key), DELIVERED)),
    rich(must(
        "rich/broken-data",
        "data that is not what was signed",
        RICH,
        Play::Each(|stage| content(stage, |content| content.set("data", "\"AAAAAAAAAAAAAAAAAAAAAA==\""))),
        DELIVERED,
    )),
    rich(must(
        "rich/broken-data-signature",
        "a dataSignature of something else",
        RICH,
        Play::Each(|stage| {
            content(stage, |content| {
                content.set("dataSignature", quoted(&"A".repeat(43)).replace("A\"", "A=\""))
            })
        }),
        DELIVERED,
    )),
    rich(must(
        "rich/broken-data-key",
        "a dataKey that is no base64",
        RICH,
        Play::Each(|stage| content(stage, |content| content.set("dataKey", "\"no base64!\""))),
        DELIVERED,
    )),
    rich(must(
        "rich/incomplete-content",
        "encryptedContent without dataKey",
        RICH,
        Play::Each(incomplete),
        DELIVERED,
    )),
    rich(must("rich/forged", "a wrong clientState beside a good token", RICH, Play::Each(forged), DELIVERED)),
    rich(should(
        "rich/tells-nothing",
        "the answer is the same whatever is wrong with tokens, keys and data",
        RICH,
        Play::Each(told),
        &[Judge::SameAsGenuine],
    )),
];

const fn rich(case: Case) -> Case {
    case.needing(Need::Rich)
}

fn keys(stage: &Stage) -> &Rich {
    stage.rich.as_ref().expect("these cases are skipped without")
}

/// An item of this kind and tenant with its resource.
fn sealed(stage: &Stage, kind: &str, tenant: &str) -> String {
    sealed_for(stage, &keys(stage).recipient, kind, tenant)
}

fn sealed_for(stage: &Stage, recipient: &Recipient, kind: &str, tenant: &str) -> String {
    let id = fresh_id();
    let facts = Facts { tenant, ..stage.facts(&id) };
    let item = Template::named(kind).expect("a built-in one").fill(&facts);
    // Whoever has been made can seal: it was tried when it was made.
    recipient.put(&item, resource(kind, &facts).as_bytes()).unwrap_or(item)
}

fn message(stage: &Stage) -> String {
    sealed(stage, "message", &stage.tenant)
}

fn token(stage: &Stage, flaw: Option<Flaw>) -> String {
    token_of(stage, Version::V2, &stage.tenant, flaw)
}

fn token_of(stage: &Stage, version: Version, tenant: &str, flaw: Option<Flaw>) -> String {
    let Rich { issuer, app, .. } = keys(stage);
    let voucher = Voucher { version, flaw, ..Voucher::new(app, tenant, SystemTime::now()) };
    issuer.token(&voucher).unwrap_or_default()
}

fn posted(stage: &Stage, items: &[String], tokens: &[String]) -> Shot {
    stage.body("1 item with resource data", collection(items, Tokens::These(tokens)))
}

fn bare(stage: &Stage, tokens: Tokens<'_>) -> Shot {
    stage.body("1 item with resource data", collection(&[message(stage)], tokens))
}

fn sound(stage: &Stage, version: Version) -> Vec<Shot> {
    vec![posted(stage, &[message(stage)], &[token_of(stage, version, &stage.tenant, None)])]
}

fn flawed(stage: &Stage, flaw: Flaw) -> Vec<Shot> {
    let shot = posted(stage, &[message(stage)], &[token(stage, Some(flaw))]);
    vec![shot.called(&format!("token: {}", flaw.as_str()))]
}

fn two_tenants(stage: &Stage) -> Vec<Shot> {
    let tenants = [stage.tenant.as_str(), OTHER_TENANT];
    let items = tenants.map(|tenant| sealed(stage, "message", tenant));
    let tokens = tenants.map(|tenant| token_of(stage, Version::V2, tenant, None));
    vec![posted(stage, &items, &tokens).called("2 items with resource data")]
}

fn beside_plain(stage: &Stage) -> Vec<Shot> {
    let items = [stage.message(), message(stage), stage.item("user", "updated")];
    vec![posted(stage, &items, &[token(stage, None)]).called("3 items, 1 with resource data")]
}

/// An item whose `encryptedContent` has been changed.
fn content(stage: &Stage, change: impl FnOnce(&mut Members)) -> Vec<Shot> {
    let item = message(stage);
    let changed = Members::read(&item).and_then(|mut members| {
        let mut content = Members::read(members.get("encryptedContent")?)?;
        change(&mut content);
        members.set("encryptedContent", content.write());
        Some(members.write())
    });
    with_either(stage, &changed.unwrap_or(item))
}

/// With a token of either version: what a receiver does not vouch for, it need not open.
fn with_either(stage: &Stage, item: &str) -> Vec<Shot> {
    let token = |version| token_of(stage, version, &stage.tenant, None);
    [Version::V2, Version::V1].map(|version| posted(stage, &[item.to_owned()], &[token(version)])).into()
}

fn incomplete(stage: &Stage) -> Vec<Shot> {
    content(stage, |content| {
        content.remove("dataKey");
    })
}

fn foreign_key(stage: &Stage) -> Vec<Shot> {
    let nobody = Recipient::nobody(&keys(stage).recipient.id).ok();
    let recipient = nobody.as_ref().unwrap_or(&keys(stage).recipient);
    let item = sealed_for(stage, recipient, "message", &stage.tenant);
    with_either(stage, &item).into_iter().map(|shot| shot.called("1 item sealed for somebody else")).collect()
}

fn forged(stage: &Stage) -> Vec<Shot> {
    let item = Forgery::Wrong.forge(&message(stage), None).expect("a template is an object");
    vec![posted(stage, &[item], &[token(stage, None)]).called("clientState: wrong")]
}

fn told(stage: &Stage) -> Vec<Shot> {
    let mut shots = sound(stage, Version::V2);
    shots.extend(sound(stage, Version::V2));
    for flaw in [Flaw::Expired, Flaw::WrongAudience, Flaw::BadSignature, Flaw::Unsigned] {
        shots.extend(flawed(stage, flaw));
    }
    shots.extend(foreign_key(stage));
    shots.extend(content(stage, |content| content.set("data", "\"AAAA\"")));
    shots.extend(forged(stage));
    shots
}
