//! The command line: what can be said, exit codes, and where errors end.

mod ask;
mod broker;
mod capture;
mod check;
mod completions;
mod configuration;
mod dev;
mod manual;
mod quarantine;
mod replay;
mod rich;
mod simulate;
mod source;
mod spool;
mod status;
mod subscriptions;
mod table;
mod tail;
mod version;
mod words;

use std::{io, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    config::{Environment, LoadError, Problems, Source},
    delivery::spool::{SpoolError, store::OpenError},
    error::Chain,
    simulate::trust::TrustError,
    subscriptions::state::file::StateError,
    supervise::{self, ServeError},
    telemetry,
};

/// Receives Microsoft Graph change notifications and hands each one to RabbitMQ, confirmed before the answer.
#[derive(Debug, Parser)]
#[command(name = "graphhook", version, arg_required_else_help = true, after_help = HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon.
    #[command(after_help = "Example:\n  graphhook serve --config /etc/graphhook/config.toml")]
    Serve {
        /// Configuration file [default: /etc/graphhook/config.toml, then ./config.toml].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Try graphhook here: no configuration, no broker; notifications become JSON lines.
    #[command(after_help = "Examples:\n  graphhook dev\n  graphhook dev --simulate")]
    Dev {
        /// Address to listen on [default: 127.0.0.1:8443, with --simulate any free port].
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
        /// Play Microsoft Graph against it, report, and exit.
        #[arg(long)]
        simulate: bool,
    },
    /// Report on a configuration: all that is wrong with it, and what to do.
    #[command(
        after_help = "Examples:\n  graphhook check\n  graphhook check --offline --config ./config.toml"
    )]
    Check(check::Options),
    /// Look at what waits for the broker, and act on it.
    #[command(subcommand, after_help = "Example:\n  graphhook spool status")]
    Spool(spool::Command),
    /// Look at refused notifications, and pass on what is genuine after all.
    #[command(subcommand, after_help = "Example:\n  graphhook quarantine list")]
    Quarantine(quarantine::Command),
    /// Show messages as they pass; nothing is taken from anybody.
    #[command(after_help = tail::HELP)]
    Tail(Box<tail::Arguments>),
    /// Send captured messages again, through the check or straight to an exchange.
    #[command(after_help = replay::HELP)]
    Replay(Box<replay::Arguments>),
    /// Keys and certificates for notifications with resource data.
    #[command(subcommand, after_help = "Example:\n  graphhook rich keygen --directory /etc/graphhook/rich")]
    Rich(rich::Command),
    /// Play Microsoft Graph, for tests.
    #[command(
        subcommand,
        after_help = simulate::HELP
    )]
    Simulate(simulate::Command),
    /// Subscriptions at Graph: those that are there, those that are wanted, and what to do about the difference.
    #[command(subcommand, after_help = "Example:\n  graphhook subscriptions list")]
    Subscriptions(subscriptions::Command),
    /// Ask the running daemon how it is: one screen.
    #[command(after_help = status::HELP)]
    Status(status::Arguments),
    /// The configuration: what it is, what it could be, and what a change does.
    #[command(subcommand, after_help = "Example:\n  graphhook config print --origin")]
    Config(configuration::Command),
    /// Print what a shell needs to complete graphhook's command line.
    #[command(after_help = completions::HELP)]
    Completions(completions::Arguments),
    /// Print the manual page, or write those of all commands.
    #[command(after_help = manual::HELP)]
    Man(manual::Arguments),
    /// Which build this is.
    #[command(after_help = version::HELP)]
    Version(version::Arguments),
}

const HELP: &str = "Examples:\n  graphhook dev --simulate\n  graphhook check\n  graphhook serve";

/// How a command that did not succeed ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Failure {
    /// Failed while running.
    Running,
    /// It was told what cannot be.
    Usage,
    /// The configuration is refused; systemd does not restart on this.
    Configuration,
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Running => Self::from(1),
            Failure::Usage => Self::from(2),
            Failure::Configuration => Self::from(78),
        }
    }
}

/// How a command of an operator ends that came to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Good,
    /// It has said what is wrong.
    Bad,
}

/// The command makes no sense as it was given.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(&'static str);

/// What it was told to use cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct Unusable(anyhow::Error);

