//! `graphhook simulate issuer`

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::Outcome;
use crate::{
    simulate::{identity::AUTHORITY, issuer::Issuer},
    supervise::signals::Signals,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// Where its keys and certificates are kept; made when they are not there.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// Address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8445")]
    listen: SocketAddr,
    /// Print the line that says that it is ready as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) const HELP: &str = "\
Stands in for Microsoft's identity platform as far as validation tokens go: an
OpenID configuration and a key set, over TLS, until it is interrupted. What is in
DIR stays the same, so that a receiver is told once: rich.key_documents are the
URLs that it prints, rich.ca_file is DIR/issuer-ca.pem. Who has DIR can sign for
everybody: never name it to a receiver in earnest.

Examples:
  graphhook simulate issuer --directory /tmp/issuer
  graphhook simulate rich https://localhost:8443/graph/notifications --issuer /tmp/issuer \\
      --client-state env:CLIENT_STATE --certificate 2026-11.cert.pem";

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let serving = Issuer::kept(&arguments.directory).await?.serve(arguments.listen).await?;
    let documents = serving.key_documents();
    let authority = arguments.directory.join(AUTHORITY);
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", json!({ "key_documents": documents, "ca_file": authority }))?;
    } else {
        writeln!(out, "ready: keys {}, certificate {}", documents.join(" "), authority.display())?;
    }
    out.flush()?;
    drop(out);
    signals.stop().await;
    Ok(Outcome::Good)
}
