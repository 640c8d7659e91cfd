//! `graphhook tail`: messages as they pass, or as they stand in a queue; nothing is taken from anybody.

mod line;
mod watch;

use std::{
    io::{self, Write},
    time::Duration,
};

use clap::{ArgGroup, Args};

use self::{
    line::Form,
    watch::{Watch, Watched},
};
use super::{
    Failure, Outcome,
    broker::{At, exchange, pattern, place},
    capture::Secrets,
    check::Style,
    conclude, words,
};
use crate::{
    config::Environment,
    deadline::Deadline,
    delivery::{QUARANTINE_SUFFIX, tap::Place},
    supervise::signals::Signals,
};

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("passing").args(["exchange", "key", "refused"]).multiple(true).conflicts_with("queue")))]
pub(super) struct Arguments {
    #[command(flatten)]
    at: At,
    /// Look at this exchange [default: broker.exchange of the configuration, else graph].
    #[arg(long, value_name = "NAME", value_parser = exchange)]
    exchange: Option<String>,
    /// Only messages whose routing key this topic pattern fits; may be given again; without it, all.
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    key: Vec<String>,
    /// Look at what is refused instead: the exchange whose name ends in .refused.
    #[arg(long)]
    refused: bool,
    /// Look at what stands in this queue now, and put everything back.
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// End after so many messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this time.
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// Print the bodies too; clientState is masked.
    #[arg(long, conflicts_with = "json")]
    body: bool,
    /// Print JSON lines with complete bodies, for graphhook replay.
    #[arg(long)]
    json: bool,
    /// Mask clientState in JSON lines; a body that is no JSON is left out.
    #[arg(long, requires = "json")]
    redact: bool,
}

pub(super) const HELP: &str = "\
Declares a queue of its own, which goes when tail ends, and binds it to the
exchange: every other queue gets what it would have got. But a message that no
other queue is bound for counts as delivered because of it: so broker.queue has to
be there, and where the configuration names none, tail warns. In a pattern * is one
word and # any number of them. Whoever reads too slowly misses messages, and is
told so at the end; so is what passes while the connection is made anew.

--queue looks into a queue that is there, from its begin to its end, without
taking: everything goes back when tail ends, marked as redelivered. Until then its
consumers do not get it. A quorum queue puts what comes back at its end, and counts
it as a failed delivery: beyond its delivery-limit it drops the message.

A JSON line has the form of graphhook spool export, without seq and spooled_at,
and with the exchange. It contains the clientState, unless --redact is given:
keep the file as you keep the secret.

Examples:
  graphhook tail
  graphhook tail --key 'notification.message.*' --key 'lifecycle.#' --body
  graphhook tail --json --for 10min >captured.jsonl
  graphhook tail --refused
  graphhook tail --broker env:AMQP_URL --queue graph.notifications --count 10";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> Result<(), Failure> {
    conclude(look(arguments, environment).await)
}

async fn look(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let mut signals = Signals::new()?;
    let broker = arguments.at.find(environment)?;
    let form = match (arguments.json, arguments.body) {
        (true, _) => Form::Json(Secrets::of(arguments.redact)),
        (false, body) => Form::Line { style: Style::of(environment), body },
    };
    let (count, until) = (arguments.count, arguments.time.map(Deadline::after));
    let place = looked_at(arguments, &broker.exchange);
    let mut watch = tokio::select! {
        opened = Watch::open(&broker, &place, form) => opened?,
        _ = signals.stop() => return Ok(Outcome::Good),
    };
    let watching = async {
        match until {
            Some(until) => until.limit(watch.run(count)).await.unwrap_or(Ok(())),
            None => watch.run(count).await,
        }
    };
    let watched = tokio::select! {
        watched = watching => watched,
        _ = signals.stop() => Ok(()),
    };
    let ended = watch.end().await;
    watched?;
    tell(ended)?;
    Ok(Outcome::Good)
}

fn looked_at(arguments: Arguments, configured: &str) -> Place {
    let exchange = arguments.exchange.as_deref().unwrap_or(configured);
    let quarantine = if arguments.refused { QUARANTINE_SUFFIX } else { "" };
    place(arguments.queue, &format!("{exchange}{quarantine}"), &arguments.key)
}

fn tell(Watched { seen, has_missed }: Watched) -> io::Result<()> {
    let mut err = io::stderr();
    writeln!(err, "{}", words::messages(seen))?;
    if has_missed {
        writeln!(
            err,
            "there may have been more: faster than they were written, or while there was no connection"
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Tail {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(options: &[&str]) -> Result<Place, clap::Error> {
        let tail = Tail::try_parse_from([&["tail"], options].concat())?;
        Ok(looked_at(tail.arguments, "graph"))
    }

    #[test]
    fn everything_that_passes_is_looked_at_unless_something_is_named() {
        let exchange = |name: &str, keys: &[&str]| Place::Exchange {
            name: name.to_owned(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        };
        for (options, expected) in [
            (vec![], exchange("graph", &["#"])),
            (vec!["--key", "a.*", "--key", "b.#"], exchange("graph", &["a.*", "b.#"])),
            (vec!["--refused"], exchange("graph.refused", &["#"])),
            (vec!["--exchange", "other", "--refused"], exchange("other.refused", &["#"])),
            (vec!["--queue", "q"], Place::Queue("q".to_owned())),
        ] {
            assert_eq!(parsed(&options).expect("good"), expected);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for options in [
            vec!["--queue", "q", "--key", "#"],
            vec!["--queue", "q", "--refused"],
            vec!["--exchange", "e", "--queue", "q"],
            vec!["--redact"],
            vec!["--json", "--body"],
            vec!["--count", "0"],
            vec!["--for", "soon"],
            vec!["--broker", "amqp://guest:guest@localhost"],
            vec!["--key", &"k".repeat(256)],
            vec!["--exchange", &"e".repeat(248)],
        ] {
            assert!(parsed(&options).is_err(), "{options:?}");
        }
    }
}
