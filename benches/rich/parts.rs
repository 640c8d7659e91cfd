//! The pieces by themselves, on one thread: no TLS, no broker.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use graphhook::config::{ClientState, ClientStatePolicy, Deliver, Rich as Settings, RichKey};
use graphhook::deadline::Deadline;
use graphhook::envelope::Router;
use graphhook::envelope::properties::Arrival;
use graphhook::envelope::routing::Template;
use graphhook::metrics::Metrics;
use graphhook::notification::Batch;
use graphhook::secret::Secret;
use graphhook::verify::decrypt::{Parcel, PrivateKey};
use graphhook::verify::keys::{KeySource, Keys};
use graphhook::verify::rich::{Rich, Turns};
use graphhook::verify::seal::seal;
use graphhook::verify::{Expectations, Verifier};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::every::median;
use crate::support::daemon::SECRET;
use crate::support::graph::{collection, created};
use crate::support::issuer::{APP, Issuer, PUBLISHER, TENANT, V2_CONFIGURATION};
use crate::support::rich;

/// Prints a table: microseconds of the processor, how many times the first line, and how many a second on one core.
pub(crate) fn measure(runtime: &Runtime) {
    let scene = runtime.block_on(Scene::new());
    let mut contestants = vec![scene.basic(), scene.token()];
    for bits in [KeySize::Rsa2048, KeySize::Rsa3072, KeySize::Rsa4096] {
        contestants.extend(SIZES.map(|(words, bytes)| scene.open(bits, words, bytes)));
    }
    contestants.push(scene.road(runtime, "the road, sealed, 1 KiB", Deliver::Sealed, 1 << 10));
    for (words, bytes) in SIZES {
        contestants.push(scene.road(runtime, &format!("the road, opened, {words}"), Deliver::Opened, bytes));
    }
    for _ in 0..ROUNDS {
        contestants.iter_mut().for_each(Contestant::run);
    }
    println!("{:<40} {:>12} {:>10} {:>12}", "", "CPU µs", "times", "per second");
    let first = median(contestants[0].times.clone());
    for Contestant { words, times, .. } in contestants {
        let time = median(times);
        println!("{words:<40} {:>12.1} {:>10.1} {:>12.0}", time * 1e6, time / first, 1.0 / time);
    }
}

/// One line of the table.
struct Contestant<'a> {
    words: String,
    work: Box<dyn FnMut() + 'a>,
    /// Seconds of the processor for one, of each round.
    times: Vec<f64>,
}

impl<'a> Contestant<'a> {
    fn new(words: impl Into<String>, work: impl FnMut() + 'a) -> Self {
        Self { words: words.into(), work: Box::new(work), times: Vec::new() }
    }

    fn run(&mut self) {
        let (begun, spent, mut done) = (Instant::now(), spent(), 0_u32);
        while begun.elapsed() < ROUND {
            (self.work)();
            done += 1;
        }
        self.times.push((self::spent() - spent) / f64::from(done));
    }
}

/// What all of them need.
struct Scene {
    issuer: Issuer,
    verifier: Verifier,
    router: Router,
    metrics: Arc<Metrics>,
    keys: Keys,
}

impl Scene {
    async fn new() -> Self {
        let issuer = Issuer::open().await;
        let state = ClientState {
            name: "mail".to_owned(),
            secret: Secret::new(SECRET.to_owned()),
            subscriptions: Default::default(),
            tenants: Default::default(),
            silent_after: None,
        };
        let metrics = Metrics::new();
        let (keys, keeper) = Keys::new(&metrics);
        keys.adopt(Some(source(&issuer)));
        #[expect(clippy::disallowed_methods, reason = "its owner is the runtime, until the program ends")]
        drop(tokio::spawn(keeper.run(CancellationToken::new())));
        keys.fresh(Deadline::after(Duration::from_secs(10))).await.expect("the issuer answers");
        let router = Router::new(Template::default(), ClientStatePolicy::Keep);
        Self { issuer, verifier: Verifier::new(&[state]), router, metrics, keys }
    }

