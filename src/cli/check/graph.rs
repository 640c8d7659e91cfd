//! What `check` finds of Graph: who signs in, with which permissions; and how far what Graph has is from what is wanted.

mod drift;
mod permissions;
mod wanted;

use std::{path::Path, time::SystemTime};

use super::{
    clock::Told,
    ground::{Ground, Kind},
    report::{Check, Finding},
    user::User,
};
use crate::{
    cli::{subscriptions::advice, words},
    config::{self, Config},
    error::Chain,
    graph::{Graph, GraphError, TokenClaims},
    metrics::Metrics,
    subscriptions::state::{State, file::StateError},
};

/// What needs no network.
pub(super) fn offline(settings: &config::Graph, config: &Config, user: &User) -> Vec<Finding> {
    let mut findings = directory(&settings.directory, user);
    if user.is_us()
        && let Err(error) = State::load(&settings.directory)
    {
        findings.push(unusable(&error));
    }
    findings.extend(wanted::wanted(settings, config));
    findings
}

fn unusable(error: &StateError) -> Finding {
    let words = Chain(error).to_string();
    match error {
        StateError::Damaged(_) => {
            let advice = "the daemon sets it aside; subscriptions whose clientState it knew are made anew";
            Finding::warning(Check::Subscriptions, words, advice)
        }
        StateError::Newer(_) => Finding::failed(Check::Subscriptions, words, "install that version again"),
        StateError::Unreadable(..) | StateError::Unwritable(..) | StateError::Full => {
            Finding::failed(Check::Subscriptions, words, MEND)
        }
    }
}

/// It keeps what makes notifications genuine.
fn directory(directory: &Path, user: &User) -> Vec<Finding> {
    const CHECK: Check = Check::Subscriptions;
    let shown = directory.display();
    let ground = match Ground::of(directory) {
        Ok(ground) => ground,
        Err(error) => return vec![Finding::failed(CHECK, format!("{shown}: {error}"), MEND)],
    };
    let mut findings = Vec::new();
    if ground.exists
        && let Err(obstacle) = user.may_write(directory)
    {
        let obstacle = obstacle.display();
        let words = format!("{shown}: {} cannot write there, for the mode of {obstacle}", user.name());
        findings.push(Finding::failed(CHECK, words, format!("chown -R {} {shown}", user.name())));
    }
    match &ground.kind {
        Kind::Memory | Kind::Layer => {
            let words = format!("{shown} is gone with the machine or container, and clientStates with it");
            findings.push(Finding::warning(
                CHECK,
                words,
                "choose a directory that stays, or name client_state",
            ));
        }
        Kind::Local | Kind::Remote(_) | Kind::Program(_) => {}
    }
    findings.push(match &ground.synced {
        Ok(_) if ground.exists => Finding::ok(CHECK, format!("{shown} can be written")),
        Ok(_) => Finding::ok(CHECK, format!("{shown} can be made")),
        Err(error) => {
            let words = format!("{} cannot be written ({error})", ground.there.display());
            Finding::failed(CHECK, words, MEND)
        }
    });
    findings
}

/// Signs in, and asks for the list.
pub(super) async fn online(settings: &config::Graph, config: &Config) -> (Vec<Finding>, Option<Told>) {
    let graph = match Graph::new(settings, Metrics::new()).await {
        Ok(graph) => graph,
        Err(error) => return (vec![failed(Check::Graph, "", &error)], None),
    };
    let mut findings = Vec::new();
    match graph.token_claims().await {
        Ok(claims) => {
            findings.push(signed_in(&claims));
            findings.extend(permissions::permissions(&claims, &settings.subscriptions));
        }
        Err(GraphError::Opaque) => findings.push(Finding::warning(
            Check::Graph,
            "signed in, with a token that cannot be read: its permissions are not checked",
            "right for personal accounts",
        )),
        Err(error) => return (vec![failed(Check::Graph, "", &error)], None),
    }
    match graph.list().await {
        Ok(list) => {
            let many = words::number(list.len() as u64, "subscription");
            findings.push(Finding::ok(Check::Graph, format!("{} lists {many}", settings.url)));
            findings.extend(drift::drift(&graph, settings, config).await);
        }
        Err(error) => findings.push(failed(Check::Graph, "the list: ", &error)),
    }
    let told = graph.clock_offset().map(|offset| Told::by_graph(settings.url.to_string(), &offset));
    (findings, told)
}

fn signed_in(claims: &TokenClaims) -> Finding {
    let now = SystemTime::now();
    let who = if claims.is_delegated() { "a user, by the app" } else { "the app" };
    let unknown = || "of an unknown id".to_owned();
    let app = claims.app_id.clone().unwrap_or_else(unknown);
    let tenant = claims.tenant_id.clone().unwrap_or_else(unknown);
    let end = claims.expires_at.map(|end| format!(", with a token that ends {}", words::end(end, now)));
    let words = format!("signed in as {who} {app}, tenant {tenant}{}", end.unwrap_or_default());
    Finding::ok(Check::Graph, words::plain(&words))
}

fn failed(check: Check, what: &str, error: &GraphError) -> Finding {
    let words = format!("{what}{}", words::plain(&Chain(error).to_string()));
    // Others are sent here.
    let advice =
        if matches!(error, GraphError::SignIn(_)) { Some(SIGN_IN.to_owned()) } else { advice(error) };
    Finding::failed(check, words, advice.unwrap_or_else(|| "see docs/graph.md".to_owned()))
}

const SIGN_IN: &str = "look at graph.tenant, graph.client_id, the secret, key or user, and graph.login_url and ca_file if they are set; see docs/graph.md";
const MEND: &str = "run check as the daemon's user, or mend the directory";
