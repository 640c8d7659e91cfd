//! One item alone: among others, in the quarantine, and before people's eyes.

use super::{
    batch::{check_reading, table},
    json::{Members, depth, elements, is_json, string},
};
use crate::{
    config::ClientStatePolicy,
    delivery::{
        quarantine::reconsider::{Judges, reconsider},
        tap::Seen,
    },
    envelope::{Router, routing::Template},
    notification::{Batch, DEPTH_MAX, mask::masked},
    verify::{
        Verifier,
        rich::again::{Again, Unvouched},
    },
};

/// Puts an item between two good ones, which it must not touch; judges it as `quarantine release` does; and masks it,
/// which must take out every secret and nothing else.
pub fn item(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A collection is two levels more.
    let is_one = is_json(text) && depth(text) + 2 <= DEPTH_MAX;
    if is_one {
        check_neighbours(text);
    }
    check_release(text, is_one);
    check_mask(text);
}

fn check_neighbours(text: &str) {
    let good = r#"{"subscriptionId":"s","clientState":"all clients say"}"#;
    let body = format!(r#"{{"value":[{good},{text},{good}]}}"#);
    let batch = Batch::parse(body.as_bytes(), 3).expect("three items");
    let raw: Vec<&str> = batch.notifications.iter().map(|item| item.raw).collect();
    assert_eq!(raw, [good, text.trim_matches([' ', '\t', '\r', '\n']), good]);
    batch.notifications.iter().for_each(check_reading);
    let verified = Verifier::new(&table()).verify(batch);
    assert!(verified.authentic().len() >= 2, "a good item is refused for its neighbour");
}

/// What is released is the whole of what was kept: one object that says the secret.
fn check_release(text: &str, is_one: bool) {
    let kept = Seen { body: text.to_owned().into(), ..Seen::default() };
    let router = Router::new(Template::default(), ClientStatePolicy::Keep);
    if let Ok(envelope) = reconsider(
        &kept,
        &Judges { verifier: Verifier::new(&table()), rich: Again::new(None, Unvouched::Refused), router },
    ) {
        assert!(is_one, "released is what is no item");
        assert_eq!(envelope.body, kept.body);
        let said = Members::of(text).and_then(|members| members.string("clientState"));
        assert!(said.is_some_and(|said| said.ends_with("clients say")), "released without a secret");
    }
}

fn check_mask(text: &str) {
    let expected = (is_json(text) && depth(text) <= DEPTH_MAX).then(|| mask(text));
    assert_eq!(masked(text), expected);
}

/// The masked text, made from the inside out.
fn mask(text: &str) -> String {
    let within = match (elements(text), Members::of(text)) {
        (Some(elements), _) => elements.into_iter().map(|value| (value, mask(value))).collect(),
        (None, Some(Members(members))) => {
            members.into_iter().map(|(name, value)| (value, member(name, value))).collect()
        }
        (None, None) => Vec::new(),
    };
    let (mut masked, mut from) = (String::new(), 0);
    for (value, instead) in within {
        let at = value.as_ptr() as usize - text.as_ptr() as usize;
        masked.push_str(&text[from..at]);
        masked.push_str(&instead);
        from = at + value.len();
    }
    masked + &text[from..]
}

fn member(name: &str, value: &str) -> String {
    let is_secret = string(name).is_some_and(|name| name.eq_ignore_ascii_case("clientState"));
    if is_secret && value != "null" { "\"[secret]\"".to_owned() } else { mask(value) }
}
