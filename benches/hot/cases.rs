//! The cases: each a hot path of the library, by itself.

use std::{
    hint::black_box,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use graphhook::{
    config::ClientStatePolicy,
    delivery::spool::record::Record,
    envelope::{Router, properties::Arrival, quarantined, routing::Template},
    listener::strict::{Body, Scanned, Scanner},
    notification::Batch,
    verify::{
        Verifier,
        decrypt::{Parcel, PrivateKey},
    },
};
use serde_json::Value;

use crate::{
    inputs::{forged, genuine, table},
    requests::{self, Server},
};

/// One hot path.
pub(crate) struct Case {
    pub(crate) name: String,
    /// What is done at one go. Costs are shown for one of them.
    pub(crate) many: usize,
    pub(crate) work: Box<dyn FnMut()>,
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend([1, 10, 100, 1_000].map(|items| judged(format!("{items} in a POST"), items, 1)));
    cases.extend([100, 10_000].map(|entries| judged(format!("{entries} in the table"), 10, entries)));
    cases.extend([1, 100].map(addressed));
    cases.extend([1, 100].map(refused));
    cases.extend([spooled(), head(), opened()]);
    cases.extend(requested());
    cases
}

/// A POST of so many items, read and judged by a table of so many entries.
fn judged(words: String, items: usize, entries: usize) -> Case {
    let (verifier, body) = (Verifier::new(&table(entries)), genuine(items));
    case(format!("item: read and judged, {words}"), items, move || {
        let verified = verifier.verify(Batch::parse(&body, items).expect("a batch"));
        assert_eq!(black_box(verified).authentic().len(), items);
    })
}

/// Routing keys, properties and bodies.
fn addressed(items: usize) -> Case {
    let router = Router::new(Template::default(), ClientStatePolicy::Keep);
    // Borrowed for as long as the program runs, so that reading it is not part of this.
    let body: &'static Bytes = Box::leak(Box::new(genuine(items)));
    let verified = Verifier::new(&table(1)).verify(Batch::parse(body, items).expect("a batch"));
    let arrival = Arrival::at(noon());
    case(format!("item: addressed, {items} in a POST"), items, move || {
        assert_eq!(black_box(router.address(&verified, body, arrival, None)).len(), items);
    })
}

/// Forgeries: read, judged, and made ready for the quarantine.
fn refused(items: usize) -> Case {
    let (verifier, body, arrival) = (Verifier::new(&table(1)), forged(items), Arrival::at(noon()));
    case(format!("item: refused, {items} in a POST"), items, move || {
        let refused = verifier.verify(Batch::parse(&body, items).expect("a batch")).into_refused();
        let envelopes = refused.iter().map(|item| quarantined(item, arrival));
        assert_eq!(black_box(envelopes.collect::<Vec<_>>()).len(), items);
    })
}

/// A message as the spool keeps it, without the disk.
fn spooled() -> Case {
    let router = Router::new(Template::default(), ClientStatePolicy::Keep);
    let body = genuine(1);
    let verified = Verifier::new(&table(1)).verify(Batch::parse(&body, 1).expect("a batch"));
    let [envelope] = router
        .address(&verified, &body, Arrival::at(noon()), None)
        .try_into()
        .expect("one item, one envelope");
    case("message: written for the spool and read again".to_owned(), 1, move || {
        let record = Record::of(&envelope);
        black_box(record.crc(7));
        assert_eq!(record.envelope().expect("our own").message_id, envelope.message_id);
    })
}

/// The head of a request and the body behind it, by the letter.
fn head() -> Case {
    let (body, mut scanner) = (genuine(1), Scanner::default());
    let post = requests::post(&body);
    case("head: read by the letter".to_owned(), 1, move || {
        let Scanned::Passes(head) = scanner.scan(&post) else { panic!("the head is by the letter") };
        assert!(scanner.follows(Body::Length(body.len() as u64)));
        assert_eq!(scanner.scan(&post[head..]), Scanned::Passes(body.len()));
    })
}

/// Resource data, decrypted.
fn opened() -> Case {
    let vectors: Value = serde_json::from_str(VECTORS).expect("the vectors are JSON");
    let key = vectors["certificate"]["private_key_pkcs8_pem"].as_str().expect("a key");
    let key = PrivateKey::from_pem(key).expect("a key");
    let content = &vectors["cases"][0]["encryptedContent"];
    let body = Bytes::from(format!(
        r#"{{"value":[{{"subscriptionId":"s","clientState":"c","encryptedContent":{content}}}]}}"#
    ));
    case("resource data: opened".to_owned(), 1, move || {
        let batch = Batch::parse(&body, 1).expect("a batch");
        let content = batch.notifications[0].sealed.and_then(|sealed| sealed.read()).expect("a content");
        let parcel = Parcel::of(&content, &body).expect("base64");
        black_box(parcel.open(&key)).expect("it opens");
    })
}

/// Whole requests over a kept connection, both sides of it; the last one to a server that does nothing.
fn requested() -> Vec<Case> {
    let (server, bare) = (Server::start(), Server::bare());
    let forged = requests::post(&forged(1));
    let cases = [
        ("the health check", &server, requests::health()),
        ("a validation handshake", &server, requests::handshake()),
        ("a refused item", &server, forged.clone()),
        ("a refused item, read and answered by hyper alone", &bare, forged),
    ];
    let request = |(words, server, request): (&str, &Server, Vec<u8>)| {
        let mut visit = server.visit(request);
        case(format!("request: {words}"), 1, move || visit.once())
    };
    cases.map(request).into()
}

fn case(name: String, many: usize, work: impl FnMut() + 'static) -> Case {
    Case { name, many, work: Box::new(work) }
}

/// Some moment, always the same.
fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_852_400_123)
}

/// Made for this project; see `tests/data/README.md`.
const VECTORS: &str = include_str!("../../tests/data/vector-own-decryption.json");
