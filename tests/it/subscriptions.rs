//! Subscriptions that the daemon makes, keeps and mends, at a stand-in of Graph that calls it back over TLS.

mod challenges;
mod faults;
mod several;

use std::path::{Path, PathBuf};
use std::time::Duration;

use graphhook::simulate::api::{Call, Held, Lifecycle, Operation};
use serde_json::{Value, json};

use crate::support::api::{Stand, ahead};
use crate::support::broker::Node;
use crate::support::daemon::{Configuration, Daemon};
use crate::support::eventually::eventually_within;
use crate::support::issuer::{APP, TENANT};
use crate::support::ports;
use crate::support::queue::{Amqp, Queue};

/// A stand-in of Graph, and where the daemon that it calls will listen.
pub(super) struct Place {
    pub(super) stand: Stand,
    port: u16,
}

/// A table of `[[subscriptions]]`.
pub(super) fn wanted(name: &str, resource: &str, lines: &str) -> String {
    format!(
        "[[subscriptions]]\nname = \"{name}\"\nresource = \"{resource}\"\nchange_types = [\"created\"]\n{lines}\n"
    )
}

/// One of somebody's mail.
pub(super) fn mail() -> String {
    wanted("mail", MAIL, "")
}

pub(super) const MAIL: &str = "/users/a@contoso.com/messages";

impl Place {
    pub(super) async fn open() -> Self {
        let stand = Stand::with(|options| options.settings.throttles = false).await;
        let [port] = ports::free();
        Self { stand, port }
    }

    /// What a daemon is told that manages these subscriptions.
    pub(super) fn configuration(&self, subscriptions: &str) -> Configuration {
        self.configured(&self.directory(), self.port, subscriptions)
    }

    pub(super) fn configured(&self, directory: &Path, port: u16, subscriptions: &str) -> Configuration {
        let origin = self.stand.api.origin();
        let ca = self.stand.files.path().join("api-ca.pem");
        let mut configuration = Daemon::configure();
        for (key, value) in [
            ("sign_in", json!("client_secret")),
            ("tenant", json!(TENANT)),
            ("client_id", json!(APP)),
            ("client_secret", json!("any")),
            ("url", json!(origin)),
            ("login_url", json!(origin)),
            ("ca_file", json!(ca)),
            ("directory", json!(directory)),
            ("manage", json!(true)),
            ("look_every", json!("10s")),
        ] {
            configuration = configuration.set("graph", key, &value.to_string());
        }
        configuration
            .set("server", "listen", &format!("[\"127.0.0.1:{port}\"]"))
            .set("server", "public_url", &format!("\"{}\"", self.url()))
            .append(subscriptions)
    }

    /// What Graph calls.
    pub(super) fn url(&self) -> String {
        format!("https://localhost:{}/graph/notifications", self.port)
    }

    pub(super) fn directory(&self) -> PathBuf {
        self.stand.files.path().join("subscriptions")
    }

    pub(super) fn all(&self) -> Vec<Held> {
        self.stand.api.subscriptions()
    }

    /// Waits until the daemon says that these are there, and nothing fails; returns their ids in this order.
    pub(super) async fn live(&self, daemon: &Daemon, names: &[&str]) -> Vec<String> {
        let what = format!("{names:?} are live");
        eventually_within(LONG, what, async || {
            let management = management(daemon).await;
            let list = management["list"].as_array().expect("a list").clone();
            let id = |name: &&str| {
                let row = list.iter().find(|row| row["name"] == **name)?;
                row["id"].as_str().map(str::to_owned)
            };
            let ids: Option<Vec<String>> = names.iter().map(id).collect();
            let is_well = management["failing"] == 0 && management["wanted"] == names.len();
            ids.filter(|ids| is_well && self.are(ids))
        })
        .await
    }

    /// Whether Graph has all of these.
    fn are(&self, ids: &[String]) -> bool {
        let all = self.all();
        ids.iter().all(|id| all.iter().any(|held| held.id == *id))
    }

    /// Calls of this kind so far.
    pub(super) fn calls(&self, operation: Operation) -> Vec<Call> {
        self.stand.api.journal().into_iter().filter(|call| call.operation == operation).collect()
    }

    /// Makes a subscription as somebody else would, with a token of the same app.
    pub(super) async fn by_hand(&self, resource: &str, url: &str) -> String {
        let token = self.stand.token().await;
        let body = json!({
            "changeType": "created",
            "notificationUrl": url,
            "resource": resource,
            "expirationDateTime": ahead(&self.stand.api, 60),
            "clientState": "another",
        });
        let reply = self.stand.call(&token, hyper::Method::POST, "/v1.0/subscriptions", &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["id"].as_str().expect("an id").to_owned()
    }
}

/// What `/status` tells of the management.
pub(super) async fn management(daemon: &Daemon) -> Value {
    status(daemon).await["management"].clone()
}

/// What it tells of those from which items came.
async fn sightings(daemon: &Daemon) -> Value {
    status(daemon).await["subscriptions"].clone()
}

async fn status(daemon: &Daemon) -> Value {
    let (status, text) = daemon.get_admin("/status").await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("JSON")
}

pub(super) async fn queue(daemon: &Daemon) -> Queue {
    Amqp::connect(&Node::shared().url()).await.queue(daemon.queue())
}

async fn stopped(daemon: &Daemon) {
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0), "{}", daemon.log());
    assert!(!daemon.log().contains("did not end in time"), "{}", daemon.log());
}

