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
  runuser -u graphhook -- graphhook subscriptions sign-in";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let (_, settings) = settings(&arguments.manner, environment)?;
    let json = arguments.manner.json;
    let mut told = Ok(());
    let signed_in = auth::sign_in(&settings, |prompt| told = tell(prompt, json)).await;
    told?;
    signed_in?;
    let mut out = io::stdout().lock();
    match json {
        true => writeln!(out, "{}", json!({ "signed_in": true }))?,
        false => writeln!(out, "signed in")?,
    }
    Ok(Outcome::Good)
}

fn tell(prompt: &auth::Prompt, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let (url, code) = (words::plain(&prompt.url), words::plain(&prompt.code));
    match json {
        true => writeln!(out, "{}", json!({ "url": prompt.url, "code": prompt.code }))?,
        false => writeln!(out, "open {url} and enter the code {code}")?,
    }
    out.flush()
}
