//! Notifications as Graph sends them: every resource, many items at once, every form of the body.

use super::{
    case::{
        Case, Play, must, should,
        sources::{COLLECTION, EVENT_HUBS, JSON, MEDIA, PROCESSING, RESOURCE_DATA},
    },
    judge::DELIVERED,
    shot::Shot,
    stage::Stage,
};
use crate::simulate::{
    members::quoted,
    template::{OTHER_TENANT, Template, Tokens, collection, fresh_id},
};

pub(super) const CASES: &[Case] = &[
    must(
        "post/message",
        "a message",
        PROCESSING,
        Play::Each(|stage| one(stage, "message", "created")),
        DELIVERED,
    ),
    must("post/event", "an event", PROCESSING, Play::Each(|stage| one(stage, "event", "updated")), DELIVERED),
    must(
        "post/contact",
        "a contact",
        PROCESSING,
        Play::Each(|stage| one(stage, "contact", "deleted")),
        DELIVERED,
    ),
    must(
        "post/user",
        "a user: its sequenceNumber has 18 digits",
        RESOURCE_DATA,
        Play::Each(|stage| one(stage, "user", "updated")),
        DELIVERED,
    ),
    must(
        "post/group",
        "a group",
        RESOURCE_DATA,
        Play::Each(|stage| one(stage, "group", "updated")),
        DELIVERED,
    ),
    must(
        "post/drive-item",
        "a drive: resourceData says its type and nothing else",
        RESOURCE_DATA,
        Play::Each(|stage| one(stage, "driveItem", "updated")),
        DELIVERED,
    ),
    must(
        "post/drive-item-event-grid",
        "a drive in the form that Event Grid shows, with members of its own",
        RESOURCE_DATA,
        Play::Each(|stage| one(stage, "driveItem-eventGrid", "updated")),
        DELIVERED,
    ),
    must("post/list", "a list", RESOURCE_DATA, Play::Each(|stage| one(stage, "list", "updated")), DELIVERED),
    must(
        "post/presence",
        "somebody's presence",
        RESOURCE_DATA,
        Play::Each(|stage| one(stage, "presence", "updated")),
        DELIVERED,
    ),
    must(
        "post/call-record",
        "a call",
        RESOURCE_DATA,
        Play::Each(|stage| one(stage, "callRecord", "created")),
        DELIVERED,
    ),
    must(
        "post/chat-message",
        "a message in a chat",
        RESOURCE_DATA,
        Play::Each(|stage| one(stage, "chatMessage", "created")),
        DELIVERED,
    ),
    must(
        "post/alert",
        "a security alert",
        RESOURCE_DATA,
        Play::Each(|stage| one(stage, "alert", "updated")),
        DELIVERED,
    ),
    must("post/two-items", "two items in a POST", COLLECTION, Play::Each(|stage| many(stage, 2)), DELIVERED),
    must("post/hundred-items", "a hundred", COLLECTION, Play::Each(|stage| many(stage, 100)), DELIVERED),
    should(
        "post/thousand-items",
        "a thousand; nobody says how many there can be",
        COLLECTION,
        Play::Each(|stage| many(stage, 1000)),
        DELIVERED,
    ),
    must(
        "post/mixed-subscriptions",
        "items of several subscriptions in a POST",
        PROCESSING,
        Play::Each(mixed_subscriptions),
        DELIVERED,
    ),
    must(
        "post/mixed-tenants",
        "items of several tenants in a POST",
        COLLECTION,
        Play::Each(mixed_tenants),
        DELIVERED,
    ),
    must(
        "post/mixed-resources",
        "items of all resources in a POST",
        PROCESSING,
        Play::Each(mixed_resources),
        DELIVERED,
    ),
    must(
        "post/same-item-twice",
        "several items for one change are common",
        PROCESSING,
        Play::Each(same_twice),
        DELIVERED,
    ),
    should(
        "post/no-items",
        "an empty array",
        COLLECTION,
        Play::Each(|stage| vec![stage.post(&[])]),
        DELIVERED,
    ),
    must(
        "post/collection-type",
        "the body names its own type",
        COLLECTION,
        Play::Each(collection_type),
        DELIVERED,
    ),
    should("post/pretty-printed", "white space between the tokens", JSON, Play::Each(pretty), DELIVERED),
    should(
        "post/byte-order-mark",
        "a byte order mark before the document",
        JSON,
        Play::Each(|stage| vec![framed(stage, "\u{feff}", "")]),
        DELIVERED,
    ),
    should(
        "post/newline-at-the-end",
        "white space behind the document",
        JSON,
        Play::Each(|stage| vec![framed(stage, "", " \r\n")]),
        DELIVERED,
    ),
    should(
        "post/media-type-bare",
        "application/json without charset",
        MEDIA,
        Play::Each(|stage| vec![stage.good().typed("application/json")]),
        DELIVERED,
    ),
    should(
        "post/media-type-upper-case",
        "media types have no case",
        MEDIA,
        Play::Each(|stage| vec![stage.good().typed("Application/JSON; Charset=\"UTF-8\"")]),
        DELIVERED,
    ),
    should(
        "post/media-type-parameters",
        "parameters as OData has them",
        MEDIA,
        Play::Each(|stage| vec![stage.good().typed("application/json;odata.metadata=minimal;charset=utf-8")]),
        DELIVERED,
    ),
    should(
        "post/na-body",
        "the validation of Event Hubs, all of whose members are NA",
        EVENT_HUBS,
        Play::Each(na),
        DELIVERED,
    ),
    should(
        "post/one-mebibyte",
        "a body of 1 MiB",
        COLLECTION,
        Play::Each(|stage| sized(stage, 1 << 20)),
        DELIVERED,
    ),
    should(
        "post/four-megabytes",
        "a body of 4 MB; nobody says how large it can be",
        COLLECTION,
        Play::Each(|stage| sized(stage, 4_000_000)),
        DELIVERED,
    ),
];

