//! How often others can make us ask, and whose word on a key counts.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn after(begin: Instant, seconds: u64) -> Instant {
    begin + Duration::from_secs(seconds)
}

#[test]
fn some_fetches_can_be_asked_for_at_once_and_then_one_from_time_to_time() {
    let begin = Instant::now();
    let mut budget = Budget::full(begin);
    let mut asked = |seconds, count| {
        let granted = (0..count).filter(|_| budget.take(after(begin, seconds))).count();
        assert!(!budget.take(after(begin, seconds)), "more than {granted} at {seconds} s");
        granted
    };
    assert_eq!(asked(0, 5), 5);
    assert_eq!(asked(9, 3), 0);
    assert_eq!(asked(10, 3), 1);
    assert_eq!(asked(39, 9), 2);
    assert_eq!(asked(100_000, 100), 5);
    assert_eq!(asked(u64::from(u32::MAX) * 100, 100), 5, "a number that does not fit");
}

proptest! {
    /// Whoever asks whenever: no more than some, and one for each of the times that have passed.
    #[test]
    fn nobody_gets_more_than_the_budget(pauses in prop::collection::vec(0_u64..15_000, 1..200)) {
        let begin = Instant::now();
        let (mut now, mut granted) = (begin, 0);
        let mut budget = Budget::full(begin);
        for pause in pauses {
            now += Duration::from_millis(pause);
            granted += u64::from(budget.take(now));
        }
        let most = u64::from(ASKED_MAX) + now.duration_since(begin).as_secs() / ASKED_EVERY.as_secs();
        prop_assert!(granted <= most, "{granted} of {most}");
    }
}

/// The key set of the vectors as documents have it: one for each of these issuers.
fn published(issuers: &[Option<&str>]) -> SigningKeys {
    let vectors = include_str!("../../../tests/data/vector-jwt-validation.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).expect("JSON");
    let documents = issuers.iter().map(|issuer| {
        let mut key = vectors["jwks"]["keys"][0].clone();
        key["issuer"] = json!(issuer);
        let Ok(Document::Keys(keys)) = Document::read(json!({ "keys": [key] }).to_string().as_bytes()) else {
            panic!("{key} is a key");
        };
        keys
    });
    SigningKeys::of(documents.collect::<Vec<_>>().concat().iter())
}

#[test]
fn a_document_without_issuers_does_not_widen_what_another_says() {
    for (said, count) in [
        (&[None][..], vec![None]),
        (&[None, None], vec![None, None]),
        (&[Some("a"), None], vec![Some("a")]),
        (&[None, Some("a")], vec![Some("a")]),
        (&[Some("b"), None, Some("a")], vec![Some("b"), Some("a")]),
    ] {
        let keys = published(said);
        assert_eq!(keys.len(), 1);
        let issuers: Vec<_> =
            keys.named("test-signing-key-1").iter().map(|key| key.issuer.as_deref()).collect();
        assert_eq!(issuers, count, "{said:?}");
    }
}
