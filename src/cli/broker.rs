//! Which broker a command means: that of the configuration, or one that is named by its URL alone.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;

use super::source::SecretSource;
use crate::{
    config::{self, Broker, Environment},
    delivery::{
        QUARANTINE_SUFFIX,
        tap::{Place, keeper},
    },
};

#[derive(Args, Debug)]
pub(super) struct At {
    /// Configuration file [default: /etc/graphhook/config.toml, then ./config.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read no configuration: the broker's URL, amqp:// or amqps://, is in file:PATH, env:NAME, credential:NAME,
    /// - for standard input, or text:URL.
    #[arg(long, value_name = "SOURCE", conflicts_with = "config")]
    broker: Option<SecretSource>,
}

impl At {
    /// Whether a broker was named.
    pub(super) fn is_given(&self) -> bool {
        self.config.is_some() || self.broker.is_some()
    }

    /// Whether it is named on standard input.
    pub(super) fn is_input(&self) -> bool {
        matches!(self.broker, Some(SecretSource::Input))
    }

    pub(super) fn find(&self, environment: &Environment) -> anyhow::Result<Broker> {
        let Some(source) = &self.broker else {
            return Ok(config::load(self.config.as_deref(), environment)?.config.broker);
        };
        let url = source.read(environment).context("no URL of a broker")?;
        Ok(config::broker_at(url, "--broker")?)
    }
}

/// For the broker a queue of ours is one that wants messages. Where nobody has named another that gets them all, somebody
/// should know; but what was refused is promised to nobody.
pub(super) fn warn_of_losses(broker: &Broker, place: &Place) -> io::Result<()> {
    match place {
        Place::Exchange { name, .. }
            if !name.ends_with(QUARANTINE_SUFFIX) && keeper(broker, place).is_none() =>
        {
            writeln!(
                io::stderr(),
                "careful: while this looks, a message that no other queue is bound for counts as delivered, and is lost"
            )
        }
        Place::Exchange { .. } | Place::Queue(_) => Ok(()),
    }
}

/// The name of an exchange. Behind it there is always room for that of its quarantine.
pub(super) fn exchange(text: &str) -> Result<String, String> {
    match text.len() + QUARANTINE_SUFFIX.len() {
        0..=255 => Ok(text.to_owned()),
        _ => Err(format!("an exchange here has a name of at most {} bytes", 255 - QUARANTINE_SUFFIX.len())),
    }
}

/// A topic pattern.
pub(super) fn pattern(text: &str) -> Result<String, String> {
    match text.len() {
        0..=255 => Ok(text.to_owned()),
        _ => Err("a routing key has at most 255 bytes".to_owned()),
    }
}

/// Where to look: into a queue, or at an exchange, there at everything unless patterns say otherwise.
pub(super) fn place(queue: Option<String>, exchange: &str, keys: &[String]) -> Place {
    if let Some(queue) = queue {
        return Place::Queue(queue);
    }
    let keys = if keys.is_empty() { vec!["#".to_owned()] } else { keys.to_vec() };
    Place::Exchange { name: exchange.to_owned(), keys }
}
