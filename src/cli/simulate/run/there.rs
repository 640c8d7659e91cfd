//! Whether anybody is there, before a load is played: thousands of refused connections say no more than one.

use anyhow::{Context, bail};

use crate::{
    deadline::Deadline,
    simulate::receiver::{PATIENT, Receiver, Unreached},
    supervise::signals::Signals,
};

/// Connects once. Who takes a connection and then keeps silent is there: how long it does so is for the run to tell.
pub(in crate::cli::simulate) async fn ask(receiver: &Receiver, signals: &mut Signals) -> anyhow::Result<()> {
    let asking = Deadline::after(PATIENT).limit(receiver.stream());
    let asked = tokio::select! {
        asked = asking => asked,
        _ = signals.stop() => bail!("interrupted before anything was sent"),
    };
    let Ok(Err(error)) = asked else { return Ok(()) };
    let whom = receiver.authority().to_owned();
    let words = match &error {
        Unreached::Connect(_) => format!("nothing was sent, for nobody is there at {whom}"),
        Unreached::Tls(_) | Unreached::Http(_) | Unreached::Late(_) | Unreached::Url | Unreached::Answer => {
            format!("nothing was sent, for {whom} cannot be spoken to")
        }
    };
    Err(error).context(words)
}
