//! `graphhook subscriptions sign-in`

use std::io::{self, Write};

use clap::Args;
use serde_json::json;

use super::{Manner, session::settings};
use crate::{
    cli::{Outcome, words},
    config::Environment,
    graph::auth,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    manner: Manner,
}

pub(super) const HELP: &str = "\
Shows a URL and a code, and waits until somebody has entered the code there and
signed in. What is kept then is a refresh token, in graph.directory. Run it as
the daemon's user.

Example:
  graphhook subscriptions sign-in";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let (_, settings) = settings(&arguments.manner, environment)?;
    let json = arguments.manner.json;
    let mut told = Ok(());
    let signed_in = auth::sign_in(&settings, |prompt| told = tell(prompt, json)).await;
    told?;
    let scopes = signed_in?.claims.map(|claims| claims.scopes).unwrap_or_default();
    let mut out = io::stdout().lock();
    match json {
        true => writeln!(out, "{}", json!({ "signed_in": { "scopes": scopes } }))?,
        false if scopes.is_empty() => writeln!(out, "signed in")?,
        false => writeln!(out, "signed in, for {}", words::plain(&scopes.join(", ")))?,
    }
    Ok(Outcome::Good)
}

fn tell(prompt: &auth::Prompt, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let auth::Prompt { user_code, verification_uri, message: _, expires_in } = prompt;
    match json {
        true => {
            let seconds = expires_in.as_secs();
            let prompt = json!({ "url": verification_uri, "code": user_code, "expires_in_seconds": seconds });
            writeln!(out, "{}", json!({ "prompt": prompt }))?;
        }
        false => {
            let (url, code) = (words::plain(verification_uri), words::plain(user_code));
            writeln!(out, "open {url} and enter the code {code}, within {}", words::brief(*expires_in))?;
        }
    }
    out.flush()
}
