//! Of several daemons on one broker, one manages; when it is gone, another one does.

use graphhook::simulate::api::Operation;

use super::{LONG, MAIL, Place, management, stopped, wanted};
use crate::support::daemon::Daemon;
use crate::support::eventually::eventually_within;
use crate::support::ports;
use crate::support::queue::unique;

async fn manager(daemons: &[&Daemon]) -> usize {
    eventually_within(LONG, "one that manages", async || {
        for (index, daemon) in daemons.iter().enumerate() {
            if management(daemon).await["manager"] == "active" {
                return Some(index);
            }
        }
        None
    })
    .await
}

#[tokio::test]
async fn one_of_two_manages_and_the_other_takes_over() {
    let place = Place::open().await;
    // Both know the secret, and the balancer in front of them is the first one's address.
    let table = wanted("mail", MAIL, "client_state = \"test\"");
    let (exchange, queue) = (unique("exchange"), unique("queue"));
    let [port] = ports::free();
    let directory = |name: &str| place.stand.files.path().join(name);
    let on = |configuration: crate::support::daemon::Configuration| {
        configuration.exchange(exchange.as_str()).queue(queue.as_str())
    };
    let first = on(place.configured(&directory("first"), place.port, &table)).connected().await;
    let id = place.live(&first, &["mail"]).await;
    let second = on(place.configured(&directory("second"), port, &table)).connected().await;
    assert_eq!(manager(&[&second, &first]).await, 1);
    assert_eq!(management(&second).await["manager"], "standby");
    assert_eq!(second.metrics().await.get("graphhook_subscriptions_manager"), 0.0);
    first.kill();
    assert_eq!(manager(&[&second]).await, 0);
    // What the other one made is adopted: Graph shows the clientState that both know.
    assert_eq!(place.live(&second, &["mail"]).await, id);
    assert_eq!(place.calls(Operation::Create).len(), 1);
    assert!(place.calls(Operation::Delete).is_empty());
    stopped(&second).await;
}
