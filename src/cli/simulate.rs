//! `graphhook simulate`: plays Microsoft Graph, for tests of receivers and of what makes subscriptions.

mod advice;
mod api;
mod batch;
mod conformance;
mod courier;
mod file;
mod forge;
mod handshake;
mod issuer;
mod lifecycle;
mod notify;
mod presented;
mod rich;
mod run;
mod sealed;
mod storm;
mod templates;
pub(super) mod to;
mod whose;

use clap::Subcommand;

use super::{Failure, Outcome, Unusable, Usage, conclude};
use crate::config::Environment;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Ask a URL to prove that it wants notifications.
    #[command(after_help = handshake::HELP)]
    Handshake(handshake::Arguments),
    /// Send change notifications.
    #[command(after_help = notify::HELP)]
    Notify(Box<notify::Arguments>),
    /// Send POSTs in which subscriptions, tenants, resources and kinds of change are mixed.
    #[command(after_help = batch::HELP)]
    Batch(Box<batch::Arguments>),
    /// Send lifecycle events.
    #[command(after_help = lifecycle::HELP)]
    Lifecycle(Box<lifecycle::Arguments>),
    /// Send notifications with resource data: encrypted, and vouched for by signed tokens.
    #[command(after_help = rich::HELP)]
    Rich(Box<rich::Arguments>),
    /// Serve the keys that tokens of `rich` are signed with, for receivers that check them.
    #[command(after_help = issuer::HELP)]
    Issuer(issuer::Arguments),
    /// Send forged items, and see whether a receiver gives anything away.
    #[command(after_help = forge::HELP)]
    Forge(Box<forge::Arguments>),
    /// Send as fast as the receiver answers, and see how fast that is.
    #[command(after_help = storm::HELP)]
    Storm(Box<storm::Arguments>),
    /// Play a scenario: a load over time, with faults, by Graph's rules; and report what became of it.
    #[command(after_help = run::HELP)]
    Run(Box<run::Arguments>),
    /// Print the templates of items.
    #[command(after_help = templates::HELP)]
    Templates(templates::Arguments),
    /// Try a receiver: everything that Graph sends and strangers send, case by case.
    #[command(after_help = conformance::HELP)]
    Conformance(Box<conformance::Arguments>),
    /// Stand in for Microsoft's login and Graph's /subscriptions: a server in memory, for tests and CI.
    #[command(after_help = api::HELP)]
    Api(Box<api::Arguments>),
}

pub(super) const HELP: &str = "\
Examples:
  graphhook simulate handshake https://hooks.example.com/graph/notifications
  graphhook simulate notify https://localhost:8443/hook --insecure --client-state env:CLIENT_STATE
  graphhook simulate conformance https://localhost:8443/hook --insecure --client-state env:CLIENT_STATE
  graphhook simulate api --certificate-out api-ca.pem --insecure";

pub(super) async fn run(command: Command, environment: &Environment) -> Result<(), Failure> {
    conclude(match command {
        Command::Handshake(arguments) => handshake::run(arguments).await,
        Command::Notify(arguments) => notify::run(*arguments, environment).await,
        Command::Batch(arguments) => batch::run(*arguments, environment).await,
        Command::Lifecycle(arguments) => lifecycle::run(*arguments, environment).await,
        Command::Rich(arguments) => rich::run(*arguments, environment).await,
        Command::Issuer(arguments) => issuer::run(arguments).await,
        Command::Forge(arguments) => forge::run(*arguments, environment).await,
        Command::Storm(arguments) => storm::run(*arguments, environment).await,
        Command::Run(arguments) => run::run(*arguments, environment).await,
        Command::Templates(arguments) => templates::run(&arguments),
        Command::Conformance(arguments) => conformance::run(*arguments, environment).await,
        Command::Api(arguments) => api::run(*arguments).await,
    })
}