fn one(stage: &Stage, template: &str, change: &str) -> Vec<Shot> {
    vec![stage.post(&[stage.item(template, change)]).called(&format!("1 item, {template}"))]
}

fn many(stage: &Stage, items: usize) -> Vec<Shot> {
    let items: Vec<String> = (0..items).map(|_| stage.message()).collect();
    vec![stage.post(&items)]
}

fn mixed_subscriptions(stage: &Stage) -> Vec<Shot> {
    let other = fresh_id();
    let items = [stage.subscription.as_str(), &other, &stage.subscription];
    vec![
        stage.post(
            &items.map(|subscription| stage.item_of("message", "created", subscription, &stage.tenant)),
        ),
    ]
}

fn mixed_tenants(stage: &Stage) -> Vec<Shot> {
    let items = [stage.tenant.as_str(), OTHER_TENANT];
    vec![stage.post(&items.map(|tenant| stage.item_of("event", "updated", &stage.subscription, tenant)))]
}

fn mixed_resources(stage: &Stage) -> Vec<Shot> {
    let resources = Template::names().filter(|name| !name.starts_with("lifecycle"));
    let items: Vec<String> = resources.map(|name| stage.item(name, "updated")).collect();
    vec![stage.post(&items)]
}

fn same_twice(stage: &Stage) -> Vec<Shot> {
    let item = stage.message();
    vec![stage.post(&[item.clone(), item])]
}

fn collection_type(stage: &Stage) -> Vec<Shot> {
    let body = collection(&[stage.message()], Tokens::None);
    let named = body.replacen('{', r##"{"@odata.type":"#microsoft.graph.changeNotificationCollection","##, 1);
    vec![stage.body("1 item", named)]
}

/// A good body with something around it.
fn framed(stage: &Stage, before: &str, behind: &str) -> Shot {
    let body = collection(&[stage.message()], Tokens::None);
    stage.body("1 item", format!("{before}{body}{behind}"))
}

fn pretty(stage: &Stage) -> Vec<Shot> {
    let item = stage.message().replace(",\"", ",\r\n\t\t\"");
    vec![stage.body("1 item", format!("{{\n  \"value\" : [\r\n\t{item}\n]\n}}\n"))]
}

/// As one of Microsoft's pages shows it for Event Hubs.
fn na(stage: &Stage) -> Vec<Shot> {
    let said = "Validation: Testing client application reachability for subscription Request-Id: 0";
    let names = ["subscriptionId", "subscriptionExpirationDateTime", "resource", "tenantId"];
    let members: String = names.map(|name| format!("\"{name}\":\"NA\",")).concat();
    vec![
        stage.body(
            "1 item",
            format!(r#"{{"value":[{{{members}"changeType":"{said}","resourceData":null}}]}}"#),
        ),
    ]
}

/// Items until the body is as long as this.
fn sized(stage: &Stage, bytes: usize) -> Vec<Shot> {
    let padding = quoted(&"a".repeat(8 << 10));
    let item = || stage.changed(|item| item.set("padding", padding.as_str()));
    let items: Vec<String> = (0..bytes / item().len()).map(|_| item()).collect();
    vec![stage.post(&items).called(&format!("{} items, {bytes} bytes", items.len()))]
}
