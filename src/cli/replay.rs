//! `graphhook replay`: captured messages once more, through the check or straight to an exchange.

mod check;
mod exchange;
mod item;
mod tally;

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use clap::{ArgGroup, Args};
use tokio::time::Instant;
use url::Url;

use self::{
    check::Check,
    exchange::{Exchange, Wanted},
    tally::{Sent, Skip, Tally},
};
use super::{
    Failure, Outcome, Usage, ask,
    broker::{At, exchange},
    capture::{Item, lines::Lines},
    conclude,
    simulate::to::{Way, url},
    source::SecretSource,
    words,
};
use crate::{config::Environment, deadline::Deadline, error::Chain, supervise::signals::Signals};

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("goal").args(["url", "publish"]).required(true)))]
pub(super) struct Arguments {
    /// Captured messages, one JSON object a line; - is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Through the check: POST each message to this receiver, as Graph does.
    #[arg(long, value_name = "URL", value_parser = url, conflicts_with = "At")]
    url: Option<Url>,
    #[command(flatten)]
    way: Way,
    /// What stands in place of a clientState that is masked or null.
    #[arg(long, value_name = "SOURCE", long_help = CLIENT_STATE)]
    client_state: Option<SecretSource>,
    /// Past the check: publish each message to the exchange.
    #[arg(long, conflicts_with = "Way")]
    publish: bool,
    /// With --publish: to this exchange [default: broker.exchange of the configuration, else graph].
    #[arg(long, value_name = "NAME", value_parser = exchange, requires = "publish")]
    exchange: Option<String>,
    #[command(flatten)]
    at: At,
    /// With --publish: gaps too.
    #[arg(long, conflicts_with = "url")]
    include_gaps: bool,
    /// With --publish: refused messages too; they go back to the quarantine, the exchange NAME.refused.
    #[arg(long, conflicts_with = "url")]
    include_refused: bool,
    /// Begin at this line.
    #[arg(long, value_name = "LINE", default_value_t = 1)]
    from: u64,
    /// Send so many a second at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Send nothing; say what would be sent.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before publishing.
    #[arg(long)]
    yes: bool,
    /// Print one JSON object at the end.
    #[arg(long)]
    json: bool,
}

const CLIENT_STATE: &str = "What stands in place of a clientState that is masked or null: file:PATH, env:NAME, \
                            credential:NAME, - for standard input, or text:SECRET";

pub(super) const HELP: &str = "\
Reads what graphhook tail --json, spool export and quarantine export write. A
file is read through first: a broken line is named before anything is sent.

With --url the receiver judges each message again. It keeps its message_id: an
item that came without an id gets one, unless its message_id was made from what
it says. A clientState that was masked or taken out is put back from
--client-state, but never into a message that was refused. A gap is no message of
Graph's, and opened resource data cannot be sealed again: they are left out. The
validationTokens of sealed resource data went with their POST. When a receiver
does not take a message, it is sent again a few times, and then nothing more is.

With --publish each message is published as the daemon did, with its headers and
one more, graphhook-replayed-at. Whoever reads the exchange gets it again, under
the same message_id. Nobody judges it: gaps and refused messages are left out
unless they are asked for.

What was left out for want of something, returned or not taken makes the exit
code 1.

Examples:
  graphhook replay captured.jsonl --url https://localhost:8443/graph/notifications --insecure
  graphhook replay captured.jsonl --url https://hooks.example.com/graph --client-state env:CLIENT_STATE
  graphhook replay spool.jsonl --publish --dry-run
  graphhook replay spool.jsonl --publish --exchange graph.test --rate 100 --yes";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> Result<(), Failure> {
    conclude(replay(&arguments, environment).await)
}

async fn replay(arguments: &Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    if arguments.file.as_os_str() == "-" && matches!(arguments.client_state, Some(SecretSource::Input)) {
        return Err(Usage("standard input holds the messages: take the clientState from elsewhere").into());
    }
    if arguments.file.as_os_str() == "-" && arguments.at.is_input() {
        return Err(Usage("standard input holds the messages: take the broker's URL from elsewhere").into());
    }
    let client_state = arguments.client_state.as_ref().map(|source| source.read(environment)).transpose()?;
    if let Some(url) = &arguments.url {
        let check = Check::new(arguments.way.receiver(url)?, client_state);
        return arguments.send_to(check, Lines::open(&arguments.file)?).await;
    }
    let mut broker = arguments.at.find(environment)?;
    if let Some(name) = &arguments.exchange {
        broker.exchange.clone_from(name);
    }
    let wanted = Wanted { gaps: arguments.include_gaps, refused: arguments.include_refused };
    let exchange = Exchange::new(broker, wanted, client_state);
    let lines = Lines::open(&arguments.file)?;
    if !arguments.dry_run {
        ask::confirm(&exchange.warning(), arguments.yes)?;
    }
    arguments.send_to(exchange, lines).await
}

