//! `graphhook simulate handshake`

use std::{
    io::{self, Write},
    time::Duration,
};

use clap::Args;
use serde::Serialize;

use super::{Outcome, advice, courier::millis, to::To};
use crate::{
    cli::words,
    simulate::{
        handshake::{encoded, faults},
        handshake_token,
        receiver::{Answer, PATIENT, PROMPT, Unreached},
        template::fresh_id,
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    to: To,
    /// Ask with this token [default: a new one in the form that Graph has today].
    #[arg(long, value_name = "TEXT")]
    token: Option<String>,
    /// Ask so often: a receiver with two URLs is asked twice, and any may be asked again.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// Wait so long for an answer. Graph waits 10s, and is held to that whatever is said here.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    within: Duration,
    /// Print one JSON object for each handshake.
    #[arg(long)]
    json: bool,
}

pub(super) const HELP: &str = "\
Asks the URL to prove that it wants notifications, as Graph does before it
makes a subscription: it has to answer 200, text/plain, with the token, decoded
once, and nothing else, within 10 s. A query that the URL has is kept.

Examples:
  graphhook simulate handshake https://hooks.example.com/graph/notifications
  graphhook simulate handshake https://localhost:8443/hook --insecure --token 'a+b %41'";

/// A handshake as `--json` tells of it.
#[derive(Serialize)]
struct Told<'a> {
    passed: bool,
    status: Option<u16>,
    took_ms: Option<f64>,
    wrong: &'a [String],
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    let receiver = arguments.to.receiver()?;
    let mut outcome = Outcome::Good;
    for _ in 0..arguments.count {
        let (token, encoded) = match &arguments.token {
            Some(token) => (token.clone(), encoded(token)),
            None => handshake_token(&fresh_id()),
        };
        let answer = receiver.post(&receiver.handshake(&encoded), arguments.within).await;
        let wrong = match &answer {
            Ok(_) => faults(&answer, &token),
            Err(Unreached::Late(waited)) if *waited < PATIENT => vec![impatient(*waited)],
            Err(error) => vec![advice::explained(error, receiver.url())],
        };
        let mut out = io::stdout().lock();
        if arguments.json {
            let told = Told {
                passed: wrong.is_empty(),
                status: answer.as_ref().ok().map(|answer| answer.status.as_u16()),
                took_ms: answer.as_ref().ok().map(millis),
                wrong: &wrong,
            };
            writeln!(out, "{}", serde_json::to_string(&told)?)?;
        } else {
            writeln!(out, "{}", line(&answer, &wrong))?;
        }
        out.flush()?;
        if !wrong.is_empty() {
            outcome = Outcome::Bad;
        }
    }
    Ok(outcome)
}

/// Nobody knows what Graph would have come to know.
fn impatient(waited: Duration) -> String {
    format!("no answer in {} s; Graph waits {} s", waited.as_secs_f64(), PATIENT.as_secs())
}

fn line(answer: &Result<Answer, Unreached>, wrong: &[String]) -> String {
    let said = words::plain(&wrong.join("; "));
    match answer {
        Ok(answer) if wrong.is_empty() => {
            let slow = if answer.took > PROMPT { "; its notifications have 3 s only" } else { "" };
            format!("passed: the token came back after {:.1} ms{slow}", millis(answer))
        }
        Err(Unreached::Late(waited)) if *waited < PATIENT => format!("failed: {said}"),
        Ok(_) | Err(_) => format!("failed: Graph would not make the subscription: {said}"),
    }
}
