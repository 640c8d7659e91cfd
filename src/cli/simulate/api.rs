//! `graphhook simulate api`

use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::{Outcome, Usage};
use crate::{
    config::PairFiles,
    secret::Secret,
    simulate::{
        api::{Api, Directory, Options, Settings},
        identity::Identity,
        trust::Trust,
    },
    supervise::signals::Signals,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// Address to listen on; one server is login and Graph.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8444")]
    listen: SocketAddr,
    /// Address for the identity endpoints of machines, without TLS.
    #[arg(long, value_name = "ADDR")]
    identity_listen: Option<SocketAddr>,
    /// Certificate to show, PEM, with its chain [default: a throwaway one for this machine].
    #[arg(long, value_name = "FILE", requires = "private_key")]
    certificate: Option<PathBuf>,
    /// Private key of the certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    private_key: Option<PathBuf>,
    /// Write the authority of the throwaway certificate here, PEM, for clients to believe.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "plain"])]
    certificate_out: Option<PathBuf>,
    /// Serve http:// instead of https://; on a loopback address only.
    #[arg(long, conflicts_with = "certificate")]
    plain: bool,
    /// Believe the receivers that the authorities in this file vouch for, PEM [default: the system's authorities].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Believe every receiver's certificate.
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// Take http:// URLs of receivers on loopback addresses, too.
    #[arg(long)]
    plain_receivers: bool,
    /// A tenant that exists; may be repeated [default: all].
    #[arg(long = "tenant", value_name = "ID")]
    tenants: Vec<String>,
    /// An app that exists; may be repeated [default: all].
    #[arg(long = "app", value_name = "ID")]
    apps: Vec<String>,
    /// A file with the secret that apps must have [default: any secret will do].
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// A certificate, PEM, whose key must have signed client assertions [default: their form alone is looked at].
    #[arg(long, value_name = "FILE")]
    client_certificate: Option<PathBuf>,
    /// An application permission in tokens; may be repeated [default: Mail.Read].
    #[arg(long = "role", value_name = "NAME")]
    roles: Vec<String>,
    /// How long access tokens live.
    #[arg(long, value_name = "DURATION", default_value = "3599s", value_parser = duration)]
    token_lifetime: Duration,
    /// Questions about a sign-in on another device that are answered "not yet" before it succeeds by itself
    /// [default: it waits for /simulate/device].
    #[arg(long, value_name = "N")]
    device_polls: Option<u32>,
    /// Subscriptions on a page of a list.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u16).range(1..))]
    page_size: u16,
    /// Live subscriptions of one app in one tenant; one more is refused with 403.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    quota: usize,
    /// GET by id does not show the clientState.
    #[arg(long)]
    hide_client_state: bool,
    /// Lists name expired subscriptions, too.
    #[arg(long)]
    list_expired: bool,
    /// Send a first notification before the 201.
    #[arg(long)]
    overtake: bool,
    /// Pass over a new encryption certificate in a PATCH.
    #[arg(long)]
    keep_certificates: bool,
    /// Do without the service's rate limits.
    #[arg(long)]
    no_throttle: bool,
    /// Send a notification to every live subscription so often.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    notify_every: Option<Duration>,
    /// Print the line that says that it is ready as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) const HELP: &str = "\
One line on standard output says that it is ready. Everything is in memory, and
gone with it. What tests tell it goes to /simulate: see docs/simulate-api.md.

Examples:
  graphhook simulate api --certificate-out api-ca.pem --insecure
  graphhook simulate api --ca receiver-ca.pem --notify-every 10s --quota 5";

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let (is_json, certificate_out) = (arguments.json, arguments.certificate_out.clone());
    let api = Api::start(options(arguments)?).await?;
    if let (Some(path), Some(authority)) = (&certificate_out, api.authority()) {
        fs::write(path, authority).with_context(|| format!("cannot write {}", path.display()))?;
    }
    announce(&api, certificate_out.as_deref(), is_json)?;
    signals.stop().await;
    Ok(Outcome::Good)
}

fn options(arguments: Arguments) -> anyhow::Result<Options> {
    let is_local = |address: SocketAddr| address.ip().is_loopback();
    if arguments.plain && !is_local(arguments.listen)
        || arguments.identity_listen.is_some_and(|at| !is_local(at))
    {
        return Err(Usage(
            "without TLS it listens on loopback addresses only: no secret shall cross a network",
        )
        .into());
    }
    let read =
        |path: &PathBuf| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let secret = arguments.client_secret_file.as_ref().map(read).transpose()?;
    let secret = secret.map(|secret| Secret::new(secret.strip_suffix('\n').unwrap_or(&secret).to_owned()));
    let roles = if arguments.roles.is_empty() { vec!["Mail.Read".to_owned()] } else { arguments.roles };
    Ok(Options {
        listen: arguments.listen,
        identity_listen: arguments.identity_listen,
        identity: match (arguments.certificate, arguments.private_key) {
            (Some(certificate), Some(private_key)) => Identity::Files(PairFiles { certificate, private_key }),
            (_, _) if arguments.plain => Identity::Plain,
            (_, _) => Identity::Throwaway,
        },
        trust: match arguments.ca {
            Some(path) => Trust::File(path),
            None if arguments.insecure => Trust::Anybody,
            None => Trust::System,
        },
        admits_plain_receivers: arguments.plain_receivers,
        directory: Directory {
            tenants: arguments.tenants,
            apps: arguments.apps,
            client_secret: secret,
            client_certificate: arguments.client_certificate.as_ref().map(read).transpose()?,
            roles,
        },
        settings: Settings {
            page_size: usize::from(arguments.page_size),
            quota: arguments.quota,
            shows_client_state: !arguments.hide_client_state,
            lists_expired: arguments.list_expired,
            overtakes: arguments.overtake,
            keeps_certificates: arguments.keep_certificates,
            throttles: !arguments.no_throttle,
            token_lifetime: arguments.token_lifetime.as_secs(),
            device_polls: arguments.device_polls,
            ..Settings::default()
        },
        notify_every: arguments.notify_every,
    })
}

fn announce(api: &Api, certificate: Option<&Path>, is_json: bool) -> anyhow::Result<()> {
    let origin = api.origin();
    let identity = api.identity_address().map(|address| format!("http://{address}"));
    let mut out = io::stdout().lock();
    if is_json {
        let ready =
            json!({ "graph": origin, "login": origin, "identity": identity, "certificate": certificate });
        writeln!(out, "{ready}")?;
    } else {
        write!(out, "ready: graph {origin}, login {origin}")?;
        if let Some(identity) = identity {
            write!(out, ", identity {identity}")?;
        }
        if let Some(certificate) = certificate {
            write!(out, ", certificate {}", certificate.display())?;
        }
        writeln!(out)?;
    }
    Ok(out.flush()?)
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration < SHORTEST { Err("expected at least 100ms".to_owned()) } else { Ok(duration) }
}

/// Nobody needs a token that lives shorter, or more notifications than this.
const SHORTEST: Duration = Duration::from_millis(100);
