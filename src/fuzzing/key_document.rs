//! What a server of keys answers.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use super::{
    json::{Members, elements},
    validation_token::public_keys,
};
use crate::verify::keys::SigningKeys;

/// Any bytes. What is taken for keys stands there, under these ids and no others; and a key that stands there as plainly
/// as the identity platform writes it is taken.
pub fn key_document(data: &[u8]) {
    let taken = SigningKeys::read(data).unwrap_or_default();
    // A tree cannot hold everything that is JSON.
    let Ok(document) = serde_json::from_slice::<Value>(data) else { return };
    let there = public_keys(&document);
    let ids: BTreeSet<&str> = there.iter().map(|key| key.id.as_str()).collect();
    assert_eq!(taken.len(), ids.iter().filter(|id| !taken.named(id).is_empty()).count(), "another id");
    for id in ids {
        let many = there.iter().filter(|key| key.id == id).count();
        assert!(taken.named(id).len() <= many, "more keys than stand there");
    }
    if str::from_utf8(data).is_ok_and(is_plain) {
        let missing = there.iter().find(|key| key.is_usual && taken.named(&key.id).is_empty());
        assert!(missing.is_none(), "a key is missing");
    }
}

/// Whether a key set is nothing else, and says everything once.
fn is_plain(text: &str) -> bool {
    let Some(Members(members)) = Members::of(text) else { return false };
    let [("\"keys\"", keys)] = *members else { return false };
    let says_all_once = |key: &str| {
        let Members(members) = Members::of(key).unwrap_or(Members(Vec::new()));
        members.iter().map(|(name, _)| *name).collect::<HashSet<_>>().len() == members.len()
    };
    !text.contains('\\') && elements(keys).is_some_and(|keys| keys.into_iter().all(says_all_once))
}
