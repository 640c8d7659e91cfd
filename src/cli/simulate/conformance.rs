//! `graphhook simulate conformance`

mod choice;
mod screen;

use std::{
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::PathBuf,
    pin::pin,
};

use anyhow::{Context, anyhow};
use clap::Args;
use tokio_util::sync::CancellationToken;
use url::{Position, Url};

use self::choice::Choice;
use super::{
    Outcome, Usage, advice, file,
    presented::Presented,
    sealed::Sealed,
    to::{Way, url},
};
use crate::{
    cli::check::Style,
    config::Environment,
    simulate::{
        conformance::{
            self,
            case::{Case, Need},
            junit,
            outcome::{Outcome as Answered, Verdict},
            report::Report,
            stage::{Rich, Stage},
        },
        template::{SUBSCRIPTION, TENANT},
    },
    supervise::signals::Signals,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// The receiver: https://HOST:PORT/PATH, or http:// on this machine.
    #[arg(value_name = "URL", value_parser = url, required_unless_present = "list")]
    url: Option<Url>,
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    presented: Presented,
    /// A second URL, the one that takes lifecycle events: it is asked and told as well.
    #[arg(long, value_name = "URL", value_parser = url)]
    lifecycle_url: Option<Url>,
    /// The tenant of items.
    #[arg(long, value_name = "ID", default_value = TENANT)]
    tenant: String,
    /// The subscription of items.
    #[arg(long, value_name = "ID", default_value = SUBSCRIPTION)]
    subscription: String,
    #[command(flatten)]
    sealed: Sealed,
    /// Serve the keys of --issuer here while it runs.
    #[arg(long, value_name = "ADDR", requires = "issuer")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    choice: Choice,
    /// Print the cases, and send nothing.
    #[arg(long)]
    list: bool,
    /// Advice counts, too: exit code 1 if any case failed.
    #[arg(long)]
    strict: bool,
    /// Print the report, or the list, as one JSON document.
    #[arg(long)]
    json: bool,
    /// Write the report here as well, JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the report here as well, JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(super) const HELP: &str = "\
Tries everything that Graph is known to send, and what strangers send, and says
for each case what Graph would do with such an answer. It knows nothing of the
receiver but its URL and clientState. What it sends looks genuine: do not try
it on a receiver whose notifications somebody acts on.

A name, a group or a pattern with * chooses cases: --only handshake, --skip 'rich/*'.

Exit code 0: no case failed on which a subscription or a notification depends,
with --strict no case at all; 1: one did, or the receiver is not there.

Examples:
  graphhook simulate conformance https://localhost:8443/hook --insecure --client-state env:CLIENT_STATE
  graphhook simulate conformance https://test.example.com/hook --client-state file:state --junit report.xml
  graphhook simulate conformance --list";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let cases = arguments.choice.cases()?;
    if arguments.list {
        return list(&cases, arguments.json);
    }
    let stage = stage(&arguments, &cases, environment).await?;
    let (junit, json) =
        (file::create(arguments.junit.as_deref())?, file::create(arguments.report.as_deref())?);
    let shown = &stage.receiver.url()[..Position::AfterPath];
    let tls = conformance::probe(&stage).await;
    let tls = tls.map_err(|error| {
        anyhow!("cannot reach {shown}: {}", advice::explained(&error, stage.receiver.url()))
    })?;
    let _serving = match (&stage.rich, arguments.listen) {
        (Some(rich), Some(listen)) => Some(rich.issuer.serve(listen).await?),
        (_, _) => None,
    };
    let report = play(&stage, tls, &cases).await?;
    file::write(junit, || junit::write(&report, arguments.strict))?;
    file::write(json, || screen::json(&report))?;
    show(&report, &arguments, Style::of(environment))?;
    advise(&report)?;
    Ok(if report.is_good(arguments.strict) { Outcome::Good } else { Outcome::Bad })
}

async fn stage(arguments: &Arguments, cases: &[&Case], environment: &Environment) -> anyhow::Result<Stage> {
    let url = arguments.url.as_ref().ok_or(Usage("which receiver? Name its URL"))?;
    let lifecycle = arguments.lifecycle_url.as_ref().map(|url| arguments.way.receiver(url)).transpose()?;
    let is_rich = cases.iter().any(|case| case.needs == Need::Rich);
    Ok(Stage {
        client_state: arguments.presented.read(environment)?,
        receiver: arguments.way.receiver(url)?,
        lifecycle,
        trust: arguments.way.trust(),
        tenant: arguments.tenant.clone(),
        subscription: arguments.subscription.clone(),
        // It takes a while to make keys.
        rich: if is_rich { Some(rich(&arguments.sealed).await?) } else { None },
    })
}

async fn rich(sealed: &Sealed) -> anyhow::Result<Rich> {
    let (issuer, recipient) = (sealed.issuer().await?, sealed.recipient().await?);
    Ok(Rich { recipient, issuer, app: sealed.app.clone() })
}

/// Plays, until a signal; a terminal sees how far it is.
async fn play(stage: &Stage, tls: Option<String>, cases: &[&'static Case]) -> anyhow::Result<Report> {
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let is_shown = io::stderr().is_terminal();
    let many = cases.len();
    let begins = |number: usize, case: &Case| {
        if is_shown {
            // Whoever cannot see it loses nothing.
            write!(io::stderr(), "\r{}/{many} {}\u{1b}[K", number + 1, case.name).ok();
        }
    };
    let stop = CancellationToken::new();
    let mut playing = pin!(conformance::play(stage, tls, cases, &stop, begins));
    let report = tokio::select! {
        report = &mut playing => report,
        _ = signals.stop() => {
            stop.cancel();
            playing.await
        }
    };
    if is_shown {
        write!(io::stderr(), "\r\u{1b}[K")?;
    }
    Ok(report)
}

fn show(report: &Report, arguments: &Arguments, style: Style) -> io::Result<()> {
    let text = if arguments.json { screen::json(report) } else { screen::text(report, style) };
    io::stdout().lock().write_all(text.as_bytes())
}

/// A connection without TLS stands before anybody knows that the receiver wants it.
fn advise(report: &Report) -> io::Result<()> {
    let is_silent =
        |case: &Answered| case.result == Verdict::Skipped || case.observed.contains("no HTTP answer");
    if report.tls.is_some() || report.summary.passed > 0 || !report.cases.iter().all(is_silent) {
        return Ok(());
    }
    writeln!(
        io::stderr(),
        "graphhook: no answer was HTTP: if TLS is spoken there, the URL begins with https://"
    )
}

fn list(cases: &[&Case], is_json: bool) -> anyhow::Result<Outcome> {
    let text = if is_json { screen::list_json(cases) } else { screen::list(cases) };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Outcome::Good)
}
