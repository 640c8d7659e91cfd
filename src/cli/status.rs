//! `graphhook status`: the one screen about the running daemon.

mod answer;
mod ask;
mod screen;

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use clap::Args;

pub(super) use self::ask::{AskError, ask};
use self::{
    answer::Status,
    screen::{Paint, Screen},
};
use super::{Failure, Outcome, Usage, conclude};
use crate::{
    config::{self, Environment, Listen},
    deadline::Deadline,
    error::Chain,
};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Configuration file, which says where the daemon can be asked [default: /etc/graphhook/config.toml, then
    /// ./config.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask here and read no configuration: the address of admin.listen, or unix:/path of a socket.
    #[arg(long, value_name = "ADDR", value_parser = place, conflicts_with = "config")]
    admin: Option<Listen>,
    /// Print what the daemon says as it says it: one JSON object.
    #[arg(long)]
    json: bool,
    /// Look again and again, until Ctrl-C [default: every 2 s].
    #[arg(long, value_name = "INTERVAL", value_parser = humantime::parse_duration, num_args = 0..=1, default_missing_value = "2s")]
    watch: Option<Duration>,
}

pub(super) const HELP: &str = "Exit code 0: the daemon keeps its promise; 1: it does not, or is not there.\n\n\
                               Examples:\n  graphhook status\n  graphhook status --watch 5s\n  \
                               graphhook status --json | jq .spool";

/// Where a daemon can be asked.
pub(super) fn place(text: &str) -> Result<Listen, String> {
    match text.strip_prefix("unix:") {
        Some(path) => Ok(Listen::Unix(path.into())),
        None => text
            .parse()
            .map(Listen::Address)
            .map_err(|_| "expected an address such as 127.0.0.1:9464, or unix:/path".to_owned()),
    }
}

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> Result<(), Failure> {
    conclude(look(arguments, environment).await)
}

async fn look(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let Arguments { config, admin, json, watch } = arguments;
    let place = match admin {
        Some(place) => place,
        None => config::admin_listen(config.as_deref(), environment).context(
            "which daemon? --config names its configuration, or --admin the address of its admin listener",
        )?,
    };
    let view = View {
        place,
        json,
        paint: match io::stdout().is_terminal() && environment.get("NO_COLOR").is_none_or(str::is_empty) {
            true => Paint::Colours,
            false => Paint::Plain,
        },
    };
    match watch {
        None => view.once().await,
        Some(every) if every < WATCH_LEAST => Err(Usage("look every 100ms at most").into()),
        Some(every) if every > WATCH_MOST => Err(Usage("look once a day at least").into()),
        Some(every) => view.watch(every).await,
    }
}

/// What is looked at, and how it is shown.
struct View {
    place: Listen,
    json: bool,
    paint: Paint,
}

impl View {
    async fn once(&self) -> anyhow::Result<Outcome> {
        let (page, outcome) = self.page(ask(&self.place, "/status").await?)?;
        io::stdout().lock().write_all(page.as_bytes())?;
        Ok(outcome)
    }

    /// What is printed of an answer, and what it means for the exit code.
    fn page(&self, answer: String) -> anyhow::Result<(String, Outcome)> {
        let status = Status::read(&answer)?;
        let outcome = if status.ready { Outcome::Good } else { Outcome::Bad };
        if self.json {
            return Ok((answer, outcome));
        }
        Ok((Screen::of(&status, SystemTime::now()).paint(self.paint), outcome))
    }

    /// Looks until Ctrl-C; a daemon that is not there may come back.
    async fn watch(&self, every: Duration) -> anyhow::Result<Outcome> {
        let _screen = Alternate::open()?;
        let mut outcome = Outcome::Good;
        let watch = async {
            loop {
                let next = Deadline::after(every);
                let shown = match ask(&self.place, "/status").await {
                    Ok(answer) => self.page(answer)?,
                    Err(error) => (self.absence(&error), Outcome::Bad),
                };
                outcome = shown.1;
                self.show(&shown.0)?;
                next.passed().await;
            }
        };
        tokio::select! {
            ended = watch => ended,
            interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| outcome).map_err(Into::into),
        }
    }

    /// In JSON, as in any other report after another, there is one line for it.
    fn absence(&self, error: &AskError) -> String {
        let message = Chain(error).to_string();
        if self.json {
            return serde_json::json!({ "error": message }).to_string() + "\n";
        }
        Screen::absent(&message, SystemTime::now()).paint(self.paint)
    }

    fn show(&self, page: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            // From the corner, each line to its end, and what is left of the page before: without a flicker.
            let page = page.replace('\n', "\x1b[K\n");
            write!(out, "\x1b[H{page}\x1b[J")?;
        } else if self.json {
            out.write_all(page.as_bytes())?;
        } else {
            writeln!(out, "{page}")?;
        }
        out.flush()
    }
}

/// The other screen of a terminal, so that the first one is as it was when this is dropped.
struct Alternate;

impl Alternate {
    fn open() -> io::Result<Option<Self>> {
        let mut out = io::stdout().lock();
        if !out.is_terminal() {
            return Ok(None);
        }
        write!(out, "\x1b[?1049h\x1b[?25l\x1b[2J")?;
        Ok(Some(Self))
    }
}

impl Drop for Alternate {
    fn drop(&mut self) {
        // Without a terminal any more there is nothing to put back.
        drop(write!(io::stdout().lock(), "\x1b[?25h\x1b[?1049l"));
    }
}

/// More seldom than this nobody watches.
const WATCH_MOST: Duration = Duration::from_secs(24 * 3600);
/// More often than this nobody can read.
const WATCH_LEAST: Duration = Duration::from_millis(100);