impl Arguments {
    async fn send_to(&self, mut goal: impl Goal, lines: Lines) -> anyhow::Result<Outcome> {
        let mut signals = Signals::new()?;
        let mut tally = Tally::default();
        let sent = tokio::select! {
            sent = self.send(&mut goal, lines, &mut tally) => sent,
            _ = signals.stop() => Err(anyhow::anyhow!("stopped")),
        };
        goal.close().await;
        tally.print(self.dry_run, self.json, &mut io::stdout().lock())?;
        let Err(error) = sent else {
            return Ok(if tally.is_well() { Outcome::Good } else { Outcome::Bad });
        };
        let mut err = io::stderr();
        writeln!(err, "graphhook: {}", words::plain(&Chain(error.as_ref()).to_string()))?;
        if let Some(line) = tally.on_the_way() {
            let next = line + 1;
            writeln!(
                err,
                "line {line} may not have arrived: --from {line} goes on with it, --from {next} behind it"
            )?;
        }
        Ok(Outcome::Bad)
    }

    async fn send(&self, goal: &mut impl Goal, mut lines: Lines, tally: &mut Tally) -> anyhow::Result<()> {
        let (mut pace, mut last) = (Pace::of(self.rate), 0);
        loop {
            let (rest, next) = lines.read().await?;
            lines = rest;
            let Some((line, item)) = next else { break };
            last = line;
            if line < self.from {
                continue;
            }
            match goal.prepare(&item) {
                Err(skip) => tally.skip(line, skip)?,
                Ok(ready) if self.dry_run => tally.sent(line, goal.would_be(&ready))?,
                Ok(ready) => {
                    pace.turn().await;
                    tally.begin(line);
                    let sent = goal.send(ready).await.with_context(|| format!("line {line}"))?;
                    tally.sent(line, sent)?;
                }
            }
        }
        if self.from > last.max(1) {
            anyhow::bail!("there is nothing at line {}: the last is {last}", self.from);
        }
        Ok(())
    }
}

/// Where messages go.
trait Goal {
    /// A message as it will be sent.
    type Ready;

    /// Makes a captured message ready, or says why it cannot be sent.
    fn prepare(&self, item: &Item) -> Result<Self::Ready, Skip>;

    /// What would come of it, if all went well.
    fn would_be(&self, ready: &Self::Ready) -> Sent;

    /// Sends it; after an error nothing more should be sent.
    async fn send(&mut self, ready: Self::Ready) -> anyhow::Result<Sent>;

    async fn close(self);
}

/// Not more than so many a second.
struct Pace {
    every: Duration,
    next: Instant,
}

impl Pace {
    fn of(rate: Option<u32>) -> Self {
        let every = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate);
        Self { every, next: Instant::now() }
    }

    /// Waits until it is the next one's turn; time that was lost is not made up for.
    async fn turn(&mut self) {
        Deadline::at(self.next).passed().await;
        self.next = self.next.max(Instant::now()) + self.every;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Replay {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(options: &[&str]) -> Result<Arguments, clap::Error> {
        Ok(Replay::try_parse_from([&["replay"], options].concat())?.arguments)
    }

    #[test]
    fn a_goal_is_named_and_only_one() {
        let arguments = parsed(&["--publish", "captured.jsonl"]).expect("good");
        assert_eq!((arguments.exchange.as_deref(), arguments.file.to_str()), (None, Some("captured.jsonl")));
        let arguments = parsed(&["--publish", "--exchange", "other", "--broker", "env:A"]).expect("good");
        assert_eq!((arguments.exchange.as_deref(), arguments.file.to_str()), (Some("other"), Some("-")));
        parsed(&["a", "--url", "https://a/", "--insecure", "--client-state", "env:A"]).expect("good");
        for options in [
            vec![],
            vec!["a"],
            vec!["--publish", "--url", "https://a/"],
            vec!["--publish", "--insecure"],
            vec!["--url", "https://a/", "--config", "c"],
            vec!["--url", "https://a/", "--include-gaps"],
            vec!["--url", "https://a/", "--rate", "0"],
            vec!["--url", "ftp://a/"],
            vec!["--publish", "--exchange", &"e".repeat(248)],
            vec!["--exchange", "other"],
        ] {
            assert!(parsed(&options).is_err(), "{options:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pace_is_kept_and_no_time_is_made_up_for() {
        let begin = Instant::now();
        let mut pace = Pace::of(Some(4));
        for _ in 0..5 {
            pace.turn().await;
        }
        assert_eq!(begin.elapsed(), Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(9)).await;
        pace.turn().await;
        pace.turn().await;
        assert_eq!(begin.elapsed(), Duration::from_millis(10_250));
    }
}
