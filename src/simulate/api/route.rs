//! What a method and a path ask for. Pure.

use hyper::Method;

use super::{calls::Operation, managed::Machine};

/// What is asked for.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Route {
    /// A call of Graph's; with its version, and a subscription if it is about one.
    Graph { operation: Operation, version: &'static str, id: Option<String> },
    /// A token of this tenant, or the begin of a sign-in.
    Login { operation: Operation, tenant: String },
    /// A token for a machine.
    Machine(Machine),
    /// A document that needs no call to be counted.
    Page(Page),
    /// What is below /simulate.
    Control(String),
    /// Nothing is there.
    NotFound,
    /// Something is there, but not with this method.
    NotAllowed,
}

/// Documents that clients of a login look at.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Page {
    /// The OpenID configuration of a tenant.
    Configuration(String),
    /// The key set.
    Keys,
    /// The names of the login.
    Instance,
    /// Where people are sent to sign in.
    DeviceLogin,
}

impl Route {
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let found: (&Method, Self) = match segments[..] {
            ["simulate", ..] => return Self::Control(segments[1..].join("/")),
            [version @ ("v1.0" | "beta"), "subscriptions", ref rest @ ..] => {
                return graph(method, version, rest);
            }
            ["metadata", "identity", "oauth2", "token"] => (&Method::GET, Self::Machine(Machine::Virtual)),
            ["msi", "token"] => (&Method::GET, Self::Machine(Machine::AppService)),
            ["devicelogin"] => (&Method::GET, Self::Page(Page::DeviceLogin)),
            ["common", "discovery", "instance"] => (&Method::GET, Self::Page(Page::Instance)),
            [tenant, "oauth2", "v2.0", "token"] => (&Method::POST, login(Operation::Token, tenant)),
            [tenant, "oauth2", "v2.0", "devicecode"] => (&Method::POST, login(Operation::DeviceCode, tenant)),
            [tenant, ".well-known", "openid-configuration"]
            | [tenant, "v2.0", ".well-known", "openid-configuration"] => {
                (&Method::GET, Self::Page(Page::Configuration(tenant.to_owned())))
            }
            [_, "discovery", "keys"] | [_, "discovery", "v2.0", "keys"] => {
                (&Method::GET, Self::Page(Page::Keys))
            }
            _ => return Self::NotFound,
        };
        if found.0 == method { found.1 } else { Self::NotAllowed }
    }
}

fn login(operation: Operation, tenant: &str) -> Route {
    Route::Login { operation, tenant: tenant.to_owned() }
}

fn graph(method: &Method, version: &str, rest: &[&str]) -> Route {
    let version = if version == "beta" { "beta" } else { "v1.0" };
    let (operation, id) = match (method, rest) {
        (&Method::POST, []) => (Operation::Create, None),
        (&Method::GET, []) => (Operation::List, None),
        (&Method::GET, [id]) => (Operation::Get, Some(id)),
        (&Method::PATCH, [id]) => (Operation::Update, Some(id)),
        (&Method::DELETE, [id]) => (Operation::Delete, Some(id)),
        (&Method::POST, [id, "reauthorize" | "microsoft.graph.reauthorize"]) => {
            (Operation::Reauthorize, Some(id))
        }
        (_, [] | [_] | [_, "reauthorize" | "microsoft.graph.reauthorize"]) => return Route::NotAllowed,
        (_, _) => return Route::NotFound,
    };
    Route::Graph { operation, version, id: id.map(|id| (*id).to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_and_a_path_ask_for_one_thing() {
        let graph = |operation, version, id: &str| Route::Graph {
            operation,
            version,
            id: Some(id.to_owned()).filter(|id| !id.is_empty()),
        };
        for (method, path, expected) in [
            (Method::POST, "/v1.0/subscriptions", graph(Operation::Create, "v1.0", "")),
            (Method::GET, "/beta/subscriptions", graph(Operation::List, "beta", "")),
            (Method::GET, "/v1.0/subscriptions/7", graph(Operation::Get, "v1.0", "7")),
            (Method::PATCH, "/v1.0/subscriptions/7", graph(Operation::Update, "v1.0", "7")),
            (Method::DELETE, "/v1.0/subscriptions/7", graph(Operation::Delete, "v1.0", "7")),
            (Method::POST, "/v1.0/subscriptions/7/reauthorize", graph(Operation::Reauthorize, "v1.0", "7")),
            (Method::PUT, "/v1.0/subscriptions/7", Route::NotAllowed),
            (Method::GET, "/v1.0/subscriptions/7/reauthorize", Route::NotAllowed),
            (Method::POST, "/v1.0/subscriptions/7/revoke", Route::NotFound),
            (Method::GET, "/v2.0/subscriptions", Route::NotFound),
            (Method::POST, "/t/oauth2/v2.0/token", login(Operation::Token, "t")),
            (Method::GET, "/t/oauth2/v2.0/token", Route::NotAllowed),
            (Method::POST, "/t/oauth2/v2.0/devicecode", login(Operation::DeviceCode, "t")),
            (
                Method::GET,
                "/t/v2.0/.well-known/openid-configuration",
                Route::Page(Page::Configuration("t".to_owned())),
            ),
            (Method::GET, "/common/discovery/v2.0/keys", Route::Page(Page::Keys)),
            (Method::GET, "/metadata/identity/oauth2/token", Route::Machine(Machine::Virtual)),
            (Method::GET, "/msi/token", Route::Machine(Machine::AppService)),
            (Method::POST, "/simulate/faults", Route::Control("faults".to_owned())),
            (Method::GET, "/simulate", Route::Control(String::new())),
            (Method::GET, "/", Route::NotFound),
        ] {
            assert_eq!(Route::of(&method, path), expected, "{method} {path}");
        }
    }
}
