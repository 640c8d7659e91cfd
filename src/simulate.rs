//! Plays Microsoft Graph: against a receiver, and, in [`api`], for what makes subscriptions.
//!
//! What is sent has the shapes that Graph sends today: see `tests/data/README.md` for where each was seen.

pub mod api;
pub mod carried;
pub mod cast;
pub mod conformance;
pub mod consequence;
pub mod forgery;
pub mod handshake;
pub mod identity;
pub mod issuer;
mod kept;
pub mod members;
pub mod receiver;
pub mod rich;
pub mod run;
mod serve;
mod signing;
pub mod talk;
pub mod template;
pub mod trust;
pub mod vouching;

/// Today's form of the validation token, and how Graph writes it into the query.
pub fn handshake_token(id: &str) -> (String, String) {
    let token =
        format!("Validation: Testing client application reachability for subscription Request-Id: {id}");
    let encoded = handshake::encoded(&token);
    (token, encoded)
}
