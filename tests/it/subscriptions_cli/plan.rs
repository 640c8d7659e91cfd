//! What is to be done, and doing it.

use graphhook::simulate::api::{Fault, Operation};
use serde_json::json;

use super::{Place, SALES};

const PEOPLE: &str = "name = \"people\"\nresource = \"/users\"\nchange_types = [\"updated\"]";

fn steps(plan: &serde_json::Value) -> Vec<(&str, &str)> {
    let steps = plan["steps"].as_array().expect("steps").iter();
    steps.map(|step| (step["step"].as_str().expect("a word"), step["name"].as_str().unwrap_or("-"))).collect()
}

#[tokio::test]
async fn a_plan_is_done_once() {
    let mut place = Place::open(&[SALES, PEOPLE]).await;
    let plan = place.run(&["plan"]).await;
    assert!(plan.good().starts_with("STEP    NAME    ID  WHAT\ncreate  sales"), "{}", plan.out);
    assert!(plan.out.contains("create  people  -   /users, for 28 d"), "{}", plan.out);
    let json = place.run(&["plan", "--json"]).await.json();
    assert_eq!(steps(&json), [("create", "sales"), ("create", "people")]);
    place.run(&["plan", "--exit-code"]).await.bad(2);
    let dry = place.run(&["apply", "--dry-run"]).await;
    assert_eq!(dry.good(), plan.out);
    assert_eq!((place.changes(), place.state()), (0, serde_json::Value::Null));

    let said = place.run(&["apply"]).await;
    assert_eq!(said.good(), "2 steps done: Graph has what is wanted\n");
    assert!(said.err.contains("create sales: /users/a@contoso.com/messages, for 6 d 22 h"), "{}", said.err);
    assert_eq!(place.stand.api.subscriptions().len(), 2);
    for arguments in [["plan", "--exit-code"], ["apply", "--no-wait"]] {
        let said = place.run(&arguments).await;
        assert_eq!(said.good(), "nothing to do: Graph has what is wanted\n");
    }
    assert_eq!(place.calls(Operation::Create), 2);

    // One is wanted no more, and the other in another way.
    let created = SALES.replace("created", "updated");
    place.daemon.reconfigure(|configuration| {
        configuration.without_appended().append(&format!("[[subscriptions]]\n{created}"))
    });
    let json = place.run(&["plan", "--json"]).await.json();
    assert_eq!(steps(&json), [("delete", "people"), ("replace", "sales")]);
    let said = place.run(&["apply", "--no-wait", "--json"]).await.json();
    assert_eq!(said["failed"], json!([]));
    let held = place.stand.api.subscriptions();
    assert_eq!((held.len(), held[0].change_type.as_str()), (1, "updated"), "{held:?}");
    assert_eq!(place.run(&["plan", "--json"]).await.json()["steps"], json!([]));
}

#[tokio::test]
async fn what_fails_holds_up_no_other() {
    let place = Place::open(&[SALES, PEOPLE]).await;
    place.stand.api.fail(Fault::status(Operation::Create, 403));
    let said = place.run(&["apply", "--json"]).await;
    assert_eq!(said.code, Some(1), "{}", said.err);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(
        (json["done"].as_array().map(Vec::len), json["failed"].as_array().map(Vec::len)),
        (Some(1), Some(1))
    );
    assert_eq!(json["failed"][0]["name"], "sales");
    assert!(json["failed"][0]["error"].as_str().is_some_and(|error| error.contains("request-id")), "{json}");
    let said = place.run(&["apply"]).await;
    assert_eq!(said.good(), "1 step done: Graph has what is wanted\n");
    assert_eq!(place.stand.api.subscriptions().len(), 2);
}

#[tokio::test]
async fn strangers_stay() {
    let place = Place::open(&[SALES]).await;
    let stranger =
        ["create", "--resource", "/groups", "--change-types", "updated", "--name", "mine", "--no-wait"];
    place.run(&stranger).await.good();
    place.run(&["apply"]).await.good();
    assert_eq!(place.stand.api.subscriptions().len(), 2);
    assert_eq!(place.calls(Operation::Delete), 0);
}

#[tokio::test]
async fn a_daemon_that_manages_is_left_to_it() {
    let place = Place::with(&[SALES], |configuration| configuration.set("graph", "manage", "true")).await;
    let live = "graphhook_subscriptions{state=\"live\"}";
    place.daemon.eventually_metric(live, |live| live == 1.0).await;
    for arguments in [["apply"].as_slice(), &["create", "sales"]] {
        let said = place.run(arguments).await;
        assert!(said.bad(1).contains("a daemon manages the subscriptions"), "{}", said.err);
    }
    assert_eq!(place.run(&["plan", "--exit-code"]).await.good(), "nothing to do: Graph has what is wanted\n");
    assert_eq!(place.run(&["apply", "--force"]).await.good(), "nothing to do: Graph has what is wanted\n");
    let status = place.run_openly(&["status"]).await;
    assert!(
        status.out.contains("\nmanaged        by this daemon: 1 wanted, 1 live, next step in "),
        "{}",
        status.out
    );
    place.keeps_secrets(&status);
    assert_eq!(place.calls(Operation::Create), 1);
}
