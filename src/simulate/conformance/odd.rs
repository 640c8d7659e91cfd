//! What strangers and broken intermediaries send: the receiver has to outlive it.
//!
//! A 5xx says that the receiver could not keep something, so whoever sent it sends it again, rubbish or not.

use hyper::Method;

use super::{
    case::{
        Case, Play, should,
        sources::{COLLECTION, HTTP, JSON, PROCESSING},
    },
    judge::Judge,
    shot::Shot,
    stage::Stage,
};

/// Something odd, and then something good.
const OUTLIVED: &[Judge] = &[Judge::Answers, Judge::No5xx, Judge::LastTwoXx];

pub(super) const CASES: &[Case] = &[
    should(
        "odd/good-neighbours",
        "an item that is no object stands between good ones, which must not suffer",
        PROCESSING,
        Play::Each(neighbours),
        &[Judge::TwoXx],
    ),
    should(
        "odd/no-json",
        "a body that is not JSON",
        JSON,
        Play::Each(|stage| after(stage, "no JSON", "hello")),
        OUTLIVED,
    ),
    should(
        "odd/empty-body",
        "no body at all",
        JSON,
        Play::Each(|stage| after(stage, "no body", "")),
        OUTLIVED,
    ),
    should("odd/truncated", "a body that breaks off", JSON, Play::Each(truncated), OUTLIVED),
    should("odd/invalid-utf-8", "bytes that are no text", JSON, Play::Each(invalid), OUTLIVED),
    should(
        "odd/array-at-top",
        "an array in place of the object",
        COLLECTION,
        Play::Each(|stage| after(stage, "[]", "[]")),
        OUTLIVED,
    ),
    should(
        "odd/null-at-top",
        "null in place of the object",
        COLLECTION,
        Play::Each(|stage| after(stage, "null", "null")),
        OUTLIVED,
    ),
    should(
        "odd/string-at-top",
        "a text in place of the object",
        COLLECTION,
        Play::Each(|stage| after(stage, "a string", "\"value\"")),
        OUTLIVED,
    ),
    should(
        "odd/no-value",
        "an object without value",
        COLLECTION,
        Play::Each(|stage| after(stage, "{}", "{}")),
        OUTLIVED,
    ),
    should(
        "odd/null-value",
        "value is null",
        COLLECTION,
        Play::Each(|stage| after(stage, "value: null", r#"{"value":null}"#)),
        OUTLIVED,
    ),
    should(
        "odd/object-value",
        "value is an object",
        COLLECTION,
        Play::Each(|stage| after(stage, "value: {}", r#"{"value":{}}"#)),
        OUTLIVED,
    ),
    should(
        "odd/items-are-no-objects",
        "null, numbers, texts and arrays for items",
        COLLECTION,
        Play::Each(|stage| after(stage, "items that are none", r#"{"value":[null,1,"a",[],true,{}]}"#)),
        OUTLIVED,
    ),
    should(
        "odd/members-of-wrong-types",
        "numbers and objects where texts belong",
        COLLECTION,
        Play::Each(wrong_types),
        OUTLIVED,
    ),
    should("odd/deep-nesting", "10,000 arrays in each other", JSON, Play::Each(deep), OUTLIVED),
    should(
        "odd/two-documents",
        "something behind the document",
        JSON,
        Play::Each(|stage| after(stage, "two documents", r#"{"value":[]}{"value":[]}"#)),
        OUTLIVED,
    ),
    should("odd/form", "a form, as browsers send it", HTTP, Play::Each(form), OUTLIVED),
    should(
        "odd/compressed",
        "a body that says that it is compressed, and is not",
        HTTP,
        Play::Each(compressed),
        OUTLIVED,
    ),
    should("odd/get", "GET without anything", HTTP, Play::Each(|stage| method(stage, Method::GET)), OUTLIVED),
    should("odd/put", "PUT in place of POST", HTTP, Play::Each(|stage| method(stage, Method::PUT)), OUTLIVED),
];

fn after(stage: &Stage, words: &str, body: impl Into<bytes::Bytes>) -> Vec<Shot> {
    vec![stage.body(words, body).strange(), stage.good()]
}

fn neighbours(stage: &Stage) -> Vec<Shot> {
    vec![stage.post(&[stage.message(), "null".to_owned(), "{}".to_owned(), stage.message()]).strange()]
}

fn truncated(stage: &Stage) -> Vec<Shot> {
    let whole = stage.good().body;
    after(stage, "half an item", whole.slice(..whole.len() / 2))
}

fn invalid(stage: &Stage) -> Vec<Shot> {
    let item = stage.changed(|item| item.set("n", "\"?\""));
    let mut body = format!("{{\"value\":[{item}]}}").into_bytes();
    if let Some(at) = body.iter().rposition(|&byte| byte == b'?') {
        body[at] = 0xff;
    }
    after(stage, "bytes that are no text", body)
}

fn wrong_types(stage: &Stage) -> Vec<Shot> {
    let item = stage.changed(|item| {
        for name in ["id", "subscriptionId", "changeType", "resource", "resourceData", "tenantId"] {
            item.set(name, "[{\"a\":1}]");
        }
    });
    let other = stage.changed(|item| {
        for name in ["id", "subscriptionId", "changeType", "resource", "resourceData", "tenantId"] {
            item.set(name, "7");
        }
    });
    vec![stage.post(&[item, other]).called("members of wrong types").strange(), stage.good()]
}

fn deep(stage: &Stage) -> Vec<Shot> {
    let arrays = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    after(stage, "deep nesting", format!(r#"{{"value":[{{"n":{arrays}}}]}}"#))
}

fn form(stage: &Stage) -> Vec<Shot> {
    let shot = stage.body("a form", "value=1&clientState=2").typed("application/x-www-form-urlencoded");
    vec![shot.strange(), stage.good()]
}

fn compressed(stage: &Stage) -> Vec<Shot> {
    let shot = Shot { header: Some(("content-encoding", "gzip")), ..stage.good() };
    vec![shot.called("Content-Encoding: gzip").strange(), stage.good()]
}

fn method(stage: &Stage, method: Method) -> Vec<Shot> {
    let shot = Shot { method, media_type: None, ..stage.body("", "") };
    let words = shot.method.to_string();
    vec![shot.called(&words).strange(), stage.good()]
}

const DEPTH: usize = 10_000;
