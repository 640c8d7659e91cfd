//! Tables: what counts as a list of tokens, and as resource data.

use proptest::prelude::*;

use super::*;
use crate::notification::Batch;

/// What members `validationTokens` with these values hold together.
fn list(members: &[&str]) -> String {
    let members: String = members.iter().map(|value| format!(r#","validationTokens":{value}"#)).collect();
    let body = format!(r#"{{"value":[]{members}}}"#);
    let batch = Batch::parse(body.as_bytes(), 1).expect(&body);
    match batch.validation_tokens.read() {
        TokenList::Absent => "absent".to_owned(),
        TokenList::Unreadable => "unreadable".to_owned(),
        TokenList::Tokens(tokens) => tokens.join(" "),
    }
}

#[test]
fn a_list_of_tokens_is_one_of_strings() {
    for (members, expected) in [
        (&[][..], "absent"),
        (&["null"], "absent"),
        (&["[]"], "absent"),
        (&["[ ]"], "absent"),
        (&[r#"["a"]"#], "a"),
        (&[r#" [ "a" , "b\u0063" ] "#], "a bc"),
        (&[r#"["a","a"]"#], "a a"),
        (&[r#"[""]"#], ""),
        (&[r#""a""#], "unreadable"),
        (&["{}"], "unreadable"),
        (&["7"], "unreadable"),
        (&["true"], "unreadable"),
        (&["[null]"], "unreadable"),
        (&[r#"["a",7]"#], "unreadable"),
        (&[r#"["a",["b"]]"#], "unreadable"),
        (&[r#"["\ud800"]"#], "unreadable"),
        // Two lists: consumers' parsers, and ours, may not agree on which it is.
        (&[r#"["a"]"#, r#"["a"]"#], "unreadable"),
        (&["null", r#"["a"]"#], "unreadable"),
        (&[r#"["a"]"#, "null"], "unreadable"),
        (&["null", "null"], "unreadable"),
    ] {
        assert_eq!(list(members), expected, "{members:?}");
    }
}

#[test]
fn so_many_tokens_are_read_and_no_more() {
    let many = |count: usize| format!("[{}]", vec![r#""t""#; count].join(","));
    assert_eq!(list(&[&many(TOKENS_MAX)]).split(' ').count(), TOKENS_MAX);
    assert_eq!(list(&[&many(TOKENS_MAX + 1)]), "unreadable");
}

/// Whether an item with these members has resource data, and whether that can be read.
#[track_caller]
fn check_sealed(members: &str, expected: Option<bool>) {
    let body = format!(r#"{{"value":[{{"subscriptionId":"s"{members}}}]}}"#);
    let batch = Batch::parse(body.as_bytes(), 1).expect(&body);
    let sealed = batch.notifications[0].sealed;
    assert_eq!(sealed.map(|sealed| sealed.read().is_some()), expected, "{members}");
}

const GOOD: &str = r#"{"data":"a","dataKey":"b","dataSignature":"c"}"#;

#[test]
fn resource_data_is_there_unless_it_is_null() {
    check_sealed("", None);
    check_sealed(r#","encryptedContent":null"#, None);
    check_sealed(r#","encryptedContent":null,"encryptedContent": null "#, None);
    check_sealed(&format!(r#","encryptedContent":{GOOD}"#), Some(true));
    check_sealed(&format!(r#","encrypted\u0043ontent": {GOOD} "#), Some(true));
    for value in ["{}", "[]", "[1]", "7", "true", r#""x""#, r#""""#, r#"{"data":"a"}"#] {
        check_sealed(&format!(r#","encryptedContent":{value}"#), Some(false));
    }
    // Which one is meant depends on who reads.
    for other in ["null", "{}", GOOD] {
        check_sealed(&format!(r#","encryptedContent":{GOOD},"encryptedContent":{other}"#), Some(false));
        check_sealed(&format!(r#","encryptedContent":{other},"encryptedContent":{GOOD}"#), Some(false));
        check_sealed(&format!(r#","EncryptedContent":{other},"encryptedContent":{GOOD}"#), Some(false));
        // What is opened would stand there twice.
        check_sealed(&format!(r#","encryptedContent":{GOOD},"decryptedContent":{other}"#), Some(false));
        check_sealed(&format!(r#","Decrypted\u0043ontent":{other},"encryptedContent":{GOOD}"#), Some(false));
        check_sealed(&format!(r#","decryptedContent":{other}"#), None);
    }
    for name in ["EncryptedContent", "encryptedcontent", "ENCRYPTEDCONTENT"] {
        check_sealed(&format!(r#","{name}":{GOOD}"#), Some(true));
        check_sealed(&format!(r#","encryptedContent":null,"{name}":{GOOD}"#), Some(false));
    }
    check_sealed(&format!(r#","encrypted_content":{GOOD}"#), None);
}

#[test]
fn members_that_contradict_make_it_unreadable() {
    for member in ["data", "dataKey", "dataSignature", "encryptionCertificateId"] {
        let with = |first: &str, second: &str| {
            let good = r#""data":"a","dataKey":"a","dataSignature":"a","encryptionCertificateId":"a""#;
            let good = good.replace(&format!(r#""{member}":"a""#), &format!(r#""{member}":{second}"#));
            format!(r#","encryptedContent":{{"{member}":{first},{good}}}"#)
        };
        check_sealed(&with(r#""a""#, r#""a""#), Some(true));
        check_sealed(&with(r#""\u0061""#, r#""a""#), Some(true));
        check_sealed(&with(r#""b""#, r#""a""#), Some(false));
        check_sealed(&with("null", r#""a""#), Some(false));
    }
}

#[test]
fn neither_tokens_nor_contents_are_printed() {
    let body = format!(
        r#"{{"value":[{{"subscriptionId":"s","encryptedContent":{}}}],"validationTokens":["canary"]}}"#,
        GOOD.replace(r#""a""#, r#""canary""#)
    );
    let batch = Batch::parse(body.as_bytes(), 1).expect("a batch");
    let printed = format!(
        "{:?} {:?} {:?}",
        batch.notifications[0].sealed,
        batch.validation_tokens,
        batch.validation_tokens.read()
    );
    assert_eq!(printed, "Some([sealed]) [tokens] [1 tokens]");
}

proptest! {
    /// Whatever strings there are, they come out as they went in.
    #[test]
    fn tokens_are_read_as_they_are_written(tokens in prop::collection::vec(any::<String>(), 1..20)) {
        let body = serde_json::json!({ "value": [], "validationTokens": tokens }).to_string();
        let batch = Batch::parse(body.as_bytes(), 1).expect("a batch");
        let TokenList::Tokens(read) = batch.validation_tokens.read() else { panic!("{body}") };
        prop_assert_eq!(read, tokens);
    }
}