    fn basic(&self) -> Contestant<'_> {
        let body = Bytes::from(collection([created("1")]));
        Contestant::new("basic item: read, judged, addressed", move || {
            let verified = self.verifier.verify(Batch::parse(&body, 1).expect("a batch"));
            let arrival = Arrival::at(SystemTime::now());
            assert_eq!(black_box(self.router.address(&verified, &body, arrival, None)).len(), 1);
        })
    }

    fn token(&self) -> Contestant<'_> {
        let (token, keys, expectations) = (self.issuer.token(TENANT), self.keys.shelf().keys, expectations());
        Contestant::new("one token, RSA 2048", move || {
            black_box(expectations.judge(&token, &keys, SystemTime::now())).expect("a good token");
        })
    }

    fn open(&self, size: KeySize, words: &str, bytes: usize) -> Contestant<'_> {
        let key = private_key(size);
        let body = Bytes::from(rich_post(&key, bytes, "x"));
        let words = format!("opened, RSA {}, {words}", key.bits());
        Contestant::new(words, move || {
            let batch = Batch::parse(&body, 1).expect("a batch");
            let content = batch.notifications[0].sealed.and_then(|sealed| sealed.read()).expect("a content");
            let parcel = Parcel::of(&content, &body).expect("base64");
            black_box(parcel.open(&key)).expect("it opens");
        })
    }

    /// All that is done for a POST between its body and its envelopes.
    fn road<'a>(
        &'a self,
        runtime: &'a Runtime,
        words: &str,
        deliver: Deliver,
        bytes: usize,
    ) -> Contestant<'a> {
        let key = private_key(KeySize::Rsa2048);
        let body = Bytes::from(rich_post(&key, bytes, &self.issuer.token(TENANT)));
        let rich_key = RichKey { id: ID.to_owned(), private_key: key, certificate: None };
        let settings = Settings {
            deliver,
            expectations: expectations(),
            signing_keys: source(&self.issuer),
            keys: vec![rich_key],
        };
        let rich = Rich::new(settings, self.keys.clone(), Turns::of_machine(), Arc::clone(&self.metrics));
        Contestant::new(words, move || {
            let verified = self.verifier.verify(Batch::parse(&body, 1).expect("a batch"));
            let arrival = Arrival::at(SystemTime::now());
            let owed = Deadline::after(Duration::from_secs(10));
            let judged = runtime.block_on(async { rich.judge(verified, &body, arrival.at, owed).await });
            let verified = judged.expect("a verdict");
            assert_eq!(black_box(self.router.address(&verified, &body, arrival, None)).len(), 1);
        })
    }
}

/// Seconds of the processors that our threads have had: what else runs on the machine does not count.
fn spent() -> f64 {
    let threads = fs::read_dir("/proc/self/task").expect("our threads");
    let times = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    let nanoseconds = times.filter_map(|times| times.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.sum::<f64>() / 1e9
}

fn source(issuer: &Issuer) -> KeySource {
    let url = issuer.url(V2_CONFIGURATION).parse().expect("a URL");
    let day = Duration::from_secs(24 * 60 * 60);
    KeySource { documents: vec![url], ca_file: Some(issuer.ca_file()), refresh_after: day }
}

fn expectations() -> Expectations {
    Expectations {
        app_ids: [APP.to_owned()].into(),
        tenants: [TENANT.to_owned()].into(),
        issuer_v1: "https://sts.windows.net/{tenant}/".to_owned(),
        issuer_v2: "https://login.microsoftonline.com/{tenant}/v2.0".to_owned(),
        publisher: PUBLISHER.to_owned(),
        clock_skew: Duration::from_secs(300),
    }
}

fn private_key(size: KeySize) -> Arc<PrivateKey> {
    let pair = KeyPair::generate(size).expect("a key");
    let der: Pkcs8V1Der<'_> = pair.as_der().expect("DER");
    let text = BASE64_STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    Arc::new(PrivateKey::from_pem(&pem).expect("a key"))
}

/// A POST with one item whose resource has so many bytes.
fn rich_post(key: &PrivateKey, bytes: usize, token: &str) -> String {
    let resource = json!({ "id": "1", "body": "x".repeat(bytes.saturating_sub(20)) }).to_string();
    let mut content: Value =
        serde_json::to_value(seal(resource.as_bytes(), key.public()).expect("sealed")).expect("JSON");
    content["encryptionCertificateId"] = json!(ID);
    rich::collection(&[rich::rich("1", TENANT, &content)], &json!([token]))
}

const ID: &str = "bench";
const SIZES: [(&str, usize); 4] =
    [("1 KiB", 1 << 10), ("16 KiB", 16 << 10), ("1 MiB", 1 << 20), ("3 MiB", 3 << 20)];
const ROUNDS: usize = 5;
/// Of one contestant.
const ROUND: Duration = Duration::from_millis(300);
