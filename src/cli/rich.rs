//! `graphhook rich`: keys and certificates for notifications with resource data.

mod certificate;
mod keygen;

use clap::Subcommand;

use super::{Failure, Outcome, conclude};
use crate::config::Environment;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key, and the certificate to name in subscriptions.
    #[command(after_help = keygen::HELP)]
    Keygen(keygen::Arguments),
    /// Print a certificate of the configuration as subscriptions want it.
    #[command(after_help = certificate::HELP)]
    Certificate(certificate::Arguments),
}

pub(super) fn run(command: Command, environment: &Environment) -> Result<(), Failure> {
    conclude(match command {
        Command::Keygen(arguments) => keygen::run(&arguments),
        Command::Certificate(arguments) => certificate::run(&arguments, environment),
    })
}
