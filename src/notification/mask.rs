//! A notification for people's eyes: without any clientState.

use super::json::{Place, is_document};

/// The document with [`MASK`] in place of every clientState that is not null, at any depth and however its name is
/// written; every other byte as it was. `None` if it is no JSON document: then nobody can say what is secret in it.
pub fn masked(text: &str) -> Option<String> {
    if !is_document(text) {
        return None;
    }
    let (mut masked, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('"') {
        let string = first_value(&rest[at..])?;
        let after = &rest[at + string.len()..];
        masked.push_str(&rest[..at + string.len()]);
        rest = after;
        let Some(value) = after.trim_start().strip_prefix(':').map(str::trim_start) else { continue };
        if is_secret(string) {
            masked.push_str(&after[..after.len() - value.len()]);
            let secret = first_value(value)?;
            masked.push_str(if secret == "null" { secret } else { MASK });
            rest = &value[secret.len()..];
        }
    }
    masked.push_str(rest);
    Some(masked)
}

/// The text of the value that comes first.
fn first_value(text: &str) -> Option<&str> {
    Place::new(text).value().ok().map(|text| text.raw)
}

/// Some parsers take names for equal that differ in case only.
fn is_secret(name: &str) -> bool {
    let name: Option<String> = serde_json::from_str(name).ok();
    // A name that Unicode cannot hold is not this one.
    name.is_some_and(|name| name.eq_ignore_ascii_case("clientState"))
}

/// What stands there instead.
pub(crate) const MASK: &str = "\"[secret]\"";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(masked(text).as_deref(), expected, "{text}");
    }

    #[test]
    fn every_client_state_is_masked() {
        check(
            r#"{"id":"1", "clientState" : "hunter2" ,"x":1}"#,
            Some(r#"{"id":"1", "clientState" : "[secret]" ,"x":1}"#),
        );
        check(
            r#"{"clientState":"a","clientState":["hunter2"]}"#,
            Some(r#"{"clientState":"[secret]","clientState":"[secret]"}"#),
        );
        check(r#"{"client\u0053tate":"hunter2"}"#, Some(r#"{"client\u0053tate":"[secret]"}"#));
        check(
            r#"[{"a":{"CLIENTSTATE":{"b":"hunter2"}}},2]"#,
            Some(r#"[{"a":{"CLIENTSTATE":"[secret]"}},2]"#),
        );
    }

    #[test]
    fn everything_else_stays() {
        for same in [
            r#"{"clientState":null,"a":"clientState","b":["clientState","c"]}"#,
            r#"{"a":"\"clientState\":\"x\"","ä\ud800":1.0e5}"#,
            " 12 ",
            "\"clientState\"",
        ] {
            check(same, Some(same));
        }
    }

    #[test]
    fn what_is_no_document_is_not_shown() {
        check("", None);
        check(r#"{"clientState":"hunter2"} {}"#, None);
        check(r#"{"clientState":"hunter2""#, None);
        check(&"[".repeat(200), None);
    }

    proptest! {
        #[test]
        fn no_secret_survives_in_any_company(before: String, after: String, secret in "[a-z]{20}") {
            let text = serde_json::json!([{ "a": before, "clientState": secret, "z": after }]).to_string();
            let masked = masked(&text).expect("JSON");
            prop_assert!(!masked.contains(&secret));
            assert!(is_document(&masked), "still JSON");
        }
    }
}
