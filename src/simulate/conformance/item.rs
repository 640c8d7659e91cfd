//! The members of an item, in every form that has been seen or that the pages allow.

use super::{
    case::{
        Case, Play, must, should,
        sources::{ITEM, JSON, RESOURCE_DATA},
    },
    judge::DELIVERED,
    shot::Shot,
    stage::Stage,
};
use crate::simulate::members::{Members, quoted};

pub(super) const CASES: &[Case] = &[
    must(
        "item/unknown-members",
        "members that nobody knows yet, of items and of what is in them, and a new changeType",
        RESOURCE_DATA,
        Play::Each(|stage| vec![stage.post(&[stage.item("future", "created")])]),
        DELIVERED,
    ),
    must(
        "item/no-id",
        "id is optional: directory and presence items come without",
        ITEM,
        Play::Each(|stage| without(stage, "id")),
        DELIVERED,
    ),
    must(
        "item/no-resource-data",
        "resourceData is optional",
        ITEM,
        Play::Each(|stage| without(stage, "resourceData")),
        DELIVERED,
    ),
    must(
        "item/null-resource-data",
        "resourceData may be null",
        ITEM,
        Play::Each(|stage| changed(stage, |item| item.set("resourceData", "null"))),
        DELIVERED,
    ),
    must(
        "item/null-encrypted-content",
        "encryptedContent may be null",
        ITEM,
        Play::Each(|stage| changed(stage, |item| item.set("encryptedContent", "null"))),
        DELIVERED,
    ),
    must(
        "item/time-formats",
        "no fraction or seven digits of it, Z or an offset",
        ITEM,
        Play::Each(times),
        DELIVERED,
    ),
    should(
        "item/no-tenant",
        "items of personal accounts may have no tenant",
        ITEM,
        Play::Each(|stage| without(stage, "tenantId")),
        DELIVERED,
    ),
    should(
        "item/empty-tenant",
        "or an empty one",
        ITEM,
        Play::Each(|stage| changed(stage, |item| item.set("tenantId", "\"\""))),
        DELIVERED,
    ),
    should(
        "item/no-resource",
        "an item without resource",
        ITEM,
        Play::Each(|stage| without(stage, "resource")),
        DELIVERED,
    ),
    should(
        "item/empty-resource",
        "or with an empty one",
        ITEM,
        Play::Each(|stage| changed(stage, |item| item.set("resource", "\"\""))),
        DELIVERED,
    ),
    should(
        "item/resource-in-brackets",
        "users('…')/messages('…') is written as well as users/…/messages/…",
        ITEM,
        Play::Each(|stage| changed(stage, |item| item.set("resource", "\"users('a')/messages('b=')\""))),
        DELIVERED,
    ),
    should(
        "item/big-integers",
        "numbers that no double holds",
        JSON,
        Play::Each(|stage| {
            changed(stage, |item| {
                item.set("n", "[18446744073709551616,-1e400,0.1e-400,123456789012345678901234567890]")
            })
        }),
        DELIVERED,
    ),
    should(
        "item/nul-character",
        "\\u0000 in a string",
        JSON,
        Play::Each(|stage| changed(stage, |item| item.set("n", "\"a\\u0000b\""))),
        DELIVERED,
    ),
    should(
        "item/lone-surrogate",
        "half a character, \\ud800, in a string",
        JSON,
        Play::Each(|stage| changed(stage, |item| item.set("n", "\"a\\ud800b\""))),
        DELIVERED,
    ),
    should(
        "item/repeated-member",
        "the same member twice, as Microsoft's page on alerts shows it",
        JSON,
        Play::Each(|stage| changed(stage, |item| item.push("subscriptionId", quoted(&stage.subscription)))),
        DELIVERED,
    ),
    should(
        "item/long-member",
        "64 KiB in one member",
        JSON,
        Play::Each(|stage| changed(stage, |item| item.set("n", quoted(&"a".repeat(64 << 10))))),
        DELIVERED,
    ),
];

fn changed(stage: &Stage, change: impl FnOnce(&mut Members)) -> Vec<Shot> {
    vec![stage.post(&[stage.changed(change)])]
}

fn without(stage: &Stage, member: &str) -> Vec<Shot> {
    changed(stage, |item| {
        item.remove(member);
    })
}

/// All forms in which `subscriptionExpirationDateTime` has been seen.
fn times(stage: &Stage) -> Vec<Shot> {
    let times = ["00Z", "00.1Z", "00.1234567Z", "00+00:00", "00.0000000+00:00", "00.123+05:30", "00-08:00"];
    let item = |time: &str| {
        let time = quoted(&format!("2099-01-01T00:00:{time}"));
        stage.changed(|item| item.set("subscriptionExpirationDateTime", time))
    };
    vec![stage.post(&times.map(item))]
}
