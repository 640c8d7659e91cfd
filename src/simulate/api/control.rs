//! What tests tell the stand-in over HTTP, below /simulate.

use std::{sync::Arc, time::Duration};

use hyper::{Method, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    clock::written,
    faults::Fault,
    journal::Sent,
    notify::{self, Lifecycle, NotifyError},
    refusal::Reply,
    subscription::Held,
    world::World,
};

/// Why something was not done.
struct Wrong {
    status: StatusCode,
    words: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Faults {
    One(Fault),
    Many(Vec<Fault>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Jump {
    advance: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    /// Without it, all that have somewhere to send it.
    subscription: Option<String>,
    event: Lifecycle,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    /// Without it, all of them.
    subscription: Option<String>,
    #[serde(default = "one")]
    count: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Loss {
    subscription: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Decision {
    user_code: String,
    #[serde(default = "yes")]
    approve: bool,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

pub(super) async fn answer(world: &Arc<World>, method: &Method, path: &str, body: &[u8]) -> Reply {
    let done = match (method.as_str(), path) {
        ("GET", "") => Ok(overview(world)),
        ("GET", "journal") => Ok(json!({ "calls": world.journal(), "sent": world.sent() })),
        ("DELETE", "journal") => {
            world.forget();
            Ok(json!({}))
        }
        ("GET", "subscriptions") => Ok(json!({ "subscriptions": world.subscriptions() })),
        ("POST", "faults") => read(body).map(|faults| fail(world, faults)),
        ("DELETE", "faults") => {
            world.heal();
            Ok(json!({}))
        }
        ("PATCH", "settings") => read(body).and_then(|changes| set(world, changes)),
        ("POST", "clock") => read(body).and_then(|jump| advance(world, &jump)),
        ("POST", "lifecycle") => match read::<Event>(body) {
            Ok(event) => lifecycle(world, event).await,
            Err(wrong) => Err(wrong),
        },
        ("POST", "notify") => match read::<Changes>(body) {
            Ok(changes) => notify_about(world, changes).await,
            Err(wrong) => Err(wrong),
        },
        ("POST", "lose") => read(body).and_then(|loss: Loss| found(world.lose(&loss.subscription))),
        ("POST", "device") => {
            read(body).and_then(|said: Decision| found(world.decide(&said.user_code, said.approve)))
        }
        (_, _) => Err(Wrong { status: StatusCode::NOT_FOUND, words: format!("no {method} of this path") }),
    };
    match done {
        Ok(body) => Reply::json(StatusCode::OK, body),
        Err(Wrong { status, words }) => Reply::json(status, json!({ "error": words })),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Wrong> {
    serde_json::from_slice(body).map_err(|error| bad(error.to_string()))
}

fn bad(words: String) -> Wrong {
    Wrong { status: StatusCode::BAD_REQUEST, words }
}

fn overview(world: &World) -> Value {
    let subscriptions = world.subscriptions();
    let state = world.state();
    json!({
        "now": written(state.clock.now()),
        "settings": state.settings,
        "faults": state.faults.list(),
        "subscriptions": subscriptions,
    })
}

fn fail(world: &World, faults: Faults) -> Value {
    let faults = match faults {
        Faults::One(fault) => vec![fault],
        Faults::Many(faults) => faults,
    };
    for fault in faults {
        world.fail(fault);
    }
    json!({ "faults": world.state().faults.list() })
}

fn set(world: &World, changes: Map<String, Value>) -> Result<Value, Wrong> {
    let settings = world.settings().with(changes).map_err(|error| bad(error.to_string()))?;
    world.set(|kept| settings.clone_into(kept));
    Ok(json!(settings))
}

fn advance(world: &World, jump: &Jump) -> Result<Value, Wrong> {
    let by: Duration = humantime::parse_duration(&jump.advance)
        .map_err(|_| bad("advance is a length of time, such as \"2h 30min\"".to_owned()))?;
    world.advance(by);
    Ok(json!({ "now": written(world.now()) }))
}

async fn lifecycle(world: &World, Event { subscription, event }: Event) -> Result<Value, Wrong> {
    let mut all = Vec::new();
    let ids = match subscription {
        Some(id) => vec![id],
        None => ids(world, |held| held.lifecycle_notification_url.is_some()),
    };
    for id in ids {
        all.push(sent(notify::lifecycle(world, &id, event).await)?);
    }
    Ok(json!({ "sent": all }))
}

async fn notify_about(world: &World, Changes { subscription, count }: Changes) -> Result<Value, Wrong> {
    let mut all = Vec::new();
    let ids = subscription.map_or_else(|| ids(world, |_| true), |id| vec![id]);
    for id in ids {
        all.push(sent(notify::changes(world, &id, count).await)?);
    }
    Ok(json!({ "sent": all }))
}

fn ids(world: &World, is_meant: impl Fn(&Held) -> bool) -> Vec<String> {
    world.subscriptions().into_iter().filter(is_meant).map(|held| held.id).collect()
}

fn sent(done: Result<Sent, NotifyError>) -> Result<Sent, Wrong> {
    done.map_err(|error| {
        let status = match error {
            NotifyError::Unknown => StatusCode::NOT_FOUND,
            NotifyError::NoLifecycleUrl | NotifyError::Many => StatusCode::BAD_REQUEST,
            NotifyError::Unsealed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Wrong { status, words: error.to_string() }
    })
}

fn found(is_there: bool) -> Result<Value, Wrong> {
    if is_there {
        Ok(json!({}))
    } else {
        Err(Wrong { status: StatusCode::NOT_FOUND, words: "no such thing".to_owned() })
    }
}