/// A look comes every ten seconds.
pub(super) const LONG: Duration = Duration::from_secs(90);

#[tokio::test]
async fn what_is_wanted_is_made_and_its_notifications_are_believed() {
    let place = Place::open().await;
    let tables = mail()
        + &wanted("people", "/users", "change_types = [\"updated\"]")
            .replace("change_types = [\"created\"]\n", "");
    let daemon = place.configuration(&tables).connected().await;
    let ids = place.live(&daemon, &["mail", "people"]).await;
    assert_eq!(place.all().len(), 2);
    for id in &ids {
        let sent = place.stand.api.notify(id, 2).await.expect("it is live");
        assert_eq!(sent.status, Some(202));
    }
    let messages = queue(&daemon).await.take(4).await;
    let mut states: Vec<&str> =
        messages.iter().map(|message| message.header("graphhook-client-state")).collect();
    states.sort_unstable();
    assert_eq!(states, ["mail", "mail", "people", "people"]);
    // The secret of one admits nothing of the other, and nobody has told anybody.
    let state = std::fs::read_to_string(place.directory().join("state.json")).expect("the state");
    let state: Value = serde_json::from_str(&state).expect("JSON");
    let log = daemon.log();
    let (_, status) = daemon.get_admin("/status").await;
    for kept in state["kept"].as_array().expect("a list") {
        let secret = kept["client_state"].as_str().expect("a secret");
        assert_eq!(secret.len(), 43);
        assert!(!log.contains(secret) && !status.contains(secret));
    }
    daemon.eventually_metric("graphhook_subscriptions{state=\"live\"}", |live| live == 2.0).await;
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.get("graphhook_subscriptions_manager"), 1.0);
    assert_eq!(metrics.get("graphhook_subscription_steps_total{step=\"create\",result=\"ok\"}"), 2.0);
    assert!(
        metrics.get("graphhook_subscription_expiration_timestamp_seconds{subscription=\"mail\"}") > 1.7e9
    );
    stopped(&daemon).await;
}

#[tokio::test]
async fn a_notification_that_overtakes_the_answer_is_believed() {
    let place = Place::open().await;
    place.stand.api.set(|settings| settings.overtakes = true);
    let daemon = place.configuration(&mail()).connected().await;
    let messages = queue(&daemon).await.take(1).await;
    assert_eq!(messages[0].header("graphhook-client-state"), "mail");
    place.live(&daemon, &["mail"]).await;
    let refused = daemon.metrics().await.sum("graphhook_notifications_refused_total");
    assert_eq!(refused, 0.0);
    stopped(&daemon).await;
}

#[tokio::test]
async fn a_restart_keeps_what_is_there() {
    let place = Place::open().await;
    let mut daemon = place.configuration(&mail()).connected().await;
    let before = place.live(&daemon, &["mail"]).await;
    for is_orderly in [true, false] {
        if is_orderly {
            stopped(&daemon).await;
        } else {
            daemon.kill();
        }
        daemon.restart().await;
        assert_eq!(place.live(&daemon, &["mail"]).await, before);
    }
    assert_eq!(place.calls(Operation::Create).len(), 1);
    assert!(place.calls(Operation::Delete).is_empty());
    place.stand.api.notify(&before[0], 1).await.expect("it is live");
    queue(&daemon).await.take(1).await;
    stopped(&daemon).await;
}

#[tokio::test]
async fn a_reload_makes_what_is_new_and_deletes_what_is_gone() {
    let place = Place::open().await;
    let other = wanted("other", "/users/b@contoso.com/messages", "");
    let mut daemon = place.configuration(&mail()).connected().await;
    let mail_id = place.live(&daemon, &["mail"]).await.remove(0);
    let reconfigure = |daemon: &mut Daemon, tables: String| {
        daemon.reconfigure(|configuration| configuration.without_appended().append(&tables));
        daemon.signal("HUP");
    };
    reconfigure(&mut daemon, mail() + &other);
    let ids = place.live(&daemon, &["mail", "other"]).await;
    assert_eq!(ids[0], mail_id);
    reconfigure(&mut daemon, other.clone());
    assert_eq!(place.live(&daemon, &["other"]).await, ids[1..]);
    eventually_within(LONG, "mail is deleted", async || (place.all().len() == 1).then_some(())).await;
    // What it had sent may still come: it is believed for some hours.
    let state = std::fs::read_to_string(place.directory().join("state.json")).expect("the state");
    assert!(state.contains(&mail_id), "{state}");
    // Another name for the same.
    reconfigure(&mut daemon, other.replace("name = \"other\"", "name = \"renamed\""));
    assert_eq!(place.live(&daemon, &["renamed"]).await, ids[1..]);
    // Another lifecycle URL needs another subscription: Graph allows one at a time.
    let moved = other.clone() + &format!("lifecycle_url = \"{}?x=y\"\n", place.url());
    reconfigure(&mut daemon, moved);
    eventually_within(LONG, "another one in its place", async || {
        let all = place.all();
        (all.len() == 1 && all[0].id != ids[1]).then_some(())
    })
    .await;
    place.live(&daemon, &["other"]).await;
    stopped(&daemon).await;
}

