//! `graphhook quarantine release`

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;

use super::{Outcome, load};
use crate::{
    cli::{ask, words},
    config::Environment,
    delivery::{
        ConnectError,
        courier::Handed,
        quarantine::{
            reconsider::{Judges, reconsider},
            visit::Visit,
        },
    },
    envelope::Router,
    verify::{
        Reason, Verifier,
        rich::again::{Again, Unvouched},
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// Configuration file [default: /etc/graphhook/config.toml, then ./config.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Judge so many messages at most [default: all that are there].
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Pass on encrypted resource data that no token has vouched for, too. Its clientState and tenant must be right.
    #[arg(long)]
    without_token: bool,
    /// Pass on nothing; say what would be.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) const HELP: &str = "\
For the time after a wrong secret was deployed: put the configuration right
first. Each notification is judged as if it came now; what is genuine goes to
the exchange as it would have gone then, under the same message_id, and leaves
the quarantine once the broker has confirmed it. What is still refused stays.
A daemon may be running.

With [rich], resource data whose token was valid, and whose key was missing, is
decrypted with the keys of now. If no token was valid, it stays: the tokens are
gone with their POST. When you know why they were refused, and that it was your
mistake, --without-token passes on what is genuine without them.

Examples:
  graphhook quarantine release --dry-run
  graphhook quarantine release --yes
  graphhook quarantine release --without-token --dry-run";

#[derive(Default)]
struct Counted {
    genuine: u64,
    /// In the order of [`Reason::ALL`].
    refused: [u64; Reason::ALL.len()],
    returned: u64,
    nacked: u64,
}

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let Arguments { config, limit, without_token, dry_run, yes } = arguments;
    let config = load(config.as_deref(), environment)?;
    let unvouched = if without_token { Unvouched::Passed } else { Unvouched::Refused };
    let judges = Judges {
        verifier: Verifier::new(&config.client_states),
        rich: Again::new(config.rich.clone(), unvouched),
        router: Router::new(config.broker.routing_key.clone(), config.broker.client_state),
    };
    if !dry_run {
        let what = match unvouched {
            Unvouched::Refused => {
                "This passes on every message of the quarantine that is genuine by the present configuration."
            }
            Unvouched::Passed => {
                "This passes on every message of the quarantine that knows a secret, also where no token vouches for it."
            }
        };
        ask::confirm(what, yes)?;
    }
    let mut visit = Visit::open(&config.broker).await?;
    let mut counted = Counted::default();
    // Not more than were there at the beginning: others come while we work.
    let many = limit.unwrap_or(u32::MAX).min(visit.ready());
    let worked = work(&mut visit, many, dry_run, &judges, &mut counted).await;
    counted.print(dry_run, &mut io::stdout().lock())?;
    worked?;
    visit.close().await?;
    Ok(if counted.returned + counted.nacked == 0 { Outcome::Good } else { Outcome::Bad })
}

async fn work(
    visit: &mut Visit,
    many: u32,
    dry_run: bool,
    judges: &Judges,
    counted: &mut Counted,
) -> Result<(), ConnectError> {
    for _ in 0..many {
        let Some((tag, kept)) = visit.next().await? else { break };
        match reconsider(&kept, judges) {
            Err(reason) => counted.refuse(reason),
            Ok(_) if dry_run => counted.genuine += 1,
            Ok(envelope) => match visit.release(tag, &envelope).await? {
                Handed::Confirmed => counted.genuine += 1,
                Handed::Returned => counted.returned += 1,
                Handed::Nacked => counted.nacked += 1,
            },
        }
    }
    Ok(())
}

impl Counted {
    fn refuse(&mut self, reason: Reason) {
        for (known, count) in Reason::ALL.into_iter().zip(&mut self.refused) {
            *count += u64::from(known == reason);
        }
    }

    fn print(&self, dry_run: bool, out: &mut impl Write) -> io::Result<()> {
        let done = if dry_run { "would release" } else { "released" };
        writeln!(out, "{done} {}", words::messages(self.genuine))?;
        let refused = Reason::ALL.into_iter().map(Reason::as_str).zip(self.refused);
        let undelivered =
            [("returned: no queue is bound", self.returned), ("nacked by the broker", self.nacked)];
        for (why, many) in refused.chain(undelivered) {
            if many > 0 {
                writeln!(out, "{many:>9} stay: {why}")?;
            }
        }
        Ok(())
    }
}
