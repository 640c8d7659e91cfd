//! `graphhook simulate`: plays Microsoft Graph, for tests of receivers and of what makes subscriptions.

mod api;

use clap::Subcommand;

use super::{Failure, Outcome, Usage, conclude};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Stand in for Microsoft's login and Graph's /subscriptions: a server in memory, for tests and CI.
    #[command(after_help = api::HELP)]
    Api(Box<api::Arguments>),
}

pub(super) async fn run(command: Command) -> Result<(), Failure> {
    conclude(match command {
        Command::Api(arguments) => api::run(*arguments).await,
    })
}
