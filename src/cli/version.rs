//! `graphhook version`: which build this is, and what is in it.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use super::{Failure, Outcome, conclude};
use crate::delivery::spool::store::{FORMAT, sqlite_version};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Say all that is known of the build.
    #[arg(long)]
    verbose: bool,
    /// Print one JSON object, always with all that is known.
    #[arg(long)]
    json: bool,
}

pub(super) const HELP: &str = "Example:\n  graphhook version --verbose";

#[derive(Serialize)]
struct Build {
    version: &'static str,
    /// None in a development build.
    commit: Option<&'static str>,
    target: &'static str,
    rustls: &'static str,
    aws_lc_rs: &'static str,
    sqlite: &'static str,
    spool_format: u32,
    features: Vec<&'static str>,
}

impl Build {
    fn this() -> Self {
        let features =
            [("fail-points", cfg!(feature = "fail-points")), ("fuzzing", cfg!(feature = "fuzzing"))];
        Self {
            version: env!("CARGO_PKG_VERSION"),
            commit: Some(env!("GRAPHHOOK_BUILD_COMMIT")).filter(|commit| !commit.is_empty()),
            target: env!("GRAPHHOOK_BUILD_TARGET"),
            rustls: env!("GRAPHHOOK_BUILD_RUSTLS"),
            aws_lc_rs: env!("GRAPHHOOK_BUILD_AWS_LC_RS"),
            sqlite: sqlite_version(),
            spool_format: FORMAT,
            features: features.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name).collect(),
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { version, commit, target, rustls, aws_lc_rs, sqlite, spool_format, features } = self;
        let features = if features.is_empty() { "none".to_owned() } else { features.join(", ") };
        writeln!(out, "graphhook     {version}")?;
        writeln!(out, "commit        {}", commit.unwrap_or("unknown: a development build"))?;
        writeln!(out, "target        {target}")?;
        writeln!(out, "TLS           rustls {rustls} with aws-lc-rs {aws_lc_rs}")?;
        writeln!(out, "SQLite        {sqlite}")?;
        writeln!(out, "spool format  {spool_format}")?;
        writeln!(out, "features      {features}")
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    conclude(print(arguments))
}

fn print(Arguments { verbose, json }: &Arguments) -> anyhow::Result<Outcome> {
    let (build, mut out) = (Build::this(), io::stdout().lock());
    match (json, verbose) {
        (true, _) => writeln!(out, "{}", serde_json::to_string_pretty(&build)?)?,
        (false, true) => build.print(&mut out)?,
        (false, false) => writeln!(out, "graphhook {}", build.version)?,
    }
    Ok(Outcome::Good)
}
