//! The vectors of tests/data, and every kind of tampering.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{
    notification::Batch,
    verify::seal::{makes_round_trip, seal},
};

fn own() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/vector-own-decryption.json")).expect("JSON")
}

fn sdk() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/vector-sdk-decryption.json")).expect("JSON")
}

fn key(vector: &Value) -> PrivateKey {
    PrivateKey::from_pem(vector["certificate"]["private_key_pkcs8_pem"].as_str().expect("PEM"))
        .expect("a key")
}

/// Opens an `encryptedContent` as it stands in an item.
fn open(content: &str, key: &PrivateKey) -> Option<String> {
    let body = Bytes::from(format!(r#"{{"value":[{{"subscriptionId":"s","encryptedContent":{content}}}]}}"#));
    let batch = Batch::parse(&body, 1).expect("a batch");
    let content = batch.notifications[0].sealed.expect("it is there").read()?;
    Some(Parcel::of(&content, &body).ok()?.open(key).ok()?.expose().to_owned())
}

#[test]
fn the_vector_of_the_official_sdks_opens() {
    let sdk = sdk();
    let opened = open(&sdk["encryptedContent"].to_string(), &key(&sdk));
    assert_eq!(opened.as_deref(), sdk["expected"]["plaintext"].as_str());
}

#[test]
fn every_vector_of_ours_ends_as_it_should() {
    let (own, mut good) = (own(), 0);
    let key = key(&own);
    let cases = own["cases"].as_array().expect("a list");
    for case in cases {
        let opened = open(&case["encryptedContent"].to_string(), &key);
        match case["expect"].as_str() {
            Some("ok") => {
                good += 1;
                assert_eq!(opened.as_deref(), case["plaintext"].as_str(), "{}", case["name"]);
            }
            // Which key it is for is another's affair; with this one it opens.
            Some("reject-unknown-certificate") => {}
            _ => assert_eq!(opened, None, "{}", case["name"]),
        }
    }
    assert_eq!((good, cases.len()), (6, 19));
}

#[test]
fn what_is_missing_or_of_another_type_is_not_opened() {
    let own = own();
    let key = key(&own);
    let good = &own["cases"][0]["encryptedContent"];
    assert!(open(&good.to_string(), &key).is_some());
    for member in ["data", "dataKey", "dataSignature"] {
        for value in [None, Some(Value::Null), Some("".into()), Some(7.into()), Some("!".into())] {
            let mut content = good.clone();
            match value {
                Some(value) => content[member] = value,
                None => drop(content.as_object_mut().expect("an object").remove(member)),
            }
            assert_eq!(open(&content.to_string(), &key), None, "{content}");
        }
    }
    for content in ["{}", "[]", "\"x\"", "7", "true"] {
        assert_eq!(open(content, &key), None, "{content}");
    }
    let twice = good.to_string().replacen('{', r#"{"data":"AAAA","#, 1);
    assert_eq!(open(&twice, &key), None);
}

#[test]
fn two_contents_are_none() {
    let own = own();
    let good = own["cases"][0]["encryptedContent"].to_string();
    let twice = format!(r#"null,"encryptedContent":{good}"#);
    assert_eq!(open(&twice, &key(&own)), None);
}

#[test]
fn escapes_are_read_as_json_has_them() {
    let own = own();
    let good = own["cases"][0]["encryptedContent"].to_string();
    assert!(open(&good.replace('/', r"\/"), &key(&own)).is_some());
}

#[test]
fn whatever_is_changed_nothing_opens() {
    let own = own();
    let key = key(&own);
    let content = &own["cases"][0]["encryptedContent"];
    let mut tried = 0;
    for member in ["data", "dataKey", "dataSignature"] {
        let bytes = BASE64_STANDARD.decode(content[member].as_str().expect("a text")).expect("base64");
        // Every byte of what is short, some of what costs an RSA operation each.
        let step = if member == "dataKey" { 16 } else { 1 };
        for index in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            let mut tampered = content.clone();
            tampered[member] = BASE64_STANDARD.encode(changed).into();
            assert_eq!(open(&tampered.to_string(), &key), None, "{member} {index}");
            tried += 1;
        }
        for length in [0, 1, bytes.len() - 1, bytes.len() + 1] {
            let mut changed = bytes.clone();
            changed.resize(length, 0);
            let mut tampered = content.clone();
            tampered[member] = BASE64_STANDARD.encode(changed).into();
            assert_eq!(open(&tampered.to_string(), &key), None, "{member} of {length} bytes");
        }
    }
    assert_eq!(tried, 32 + 16 + 32);
}

#[test]
fn keys_are_read_from_both_kinds_of_pem() {
    use aws_lc_rs::rsa::KeySize;
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().expect("DER");
    // The PKCS#1 key is the last member of a PKCS#8 one: behind version, algorithm, and the head of an octet string.
    let pkcs1 = &pkcs8.as_ref()[26..];
    let pem = |label: &str, der: &[u8]| {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
    };
    let from_pkcs8 = PrivateKey::from_pem(&pem("PRIVATE KEY", pkcs8.as_ref())).expect("PKCS#8");
    let from_pkcs1 = PrivateKey::from_pem(&pem("RSA PRIVATE KEY", pkcs1)).expect("PKCS#1");
    assert_eq!(from_pkcs8, from_pkcs1);
    assert_eq!(from_pkcs1.bits(), 2048);
    assert!(makes_round_trip(&from_pkcs1));
    assert!(!format!("{from_pkcs1:?}").contains("PRIVATE"));
    let ec = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    assert_eq!(PrivateKey::from_pem(&ec).err(), Some(KeyError::NotRsa));
    assert_eq!(PrivateKey::from_pem("/etc/key.pem").err(), Some(KeyError::NotPem));
    assert_eq!(PrivateKey::from_pem(&pem("PRIVATE KEY", &[1, 2, 3])).err(), Some(KeyError::NotRsa));
    assert_eq!(PrivateKey::from_pem(&pem("ENCRYPTED PRIVATE KEY", &[1])).err(), Some(KeyError::HasPassword));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_sealed_opens(text in "\\{\"x\": ?\"[a-zA-Zäß字 ]{0,60}\"\\} ?") {
        let key = key(&own());
        let sealing = seal(text.as_bytes(), key.public()).expect("sealed");
        let content = serde_json::to_string(&sealing).expect("JSON");
        prop_assert_eq!(open(&content, &key), Some(text));
    }
}
