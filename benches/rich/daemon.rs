//! The whole program, with TLS and a real broker.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use graphhook::verify::decrypt::PrivateKey;
use serde_json::json;

use crate::daemons::{memory, processor, purge};
use crate::every::median;
use crate::support::daemon::Daemon;
use crate::support::graph::{PATH, collection, created};
use crate::support::https::Client;
use crate::support::issuer::{Issuer, TENANT};
use crate::support::rich::{self, Recipient, rich};

/// Items a second and processor time for each, of items without resource data, checked ones, and opened ones.
pub(crate) async fn measure() {
    let site = Site::open().await;
    let (checked, opened) = (site.daemon("sealed").await, site.daemon("opened").await);
    let basic: Vec<String> = (0..BATCH).map(|number| created(&number.to_string())).collect();
    let sealed = |bytes| site.post(BATCH, bytes);
    let mut contestants = [
        ("basic", &checked, collection(&basic)),
        ("resource data, 1 KiB, checked", &checked, sealed(1 << 10)),
        ("resource data, 1 KiB, opened", &opened, sealed(1 << 10)),
        ("resource data, 16 KiB, opened", &opened, sealed(16 << 10)),
    ]
    .map(|(words, daemon, post)| (words, daemon, Bytes::from(post), Vec::new(), Vec::new()));
    for _ in 0..ROUNDS {
        for (_, daemon, post, rates, costs) in &mut contestants {
            let (rate, cost) = round(daemon, post).await;
            rates.push(rate);
            costs.push(cost);
        }
    }
    println!("{:<34} {:>12} {:>18}", "", "items/s", "CPU µs per item");
    for (words, _, _, rates, costs) in contestants {
        println!("{words:<34} {:>12.0} {:>18.0}", median(rates), median(costs) * 1e6);
    }
}

/// The most memory that the daemon ever held, when large contents come all at once.
pub(crate) async fn peak() {
    let site = Site::open().await;
    println!("{:<34} {:>10} {:>14} {:>8} {:>8}", "", "bodies", "peak, MiB", "202", "503");
    for (words, deliver, posts) in
        [("nothing", "sealed", 0), ("checked", "sealed", 50), ("opened", "opened", 50)]
    {
        let daemon = site.daemon(deliver).await;
        let body = Bytes::from(site.post(1, LARGE));
        let send = async || {
            let client = daemon.client();
            client.post(PATH, &[("content-type", "application/json")], body.clone()).await.status
        };
        let answers = join_all((0..posts).map(|_| send())).await;
        let of = |status: u16| answers.iter().filter(|answer| **answer == status).count();
        let bodies = (posts * body.len()) >> 20;
        println!(
            "{words:<34} {bodies:>10} {:>14.0} {:>8} {:>8}",
            memory(daemon.pid(), "VmHWM") / 1024.0,
            of(202),
            of(503)
        );
        purge(daemon.queue()).await;
    }
}

/// One issuer and one recipient for all daemons.
struct Site {
    issuer: Issuer,
    recipient: Recipient,
    files: tempfile::TempDir,
}

impl Site {
    async fn open() -> Self {
        let (issuer, recipient) = (Issuer::open().await, Recipient::generate("bench"));
        assert_eq!(PrivateKey::from_pem(&recipient.pem).map(|key| key.bits()), Ok(2048));
        Self { issuer, recipient, files: tempfile::tempdir().expect("a directory") }
    }

    async fn daemon(&self, deliver: &str) -> Daemon {
        let table = self.recipient.table(self.files.path());
        let configuration = self.issuer.trusted(Daemon::configure(), deliver).append(&table);
        let daemon = configuration.connected().await;
        daemon.eventually_metric("graphhook_signing_keys", |keys| keys > 0.0).await;
        daemon
    }

    /// A POST of so many items whose resources have so many bytes.
    fn post(&self, items: usize, bytes: usize) -> String {
        let resource = json!({ "id": "1", "body": "x".repeat(bytes - 20) }).to_string();
        let item = |number: usize| rich(&number.to_string(), TENANT, &self.recipient.seal(&resource));
        let items: Vec<String> = (0..items).map(item).collect();
        rich::collection(&items, &json!([self.issuer.token(TENANT)]))
    }
}

/// Items a second that some clients get confirmed, and seconds of the processor for each.
async fn round(daemon: &Daemon, post: &Bytes) -> (f64, f64) {
    let clients: Vec<Client> = (0..CLIENTS).map(|_| daemon.client()).collect();
    let (begun, spent) = (Instant::now(), processor(daemon.pid()));
    let posts = clients.iter().map(async |client| {
        let mut posts = 0_u32;
        while begun.elapsed() < ROUND {
            let reply = client.post(PATH, &[("content-type", "application/json")], post.clone()).await;
            assert_eq!(reply.status, 202);
            posts += 1;
        }
        posts
    });
    let items = f64::from(join_all(posts).await.iter().sum::<u32>()) * BATCH as f64;
    let (rate, cost) = (items / begun.elapsed().as_secs_f64(), (processor(daemon.pid()) - spent) / items);
    purge(daemon.queue()).await;
    (rate, cost)
}

const BATCH: usize = 10;
const CLIENTS: usize = 16;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
/// With base64 around it, just under `server.limits.body`.
const LARGE: usize = 3_100_000;