/// Tells of an error, and what it means for the exit code.
fn conclude(done: anyhow::Result<Outcome>) -> Result<(), Failure> {
    let error = match done {
        Ok(Outcome::Good) => return Ok(()),
        Ok(Outcome::Bad) => return Err(Failure::Running),
        Err(error) => error,
    };
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        // Whoever reads has seen enough.
        return Ok(());
    }
    complain(error.as_ref());
    let is_newer = matches!(error.downcast_ref(), Some(OpenError::Newer { .. }))
        || matches!(error.downcast_ref(), Some(SpoolError::Newer(_)))
        || matches!(error.downcast_ref(), Some(StateError::Newer(_)));
    Err(if error.is::<LoadError>() || is_newer {
        Failure::Configuration
    } else if error.is::<Usage>()
        || error.is::<Unusable>()
        || error.is::<TrustError>()
        || error.is::<Problems>()
    {
        Failure::Usage
    } else {
        Failure::Running
    })
}

/// Runs the command of this process' arguments. Wrong usage ends with exit code 2.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    // Several libraries would each choose a provider; there is one, chosen here, before any of them can.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::debug!("a crypto provider was installed before");
    }
    let environment = Environment::capture();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&error);
            return Failure::Running.into();
        }
    };
    let done = match arguments.command {
        Command::Serve { config } => runtime.block_on(serve(config, &environment)),
        Command::Dev { listen, simulate } => runtime.block_on(dev::run(listen, simulate, &environment)),
        Command::Check(options) => runtime.block_on(check::run(options, &environment)),
        Command::Spool(command) => runtime.block_on(spool::run(command, &environment)),
        Command::Quarantine(command) => runtime.block_on(quarantine::run(command, &environment)),
        Command::Tail(arguments) => runtime.block_on(tail::run(*arguments, &environment)),
        Command::Replay(arguments) => runtime.block_on(replay::run(*arguments, &environment)),
        Command::Rich(command) => rich::run(command, &environment),
        Command::Simulate(command) => runtime.block_on(simulate::run(command, &environment)),
        Command::Subscriptions(command) => runtime.block_on(subscriptions::run(command, &environment)),
        Command::Status(arguments) => runtime.block_on(status::run(arguments, &environment)),
        Command::Config(command) => configuration::run(command, &environment),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => manual::run(&arguments),
        Command::Version(arguments) => version::run(&arguments),
    };
    // What still runs holds no promise: a stop that hurried must not wait for it.
    runtime.shutdown_background();
    done.map_or_else(ExitCode::from, |()| ExitCode::SUCCESS)
}

async fn serve(file: Option<PathBuf>, environment: &Environment) -> Result<(), Failure> {
    let found = Source::find(file.as_deref(), environment.clone());
    let (loaded, source) = found
        .and_then(|source| source.load().map(|loaded| (loaded, source)))
        .map_err(|error| refuse(&error))?;
    let log = telemetry::start(loaded.config.log, environment).map_err(|error| {
        complain(&error);
        Failure::Configuration
    })?;
    match supervise::serve(loaded, source, &log).await {
        Ok(()) => Ok(()),
        Err(error) => {
            tracing::error!(event = "cannot_go_on", error = %Chain(&error), "graphhook cannot go on");
            Err(match error {
                // A newer program's spool stays as it is, however often we are started.
                ServeError::Certificate { .. }
                | ServeError::Spool(SpoolError::Newer(_))
                | ServeError::Subscriptions(_) => Failure::Configuration,
                ServeError::Spool(SpoolError::InUse(_))
                | ServeError::Bind(_)
                | ServeError::Tls(_)
                | ServeError::Signals(_)
                | ServeError::Ended(_)
                | ServeError::Unbalanced { .. } => Failure::Running,
            })
        }
    }
}

fn refuse(error: &LoadError) -> Failure {
    complain(error);
    Failure::Configuration
}

#[expect(clippy::print_stderr, reason = "there is no log yet")]
fn complain(error: &(dyn std::error::Error + 'static)) {
    eprintln!("graphhook: {}", Chain(error));
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Looks at a command and at all below it; returns how many there are.
    fn check_examples(command: &clap::Command) -> usize {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let name = command.get_name();
        assert!(help.contains("Example") && help.contains("\n  graphhook"), "{name} shows no example");
        1 + command.get_subcommands().map(check_examples).sum::<usize>()
    }

    #[test]
    fn every_command_shows_an_example() {
        let program = Arguments::command();
        assert!(check_examples(&program) > 15);
        program.debug_assert();
    }
}