#[tokio::test]
async fn what_graph_loses_is_made_again_and_consumers_are_told() {
    let place = Place::open().await;
    let daemon = place.configuration(&mail()).connected().await;
    let lost = place.live(&daemon, &["mail"]).await.remove(0);
    assert!(place.stand.api.lose(&lost));
    let found = eventually_within(LONG, "another one", async || {
        place.all().first().filter(|held| held.id != lost).map(|held| held.id.clone())
    })
    .await;
    let gap = queue(&daemon).await.take(1).await.remove(0);
    assert_eq!((&*gap.kind, &*gap.routing_key), ("gap", "gap.message.lost"));
    let body = gap.json();
    for (member, value) in [("subscriptionId", &lost), ("newSubscriptionId", &found)] {
        assert_eq!(body[member], **value, "{body}");
    }
    assert_eq!((&body["name"], &body["reason"]), (&"mail".into(), &"lost".into()));
    assert!(body["from"].as_str() <= body["to"].as_str(), "{body}");
    daemon.eventually_logs("subscription_lost").await;
    stopped(&daemon).await;
}

#[tokio::test]
async fn without_the_state_what_is_ours_is_found_or_replaced_and_strangers_stay() {
    let place = Place::open().await;
    let named = wanted("named", "/users/n@contoso.com/messages", "client_state = \"test\"");
    let tables = mail() + &named;
    let mut daemon = place.configuration(&tables).connected().await;
    let ids = place.live(&daemon, &["mail", "named"]).await;
    let stranger = place.by_hand("/users/s@contoso.com/messages", &place.url()).await;
    stopped(&daemon).await;
    std::fs::remove_file(place.directory().join("state.json")).expect("it was there");
    daemon.restart().await;
    let after = place.live(&daemon, &["mail", "named"]).await;
    // Its clientState is in the configuration, and Graph shows that it has it; that of the other is forgotten.
    assert_eq!(after[1], ids[1]);
    assert_ne!(after[0], ids[0]);
    let mut all: Vec<String> = place.all().into_iter().map(|held| held.id).collect();
    let mut expected = vec![after[0].clone(), after[1].clone(), stranger];
    all.sort_unstable();
    expected.sort_unstable();
    assert_eq!(all, expected);
    daemon.eventually_metric("graphhook_subscriptions{state=\"stranger\"}", |many| many == 1.0).await;
    let gap = queue(&daemon).await.take(1).await.remove(0);
    assert_eq!(gap.json()["subscriptionId"], *ids[0]);
    stopped(&daemon).await;
}

#[tokio::test]
async fn a_damaged_state_is_set_aside_and_a_newer_one_is_left_alone() {
    let place = Place::open().await;
    let mut daemon = place.configuration(&mail()).connected().await;
    place.live(&daemon, &["mail"]).await;
    stopped(&daemon).await;
    let file = place.directory().join("state.json");
    std::fs::write(&file, "{\"graphhook_subscriptions\":1,").expect("it can be written");
    daemon.restart().await;
    place.live(&daemon, &["mail"]).await;
    daemon.eventually_logs("subscription_state_set_aside").await;
    let files: Vec<String> = std::fs::read_dir(place.directory())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(files.iter().any(|name| name.starts_with("state.json.damaged-")), "{files:?}");
    assert_eq!(place.all().len(), 1);
    stopped(&daemon).await;
    std::fs::write(&file, "{\"graphhook_subscriptions\":2}").expect("it can be written");
    assert_eq!(daemon.restart_until_exit().await.code(), Some(78), "{}", daemon.log());
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), "{\"graphhook_subscriptions\":2}");
}

#[tokio::test]
async fn a_removal_that_graph_tells_is_mended_at_once() {
    let place = Place::open().await;
    // No look would come by itself in time.
    let configuration = place.configuration(&mail()).set("graph", "look_every", "\"1h\"");
    let daemon = configuration.connected().await;
    let lost = place.live(&daemon, &["mail"]).await.remove(0);
    let sent = place.stand.api.lifecycle(&lost, Lifecycle::SubscriptionRemoved).await;
    assert_eq!(sent.expect("it was live").status, Some(202));
    eventually_within(LONG, "another one", async || {
        place.all().first().is_some_and(|held| held.id != lost).then_some(())
    })
    .await;
    let messages = queue(&daemon).await.take(2).await;
    let gap = messages.iter().find(|message| message.kind == "gap").expect("a gap");
    assert_eq!(gap.json()["reason"], "subscription_removed");
    assert_eq!(gap.json()["newSubscriptionId"], *place.all()[0].id);
    // It has a successor: its end is nobody's trouble.
    eventually_within(LONG, "nothing that has ended", async || {
        (sightings(&daemon).await["ended"] == 0).then_some(())
    })
    .await;
    stopped(&daemon).await;
}
