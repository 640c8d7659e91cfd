//! `graphhook simulate run`

mod live;
mod tapped;
pub(super) mod there;
mod words;

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use tokio::{sync::watch, task::LocalSet};
use tokio_util::sync::CancellationToken;
use url::Url;

use self::tapped::Tapped;
use super::{
    Outcome, Usage, file,
    presented::Presented,
    to::{Way, url},
};
use crate::{
    cli::{
        broker::{At, exchange, pattern, place, warn_of_losses},
        check::Style,
    },
    config::Environment,
    simulate::receiver::Receiver,
    simulate::run::{Ended, Ledger, Progress, Run, Scenario, ScenarioError, Stock, play, report::Report},
    supervise::signals::Signals,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// What to play: a TOML file.
    #[arg(value_name = "SCENARIO", required = true)]
    scenario: Option<PathBuf>,
    /// The receiver: https://HOST:PORT/PATH, or http:// on this machine.
    #[arg(value_name = "URL", required = true, value_parser = url)]
    url: Option<Url>,
    #[command(flatten)]
    way: Way,
    #[command(flatten)]
    presented: Presented,
    /// Print a scenario with every key, explained.
    #[arg(long, exclusive = true)]
    example: bool,
    /// With --config or --broker: look at this exchange [default: broker.exchange of the configuration, else graph].
    #[arg(long, value_name = "NAME", value_parser = exchange)]
    exchange: Option<String>,
    /// Look only at messages whose routing key this topic pattern fits; may be given again; without it, all.
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    key: Vec<String>,
    /// Look into this queue instead, once, after the run: it must have no consumer. Everything is put back, marked as
    /// redelivered; a quorum queue counts that as a failed delivery, and has it in another order.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["exchange", "key"])]
    queue: Option<String>,
    /// How long to wait after the run for what was accepted and has not arrived.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    settle: Duration,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Write the report as JSON to this file, too.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

pub(super) const HELP: &str = "\
Plays Graph with many subscriptions, by Graph's rules: 3 s for an answer, 10 s
for that of a repetition, growing pauses for up to 4 h, ten minutes' delay for
slow receivers, and nothing at all for those that are slower still. It passes,
with exit code 0, if everything was delivered in time; a scenario may expect
more, or less. Ctrl-C ends it early: it is reported, and has not passed.

With --config (graphhook's configuration) or --broker it looks beside all
consumers at what arrives, and tells what was accepted and never came.

Examples:
  graphhook simulate run --example >steady.toml
  graphhook simulate run steady.toml https://hooks.example.com/graph/notifications --client-state env:CLIENT_STATE
  graphhook simulate run steady.toml https://127.0.0.1:8443/graph/notifications --ca ca.pem \\
      --client-state file:/etc/graphhook/secrets/mail --broker env:AMQP_URL --report report.json";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    if arguments.example {
        write!(io::stdout(), "{}", crate::simulate::run::EXAMPLE)?;
        return Ok(Outcome::Good);
    }
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let (Some(path), Some(url)) = (&arguments.scenario, &arguments.url) else {
        return Err(Usage("which scenario, and to which URL?").into());
    };
    let scenario = Scenario::load(path).map_err(|error| match error {
        ScenarioError::Wrong(problems) => anyhow::Error::from(problems),
        ScenarioError::Unreadable { .. } => error.into(),
    })?;
    let client_state = arguments.presented.read(environment)?;
    let receiver = arguments.way.receiver(url)?;
    let stock = Arc::new(Stock::new(scenario, client_state));
    let file = file::create(arguments.report.as_deref())?;
    let playing = played(&arguments, receiver, &stock, &mut signals, environment);
    let report = LocalSet::new().run_until(playing).await?;
    show(&report, arguments.json, environment)?;
    file::write(file, || json(&report) + "\n")?;
    Ok(if report.passed { Outcome::Good } else { Outcome::Bad })
}

/// Plays it, and looks what arrives.
async fn played(
    arguments: &Arguments,
    receiver: Receiver,
    stock: &Arc<Stock>,
    signals: &mut Signals,
    environment: &Environment,
) -> anyhow::Result<Report> {
    let tapped = look(arguments, stock, environment).await?;
    there::ask(&receiver, signals).await?;
    let ledger = tapped.as_ref().map(Tapped::ledger);
    let mut ended = watched(receiver, stock, ledger, signals).await;
    let arrivals = match tapped {
        Some(tapped) => {
            let (arrivals, is_interrupted) = tapped.settle(arguments.settle, signals).await;
            ended.is_interrupted |= is_interrupted;
            Some(arrivals)
        }
        None => None,
    };
    Ok(Report::of(stock, &ended, arrivals))
}

/// Opens a view of the broker, if one is named.
async fn look(
    arguments: &Arguments,
    stock: &Arc<Stock>,
    environment: &Environment,
) -> anyhow::Result<Option<Tapped>> {
    if !arguments.at.is_given() {
        if arguments.exchange.is_some() || !arguments.key.is_empty() || arguments.queue.is_some() {
            return Err(Usage("at which broker? --config FILE or --broker SOURCE").into());
        }
        return Ok(None);
    }
    if !stock.is_known_again() {
        return Err(Usage(
            "a template without \"id\": \"{{id}}\" is not known again where it arrives: add it, or name no broker",
        )
        .into());
    }
    let broker = arguments.at.find(environment)?;
    let ledger = Arc::new(Ledger::default());
    let place = place(
        arguments.queue.clone(),
        arguments.exchange.as_ref().unwrap_or(&broker.exchange),
        &arguments.key,
    );
    warn_of_losses(&broker, &place)?;
    Tapped::open(broker, place, Arc::clone(stock), ledger).await.map(Some)
}

/// Plays it, with a line on a terminal; a signal ends it early.
pub(super) async fn watched(
    receiver: Receiver,
    stock: &Arc<Stock>,
    ledger: Option<Arc<Ledger>>,
    signals: &mut Signals,
) -> Ended {
    let (progress, mut told) = watch::channel(Progress::default());
    let stop = CancellationToken::new();
    let warm = Duration::ZERO;
    let run = Run { receiver, stock: Arc::clone(stock), ledger, warm, stop: stop.clone(), progress };
    let mut playing = std::pin::pin!(play(run));
    let mut live = live::Live::new();
    loop {
        tokio::select! {
            ended = &mut playing => {
                live.clear();
                return ended;
            }
            Ok(()) = told.changed() => live.show(&told.borrow_and_update()),
            _ = signals.stop(), if !stop.is_cancelled() => stop.cancel(),
        }
    }
}

/// Prints the report.
pub(super) fn show(report: &Report, is_json: bool, environment: &Environment) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if is_json {
        writeln!(out, "{}", json(report))?;
    } else {
        write!(out, "{}", words::text(report, Style::of(environment)))?;
    }
    out.flush()
}

fn json(report: &Report) -> String {
    serde_json::to_string_pretty(report).expect("strings and numbers are always JSON")
}
